#!/usr/bin/env bash
# flame-c checkpoint: the steps that it lists, the damage and the differences that it finds, and the steps that it removes or keeps.
source "$(dirname "$0")/common.sh"
make_data
make_config
cd "$work"
for run in run twin; do
    ranks 2 --config config.yaml --training.steps=10 --checkpoint.enable_checkpoint=true --checkpoint.interval=2 --checkpoint.keep_latest_k=0 \
        --job.dump_folder=$run || { cat log; fail "training"; }
done
steps=run/checkpoint

# runs EXIT_CODE ARGUMENTS...: flame-c checkpoint, output in $work/out.
runs() {
    local wanted=$1 code=0
    shift
    "$FLAME" checkpoint "$@" >"$work/out" 2>&1 || code=$?
    [ "$code" = "$wanted" ] || fail "checkpoint $*: exit code $code, not $wanted: $(cat "$work/out")"
}
says() { grep -q -- "$1" "$work/out" || fail "expected \"$1\": $(cat "$work/out")"; }
number() { [ "$(grep -c -- "$2" "$work/out")" = "$1" ] || fail "expected $1 lines with \"$2\": $(cat "$work/out")"; }

# Lists each step, also renamed ones and those that no run would use.
runs 0 verify run
number 5 'good$'
cp -r $steps/step-00000004 $steps/step-00000004.rewound
mkdir $steps/step-00000099.tmp-host-1-2 $steps/step-00000012
runs 0 list run
says '^step-00000010 .*MB .*5120 tokens   moments saved$'
says '^step-00000004.rewound .*went back'
says '^step-00000099.tmp-host-1-2 .*killed'
says '^step-00000012 .*not used'
rm -r $steps/step-00000004.rewound $steps/step-00000099.tmp-host-1-2 $steps/step-00000012

# A step does not differ from itself, nor from the same step of an equal run. An export differs by the rounding of bf16. Another step
# differs in all tensors and in state.json.
runs 0 diff run $steps/step-00000010
runs 0 diff run twin
says '^optimizer: [1-9][0-9]* tensors equal, 0 with other values'
"$FLAME" export --checkpoint run --out exported >log 2>&1 || fail "$(cat log)"
runs 1 diff run exported
awk '/^model\./ { tensors++; if ($6 > 2^-8) bad = 1 } END { exit bad || !tensors }' out || fail "more than the rounding of bf16: $(cat "$work/out")"
says '^config.json: torch_dtype "float32" | "bfloat16"$'
runs 1 diff $steps/step-00000002 $steps/step-00000004
says '^state.json: step 2 | 4$'
says '^exp_avg_sq.model.norm.weight  *32 of  *32 '
runs 1 diff "$source_folder/tests/golden/gla" "$source_folder/tests/golden/retnet"
says 'only in the second$'

# Every damaged tensor is named, and the folder is as before.
cp -r run damaged
for at in 9000 60000; do printf '\377\377\377\377' | dd of=damaged/checkpoint/step-00000006/model.safetensors bs=1 seek=$at conv=notrunc status=none; done
runs 1 verify damaged
number 2 'step-00000006: tensor .* is damaged'
number 4 'good$'
[ "$(ls damaged/checkpoint)" = "$(ls $steps)" ] || fail "verify has renamed something"

# Every damaged or missing file is named, also files that loading does not need, and tensors that are damaged as well.
cp -r $steps/step-00000006 files
sed -i 's/<eos>/<EOS>/' files/tokenizer.json
rm files/config.yaml files/generation_config.json
runs 1 verify files
says '^files: damaged$'
printf '\377\377\377\377' | dd of=files/model.safetensors bs=1 seek=9000 conv=notrunc status=none
runs 1 verify files
says 'files/tokenizer.json: changed after it was saved'
says 'files/config.yaml: No such file'
says 'files/generation_config.json: No such file'
number 1 'tensor .* is damaged'

# No command uses its weights, on one rank or two, nor weights beside a changed config.json.
refused_by() { # PATTERN RANKS ARGUMENTS...
    local code=0
    ranks "${@:2}" || code=$?
    [ $code = 1 ] && grep -q "$1" log || { cat log; fail "exit code $code: ${*:3}"; }
}
bad=damaged/checkpoint/step-00000006
refused_by 'tensor .* is damaged' 1 eval --checkpoint $bad --data data.h5 --seq-len 64
refused_by 'tensor .* is damaged' 2 eval --checkpoint $bad --data data.h5 --seq-len 64
refused_by 'tensor .* is damaged' 1 generate --checkpoint $bad --ids --prompt 1
refused_by 'tensor .* is damaged' 1 logits --checkpoint $bad --tokens "$source_folder/tests/golden/gla/io.safetensors" --out logits
refused_by 'tensor .* is damaged' 2 --config config.yaml --training.teacher=$bad --job.dump_folder=taught
refused_by 'tensor .* is damaged' 2 --config config.yaml --checkpoint.initial_load_path=$bad --job.dump_folder=begun
refused_by 'tensor .* is damaged' 1 import --from $bad --out imported
[ ! -e imported ] || fail "a damaged checkpoint was imported"
cp -r $steps/step-00000006 changed
sed -i 's/10000.0/10001.0/' changed/config.json
refused_by 'config.json: changed after it was saved' 1 import --from changed --out imported
rm changed/state.json
"$FLAME" import --from changed --out imported >log 2>&1 || { cat log; fail "a folder without state.json"; }

# What is removed, and what is not.
runs 0 prune run --keep-latest-k 2 --keep-every 6 --dry-run
number 2 'would remove .*step-0000000[24]$'
[ "$(ls $steps | wc -l)" = 5 ] || fail "--dry-run removed something"
exec 9>>$steps/.lock
flock -s 9
mkdir -p nested/a disk
cp -r $steps nested/a/b
cp -r $steps disk/steps
mkdir linked
ln -s ../disk/steps linked/checkpoint
exec 8>>nested/a/b/.lock 7>>disk/steps/.lock
flock -s 8
flock -s 7
# refused NAME FOLDER [FROM]: prune of this folder, in the folder FROM, while a job has it.
refused() {
    cd "${3:-.}"
    runs 1 prune "$2" --keep-latest-k 1
    cd "$work"
    says "another job is running in .*$1 "
}
refused run/checkpoint run
refused . . $steps
refused .. .. $steps/step-00000010
refused nested/a/b nested/a/b
refused linked/checkpoint linked
refused linked/checkpoint linked/checkpoint
refused disk/steps disk/steps
exec 7>&- 8>&- 9>&-
runs 0 prune run --keep-latest-k 2 --keep-every 6
[ "$(ls $steps | tr '\n' ' ')" = "step-00000006 step-00000008 step-00000010 " ] || fail "kept: $(ls $steps)"
runs 0 verify run
printf '\377\377\377\377' | dd of=$steps/step-00000010/optimizer.safetensors bs=1 seek=60000 conv=notrunc status=none
runs 1 prune run --keep-latest-k 1
says 'does not read back as it was written: no step is removed'
[ "$(ls $steps | wc -l)" = 3 ] || fail "removed steps although the newest is damaged: $(ls $steps)"

runs 1 list nowhere
says 'nowhere is not a folder'
runs 1 list "$source_folder/docs"
says 'no step-... folder'
mkdir -p bare/inner
runs 1 prune bare/inner --keep-latest-k 1
says 'no step-... folder in bare/inner'
[ -z "$(find bare -type f)" ] || fail "prune of no step has made $(find bare -type f)"
runs 2 diff run
says 'two folders, not 1'
runs 2 prune run --keep-latest-k 0
echo "steps listed, verified, compared and pruned"
