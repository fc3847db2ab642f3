#!/bin/sh
# Formats all C files in place.
#   launch/format.sh [--check]      --check: changes nothing and fails if something would change
set -eu
case " $* " in *" -h "* | *" --help "*) awk 'NR > 1 { if (!sub(/^# ?/, "")) exit; print }' "$0"; exit 0 ;; esac
cd "$(dirname "$0")/.."
mode="-i"
case $# in
    0) ;;
    *) [ "$*" = --check ] || { ./launch/format.sh --help >&2; exit 2; }; mode="--dry-run --Werror" ;;
esac
# shellcheck disable=SC2086 # two words
git ls-files -z --cached --others --exclude-standard '*.c' '*.h' 'src/*.def' 'tests/*.def' | xargs -0 clang-format $mode
