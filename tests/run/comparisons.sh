#!/usr/bin/env bash
# The scripts that compare mixers end with an error if a measurement fails, and rank a mixer whose loss is not finite last. A curve
# has a gap where its value is not finite.
source "$(dirname "$0")/common.sh"
command -v gnuplot >/dev/null || skip "no gnuplot"
mkdir -p "$work/tree/build" "$work/tree/data" "$work/bin"
cp -r "$source_folder/launch" "$work/tree/"
cd "$work/tree"

# Trainings of gla diverge; bench fails, and plan with FAILS=plan.
cat >build/flame-c <<'END'
#!/bin/sh
case $1 in
    bench) echo "error: no room" >&2; exit 1 ;;
    plan) [ "${FAILS:-}" != plan ] || exit 1; echo "parameters 123"; echo "state 4.0 KB"; exit ;;
esac
for argument; do
    case $argument in
        --job.dump_folder=*) run=${argument#*=} ;;
        --model.model_type=*) mixer=${argument#*=} ;;
    esac
done
mkdir -p "$run"
loss=2.5
[ "$mixer" != gla ] || loss=null
echo '{"step": 1, "tokens": 1, "loss": 3, "tokens_per_second": 100}' >"$run/metrics.jsonl"
echo "{\"step\": 1, \"tokens\": 1, \"val_loss\": $loss}" >>"$run/metrics.jsonl"
END
printf '#!/bin/sh\nshift 2\nexec "$@"\n' >"$work/bin/mpirun"
chmod +x build/flame-c "$work/bin/mpirun"
touch data/train.h5 data/validation.h5

PATH=$work/bin:$PATH launch/compare-mixers.sh --data data --out out gla retnet >"$work/log" 2>&1 || { cat "$work/log"; fail "compare-mixers.sh"; }
[ "$(awk '{ printf "%s %s;", $1, $3 }' out/table.txt)" = "mixer validation;retnet 2.5000;gla -;" ] || { cat out/table.txt; fail "the table of mixers"; }

# fails SCRIPT ARGUMENT...: ends with an error.
fails() {
    local code=0
    "$@" >"$work/log" 2>&1 || code=$?
    [ $code != 0 ] || { cat "$work/log"; fail "$*: exit code 0 although flame-c failed"; }
}
fails launch/compare-lengths.sh --out lengths gla
grep -q 'no room' "$work/log" || { cat "$work/log"; fail "compare-lengths.sh does not say why"; }
! grep -q 'inf' "$work/log" || { cat "$work/log"; fail "compare-lengths.sh prints a time that it has not measured"; }
fails launch/compare-generation.sh --out generation gla
FAILS=plan fails launch/compare-generation.sh --out generation gla
! grep -q 'no room' "$work/log" || { cat "$work/log"; fail "compare-generation.sh goes on without the size of the state"; }

mkdir broken
for step in 1 2 3 4 5; do echo "{\"step\": $step, \"loss\": $([ $step = 3 ] && echo null || echo 2)}"; done >broken/metrics.jsonl
launch/plot.sh -o curve.svg -q loss broken >"$work/log" 2>&1 || { cat "$work/log"; fail "plot.sh"; }
pieces=$(tr -d '\n' <curve.svg | grep -oE "<path stroke='rgb.148[^>]*>" | tr -cd M | wc -c)
[ "$pieces" = 3 ] || { cat curve.svg; fail "the curve and its line in the key have $pieces pieces, not 3: there is no gap"; }
echo "failures end the comparisons, and what is not finite is shown as missing"
