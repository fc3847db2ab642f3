#!/usr/bin/env bash
# flame-c suite speed: a row with times for each mixer and length, the same ones as a table, and the models; a second run replaces
# them; wrong keys, mixers and options are refused; launch/plot-speed.sh draws them, with the columns of other libraries.
source "$(dirname "$0")/common.sh"
sizes=(speed.lengths=[64,100] speed.heads=2 speed.head_dim=16 speed.repeats=1)
speed() { "$FLAME" suite speed --device cpu --out "$work/speed" "$@" >"$work/log" 2>&1; }

speed --mixers gla transformer delta_net --set "${sizes[@]}" || fail "speed: $(cat "$work/log")"
speed --mixers gla transformer --set "${sizes[@]}" speed.batch=2 model.use_cache=false || fail "speed again: $(cat "$work/log")"
[ "$(head -n 1 "$work/speed/speed.csv")" = \
    mixer,length,batch,heads,head_dim,forward_ms,forward_backward_ms,tokens_per_s,device,precision ] || fail "columns"
awk -F, 'NR > 1 { print $1, $2, $3, $4, $5, ($6 > 0 && $7 > 0), ($8 > 1990 * $2 / $7 && $8 < 2010 * $2 / $7), $9, $10 }' \
    "$work/speed/speed.csv" >"$work/rows"
diff - "$work/rows" <<END || fail "another CSV: $(cat "$work/speed/speed.csv")"
gla 64 2 2 16 1 1 cpu float32
gla 100 2 2 16 1 1 cpu float32
transformer 64 2 2 16 1 1 cpu float32
transformer 100 2 2 16 1 1 cpu float32
END
[ "$(grep -cE '^\| (64|100)( \| [0-9]+\.[0-9]{3}){2} \|$' "$work/speed/speed.md")" = 4 ] &&
    [ "$(grep -cF '| length | gla | transformer |' "$work/speed/speed.md")" = 2 ] || fail "tables: $(cat "$work/speed/speed.md")"
for mixer in gla transformer; do
    grep -q '"hidden_size": *32' "$work/speed/configs/$mixer.json" || fail "the configuration of $mixer"
done

speed --set "${sizes[@]}" speed.heads=4 speed.lengths=40 || fail "all mixers: $(cat "$work/log")"
! grep "left out" "$work/log" || fail "a mixer has no model"
[ "$(awk -F, 'NR > 1 && $6 > 0 && $7 > 0' "$work/speed/speed.csv" | wc -l)" = "$(grep -c '^MIXER' "$source_folder/src/models/mixers.def")" ] ||
    fail "a mixer has no times: $(cat "$work/speed/speed.csv")"

speed --mixers transformer --set "${sizes[@]}" speed.batch=1048576 speed.lengths=16777216 ||
    fail "a length that does not fit: $(cat "$work/log")"
grep -q '^transformer,16777216,1048576,2,16,,,,cpu,float32$' "$work/speed/speed.csv" &&
    grep -qF '| 16777216 | n/a |' "$work/speed/speed.md" ||
    fail "a length that does not fit: $(cat "$work/speed/speed.csv")"

refused() { # MESSAGE ARGUMENTS...
    local message=$1
    shift
    "$FLAME" suite "$@" --out "$work/refused" >"$work/log" 2>&1 && fail "accepted: $*"
    grep -qF -- "$message" "$work/log" || fail "$*: $(cat "$work/log")"
}
refused "did you mean speed.lengths?" speed --set speed.length=64
refused "did you mean gla?" speed --mixers glaa
refused "did you mean speed?" sped
refused "the sections speed and model" speed --set training.lr=1
refused "set these" speed --set model.hidden_size=64
refused "stands alone" speed mqar
refused "stands alone" speed --quick
refused "none of the mixers" speed --mixers gla --set model.nonsense=1
[ ! -e "$work/refused/speed.csv" ] || fail "a refused run wrote results"

command -v gnuplot >/dev/null || { echo "timed and refused; no gnuplot"; exit 0; }
speed --mixers gla transformer --set "${sizes[@]}" || fail "speed: $(cat "$work/log")"
printf '%s\n' "torch sdpa,64,1,2,16,1,2,3,cpu,float32" "torch sdpa,100,1,2,16,,,,cpu,float32" >>"$work/speed/speed.csv"
"$source_folder/launch/plot-speed.sh" "$work/speed" >"$work/pictures" 2>"$work/log" || fail "plot-speed.sh: $(cat "$work/log")"
[ ! -s "$work/log" ] || fail "gnuplot says: $(cat "$work/log")"
printf '%s\n' "$work"/speed/speed-forward{,-backward}.png | diff - "$work/pictures" || fail "other pictures"
while read -r picture; do [ "$(wc -c <"$picture")" -gt 4000 ] || fail "$picture is empty"; done <"$work/pictures"
echo "timed, refused and drawn"
