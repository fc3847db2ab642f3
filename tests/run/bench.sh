#!/usr/bin/env bash
# flame-c bench times the step, every op and the reading of data, and writes its numbers where they are wanted.
source "$(dirname "$0")/common.sh"
make_data
make_config
"$FLAME" bench --config "$work/config.yaml" --steps 2 --data "$work/data.h5" --json "$work/new/folder/bench.json" >"$work/log" 2>&1 ||
    { cat "$work/log"; fail "bench"; }
for key in step_seconds tokens_per_second product_gflops memory_gbytes_per_second stream_tokens_per_second; do
    grep -qE "\"$key\": [0-9.e+-]*[1-9]" "$work/new/folder/bench.json" || { cat "$work/log"; fail "no $key in bench.json"; }
done
grep -q '"op": "chunk_gla"' "$work/new/folder/bench.json" || fail "no ops in bench.json"
got=0
"$FLAME" bench --config "$work/config.yaml" --steps 1 --json "$work/data.h5/bench.json" >"$work/log" 2>&1 || got=$?
{ [ $got = 3 ] && grep -q 'data.h5/bench.json: Not a directory' "$work/log"; } || { cat "$work/log"; fail "exit code $got"; }
echo "bench measures"
