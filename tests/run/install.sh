#!/usr/bin/env bash
# `cmake --install` into an empty folder: the installed program trains with an installed configuration, and all its files
# are installed. Needs BUILD, the build folder.
source "$(dirname "$0")/common.sh"
prefix=$work/prefix
cmake --install "${BUILD:?the build folder}" --prefix "$prefix" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
FLAME=$prefix/bin/flame-c

"$FLAME" --version >"$work/version" || fail "--version"
version=$(sed -n '1s/flame-c //p' "$work/version")
make_data
cd "$work"
"$FLAME" --config "$prefix/share/flame-c/configs/bytes.yaml" --model.model_type=gla --data.files="$work/data.h5" \
    --training.steps=2 --training.global_batch_size=1 --training.batch_size=1 --training.seq_len=64 >"$work/log" 2>&1 ||
    fail "the installed program does not train: $(cat "$work/log")"

for file in README.md CHANGELOG.md LICENSE CITATION.cff docs/models.md; do
    [ -s "$prefix/share/doc/flame-c/$file" ] || fail "share/doc/flame-c/$file is missing"
done
"$FLAME" --man | cmp - "$prefix/share/man/man1/flame-c.1" || fail "the manual page is missing or another"
"$FLAME" --completion bash | cmp - "$prefix/share/bash-completion/completions/flame-c" || fail "bash's completion is missing or another"
"$FLAME" --completion zsh | cmp - "$prefix/share/zsh/site-functions/_flame-c" || fail "zsh's completion is missing or another"
for config in "$source_folder"/configs/*.yaml; do
    cmp -s "$config" "$prefix/share/flame-c/configs/$(basename "$config")" || fail "$(basename "$config") is missing or another"
done
grep -q "^## $version " "$source_folder/CHANGELOG.md" || fail "CHANGELOG.md has no section for $version"
grep -qx "version: $version" "$source_folder/CITATION.cff" || fail "CITATION.cff names another version than $version"
echo "installed flame-c $version"
