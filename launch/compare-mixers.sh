#!/usr/bin/env bash
# Trains every mixer at about the same size on the same bytes, and draws all curves into one picture.
#   launch/compare-mixers.sh [--data FOLDER] [--out FOLDER] [MIXER...] [--section.key=value...]
# Without names it trains all mixers. The folder of --data holds train.h5 and validation.h5, as runs/quickstart does after
# launch/quickstart.sh. Makes the folder of --out (runs/mixers) with a run of each mixer, curves.png, families.png (the loss, with a
# panel for each family of mixers) and table.txt. RANKS is by default 2.
set -euo pipefail
case " $* " in *" -h "* | *" --help "*) awk 'NR > 1 { if (!sub(/^# ?/, "")) exit; print }' "$0"; exit 0 ;; esac
cd "$(dirname "$0")/.."
source launch/environment.sh
source launch/mixers.sh

usage() {
    "launch/${0##*/}" --help >&2
    exit 2
}

data=runs/quickstart out=runs/mixers mixers=() overrides=() groups=()
while [ $# -gt 0 ]; do
    case $1 in
        --data) [ $# -ge 2 ] || usage; data=$2; shift ;;
        --out) [ $# -ge 2 ] || usage; out=$2; shift ;;
        --*.*=*) overrides+=("$1") ;;
        -*) usage ;;
        *) mixers+=("$1") ;;
    esac
    shift
done
known_mixers "${mixers[@]}"
for part in train validation; do
    [ -f "$data/$part.h5" ] || { echo "compare-mixers.sh: $data/$part.h5 is missing; run launch/quickstart.sh, or name a folder with --data" >&2; exit 1; }
done
ranks=${RANKS:-2} cores=$(nproc)
export OMP_NUM_THREADS=$((cores > ranks ? cores / ranks : 1))

# flame COMMAND... MIXER: runs flame-c with the configuration of that mixer.
flame() {
    local mixer=${*: -1} arguments
    mixer_arguments "$mixer"
    "${@:1:$#-1}" "${arguments[@]}" "${overrides[@]}" --job.dump_folder="$out/$mixer" --data.files="$data/train.h5" \
        --data.validation_files="$data/validation.h5"
}

mkdir -p "$out"
for mixer in "${mixers[@]}"; do
    printf '\n== %s\n' "$mixer"
    flame mpirun -np "$ranks" build/flame-c "$mixer"
done

# value FILE KEY: prints the last value of the key in the file.
value() {
    sed -n 's/.*"'"$2"'": *\([^,}]*\).*/\1/p' "$1" | tail -n 1
}

# row MIXER: prints its line of the table, with the loss "inf" if it was not finite.
row() {
    local metrics=$out/$1/metrics.jsonl parameters loss
    loss=$(value "$metrics" val_loss)
    [ "$loss" != null ] || loss=inf
    parameters=$(flame build/flame-c plan "$1" | awk '/^parameters/ { print $2 }')
    printf '%-20s %12s %16.4f %12.0f\n' "$1" "$parameters" "$loss" "$(value "$metrics" tokens_per_second)"
}

{
    printf '%-20s %12s %16s %12s\n' mixer parameters 'validation loss' tokens/s
    for mixer in "${mixers[@]}"; do row "$mixer"; done | sort -k3,3g | sed 's/ inf /   - /'
} | tee "$out/table.txt"
launch/plot.sh -o "$out/curves.png" "${mixers[@]/#/$out/}"
families_of "${mixers[@]}"
for family in "${families[@]}"; do groups+=(-g "$family"); done
launch/plot.sh -o "$out/families.png" -q loss "${groups[@]}" "${mixers[@]/#/$out/}"
