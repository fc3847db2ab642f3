#!/usr/bin/env bash
# Checks of a run's numbers: a repeated step finds one flipped bit and names its place; gradients that are not finite or far
# above those before change no weight; a resumed run skips the same steps as the uninterrupted one.
source "$(dirname "$0")/common.sh"
: "${WRONG:?flame-c with tests/faults/wrong.c}"
make_data
make_config
train() { # RUN RANKS ARGUMENTS...: output in $work/log, exit code in $code
    code=0
    ranks "$2" --config "$work/config.yaml" --job.dump_folder="$work/$1" "${@:3}" || code=$?
}
says() { grep -q -- "$1" "$work/log" || { cat "$work/log"; fail "expected \"$1\""; }; }
good() { [ "$code" = 0 ] || { cat "$work/log"; fail "exit code $code"; }; }
correct=$FLAME

# A step computed twice changes nothing, and finds the lowest bit of one gradient on one rank. A step has four micro-batches,
# each with three units, the last layer first. Steps 3 and 6 are computed twice: call 83 is of the last micro-batch of step 6, to
# which nothing is added.
train plain 2 --training.steps=12
good
losses "$work/plain" >"$work/losses-plain"
train twice 2 --training.steps=12 --training.replay_every=3
good
losses "$work/twice" | cmp - "$work/losses-plain" || fail "repeated steps change the losses"
FLAME=$WRONG
export FLAME_WRONG="1 83 flip"
train flipped 2 --training.steps=12 --training.replay_every=3 --checkpoint.enable_checkpoint=true --checkpoint.interval=4
[ $code = 4 ] || { cat "$work/log"; fail "exit code $code for a flipped bit"; }
says 'step 6 was computed twice .* differ on rank 1 (.*), in model.layers.0: '
[ -z "$(find "$work/flipped" -name 'step-0000000[56]')" ] || fail "the wrong step was saved"

# One bit of one copy of a slice differs between replicas: two of two shards, where the two ranks that hold it are named, and
# three of one, where most agree. Steps have two micro-batches, or three; each reduces three units, the last layer first.
replicas() { # RANKS REPLICAS WRONG: 4 steps, each checked
    export FLAME_WRONG=$3
    train replicas-$2 "$1" --training.steps=4 --training.check_replicas_every=1 --training.data_parallel_replicate_degree="$2"
}
replicas 4 2 ""
good
losses "$work/replicas-2" >"$work/losses-replicas"
FLAME=$correct train unchecked 4 --training.steps=4 --training.data_parallel_replicate_degree=2
losses "$work/unchecked" | cmp - "$work/losses-replicas" || fail "checking replicas changes the losses"
replicas 4 2 "3 8 copy"
[ $code = 4 ] || { cat "$work/log"; fail "exit code $code for a flipped bit in a copy"; }
says 'step 2: rank 3 (.*) computed with other parameters of model.layers.0 than the other rank that holds the same'
says 'step 2: rank 1 (.*) computed with other parameters of model.layers.0'
! grep -q 'rank [02] (' "$work/log" || { cat "$work/log"; fail "a rank is named that holds another slice"; }
replicas 3 3 "1 10 copy"
[ $code = 4 ] || { cat "$work/log"; fail "exit code $code for a flipped bit in one of three copies"; }
says 'step 2: rank 1 (.*) computed with other parameters of model.layers.1 than most ranks that hold the same'
[ "$(grep -c 'computed with other parameters' "$work/log")" = 1 ] || { cat "$work/log"; fail "more than one rank is named"; }

# One value of a gradient is far too large: the step changes no weight.
spikes=(--training.steps=130 --lr_scheduler.warmup_steps=5 --checkpoint.enable_checkpoint=true --checkpoint.interval=50)
export FLAME_WRONG="0 1451 spike" # two ranks, four micro-batches of three units: step 121
train spike 2 "${spikes[@]}" --training.skip_spikes=20
good
says 'step 121, samples 960 to 967: gradient norm [0-9.]* is a spike: above [0-9.]*: the update is skipped'
[ "$(grep -c 'the update is skipped' "$work/log")" = 1 ] || { cat "$work/log"; fail "one step is to be skipped"; }
awk '$2 > 20 || $2 == "null" { exit 1 }' <(losses "$work/spike") || fail "the spike reached the weights"
unset FLAME_WRONG
FLAME=$correct

# A loss that stays where it is, and so low a bound that many steps are skipped: a resumed run skips the same ones.
low=("${spikes[@]}" --optimizer.lr=1e-7 --training.skip_spikes=1 --training.max_skipped_steps=100)
train whole 1 "${low[@]}"
good
skipped() { grep -o '"step": [0-9]*\|"skipped_steps": [0-9]*' "$work/$1/metrics.jsonl" | tr '\n' ' '; }
tail -n 1 "$work/whole/metrics.jsonl" | grep -q '"skipped_steps": [1-9]' || fail "no step was skipped"
cp -r "$work/whole" "$work/resumed"
rm -r "$work/resumed/checkpoint/step-00000130"
rm "$work/resumed/metrics.jsonl"
train resumed 1 "${low[@]}"
good
for part in model optimizer; do
    cmp "$work/whole/checkpoint/step-00000130/$part.safetensors" "$work/resumed/checkpoint/step-00000130/$part.safetensors" ||
        fail "$part.safetensors differs in the resumed run"
done
[[ "$(skipped whole)" == *"$(skipped resumed)" ]] || fail "the resumed run skipped other steps"
train always 1 "${spikes[@]}" --optimizer.lr=1e-7 --training.skip_spikes=1e-3 --training.max_skipped_steps=3
[ $code = 4 ] || { cat "$work/log"; fail "exit code $code, not 4, after skipping in a row"; }
says '3 updates in a row were skipped; the last step read samples [0-9]* to [0-9]*'
echo "a flipped bit found in a gradient and in a copy of parameters, spikes skipped, also after resuming"
