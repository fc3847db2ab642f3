#!/usr/bin/env bash
# launch/plot-suite.sh draws what there is in aggregate.csv: one picture for each suite's scores, states and costs, and one for
# the splits of a task that are called "length 2x", "length 4x", or two of those called "64x4"; a folder without results is refused.
source "$(dirname "$0")/common.sh"
command -v gnuplot >/dev/null || skip "no gnuplot"
plot() { "$source_folder/launch/plot-suite.sh" "$@" 2>"$work/errors"; }
columns=suite,task,setting,split,model,lr,wd,n,metric,mean,sd,ci_low,ci_high,trivial,skill,tokens_per_s,decode_tokens_per_s,peak_bytes,state_bytes,params
{
    echo $columns
    number=0
    for model in gla "delta_net model.use_short_conv=false" lstm something_new; do
        number=$((number + 1))
        for split in test sparse "length 2x" "length 4x"; do
            echo "flipflop,flip_flop,,$split,$model,0.1,0,1,error,0.2,,,,0.5,0.6,1000,700,5000000,4096,400000"
            echo "flipflop,flip_flop,all,$split,$model,0.1,0,2,error,0.$number,0.01,0.05,0.15,0.5,0.8,1000,700,5000000,4096,400000"
        done
    done
    echo "mad,compression,all,test,gla,0.1,0,1,accuracy_macro,0.3,,,,0.125,0.2,1000,,5000000,,400000"
    for split in test 64x4 64x16 256x64; do
        echo "mqar,mqar,all,$split,gla,0.1,0,2,accuracy,0.5,0.01,0.45,0.55,0.25,0.8,,,5000000,4096,400000"
        echo "mqar,mqar,all,$split,lstm,0.1,0,1,accuracy,0.4,,,,0.25,0.8,,,5000000,1024,400000"
        echo "mqar,mqar,all,$split,rwkv7,,,0,accuracy,,,,,,,,,,,"
    done
    echo "mad,compression,all,test,nsa,0.1,0,0,accuracy_macro,,,,,0.125,,1000,,5000000,,400000"
} >"$work/aggregate.csv"

plot "$work" >"$work/pictures" || fail "exit code $?: $(cat "$work/errors")"
[ ! -s "$work/errors" ] || fail "gnuplot says: $(cat "$work/errors")"
for picture in flipflop-score flipflop-cost flipflop-state flipflop-flip_flop-length mad-score mad-cost \
    mqar-score mqar-cost mqar-state mqar-mqar-length mqar-mqar-pairs; do
    echo "$work/$picture.png"
done | diff - "$work/pictures" || fail "other pictures"
while read -r picture; do
    head -c 8 "$picture" | tail -c 7 | grep -q '^PNG' || fail "$picture is no PNG"
    # A panel without a curve leaves gnuplot at its end with a few kB.
    [ "$(wc -c <"$picture")" -gt 4000 ] || fail "$picture is empty"
done <"$work/pictures"

height() { od -An -j20 -N4 -tu1 "$1" | awk '{ print (($1 * 256 + $2) * 256 + $3) * 256 + $4 }'; }
[ "$(height "$work/flipflop-cost.png")" = $((3 * 400)) ] || fail "speed, speed of decoding and memory are no three panels"
[ "$(height "$work/mad-cost.png")" = $((2 * 400)) ] || fail "without decoding: no two panels"

rm "$work/aggregate.csv"
got=0
plot "$work" || got=$?
[ "$got" = 1 ] && grep -q "aggregate.csv is missing" "$work/errors" || fail "no aggregate.csv: exit code $got, $(cat "$work/errors")"
echo "each suite's results are drawn"
