#!/usr/bin/env bash
# The tokenizer's files are copied from the token file into checkpoints and exports, byte for byte, and AutoTokenizer loads
# the copies.
source "$(dirname "$0")/common.sh"
make_data
make_config
python=${PYTHON:-python3}
tools=${BUILD:-$(dirname "$FLAME")}/tests
trains() { # RUN STEPS ARGUMENTS...
    ranks 1 --config "$work/config.yaml" --lr_scheduler.warmup_steps=0 --checkpoint.enable_checkpoint=true \
        --job.dump_folder="$work/$1" --training.steps="$2" "${@:3}" || { cat "$work/log"; fail "training in $1"; }
}
step() { printf '%s/checkpoint/step-%08d' "$work/$1" "$2"; }
exports() { "$FLAME" export --checkpoint "$work/$1" --out "$work/$2" >"$work/log" 2>&1 || fail "$(cat "$work/log")"; }
same() { # FOLDER FOLDER
    for file in tokenizer.json tokenizer_config.json; do cmp "$1/$file" "$2/$file" || fail "$1 and $2 differ"; done
}

trains bytes 2
exports bytes exported
grep -q '"<eos>"' "$(step bytes 2)/tokenizer.json" || fail "the checkpoint has no tokenizer"
same "$(step bytes 2)" "$work/exported"
"$FLAME" import --from "$work/exported" --out "$work/imported" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
same "$(step imported 0)" "$work/exported"

# What a user edits beside the weights does not make a checkpoint unusable.
echo '{}' >"$(step bytes 2)/tokenizer_config.json"
trains bytes 3
grep -q 'tokenizer_config.json is not needed for loading' "$work/log" || fail "the log does not name an edited file: $(cat "$work/log")"
same "$(step bytes 3)" "$work/exported"

# Data without a tokenizer: that of the weights stays.
cp "$work/data.h5" "$work/bare.h5" && "$tools/drop_tokenizer" "$work/bare.h5" || fail "the tokenizer stays in the data"
trains bytes 4 --data.files="[$work/bare.h5]"
same "$(step bytes 4)" "$work/exported"
trains loaded 1 --data.files="[$work/bare.h5]" --checkpoint.initial_load_path="$work/exported"
same "$(step loaded 1)" "$work/exported"

# Every command refuses damaged tokenizer files, and verify finds them in an imported step, too.
refused() { # COMMAND ARGUMENTS...
    local got=0
    ranks 1 "$@" || got=$?
    [ "$got" = 1 ] && grep -q 'tokenizer.json: changed after it was saved' "$work/log" || { cat "$work/log"; fail "$*: exit code $got"; }
    [ ! -e "$work/out" ] && [ ! -e "$(step bytes 5)" ] || fail "$* has written something"
}
on=(--config "$work/config.yaml" --lr_scheduler.warmup_steps=0 --training.steps=5 --checkpoint.enable_checkpoint=true)
bad=$(step bytes 4)
sed -i 's/<eos>/<EOS>/' "$bad/tokenizer.json"
refused export --checkpoint "$bad" --out "$work/out"
refused import --from "$bad" --out "$work/out"
refused generate --checkpoint "$bad" --prompt a
refused "${on[@]}" --job.dump_folder="$work/bytes" --data.files="[$work/bare.h5]"
refused "${on[@]}" --job.dump_folder="$work/begun" --data.files="[$work/bare.h5]" --checkpoint.initial_load_path="$bad"
"$FLAME" checkpoint verify "$work/imported" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
sed -i 's/<eos>/<EOS>/' "$(step imported 0)/tokenizer.json"
refused checkpoint verify "$work/imported"
trains bytes 5 # whose data have one
same "$(step bytes 5)" "$work/exported"

"$python" -c 'import transformers' 2>"$work/log" ||
    { echo "good, but AutoTokenizer was not asked: $(tail -n 1 "$work/log")"; exit 0; }
reads() { # FOLDER TEXT IDS EOS
    "$python" - "$@" <<'END' >"$work/log" 2>&1 || fail "AutoTokenizer: $(cat "$work/log")"
import sys, json, transformers
folder, text, ids, eos = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
assert tokenizer(text, add_special_tokens=False)["input_ids"] == ids, tokenizer(text)
assert tokenizer.decode(ids) == text, tokenizer.decode(ids)
assert tokenizer.eos_token_id == eos, tokenizer.eos_token_id
assert json.load(open(folder + "/config.json"))["eos_token_id"] == eos
END
}
reads "$work/exported" $'a \t\u00f1\n' '[97, 32, 9, 195, 177, 10]' 257

"$python" -c 'import h5py, numpy, tokenizers' 2>"$work/log" ||
    { echo "good, but tools/prepare.py was not asked: $(tail -n 1 "$work/log")"; exit 0; }
mkdir "$work/words" && "$python" - "$work/words" <<'END'
import sys, tokenizers
from tokenizers import models, pre_tokenizers
tokenizer = tokenizers.Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1, "yes": 2, "no": 3}, unk_token="<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer.add_special_tokens(["</s>"])
tokenizer.save(sys.argv[1] + "/tokenizer.json")
END
for ((i = 0; i < 400; i++)); do echo "yes no no yes no"; done >"$work/text.txt"
"$python" "$source_folder/tools/prepare.py" "$work/text.txt" --tokenizer "$work/words" --bos none --eos '</s>' \
    --out "$work/made/words.h5" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
trains words 2 --model.vocab_size=64 --data.files="[$work/made/words.h5]"
exports words exported_words
cmp "$work/words/tokenizer.json" "$work/exported_words/tokenizer.json" || fail "tokenizer.json changed on its way"
reads "$work/exported_words" "yes no" '[2, 3]' 1

# Data of another tokenizer are refused for validation.
got=0
ranks 1 --config "$work/config.yaml" --data.validation_files="[$work/made/words.h5]" || got=$?
[ "$got" = 1 ] && grep -q 'validation_files were made by another tokenizer' "$work/log" || { cat "$work/log"; fail "exit code $got"; }
echo "tokenizers travel"
