#!/usr/bin/env bash
# flame-c score: a text's log-likelihood is what eval finds; strings are their bytes; the order of the lines stays, on 1 to 3 ranks and
# in batches of any size; a bad line is named and nothing is left behind.
source "$(dirname "$0")/common.sh"
make_data
make_config
ranks 1 --config "$work/config.yaml" --checkpoint.enable_checkpoint=true || { cat "$work/log"; fail "training"; }
score() { # RANKS NAME ARGUMENTS...
    ranks "$1" score --checkpoint "$work/run" --input "$work/$2.jsonl" --out "$work/$2-$1.jsonl" "${@:3}" ||
        { cat "$work/log"; fail "score of $2 on $1 ranks"; }
}
numbers() { sed -n 's/^{"logprob": \([-0-9.e]*\), "tokens": \([0-9]*\), "greedy": \(true\|false\).*/\2\3 \1/p' "$1"; }
token_list() { od -An -v -tu1 "$1" | tr -s ' \n' ',,' | sed 's/^,//; s/,$//'; }

# One document: all of its tokens but the first, which is the mark of its beginning.
mkdir "$work/text" && head -c 700 "$source_folder/src/main.c" >"$work/text/main.c"
"$FLAME" data build --text "$work/text" --out "$work/text.h5" >/dev/null 2>&1
ranks 1 eval --checkpoint "$work/run" --data "$work/text.h5" --seq-len 701 --json "$work/eval.json" || { cat "$work/log"; fail "eval"; }
awk '/^  "targets"/ { n = $2 } /^  "loss"/ { printf "%dfalse %.6f\n", n, -n * $2 }' "$work/eval.json" >"$work/a"
echo "{\"text\": [$(token_list "$work/text/main.c"), 257]}" >"$work/whole.jsonl"
score 1 whole
numbers "$work/whole-1.jsonl" >"$work/b"
same_within "$work/a" "$work/b" 1e-6 || fail "eval: $(cat "$work/a"), score: $(cat "$work/b")"

# Windows of 100: the first alone, the others with as many tokens before them as they have left.
score 2 whole --seq-len 100
numbers "$work/whole-2.jsonl" >"$work/b"
same_within "$work/a" "$work/b" 0.2 || fail "eval: $(cat "$work/a"), in windows: $(cat "$work/b")"
same_within "$work/a" "$work/b" 1e-6 >/dev/null && fail "--seq-len has no effect"

# Strings and lists, contexts that are there and not.
for ((i = 0; i < 40; i++)); do
    printf '{"context": "%s", "continuation": "%s"}\n' "$(printf '%*s' $((i * 7 % 40)) ')(*&^%$#@!static int' | tr -d '\n' | head -c $((i * 7 % 40)))" "const $i"
done >"$work/many.jsonl"
printf '{"context": "Gr\\u00f6\\u00dfe", "continuation": "\\u0000\\u20ac"}\n{"context": [71, 114, 195, 182, 195, 159, 101], "continuation": [0, 226, 130, 172]}\n' >>"$work/many.jsonl"
printf '{"context": "", "continuation": "int", "id": 7}\n{"context": [256], "continuation": [105, 110, 116]}\n{"text": "int"}' >>"$work/many.jsonl"
score 1 many --token-logprobs
score 2 many --batch-tokens 1
score 3 many --batch-tokens 300 --dtype float32
for n in 1 2 3; do numbers "$work/many-$n.jsonl" >"$work/$n"; done
[ "$(wc -l <"$work/1")" = 45 ] || fail "$(wc -l <"$work/1") lines for 45"
for n in 2 3; do same_within "$work/1" "$work/$n" 1e-5 || fail "$n ranks: $(diff "$work/1" "$work/$n")"; done
same_lines() { # LINE LINE REASON
    same_within <(sed -n "$1p" "$work/1") <(sed -n "$2p" "$work/1") 1e-6 || fail "$3: $(sed -n "$1p; $2p" "$work/1")"
}
same_lines 41 42 "a string is not its bytes"
same_lines 43 44 "an empty context is not the token bos"
same_lines 43 45 "before a text is not the token bos"
tr -d '[,]{}:"' <"$work/many-1.jsonl" |
    awk '{ sum = 0; for (i = 8; i <= NF; i++) sum += $i; d = sum - $2; if (NF - 7 != $4 || d * d > 1e-10) exit 1 }' ||
    fail "token_logprobs are not those of the tokens: $(head -2 "$work/many-1.jsonl")"

# Another tokenizer: words, and a token before every text. transformers writes 10^30 where there is no limit.
cp -r "$work/run/checkpoint/step-00000050" "$work/words" && rm "$work/words/state.json"
cat >"$work/words/tokenizer.json" <<END
{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
 "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                    "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [3], "tokens": ["<s>"]}}},
 "decoder": null, "model": {"type": "WordLevel", "vocab": {"no": 0, "yes": 1, "yesno": 2, "<s>": 3, "?": 4}, "unk_token": "?"}}
END
echo '{"model_max_length": 1000000000000000019884624838656, "bos_token": "<s>"}' >"$work/words/tokenizer_config.json"
cat >"$work/words.jsonl" <<END
{"context": "yes no", "continuation": " yes"}
{"context": "", "continuation": "no yes"}
{"text": "no yes"}
{"context": [1, 0], "continuation": "yes no"}
END
cat >"$work/ids.jsonl" <<END
{"context": [3, 1, 0], "continuation": [1]}
{"context": [3], "continuation": [0, 1]}
{"context": [256], "continuation": [0, 1]}
{"context": [1, 0], "continuation": [1, 0]}
END
for name in words ids; do
    ranks 1 score --checkpoint "$work/words" --input "$work/$name.jsonl" --out "$work/$name-1.jsonl" || { cat "$work/log"; fail "$name"; }
    numbers "$work/$name-1.jsonl" >"$work/$name.numbers"
done
same_within "$work/words.numbers" "$work/ids.numbers" 1e-6 || fail "words: $(cat "$work"/*.numbers)"

refuses() { # CODE PATTERN LINE: the second line of a file
    local got=0
    printf '{"text": "good"}\n%b' "$3" >"$work/bad.jsonl"
    ranks 1 score --checkpoint "${4:-$work/run}" --input "$work/bad.jsonl" --out "$work/bad/out.jsonl" || got=$?
    [ $got = "$1" ] && grep -q -- "$2" "$work/log" && [ "$(grep -c 'error:' "$work/log")" = 1 ] || { cat "$work/log"; fail "line '$3': exit code $got"; }
    [ ! -e "$work/bad" ] || fail "line '$3' left $(find "$work/bad")"
}
refuses 1 'bad.jsonl:2: not JSON' 'text\n'
refuses 1 'bad.jsonl:2: not JSON' '\n{"text": "good"}\n'
refuses 1 'bad.jsonl:2: not JSON' '{"text": "\xff"}\n'
refuses 1 'bad.jsonl:2: not JSON' '{"text": "a", "text": "b"}\n'
refuses 1 'bad.jsonl:2: not a JSON object' '[1]\n'
refuses 1 'bad.jsonl:2: there is no "context"' '{"continuation": "a"}\n'
refuses 1 'bad.jsonl:2: there is no "continuation"' '{"context": "a"}\n'
refuses 1 'bad.jsonl:2: there are both "text" and' '{"context": "a", "text": "a"}\n'
refuses 1 'bad.jsonl:2: "continuation" has no tokens' '{"context": "a", "continuation": []}\n'
refuses 1 'bad.jsonl:2: "text" has no tokens' '{"text": ""}\n'
refuses 1 'bad.jsonl:2: "text" is neither' '{"text": 7}\n'
refuses 1 'bad.jsonl:2: "text"\[1\] is not a token' '{"text": [7, 1.5]}\n'
refuses 1 'bad.jsonl:2: "text"\[0\] is 320, but the vocabulary has 320' '{"text": [320]}\n'
refuses 1 'bad.jsonl:2: "text"\[0\] is -1' '{"text": [-1]}\n'
refuses 1 'gla: has no tokenizer.json; .* --ids' '' "$source_folder/tests/golden/gla"
cp -r "$work/words" "$work/known" && sed -i 's/"unk_token": "?"/"unk_token": "none"/' "$work/known/tokenizer.json"
refuses 1 'bad.jsonl:1: the tokenizer has no token for "good", and none for' '' "$work/known"
refuses_file() { # CODE PATTERN ARGUMENTS...
    local got=0
    ranks 1 score --checkpoint "$work/run" "${@:3}" || got=$?
    [ $got = "$1" ] && grep -q -- "$2" "$work/log" || { cat "$work/log"; fail "score ${*:3}: exit code $got"; }
}
: >"$work/empty.jsonl"
refuses_file 1 'empty.jsonl: is empty' --input "$work/empty.jsonl" --out "$work/bad/out.jsonl"
refuses_file 1 'nowhere.jsonl: No such file' --input "$work/nowhere.jsonl" --out "$work/bad/out.jsonl"
refuses_file 1 '/dev/fd/[0-9]*: is not a regular file' --input <(echo a) --out "$work/bad/out.jsonl"
refuses_file 1 'many-1.jsonl: exists already' --input "$work/many.jsonl" --out "$work/many-1.jsonl"
refuses_file 3 'full/out.jsonl' --input "$work/many.jsonl" --out /dev/full/out.jsonl
refuses_file 1 'many.jsonl:1: there is a string; give lists' --ids --input "$work/many.jsonl" --out "$work/bad/out.jsonl"
[ -z "$(find "$work" -name '*.tmp')" ] && [ ! -e "$work/bad" ] || fail "something was left behind"
# A weight that is not finite.
cp -r "$work/run/checkpoint/step-00000050" "$work/nan"
rm "$work/nan/state.json"
printf '\0\0\300\177' | dd of="$work/nan/model.safetensors" bs=1 seek=$(($(stat -c %s "$work/nan/model.safetensors") - 4)) conv=notrunc status=none
code=0
ranks 2 score --checkpoint "$work/nan" --input "$work/many.jsonl" --out "$work/bad/out.jsonl" || code=$?
[ $code = 4 ] && grep -q "nan: tensor .* has values that are not finite" "$work/log" && [ ! -e "$work/bad" ] || { cat "$work/log"; fail "NaN: exit code $code"; }
echo "scores are those of the tokens, on 1 to 3 ranks; bad lines are named"
