#!/usr/bin/env bash
# Checks the container recipes without a container: Docker or Apptainer knows every instruction, the files that they copy and run
# exist, and the program that they start is the one that launch/install.sh installs.
source "$(dirname "$0")/common.sh"
cd "$source_folder"

# Instructions of a Dockerfile, one a line: comments dropped, continued lines joined.
instructions() {
    sed -e '/^ *#/d' "$1" | sed -e ':again' -e '/\\$/{N;s/\\\n//;b again' -e '}' | grep -v '^ *$'
}

# has_scripts WHERE TEXT: each script /source/... that a command names can be run.
has_scripts() {
    local script found=0
    for script in $(grep -o '/source/[^ ;&|]*' <<<"$2"); do
        [ -x "${script#/source/}" ] || fail "$1 runs $script, which is not a program here"
        sh -n "${script#/source/}" || fail "$1 runs $script, which is no shell script"
        found=1
    done
    [ $found = 1 ] || fail "$1 runs no script of the repository"
}

recipe=launch/Dockerfile
instructions $recipe >"$work/instructions"
head -n 1 "$work/instructions" | grep -qE '^FROM [a-z0-9./:-]+$' || fail "$recipe does not begin with FROM IMAGE"
while read -r word rest; do
    case $word in
        FROM | ARG | ENV | WORKDIR) [ -n "$rest" ] || fail "$recipe: $word of nothing" ;;
        COPY)
            read -r from to <<<"$rest"
            [ -e "$from" ] && [ "$to" = /source ] || fail "$recipe: COPY $rest"
            ;;
        RUN)
            sh -n -c "$rest" || fail "$recipe: RUN is no shell command: $rest"
            has_scripts $recipe "$rest"
            ;;
        ENTRYPOINT) [ "$rest" = '["flame-c"]' ] || fail "$recipe starts $rest" ;;
        *) fail "$recipe: unknown instruction $word" ;;
    esac
done <"$work/instructions"
for argument in $(sed -n 's/^ARG \([A-Z]*\).*/\1/p' "$work/instructions"); do
    grep '^RUN' "$work/instructions" | grep -q "\$$argument" || fail "$recipe: nothing uses $argument"
done
grep -q '^ENTRYPOINT' "$work/instructions" || fail "$recipe starts nothing"

recipe=launch/flame-c.def
for section in $(sed -n 's/^\(%[a-z]*\).*/\1/p' $recipe); do
    [[ " %files %post %environment %runscript %test " == *" $section "* ]] || fail "$recipe: unknown section $section"
done
section() { sed -n "/^%$1\$/,/^%/p" $recipe | grep '^ '; }
[ "$(sed -n 1p $recipe)" = "Bootstrap: docker" ] || fail "$recipe does not begin with its source"
[ "$(sed -n 's/^From: //p' $recipe)" = "$(sed -n 's/^FROM //p' launch/Dockerfile)" ] || fail "the recipes begin with different images"
[ "$(section files | tr -d ' ')" = "./source" ] || fail "$recipe copies $(section files)"
for part in post runscript test; do sh -n -c "$(section $part)" || fail "$recipe: %$part is no shell script"; done
has_scripts $recipe "$(section post)"
section runscript | grep -qx '    exec flame-c "$@"' || fail "$recipe starts $(section runscript)"

# What install.sh runs, with cmake and setup.sh replaced by words: setup, configure without tests, build, install.
mkdir -p "$work/tree/launch" "$work/bin"
cp launch/install.sh "$work/tree/launch/"
printf '#!/bin/sh\necho setup\n' >"$work/tree/launch/setup.sh"
printf '#!/bin/sh\necho cmake "$@"\n' >"$work/bin/cmake"
chmod +x "$work/tree/launch/setup.sh" "$work/bin/cmake"
PATH=$work/bin:$PATH BUILD=there PREFIX=/opt "$work/tree/launch/install.sh" -DONE=1 >"$work/said" || fail "install.sh"
diff "$work/said" - <<END || fail "install.sh does other things than expected"
setup
cmake -S . -B there -G Ninja -DCMAKE_BUILD_TYPE=Release -DFLAME_TESTS=OFF -DCMAKE_INSTALL_PREFIX=/opt -DONE=1
cmake --build there
cmake --install there
END
echo "both recipes name what is here"
