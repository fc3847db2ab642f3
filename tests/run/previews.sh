#!/usr/bin/env bash
# metrics.sample_prompts: the texts are those of flame-c generate on the step's checkpoint, on any ranks; training does not change
# by a bit; a resumed run may have other prompts; errors are reported.
source "$(dirname "$0")/common.sh"
make_data
make_config
run=(--config "$work/config.yaml" --optimizer.lr=3e-4 --training.steps=12 --data.validation_interval=6 --checkpoint.enable_checkpoint=true
     --checkpoint.interval=6)
prompts=('--metrics.sample_prompts=["static int ", "", "naïve"]' --metrics.sample_tokens=24)
train() { # RANKS NAME ARGUMENTS...
    ranks "$1" "${run[@]}" --job.dump_folder="$work/$2" "${@:3}" || { cat "$work/log"; fail "$*"; }
}
# texts FOLDER: "step text" of its previews.
texts() { sed -n 's/^{"step": \([0-9]*\), .*"kind": "sample", .*"text": \(".*"\)}$/\1 \2/p' "$work/$1/metrics.jsonl"; }

# The same bits with and without, on one rank and on two, and of a run that resumes.
for np in 1 2; do
    train $np without$np
    train $np with$np "${prompts[@]}"
    cmp <(losses "$work/without$np") <(losses "$work/with$np") || fail "prompts change losses on $np ranks"
    for part in model optimizer; do
        cmp "$work/without$np/checkpoint/step-00000012/$part.safetensors" "$work/with$np/checkpoint/step-00000012/$part.safetensors" ||
            fail "prompts change $part.safetensors on $np ranks"
    done
    [ "$(texts with$np | cut -d' ' -f1 | tr '\n' ' ')" = "6 6 6 12 12 12 " ] || fail "texts: $(texts with$np)"
done

# The texts are those of generate.
printf '{"prompt": "static int "}\n{"prompt": ""}\n{"prompt": "na\\u00efve"}\n' >"$work/prompts.jsonl"
for step in 06 12; do
    "$FLAME" generate --checkpoint "$work/with1/checkpoint/step-000000$step" --prompt-file "$work/prompts.jsonl" --temperature 0 \
        --max-new-tokens 24 --out "$work/generated$step" 2>"$work/log" || { cat "$work/log"; fail "generate"; }
    sed 's/^{"text":\(".*"\),"ids".*/\1/' "$work/generated$step"
done >"$work/expected"
diff <(texts with1 | cut -d' ' -f2-) "$work/expected" || fail "texts are not those of generate"
[ "$(sort -u "$work/expected" | wc -l)" -gt 2 ] || fail "all texts are the same: $(cat "$work/expected")"
grep -qF 'step     12/12  "static int " goes on "' "$work/with1/train.log" || fail "train.log: $(cat "$work/with1/train.log")"

# They do not depend on the number of ranks, nor on what was generated before: without updates all are alike.
for np in 1 3; do
    train $np still$np "${prompts[@]}" --optimizer.lr=0 --training.steps=2 --data.validation_interval=1 --metrics.sample_temperature=0.8
    texts still$np | cut -d' ' -f2- >"$work/still$np.texts"
    cmp <(head -3 "$work/still$np.texts") <(tail -3 "$work/still$np.texts") || fail "the second texts differ: $(texts still$np)"
done
cmp "$work/still1.texts" "$work/still3.texts" || fail "on 3 ranks: $(diff "$work/still1.texts" "$work/still3.texts")"

# A resumed run may have other prompts, and none.
train 1 with1 --training.steps=14 --metrics.sample_prompts='[int]' --metrics.sample_tokens=5
grep -qE 'metrics.sample_prompts .*\| \[int\]|metrics.sample_prompts .*int' "$work/log" || { cat "$work/log"; fail "the change is not reported"; }
[ "$(texts with1 | tail -1 | cut -d' ' -f1)" = 14 ] || fail "the resumed run has no text"
train 1 without1 --training.steps=14
cmp <(losses "$work/without1") <(losses "$work/with1") || fail "other prompts change the losses of a resumed run"

# The plan counts them.
planned() { "$FLAME" plan --config "$work/config.yaml" "$@" 2>&1 | sed -n "s/^ *$row *\([0-9.]*\) MB/\1/p"; }
long=--metrics.sample_prompts="[$(printf '%01000d' 0)]"
row=total planned >"$work/a"
row=total planned "$long" >"$work/b"
row='going on with prompts' planned "$long" >"$work/c"
paste "$work/a" "$work/b" "$work/c" | awk '{ exit !(NF == 3 && $3 > 0.4 && $2 - $1 > $3 - 0.2 && $2 - $1 < $3 + 0.2) }' ||
    fail "the plan without and with prompts: $(cat "$work/a" "$work/b" "$work/c")"

refused() { # CODE PATTERN ARGUMENTS...
    local got=0
    ranks 1 "${run[@]}" --job.dump_folder="$work/refused" "${@:3}" || got=$?
    [ $got = "$1" ] && grep -q -- "$2" "$work/log" || { cat "$work/log"; fail "${*:3}: exit code $got"; }
}
refused 1 'is not UTF-8' --metrics.sample_prompts=$'a,\xff'
refused 2 'sample_tokens' --metrics.sample_tokens=0
echo "prompts: the texts of generate, and no bit of training changed"
