#!/usr/bin/env bash
# Runs flame-c on several hosts without a scheduler, over ssh. Every host must have the program, the data and the dump folder at
# the same path, and must let you log in without a password.
#   launch/multi-node.sh HOST:RANKS,HOST:RANKS,... --config configs/gla-340M.yaml [--section.key=value ...]
# INTERFACE names the network between them (default: what Open MPI and NCCL choose). To save and stop: kill -USR1 the mpirun.
set -euo pipefail
case " $* " in *" -h "* | *" --help "*) awk 'NR > 1 { if (!sub(/^# ?/, "")) exit; print }' "$0"; exit 0 ;; esac
[ $# -ge 2 ] || { "$0" --help >&2; exit 2; }
cd "$(dirname "$0")/.."
flame=${FLAME:-$PWD/build/flame-c}
hosts=$1
shift
ranks=0
for host in ${hosts//,/ }; do
    [[ $host =~ ^[^:]+:[1-9][0-9]*$ ]] || { echo "$host is not of the form HOST:RANKS, for instance node1:8,node2:8" >&2; exit 2; }
    ranks=$((ranks + ${host##*:}))
done

# No binding: ranks that may run on the same processors divide them, and NCCL's threads run close to their GPU.
options=(-np "$ranks" --host "$hosts" --bind-to none --wdir "$PWD")
if [ -n "${INTERFACE:-}" ]; then
    options+=(--mca btl_tcp_if_include "$INTERFACE" --mca oob_tcp_if_include "$INTERFACE")
    export NCCL_SOCKET_IFNAME=$INTERFACE
else
    options+=(--mca btl_tcp_if_exclude "lo,docker0,virbr0" --mca oob_tcp_if_exclude "lo,docker0,virbr0")
    export NCCL_SOCKET_IFNAME=${NCCL_SOCKET_IFNAME:-^docker,lo,virbr}
fi
# Settings of this shell that the other hosts need too.
while read -r name; do
    options+=(-x "$name")
done < <(compgen -e | grep -E '^((NCCL|OMP|UCX)_.*|FLAME_.*|CUDA_VISIBLE_DEVICES|LD_LIBRARY_PATH)$')
exec mpirun "${options[@]}" "$flame" "$@"
