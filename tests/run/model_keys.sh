#!/usr/bin/env bash
# The model keys in the help and on their page, as the tables have them.
source "$(dirname "$0")/common.sh"

# docs/model-keys.md shows what --help=model says.
page=$source_folder/docs/model-keys.md
"$FLAME" train --help=model >"$work/help"
sed '1,/^```$/d; /^```$/,$d' "$page" | diff - "$work/help" >"$work/diff" ||
    fail "docs/model-keys.md is not what flame-c train --help=model says: $(head -20 "$work/diff")"

# says MODEL KEY WORDS: --help=MODEL has the line of the key, with these words in it.
says() { "$FLAME" train --help="$1" | grep -E "^  --model\.$2 " | grep -qE -- "$3" || fail "--help=$1 on $2: no '$3'"; }
models=$(sed -n 's/^MIXER(\(.*\))/\1/p' "$source_folder/src/models/mixers.def")
for model in $models; do
    says "$model" model_type "default $model$"
    says "$model" hidden_size 'integer \(1 to 1048576\), default (1024|2048|2304)' # 2304: samba, 1024: transnormer
    grep -qx "$model:" "$work/help" || fail "--help=model does not list $model"
done
says gla num_hidden_layers 'default 24$'
says mamba2 num_hidden_layers 'default 48$' # the mixer's own default of a shared key
says mamba2 pad_token_id 'default 0$'
says gla attn 'mapping, default null'
says gla attn.layers integers
says gated_deltanet output_gate_activation 'swish\|silu\|sigmoid, default swish'
if "$FLAME" train --help=mamba2 | grep -q 'model\.attn'; then fail "the help of mamba2 has attn, but mamba2 has no hybrid layers"; fi
if "$FLAME" train --help=gla | grep -q 'attn.qk_norm'; then fail "hybrid layers have no qk_norm"; fi
code=0
"$FLAME" train --help=glaa >"$work/out" 2>&1 || code=$?
[ "$code" = 2 ] || fail "--help=glaa: exit code $code"

# A config.json in a form that fla would refuse or misread is written in a form with the same meaning for both.
make_data
cat >"$work/odd.json" <<'END'
{"model_type": "gla", "hidden_size": 32, "num_hidden_layers": 2, "num_heads": 2, "vocab_size": 320, "intermediate_size": 48,
 "attn": {"layers": 1, "num_heads": 2, "rope_parameters": {"rope_type": "default", "rope_theta": 500000}}, "eos_token_id": [2, 257]}
END
ranks 1 --model.config="$work/odd.json" --data.files="$work/data.h5" --training.steps=1 --training.seq_len=32 --training.batch_size=1 \
    --checkpoint.enable_checkpoint=true --job.dump_folder="$work/run" || { cat "$work/log"; fail "a run of odd.json"; }
"$FLAME" export --checkpoint "$work/run" --out "$work/exported" >"$work/log" 2>&1 || fail "export"
for folder in "$work/run/checkpoint/step-00000001" "$work/exported"; do
    tr -d ' \n' <"$folder/config.json" >"$work/written"
    grep -q '"attn":{"layers":\[1\],"num_heads":2,"num_kv_heads":2,"qkv_bias":false,"rope_theta":500000.0,"window_size":null}' \
        "$work/written" || fail "attn in $folder/config.json: $(cat "$work/written")"
    grep -q '"eos_token_id":\[2,257\]' "$work/written" || fail "eos_token_id in $folder/config.json"
done
grep -q rope_parameters "$work/written" && fail "rope_parameters is written beside rope_theta"
grep -A3 eos_token_id "$work/exported/generation_config.json" | tr -d ' \n' | grep -q '\[2,257\]' || fail "generation_config.json"
echo "model keys: help, page and config.json say the same"

# transformers 5 changes weights that it loads with rescale_prenorm_residual: true.
grep -q '"rescale_prenorm_residual": true' "$source_folder/tests/golden/mamba2/config.json" || fail "the case asks for no rescaling"
ranks 1 import --from "$source_folder/tests/golden/mamba2" --out "$work/mamba2" || { cat "$work/log"; fail "import of mamba2"; }
grep -q '"rescale_prenorm_residual": false' "$work/mamba2/checkpoint/step-00000000/config.json" || fail "the weights would be rescaled"
