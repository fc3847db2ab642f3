#!/usr/bin/env bash
# flame-c bench times the step, every op and the reading of data, and writes its numbers to the given file.
source "$(dirname "$0")/common.sh"
make_data
make_config
"$FLAME" bench --config "$work/config.yaml" --steps 2 --data "$work/data.h5" --json "$work/new/folder/bench.json" >"$work/log" 2>&1 ||
    { cat "$work/log"; fail "bench"; }
for key in step_seconds tokens_per_second product_gflops memory_gbytes_per_second stream_tokens_per_second; do
    grep -qE "\"$key\": [0-9.e+-]*[1-9]" "$work/new/folder/bench.json" || { cat "$work/log"; fail "no $key in bench.json"; }
done
grep -q '"op": "chunk_gla"' "$work/new/folder/bench.json" || fail "no ops in bench.json"
# Backward of an addition moves nothing: no share of a roofline is invented for it.
addition=$(tr -d ' \n' <"$work/new/folder/bench.json" | grep -o '{"op":"add"[^}]*}')
[[ $addition == *'"forward_of_roofline"'* && $addition != *'"backward_of_roofline"'* ]] || fail "shares of the roofline: $addition"
# refuses CODE WORDS ARGUMENTS...: bench ends with CODE and WORDS before it measures anything.
refuses() {
    local got=0
    "$FLAME" bench --config "$work/config.yaml" "${@:3}" >"$work/log" 2>&1 || got=$?
    { [ $got = "$1" ] && grep -q -- "$2" "$work/log" && ! grep -qE '^(step|products) ' "$work/log"; } ||
        { cat "$work/log"; fail "bench ${*:3}: exit code $got"; }
}
refuses 1 'nope.h5: there is no such file' --steps 1 --data "$work/nope.h5"
refuses 2 'bench --steps 0 times nothing; add --generate' --steps 0
"$FLAME" bench --config "$work/config.yaml" --steps 0 --data "$work/data.h5" >"$work/log" 2>&1 && grep -q '^stream ' "$work/log" ||
    { cat "$work/log"; fail "bench of data alone"; }
refuses 3 'data.h5/bench.json: Not a directory' --steps 1 --json "$work/data.h5/bench.json"
refuses 1 'bench.json: exists already' --steps 1 --json "$work/new/folder/bench.json"
echo "bench measures"
