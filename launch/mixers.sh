# Read by the scripts that compare mixers: the keys with which each mixer becomes a model of about a million parameters on
# configs/bytes.yaml. All other keys have the defaults of that file and of fla.
declare -A mixer_keys=(
    [abc]="num_heads=4 num_slots=32"
    [based]="num_heads=4"
    [comba]="num_heads=3 head_dim=32"
    [delta_net]="num_heads=4"
    [deltaformer]="num_heads=4"
    [forgetting_transformer]="num_heads=4"
    [gated_deltanet]="num_heads=3 head_dim=32"
    [gated_deltaproduct]="num_heads=3 head_dim=32"
    [gateloop]=""
    [gla]="num_heads=4"
    [gru]=""
    [gsa]="num_heads=4 num_slots=32"
    [hgrn]=""
    [hgrn2]="expand_ratio=32"
    [kda]="num_heads=4 head_dim=32"
    [lightnet]="expand_ratio=32"
    [linear_attn]="num_heads=4"
    [lstm]=""
    [mamba]="num_hidden_layers=8"
    [mamba2]="num_hidden_layers=8 num_heads=8 head_dim=32 state_size=64"
    [mesa_net]="num_heads=4 head_dim=32"
    [mlstm_block]="num_hidden_layers=8 num_heads=4"
    [nsa]="num_heads=32 num_kv_heads=2 head_dim=16 block_size=16 block_counts=8 window_size=64"
    [path_attn]="num_heads=4"
    [rebased]="num_heads=4"
    [retnet]="num_heads=4"
    [rwkv6]="num_heads=4 proj_low_rank_dim=8 gate_low_rank_dim=16"
    [rwkv7]="head_dim=32 decay_low_rank_dim=16 gate_low_rank_dim=32 a_low_rank_dim=16 v_low_rank_dim=8"
    [samba]="attn.layers=[1,3] attn.num_heads=4"
    [transformer]="num_heads=4"
    [transformer_vq]="d_k=32 n_code=64 block_len=64 mem_len=64"
    [transnormer]="decoder_attention_heads=4 glu_dim=512"
    [tropical_attention]="num_heads=4"
    [two_simplicial]="num_heads=4 window1=64 window2=8"
    [xlstm]="num_heads=4"
)

# The families by which pictures group the mixers: mixers of a family have similar states.
mixer_families=(
    "linear attention: linear_attn retnet transnormer lightnet based rebased xlstm mlstm_block"
    "gates by channel: hgrn hgrn2 gla gsa abc rwkv6 gateloop"
    "state spaces: mamba mamba2 samba"
    "delta rules: delta_net gated_deltanet gated_deltaproduct comba kda rwkv7 mesa_net"
    "recurrent networks: lstm gru"
    "softmax attention: transformer forgetting_transformer path_attn deltaformer nsa two_simplicial transformer_vq tropical_attention"
)

# families_of MIXER...: sets `families` to the families that contain one of these mixers.
families_of() {
    local family mixer
    families=()
    for family in "${mixer_families[@]}"; do
        for mixer; do
            [[ " ${family#*:} " == *" $mixer "* ]] || continue
            families+=("$family")
            break
        done
    done
}

# mixer_arguments MIXER: sets `arguments` to those with which flame-c uses the mixer.
mixer_arguments() {
    local key
    arguments=(--config configs/bytes.yaml --model.model_type="$1")
    for key in ${mixer_keys[$1]}; do arguments+=("--model.$key"); done
}

# known_mixers NAME...: sets `mixers` to the names, or to all mixers if there are no names. Ends the script if one does not exist.
known_mixers() {
    local mixer
    mapfile -t mixers < <([ $# -gt 0 ] && printf '%s\n' "$@" || printf '%s\n' "${!mixer_keys[@]}" | sort)
    for mixer in "${mixers[@]}"; do
        [ -n "${mixer_keys[$mixer]+known}" ] && continue
        echo "${0##*/}: launch/mixers.sh has no mixer $mixer; it has: ${!mixer_keys[*]}" >&2
        exit 2
    done
}

# comparison_arguments FOLDER ARGUMENT...: reads the arguments [--out FOLDER] [MIXER...] of a script, and sets `out` and `mixers`.
comparison_arguments() {
    out=$1 mixers=()
    shift
    while [ $# -gt 0 ]; do
        case $1 in
            --out) [ $# -ge 2 ] && out=$2 && shift ;;
            -*) "launch/${0##*/}" --help >&2; exit 2 ;;
            *) mixers+=("$1") ;;
        esac
        shift
    done
    known_mixers "${mixers[@]}"
}

# draw_lengths TABLE PICTURE XLABEL YLABEL MIXER...: draws a panel for each family of mixers. The first line of the table ends with
# the lengths; each other line is a mixer and its figure at each length.
draw_lengths() {
    local table=$1 picture=$2 xlabel=$3 ylabel=$4 columns rows
    shift 4
    command -v gnuplot >/dev/null || { echo "${0##*/}: gnuplot is missing (Debian: apt install gnuplot-nox)" >&2; exit 1; }
    local mixer
    for mixer; do
        awk -v mixer="$mixer" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i ~ /^[0-9]+$/) length_of[++n] = $i }
            $1 == mixer { for (i = 1; i <= n; i++) print length_of[i], $(i + 1) }' "$table" >"$picture.$mixer"
    done
    families_of "$@"
    columns=$((${#families[@]} < 3 ? ${#families[@]} : 3)) rows=$(((${#families[@]} + 2) / 3))
    gnuplot <<END_OF_PLOT
set terminal pngcairo size $((560 * columns)),$((400 * rows)) font "Sans,11"
set output "$picture"
set logscale xy 2
set grid linecolor "#dddddd"
set border 3
set tics nomirror
set key outside right top samplen 2
set rmargin 25
set xlabel "$xlabel"
set ylabel "$ylabel"
set multiplot layout $rows,$columns
$(for family in "${families[@]}"; do lengths_panel "$picture" "$family" "$@"; done)
unset multiplot
END_OF_PLOT
    rm -f "$picture".*
}

# lengths_panel PICTURE FAMILY MIXER...: draws the mixers of the family over all others, which are grey.
lengths_panel() {
    local picture=$1 family=$2 mixer plots=
    shift 2
    for mixer; do
        [[ " ${family#*:} " == *" $mixer "* ]] || plots+=", '$picture.$mixer' with lines linecolor rgb '#d0d0d0' notitle"
    done
    for mixer; do
        [[ " ${family#*:} " == *" $mixer "* ]] && plots+=", '$picture.$mixer' with linespoints linewidth 1.6 title '${mixer//_/-}'"
    done
    printf 'set title "%s"\nplot %s\n' "${family%%:*}" "${plots#, }"
}
