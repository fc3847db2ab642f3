#!/usr/bin/env bash
# The system refuses a large allocation, each in turn. The job ends with exit code 1 and one error that names the allocation's purpose,
# its size and settings that need less; or a checkpoint is not saved. No incomplete file is left, and the next start continues.
source "$(dirname "$0")/common.sh"
tools=${BUILD:-$(dirname "$FLAME")}/tests
own_code
make_data
make_config
sed -i 's/hidden_size: 32/hidden_size: 64/; s/intermediate_size: 48/intermediate_size: 96/' "$work/config.yaml"
on=(--config "$work/config.yaml" --training.steps=4 --lr_scheduler.warmup_steps=2 --checkpoint.enable_checkpoint=true
    --checkpoint.interval=2 --checkpoint.async_mode=async --checkpoint.keep_latest_k=1 --data.validation_files="$work/data.h5"
    --data.validation_interval=2)
export MEMORY_BYTES=65536 MEMORY_REFUSED=$work/refused
for ((n = 0; ; n++)); do
    rm -rf "$work/run" "$work/refused"
    code=0
    MEMORY_FAILS=$n LD_PRELOAD=$tools/libmemory_limit.so ranks 1 "${on[@]}" || code=$?
    [ -e "$work/refused" ] || break
    errors=$(grep 'error: ' "$work/log" || true)
    if [[ "$errors" =~ ': step '([0-9]*)' was not saved: '.*'Cannot allocate memory' ]]; then
        [ "$code ${BASH_REMATCH[1]}" = "0 2" ] || [ "$code ${BASH_REMATCH[1]}" = "3 4" ] || { cat "$work/log"; fail "exit code $code, piece $n"; }
    else
        [ $code = 1 ] || { cat "$work/log"; fail "exit code $code when piece $n is refused"; }
        [[ "$errors" =~ 'out of memory'.*' needs '[0-9.]*' MB'.*('. '|' are free. ')[A-Z] ]] || fail "piece $n: $errors"
    fi
    [ "$(wc -l <<<"$errors")" = 1 ] || { cat "$work/log"; fail "more than one error when piece $n is refused"; }
    sed 's/.*error: //; s/needs.*//; s/step [0-9]* was not saved.*/a checkpoint that was not saved/' <<<"$errors" >>"$work/messages"
    if [ $((n % 7)) = 0 ]; then
        ranks 1 "${on[@]}" || { cat "$work/log"; fail "the next start after piece $n"; }
        [ -z "$(find "$work/run" -name '*.tmp*')" ] || fail "piece $n: $(find "$work/run" -name '*.tmp*')"
    fi
done
[ $code = 0 ] || { cat "$work/log"; fail "exit code $code without a fault"; }
[ $n -gt 30 ] || fail "only $n pieces"
sort "$work/messages" | uniq -c
echo "$n pieces of at least 64 KiB refused, each in turn: each an error with a name"
