#!/usr/bin/env bash
# Deleting a symbolic link never deletes its target: here another run, which must keep every byte.
source "$(dirname "$0")/common.sh"
make_data
make_config
other=$work/other
trains() { # RUN STEPS ARGUMENTS...
    ranks 1 --config "$work/config.yaml" --checkpoint.enable_checkpoint=true --checkpoint.interval=2 \
        --job.dump_folder="$1" --training.steps="$2" "${@:3}" || { cat "$work/log"; fail "training in $1 to step $2"; }
}
bytes_of_other() { (cd "$other" && find . -type f ! -name .lock -exec cksum {} +) | sort; }
other_is_whole() { [ "$(bytes_of_other)" = "$bytes" ] || fail "$1: the other run has changed: $(ls -R "$other")"; }
step() { printf '%s/checkpoint/step-%08d' "$1" "$2"; }
trains "$other" 4
bytes=$(bytes_of_other)

# Retention removes a step that is a link, and links inside of steps, without their targets.
mkdir -p "$work/run/checkpoint"
ln -s "$(step "$other" 2)" "$(step "$work/run" 2)"
trains "$work/run" 4 --checkpoint.keep_latest_k=2
ln -s "$other" "$(step "$work/run" 4)/folder"
ln -s "$(step "$other" 4)/model.safetensors" "$(step "$work/run" 4)/file"
trains "$work/run" 8 --checkpoint.keep_latest_k=1
[ "$(ls "$work/run/checkpoint")" = step-00000008 ] || fail "retention left $(ls "$work/run/checkpoint")"
other_is_whole "retention"

# The run's config.yaml as a link to a file that somebody wrote.
cp "$work/config.yaml" "$work/own.yaml" && ln -sf "$work/own.yaml" "$work/run/config.yaml"
trains "$work/run" 8
cmp "$work/config.yaml" "$work/own.yaml" || fail "the run wrote its config.yaml through a link"
grep -q 'start_over: false' "$work/run/config.yaml" || fail "the run has no config.yaml"

# A link under the name of the step that is saved, and one to nothing.
ln -s "$(step "$other" 4)" "$(step "$work/run" 10)"
rm "$(step "$work/run" 10)" && ln -s "$work/nothing" "$(step "$work/run" 10)"
ln -s "$(step "$other" 4)" "$(step "$work/run" 12)"
trains "$work/run" 12 --checkpoint.load_step=8 --checkpoint.keep_latest_k=0
[ -f "$(step "$work/run" 10)/state.json" ] || fail "step 10 was not saved over a link to nothing"
[ ! -L "$(step "$work/run" 12)" ] && [ -f "$(step "$work/run" 12)/state.json" ] || fail "step 12 is still a link"
other_is_whole "replacing a step"

# What a job that died left behind: a link in the place of its temporary folder, and links in one.
ln -s "$other" "$(step "$work/run" 14).tmp-dead"
mkdir "$(step "$work/run" 16).tmp-dead" && ln -s "$other/checkpoint" "$(step "$work/run" 16).tmp-dead/link"
trains "$work/run" 14
[ -z "$(find "$work/run/checkpoint" -name '*.tmp-*')" ] || fail "temporary folders are left: $(ls "$work/run/checkpoint")"
other_is_whole "cleaning temporary folders"

# An export that fails where a link already has the name of its temporary folder; then one that works.
cp -r "$(step "$other" 4)" "$work/damaged"
printf x | dd of="$work/damaged/model.safetensors" bs=1 seek=9000 conv=notrunc status=none
exports() { # CHECKPOINT; leaves the links of its process number
    (ln -s "$other/checkpoint" "$work/out.tmp-$BASHPID" && exec "$FLAME" export --checkpoint "$1" --out "$work/out") >"$work/log" 2>&1
}
exports "$work/damaged" && fail "a damaged checkpoint was exported"
grep -q 'is damaged' "$work/log" || fail "$(cat "$work/log")"
[ -z "$(find "$work" -maxdepth 1 -name 'out*')" ] || fail "a failed export left $(ls "$work")"
other_is_whole "an export that fails"
exports "$other" || fail "$(cat "$work/log")"
other_is_whole "an export"

# An import that fails (its weights are of another shape) and one that works, in a run with the leftovers of a dead one.
mkdir -p "$work/imported/checkpoint" && ln -s "$other/checkpoint" "$work/imported/checkpoint/step-00000000.tmp-dead"
cp -r "$work/out" "$work/cut" && truncate -s -4 "$work/cut/model.safetensors"
"$FLAME" import --from "$work/cut" --out "$work/imported" >"$work/log" 2>&1 && fail "a file that is cut off was imported"
"$FLAME" import --from "$work/out" --out "$work/imported" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
trains "$work/imported" 2
[ -z "$(find "$work/imported/checkpoint" -name '*.tmp-*')" ] || fail "left: $(ls "$work/imported/checkpoint")"
other_is_whole "an import"
echo "links are removed as links"
