#!/usr/bin/env bash
# Puts flame-c, the op tests, mpirun for one host, and every library that they need into one folder of less than 100 MB. It runs
# wherever it is copied: on other distributions, and on all processors with AVX2. CUDA's own libraries (cuBLASLt, NCCL, the driver)
# are those of the machine there. Also packs the folder; there: tar -xf bundle.tar.xz && bundle/launch/gpu-check.sh
# It is built for CUDA 12, which runs on drivers from R525 on, with the toolkit of launch/cuda12.sh (in build-cuda12) unless
# -DCUDAToolkit_ROOT names another; a program built with CUDA 13 needs drivers from R580 on.
#   launch/bundle.sh [FOLDER] [-DNAME=VALUE...]      the folder is new; default: bundle. BUILD: the build folder, build-bundle
set -euo pipefail
case " $* " in *" -h "* | *" --help "*) awk 'NR > 1 { if (!sub(/^# ?/, "")) exit; print }' "$0"; exit 0 ;; esac
cd "$(dirname "$0")/.."
bundle=bundle
[[ ${1:--} == -* ]] || { bundle=$1; shift; }
for option in "$@"; do
    [[ $option == -D?*=* ]] || { echo "bundle.sh: $option is not an option for cmake of the form -DNAME=VALUE" >&2; exit 2; }
done
build=${BUILD:-build-bundle}
largest=100000000
[ ! -e "$bundle" ] || { echo "$bundle exists: remove it, or name another folder" >&2; exit 2; }

launch/setup.sh bundle
case " $*" in
    *" -DCUDAToolkit_ROOT="*) ;;
    *)
        [ -e build-cuda12 ] || launch/cuda12.sh build-cuda12
        set -- -DCUDAToolkit_ROOT="$PWD/build-cuda12" "$@"
        ;;
esac
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS=-march=x86-64-v3 -DFLAME_NATIVE=OFF -DFLAME_CUDA=ON \
    -DFLAME_PRODUCTS=BLIS -DFLAME_STATIC_HDF5=ON "$@"
cmake --build "$build" --target flame-c test_ops
mkdir -p "$bundle"/{bin,lib,openmpi/pmix,launch,tests/ops,tools}

# copy_libraries FILE...: copies the libraries that the dynamic loader would load for these files.
copy_libraries() {
    ldd "$@" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^\t\(\/[^ ]*ld-linux[^ ]*\) .*/\1/p' | sort -u | while read -r library; do
        cp -nL "$library" "$bundle/lib/"
    done
}

cp "$build/flame-c" "$build/tests/test_ops" "$bundle/bin/"
cp -L "$(command -v mpirun)" "$bundle/bin/mpirun"
plugins=$(ompi_info --parsable --path pkglibdir | sed 's/.*://')
find "$plugins" -name 'mca_*.so' | grep -vE 'ucx|ofi|psm|openib|usnic|portals|uct|ugni|cuda|fbtl|fcoll|fs_|io_|osc_|sharedfp' |
    xargs cp -t "$bundle/openmpi"
copy_libraries "$bundle"/bin/* "$bundle"/openmpi/*.so
# The libraries that CUDA's libraries need must belong to the same C library as the rest.
for library in libstdc++.so.6 libgcc_s.so.1 libdl.so.2 librt.so.1 libpthread.so.0; do
    cp -nL "$(cc -print-file-name="$library")" "$bundle/lib/"
done
cp -r "$(ompi_info --parsable --path pkgdatadir | sed 's/.*://')" "$bundle/openmpi/share"
strip "$bundle"/bin/* "$bundle"/lib/*.so* "$bundle"/openmpi/*.so 2>/dev/null || true
loader=$(basename "$(ls "$bundle"/lib/ld-linux*)")

# One script starts all programs by the bundle's own loader, so that the machine's C library does not matter. mpirun must not put
# lib/ into its children's LD_LIBRARY_PATH, or that machine's /bin/sh would take the bundle's C library.
for program in flame-c test_ops mpirun; do
    case $program in mpirun) options=' --noprefix' ;; *) options='' ;; esac
    cat >"$bundle/$program" <<END
#!/bin/sh
here=\$(cd "\$(dirname "\$0")" && pwd)
export OMPI_MCA_mca_base_component_path="\$here/openmpi" OPAL_PKGDATADIR="\$here/openmpi/share"
export PMIX_MCA_mca_base_component_path="\$here/openmpi/pmix" PMIX_PKGLIBDIR="\$here/openmpi/pmix" # empty: not that machine's
export OMPI_MCA_plm=isolated PMIX_MCA_pcompress_base_silence_warning=1
: "\${GOMP_SPINCOUNT:=2000}" # base/waiting.c sets it where it can start the program again
export GOMP_SPINCOUNT
exec "\$here/lib/$loader" --library-path "\$here/lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}" "\$here/bin/$program"$options "\$@"
END
    chmod +x "$bundle/$program"
done
cp -r configs "$bundle/"
mkdir -p "$bundle/docs/gpu"
cp -r docs/gpu/estimates "$bundle/docs/gpu/"
cp -r tests/golden "$bundle/tests/"
cp tests/ops/op_tests.def "$bundle/tests/ops/"
cp launch/gpu-check.sh "$bundle/launch/"
cp tools/fla_step.py "$bundle/tools/"
git describe --always --dirty >"$bundle/version" 2>/dev/null || true

bytes=$(du -sb "$bundle" | cut -f1)
[ "$bytes" -le $largest ] || { echo "$bundle has $bytes bytes, more than $largest:" >&2; du -ab "$bundle" | sort -nr | head -n 12 >&2; exit 1; }
"$bundle/flame-c" verify tests/golden/gla-swa --device cpu | tail -n 1
"$bundle/mpirun" --allow-run-as-root --oversubscribe --bind-to none -np 2 "$bundle/flame-c" verify tests/golden/gla --device cpu | tail -n 1
tar -cJf "$bundle.tar.xz" -C "$(dirname "$bundle")" "$(basename "$bundle")"
echo "$bundle: $((bytes / 1000000)) MB; $bundle.tar.xz: $(($(stat -c %s "$bundle.tar.xz") / 1000000)) MB"
