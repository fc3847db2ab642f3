#!/bin/sh
# Compiles one kernel file for GPUs and looks at what came out:
#
#   kernel_cuda.sh OBJECT SOURCE NVCC FLAGS...
#
# leaves OBJECT, OBJECT.d (what it depends on) and OBJECT.usage: a line per kernel and architecture, "kernel element sm
# registers shared", the last twice: what its tiles take, and all of it. Fails if a kernel spills registers, or if its shared memory is more than the architecture has.
set -eu
object=$1 source=$2
shift 2
folder=$object.files
rm -rf "$folder"
mkdir -p "$folder"
trap 'rm -rf "$folder"' EXIT
if ! "$@" -Xptxas -v --keep --keep-dir "$folder" -MD -MF "$object.d" -MT "$object" -c "$source" -o "$object" \
    > "$folder/log" 2>&1; then
  cat "$folder/log" >&2
  exit 1
fi
awk -f "$(dirname "$0")/kernel_usage.awk" "$folder"/*.ptx "$folder/log" > "$folder/usage" || {
  rm -f "$object"
  exit 1
}
mv "$folder/usage" "$object.usage"
