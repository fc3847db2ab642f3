#!/usr/bin/env bash
# Releases of fla and transformers read what flame-c writes, flame-c reads what they write, and the logits are the same. Each
# Python interpreter of $FLA_PYTHONS ("venv-a/bin/python venv-b/bin/python") stands for what is installed in it. The models
# are those of the golden cases, without those that neither fla nor transformers has. Mamba's are read by transformers' own
# classes, too.
source "$(dirname "$0")/common.sh"
found=0
ours_alone=" based gateloop gru lstm mlstm_block rebased transformer_vq transnormer tropical_attention two_simplicial "
cases=
for config in "$source_folder"/tests/golden/*/config.json; do
    model=$(sed -n 's/.*"model_type": "\([a-z0-9_]*\)".*/\1/p' "$config")
    [[ $ours_alone == *" $model "* ]] || cases+=" $(basename "$(dirname "$config")")"
done

# obstacle CASE RELEASE: why this release cannot load the case, or computes something else; fails if it can.
obstacle() {
    case "$1, $2" in
        xlstm-fused,*" transformers 5."*) echo "transformers 5 sets initial values before it loads, and xLSTM's _init_weights raises with weight_mode: fused" ;;
        gated_deltanet-sigmoid-conv7,*"flash-linear-attention 0.5."*) echo "fla 0.5 gates with silu whatever output_gate_activation is" ;;
        linear_attn-conv-gqa-packed,*) echo "fla's linear attention has no short convolutions" ;;
        *) return 1 ;;
    esac
}

# compare FOLDER OPTION...: the logits of all models in the folder, and how far they are from flame-c's.
compare() {
    local folder=$1
    shift
    "$python" "$source_folder/tools/compare_hf.py" "$folder"/* --flame-c "$FLAME" --length 80 "$@" >"$work/log" 2>&1 || return 1
    [ "$(grep -c 'compare_hf: passed' "$work/log")" = "$(ls "$folder" | wc -l)" ] || fail "a case is missing"
    sed -n 's/.*logits differ by \([^ ]*\).*/\1/p' "$work/log" | sort -g | tail -n1
}

for python in ${FLA_PYTHONS:-}; do
    command -v "$python" >/dev/null || { echo "there is no $python"; continue; }
    if ! release=$("$python" -c 'import importlib.metadata as m
print(*(f"{n} {m.version(n)}" for n in ("flash-linear-attention", "transformers", "torch")))' 2>"$work/err"); then
        echo "$python: $(tail -n1 "$work/err")"
        continue
    fi
    found=$((found + 1))
    ours=$work/ours-$found theirs=$work/theirs-$found
    loaded=
    for case in $cases; do
        if reason=$(obstacle "$case" "$release"); then
            echo "$release: not $case: $reason"
            continue
        fi
        loaded+=" $case"
        ranks 1 import --from "$source_folder/tests/golden/$case" --out "$work/run-$found-$case" || { cat "$work/log"; fail "import of $case"; }
        ranks 1 export --checkpoint "$work/run-$found-$case" --out "$ours/$case" --dtype float32 || { cat "$work/log"; fail "export of $case"; }
    done
    read_by_them=$(compare "$ours" --save "$theirs") || { cat "$work/log"; fail "what flame-c wrote, read by $release"; }
    read_by_us=$(compare "$theirs") || { cat "$work/log"; fail "what $release wrote, read by flame-c"; }
    own=$work/own-$found
    mkdir "$own"
    ln -s "$ours"/mamba* "$own"
    read_without_fla=$(compare "$own" --without-fla) || { cat "$work/log"; fail "what flame-c wrote, read by $release without fla"; }
    echo "$release:$loaded; logits differ by $read_by_them, $read_by_us and, without fla, $read_without_fla at most"
done
[ "$found" -gt 0 ] || skip "no fla: FLA_PYTHONS names the interpreters of environments that have fla, transformers and torch"
