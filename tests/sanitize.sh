#!/usr/bin/env bash
# Whole small jobs under gcc's sanitizers: ASan, UBSan and poisoned arenas (build-debug), then TSan (build-threads). Builds both,
# which takes half an hour on two cores; then trains on 2 ranks with asynchronous saving, is stopped and resumed on another mesh,
# goes back to a checkpoint, evaluates, generates, repeats a step, exports and imports. A report is a failure.
#   tests/sanitize.sh [debug|threads]...      default: both
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in -h | --help) awk 'NR > 1 { if (!sub(/^# ?/, "")) exit; print }' "$0"; exit 0 ;; esac
[ $# -gt 0 ] || set -- debug threads
for preset in "$@"; do
    case $preset in debug | threads) ;; *) echo "sanitize.sh: no build $preset" >&2; exit 2 ;; esac
    cmake --preset "$preset" -DFLAME_TESTS=OFF ${FLAME_OPTIONS:-} >/dev/null
    cmake --build --preset "$preset" --target flame-c
    FLAME=$PWD/build-$preset/flame-c tests/run/sanitized.sh
done
