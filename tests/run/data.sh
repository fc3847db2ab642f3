#!/usr/bin/env bash
# Checkpoints and exports contain the information of the data files, and a run warns of problems with its data.
source "$(dirname "$0")/common.sh"
make_config
cd "$work"
mkdir text && for i in 1 2 3 4 5 6; do seq "$i" "${i}00" >"text/$i.txt"; done

# Every command that writes a file creates its parent folders.
"$FLAME" data build --text text --out data/sets/train.h5 --document line --validation 0.2 --validation-out held/out/validation.h5 >log 2>&1 ||
    fail "data build made no folders: $(cat log)"
"$FLAME" logits --checkpoint "$source_folder/tests/golden/gla" --tokens "$source_folder/tests/golden/gla/io.safetensors" \
    --device cpu --out some/new/logits.safetensors >log 2>&1 || fail "logits made no folders: $(cat log)"
sed -i 's,data: .*,data: {files: [data/sets/train.h5]},' config.yaml
trains() { ranks 1 --config config.yaml --training.steps=2 --lr_scheduler.warmup_steps=1 --checkpoint.enable_checkpoint=true --job.dump_folder="$1" "${@:2}" || { cat log; fail "training in $1"; }; }
says() { grep -q -- "$1" log || fail "expected \"$1\": $(cat log)"; }
silent() { ! grep -q 'warning' log || fail "unexpected: $(cat log)"; }
token() { sed -n "s/.*\"$2\": *\([^,]*\),*/\1/p" "$1"; }

# config.json and generation_config.json have the data's bos_token_id and eos_token_id.
trains some/where/run
silent
step=some/where/run/checkpoint/step-00000002
"$FLAME" export --checkpoint some/where/run --out some/where/else/exported >log 2>&1 || fail "$(cat log)"
for folder in "$step" some/where/else/exported; do
    for file in config.json generation_config.json; do
        [ "$(token "$folder/$file" bos_token_id) $(token "$folder/$file" eos_token_id)" = "256 257" ] || fail "$folder/$file: $(cat "$folder/$file")"
    done
done

# A warning names keys with other values. An eos_token_id list that contains the data's token is kept.
trains differs --model.bos_token_id=3 --model.eos_token_id=2
says 'model.bos_token_id is 3, but .* begin with token 256'
says 'model.eos_token_id is 2, but .* end with token 257'
trains lists --model.eos_token_id='[2, 257]'
silent
grep -A3 '"eos_token_id"' lists/checkpoint/step-00000002/config.json | tr -d ' \n' | grep -q '\[2,257\]' || fail "eos_token_id is no list any more"
cp -r "$step" other && sed -i 's/"eos_token_id": 257/"eos_token_id": 2/' other/config.json
rm other/state.json
"$FLAME" eval --checkpoint other --data data/sets/train.h5 --seq-len 64 >log 2>&1 || fail "$(cat log)"
says 'train.h5: documents end with token 257'

# A vocabulary far below the model's, too few samples for a step, validation on what is trained on, and by another tokenizer.
trains sparse --model.vocab_size=641
silent
trains sparser --model.vocab_size=642
says 'train.h5 has a vocabulary of 320 tokens, but model.vocab_size is 642'
trains few --training.global_batch_size=400
says 'the data have [0-9]* samples of 64 tokens, a step takes 400'
trains leaking --data.validation_files='[held/out/validation.h5, data/../data/sets/train.h5]' --data.validation_interval=100
says 'train.h5 is in data.files and in data.validation_files'

# How often a run reads its data: the files in proportion to their sizes, a mixture, and a resume with more steps and sequences.
"$FLAME" data build --text "$source_folder/src/config" --out data/more.h5 >log 2>&1 || fail "data build: $(cat log)"
read -r tokens epoch < <("$FLAME" data inspect data/sets/train.h5 | awk '$1 == "tokens" { print $2, int(($2 - 1) / 64) }')
epochs() { awk -v read="$1" -v epoch="$epoch" 'BEGIN { e = read / epoch; printf(e < 1 ? "%.2g" : "%.1f", e) }'; }
trains often
says "^data  *$tokens tokens  (2 steps read 1024: $(epochs 16) epochs)$"
trains often --training.steps=5 --training.global_batch_size=40
says "^data  *$tokens tokens  (5 steps read $(((16 + 120) * 64)): $(epochs 136) epochs)$"
trains often --training.steps=2
says "(5 steps read $(((16 + 120) * 64)): "
trains both --data.files='[data/sets/train.h5, data/more.h5]' --data.probabilities='[9, 1]'
says '^data .* (2 steps read 1024: [0-9.e-]* to [0-9.]* epochs of a file)$'

# A file that cannot grow causes an error, not a crash, and no file is left.
for level in 0 4; do
    for limit in 1 8 40; do
        code=0
        (ulimit -f $limit && exec "$FLAME" data build --text "$source_folder/src/config" --out full/out.h5 --level $level) >log 2>&1 || code=$?
        [ $code = 3 ] && [ -z "$(ls full)" ] || fail "files of $limit KB at level $level: exit code $code, $(ls full): $(cat log)"
        says 'out.h5: .*No partial file was left'
    done
done
echo "what the data say is heard"
