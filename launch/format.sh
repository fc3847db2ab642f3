#!/bin/sh
# Formats all C files in place; with --check it changes nothing and fails if something would change.
set -eu
cd "$(dirname "$0")/.."
mode="-i"
[ "${1:-}" = --check ] && mode="--dry-run --Werror"
# shellcheck disable=SC2086 # two words
git ls-files -z --cached --others --exclude-standard '*.c' '*.h' '*.def' | xargs -0 clang-format $mode
