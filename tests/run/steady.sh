#!/usr/bin/env bash
# A long run takes no more memory, descriptors or threads than a short one.
source "$(dirname "$0")/common.sh"
make_data
make_config
sed -i 's/hidden_size: 32/hidden_size: 16/; s/seq_len: 64/seq_len: 16/; s/intermediate_size: 48/intermediate_size: 16/' "$work/config.yaml"
on=(--config "$work/config.yaml" --checkpoint.enable_checkpoint=true --checkpoint.keep_latest_k=2)


# Memory at its peak, descriptors and threads, after some saves and after many more.
"$FLAME" "${on[@]}" --training.steps=1000000 --checkpoint.interval=100 --checkpoint.async_mode=async --job.dump_folder="$work/long" \
    --metrics.enable_tensorboard=true >"$work/log" 2>&1 &
job=$!
until_step() { until [ "$(losses "$work/long" 2>/dev/null | tail -n 1 | cut -d' ' -f1)" -ge "$1" ] 2>/dev/null; do kill -0 $job || { cat "$work/log"; fail "ended early"; }; sleep 0.1; done; }
# A save in progress has a thread and some descriptors more: the least of several looks.
look() {
    for ((i = 0; i < 50; i++)); do echo "$(ls /proc/$job/fd | wc -l) $(ls /proc/$job/task | wc -l)"; sleep 0.02; done | sort -n | head -n 1
    awk '/^VmHWM/ { print $2 }' /proc/$job/status
}
until_step 600
before=$(look)
until_step 6000
after=$(look)
kill -USR1 $job
wait $job || { cat "$work/log"; fail "exit code $?"; }
[ "$(head -n 1 <<<"$before")" = "$(head -n 1 <<<"$after")" ] || fail "descriptors and threads after 600 and 6000 steps: $before, $after"
[ $(($(tail -n 1 <<<"$after") - $(tail -n 1 <<<"$before"))) -le 1024 ] || fail "peak memory in KB after 600 and 6000 steps: $before, $after"
echo "steady: $(tr '\n' ' ' <<<"$before")and $(tr '\n' ' ' <<<"$after")(descriptors, threads, KB) after 600 and 6000 steps"
