#!/usr/bin/env bash
# Releases of fla and transformers read what flame-c writes, flame-c reads what they write, and the logits are the same. Each
# Python interpreter of $FLA_PYTHONS ("venv-a/bin/python venv-b/bin/python") stands for what is installed in it.
source "$(dirname "$0")/common.sh"
found=0
cases="abc comba delta_net deltaformer forgetting_transformer-gqa gated_deltanet-swa gated_deltaproduct gla-conv-gqa gla-swa gsa hgrn hgrn2 kda linear_attn mamba mamba2 mesa_net nsa path_attn-forget-gqa retnet rwkv6 rwkv7 samba transformer-qknorm xlstm xlstm-fused"

# obstacle CASE RELEASE: why this release cannot load the case; fails if it can.
obstacle() {
    case "$1, $2" in
        xlstm-fused,*" transformers 5."*) echo "transformers 5 sets initial values before it loads, and xLSTM's _init_weights raises with weight_mode: fused" ;;
        *) return 1 ;;
    esac
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
    "$python" "$source_folder/tools/compare_hf.py" "$ours"/* --flame-c "$FLAME" --length 80 --save "$theirs" >"$work/log" 2>&1 ||
        { cat "$work/log"; fail "what flame-c wrote, read by $release"; }
    "$python" "$source_folder/tools/compare_hf.py" "$theirs"/* --flame-c "$FLAME" --length 80 >"$work/log" 2>&1 ||
        { cat "$work/log"; fail "what $release wrote, read by flame-c"; }
    [ "$(grep -c 'compare_hf: passed' "$work/log")" = "$(wc -w <<<"$loaded")" ] || { cat "$work/log"; fail "a case is missing"; }
    echo "$release:$loaded"
done
[ "$found" -gt 0 ] || skip "no fla: FLA_PYTHONS names the interpreters of environments that have fla, transformers and torch"
