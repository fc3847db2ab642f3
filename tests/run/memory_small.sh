#!/usr/bin/env bash
# The system refuses a small allocation, or a thread. The command ends with an exit code and one error about memory, its output is
# complete or absent, and the next start succeeds. The first allocation from every MEMORY_STRIDE-th (default 11) call site of the
# program is refused; 1 tries all call sites.
source "$(dirname "$0")/common.sh"
tools=${BUILD:-$(dirname "$FLAME")}/tests
stride=${MEMORY_STRIDE:-11}
own_code
make_data
make_config
on=(--config "$work/config.yaml" --training.steps=4 --lr_scheduler.warmup_steps=2 --checkpoint.enable_checkpoint=true
    --checkpoint.interval=2 --checkpoint.keep_latest_k=1 --data.validation_files="$work/data.h5" --data.validation_interval=2)
export MEMORY_REFUSED=$work/refused
limited() { LD_PRELOAD=$tools/libmemory_limit.so "$@"; }
as_before() { rm -rf "$out" "$out".* && { [ ! -e "$work/before" ] || cp -r "$work/before" "$out"; }; }

# refuse_each NAME ARGUMENTS...: of a command that makes $out, from what $work/before is, on $count ranks.
tried=0 ended=0 count=1
refuse_each() {
    local name=$1 places=0 code n
    shift
    rm -rf "$work/sites" "$work/whole"
    as_before
    MEMORY_SITES=$work/sites limited ranks $count "$@" || { cat "$work/log"; fail "$name"; }
    mv "$out" "$work/whole"
    for n in $(awk -v stride="$stride" -v first=$((tried % stride)) 'NR % stride == first % stride' "$work/sites"); do
        as_before
        rm -f "$work/refused"
        code=0
        MEMORY_FAILS=$n limited ranks $count "$@" 2>/dev/null || code=$?
        [ -e "$work/refused" ] || fail "$name has no piece $n"
        [ $code = 0 ] || one_error "$name, piece $n" $code
        tried=$((tried + 1)) ended=$((ended + (code != 0))) places=$((places + 1))
        left "$name, piece $n" $code
        [ $((places % 5)) = 1 ] || continue
        ranks $count "$@" || { cat "$work/log"; fail "$name after piece $n"; }
        left "$name after piece $n" 0
    done
    rm -rf "$out"
    echo "$name: $places of $(wc -l <"$work/sites") places"
}
one_error() { # WHAT CODE
    [ "$2" = 1 ] || [ "$2" = 3 ] || { cat "$work/log"; fail "$1: exit code $2"; }
    [ "$(grep 'error: ' "$work/log" | grep -vc 'cannot be read, but may be whole: ')" = 1 ] && grep -qiE 'error: .*(no memory|no thread|out of memory|cannot allocate memory)' "$work/log" ||
        { cat "$work/log"; fail "$1: not one error about memory"; }
}
# left WHAT CODE: $out is whole if the code is 0, else whole or as before, and nothing is beside it.
left() {
    local beside
    beside=$(find "$(dirname "$out")" -mindepth 1 -maxdepth 1 ! -path "$out") && [ -z "$beside" ] || fail "$1 left $beside"
    if [ $kind = run ]; then # what an ended save leaves, the next start removes
        [ "$2" != 0 ] || { [ "$(losses "$out")" = "$(losses "$work/whole")" ] && [ -z "$(find "$out" -name '*.tmp*')" ]; } ||
            { find "$out"; fail "$1: the run is not whole"; }
        return
    fi
    { [ "$2" != 0 ] && [ ! -e "$out" ]; } || diff -r "$out" "$work/whole" >"$work/differences" ||
        { cat "$work/log" "$work/differences"; fail "$1: code $2, and what is made is not whole"; }
}
mkdir "$work/made"

out=$work/made/run kind=run
refuse_each train "${on[@]}" --job.dump_folder="$out"
mv "$work/whole" "$work/before"
refuse_each resume "${on[@]}" --job.dump_folder="$out" --training.steps=6
run=$work/run
mv "$work/before" "$run"
count=2 stride=$((stride * 4)) MEMORY_RANK=1
export MEMORY_RANK
refuse_each "train, one of two ranks" "${on[@]}" --job.dump_folder="$out"
count=1 stride=$((stride / 4))
unset MEMORY_RANK

out=$work/made/file kind=file
refuse_each "data build" data build --text "$source_folder/src/base" --out "$out"
refuse_each export export --checkpoint "$run" --out "$out" --dtype float32
mv "$work/whole" "$work/exported"
refuse_each import import --from "$work/exported" --out "$out"
refuse_each generate generate --checkpoint "$run" --prompt 'static int ' --max-new-tokens 8 --out "$out"
refuse_each eval eval --checkpoint "$run" --data "$work/data.h5" --samples 4 --seq-len 64 --json "$out"
echo "$tried small pieces refused, each in turn: $ended ended the command with an error, the others did no harm"
