#!/usr/bin/env bash
# Draws the results of a suite: launch/plot-suite.sh FOLDER
# FOLDER has aggregate.csv. Makes, beside it and for each suite in it:
#   SUITE-score.png          each task's score by mixer, with 95 % intervals; dashed: an answer that does not depend on the input
#   SUITE-TASK-length.png    the score over the length of the tests, with a panel for each family of mixers; also over the number
#                            of pairs. The lengths are multiples of the training's, or those that the setting lists
#   SUITE-state.png          each task's score over the bytes of the state
#   SUITE-cost.png           tokens per second of training and, if tokens are answered one by one, of decoding; memory of training
set -euo pipefail
case " $* " in *" -h "* | *" --help "*) awk 'NR > 1 { if (!sub(/^# ?/, "")) exit; print }' "$0"; exit 0 ;; esac
[ $# = 1 ] && [[ $1 != -* ]] || { "$0" --help >&2; exit 2; }
folder=$1
source "$(dirname "$0")/mixers.sh"
[ -s "$folder/aggregate.csv" ] || { echo "plot-suite.sh: $folder/aggregate.csv is missing or empty" >&2; exit 1; }
command -v gnuplot > /dev/null || { echo "plot-suite.sh: gnuplot is missing (Debian: apt install gnuplot-nox)" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# rows SUITE: prints that suite's rows for all settings of a task, with fields separated by |. The first two fields are the number
# of the model's family and its place among all mixers. An empty field is NaN. A model of several words is a mixer with other keys.
rows() {
    awk -F, -v suite="$1" -v families="$(printf '%s\n' "${mixer_families[@]#*:}")" '
        BEGIN {
            n = split(families, family, "\n")
            for (f = 1; f <= n; f++) {
                m = split(family[f], mixer, " ")
                for (i = 1; i <= m; i++) { of[mixer[i]] = f; place[mixer[i]] = ++places }
            }
        }
        NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
        $column["suite"] == suite && $column["setting"] == "all" {
            model = $column["model"]; sub(/ .*/, "", model)
            if (!(model in of)) { of[model] = n + 1; place[model] = ++places }
            line = of[model] "|" place[model]
            m = split("task split model metric mean ci_low ci_high trivial state_bytes tokens_per_s peak_bytes decode_tokens_per_s", name, " ")
            for (i = 1; i <= m; i++) line = line "|" ($column[name[i]] == "" ? "NaN" : $column[name[i]])
            print line
        }' "$folder/aggregate.csv" | sort -t'|' -k2,2n -k5,5
}

# words COLUMN FILE: prints the column's different values, in the order of the file.
words() { awk -F'|' -v c="$1" '!seen[$c]++ { print $c }' "$2"; }

# begin PICTURE PANELS COLUMNS WIDTH HEIGHT: begins a picture. WIDTH and HEIGHT are those of a panel.
begin() {
    local rows=$((($2 + $3 - 1) / $3))
    printf 'set terminal pngcairo size %d,%d font "Sans,11"\nset output "%s"\n' $(($4 * $3)) $(($5 * rows)) "$1"
    printf 'set grid linecolor "#dddddd"\nset border 3\nset tics nomirror\nset datafile missing "NaN"\nset datafile separator "|"\n'
    printf 'set key top right\nset multiplot layout %d,%d\n' "$rows" "$3"
    pictures+=("$1")
}

# title TEXT: escapes _, which gnuplot would take for a subscript.
title() { printf 'set title "%s"\n' "$(tr _ ' ' <<< "$1")"; }

colours=('#1b6ca8' '#d1495b' '#2e933c' '#e08e1b' '#7b4fa3' '#5f6b6d' '#00a6a6')

# by_mixer FILE VALUE LOW HIGH LABEL: draws a panel with a bar or, if LOW is not 0, a mean and its interval for each model of FILE,
# whose columns 1, 2 and 5 are those of `rows`.
by_mixer() {
    local file=$1 f plots='' names
    words 5 "$file" > "$work/order"
    awk -F'|' -v OFS='|' 'NR == FNR { x[$1] = NR; next } { print x[$5], $0 }' "$work/order" "$file" > "$file.x"
    names=$(awk '{ name = $0; gsub(/_/, " ", name); printf("%s\"%s\" %d", (NR > 1 ? ", " : ""), name, NR) }' "$work/order")
    printf 'set xtics rotate by -45 (%s)\nset xrange [0.4:%d.6]\nset ylabel "%s"\n' "$names" "$(wc -l < "$work/order")" "$5"
    for ((f = 1; f <= ${#mixer_families[@]} + 1; f++)); do
        grep -q "^[0-9]*|$f|" "$file.x" || continue
        local at="'$file.x' using 1:(\$2 == $f ? \$$(($2 + 1)) : NaN)" family=${mixer_families[f - 1]:-others:}
        if [ "$3" = 0 ]; then
            plots+=", $at with boxes fillstyle solid 0.7 linecolor rgb '${colours[f - 1]}' title '${family%%:*}'"
        else
            plots+=", $at:$(($3 + 1)):$(($4 + 1)) with yerrorbars pointtype 7 linewidth 1.6 linecolor rgb '${colours[f - 1]}' title '${family%%:*}'"
        fi
    done
    printf 'set boxwidth 0.7\nplot %s%s\n' "${plots#, }" "${6:-}"
}

# scores SUITE: draws the scores. With a single seed, the interval is the score itself.
scores() {
    local task metric
    begin "$folder/$1-score.png" "$(words 3 "$work/rows" | wc -l)" 1 1300 400
    printf 'set key outside right top\nset lmargin 12\nset offsets graph 0, 0, 0.05, 0.05\n'
    words 3 "$work/rows" | while read -r task; do
        awk -F'|' -v OFS='|' -v task="$task" '$3 == task && $4 == "test" && $7 != "NaN" {
            if ($8 == "NaN") $8 = $9 = $7
            print
        }' "$work/rows" > "$work/$task"
        metric=$(head -n 1 "$work/$task" | cut -d'|' -f6)
        [ -n "$metric" ] || continue
        title "$task"
        by_mixer "$work/$task" 7 8 9 "${metric//_/ }" ", '$work/$task.x' using 1:11 with lines dashtype 2 linecolor rgb '#888888' title 'no input'"
    done
    printf 'unset multiplot\n'
}

# over SUITE TASK WORD: draws the splits that are called "WORD 2x" and so on, where "test" is 1x; or, if there are splits that are
# called "64x4", those by their length or their pairs.
over() {
    local f model n plots behind names families_here
    local listed=0
    awk -F'|' -v task="$2" '$3 == task && $4 ~ /^[0-9]+x[0-9]+$/ { found = 1 } END { exit !found }' "$work/rows" && listed=1
    awk -F'|' -v OFS='|' -v task="$2" -v word="$3" -v listed=$listed '
        $3 == task && $7 != "NaN" && (listed ? $4 ~ /^[0-9]+x[0-9]+$/ : $4 == "test" || $4 ~ "^" word " [0-9.]+x$") {
            x = 1
            if (listed) { split($4, number, "x"); x = number[word == "pairs" ? 2 : 1] }
            else if ($4 != "test") { x = $4; sub(/^[^ ]* /, "", x); sub(/x$/, "", x) }
            print $1, $5, x, $7, $8 == "NaN" ? $7 : $8, $9 == "NaN" ? $7 : $9
        }' "$work/rows" | sort -t'|' -k1,1n -k2,2 -k3,3g > "$work/over"
    words 1 "$work/over" > "$work/over.families"
    families_here=$(wc -l < "$work/over.families")
    begin "$folder/$1-$2-$3.png" "$families_here" $((families_here < 3 ? families_here : 3)) 600 420
    printf 'set key outside right top\nset rmargin 28\nset logscale x 2\nset xrange [%s]\nset yrange [0:*]\n' \
        "$(cut -d'|' -f3 "$work/over" | sort -g | awk 'NR == 1 { low = $1 * 0.9 } END { print low ":" $1 * 1.1 }')"
    printf 'set xlabel "%s%s"\nset ylabel "%s"\n' "$3" "$([ $listed = 1 ] || echo ", times that of the training")" \
        "$(head -n 1 "$work/rows" | cut -d'|' -f6 | tr _ ' ')"
    behind=$(words 2 "$work/over" | while read -r model; do
        printf "'%s' using (strcol(2) eq \"%s\" ? \$3 : NaN):4 with lines linewidth 0.8 linecolor rgb '#d0d0d0' notitle, " "$work/over" "$model"
    done)
    while read -r f; do
        names=${mixer_families[f - 1]:-others:} plots='' n=0
        title "${names%%:*}"
        while read -r model; do
            n=$((n + 1))
            plots+="'$work/over' using (strcol(2) eq \"$model\" ? \$3 : NaN):4:5:6 with yerrorlines linewidth 1.6 linecolor $n pointtype $((n + 3)) title '${model//_/ }', "
        done < <(grep "^$f|" "$work/over" | cut -d'|' -f2 | uniq)
        printf 'plot %s%s\n' "$behind" "${plots%, }"
    done < "$work/over.families"
    printf 'unset multiplot\n'
}

mark() { printf "pointsize 1.4 linewidth 1.6 linecolor rgb '%s' pointtype %d" "${colours[$1 - 1]}" $(($2 + 3)); } # FAMILY NUMBER

# states SUITE: draws models by colour and shape, which the last panel explains.
states() {
    local task number style model f plots=''
    awk -F'|' '$7 != "NaN" && $11 != "NaN" && $4 == "test"' "$work/rows" > "$work/states"
    [ -s "$work/states" ] || return 0
    style=$(cut -d'|' -f1,5 "$work/states" | awk -F'|' '!seen[$2]++ { print $1 "|" ++n[$1] "|" $2 }')
    number=$(words 3 "$work/states" | wc -l)
    begin "$folder/$1-state.png" $((number + 1)) $((number < 2 ? 2 : 3)) 500 450
    printf 'unset key\nset offsets graph 0, 0, 0.05, 0.05\nset xtics rotate by -45\nset logscale x 2\nset xrange [%s]\nset format x "%%.0b %%BB"\nset xlabel "state"\nset ylabel "%s"\n' \
        "$(cut -d'|' -f11 "$work/states" | sort -g | awk 'NR == 1 { low = $1 / 2 } END { print low ":" $1 * 2 }')" \
        "$(head -n 1 "$work/states" | cut -d'|' -f6 | tr _ ' ')"
    while read -r task; do
        plots=''
        while IFS='|' read -r f number model; do
            grep -qF "|$task|test|$model|" "$work/states" || continue
            plots+=", '$work/states' using (strcol(3) eq \"$task\" && strcol(5) eq \"$model\" ? \$11 : NaN):7 with points $(mark "$f" "$number")"
        done <<< "$style"
        title "$task"
        printf 'plot %s\n' "${plots#, }"
    done < <(words 3 "$work/states")
    printf 'set key on center center maxrows 22\nunset logscale\nunset title\nunset border\nunset tics\nunset xlabel\nunset ylabel\nunset grid\n'
    plots=''
    while IFS='|' read -r f number model; do plots+=", NaN with points $(mark "$f" "$number") title '${model//_/ }'"; done <<< "$style"
    printf 'set xrange [0:1]\nset yrange [0:1]\nplot %s\n' "${plots#, }"
    printf 'unset multiplot\n'
}

# of_first COLUMN: prints the rows of the first task that has numbers in this column. Its lengths are those of every model.
of_first() {
    awk -F'|' -v c="$1" '$4 == "test" && $c != "NaN" && (task == "" || $3 == task) { task = $3; print }' "$work/rows"
}

# costs SUITE: draws the costs. A training of a few steps has no speed.
costs() {
    local panels=0 speed
    of_first 13 | awk -F'|' -v OFS='|' '{ $13 /= 1048576; print }' > "$work/cost"
    of_first 12 > "$work/speed"
    of_first 14 > "$work/decoding"
    [ -s "$work/cost" ] || return 0
    for speed in cost speed decoding; do panels=$((panels + $([ -s "$work/$speed" ] && echo 1 || echo 0))); done
    begin "$folder/$1-cost.png" $panels 1 1300 400
    printf 'set key outside right top\nset lmargin 12\nset yrange [0:*]\n'
    cost_panel speed 12 "speed of the training" "tokens/s"
    cost_panel decoding 14 "speed of decoding" "tokens/s"
    cost_panel cost 13 "memory of the training" "MiB"
    printf 'unset multiplot\n'
}

cost_panel() { # FILE COLUMN TITLE UNIT
    [ -s "$work/$1" ] || return 0
    title "$(head -n 1 "$work/$1" | cut -d'|' -f3), $3"
    by_mixer "$work/$1" "$2" 0 0 "$4"
}

pictures=()
while read -r suite; do
    rows "$suite" > "$work/rows"
    { scores "$suite"; printf 'reset\n'; } > "$work/plot.gp"
    { costs "$suite"; printf 'reset\n'; } >> "$work/plot.gp"
    gnuplot "$work/plot.gp"
    states "$suite" > "$work/plot.gp"
    gnuplot "$work/plot.gp"
    while read -r task word; do
        over "$suite" "$task" "$word" > "$work/plot.gp"
        gnuplot "$work/plot.gp"
    done < <(awk -F'|' '$4 ~ /^[0-9]+x[0-9]+$/ && !listed[$3]++ { print $3, "length"; print $3, "pairs" }
        $4 ~ /^[a-z]+ [0-9.]+x$/ { sub(/ .*/, "", $4); if (!seen[$3, $4]++) print $3, $4 }' "$work/rows")
done < <(awk -F, 'NR > 1 && !seen[$1]++ { print $1 }' "$folder/aggregate.csv")
printf '%s\n' "${pictures[@]}"
