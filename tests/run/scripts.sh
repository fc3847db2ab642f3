#!/usr/bin/env bash
# Every script of launch/ prints its usage for --help at any place of the command line and does nothing else. It refuses unknown
# arguments before it installs, builds, formats or removes anything.
source "$(dirname "$0")/common.sh"
mkdir -p "$work/tree/runs/quickstart" "$work/bin"
cp -r "$source_folder/launch" "$work/tree/"
touch "$work/tree/runs/quickstart/metrics.jsonl"
for program in apt-get cmake cc mpirun git clang-format gnuplot sudo; do
    printf '#!/bin/sh\necho "%s $*" >>"%s"\n' "$program" "$work/called" >"$work/bin/$program"
done
chmod +x "$work/bin"/*
export PATH=$work/bin:$PATH
cd "$work/tree"
find . | sort >"$work/before"

unchanged() {
    [ ! -e "$work/called" ] || fail "$1 ran $(cat "$work/called")"
    find . | sort | diff "$work/before" - >"$work/diff" || fail "$1 changed $(cat "$work/diff")"
}
for script in launch/*.sh; do
    [ -x "$script" ] || continue
    for before in "" word --training.steps=5; do
        timeout 10 "$script" $before --help >"$work/log" 2>&1 || fail "$script $before --help: exit code $?, $(cat "$work/log")"
        grep -q "$script" "$work/log" || fail "$script $before --help does not print the name of the script: $(cat "$work/log")"
        unchanged "$script $before --help"
    done
    got=0
    timeout 10 "$script" --nonsense >"$work/log" 2>&1 || got=$?
    [ "$got" = 2 ] || fail "$script --nonsense: exit code $got, $(cat "$work/log")"
    unchanged "$script --nonsense"
done
for arguments in "quickstart.sh --steps=5" "quickstart.sh --training.steps 5 6" "quickstart.sh --training.steps=" "setup.sh all" \
    "bundle.sh new word" "cuda12.sh one two" "cuda12.sh --folder" "install.sh PREFIX=/opt" "format.sh src" "format.sh --check src"; do
    got=0
    # shellcheck disable=SC2086 # words
    timeout 10 launch/$arguments >"$work/log" 2>&1 || got=$?
    [ "$got" = 2 ] && [ -s "$work/log" ] || fail "$arguments: exit code $got, $(cat "$work/log")"
    unchanged "$arguments"
done
# multi-node.sh takes an option in one word as in two, and nothing less.
got=0
launch/multi-node.sh a:2,b:1 >"$work/log" 2>&1 || got=$?
[ "$got" = 2 ] || fail "multi-node.sh without options: exit code $got"
unchanged "multi-node.sh without options"
launch/multi-node.sh a:2,b:1 --config=x.yaml >"$work/log" 2>&1 && grep -q '^mpirun -np 3 .* --config=x.yaml$' "$work/called" ||
    { cat "$work/log"; fail "multi-node.sh --config=x.yaml"; }
rm "$work/called"
# quickstart.sh knows a key that is given in one word and in two.
(
    eval "$(sed -n '/^configured()/,/^}/p' launch/quickstart.sh)"
    cd "$source_folder"
    [ "$(configured steps --training.steps=7) $(configured steps --optimizer.lr 1 --training.steps 8)" = "7 8" ] && [ "$(configured steps)" -gt 8 ]
) || fail "quickstart.sh does not know the steps that it is given"
# Within $(...) bash before 5.2 takes a variable of this name for the word `case`, and does not read the script at all.
! grep -nE '\$\(.*for case in' launch/*.sh || fail "bash 5.1 cannot read this"

# setup.sh names the oldest driver of a build with the CUDA at hand, and what to do where the driver is older.
says() {
    printf '#!/bin/sh\necho "Cuda compilation tools, release %s, V0"\n' "$1" >"$work/bin/nvcc"
    printf '#!/bin/sh\necho %s\n' "$2" >"$work/bin/nvidia-smi"
    chmod +x "$work"/bin/nvcc "$work"/bin/nvidia-smi
    launch/setup.sh >"$work/log" 2>&1 || true # packages may be missing
    grep -q "with CUDA $1 .* for NVIDIA drivers from $3 on$" "$work/log" && [ "$(grep -c launch/cuda12.sh "$work/log")" = "$4" ] ||
        { cat "$work/log"; fail "setup.sh on CUDA $1 and driver $2"; }
}
says 13.0 535.104.05 R580 1
says 13.0 580.65.06 R580 0
says 12.4 535.104.05 R525 0
echo "every script says what it does before it does anything"
