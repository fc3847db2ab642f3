#!/usr/bin/env bash
# Measures how fast mixers read and generate text, and how much they remember. Makes a table, and a picture of the time per token
# over the length of the text, with a panel for each family of mixers.
#   launch/compare-generation.sh [--out FOLDER] [MIXER...]
# Makes FOLDER (runs/generation) with table.txt, lengths.txt and lengths.png. LENGTHS, by default "64 1024 4096 16384", are the
# lengths of the prompts in the picture. BATCHES, by default "1 8 64", are how many texts are continued side by side in the table,
# after prompts of 512 tokens.
set -euo pipefail
case " $* " in *" -h "* | *" --help "*) awk 'NR > 1 { if (!sub(/^# ?/, "")) exit; print }' "$0"; exit 0 ;; esac
cd "$(dirname "$0")/.."
source launch/mixers.sh
comparison_arguments runs/generation "$@"
read -ra lengths <<<"${LENGTHS:-64 1024 4096 16384}"
read -ra batches <<<"${BATCHES:-1 8 64}"
mkdir -p "$out"

# bench MIXER LENGTH BATCH: times a model with random weights; the figures are in $out/bench.json.
bench() {
    local arguments
    mixer_arguments "$1"
    rm -f "$out/bench.json"
    build/flame-c bench "${arguments[@]}" --steps 0 --generate 32 --training.seq_len="$2" --training.context_len="$2" \
        --training.batch_size="$3" --training.global_batch_size="$3" --data.files=none.h5 --json "$out/bench.json" >"$out/bench.log" 2>&1 ||
        { cat "$out/bench.log" >&2; exit 1; }
}

figure() {
    sed -n "s/.*\"$1\": *\\([-+.0-9e]*\\).*/\\1/p" "$out/bench.json"
}

# state MIXER LENGTH: prints how many KB the model must keep of a text of LENGTH tokens.
state() {
    local arguments
    mixer_arguments "$1"
    build/flame-c plan "${arguments[@]}" --training.seq_len="$2" --training.context_len="$2" --data.files=none.h5 |
        awk '$1 == "state" { print $2 }'
}

{
    printf '%-23s %10s %10s %10s' mixer 'KB at 2k' 'KB at 64k' 'read/s'
    printf ' %10s' "${batches[@]/%/ texts}"
    echo
    for mixer in "${mixers[@]}"; do
        short=$(state "$mixer" 2048) long=$(state "$mixer" 65536) # a failure within an argument of printf would not end the script
        printf '%-23s %10.1f %10.1f' "$mixer" "$short" "$long"
        generated=
        for batch in "${batches[@]}"; do
            bench "$mixer" 512 "$batch"
            [ -n "$generated" ] || printf ' %10.0f' "$(figure read_tokens_per_second)"
            generated+=$(printf ' %10.0f' "$(figure generated_tokens_per_second)")
        done
        printf '%s' "$generated"
        echo
    done
} | tee "$out/table.txt"

{
    printf '%-23s' 'us per token after'
    printf ' %9s' "${lengths[@]}"
    echo
    for mixer in "${mixers[@]}"; do
        printf '%-23s' "$mixer"
        for length in "${lengths[@]}"; do
            bench "$mixer" "$length" 1
            printf ' %9.1f' "$(awk -v rate="$(figure generated_tokens_per_second)" 'BEGIN { print 1e6 / rate }')"
        done
        echo
    done
} | tee "$out/lengths.txt"

draw_lengths "$out/lengths.txt" "$out/lengths.png" 'tokens before' 'us per token' "${mixers[@]}"
rm -f "$out"/bench.*
echo "$out/lengths.png"
