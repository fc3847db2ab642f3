#!/usr/bin/env bash
# Starts in a folder with earlier checkpoints: from an older step, with damaged checkpoints only, and with saving turned off.
# Earlier results are kept, no abandoned branch is resumed, and a run begins at step 0 only on request.
source "$(dirname "$0")/common.sh"
make_data
make_config
run=$work/run
on=(--checkpoint.enable_checkpoint=true --checkpoint.interval=2)
train() { ranks 1 --config "$work/config.yaml" "$@"; }
trains() { train "$@" || { cat "$work/log"; fail "$*"; }; }
says() { grep -q -- "$1" "$work/log" || { cat "$work/log"; fail "the log does not say '$1'"; }; }
refuses() { # TEXT ARGUMENTS...
    local code=0
    train "${@:2}" || code=$?
    [ $code = 1 ] || { cat "$work/log"; fail "${*:2}: exit code $code, not 1"; }
    says "$1"
}
has() { [ "$(cd "$run" && ls -d $1 2>/dev/null | tr '\n' ' ')" = "$2 " ] || { ls "$run" "$run/checkpoint"; fail "$1 is not $2"; }; }
logged() { # FILE FIRST LAST: each step from FIRST to LAST once
    [ "$(sed -n 's/.*"step": \([0-9]*\),.*"loss".*/\1/p' "$run/$1" | tr '\n' ' ')" = "$(seq -s ' ' "$2" "$3") " ] ||
        { cat "$run/$1"; fail "$1 does not hold the steps $2 to $3 once"; }
}

# Another branch from step 4 on, with another learning rate.
trains "${on[@]}" --training.steps=12
trains "${on[@]}" --training.steps=6 --checkpoint.load_step=4 --optimizer.lr=0.001
says 'going back to step 4: the 4 later checkpoints .*, up to step 12, are set aside as'
says 'Leave checkpoint.load_step out of the next start'
says 'optimizer.lr  *0.003 *| 0.001$'
says 'training.steps  *12 *| 6$'
says 'learning rate of step 5 .*|'
grep -q 'optimizer.lr  *0.003 *| 0.001$' "$run/train.log" || fail "train.log does not have the table"
has 'checkpoint/*-0000001*' 'checkpoint/step-00000010.rewound checkpoint/step-00000012.rewound'
logged metrics.jsonl 1 6
logged metrics.void.jsonl 5 12
trains "${on[@]}" --training.steps=8 --optimizer.lr=0.001 --checkpoint.initial_load_path="$work/nowhere"
says 'resuming after step 6 .*initial_load_path is for new runs and is not read'
grep -q 'learning rate of step 7 ' "$work/log" || { cat "$work/log"; fail "no learning rate at the seam"; }
logged metrics.jsonl 1 8
trains "${on[@]}" --training.steps=8 --checkpoint.load_step=4 # the names of the first branch are taken
has 'checkpoint/*6.rewound*' 'checkpoint/step-00000006.rewound checkpoint/step-00000006.rewound-2'

# A start that would not save any weights.
refuses 'checkpoint.enable_checkpoint is false' --training.steps=3
logged metrics.jsonl 1 8
for start in 1 2; do
    trains --training.steps=3 --checkpoint.start_over=true
    says 'saves no checkpoints'
done
logged metrics.jsonl.old 1 8
logged metrics.jsonl.old-2 1 3

# A step that lost its state.json is set aside, not skipped; then all are damaged.
rm "$run/checkpoint/step-00000008/state.json"
trains "${on[@]}" --training.steps=8
says 'step 8 is damaged; its checkpoint is now .*step-00000008.damaged'
says 'resuming after step 6'
logged metrics.jsonl 7 8
logged metrics.jsonl.old-3 1 3
for step in "$run"/checkpoint/step-????????; do truncate -s -4 "$step/model.safetensors"; done
for start in 1 2 3; do refuses 'checkpoint.start_over' "${on[@]}" --training.steps=8; done
[ ! -e "$run/checkpoint/step-00000002" ] || fail "a refused start has trained"
trains "${on[@]}" --training.steps=3 --checkpoint.start_over=true
says 'begins at step 0 although'
trains "${on[@]}" --training.steps=4 --checkpoint.start_over=true
says 'resuming after step 3'
says 'checkpoint.start_over has no effect: the run resumes after step 3$'
echo "rewound, damaged and unused checkpoints are said and kept, and each step is logged once"
