#!/usr/bin/env bash
# A long run takes no more memory, descriptors or threads than a short one; one that is done does nothing when it is started
# again; a second job in its folder is refused; no home, a reader that goes away and a clock that jumps do no harm.
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

# Another job in the same folder, while this one runs.
code=0
"$FLAME" "${on[@]}" --job.dump_folder="$work/long" >"$work/second" 2>&1 || code=$?
[ $code = 1 ] && grep -q "another job is running in $work/long (host .*, process $job, " "$work/second" || { cat "$work/second"; fail "a second job: exit code $code"; }
kill -USR1 $job
wait $job || { cat "$work/log"; fail "exit code $?"; }
[ "$(head -n 1 <<<"$before")" = "$(head -n 1 <<<"$after")" ] || fail "descriptors and threads after 600 and 6000 steps: $before, $after"
[ $(($(tail -n 1 <<<"$after") - $(tail -n 1 <<<"$before"))) -le 1024 ] || fail "peak memory in KB after 600 and 6000 steps: $before, $after"

# Started again when it is done: nothing changes.
ranks 2 "${on[@]}" --training.steps=20 --job.dump_folder="$work/done" || { cat "$work/log"; fail "a short run"; }
content() { (cd "$work/done" && sha256sum metrics.jsonl checkpoint/*/*); }
content >"$work/before"
ranks 2 "${on[@]}" --training.steps=20 --job.dump_folder="$work/done" || { cat "$work/log"; fail "started again when done: exit code $?"; }
grep -q 'step 20 of 20 is done already' "$work/log" || { cat "$work/log"; fail "not told that it is done"; }
content | cmp -s - "$work/before" || fail "a run that is done was changed: $(content | diff - "$work/before")"

# No home, a working folder that is gone, a reader of the output that goes away.
mkdir "$work/gone"
(cd "$work/gone" && rmdir "$work/gone" && env -u HOME -u TMPDIR "$FLAME" "${on[@]}" --training.steps=20 --job.dump_folder="$work/homeless" >"$work/log" 2>&1) ||
    { cat "$work/log"; fail "without a home and a working folder"; }
{ "$FLAME" "${on[@]}" --training.steps=200 --job.dump_folder="$work/unread" 2>"$work/log" || echo $? >"$work/code"; } | head -n 1 >/dev/null
[ ! -e "$work/code" ] && [ -e "$work/unread/checkpoint/step-00000200" ] || { cat "$work/log"; fail "with a reader that went away"; }
echo "steady: $(tr '\n' ' ' <<<"$before")and $(tr '\n' ' ' <<<"$after")(descriptors, threads, KB) after 600 and 6000 steps"
