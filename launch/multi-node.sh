#!/usr/bin/env bash
# flame-c on several hosts without a scheduler, over ssh. Every host has the program, the data and the dump folder at the same
# path, and lets you in without a password.
#   launch/multi-node.sh HOST:RANKS,HOST:RANKS,... --config configs/gla-340M.yaml [--section.key=value ...]
# INTERFACE names the network between them (default: what Open MPI and NCCL choose).
set -euo pipefail
[ $# -ge 3 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
cd "$(dirname "$0")/.."
flame=${FLAME:-$PWD/build/flame-c}
hosts=$1
shift
ranks=0
for host in ${hosts//,/ }; do ranks=$((ranks + ${host##*:})); done

options=(-np "$ranks" --host "$hosts" --bind-to none --wdir "$PWD")
if [ -n "${INTERFACE:-}" ]; then
    options+=(--mca btl_tcp_if_include "$INTERFACE" --mca oob_tcp_if_include "$INTERFACE" -x NCCL_SOCKET_IFNAME="$INTERFACE")
else
    options+=(--mca btl_tcp_if_exclude lo,docker0,virbr0 --mca oob_tcp_if_exclude lo,docker0,virbr0)
fi
# Settings of this shell that the other hosts should have too.
for name in OMP_NUM_THREADS NCCL_DEBUG NCCL_IB_HCA NCCL_IB_DISABLE LD_LIBRARY_PATH FLAME_COLLECTIVE_TIMEOUT; do
    [ -z "${!name:-}" ] || options+=(-x "$name")
done
exec mpirun "${options[@]}" "$flame" "$@"
