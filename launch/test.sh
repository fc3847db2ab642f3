#!/bin/sh
# Installs what is missing, builds, and runs every test. Further arguments go to ctest: launch/test.sh -R checkpoint
set -eu
cd "$(dirname "$0")/.."
./launch/setup.sh
. ./launch/environment.sh
cmake --preset release
cmake --build --preset release
ctest --preset release "$@"
