#!/usr/bin/env bash
# One MPI job on two "hosts": network namespaces with a name of their own and a wire between them. What rank 0's host sends is
# counted on the wire, and is far less where each host holds a replica; the numbers are those of one host bit for bit. A wire that is
# cut ends the job on both. Needs root, ip and unshare.
source "$(dirname "$0")/common.sh"
left=flame-a-$$ right=flame-b-$$
tidy() {
    ip netns del "$left" 2>/dev/null || true
    ip netns del "$right" 2>/dev/null || true
    rm -rf "$work"
}
trap tidy EXIT
{ ip netns add "$left" && ip netns add "$right" && ip link add "va$$" netns "$left" type veth peer name "vb$$" netns "$right"; } 2>/dev/null ||
    skip "no network namespaces here: they want root and iproute2"
ip -n "$left" address add 10.77.0.1/24 dev "va$$"
ip -n "$right" address add 10.77.0.2/24 dev "vb$$"
for place in "$left va$$" "$right vb$$"; do
    read -r space wire <<<"$place"
    ip -n "$space" link set lo up
    ip -n "$space" link set "$wire" up
done
make_data
make_config

# What mpirun calls instead of ssh: HOST COMMAND...
cat >"$work/agent" <<END
#!/bin/sh
shift
exec ip netns exec $right unshare --uts sh -c "hostname flame-b; export TMPDIR=$work/b; mkdir -p \$TMPDIR; \$*"
END
chmod +x "$work/agent"
sent() { ip -n "$left" -s -j link show "va$$" | sed 's/.*"tx":{"bytes":\([0-9]*\).*/\1/'; }

# on_two_hosts ARGUMENTS...: flame-c on two ranks of each, output to $work/log.
on_two_hosts() {
    ip netns exec "$left" unshare --uts sh -c "hostname flame-a; TMPDIR=$work/a exec mpirun --allow-run-as-root --bind-to none -np 4 \
        --host 10.77.0.1:2,10.77.0.2:2 --mca plm_rsh_agent $work/agent --mca btl_tcp_if_include 10.77.0.0/24 \
        --mca oob_tcp_if_include 10.77.0.0/24 -x OMP_NUM_THREADS $FLAME --config $work/config.yaml $*" >"$work/log" 2>&1
}

# compare NAME ARGUMENTS...: four ranks on one host and on two. Leaves in $bytes what the first of two has sent.
compare() {
    local run=$work/$1 before
    shift
    ranks 4 --config "$work/config.yaml" --training.steps=10 --job.dump_folder="$run-one" "$@" || { cat "$work/log"; fail "on one host: $*"; }
    before=$(sent)
    on_two_hosts --job.dump_folder="$run-two" --training.steps=10 "$@" || { cat "$work/log"; fail "on two hosts: $*"; }
    bytes=$(($(sent) - before))
    losses "$run-one" >"$work/a.losses"
    losses "$run-two" >"$work/b.losses"
    [ "$(wc -l <"$work/a.losses")" = 10 ] && cmp "$work/a.losses" "$work/b.losses" || fail "the losses of two hosts differ from those of one: $*"
}
mkdir -p "$work/a"
compare shards
shards=$bytes
[ "$shards" -gt 3000000 ] || fail "only $shards bytes went over the wire"
compare replicas --training.data_parallel_replicate_degree=2
[ $((bytes * 3)) -lt "$shards" ] || fail "a replica on each host sends $bytes bytes, not much less than $shards"
replicas=$bytes

# A wire of 20 Mbit/s: the log says that it is the network, not a rank, that is slow.
slow=""
if tc -n "$left" qdisc add dev "va$$" root tbf rate 20mbit burst 20kb latency 1s 2>/dev/null; then
    compare thin --metrics.log_freq=1
    grep -q '^the network is slow: no single rank is slow, but each spends more than half of its time in collectives' "$work/log" ||
        { cat "$work/log"; fail "a slow network is not named"; }
    slow=", and a slow wire is named"
fi
# The wire is cut: the ranks of both hosts end, and say that nobody of their own host is missing.
on_two_hosts --job.dump_folder="$work/cut" --training.steps=1000000 --comm.train_timeout_seconds=5 &
job=$!
until [ "$(losses "$work/cut" 2>/dev/null | wc -l)" -ge 3 ]; do kill -0 $job || { cat "$work/log"; fail "the job that is cut ended early"; }; sleep 0.1; done
ip -n "$left" link set "va$$" down
begun=$SECONDS
while pgrep -f -- "^$FLAME .*--job.dump_folder=$work/cut" >/dev/null; do sleep 0.1; done
ended=$((SECONDS - begun))
ip -n "$left" link set "va$$" up
code=0
wait $job || code=$?
[ $code = 5 ] && [ "$(grep -c 'rank [02]\] no progress for 5 s: no rank of this host is missing, so a rank of another host is, or a message was lost' "$work/log")" = 2 ] ||
    { cat "$work/log"; fail "a cut network: exit code $code, and not one message from each host"; }
echo "a wire that is cut: all ranks ended after $ended s"
echo "two hosts: the losses of one, bit for bit; $((shards / 1000)) kB from the first to the second, $((replicas / 1000)) with replicas$slow"
