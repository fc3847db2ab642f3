#!/usr/bin/env bash
# flame-c suite: a mixer that can learns, the negative control does not; a sweep on 2 and 4 ranks, killed and continued,
# gives the CSV of one rank but for times; every mixer has a model for every task; wrong arguments are refused.
source "$(dirname "$0")/common.sh"

field() { # NAME FILE: the column, of the first row
    awk -F, -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i } NR == 2 { print $c }' "$2"
}
without_times() { # speed and seconds
    awk -F, -v OFS=, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i ~ /tokens_per_s$/ || $i == "seconds") time[i] = 1 }
        { for (i in time) $i = ""; print }' "$1"
}

easy=(task.vocab_size=64 task.seq_len=32 training.examples=8000 training.test_examples=200 training.steps=400
    mixer.base_conv=false model.num_hidden_layers=2)
"$FLAME" suite mqar --quick --mixers delta_net --set "${easy[@]}" --out "$work/easy" >"$work/log" || fail "mqar"
"$FLAME" suite mqar --quick --mixers delta_net --set "${easy[@]}" model.use_short_conv=false --out "$work/control" \
    >"$work/log" || fail "mqar without convolutions"
learnt=$(field accuracy "$work/easy/results.csv") control=$(field accuracy "$work/control/results.csv")
awk "BEGIN { exit !($learnt > 0.95 && $control < 0.6) }" || fail "accuracy $learnt, and $control without convolutions"
[ "$(wc -l <"$work/easy/results.csv")" = 7 ] || fail "a row for the test and each of five splits"
# two layers with one head of 64 x 64, and three rows of q, k and v before their convolutions, in fp32
[ "$(field state_bytes "$work/easy/results.csv")" = $((2 * 4 * (64 * 64 + 3 * 3 * 64))) ] || fail "bytes of state"

# Decoding token by token exists only for tasks on sequences, not for sets or for compression.
awk -v rate="$(field decode_tokens_per_s "$work/easy/results.csv")" 'BEGIN { exit !(rate > 1) }' || fail "no speed of decoding"
"$FLAME" suite compression subset_sum --quick --mixers gla --set training.examples=20 training.test_examples=20 training.epochs=1 \
    --out "$work/whole" >"$work/log" || fail "compression and subset_sum: $(cat "$work/log")"
[ -z "$(field decode_tokens_per_s "$work/whole/results.csv")" ] || fail "decodes what is not answered token by token"

# A row leads by its last column to the answers of its training; the share of right ones is in the row.
awk -F, -v folder="$work/easy/runs" '
    NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
    { split_name = $column["split"]; exact = $column["exact"]; file = folder "/" $column["run"] ".right"; found = 0
      while ((getline line < file) > 0) {
          answers = substr(line, length(split_name) + 2)
          if (line == split_name " " answers && answers ~ /^[01]+$/) { found = length(answers); right = gsub(1, "", answers) }
      }
      close(file)
      if (found != 200 || right / found - exact > 1e-6 || exact - right / found > 1e-6) {
          print split_name ": " right " right answers of " found ", exact " exact; exit 1
      } }' "$work/easy/results.csv" || fail "answers that are not those of the row"

tiny=(task.vocab_size=32 task.seq_len=16 task.num_kv_pairs=2 training.examples=64 training.test_examples=40
    training.batch_size=16 training.steps=20 training.evaluate_every=10 training.lr=[1e-3,1e-2])
sweep=(suite mqar --quick --seeds 2 --mixers delta_net gla --set "${tiny[@]}")
"$FLAME" "${sweep[@]}" --out "$work/one" >"$work/log" || fail "a sweep"
for count in 2 4; do
    ranks $count "${sweep[@]}" --out "$work/$count" || { cat "$work/log"; fail "a sweep on $count ranks"; }
    diff <(without_times "$work/one/results.csv") <(without_times "$work/$count/results.csv") || fail "$count ranks: another CSV"
    diff <(cat "$work/one/runs/"*.right) <(cat "$work/$count/runs/"*.right) || fail "$count ranks: other answers"
done

"$FLAME" "${sweep[@]}" --out "$work/killed" >"$work/log" &
until [ "$(ls "$work/killed/runs" 2>/dev/null | grep -c 'csv$')" -ge 3 ]; do sleep 0.02; done
kill -9 $!
wait $! 2>/dev/null || true
rm -f "$work/killed/results.csv"
ranks 2 "${sweep[@]}" --out "$work/killed" || fail "a sweep that goes on"
grep -qE '([3-9]) of 8 trials are done already' "$work/log" || fail "the sweep began again: $(cat "$work/log")"
diff <(without_times "$work/one/results.csv") <(without_times "$work/killed/results.csv") || fail "after a kill: another CSV"

# A training of two lengths: 6 batches of 16 x 16 tokens and 3 of 16 x 32 in an epoch, four epochs. Every test has a row, and
# "test" is their mean.
lists=(task.vocab_size=32 task.segments=[16x2x96,32x3x40] task.tests=[16x2,32x4,64x4] training.test_examples=40
    training.batch_size=16 training.epochs=4 training.steps=0 training.evaluate_every=0)
"$FLAME" suite mqar --quick --mixers gla --set "${lists[@]}" --out "$work/lists" >"$work/log" || fail "segments: $(cat "$work/log")"
[ "$(cut -d, -f4 "$work/lists/results.csv" | tr '\n' ' ')" = "split test 16x2 32x4 64x4 " ] || fail "rows of segments"
[ "$(field train_tokens "$work/lists/results.csv")" = $((4 * 16 * (6 * 16 + 3 * 32))) ] || fail "tokens of segments"
awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next } { score[NR] = $column["accuracy"]; n[NR] = $column["scored"] }
    END { d = score[2] - (score[3] + score[4] + score[5]) / 3
          exit !(d < 1e-5 && d > -1e-5 && n[2] == n[3] + n[4] + n[5] && n[3] == 80 && n[4] == 160) }' "$work/lists/results.csv" ||
    fail "test is no mean: $(cat "$work/lists/results.csv")"
"$FLAME" suite mqar --quick --mixers gla --set "${lists[@]}" training.mixed=false --out "$work/listed" >"$work/log" || fail "listed"
[ "$(field perplexity "$work/lists/results.csv")" != "$(field perplexity "$work/listed/results.csv")" ] ||
    fail "segment after segment is mixed"
[ "$("$FLAME" suite mqar --dump 2 --split "train 32x3" --set "${lists[@]}" | grep -c '"seq_len":32,"num_kv_pairs":3,')" = 2 ] ||
    fail "--dump of a segment"
"$FLAME" suite all --preset forgetting --quick --plan --mixers gla >"$work/log" || fail "--preset"
[ "$(grep -c '^mqar ' "$work/log")" = 1 ] || fail "--preset: $(cat "$work/log")"
# A split that is impossible with the setting is left out: 40 pairs in 64 tokens.
"$FLAME" suite mqar --quick --mixers gla --set task.vocab_size=64 task.num_kv_pairs=10 training.steps=2 training.examples=20 \
    training.test_examples=20 --out "$work/left" >"$work/log" 2>&1 || fail "a split that cannot be: $(cat "$work/log")"
grep -q "the split pairs 4x is not possible" "$work/log" && [ "$(wc -l <"$work/left/results.csv")" = 6 ] || fail "a split that cannot be"

"$FLAME" suite all --plan >"$work/log" 2>&1 || fail "--plan"
grep -q "left out" "$work/log" && fail "a mixer has no model: $(grep "left out" "$work/log")"
# Tokens that training does not show are a test where embeddings stay random; a mixer with a head of its own has none.
"$FLAME" suite mqar --preset unseen_tokens --quick --mixers gla mamba2 --set task.vocab_size=128 training.steps=3 training.examples=100 \
    training.test_examples=20 --out "$work/unseen" >"$work/log" 2>&1 || fail "unseen tokens: $(cat "$work/log")"
grep -q "mamba2 has a head of its own" "$work/log" && [ "$(grep -c ',unseen tokens,gla,' "$work/unseen/results.csv")" = 1 ] ||
    fail "unseen tokens: $(cat "$work/log" "$work/unseen/results.csv")"
grep -q ',unseen tokens,' "$work/easy/results.csv" && fail "unseen tokens without any"
# The plan counts the tests: 1280 examples forward for 256 forward and backward, where loss and updates do not count.
cost() { "$FLAME" suite memorization --plan --mixers gla --set "$@" 2>/dev/null | awk '$1 == "memorization" { print $NF }'; }
awk -v few="$(cost training.test_examples=1)" -v all="$(cost training.test_examples=1280)" \
    'BEGIN { ratio = all / few; exit !(few > 0 && ratio > 2.5 && ratio < 2.8) }' || fail "--plan without tests"
# A model with buffers, which the update must not ruin.
"$FLAME" suite memorization --quick --mixers transformer_vq --set training.epochs=2 training.evaluate_every=4 --out "$work/codes" \
    >"$work/log" 2>&1 && [ -n "$(field accuracy "$work/codes/results.csv")" ] || fail "transformer_vq: $(cat "$work/log")"
"$FLAME" suite subset_sum convex_hull fractional_knapsack --quick --mixers gla transformer tropical_attention --out "$work/sets" --set \
    training.examples=1000 training.test_examples=100 training.epochs=2 mixer.bidirectional=true >"$work/log" 2>&1 || fail "sets"
[ "$(grep -c '^tropical,' "$work/sets/results.csv")" = 54 ] || fail "sets: $(cat "$work/sets/results.csv")"
"$FLAME" suite selective_copying --dump 2 --split test >"$work/dump" || fail "--dump"
[ "$(grep -c '"task":"selective_copying","inputs":\[.*"labels":\[.*"params":{.*"tokens_to_copy":16' "$work/dump")" = 2 ] ||
    fail "--dump: $(cat "$work/dump")"

# Published files: the generator's own examples, written as flip-flop's text is.
mkdir -p "$work/texts"
for split in train test; do
    "$FLAME" suite flip_flop --dump 40 --split $split --set task.seq_len=16 |
        sed 's/.*"inputs":\[\([^]]*\)\].*/\1/; s/,//g; y/01234/wri01/' >"$work/texts/$split.txt"
done
files=(task.seq_len=16 training.test_examples=40 training.batch_size=8 training.examples=40 training.steps=5
    training.evaluate_every=5)
from_files() { "$FLAME" suite flip_flop --mixers gla --set "${files[@]}" "$@" >"$work/log" 2>&1; }
from_files --out "$work/made" && from_files training.data="$work/texts" --out "$work/files" || fail "files: $(cat "$work/log")"
scores() { without_times "$1" | sed 's/,[^,]*$//' | cut -d, -f4,16-; } # without the names of runs
diff <(scores "$work/made/results.csv") <(scores "$work/files/results.csv") ||
    fail "published files give other results than the generator that made them"
sed -i 's/^w1/x1/' "$work/texts/train.txt"
from_files training.data="$work/texts" training.test_examples=39 --out "$work/files" && fail "accepted a damaged text"
grep -qF "is not w, r or i" "$work/log" || fail "a damaged text: $(cat "$work/log")"

for task in fractional_knapsack convex_hull; do
    "$FLAME" suite $task --dump 1 --split noise >"$work/dump" || fail "--dump of $task"
    grep -q '"inputs":\[[0-9.,-]*\],"labels"' "$work/dump" || fail "--dump of $task: $(cat "$work/dump")"
done
grep -q '"values"' "$work/dump" && fail "a classification with values"
# MAD's tests at other lengths are asked for.
"$FLAME" suite compression selective_copying --quick --mixers gla --set training.splits=true training.examples=64 training.epochs=1 \
    training.test_examples=20 --out "$work/longer" >"$work/log" 2>&1 || fail "longer tests: $(cat "$work/log")"
[ "$(cut -d, -f2,4 "$work/longer/results.csv" | tail -n +2 | sort | tr '\n' ' ')" = "$(for task in compression selective_copying; do
    printf '%s\n' $task,length\ {2,4,8}x $task,test; done | tr '\n' ' ')" ] || fail "longer tests: $(cat "$work/longer/results.csv")"
# A split with more answers than the model has is left out.
"$FLAME" suite floyd_warshall --quick --mixers gla --set task.predecessors=true training.examples=64 training.test_examples=20 \
    training.epochs=1 --out "$work/graphs" >"$work/log" 2>&1 || fail "floyd_warshall: $(cat "$work/log")"
grep -q "the split length 2x has more answers" "$work/log" || fail "a split that does not fit: $(cat "$work/log")"

# If a mixer cannot do a task, the reason is printed, and the table has n/a.
"$FLAME" suite subset_sum --quick --mixers gla,rwkv7 --set mixer.bidirectional=true training.examples=64 training.test_examples=20 \
    training.epochs=1 training.splits=false --out "$work/unable" >"$work/log" 2>&1 || fail "a mixer that cannot: $(cat "$work/log")"
grep -q "rwkv7, which hands a tensor of one direction on" "$work/log" && grep -q "rwkv7 cannot do it" "$work/log" &&
    grep -qxF "| rwkv7 | n/a |" "$work/unable/table.md" || fail "a mixer that cannot: $(cat "$work/log" "$work/unable/table.md")"

refused() { # MESSAGE ARGUMENTS...
    local message=$1
    shift
    "$FLAME" suite "$@" --out "$work/refused" >"$work/log" 2>&1 && fail "accepted: $*"
    grep -qF -- "$message" "$work/log" || fail "$*: $(cat "$work/log")"
}
refused "did you mean mqar?" mqra
refused "did you mean mad?" MAD
refused "did you mean delta_net?" mqar --mixers deltanet
refused "task.seq_len must be even" mqar --mixers gla --set task.seq_len=31
refused "did you mean task.seq_len?" mqar --mixers gla --set task.sec_len=32
refused "has no section" mqar --mixers gla --set seq_len=32
refused "unknown key training.lrr" mqar --mixers gla --set training.lrr=1
refused "task.num_kv_pairs must be at most 31" mqar --set task.vocab_size=64 task.num_kv_pairs=40 task.seq_len=512
[ "$(wc -l <"$work/log")" = 1 ] || fail "a setting that cannot be is told more than once: $(cat "$work/log")"
refused "did you mean based?" mqar --preset base
refused "no preset based of these tasks" mad --preset based
refused "leave --settings out and train each setting by itself" in_context_recall --settings --set training.data=files
refused "mqar has no published files" mqar --set training.data=files
refused "files/train.txt cannot be read" flip_flop --set training.data=files
refused "is a setting of its own" mqar --preset based --settings
refused "it has \"train 64x4\", ... and \"64x4\", ..." mqar --preset based --dump 1 --split test
refused "64x4 is not LENGTHxPAIRSxEXAMPLES" mqar --set task.segments=[64x4]
refused "task.seq_len must be at least 400 for 100 pairs" mqar --set task.num_kv_pairs=100
refused "task.vocab_size 5 has 2 tokens for keys" fuzzy_in_context_recall --set task.vocab_size=5
refused "must have at least one value each" mqar --set training.lr=[]
refused "--mixers names no mixer" mqar --mixers ,
refused "not a multiple of mixer.heads" mqar --mixers gla --set mixer.heads=3
refused "examples of one task" mad --dump 3
refused "has no split" mqar --dump 3 --split dense
[ ! -e "$work/refused/results.csv" ] || fail "a refused sweep wrote results"
echo "learns, resumes, takes ranks, refuses"
