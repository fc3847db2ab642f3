#!/bin/sh
# Installs what is missing, builds, runs every test, and says why tests were skipped.
#   launch/test.sh [-R checkpoint ...]      arguments go to ctest
set -eu
case " $* " in *" -h "* | *" --help "*) awk 'NR > 1 { if (!sub(/^# ?/, "")) exit; print }' "$0"; exit 0 ;; esac
cd "$(dirname "$0")/.."
for argument in "$@"; do
    case $argument in
        --rerun-failed | --output-on-failure | --stop-on-failure | --repeat | --timeout | --verbose) ;;
        --*) echo "test.sh: the option $argument is not passed on to ctest" >&2; exit 2 ;;
    esac
done
./launch/setup.sh
. ./launch/environment.sh
# Without a GPU no test runs the kernels that nvcc compiles, and nvcc takes as long as all tests.
preset=release build=build
if PATH=$PATH:/usr/local/cuda/bin command -v nvcc >/dev/null && ! nvidia-smi -L >/dev/null 2>&1; then
    preset=cpu build=build-cpu
    echo "test: there is no GPU here: testing a build for CPUs only, in $build"
fi
cmake --preset $preset
cmake --build --preset $preset
# Two at a time: most tests have one thread, and those with several ranks count as two.
export CTEST_PARALLEL_LEVEL="${CTEST_PARALLEL_LEVEL:-2}"
# Threads that wait sleep, because two tests with a thread per core would take the cores from each other by spinning.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
result=0
ctest --preset $preset "$@" || result=$?
# A test that is skipped prints "skipped: REASON"; ctest keeps that in its log only.
awk '/^[0-9]+\/[0-9]+ Test: / { test = $3 }
     sub(/^skipped: /, "") { reasons = reasons "  " test ": " $0 "\n" }
     END { if (reasons) printf "\nSkipped:\n%s", reasons }' $build/Testing/Temporary/LastTest.log
exit $result
