#!/usr/bin/env bash
# Lays out a CUDA 12 toolkit in a folder of its own (200 MB), for programs that run on NVIDIA drivers from R525 on. The compiler,
# 12.4, is that of Debian 13's package nvidia-cuda-toolkit, because NVIDIA's Python wheels of CUDA 12 have no nvcc; headers and
# runtime are from those wheels. Nothing is installed; 1 GB is downloaded on the way. Needs apt-get, dpkg-deb, python3 and pip.
#   launch/cuda12.sh [FOLDER]       the folder is new; default: build-cuda12. Then: cmake -DCUDAToolkit_ROOT=$PWD/FOLDER ...
#                                   SOURCE: apt's line for Debian 13; needed if apt does not know a mirror of Debian
set -euo pipefail
case " $* " in *" -h "* | *" --help "*) awk 'NR > 1 { if (!sub(/^# ?/, "")) exit; print }' "$0"; exit 0 ;; esac
case $#:${1:-} in 0: | 1:[!-]*) ;; *) "$0" --help >&2; exit 2 ;; esac
cd "$(dirname "$0")/.."
toolkit=${1:-build-cuda12}
[ ! -e "$toolkit" ] || { echo "$toolkit exists: remove it, or name another folder" >&2; exit 2; }
for program in apt-get dpkg-deb python3; do
    command -v $program >/dev/null || { echo "cuda12.sh: $program is missing" >&2; exit 1; }
done
python3 -m pip --version >/dev/null || { echo "cuda12.sh: python3 has no pip" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    awk '$1 == "Debian" && $2 !~ /security/ { print $2; exit }')
source=${SOURCE:-${mirror:+deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie non-free}}
[ -n "$source" ] || { echo "cuda12.sh: apt knows no mirror of Debian: set SOURCE, as in 'deb [trusted=yes] URL trixie non-free'" >&2; exit 1; }

# Runs apt-get with lists, a cache and a state of its own.
mkdir -p "$work"/state/lists/partial "$work"/cache/archives/partial
echo "$source" >"$work/sources.list"
touch "$work/status"
own_apt() {
    apt-get -qq -o Dir::State="$work/state" -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" \
        -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root "$@"
}
own_apt update
(cd "$work" && own_apt download nvidia-cuda-toolkit)
dpkg-deb -x "$work"/nvidia-cuda-toolkit_*.deb "$work/compiler"

# take WHEEL==VERSION FOLDER SUFFIX TO: copies the files of the wheel's FOLDER whose names end in SUFFIX.
take() {
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$work/wheels" "$1"
    python3 - "$work"/wheels/*.whl "$2/" "$3" "$4" <<'END'
import os, sys, zipfile
wheel, folder, suffix, to = sys.argv[1:]
with zipfile.ZipFile(wheel) as files:
    for name in files.namelist():
        if name.startswith(folder) and name.endswith(suffix) and not name.endswith((".py", "/")):
            path = os.path.join(to, name[len(folder):])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(files.read(name))
END
    rm -r "$work/wheels"
}
made=$work/toolkit
mkdir -p "$made"/{bin,nvvm/bin,nvvm/libdevice,include,lib64}
take nvidia-cuda-nvcc-cu12==12.4.131 nvidia/cuda_nvcc/include "" "$made/include"
take nvidia-cuda-runtime-cu12==12.4.127 nvidia/cuda_runtime/include "" "$made/include"
take nvidia-cuda-runtime-cu12==12.9.79 nvidia/cuda_runtime/lib .a "$made/lib64" # the first with the static library
take nvidia-cublas-cu12==12.4.5.8 nvidia/cublas/include "" "$made/include"
take nvidia-nccl-cu12==2.28.9 nvidia/nccl/include "" "$made/include"
cp -r "$work"/compiler/usr/lib/nvidia-cuda-toolkit/bin/{nvcc,crt} "$made/bin/"
cp "$work"/compiler/usr/bin/{cudafe++,fatbinary,ptxas,nvlink,bin2c,cuobjdump} "$made/bin/"
cp "$work/compiler/usr/lib/nvidia-cuda-toolkit/bin/cicc" "$made/nvvm/bin/"
cp "$work"/compiler/usr/lib/nvidia-cuda-toolkit/libdevice/* "$made/nvvm/libdevice/"
cat >"$made/bin/nvcc.profile" <<'END'
TOP                = $(_HERE_)/..
CICC_PATH          = $(TOP)/nvvm/bin
NVVMIR_LIBRARY_DIR = $(TOP)/nvvm/libdevice
PATH              += $(TOP)/nvvm/bin:$(_HERE_):
INCLUDES          += "-I$(TOP)/include" $(_SPACE_)
LIBRARIES         =+ $(_SPACE_) "-L$(TOP)/lib64"
END
"$made/bin/nvcc" --version | tail -n 2
mv "$made" "$toolkit"
echo "$toolkit: now cmake -DFLAME_CUDA=ON -DCUDAToolkit_ROOT=$(cd "$toolkit" && pwd) ..."
