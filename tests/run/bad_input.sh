#!/usr/bin/env bash
# Invalid input of every kind causes one message that names the problem and its place, the right exit code, and no files.
source "$(dirname "$0")/common.sh"
make_data
make_config
bad=0

# refuses CODE WORDS ARGUMENTS...: flame-c exits with CODE, says WORDS (a pattern) in at most two messages, and makes no run folder.
refuses() {
    local code=$1 words=$2 got=0
    shift 2
    "$FLAME" "$@" >"$work/out" 2>"$work/err" </dev/null || got=$?
    if [ "$got" != "$code" ] || ! grep -qE -- "$words" "$work/err"; then
        echo "flame-c $*: exit code $got (expected $code), said: $(head -c 400 "$work/err")"
        bad=$((bad + 1))
    elif [ "$(grep -c 'error:' "$work/err")" -gt 2 ]; then
        echo "flame-c $*: $(grep -c 'error:' "$work/err") error messages"
        bad=$((bad + 1))
    elif [ -e "$work/run" ]; then
        echo "flame-c $*: left $(find "$work/run" | tr '\n' ' ')"
        bad=$((bad + 1))
        rm -rf "$work/run"
    fi
}
trains() { refuses "$1" "$2" --config "$work/config.yaml" "${@:3}"; }
verifies() { refuses "$1" "$2" verify "$work/case"; }
fresh_case() { rm -rf "$work/case" && cp -r "$source_folder/tests/golden/gla-swa" "$work/case"; }
overwrite() { printf "$2" | dd of="$1" bs=1 seek="$3" conv=notrunc status=none; }

# the command line and the configuration
refuses 2 'no command "foo".*--help' foo
refuses 2 'did you mean training.seq_len' --config "$work/config.yaml" --training.seqlen=4
refuses 2 'training.seq_len' --config "$work/config.yaml" --seq_len=4
refuses 2 '.' --config
refuses 2 '.' --config "$work/config.yaml" rubbish
refuses 1 'missing.yaml' --config "$work/missing.yaml"
refuses 2 'model is a section: .*--model.KEY=VALUE' --config "$work/config.yaml" --model=gla
refuses 2 'training is a section: .*--training.KEY=VALUE' --config "$work/config.yaml" --training 5
refuses 2 'unknown option --hidden_size; .*--model.KEY' --config "$work/config.yaml" --hidden_size=5
refuses 1 'model_type is a key of the section model:.*model: .config: PATH' --config "$source_folder/tests/golden/gla/config.json"
refuses 1 'model.attn.layers: 1 is listed twice' --config "$work/config.yaml" --model.attn.layers=1,1
trains 2 'training.batch_size.*range' --training.batch_size=0
trains 2 'training.steps' --training.steps=1.5
trains 2 'optimizer.lr' --optimizer.lr=3e-4x
trains 2 'no mixer "rnn".*gla, .*transformer' --model.model_type=rnn
trains 2 'model.hidden_size' --model.hidden_sizes=64
trains 1 'multiples of num_heads 3' --model.num_heads=3
trains 1 'needs .* MB.*activation_checkpoint' --training.batch_size=100000 --training.global_batch_size=null --training.seq_len=8192
# the plan for this host is that of a run, including what backward recomputes; a plan for another machine lists the choices of auto
big=(--training.batch_size=100000 --training.global_batch_size=null --training.seq_len=8192)
trains 1 'needs .* MB' "${big[@]}"
sed -n '/^backward/,/^  total/p' "$work/out" >"$work/planned"
grep -q 'computes whole blocks again' "$work/planned" || { cat "$work/out"; fail "a run beyond the memory of this host"; }
"$FLAME" plan --config "$work/config.yaml" "${big[@]}" 2>&1 | sed -n '/^backward/,/^  total/p' | diff "$work/planned" - || fail "plan and run differ"
for other in --ranks=8 --device=cuda; do
    "$FLAME" plan --config "$work/config.yaml" $other >"$work/out" 2>&1 || { cat "$work/out"; fail "plan $other"; }
    ! grep -q '^backward' "$work/out" && [ "$(grep -cE '^  (none|selective|full) .*MB$' "$work/out")" = 3 ] || { cat "$work/out"; fail "plan $other"; }
done
printf 'a: &x [1]\nb: *x\n' >"$work/alias.yaml"
refuses 1 'alias|anchor' --config "$work/alias.yaml"
printf 'training: {steps: 1}\ntraining: {steps: 2}\n' >"$work/twice.yaml"
refuses 1 'twice.yaml:2.*training' --config "$work/twice.yaml"
head -c 100000 /dev/zero | tr '\0' '[' >"$work/deep.yaml"
refuses 1 'deeper than 32' --config "$work/deep.yaml"

# more than a configuration may contain, given on the command line, from which it would get into config.yaml
refuses 1 'nested deeper than 32' --config "$work/config.yaml" "--model.$(printf 'a.%.0s' {1..50})b=5"
refuses 1 'more than 1000 keys' --config "$work/config.yaml" $(printf -- '--model.k%d=1 ' {1..1001})

# models that are not supported
trains 2 'model_type must be a string; it is one of' --model.model_type=5
trains 1 'must be an even head size of at most 256' --model.hidden_size=520 --model.attn.num_heads=1
trains 1 'model.attn.layers is empty: remove .attn. if' --model.attn.layers=[]

# unusual environments in which a run works: it ends and has saved
# odd CODE WORDS SHELL-COMMAND: what to do before the run.
odd() {
    local got=0
    (eval "$3" && exec "$FLAME" --config "$work/config.yaml" --training.steps=2 --checkpoint.enable_checkpoint=true --job.dump_folder="$work/odd") \
        >"$work/out" 2>"$work/err" </dev/null || got=$?
    [ "$got" = "$1" ] && grep -qE -- "$2" "$work/out" "$work/err" || { cat "$work/err"; fail "$3: exit code $got (expected $1 and $2)"; }
    [ -z "$(find "$work/odd" -name '*.tmp*')" ] || fail "$3: left $(find "$work/odd" -name '*.tmp*')"
    rm -rf "$work/odd"
}
odd 0 'saved step 2' "ulimit -n 16; ulimit -s unlimited; export TMPDIR=/nowhere OMP_NUM_THREADS=abc TZ= LC_ALL=de_DE.UTF-8; mkdir $work/caf\$'\xe9' && cd $work/caf\$'\xe9'"
odd 0 'saved step 2' 'export OMP_NUM_THREADS=0'
odd 3 'step 2 was not saved: .*File too large' 'ulimit -f 100'
odd 3 'config.yaml cannot be written: Invalid argument' "export FAULT=22 FAULT_CALL=fsync LD_PRELOAD=$FAULTS" # some file systems cannot sync
odd 3 'checkpoints cannot be written to .*Read-only file system' "export FAULT=30 FAULT_CALL=mkdir FAULT_PATH=tmp-probe LD_PRELOAD=$FAULTS"
if unshare -rm true 2>/dev/null; then # a disk without room for a checkpoint
    sed 's/checkpoint: .*/checkpoint: {enable_checkpoint: true}/' "$work/config.yaml" >"$work/saving.yaml"
    mkdir "$work/small"
    code=0
    unshare -rm sh -c "mount -t tmpfs -o size=200k none $work/small && exec $FLAME --config $work/saving.yaml --training.steps=2 --job.dump_folder=$work/small/run" \
        >"$work/out" 2>&1 || code=$?
    [ $code = 3 ] && grep -q 'a checkpoint needs 0.5 MB, but the disk of .* has 0.2 MB left' <(sed '/^ready for step/,$d' "$work/out") ||
        { cat "$work/out"; fail "a small disk: exit code $code"; }
fi

# options of commands, in both forms
refuses 2 'did you mean --ranks' plan --rank 8
for number in 0 -1 2x 1e6 2147483648 99999999999999999999; do refuses 2 '--ranks must be an integer, 1 to' plan --ranks=$number; done
refuses 2 'did you mean --training.seq_len' bench --seq_len 8
refuses 2 'export: --out DIR is missing' export --checkpoint a
refuses 2 '--dtype must be one of float32.bfloat16' eval --checkpoint a --data b --dtype int8
for form in "--ranks 2" "--ranks=2"; do # a plan reads no data
    # shellcheck disable=SC2086 # two words
    "$FLAME" plan $form --config "$source_folder/configs/gla-340M.yaml" --data.files=[] >"$work/out" 2>&1 || { cat "$work/out"; fail "plan $form"; }
    grep -q '; 2 ranks' "$work/out" || fail "plan $form is not about two ranks: $(cat "$work/out")"
done

# plans for more ranks and parameters than any machine has
refuses 1 'is more than 1e.09 tokens at once' plan --config "$work/config.yaml" --training.batch_size=1000000 --training.seq_len=1000000
whole() { "$FLAME" plan --config "$source_folder/configs/gla-340M.yaml" --data.files=[] --training.global_batch_size=null "$@" >"$work/out" 2>&1 || { cat "$work/out"; fail "plan $*"; }; }
whole --ranks=1000000
grep -q '; 1000000 ranks' "$work/out" || { cat "$work/out"; fail "a plan for 10^6 ranks"; }
huge=(--model.hidden_size=131072 --model.num_heads=512 --model.intermediate_size=524288 --model.vocab_size=1073741824)
whole --ranks=1000 "${huge[@]}" --model.num_hidden_layers=64
grep -qE '^parameters +299067385200640 ' "$work/out" || { cat "$work/out"; fail "a plan of 10^14 parameters"; }

# data
trains 1 'nowhere.h5: there is no such file; make it with' --data.files="$work/nowhere.h5"
trains 1 'vocab' --model.vocab_size=100
echo text >"$work/text.h5"
trains 1 'text.h5' --data.files="$work/text.h5"
head -c 60000 "$work/data.h5" >"$work/cut.h5"
trains 1 'cut.h5' --data.files="$work/cut.h5"
mkdir "$work/short" && echo "a few bytes" >"$work/short/text.txt"
"$FLAME" data build --text "$work/short" --out "$work/short.h5" >/dev/null 2>&1
trains 1 'short' --data.files="$work/short.h5"
refuses 1 'data.h5.*exists' data build --text "$work/short" --out "$work/data.h5"
refuses 1 '.' data build --text "$work/missing" --out "$work/new.h5"

# files that crash HDF5 1.10 or make it loop forever
for damaged in "$source_folder"/tests/data/damaged/*.h5; do
    refuses 1 "$(basename "$damaged")" data verify "$damaged"
done
trains 1 'address.h5: is damaged' --data.files="$source_folder/tests/data/damaged/address.h5"
got=0
ranks 2 --config "$work/config.yaml" --data.files="$source_folder/tests/data/damaged/address.h5" || got=$?
[ "$got" = 1 ] && [ "$(grep -c 'error:' "$work/log")" = 1 ] || { cat "$work/log"; fail "a damaged data file on two ranks: exit code $got"; }

# safetensors and folders
fresh_case; rm "$work/case/model.safetensors"; verifies 1 'model.safetensors'
fresh_case; truncate -s 100 "$work/case/train.json"; verifies 1 'train.json:[0-9]+: '
fresh_case; overwrite "$work/case/model.safetensors" '\377\377\377\377\377\377\377\177' 0; verifies 1 'model.safetensors.*header'
fresh_case; overwrite "$work/case/model.safetensors" 'x' 8; verifies 1 'model.safetensors'
fresh_case; truncate -s -4 "$work/case/model.safetensors"; verifies 1 'model.safetensors'
fresh_case; sed -i 's/"vocab_size": 72/"vocab_size": 80/' "$work/case/config.json"; verifies 1 'shape \[72, 32\].*\[80, 32\]|logits|shape'
fresh_case; sed -i 's/"num_hidden_layers": 3/"num_hidden_layers": 4/' "$work/case/config.json"; verifies 1 'missing'
fresh_case; sed -i 's/"num_hidden_layers": 3/"num_hidden_layers": 2/' "$work/case/config.json"; verifies 1 'unexpected'
fresh_case; sed -i 's/"model_type": "gla"/"model_type": "rnn"/' "$work/case/config.json"; verifies 1 'no mixer "rnn"'
fresh_case; sed -i 's/{/{,/' "$work/case/config.json"; verifies 1 'config.json'
fresh_case; sed -i 's/"layers": \[/"layers": [7,/' "$work/case/config.json"; verifies 1 'model.attn.layers.*7'
fresh_case; sed -i 's/"vocab_size": 72/"vocab_size": 0/' "$work/case/config.json"; verifies 1 'config.json:[0-9]+: model.vocab_size is 0, which is out of range'
fresh_case; sed -i 's/"num_heads": 2,/"num_heads": "2",/' "$work/case/config.json"; verifies 1 'config.json:[0-9]+: model.*num_heads must be an integer, not 2'
# a model.safetensors whose header is changed without changing its length; the data begin at 8 + that length
in_header() { fresh_case && LC_ALL=C sed -i "1,/}}/ $1" "$work/case/model.safetensors"; }
tensors=$(od -An -t u8 -N 8 "$source_folder/tests/golden/gla-swa/model.safetensors")
in_header 's/"model\.norm\.weight"/"model.mean.weight"/'; verifies 1 '1 tensors missing: model.norm.weight, 1 unexpected: model.mean.weight$'
in_header 's/"model\./      "/g'; verifies 1 'The prefix of the names differs: the folder has '
in_header 's/"model\.layers/"model.stages/g'; verifies 1 '3[0-9] tensors missing: ([a-z_0-9.]+, ){4}[a-z_0-9.]+, 3[0-9] unexpected: ([a-z_0-9.]+, ){4}[a-z_0-9.]+$'
in_header 's/\[72,32\]/[32,72]/'; verifies 1 'lm_head.weight has shape .32, 72., the model expects .72, 32. .it looks transposed'
in_header 's/"F32"/"F33"/'; verifies 1 'lm_head.weight: its dtype is F33, which the format does not have'
# weights that can be read but are suspicious: a warning names them
warns() { refuses 0 "warning: .*$1" "${@:2}" && rm -rf "$work/made"; }
fresh_case; overwrite "$work/case/model.safetensors" '\000\000\300\177' $((8 + tensors)); warns '1 values in 1 tensors are NaN or infinite: lm_head.weight' import --from "$work/case" --out "$work/made"
fresh_case; head -c 9216 /dev/zero | dd of="$work/case/model.safetensors" bs=1 seek=$((8 + tensors)) conv=notrunc status=none; warns '1 tensors are zero everywhere: lm_head.weight' import --from "$work/case" --out "$work/made"
fresh_case; overwrite "$work/case/model.safetensors" '\000\044\164\111' $((8 + tensors)); warns '1 values in 1 tensors are too large for F16 and became infinite: lm_head' export --checkpoint "$work/case" --out "$work/made" --dtype float16
rm -rf "$work/case" && cp -r "$source_folder/tests/golden/gla-packed" "$work/case"
LC_ALL=C sed -i 's/loss_within_documents/grad.within_documents/' "$work/case/io.safetensors"
verifies 1 'grad.within_documents is the gradient of a parameter that the model does not have'
for shape in 0,4 2,0; do
    fresh_case; printf '\100\0\0\0\0\0\0\0{"input_ids":{"dtype":"I64","shape":[%s],"data_offsets":[0,0]}}' $shape >"$work/case/io.safetensors"; verifies 1 'input_ids must have shape .B, T., with'
done
fresh_case; LC_ALL=C sed -i 's/"loss":{"dtype":"F32","shape":\[1\]/"loss":{"dtype":"F16","shape":[2]/' "$work/case/io.safetensors"; verifies 1 'loss has 2 elements, not 1'
fresh_case; sed -i '/"losses": \[/,/]/ { /[0-9],\?$/d }; s/"losses": \[[^]]*]/"losses": []/' "$work/case/train.json"; verifies 1 'train.json: losses is not a list of numbers'
fresh_case; sed -i 's/"losses_nodecay1d"/"losses_without"/' "$work/case/train.json"; verifies 1 'train.json: losses_nodecay1d is not a list of numbers'
# place TENSOR: where its data begin in io.safetensors
place() { echo $((8 + $(od -An -t u8 -N 8 "$work/case/io.safetensors") + $(head -c 100000 "$work/case/io.safetensors" | grep -oa "\"$1\":{[^}]*" | sed 's/.*data_offsets":\[\([0-9]*\).*/\1/'))); }
rm -rf "$work/case" && cp -r "$source_folder/tests/golden/gla-packed" "$work/case"
overwrite "$work/case/io.safetensors" '\001' $(place cu_seqlens); verifies 1 'cu_seqlens must rise from 0 to the number of tokens, [0-9]'
rm -rf "$work/case" && cp -r "$source_folder/tests/golden/gla-packed" "$work/case"
overwrite "$work/case/io.safetensors" '\357' $(($(place cu_seqlens) + 24)); verifies 1 'cu_seqlens must rise from 0 to the number of tokens, [0-9]'
fresh_case; overwrite "$work/case/io.safetensors" '\000\000\300\177' $(place logits)
! "$FLAME" verify "$work/case" >"$work/out" 2>&1 && grep -q ', 1 failed, worst logits -\?nan$' "$work/out" || { cat "$work/out"; fail "verify hides a NaN"; }
fresh_case; sed -i 's/"grad_norms_nodecay1d": \[/&1, 2, 3, 4, 5, 6, 7, 8,/' "$work/case/train.json"; verifies 1 'train.json: losses_nodecay1d has 6 numbers and grad_norms_nodecay1d 14'
fresh_case; sed -i 's/"\(losses\|grad_norms\)_fp64": \[/&1,/' "$work/case/train.json"; verifies 1 'train.json: grad_norms has 6 numbers and grad_norms_fp64 7'
# a file that only one rank cannot read ends both ranks: input_ids, logits, loss
reference=$source_folder/tests/golden/gla-swa
for at in 0 141824 187904; do
    got=0
    FAULT=5 FAULT_CALL=pread FAULT_RANK=1 FAULT_PATH=io.safetensors LD_PRELOAD=$FAULTS \
        FAULT_FROM=$((8 + $(od -An -t u8 -N 8 "$reference/io.safetensors") + at)) ranks 2 verify "$reference" || got=$?
    [ "$got" = 3 ] && grep -q 'reading tensor .*Input/output error' "$work/log" || { cat "$work/log"; fail "verify, unreadable from $at on: exit code $got"; }
done
refuses 2 'verify' verify
refuses 1 '.' eval --checkpoint "$work/nowhere" --data "$work/data.h5"
refuses 2 '.' eval --checkpoint "$source_folder/tests/golden/gla"

# checkpoints
on=(--checkpoint.enable_checkpoint=true --checkpoint.interval=4 --training.steps=8)
ranks 1 --config "$work/config.yaml" "${on[@]}" --job.dump_folder="$work/saved" || fail "a run with checkpoints"
cp "$work/data.h5" "$work/a-file"
refuses 3 'a-file/checkpoint: Not a directory' --config "$work/config.yaml" "${on[@]}" --job.dump_folder="$work/a-file"
[ "$(grep -c 'error:' "$work/err")" = 1 ] || { cat "$work/err"; fail "two messages that job.dump_folder is a file"; }
resumes() { refuses "$1" "$2" --config "$work/config.yaml" "${on[@]}" --training.steps=12 --job.dump_folder="$work/saved" "${@:3}"; }
resumes 1 'other data: training.seq_len is 64 there and 32 here, training.seed is 7 there and 8 here\.' --training.seed=8 --training.seq_len=32
"$FLAME" data build --text "$source_folder/src/base" --out "$work/other.h5" >"$work/out" 2>&1
resumes 1 'other data: data.files is .*data.h5. there and .*other.h5. here\.' --data.files="$work/other.h5"
mv "$work/data.h5" "$work/kept.h5" && cp "$work/other.h5" "$work/data.h5"
resumes 1 'other data: data.files have other content'
mv "$work/kept.h5" "$work/data.h5"
resumes 1 'no checkpoint of step 6, .*; it has 4, 8$' --checkpoint.load_step=6
resumes 1 'shape|missing|model' --model.hidden_size=64
resumes 0 'given more than once' --training.steps=6
grep -q 'step 8 of 6 is done already: nothing to train' "$work/out" || { cat "$work/out"; fail "fewer steps than are done"; }
refuses 2 'dtype|float' export --checkpoint "$work/saved/checkpoint/step-00000008" --out "$work/exported" --dtype int8
mkdir "$work/full" && touch "$work/full/file"
refuses 1 'full' export --checkpoint "$work/saved/checkpoint/step-00000008" --out "$work/full" --dtype bfloat16
fresh_case; cp "$work/saved/checkpoint/step-00000008/"tokenizer*.json "$work/case"
refuses 1 'the tokenizer has 258 tokens, the model 72: they do not belong together' generate --checkpoint "$work/case" --prompt a
for step in 4 8; do mv "$work/saved/checkpoint/step-0000000$step/optimizer.safetensors" "$work/saved/optimizer-$step"; done
got=0
cp -r "$work/saved" "$work/headless"
"$FLAME" --config "$work/config.yaml" "${on[@]}" --training.steps=12 --job.dump_folder="$work/headless" >"$work/out" 2>"$work/err" || got=$?
[ "$got" = 1 ] && grep -q 'step-00000008 has neither optimizer.safetensors nor' "$work/err" && grep -q 'initial_load_path' "$work/err" || { cat "$work/err"; fail "no optimizer's state: exit code $got"; }
mkdir -p "$work/torn/checkpoint/step-00000100.tmp"
refuses 1 'holds step-00000100.tmp, but no checkpoint that can be used: this run would begin at step 0' --config "$work/config.yaml" "${on[@]}" --job.dump_folder="$work/torn"
for step in 4 8; do mv "$work/saved/optimizer-$step" "$work/saved/checkpoint/step-0000000$step/optimizer.safetensors"; done
for step in 4 8; do overwrite "$work/saved/checkpoint/step-0000000$step/model.safetensors" '\125\125' 5000; done
got=0
"$FLAME" --config "$work/config.yaml" "${on[@]}" --training.steps=12 --job.dump_folder="$work/saved" >"$work/out" 2>"$work/err" || got=$?
[ "$got" = 1 ] && grep -q 'model.layers\|embeddings\|lm_head\|safetensors' "$work/err" || { cat "$work/err"; fail "flipped bits in both checkpoints: exit code $got"; }

[ "$bad" = 0 ] || fail "$bad invalid inputs are not refused as expected"
echo "every bad input was refused with its message"
