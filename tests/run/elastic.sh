#!/usr/bin/env bash
# A run continues on any other number of ranks, with other micro-batches, and back again: the losses are those of one rank, across
# the ends of epochs, and no sample is lost or taken twice. ELASTIC_SIZES: ranks, or replicas x shards.
source "$(dirname "$0")/common.sh"
sizes=(${ELASTIC_SIZES:-1 3 2x2})
make_config
seq 700 >"$work/text"
"$FLAME" data build --text "$work/text" --out "$work/data.h5" >"$work/log" 2>&1 || { cat "$work/log"; fail "data build"; }
settings=(--config "$work/config.yaml" --training.steps=20 --checkpoint.enable_checkpoint=true --checkpoint.interval=5)

# train RUN SIZE SEQUENCES: trains with micro-batches of this many sequences.
train() {
    local replicas=1 count=$2
    [[ $2 != *x* ]] || { replicas=${2%x*} count=$((${2%x*} * ${2#*x})); }
    ranks "$count" "${settings[@]}" --training.data_parallel_replicate_degree="$replicas" --training.batch_size="$3" \
        --job.dump_folder="$work/$1" || { cat "$work/log"; fail "$1 on $2 ranks"; }
}
check() { # RUN WHAT
    losses "$work/$1" >"$work/losses"
    same_within "$work/losses" "$work/losses-one" 1e-5 || fail "the losses of $2 are not those of one rank"
    sed -n 's/.*"step": *\([0-9]*\), "tokens": *\([0-9]*\).*"loss".*/\1 \2/p' "$work/$1/metrics.jsonl" |
        awk '$1 != NR || $2 != 512 * NR { bad = 1 } END { exit bad || NR != 20 }' || fail "$2: samples were lost or taken twice"
}

train one 1 8
losses "$work/one" >"$work/losses-one"
tokens=$("$FLAME" data inspect "$work/data.h5" | awk '$1 == "tokens" { print $2 }')
[ $((tokens / 64)) -lt 80 ] || fail "an epoch of $tokens tokens does not end within 10 steps"
pairs=0
for from in "${sizes[@]}"; do
    train "$from" "$from" 1
    check "$from" "$from ranks"
    for to in "${sizes[@]}"; do
        rm -rf "$work/moved"
        cp -r "$work/$from" "$work/moved"
        rm -r "$work"/moved/checkpoint/step-000000{10,15,20}
        train moved "$to" 2
        rm -r "$work/moved/checkpoint/step-00000020"
        train moved "$from" 3
        grep -q 'resuming after step 15' "$work/log" || { cat "$work/log"; fail "from $from to $to and back: not resumed"; }
        check moved "$from ranks, from step 6 on $to, from step 16 on $from"
        pairs=$((pairs + 1))
    done
done
echo "$pairs pairs of ${sizes[*]} ranks: the same losses, each sample once, in moves there and back"
