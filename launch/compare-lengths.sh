#!/usr/bin/env bash
# Draws the time per token of a training step over the length of the sequences, with a panel for each family of mixers. It is
# constant for mixers whose state has a fixed size.
#   launch/compare-lengths.sh [--out FOLDER] [MIXER...]
# Makes FOLDER (runs/lengths) with table.txt and lengths.png. LENGTHS is by default "2048 4096 8192 16384 32768".
set -euo pipefail
case " $* " in *" -h "* | *" --help "*) awk 'NR > 1 { if (!sub(/^# ?/, "")) exit; print }' "$0"; exit 0 ;; esac
cd "$(dirname "$0")/.."
source launch/mixers.sh
comparison_arguments runs/lengths "$@"
read -ra lengths <<<"${LENGTHS:-2048 4096 8192 16384 32768}"
mkdir -p "$out"

# rate MIXER T: prints the tokens per second of the median step.
rate() {
    local arguments
    mixer_arguments "$1"
    rm -f "$out/bench.json"
    build/flame-c bench "${arguments[@]}" --steps 2 --training.seq_len="$2" --training.context_len="$2" --training.batch_size=1 \
        --training.global_batch_size=1 --data.files=none.h5 --json "$out/bench.json" >"$out/bench.log" 2>&1 ||
        { cat "$out/bench.log" >&2; exit 1; }
    sed -n 's/.*"tokens_per_second": *\([-+.0-9e]*\).*/\1/p' "$out/bench.json" | head -n 1
}

{
    printf '%-20s' 'us per token'
    printf ' %9s' "${lengths[@]}"
    echo
    for mixer in "${mixers[@]}"; do
        printf '%-20s' "$mixer"
        for length in "${lengths[@]}"; do
            tokens_per_second=$(rate "$mixer" "$length") # a failure within an argument of printf would not end the script
            printf ' %9.1f' "$(awk -v rate="$tokens_per_second" 'BEGIN { print 1e6 / rate }')"
        done
        echo
    done
} | tee "$out/table.txt"

draw_lengths "$out/table.txt" "$out/lengths.png" 'sequence length' 'us per token, forward and backward' "${mixers[@]}"
rm -f "$out"/bench.*
echo "$out/lengths.png"
