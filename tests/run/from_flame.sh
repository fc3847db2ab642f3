#!/usr/bin/env bash
# The command line of flame's README, with a TOML of the form of flame's own: flame-c from-flame makes a configuration of it
# that trains, and each of its flags is understood or answered.
source "$(dirname "$0")/common.sh"
make_data
cat >"$work/fla.toml" <<'END'
[model]
config = "fla-hub/transformer-1.3B-100B"
tokenizer_path = "fla-hub/transformer-1.3B-100B"

[job]
dump_folder = "exp"
print_args = true

[training]
batch_size = 32
seq_len = 2_048
compile = false
dataset = 'HuggingFaceFW/fineweb-edu'
data_probs = "0.25, 0.75 "
pin_memory = false

[optimizer]
eps = 1e-15

[checkpoint]
enable_checkpoint = false
interval_type = "steps"
async_mode = "async_with_pinned_mem"    # ["disabled", "async", "async_with_pinned_mem"]

[profiling]
enable_profiling = true

[experimental]
context_parallel_degree = 1
pipeline_parallel_split_points = [
  "layers.0", # a comment
  "layers.2",
]

[activation_checkpoint]
mode = "none"
END
cat >"$work/model.json" <<'END'
{"model_type": "transformer", "hidden_size": 32, "num_hidden_layers": 2, "num_heads": 2, "vocab_size": 320, "intermediate_size": 48}
END
readme=(--job.config_file "$work/fla.toml" --job.dump_folder "$work/run" --model.config "$work/model.json"
    --model.tokenizer_path fla-hub/transformer-1.3B-100B --optimizer.name AdamW --optimizer.eps 1e-15 --optimizer.lr 1e-3
    --lr_scheduler.warmup_steps 1024 --lr_scheduler.lr_min 0.1 --lr_scheduler.decay_type cosine --training.batch_size 1
    --training.seq_len 128 --training.context_len 64 --training.varlen --training.gradient_accumulation_steps 1
    --training.steps 2 --training.max_norm 1.0 --training.skip_nan_inf --training.dataset HuggingFaceFW/fineweb-edu
    --training.dataset_name sample-100BT --training.dataset_split train --training.num_workers 32 --training.prefetch_factor 2
    --training.seed 42 --training.compile --checkpoint.interval 2048 --checkpoint.load_step -1 --checkpoint.keep_latest_k 2
    --metrics.log_freq 1)
"$FLAME" from-flame "${readme[@]}" >"$work/run.yaml" 2>"$work/log" || { cat "$work/log"; fail "from-flame"; }
for line in '  eps: 1e-15' '  lr: 0.001' '  seq_len: 128' '  varlen: true' '  probabilities: \[0.25, 0.75\]' '  async_mode: async_with_pinned_mem' \
    '#   training.data_probs: called data.probabilities here' '#   training.compile: everything is compiled' \
    '#   experimental.pipeline_parallel_split_points: there is no pipeline'; do
    grep -q "^$line" "$work/run.yaml" || { cat "$work/run.yaml"; fail "from-flame lacks: $line"; }
done
cp "$work/data.h5" "$work/more.h5"
ranks 1 --config "$work/run.yaml" --data.files="$work/data.h5,$work/more.h5" || { cat "$work/log"; fail "what from-flame made does not train"; }
[ "$(losses "$work/run" | wc -l)" = 2 ] || fail "two steps were asked for"

"$FLAME" from-flame --help | grep -q "^Every key of flame is an option too" || fail "the help of from-flame is about other keys"

# each flag by itself: read, or answered by its name
rm -rf "$work/run"
for ((i = 0; i < ${#readme[@]}; i++)); do
    flag=${readme[i]} value=()
    [[ ${readme[i + 1]:-} == --* ]] || value=("${readme[i + 1]:-}")
    [ "${#value[@]}" = 0 ] || i=$((i + 1))
    "$FLAME" plan --model.config="$work/model.json" "$flag" "${value[@]}" >"$work/log" 2>&1 ||
        grep -qE "${flag#--} is (a key of flame that has no use here: [a-z]|called [a-z_.-]+ here)|--config is given twice" "$work/log" ||
        { cat "$work/log"; fail "$flag ${value[*]}"; }
done

# flame's TOML is read where a configuration is wanted, and its keys are answered where they stand
got=0
"$FLAME" plan --config "$work/fla.toml" >"$work/log" 2>&1 || got=$?
{ [ "$got" = 1 ] && grep -q 'fla.toml:26: profiling.enable_profiling is a key of flame' "$work/log"; } || { cat "$work/log"; fail "--config fla.toml"; }
printf 'training = "x\n' >"$work/bad.toml"
"$FLAME" from-flame --job.config_file "$work/bad.toml" >"$work/out" 2>"$work/log" && fail "a bad TOML"
grep -q 'bad.toml:1: the closing quote of a string is missing' "$work/log" || { cat "$work/log"; fail "a bad TOML"; }
[ ! -s "$work/out" ] || fail "half a configuration: $(cat "$work/out")"

# numbers in quotes, and the command line's own key in the file
cat >"$work/quoted.toml" <<'END'
[job]
config_file = "fla.toml"
[training]
seq_len = "64"
varlen = "true"
[optimizer]
lr = "1e-3"
[data]
probabilities = "1"
END
"$FLAME" from-flame --job.config_file "$work/quoted.toml" --model.config "$work/model.json" >"$work/run.yaml" 2>"$work/log" ||
    { cat "$work/log"; fail "from-flame of quoted numbers"; }
grep -q '^#   job.config_file: called --config here' "$work/run.yaml" || { cat "$work/run.yaml"; fail "job.config_file in a TOML"; }
"$FLAME" plan --config "$work/run.yaml" --data.files="$work/data.h5" >"$work/log" 2>&1 || { cat "$work/run.yaml" "$work/log"; fail "quoted numbers"; }

"$FLAME" from-flame --training.step 3 >"$work/out" && grep -q '#   training.step: .*did you mean training.steps?' "$work/out" ||
    { cat "$work/out"; fail "a flag that flame does not have"; }
"$FLAME" from-flame --job.config_file 2>"$work/log" && fail "--job.config_file without a value"
grep -q 'job.config_file needs a value' "$work/log" || { cat "$work/log"; fail "--job.config_file without a value"; }
echo "flame's command line becomes a configuration that trains"
