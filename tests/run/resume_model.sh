#!/usr/bin/env bash
# The config.json beside the weights defines their model. A resume, an import and checkpoint.initial_load_path take keys from it that
# the run leaves out, and refuse keys with another value, even if all tensors have the same shapes.
source "$(dirname "$0")/common.sh"
make_data

# What is in the file decides the shapes of the model's tensors, but for the key that is tried.
write_config() { # MODEL BASE
    cat >"$work/$1.yaml" <<END
model: {model_type: $1, hidden_size: 32, num_hidden_layers: 2, vocab_size: 320, intermediate_size: 64, $2}
training: {steps: 2, batch_size: 1, seq_len: 32, seed: 7}
data: {files: [$work/data.h5]}
metrics: {enable_tensorboard: false}
checkpoint: {enable_checkpoint: true}
END
}
value() { grep -o "\"$2\": [^,]*" "$1/config.json" | sed 's/.*: //' | tr -d '"'; }
train() { ranks 1 train --config "$work/$model.yaml" --job.dump_folder="$work/$model" "$@"; }
trains() { train "$@" || { cat "$work/log"; fail "$model: $*"; }; }
refuses() { # TEXT ARGUMENTS...
    local code=0
    train "${@:2}" || code=$?
    [ $code = 1 ] && grep -q -- "$1" "$work/log" || { cat "$work/log"; fail "$model: ${*:2}: exit code $code, no '$1'"; }
    [ "$(grep -c 'error:' "$work/log")" = 1 ] || { cat "$work/log"; fail "$model: ${*:2}: not one error"; }
}

while read -r model base key trained other; do
    base=${base//:/: }
    write_config "$model" "${base//;/, }"
    trains "--model.$key=$trained"
    refuses "$key is $trained there and $other here" --training.steps=4 "--model.$key=$other"
    ls "$work/$model/checkpoint" | grep -v step-00000002 && fail "$model: a refusal changed the folder"
    trains --training.steps=4 # leaves the key out
    [ "$(value "$work/$model/checkpoint/step-00000004" "${key#attn.}")" = "$trained" ] || fail "$model: $key is not $trained any more"
done <<'END'
transformer num_heads:2 rope_theta 20000.0 10000.0
gla num_heads:2 clamp_min -1.0 -2.0
linear_attn num_heads:2;expand_k:1;use_short_conv:true conv_size 3 4
transnormer decoder_attention_heads:2 linear_act_fun relu sigmoid
retnet num_heads:2 feature_map relu sigmoid
mamba state_size:8 norm_eps 0.001 0.0001
samba attn:{layers:[1],num_heads:2} norm_eps 0.001 0.0001
mamba2 head_dim:16;state_size:16 norm_before_gate true false
gateloop dim_inner:32 transition cartesian polar
lstm rnn_hidden_size:24 norm_eps 0.001 0.0001
gru rnn_hidden_size:24 norm_eps 0.001 0.0001
hgrn attn_mode:chunk norm_eps 0.001 0.0001
hgrn2 num_heads:2;expand_ratio:16 use_lower_bound false true
abc num_heads:2;num_slots:8 clamp_max 5.0 32.0
gsa num_heads:2;num_slots:8 gate_logit_normalizer 4.0 8.0
lightnet num_heads:2;expand_ratio:16 norm_eps 0.001 0.0001
based num_heads:2;feature_dim:8 eps 0.001 1e-12
rebased num_heads:2;feature_dim:8 eps 0.001 1e-05
transformer_vq n_layer:1;d_k:16;n_code:8;block_len:16;mem_len:16 c_gamma 0.9 0.99
xlstm num_heads:2 gate_soft_cap 10.0 15.0
mlstm_block num_heads:2 norm_eps 0.001 1e-05
comba num_heads:2;head_dim:16 norm_eps 0.001 0.0001
deltaformer num_heads:2 rope_theta 20000.0 10000.0
forgetting_transformer num_heads:2 norm_eps 0.001 0.0001
delta_net num_heads:2 allow_neg_eigval true false
gated_deltanet num_heads:2;head_dim:16 allow_neg_eigval true false
gated_deltaproduct num_heads:2;head_dim:16 allow_neg_eigval true false
nsa num_heads:16;num_kv_heads:1;head_dim:16 block_counts 4 5
tropical_attention num_heads:2 norm_eps 0.001 0.0001
two_simplicial num_heads:2;window1:16;window2:4 k2_bias 0.5 0.0
mesa_net num_heads:2;head_dim:16 max_cg_step_training 20 30
kda num_heads:2;head_dim:16 lower_bound -5.0 -4.0
path_attn num_heads:2 norm_eps 0.001 0.0001
END

# More of the transformer: defaults against what was trained, several keys, keys of no effect, changes that are allowed.
model=transformer
refuses 'num_heads is 2 there and 8 here, window_size is null there and 16 here' --model.num_heads=8 --model.window_size=16
trains --training.steps=5 --model.use_cache=false --model.hidden_act=silu --model.bos_token_id=7 --model.num_kv_heads=null
train --training.steps=6 --model.num_heads=1 && fail "num_heads 1 of 2 num_kv_heads"
grep -q 'num_heads 1 is not a multiple of num_kv_heads 2' "$work/log" && grep -q 'step-00000005/config.json: .*allow_model_changes' "$work/log" ||
    { cat "$work/log"; fail "the message does not say where num_kv_heads is from"; }
refuses 'allow_model_changes: the model has no key rope_thet; did you mean rope_theta?' --training.steps=6 --checkpoint.allow_model_changes=rope_thet
trains --training.steps=6 --model.rope_theta=5000.0 --checkpoint.allow_model_changes='[rope_theta]'
[ "$(value "$work/transformer/checkpoint/step-00000006" rope_theta)" = 5000.0 ] || fail "the allowed change is not in config.json"
"$FLAME" plan --config "$work/transformer.yaml" --job.dump_folder="$work/transformer" --model.rope_theta=9.0 >"$work/log" 2>&1 &&
    fail "plan takes another rope_theta"
grep -q 'rope_theta is 5000.0 there and 9.0 here' "$work/log" || { cat "$work/log"; fail "plan does not name rope_theta"; }

# Another type of model, whose keys mean nothing here.
ranks 1 train --config "$work/gla.yaml" --job.dump_folder="$work/transformer" && fail "gla goes on with a transformer's weights"
grep -q 'error: .*model_type is transformer there and gla here' "$work/log" && [ "$(grep -c error: "$work/log")" = 1 ] ||
    { cat "$work/log"; fail "another model_type is not named"; }

# The same for weights from elsewhere: another run's, an export's, an import's.
mkdir "$work/elsewhere"
saved=$work/transformer/checkpoint/step-00000006
"$FLAME" export --checkpoint "$saved" --out "$work/exported" --dtype float32 >"$work/log" 2>&1 || fail "export"
for path in "$work/transformer" "$work/exported"; do
    for new in --job.dump_folder="$work/elsewhere/$(basename "$path")"; do
        refuses 'rope_theta is 5000.0 there and 10000.0 here' "$new" --checkpoint.initial_load_path="$path" --model.rope_theta=10000
        trains "$new" --checkpoint.initial_load_path="$path"
        [ "$(value "${new#*=}/checkpoint/step-00000002" rope_theta)" = 5000.0 ] || fail "rope_theta was not taken from $path"
    done
done
"$FLAME" import --from "$work/exported" --out "$work/imported" >"$work/log" 2>&1 || fail "import"
refuses 'rope_theta is 5000.0 there and 10000.0 here' --job.dump_folder="$work/imported" --model.rope_theta=10000
trains --job.dump_folder="$work/imported"

# Hybrid layers.
model=hybrid
write_config gla 'num_heads: 2, attn: {layers: [1], num_heads: 2}'
mv "$work/gla.yaml" "$work/hybrid.yaml"
trains --model.attn.window_size=16
refuses 'attn.window_size is 16 there and 8 here' --training.steps=4 --model.attn.window_size=8
trains --training.steps=4
grep -q '"window_size": 16' "$work/hybrid/checkpoint/step-00000004/config.json" || fail "attn.window_size was not taken"
echo "ten models: another value is refused by name, one left out is taken from the weights, one that is allowed takes effect"
