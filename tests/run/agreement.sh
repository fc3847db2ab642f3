#!/usr/bin/env bash
# What several ranks say is printed once.
source "$(dirname "$0")/common.sh"
make_data
make_config
run=(mpirun --allow-run-as-root --oversubscribe --bind-to none)
common=(--config "$work/config.yaml" --training.steps=2)

# says_once RANKS CODE WORDS ARGUMENTS...: exactly one error, which has WORDS.
says_once() {
    local count=$1 code=$2 words=$3 got=0
    shift 3
    "${run[@]}" -np "$count" "$FLAME" "${common[@]}" "$@" >"$work/log" 2>&1 || got=$?
    [ "$got" = "$code" ] || { cat "$work/log"; fail "$*: exit code $got, not $code"; }
    [ "$(grep -c 'error: ' "$work/log")" = 1 ] && grep -q "error: .*$words" "$work/log" || { cat "$work/log"; fail "$*: not said once: $words"; }
}
says_once 3 3 'nowhere.h5: cannot be opened' --data.files="$work/nowhere.h5"
says_once 3 1 'num_heads 3' --model.num_heads=3
says_once 3 1 'nowhere' --checkpoint.initial_load_path="$work/nowhere"
says_once 3 2 'seq_len' --training.seqlen=3
echo "what all ranks have to say is said once"
