#!/usr/bin/env bash
# README.md, CONTRIBUTING.md and docs/: links and names of files lead to something that exists; README lists every model and every
# page; pictures are small.
source "$(dirname "$0")/common.sh"
cd "$source_folder"
missing=0
absent() {
    echo "$1 names $2, which does not exist"
    missing=$((missing + 1))
}
# Headings of a page as GitHub makes anchors of them.
anchors() {
    sed -n 's/^#\+ //p' "$1" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9\n_-'
}
for page in README.md CONTRIBUTING.md CHANGELOG.md docs/*.md; do
    for link in $(grep -oE '\]\([^)]+\)' "$page" | sed 's/^](//; s/)$//' | grep -v '^http'); do
        target=${link%%#*}
        target=${target:+$(dirname "$page")/$target}
        target=${target:-$page}
        [ -e "$target" ] || { absent "$page" "$link"; continue; }
        [[ $link != *#* ]] || anchors "$target" | grep -qx -- "${link#*#}" || absent "$page" "$link"
    done
    [ "$page" != docs/adding-a-mixer.md ] || continue # its example is a mixer that does not exist
    for path in $(grep -oE '(build/)?(launch|configs|tools|src|tests|cmake)/[A-Za-z0-9_][A-Za-z0-9_/.-]*[A-Za-z0-9_]' "$page" | grep -v '^build/' | sort -u); do
        [ -e "$path" ] || absent "$page" "$path"
    done
done
for model in $(sed -n 's/^MIXER(\([a-z0-9_]*\).*/\1/p' src/models/mixers.def); do
    grep -q "^| .*\`$model\`" README.md || absent README.md "the model $model in its table; it"
done
for page in docs/*.md; do grep -qF "($page)" README.md || absent README.md "a link to $page; it"; done
for picture in docs/pictures/*; do
    [ "$(stat -c %s "$picture")" -lt 100000 ] || fail "$picture is larger than 100 kB"
    grep -qF "pictures/${picture##*/}" README.md docs/*.md || fail "no page shows $picture"
done
[ $missing = 0 ] || fail "$missing links or names of missing files"
echo "all links and names of files exist"
