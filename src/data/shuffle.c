#include "data/shuffle.h"

#include "base/check.h"

enum { FEISTEL_ROUNDS = 6 };

uint64_t hash_mix(uint64_t key, uint64_t value) {
    uint64_t x = key + 0x9e3779b97f4a7c15u * (value + 1);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

Permutation permutation_make(uint64_t count, uint64_t key) {
    CHECK(count >= 1, "a permutation of nothing");
    Permutation permutation = {count, key, 1};
    while (permutation.half_bits < 31 && (count - 1) >> (2 * permutation.half_bits)) permutation.half_bits++;
    CHECK((count - 1) >> (2 * permutation.half_bits) == 0, "a permutation of more than 2^62 elements");
    return permutation;
}

static uint64_t round_value(const Permutation *permutation, int round, uint64_t half) {
    uint64_t mask = (UINT64_C(1) << permutation->half_bits) - 1;
    return hash_mix(permutation->key ^ (uint64_t)round << 56, half) & mask;
}

static uint64_t feistel(const Permutation *permutation, uint64_t index) {
    int bits = permutation->half_bits;
    uint64_t left = index >> bits, right = index & ((UINT64_C(1) << bits) - 1);
    for (int round = 0; round < FEISTEL_ROUNDS; round++) {
        uint64_t next = left ^ round_value(permutation, round, right);
        left = right;
        right = next;
    }
    return left << bits | right;
}

static uint64_t feistel_inverse(const Permutation *permutation, uint64_t index) {
    int bits = permutation->half_bits;
    uint64_t left = index >> bits, right = index & ((UINT64_C(1) << bits) - 1);
    for (int round = FEISTEL_ROUNDS - 1; round >= 0; round--) {
        uint64_t previous = right ^ round_value(permutation, round, left);
        right = left;
        left = previous;
    }
    return left << bits | right;
}

uint64_t permutation_apply(const Permutation *permutation, uint64_t index) {
    do index = feistel(permutation, index);
    while (index >= permutation->count);
    return index;
}

uint64_t permutation_invert(const Permutation *permutation, uint64_t index) {
    do index = feistel_inverse(permutation, index);
    while (index >= permutation->count);
    return index;
}

/* The permuted blocks of one epoch. All have block_windows windows, except that the last block of the file may have
 * fewer. It can be at any place in the order. */
typedef struct BlockOrder {
    Permutation blocks;
    int64_t block_windows;
    int64_t short_place; /* place of the file's last block */
    int64_t missing;     /* how many windows it lacks */
} BlockOrder;

static BlockOrder block_order(const Shuffle *shuffle, uint64_t key) {
    int64_t blocks = (shuffle->windows + shuffle->block_windows - 1) / shuffle->block_windows;
    BlockOrder order = {permutation_make((uint64_t)blocks, key), shuffle->block_windows, 0, 0};
    order.short_place = (int64_t)permutation_invert(&order.blocks, (uint64_t)blocks - 1);
    order.missing = blocks * shuffle->block_windows - shuffle->windows;
    return order;
}

/* Number of windows in the blocks at places 0 .. place - 1. */
static int64_t windows_before(const BlockOrder *order, int64_t place) {
    int64_t blocks = (int64_t)order->blocks.count;
    if (place > blocks) place = blocks;
    return place * order->block_windows - (place > order->short_place ? order->missing : 0);
}

/* Divides the places into groups of `size` and returns the group that contains window number `index` of the order. The
 * division treats the short block as a full one. The windows behind it are shifted by less than one group, so the
 * quotient is the right group or the one before it. */
static int64_t group_of(const BlockOrder *order, int64_t size, int64_t index) {
    int64_t group = index / (size * order->block_windows);
    return index >= windows_before(order, (group + 1) * size) ? group + 1 : group;
}

int64_t shuffle_window(const Shuffle *shuffle, int64_t epoch, int64_t index) {
    uint64_t key = hash_mix(shuffle->key, (uint64_t)epoch);
    BlockOrder order = block_order(shuffle, key);
    int64_t pool = group_of(&order, shuffle->pool_blocks, index);
    int64_t first = windows_before(&order, pool * shuffle->pool_blocks);
    int64_t end = windows_before(&order, (pool + 1) * shuffle->pool_blocks);

    Permutation inside = permutation_make((uint64_t)(end - first), hash_mix(key, (uint64_t)pool + 1));
    int64_t moved = first + (int64_t)permutation_apply(&inside, (uint64_t)(index - first));
    int64_t place = group_of(&order, 1, moved);
    int64_t block = (int64_t)permutation_apply(&order.blocks, (uint64_t)place);
    return block * shuffle->block_windows + moved - windows_before(&order, place);
}
