#!/usr/bin/env bash
# flame-c generate gives the same text alone, in a batch, on several ranks and from a file. Texts end where they should, and invalid
# input is refused with a reason.
source "$(dirname "$0")/common.sh"
golden=$source_folder/tests/golden

# generate ARGUMENTS...: standard output to $work/text, messages to $work/log.
generate() {
    "$FLAME" generate "$@" >"$work/text" 2>"$work/log"
}

# refused CODE WORDS ARGUMENTS...: the command ends with this code and a message that has these words.
refused() {
    local code=$1 words=$2 got=0
    shift 2
    generate "$@" || got=$?
    { [ $got = "$code" ] && grep -qF -- "$words" "$work/log"; } || { cat "$work/log"; fail "$*: exit code $got, want $code: $words"; }
}

# A trained model of bytes.
make_data
make_config
ranks 1 --config "$work/config.yaml" --training.steps=20 --checkpoint.enable_checkpoint=true --checkpoint.interval=20 ||
    { cat "$work/log"; fail "training"; }
run=$work/run

# Greedy tokens are those of the whole text, read at once.
generate --checkpoint "$golden/gla-swa" --ids --prompt "3 1 4 1 5" --max-new-tokens 40 --temperature 0 --ignore-eos || fail "$(cat "$work/log")"
greedy=$(cat "$work/text")
[ "$(wc -w <<<"$greedy")" = 40 ] || fail "greedy tokens: $greedy"
for read in 1 7 20 39; do
    generate --checkpoint "$golden/gla-swa" --ids --prompt "3 1 4 1 5 $(cut -d' ' -f1-$read <<<"$greedy")" --max-new-tokens 1 --temperature 0 --ignore-eos ||
        fail "$(cat "$work/log")"
    [ "$(cat "$work/text")" = "$(cut -d' ' -f$((read + 1)) <<<"$greedy")" ] || fail "after $read tokens: $(cat "$work/text"), not of $greedy"
done

# Texts do not depend on the others of the batch or on the number of ranks; they depend on the seed.
prompts=("3 1 4 1 5" "9 2" "6 5 3 5 8 9 7 9 3 2 3 8 4 6 2 6 4 3 3 8")
generate --checkpoint "$golden/gla-swa" --ids --prompt "${prompts[@]}" --max-new-tokens 30 --seed 5 --batch 1 --ignore-eos || fail "$(cat "$work/log")"
alone=$(cat "$work/text")
generate --checkpoint "$golden/gla-swa" --ids --prompt "${prompts[@]}" --max-new-tokens 30 --seed 5 --batch 3 --ignore-eos || fail "$(cat "$work/log")"
[ "$alone" = "$(cat "$work/text")" ] || fail "side by side: $(diff <(echo "$alone") "$work/text")"
for np in 2 3; do
    mpirun --allow-run-as-root --oversubscribe --bind-to none -np $np "$FLAME" generate --checkpoint "$golden/gla-swa" --ids \
        --prompt "${prompts[@]}" --max-new-tokens 30 --seed 5 --batch 3 --ignore-eos >"$work/text" 2>"$work/log" || fail "$(cat "$work/log")"
    [ "$alone" = "$(cat "$work/text")" ] || fail "on $np ranks: $(cat "$work/text")"
done
generate --checkpoint "$golden/gla-swa" --ids --prompt "${prompts[@]}" --max-new-tokens 30 --seed 6 --ignore-eos || fail "$(cat "$work/log")"
[ "$alone" != "$(cat "$work/text")" ] || fail "another seed gives the same text"

# From a file, to a file, with a stop text and a length of its own.
cat >"$work/prompts.jsonl" <<END
{"prompt": [3, 1, 4, 1, 5]}

{"prompt": "3 1 4 1 5", "max_new_tokens": 7}
{"prompt": [3, 1, 4, 1, 5], "stop": [" $(cut -d' ' -f10 <<<"$greedy")"]}
END
generate --checkpoint "$golden/gla-swa" --ids --prompt-file "$work/prompts.jsonl" --max-new-tokens 40 --temperature 0 --ignore-eos --out "$work/out.jsonl" ||
    fail "$(cat "$work/log")"
[ "$(wc -l <"$work/out.jsonl")" = 3 ] || fail "$(cat "$work/out.jsonl")"
grep -qF "\"text\":\"$greedy\"" <(sed -n 1p "$work/out.jsonl") || fail "$(cat "$work/out.jsonl")"
grep -qF "\"text\":\"$(cut -d' ' -f1-7 <<<"$greedy")\"" <(sed -n 2p "$work/out.jsonl") || fail "$(cat "$work/out.jsonl")"
grep -qE '"ended":"stop"' <(sed -n 3p "$work/out.jsonl") || fail "$(cat "$work/out.jsonl")"
# A line's length counts instead of the option's, also where it is larger.
printf '{"prompt": [3, 1, 4, 1, 5], "max_new_tokens": 150}\n{"prompt": [9, 2]}\n' >"$work/longer.jsonl"
generate --checkpoint "$golden/gla-swa" --ids --prompt-file "$work/longer.jsonl" --temperature 0 --ignore-eos --out "$work/longer.out" ||
    fail "$(cat "$work/log")"
lengths=$(sed 's/.*"ids":\[\([^]]*\)].*/\1/' "$work/longer.out" | tr -cd ',\n' | awk '{printf "%d ", length($0) + 1}')
[ "$lengths" = "150 128 " ] || fail "a line that wants 150 tokens and one that wants nothing have $lengths"
refused 1 "exists already" --checkpoint "$golden/gla-swa" --ids --prompt 1 --out "$work/out.jsonl"

# Text of bytes, with the prompt in front; an empty prompt begins a text.
generate --checkpoint "$run" --prompt 'static int ' --echo --max-new-tokens 50 || fail "$(cat "$work/log")"
[ "$(head -c 11 "$work/text")" = 'static int ' ] || fail "$(cat "$work/text")"
printf 'na\303\257ve \377' >"$work/prompt.txt"
generate --checkpoint "$run" --prompt-file "$work/prompt.txt" --max-new-tokens 5 || fail "$(cat "$work/log")"
generate --checkpoint "$run" --prompt '' --max-new-tokens 5 || fail "$(cat "$work/log")"
printf 'a\0b' >"$work/prompt.txt"
generate --checkpoint "$run" --prompt-file "$work/prompt.txt" --echo --max-new-tokens 5 || fail "$(cat "$work/log")"
head -c 3 "$work/text" | cmp - "$work/prompt.txt" || fail "a prompt with a zero byte is cut"
generate --checkpoint "$run" --prompt x --temperature 100 --max-new-tokens 2000 --ignore-eos --out "$work/zeros.jsonl" || fail "$(cat "$work/log")"
grep -qF '\u0000' "$work/zeros.jsonl" || fail "the text of 2000 bytes at random ends before the first zero byte"
echo 'int' | generate --checkpoint "$run" --prompt-file - --max-new-tokens 5 || fail "$(cat "$work/log")"
generate --checkpoint "$run" --prompt x --max-new-tokens 60 --dtype bfloat16 --top-k 5 --top-p 0.9 --repetition-penalty 1.2 ||
    fail "$(cat "$work/log")"

# Ctrl-C keeps the text so far.
rm "$work/text"
"$FLAME" generate --checkpoint "$run" --prompt x --max-new-tokens 100000 --ignore-eos >"$work/text" 2>"$work/log" &
job=$!
for ((tenth = 0; tenth < 300; tenth++)); do [ -s "$work/text" ] || sleep 0.1; done
kill -INT $job
got=0
wait $job || got=$?
{ [ $got = 130 ] && [ -s "$work/text" ]; } || { cat "$work/log"; fail "Ctrl-C: exit code $got"; }

refused 2 "--prompt TEXT or --prompt-file" --checkpoint "$run"
refused 2 "--prompt TEXT or --prompt-file FILE, not both" --checkpoint "$run" --prompt x --prompt-file "$work/prompt.txt"
refused 2 "--temperature" --checkpoint "$run" --prompt x --temperature -1
refused 2 "--temperature" --checkpoint "$run" --prompt x --temperature nan
refused 2 "--top-p" --checkpoint "$run" --prompt x --top-p 1.5
refused 2 "--top-p 0" --checkpoint "$run" --prompt x --top-p 0
refused 2 "--stop" --checkpoint "$run" --prompt x --stop ''
refused 1 "no-such-file" --checkpoint "$run" --prompt-file "$work/no-such-file"
refused 1 "--ids" --checkpoint "$golden/gla" --prompt x
cp -r "$golden/gla" "$work/known"
echo '{"model": {"type": "WordLevel", "vocab": {"yes": 0}, "unk_token": "none"}}' >"$work/known/tokenizer.json"
refused 1 '--prompt: the tokenizer has no token for "no", and none for' --checkpoint "$work/known" --prompt no
refused 1 "0 to 71" --checkpoint "$golden/gla" --ids --prompt "5 72"
refused 1 "17 4 3" --checkpoint "$golden/gla" --ids --prompt "5 x"
printf '{"prompt": "a"}\n{"prompt"\n' >"$work/bad.jsonl"
refused 1 "bad.jsonl, line 2: is not a JSON object" --checkpoint "$run" --prompt-file "$work/bad.jsonl"
printf '{"prompt": "a", "max_tokens": 3}\n' >"$work/bad.jsonl"
refused 1 'line 1: unknown key "max_tokens"; known: prompt, stop, max_new_tokens' --checkpoint "$run" --prompt-file "$work/bad.jsonl"
printf '{"stop": ["a"]}\n' >"$work/bad.jsonl"
refused 1 'line 1: there is no "prompt"' --checkpoint "$run" --prompt-file "$work/bad.jsonl"
printf '{"prompt": "a", "stop": "b"}\n' >"$work/bad.jsonl"
refused 1 'line 1: "stop" is not a list' --checkpoint "$run" --prompt-file "$work/bad.jsonl"
printf '{"prompt": "a", "max_new_tokens": 2000000000}\n' >"$work/bad.jsonl"
refused 1 'from 1 to 1000000000' --checkpoint "$run" --prompt-file "$work/bad.jsonl"
printf '{"prompt": "a"}\n{"prompt": "b"}\0\n{"prompt": "c"}\n' >"$work/bad.jsonl"
refused 1 "line 2: is not a JSON object" --checkpoint "$run" --prompt-file "$work/bad.jsonl"
printf '3 1\0 4' >"$work/bad.txt"
refused 1 "17 4 3" --checkpoint "$golden/gla" --ids --prompt-file "$work/bad.txt"
refused 1 "--prompt-file -: Is a directory" --checkpoint "$run" --prompt-file - <"$work"
refused 1 "is not a regular file" --checkpoint "$run" --prompt-file <(echo a)
: >"$work/empty.jsonl"
refused 1 "has no prompt" --checkpoint "$run" --prompt-file "$work/empty.jsonl"
refused 1 "enough for prompts of" --checkpoint "$golden/transformer" --ids --prompt 1 --max-new-tokens 1000000000
make_bells 2 # weights to which that byte is NaN
rm -r "$work/text"
refused 1 "logits are not finite" --checkpoint "$work/bell" --prompt $'\a'
refused 1 "logits are not finite" --checkpoint "$work/bell" --prompt $'\a' --out "$work/none.jsonl"
[ ! -e "$work/none.jsonl" ] || fail "texts of a model without logits"
echo "generate goes on, ends and refuses"
