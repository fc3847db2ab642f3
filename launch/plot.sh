#!/bin/sh
# Draws loss, validation loss, learning rate, gradient norm and tokens/s of one or more runs into one picture.
#   launch/plot.sh [-o FILE.png|FILE.svg] [-q QUANTITY,...] [-g "TITLE: NAME NAME..."]... RUN...
# RUN is a job.dump_folder or its metrics.jsonl. Without -o the picture is curves.png in the first run's folder; without -q it
# has all of loss, val_loss, lr, grad_norm and tokens_per_second. With -g there is a panel for each group of runs, named by their
# folders, which stand out against all other runs in grey; -q then names one quantity.
set -eu
case " $* " in *" -h "* | *" --help "*) awk 'NR > 1 { if (!sub(/^# ?/, "")) exit; print }' "$0"; exit 0 ;; esac
output='' all='loss val_loss lr grad_norm tokens_per_second'
quantities=$all
groups=
while getopts o:q:g: option; do
    case $option in
        o) output=$OPTARG ;;
        g) groups="$groups$OPTARG
" ;;
        q) quantities=$(echo "$OPTARG" | tr , ' ') ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { "$0" --help >&2; exit 2; }
for quantity in $quantities; do
    case " $all " in *" $quantity "*) ;; *) echo "plot.sh: there is no quantity $quantity; the quantities are: $all" >&2; exit 2 ;; esac
done
[ -z "$groups" ] || [ "$(echo "$quantities" | wc -w)" = 1 ] || { echo "plot.sh: with -g, -q names one quantity" >&2; exit 2; }
command -v gnuplot > /dev/null || { echo "plot.sh: gnuplot is missing (Debian: apt install gnuplot-nox)" >&2; exit 1; }

columns=$(mktemp -d)
trap 'rm -rf "$columns"' EXIT

# Makes a file per quantity and run, with steps and values. Values that were not finite are null in metrics.jsonl and leave a gap.
extract() { # FILE KEY
    awk -v key="\"$2\": " '{
        at = index($0, key)
        if (!at) next
        value = substr($0, at + length(key)); sub(/[,}].*/, "", value)
        step = substr($0, index($0, "\"step\": ") + 8); sub(/[,}].*/, "", step)
        print step, value == "null" ? "NaN" : value
    }' "$1"
}

style() { # NUMBER: eight colours, then the same ones dashed
    printf 'linewidth 1.6 linecolor %d dashtype %d' $((($1 - 1) % 8 + 1)) $((($1 - 1) / 8 + 1))
}

marks() { # KEY: validations are few
    [ "$1" = val_loss ] && echo linespoints || echo lines
}

curve() { # KEY TITLE AXES: one panel with every run that has this quantity
    plots=
    run_number=0
    for run in "$columns"/run-*; do
        run_number=$((run_number + 1))
        [ -s "$run/$1" ] || continue
        plots="$plots${plots:+, }'$run/$1' using 1:2 with $(marks "$1") $(style $run_number) title '$(cat "$run/name")'"
    done
    [ -n "$plots" ] || return 0
    printf 'set title "%s"\nunset logscale y\nset format y "%%g"\n%s\nplot %s\n' "$2" "$3" "$plots"
}

group() { # KEY TITLE NAMES: one panel in which the runs of these names stand out
    behind= before=
    run_number=0
    for run in "$columns"/run-*; do
        [ -s "$run/$1" ] || continue
        case " $3 " in
            *" $(cat "$run/folder") "*)
                run_number=$((run_number + 1))
                before="$before, '$run/$1' using 1:2 with $(marks "$1") $(style $run_number) title '$(cat "$run/name")'"
                ;;
            *) behind="$behind, '$run/$1' using 1:2 with $(marks "$1") linewidth 0.8 linecolor rgb '#d0d0d0' notitle" ;;
        esac
    done
    plots=$behind$before
    [ -z "$before" ] || printf 'set title "%s"\nplot %s\n' "$2" "${plots#, }"
}

legend() { # one panel with the names alone
    plots=
    run_number=0
    for run in "$columns"/run-*; do
        run_number=$((run_number + 1))
        plots="$plots${plots:+, }NaN with lines $(style $run_number) title '$(cat "$run/name")'"
    done
    printf 'set key on center center\nunset title\nunset border\nunset tics\nunset xlabel\n'
    printf 'unset grid\nset xrange [0:1]\nset yrange [0:1]\nplot %s\n' "$plots"
}

number=0
for run in "$@"; do
    file=$run
    [ -d "$run" ] && file=$run/metrics.jsonl
    [ -s "$file" ] || { echo "plot.sh: $file is missing or empty" >&2; exit 1; }
    number=$((number + 1))
    folder=$columns/run-$(printf %03d $number)
    mkdir "$folder"
    for quantity in $quantities; do extract "$file" "$quantity" > "$folder/$quantity"; done
    basename "$(cd "$(dirname "$file")" && pwd)" > "$folder/folder"
    tr "_'" '- ' < "$folder/folder" > "$folder/name" # gnuplot would take _ for a subscript and a quote for the end of the title
    [ -n "$output" ] || output=$(dirname "$file")/curves.png
done

legend=$((number > 3)) panels=$(echo "$quantities" | wc -w)
[ -z "$groups" ] || legend=0 panels=$(echo "$groups" | grep -c .)
panels=$((panels + legend))
columns_of_panels=$((panels < 3 ? panels : 3)) rows_of_panels=$(((panels + 2) / 3))
size=$((466 * columns_of_panels)),$((450 * rows_of_panels))
case $output in
    *.svg) terminal="svg size $size font 'sans-serif,14' background '#ffffff'" ;;
    *) terminal="pngcairo size $size font 'Sans,11'" ;;
esac
{
    printf 'set terminal %s\nset output "%s"\n' "$terminal" "$output"
    printf 'set grid linecolor "#dddddd"\nset border 3\nset tics nomirror\nset xlabel "step"\nset key top right\n'
    printf 'set xrange [0:*]\nset multiplot layout %d,%d\n' $rows_of_panels $columns_of_panels
    [ "$legend" = 0 ] || printf 'unset key\n'
    [ -z "$groups" ] || printf 'set format y "%%g"\nset ylabel "%s"\n' "$(echo "$quantities" | tr _ ' ')"
    echo "$groups" | while IFS=: read -r title names; do
        [ -z "$title" ] || group "$quantities" "$title" "$names"
    done
    for quantity in $quantities; do
        [ -z "$groups" ] || continue
        case $quantity in
            loss) curve loss "training loss" "" ;;
            val_loss) curve val_loss "validation loss" "" ;;
            lr) curve lr "learning rate" "set yrange [0:*]" ;;
            grad_norm) curve grad_norm "gradient norm" "set yrange [*:*]; set logscale y" ;;
            tokens_per_second) curve tokens_per_second "tokens per second" "set yrange [0:*]" ;;
        esac
    done
    [ "$legend" = 0 ] || legend
    printf 'unset multiplot\n'
} > "$columns/plot.gp"
gnuplot "$columns/plot.gp"
echo "$output"
