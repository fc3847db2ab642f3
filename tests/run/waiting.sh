#!/usr/bin/env bash
# Threads that wait for each other do not spin for long, unless the user has set a spin count. Restarting the program to set it
# changes nothing else.
source "$(dirname "$0")/common.sh"
unset OMP_NUM_THREADS OMP_WAIT_POLICY

# spins VARIABLES...: prints the spin count that libgomp reads from the environment.
spins() { env OMP_DISPLAY_ENV=verbose "$@" "$FLAME" --version 2>&1 >/dev/null | grep -o "GOMP_SPINCOUNT = '[0-9]*'" | tail -n 1 || true; }
[ -n "$(spins)" ] || { echo "skipped: this build has no libgomp"; exit 77; }
[ "$(spins)" = "GOMP_SPINCOUNT = '2000'" ] || fail "left alone: $(spins)"
[ "$(spins GOMP_SPINCOUNT=7)" = "GOMP_SPINCOUNT = '7'" ] || fail "GOMP_SPINCOUNT=7: $(spins GOMP_SPINCOUNT=7)"
for chosen in OMP_WAIT_POLICY=active OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1; do
    [ "$(spins "$chosen")" != "GOMP_SPINCOUNT = '2000'" ] || fail "$chosen: $(spins $chosen)"
done

make_data
make_config
code=0
"$FLAME" --config "$work/config.yaml" --job.description='two words' --training.steps=1 >"$work/log" 2>&1 || { cat "$work/log"; fail "exit code $?"; }
grep -q 'description: "two words"' "$work/run/config.yaml" || fail "arguments are lost"
"$FLAME" --config "$work/nowhere.yaml" >"$work/log" 2>&1 || code=$?
[ $code = 1 ] || fail "exit code $code"
echo "waiting threads spin for 2000 turns, or as the user says"
