#!/bin/sh
# Formats all C files in place.
#   launch/format.sh [--check]      --check: changes nothing and fails if something would change
set -eu
case "${1:-}" in -h | --help) awk 'NR > 1 { if (!sub(/^# ?/, "")) exit; print }' "$0"; exit 0 ;; esac
cd "$(dirname "$0")/.."
mode="-i"
[ "${1:-}" = --check ] && mode="--dry-run --Werror"
# shellcheck disable=SC2086 # two words
git ls-files -z --cached --others --exclude-standard '*.c' '*.h' 'src/*.def' 'tests/*.def' | xargs -0 clang-format $mode
