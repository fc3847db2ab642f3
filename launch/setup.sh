#!/bin/sh
# Installs what flame-c needs and this machine lacks (Debian, Ubuntu). On other systems it lists what is missing and exits with 1.
#   launch/setup.sh [bundle]      bundle: also what launch/bundle.sh needs
set -u
case " $* " in *" -h "* | *" --help "*) awk 'NR > 1 { if (!sub(/^# ?/, "")) exit; print }' "$0"; exit 0 ;; esac
bundle=no
case "$*" in '') ;; bundle) bundle=yes ;; *) "$0" --help >&2; exit 2 ;; esac

# The requirements, one a line: a Debian package, and a test that succeeds if its content is installed from any source.
needs() {
    cat <<'LIST'
gcc               command -v cc
libc6-dev         has_header stdio.h
make              command -v make
cmake             command -v cmake
ninja-build       command -v ninja
pkg-config        command -v pkg-config
libopenmpi-dev    command -v mpicc
openmpi-bin       command -v mpirun
libhdf5-dev       pkg-config --exists hdf5
zlib1g-dev        pkg-config --exists zlib
libyaml-dev       pkg-config --exists yaml-0.1
libjansson-dev    pkg-config --exists jansson
libpcre2-dev      pkg-config --exists libpcre2-8
libutf8proc-dev   pkg-config --exists libutf8proc
libcmocka-dev     pkg-config --exists cmocka
libdnnl-dev       has_matrix_library
gnuplot-nox       command -v gnuplot
xz-utils          command -v xz
LIST
    [ "$bundle" = no ] || echo 'libblis-serial-dev has_blis'
}

has_blis() {
    has_header blis-serial/blis.h || has_header blis/blis.h
}

has_header() {
    printf '#include <%s>\n' "$1" | cc -E -
}

has_matrix_library() {
    has_header dnnl.h || pkg-config --exists openblas
}

missing_packages() {
    needs | while read -r package test; do
        $test >/dev/null 2>&1 </dev/null || printf '%s ' "$package"
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "setup: not root and no sudo; run as root: $*" >&2
        return 1
    fi
}

install() {
    echo "setup: installing $*"
    as_root apt-get update -qq &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

check_cmake() {
    version=$(cmake --version | sed -n '1s/[^0-9]*\([0-9]*\.[0-9]*\).*/\1/p')
    if [ "${version%.*}" -lt 3 ] || { [ "${version%.*}" = 3 ] && [ "${version#*.}" -lt 25 ]; }; then
        echo "setup: CMake $version is too old, 3.25 is needed (for instance: pip install cmake)" >&2
        return 1
    fi
}

# Says on which drivers a program built with this machine's CUDA will run, if it has one.
say_driver() {
    nvcc=$(PATH=$PATH:/usr/local/cuda/bin command -v nvcc) || return 0
    version=$("$nvcc" --version | sed -n 's/.*release \([0-9]*\.[0-9]*\).*/\1/p')
    case $version in 12.*) oldest=525 ;; *) oldest=580 ;; esac
    echo "setup: with CUDA $version ($nvcc) flame-c is built for NVIDIA drivers from R$oldest on"
    driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1)
    case $driver in [1-9]*.*) ;; *) return 0 ;; esac
    [ "${driver%%.*}" -ge "$oldest" ] ||
        echo "setup: the driver here is $driver: build with CUDA 12, for drivers from R525 on (launch/cuda12.sh)"
}

[ "$bundle" = yes ] || say_driver # a bundle is built with a CUDA of its own
missing=$(missing_packages)
if [ -n "$missing" ] && command -v apt-get >/dev/null; then
    # shellcheck disable=SC2086 # one word per package
    install $missing || exit 1
    missing=$(missing_packages)
fi
if [ -n "$missing" ]; then
    echo "setup: please install, by the names of Debian's packages: $missing" >&2
    exit 1
fi
check_cmake || exit 1
echo "setup: nothing is missing"
