#!/usr/bin/env bash
# Without an NVIDIA driver, the program starts, computes on the CPU, and says why it cannot use a GPU if it is asked to.
source "$(dirname "$0")/common.sh"
unset CUDA_VISIBLE_DEVICES
case=$source_folder/tests/golden/gla-swa-packed
got=0
"$FLAME" verify "$case" --device cuda >"$work/log" 2>&1 || got=$?
[ "$got" != 0 ] || skip "there is a GPU here"
[ "$got" = 1 ] || { cat "$work/log"; fail "exit code $got"; }
grep -qE 'device cuda: (there is no NVIDIA driver here|this program was built without CUDA|the NVIDIA driver finds no GPU)' "$work/log" ||
    { cat "$work/log"; fail "it does not say why"; }
[ "$(wc -l <"$work/log")" = 1 ] || { cat "$work/log"; fail "it says more than one line"; }
"$FLAME" verify "$case" --device auto >"$work/log" 2>&1 || { cat "$work/log"; fail "auto does not compute on the CPU"; }
! ldd "$FLAME" | grep -E 'libcuda|libcublas|libnccl|libcudart' || fail "it is linked with a library of CUDA"

make_data
make_config
got=0
ranks 2 --config "$work/config.yaml" --device=cuda || got=$?
[ "$got" = 1 ] && [ "$(grep -c 'error: ' "$work/log")" = 1 ] || { cat "$work/log"; fail "two ranks: exit code $got"; }
[ ! -e "$work/run" ] || fail "a refused run leaves a folder"
"$FLAME" plan --config "$work/config.yaml" --device=cuda --ranks=8 >"$work/log" 2>&1 || { cat "$work/log"; fail "plan for GPUs"; }
echo "without a driver: the CPU, or the reason"
