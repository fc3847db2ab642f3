#!/usr/bin/env bash
# Draws the times of mixers over the length of the sequence: launch/plot-speed.sh FOLDER
# FOLDER has speed.csv of `flame-c suite speed`. Makes, beside it:
#   speed-forward.png            the time of forward, both axes logarithmic, a panel for each family of mixers
#   speed-forward-backward.png   the same for forward and backward
set -euo pipefail
case " $* " in *" -h "* | *" --help "*) awk 'NR > 1 { if (!sub(/^# ?/, "")) exit; print }' "$0"; exit 0 ;; esac
[ $# = 1 ] && [[ $1 != -* ]] || { "$0" --help >&2; exit 2; }
folder=$1
source "$(dirname "$0")/mixers.sh"
[ -s "$folder/speed.csv" ] || { echo "plot-speed.sh: $folder/speed.csv is missing or empty" >&2; exit 1; }
command -v gnuplot > /dev/null || { echo "plot-speed.sh: gnuplot is missing (Debian: apt install gnuplot-nox)" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A line "family|mixer|length|forward|forward and backward" for each time. Another library's column, "fla gla" or "torch sdpa",
# belongs to the family of its last word, and a mixer without a family to the last family.
awk -F, -v families="$(printf '%s\n' "${mixer_families[@]#*:}")" '
    BEGIN {
        n = split(families, family, "\n")
        for (f = 1; f <= n; f++) {
            m = split(family[f], mixer, " ")
            for (i = 1; i <= m; i++) of[mixer[i]] = f
        }
        of["sdpa"] = of["transformer"]
    }
    NR > 1 && $6 != "" {
        last = $1; sub(/.* /, "", last)
        print (last in of ? of[last] : n + 1) "|" $1 "|" $2 "|" $6 "|" $7
    }' "$folder/speed.csv" | sort -t'|' -s -k1,1n > "$work/times"
mapfile -t here < <(cut -d'|' -f1 "$work/times" | uniq)
of_mixer() { printf "'%s' using (strcol(2) eq \"%s\" ? \$3 : NaN):%d" "$work/times" "$1" "$2"; } # MIXER COLUMN

# picture COLUMN NAME TITLE: draws the mixers of each family over all others, which are grey. Other libraries are dashed.
picture() {
    local f model names plots n columns=$((${#here[@]} < 3 ? ${#here[@]} : 3)) rows=$(((${#here[@]} + 2) / 3))
    printf 'set terminal pngcairo size %d,%d font "Sans,11"\nset output "%s"\n' $((600 * columns)) $((420 * rows)) "$folder/$2"
    printf 'set grid linecolor "#dddddd"\nset border 3\nset tics nomirror\nset datafile separator "|"\nset key outside right top\n'
    printf 'set rmargin 28\nset logscale x 2\nset logscale y\nset xlabel "tokens of a sequence"\nset ylabel "%s, ms"\n' "$3"
    printf 'set multiplot layout %d,%d\n' "$rows" "$columns"
    for f in "${here[@]}"; do
        names=${mixer_families[f - 1]:-others:} plots='' n=0
        while read -r model; do
            plots+="$(of_mixer "$model" "$1") with lines linewidth 0.8 linecolor rgb '#d0d0d0' notitle, "
        done < <(grep -v "^$f|" "$work/times" | cut -d'|' -f2 | uniq)
        while read -r model; do
            n=$((n + 1))
            plots+="$(of_mixer "$model" "$1") with linespoints linewidth 1.6 linecolor $n pointtype $((n + 3)) "
            plots+="dashtype $([[ $model = *\ * ]] && echo 2 || echo 1) title '${model//_/ }', "
        done < <(grep "^$f|" "$work/times" | cut -d'|' -f2 | uniq)
        printf 'set title "%s"\nplot %s\n' "${names%%:*}" "${plots%, }"
    done
    printf 'unset multiplot\n'
}

picture 4 speed-forward.png forward > "$work/plot.gp"
gnuplot "$work/plot.gp"
picture 5 speed-forward-backward.png 'forward and backward' > "$work/plot.gp"
gnuplot "$work/plot.gp"
printf '%s\n' "$folder/speed-forward.png" "$folder/speed-forward-backward.png"
