# Reads the PTX of a kernel file, then what `ptxas -v` said of it: what each kernel uses on each architecture.
# A kernel's shared memory is what its tiles left in the PTX as comments ("// shared NAME BYTES") and what ptxas counts.
function fail(why) {
    print "kernel " kernel " for " sm ": " why > "/dev/stderr"
    failed = 1
}
BEGIN {
    limit["sm_80"] = 163 * 1024 # what one block may use: the rest is the system's
    limit["sm_90"] = limit["sm_100"] = 227 * 1024
}
/\.entry / {
    entry = $0
    sub(/.*\.entry /, "", entry)
    sub(/\(.*/, "", entry)
}
/\/\/ shared / && !((entry, $3) in tile) {
    tile[entry, $3] = $4
    tiles[entry] += $4
}
/Compiling entry function/ {
    split($0, quoted, "'")
    kernel = quoted[2]
    sm = quoted[4]
}
/bytes spill stores/ && !/ 0 bytes spill stores, 0 bytes spill loads/ { fail($0) }
/ Used [0-9]+ registers/ {
    registers = $0
    sub(/.* Used /, "", registers)
    counted = $0
    counted = sub(/ bytes smem.*/, "", counted) ? counted : "0"
    sub(/.* /, "", counted)
    element = kernel
    sub(/.*_cuda_/, "", element)
    name = substr(kernel, 1, length(kernel) - length("_cuda_" element))
    shared = tiles[kernel] + counted
    # In fp32 the largest kernels are too large for a GPU; their launch says so. That type is for comparing numbers.
    if (sm in limit && shared > limit[sm] && element != "f32")
        fail(shared " bytes of shared memory, more than the " limit[sm] " there are")
    print name, element, sm, registers + 0, tiles[kernel] + 0, shared
}
END { exit failed }
