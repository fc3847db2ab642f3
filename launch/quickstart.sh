#!/usr/bin/env bash
# From nothing to a trained, verified and exported model: installs what is missing, builds, makes a data set from the
# documentation that comes with CMake, trains configs/quickstart.yaml on two ranks, interrupts and resumes the run, lets the
# model continue a text, and prints a table of what it did. Everything it makes is in build/ and runs/quickstart/, which it
# removes first.
#   launch/quickstart.sh [--section.key=value ...]      for instance --training.steps=100
set -euo pipefail
case " $* " in *" -h "* | *" --help "*) awk 'NR > 1 { if (!sub(/^# ?/, "")) exit; print }' "$0"; exit 0 ;; esac
for ((i = 1; i <= $#; i++)); do
    [[ ${!i} =~ ^--[a-z_]+\.[a-z_.0-9]+(=.+)?$ ]] || { echo "quickstart.sh: ${!i} is not of the form --section.key=value" >&2; exit 2; }
    next=$((i + 1))
    [[ ${!i} == *=* || $next -gt $# || ${!next} == --* ]] || i=$next # --section.key value
done
cd "$(dirname "$0")/.."

run=runs/quickstart
ranks=2
train_bytes=$((8 << 20))
validation_bytes=$((128 << 10))
flame=(mpirun -np $ranks build/flame-c)
train=("${flame[@]}" --config configs/quickstart.yaml "$@")
rows=()

say() {
    printf '\n== %s\n' "$*"
}

# row NAME RESULT: adds a line to the closing table, with the seconds since the line before.
row() {
    rows+=("$(printf '%-9s %4d s   %s' "$1" $((SECONDS - row_start)) "$2")")
    row_start=$SECONDS
}

# Lists small text files as lines "SIZE PATH", without duplicates, in an order that depends on their contents only.
text_files() {
    find "$1" -type f -size -64k -name "$2" -exec md5sum {} + |
        LC_ALL=C sort -u -k1,1 | cut -c35- | xargs -d '\n' stat -c '%s %n'
}

# Copies the first files up to validation_bytes to $run/text/validation, the next up to train_bytes to $run/text/train.
collect_text() {
    local cmake_root
    echo 'message("${CMAKE_ROOT}")' >$run/root.cmake
    cmake_root=$(cmake -P $run/root.cmake 2>&1)
    source_of_text="CMake's documentation"
    [ ! -d "$cmake_root/Help" ] || text_files "$cmake_root/Help" '*.rst' >$run/text/files
    if [ "$(cat $run/text/files 2>/dev/null | wc -l)" -lt 500 ]; then
        source_of_text="C headers, as CMake comes without its documentation here"
        text_files /usr/include '*.h' >$run/text/files
    fi
    awk -v validation=$validation_bytes -v train=$train_bytes -v folder=$run/text '{
        bytes += $1
        sub(/^[0-9]+ /, "")
        if (bytes <= validation) print > (folder "/validation.files")
        else if (bytes <= validation + train) print > (folder "/train.files")
    }' $run/text/files
    for part in train validation; do
        xargs -d '\n' cp --parents -t $run/text/$part <$run/text/$part.files
    done
}

# Prints the text of one part as one stream, with its files in the order of their list.
text() {
    (cd $run/text/"$1" && sed 's|^/||' ../"$1".files | xargs -d '\n' cat)
}

bits_per_byte() {
    awk -v packed="$1" -v bytes="$2" 'BEGIN { printf "%.3f", 8 * packed / bytes }'
}

# What a general compressor needs for the held-out text, by itself and after it has seen all of the training text.
measure_xz() {
    local bytes alone known both
    bytes=$(text validation | wc -c)
    alone=$(text validation | xz -9e | wc -c)
    known=$(text train | xz -9e | wc -c)
    both=$( (text train && text validation) | xz -9e | wc -c)
    xz_alone=$(bits_per_byte "$alone" "$bytes")
    xz_after_train=$(bits_per_byte $((both - known)) "$bytes")
}

# Prints the newest value of a key in metrics.jsonl; nothing before the first line is there.
last() {
    [ ! -f $run/metrics.jsonl ] || sed -n 's/.*"'"$1"'": *\([^,}]*\).*/\1/p' $run/metrics.jsonl | tail -n 1
}

# Trains until half of the steps are done, then asks for "save and stop" as a batch system would.
train_interrupted() {
    local step=0 trainer
    "${train[@]}" &
    trainer=$!
    while kill -0 $trainer 2>/dev/null; do
        step=$(last step)
        [ "${step:-0}" -ge $((steps / 2)) ] && break
        sleep 0.2
    done
    kill -USR1 $trainer 2>/dev/null || true
    wait $trainer
}

newest_checkpoint() {
    find $run/checkpoint -maxdepth 1 -name 'step-????????' | sort | tail -n 1
}

# configured KEY ARGUMENT...: prints training.KEY, from the command line or from the file.
configured() {
    local key=$1 value
    shift
    value=$(sed -n "s/^training:.*[ {]$key: *\([0-9]*\).*/\1/p" configs/quickstart.yaml)
    while [ $# -gt 0 ]; do
        case $1 in
            --training."$key"=*) value=${1#*=} ;;
            --training."$key") value=${2:-} ;;
        esac
        shift
    done
    echo "$value"
}

trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
row_start=0
say "Installing what is missing"
./launch/setup.sh
source launch/environment.sh
cores=$(nproc)
export OMP_NUM_THREADS=$((cores > ranks ? cores / ranks : 1))
row install "$(cc --version | head -n 1), $(mpirun --version | head -n 1)"

say "Building"
cmake --preset release
cmake --build --preset release --target flame-c
row build "$(build/flame-c --version | head -n 1)"

say "Making a data set"
rm -rf $run
mkdir -p $run/text/train $run/text/validation
collect_text
build/flame-c data build --text $run/text/train --out $run/train.h5
build/flame-c data build --text $run/text/validation --out $run/validation.h5
build/flame-c data verify $run/train.h5 $run/validation.h5
row data "$source_of_text: $(wc -l <$run/text/train.files) files to train on, $(wc -l <$run/text/validation.files) held out"

say "Training on $ranks ranks, to be interrupted half-way"
steps=$(configured steps "$@")
train_interrupted
row train "stopped by SIGUSR1 and saved as $(basename "$(newest_checkpoint)")"

say "Resuming"
"${train[@]}"
checkpoint=$(newest_checkpoint)
row resume "went on to $(basename "$checkpoint")"

say "Evaluating on the held-out text"
seq_len=$(configured seq_len "$@")
"${flame[@]}" eval --checkpoint "$checkpoint" --data $run/validation.h5 --seq-len $seq_len --json $run/eval.json
model_bits=$(awk '/"bits_per_byte"/ { printf "%.4f", $2; exit }' $run/eval.json)
validation_bits=$(awk -v loss="$(last val_loss)" 'BEGIN { printf "%.4f", loss / log(2) }')
row evaluate "$model_bits bits per byte of the held-out text; the last validation came to $validation_bits per token"

say "Going on with a text"
build/flame-c generate --checkpoint "$checkpoint" --prompt 'This command ' --echo --temperature 0 --max-new-tokens 200 \
    2>$run/generate.log
echo
row generate "$(tail -n 1 $run/generate.log)"

say "Exporting"
build/flame-c export --checkpoint "$checkpoint" --out $run/export --dtype bfloat16
row export "$run/export: $(du -h $run/export/model*.safetensors | cut -f1 | head -n 1) of bfloat16, loads in transformers with fla"

say "Verifying against the reference's numbers"
"${flame[@]}" verify tests/golden/gla-swa | tee $run/verify.log
row verify "$(tail -n 1 $run/verify.log)"

say "Drawing the loss curve"
./launch/plot.sh $run
row plot "$(find $run -name '*.png' | head -n 1)"

say "Compressing the held-out text with xz"
measure_xz
row xz "$xz_alone bits per byte by itself, $xz_after_train after all of the training text"

cat <<END

$(printf '%s\n' "${rows[@]}")

All of the held-out text, bits per byte (less is better):
  $model_bits   this model after $(last tokens) bytes of training; of what comes before a byte it sees $((seq_len / 2)) bytes on average
  $xz_alone   xz -9e of the held-out text by itself; matches may lie anywhere before
  $xz_after_train   xz -9e of the training text and the held-out text together, less that of the training text
END
