#!/bin/sh
# Installs what is missing, builds flame-c and installs it. Further arguments go to cmake.
#   launch/install.sh [-DFLAME_NATIVE=OFF ...]      PREFIX: the target, /usr/local; BUILD: the build folder, build-install
set -eu
case " $* " in *" -h "* | *" --help "*) awk 'NR > 1 { if (!sub(/^# ?/, "")) exit; print }' "$0"; exit 0 ;; esac
cd "$(dirname "$0")/.."
for option in "$@"; do
    case $option in -D?*=*) ;; *) echo "install.sh: $option is not an option for cmake of the form -DNAME=VALUE" >&2; exit 2 ;; esac
done
build=${BUILD:-build-install}
./launch/setup.sh
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DFLAME_TESTS=OFF -DCMAKE_INSTALL_PREFIX="${PREFIX:-/usr/local}" "$@"
cmake --build "$build"
cmake --install "$build"
