#!/usr/bin/env bash
# flame-c eval: a row for each domain and their total, parts that add up, the same figures on 1 to 3 ranks, and errors for invalid input.
source "$(dirname "$0")/common.sh"
make_data
make_config
"$FLAME" data build --text "$source_folder/src/config" --out "$work/config.h5" --document line >/dev/null 2>&1
"$FLAME" data build --text "$source_folder/src/data" --out "$work/data/config.h5" >/dev/null 2>&1
ranks 1 --config "$work/config.yaml" --checkpoint.enable_checkpoint=true || { cat "$work/log"; fail "training"; }
evaluate() { # RANKS NAME ARGUMENTS..., in pieces of $seq_len
    ranks "$1" eval --checkpoint "$work/run" --seq-len "${seq_len:-64}" --data "$work/config.h5" --data "code=$work/data/config.h5" \
        --json "$work/$2.json" "${@:3}" || { cat "$work/log"; fail "eval ${*:3} on $1 ranks"; }
    sed -n 's/^ *"\([a-z_]*\)": *\([-0-9.e]*\),*$/\1 \2/p' "$work/$2.json" >"$work/$2"
}
evaluate 1 one --batch 16
cp "$work/log" "$work/table"
evaluate 2 two --batch 3
evaluate 3 three
for name in two three; do same_within "$work/one" "$work/$name" 1e-6 || fail "$name ranks: $(diff "$work/one" "$work/$name")"; done

# The rows of the table are the figures of the file.
for row in config code total; do grep -qE "^$row +[0-9]+ +100\.0 " "$work/table" || { cat "$work/table"; fail "no row $row"; }; done
[ "$(grep -cE '^  (0|1|[0-9]+-[0-9]+) ' "$work/table")" = 7 ] || { cat "$work/table"; fail "7 ranges of 64 positions"; }
sed -n 's/^total  *\([0-9]*\)  *100.0  *\([0-9.]*\) .*/targets \1\nloss \2/p' "$work/table" >"$work/a"
sed -n 's/^  "\(targets\|loss\)": *\([0-9.]*\),/\1 \2/p' "$work/one.json" >"$work/b"
same_within "$work/a" "$work/b" 1e-6 || fail "table: $(cat "$work/a"), file: $(cat "$work/b")"

# Every token but the first of each file is either scored or left out, and the table shows how many.
left=$(sed -n '/"name": "total"/,$s/^ *"left_out": \([0-9]*\),/\1/p' "$work/one.json")
scored=$(sed -n '/"name": "total"/,$s/^ *"windows": \([0-9]*\),/\1/p' "$work/one.json")
all=$("$FLAME" data inspect "$work/config.h5" "$work/data/config.h5" | awk '$1 == "tokens" { all += $2 } END { print all }')
[ "$left" -gt 0 ] && [ $((scored * 64 + left + 2)) = "$all" ] && grep -q "^left out *$left of $all tokens" "$work/table" ||
    { cat "$work/table"; fail "$scored windows and $left tokens left out of $all"; }

# Sums over parts: [targets, loss sum, right, bytes] of what the pattern opens, for each domain and the total.
sums() {
    awk -v opens="$1" '
        /"(name|repeated_bigrams|other_tokens|first)":/ { part = $1 }
        /"name": "total"/ { exit }
        part ~ opens && /"targets":/ { targets = $2 + 0; all += targets }
        part ~ opens && /"loss":/ { loss += targets * $2 }
        part ~ opens && /"right":/ { right += targets * $2 }
        part ~ opens && /"bytes":/ { bytes += $2 }
        END { print "targets " all "\nloss " loss "\nright " right "\nbytes " bytes }' "$work/one.json"
}
sums '"name"' >"$work/all"
for parts in '"first"' 'repeated|other'; do
    sums "$parts" >"$work/parts"
    same_within "$work/all" "$work/parts" 1e-5 || fail "$parts: $(cat "$work/parts"), all: $(cat "$work/all")"
done

# Repeated bigrams, by how often the training data have them: both parts are all, the same on any number of ranks.
evaluate 1 shown1 --training-data "$work/data.h5" "$work/config.h5" --rare 100
evaluate 3 shown3 --training-data "$work/data.h5" "$work/config.h5" --rare 100
same_within "$work/shown1" "$work/shown3" 1e-6 || fail "3 ranks: $(diff "$work/shown1" "$work/shown3")"
part() { awk -v part="\"$1\":" '$1 == part { getline; print $2 + 0; exit }' "$work/$2.json"; } # its targets, in the first domain
repeated=$(part repeated_bigrams shown1) rare=$(part rare_repeated_bigrams shown1) frequent=$(part frequent_repeated_bigrams shown1)
[ "$rare" -gt 0 ] && [ "$frequent" -gt 0 ] && [ $((rare + frequent)) = "$repeated" ] || fail "$rare rare, $frequent frequent, $repeated repeated"
grep -q '^    rare in training  *[0-9]' "$work/log" && grep -q '^    frequent there  *[0-9]' "$work/log" || { cat "$work/log"; fail "no rows"; }
evaluate 1 never --training-data "$work/config.h5" "$work/data/config.h5" --rare 0
[ "$(part rare_repeated_bigrams never)" = 0 ] || fail "pairs of a file that do not occur in it"

# Lines of C are documents: with --varlen positions count within a line, and a line does not see another.
evaluate 1 lines --varlen --samples 50
cmp -s "$work/one" "$work/lines" && fail "--varlen changes nothing"
first=$(awk '/"first": 0,/ { getline; getline; print $2 + 0; exit }' "$work/lines.json")
[ "$first" -gt 60 ] || fail "50 windows of lines have $first beginnings"
grep -q '"windows": 50,' "$work/lines.json" || fail "--samples 50 is not 50 windows"

# A context of 64 tokens, read in pieces: the same figures; and lines that begin in one piece and end in another.
seq_len=16 evaluate 1 long --batch 5 --context 64
seq_len=27 evaluate 2 uneven --batch 2 --context 64
for name in long uneven; do
    sed '/^seq_len/d' "$work/one" >"$work/a"
    sed '/^seq_len/d' "$work/$name" >"$work/b"
    same_within "$work/a" "$work/b" 1e-5 || fail "$name: $(diff "$work/a" "$work/b")"
done
evaluate 1 lines64 --varlen --samples 300
seq_len=16 evaluate 1 lines16 --varlen --context 64 --samples 300
same_within <(sed '/^seq_len/d' "$work/lines64") <(sed '/^seq_len/d' "$work/lines16") 1e-5 || fail "lines in pieces"

# Bytes of text with another tokenizer: all of the file but a document's first token and what is behind the last window.
"$FLAME" data build --text "$source_folder/src/data" --out "$work/words.h5" --tokenizer "$source_folder/tests/golden/tokenizers/gpt2.json" >"$work/log" 2>&1
ranks 1 --config "$work/config.yaml" --model.vocab_size=448 --data.files="$work/words.h5" --training.steps=2 \
    --checkpoint.enable_checkpoint=true --job.dump_folder="$work/words" || { cat "$work/log"; fail "training on words"; }
for np in 1 2; do
    ranks $np eval --checkpoint "$work/words" --data "$work/words.h5" --seq-len 64 --batch 8 --json "$work/words$np.json" ||
        { cat "$work/log"; fail "eval of words"; }
    grep -q 'bits per byte' "$work/log" || { cat "$work/log"; fail "no bits per byte"; }
    counted=$(sed -n 's/^ *"bytes": *\([0-9]*\).*/\1/p' "$work/words$np.json" | head -1)
    all=$(cat "$source_folder"/src/data/* | wc -c)
    [ $((all - counted)) -ge 0 ] && [ $((100 * counted / all)) = 99 ] || fail "$counted of $all bytes on $np ranks"
done

refuses() { # CODE PATTERN ARGUMENTS...
    local got=0
    ranks 1 eval --checkpoint "${checkpoint:-$work/run}" --seq-len "${seq_len:-64}" "${@:3}" || got=$?
    [ $got = "$1" ] && grep -q -- "$2" "$work/log" || { cat "$work/log"; fail "eval ${*:3}: exit code $got"; }
}
refuses 1 'config.h5 are both called config; give names' --data "$work/config.h5" "$work/data/config.h5"
refuses 1 'one.json: exists already' --data "$work/config.h5" --json "$work/one.json"
refuses 1 'config.h5: is listed twice' --data a="$work/config.h5" b="$work/config.h5"
refuses 1 'nowhere.h5: there is no such file' --data "$work/config.h5" "$work/nowhere.h5" --json "$work/new.json"
refuses 2 '--context 63 is less than --seq-len 64' --data "$work/config.h5" --context 63
seq_len=4096 refuses 1 '1000000 sequences of 4096 tokens at a time need .* free: lower --batch or --seq-len' --data "$work/config.h5" --batch 1000000
checkpoint=$work/words refuses 1 'config.h5: made with tokenizer bytes, but .*words.h5 with another' --data "$work/words.h5" --training-data "$work/config.h5"
refuses 1 'nowhere.h5: there is no such file' --data "$work/config.h5" --training-data "$work/nowhere.h5"
seq_len=10000000 refuses 1 '1000000 sequences of 10000000 tokens at a time need 160000.00 GB' --data "$work/config.h5" --batch 1000000
refuses 3 'full/new.json' --data "$work/config.h5" --samples 1 --json /dev/full/new.json
grep -q '^total' "$work/log" && fail "the loss was computed although it cannot be written"
[ -z "$(find "$work" -name 'new.json*')" ] || fail "something was left behind"
echo "domains, positions and bigrams add up on 1 to 3 ranks"
