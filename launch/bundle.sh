#!/usr/bin/env bash
# Puts flame-c, the op tests, mpirun for one host, and every shared library that they need into one folder that can be copied
# to another machine with another distribution, and into bundle.tar.xz (< 60 MB). CUDA's own libraries (cuBLASLt, NCCL, the
# driver) are taken from that machine. There: tar -xf bundle.tar.xz && bundle/launch/gpu-check.sh
#   launch/bundle.sh [FOLDER] [cmake options]      the folder is new; default: bundle
set -euo pipefail
cd "$(dirname "$0")/.."
bundle=${1:-bundle}
[ $# = 0 ] || shift
largest=60000000
[ ! -e "$bundle" ] || { echo "$bundle exists: remove it, or name another folder" >&2; exit 2; }

cmake -S . -B build-bundle -G Ninja -DCMAKE_BUILD_TYPE=Release -DFLAME_NATIVE=OFF "$@"
cmake --build build-bundle --target flame-c test_ops
mkdir -p "$bundle"/{bin,lib,openmpi,launch,tests,tools}

# copy_libraries FILE...: what the dynamic loader would load for them.
copy_libraries() {
    ldd "$@" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^\t\(\/[^ ]*ld-linux[^ ]*\) .*/\1/p' | sort -u | while read -r library; do
        cp -nL "$library" "$bundle/lib/"
    done
}

cp build-bundle/flame-c build-bundle/tests/test_ops "$bundle/bin/"
cp -L "$(command -v mpirun)" "$bundle/bin/mpirun"
plugins=$(ompi_info --parsable --path pkglibdir | sed 's/.*://')
find "$plugins" -name 'mca_*.so' | grep -vE 'ucx|ofi|psm|openib|usnic|portals|uct|ugni|cuda|fbtl|fcoll|fs_|io_|osc_|sharedfp' |
    xargs cp -t "$bundle/openmpi"
copy_libraries "$bundle"/bin/* "$bundle"/openmpi/*.so
cp -r "$(ompi_info --parsable --path pkgdatadir | sed 's/.*://')" "$bundle/openmpi/share"
strip "$bundle"/bin/* "$bundle"/lib/*.so* 2>/dev/null || true
loader=$(basename "$(ls "$bundle"/lib/ld-linux*)")

# One script for all programs: the bundle's own loader, so that the machine's C library does not matter.
for program in flame-c test_ops mpirun; do
    cat >"$bundle/$program" <<END
#!/bin/sh
here=\$(cd "\$(dirname "\$0")" && pwd)
export OMPI_MCA_mca_base_component_path="\$here/openmpi" OPAL_PKGDATADIR="\$here/openmpi/share"
export OMPI_MCA_plm=isolated
exec "\$here/lib/$loader" --library-path "\$here/lib:\$LD_LIBRARY_PATH" "\$here/bin/$program" "\$@"
END
    chmod +x "$bundle/$program"
done
cp -r configs "$bundle/"
cp -r tests/golden "$bundle/tests/"
cp launch/gpu-check.sh "$bundle/launch/"
cp tools/fla_step.py "$bundle/tools/"
git describe --always --dirty >"$bundle/version" 2>/dev/null || true

tar -cJf "$bundle.tar.xz" -C "$(dirname "$bundle")" "$(basename "$bundle")"
bytes=$(stat -c %s "$bundle.tar.xz")
[ "$bytes" -le $largest ] || { echo "$bundle.tar.xz has $bytes bytes, more than $largest" >&2; exit 1; }
"$bundle/flame-c" verify tests/golden/gla-swa | tail -n 1
echo "$bundle.tar.xz: $((bytes / 1000000)) MB; the folder: $(du -sm "$bundle" | cut -f1) MB"
