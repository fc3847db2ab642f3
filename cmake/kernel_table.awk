# Reads the .usage files of all kernels (kernel_cuda.sh) and writes two files: HEADER, the constants
# KERNEL_cuda_ELEMENT_shared with the bytes that a launch must ask for, and TABLE, what each kernel uses and how many
# programs of 4 warps fit on a multiprocessor beside each other (occupancy: their warps of the 64 there are).
function smaller(x, y) { return x < y ? x : y }
BEGIN {
    memory["sm_80"] = 164 * 1024 # of a multiprocessor; each block costs 1 KiB more than it asks for
    memory["sm_90"] = memory["sm_100"] = 228 * 1024
    others = 100 * 1024
    print "/* The bytes of shared memory that each kernel's tiles take. */" > HEADER
    printf "%-36s %-5s %-6s %9s %8s %9s %10s\n",
        "kernel", "type", "GPU", "registers", "shared", "programs", "occupancy" > TABLE
}
!(($1, $2) in seen) {
    seen[$1, $2] = 1
    print "enum { " $1 "_cuda_" $2 "_shared = " $5 " };" > HEADER
}
{
    by_registers = int(65536 / (128 * int(($4 + 7) / 8) * 8))
    programs = smaller(16, smaller(by_registers, int(($3 in memory ? memory[$3] : others) / ($6 + 1024))))
    printf "%-36s %-5s %-6s %9d %8d %9d %9d%%\n", $1, $2, $3, $4, $6, programs, programs * 4 * 100 / 64 > TABLE
}
