/* The kernel language for a program of 128 threads in 4 warps: what tile_cuda.h and tile_emu.h have in common.
 * tile_cpu.h says what each word means. The including header defines the machine underneath:
 *
 *   DEVICE, KERNEL, KERNEL_SYMBOL
 *   TILE_UNROLL, TILE_UNROLL_BY_2, TILE_ROLLED  before a loop; unrolled more often than needed, it
 *                              takes more registers
 *   thread_index()             0 .. THREADS - 1
 *   sync(), sync_after(n), copy_commit()  as in tile_cpu.h: sync() is copy_wait(), then a barrier of all threads
 *   shared_memory(name, entry_size, rows, cols, stride)  shared memory for rows x stride entries
 *   warp_shuffle(x, lane), warp_shuffle_xor(x, mask)  the x of that lane of the warp, or of the lane whose number
 *                              differs in the bits of mask; lanes count modulo 32
 *   block_scratch()            one float per warp, only for the sums and the maximum of a program
 *   Sixteen                    a union of uint32_t word[4] and float value[4], 16 bytes
 *   round_pair(low, high)      two numbers as bf16, in one register
 *   sixteen_read(from), sixteen_write(to, x)  one access of 16 bytes, aligned to 16
 *   sixteen_store(to, x)       the same to global memory, which may be read only after the next sync()
 *   sixteen_load(from)         sixteen_read of global memory, which starts before the code written after it
 *   eight_read(from), eight_store(to, x)  the same for the first 8 bytes, aligned to 8; a read sets the others to 0
 *   pair_write(to, bytes, x)   writes the first 4 or 8 bytes of x, aligned to 4 or 8
 *   copy_start(to, from, bytes)  cp.async: copies `bytes` bytes into 16 bytes of shared memory and zeroes the rest;
 *                              both addresses are aligned to 16. Complete after the same thread's copy_wait()
 *   matrix_read(x, row), matrix_read_transposed(x, row)  ldmatrix.x4: loads four 8 x 8 matrices; thread 8 m + r of the
 *                              warp passes the address of row r of matrix m
 *   warp_mma(d, a, b)          mma.sync.m16n8k16: bf16 operands, fp32 sums; d and a have 4 registers, b has 2 */
#ifndef FLAME_TILE_TILE_SIMT_H
#define FLAME_TILE_TILE_SIMT_H

enum { ON_GPU = 1 };

#if defined(TILE_ELEMENT_F32)
typedef float element;
DEVICE float to_float(element x) { return x; }
DEVICE element to_element(float x) { return x; }
#else
typedef bf16 element;
DEVICE float to_float(element x) {
    union {
        uint32_t bits;
        float value;
    } u;
    u.bits = (uint32_t)x << 16;
    return u.value;
}
DEVICE element to_element(float x) { return (element)round_pair(x, 0.0f); }
#endif

/* The number of elements in one access of 16 bytes, unless the kernel file asks for fewer. */
#if defined(TILE_VECTOR)
enum { VECTOR = TILE_VECTOR };
#else
enum { VECTOR = 16 / sizeof(element) };
#endif

#define EACH(i, n) for (int64_t i = thread_index(); i < (n); i += THREADS)
#define SUM(s, i, n, ...)                                                                                              \
    do {                                                                                                               \
        float sum_ = 0;                                                                                                \
        EACH (i, n) sum_ += (__VA_ARGS__);                                                                             \
        s += block_sum(sum_);                                                                                          \
    } while (0)
#define MAXIMUM(s, i, n, ...)                                                                                          \
    do {                                                                                                               \
        float maximum_ = s;                                                                                            \
        EACH (i, n) maximum_ = fmaxf(maximum_, (__VA_ARGS__));                                                         \
        s = block_maximum(maximum_);                                                                                   \
    } while (0)

enum { WARP = 32, WARPS = THREADS / WARP };
DEVICE int warp_index() { return thread_index() / WARP; }
DEVICE int lane_index() { return thread_index() % WARP; }

/* The sum and the maximum over groups of `lanes` neighbouring lanes of a warp, a power of two. Every lane gets the
 * result of its group. */
DEVICE float lanes_sum(float x, int lanes) {
    for (int mask = 1; mask < lanes; mask *= 2) x += warp_shuffle_xor(x, mask);
    return x;
}
DEVICE float lanes_maximum(float x, int lanes) {
    for (int mask = 1; mask < lanes; mask *= 2) x = fmaxf(x, warp_shuffle_xor(x, mask));
    return x;
}
DEVICE float block_sum(float x) {
    float *scratch = block_scratch();
    x = lanes_sum(x, WARP);
    if (lane_index() == 0) scratch[warp_index()] = x;
    sync();
    const float sum = scratch[0] + scratch[1] + scratch[2] + scratch[3];
    sync();
    return sum;
}
DEVICE float block_maximum(float x) {
    float *scratch = block_scratch();
    x = lanes_maximum(x, WARP);
    if (lane_index() == 0) scratch[warp_index()] = x;
    sync();
    const float maximum = fmaxf(fmaxf(scratch[0], scratch[1]), fmaxf(scratch[2], scratch[3]));
    sync();
    return maximum;
}

/* A double, which shuffles move in two halves. */
typedef union Halves {
    double value;
    float half[2];
} Halves;
DEVICE double block_sum_f64(double x) {
    float *scratch = block_scratch();
    Halves sum, other, of_warp[WARPS];
    sum.value = x;
    for (int mask = 1; mask < WARP; mask *= 2) {
        TILE_UNROLL for (int h = 0; h < 2; h++) other.half[h] = warp_shuffle_xor(sum.half[h], mask);
        sum.value += other.value;
    }
    TILE_UNROLL for (int h = 0; h < 2; h++) {
        if (lane_index() == 0) scratch[warp_index()] = sum.half[h];
        sync();
        TILE_UNROLL for (int w = 0; w < WARPS; w++) of_warp[w].half[h] = scratch[w];
        sync();
    }
    return of_warp[0].value + of_warp[1].value + of_warp[2].value + of_warp[3].value;
}

/* The lanes that share a row: a power of two of a warp's lanes, the whole warp, or the whole program. Lanes whose row
 * is past the end follow the last row with empty loops, because all lanes of a warp must take part in its sums. */
typedef struct Team {
    int shift, lanes, lane; /* lanes: 1 << shift */
    bool inside;
    int64_t next, end; /* rows, the same for all lanes of a warp */
} Team;
#define TEAM      const Team team_
#define TEAM_HERE team_
enum { SHIFT_OF_WARP = 5, SHIFT_OF_PROGRAM = 7 };
#if defined(TILE_TEAM_COLS)
enum { TEAM_COLS = TILE_TEAM_COLS };
#else
enum { TEAM_COLS = WARP_COLS };
#endif
DEVICE int team_shift(int64_t cols) {
    int shift = 0;
    if (cols > TEAM_COLS) return SHIFT_OF_PROGRAM;
    while (shift < SHIFT_OF_WARP && (VECTOR << shift) < cols) shift++;
    return shift;
}
DEVICE Team team_of(int shift, int64_t first, int64_t end) {
    const int lanes = 1 << shift;
    const Team team = {shift, lanes, thread_index() % lanes, true, first + (warp_index() * WARP >> shift), end};
    return team;
}
DEVICE int64_t team_row(Team *team) {
    const int64_t row = team->next + (lane_index() >> team->shift);
    team->inside = row < team->end;
    return team->inside ? row : team->end - 1;
}
#define TEAM_ROWS(size, from, to)                                                                                      \
    for (Team team_ = team_of(size, from, to); team_.next < team_.end; team_.next += THREADS >> team_.shift)
#define EACH_ROW(row, first, end)                                                                                      \
    TEAM_ROWS(SHIFT_OF_WARP, first, end)                                                                               \
    for (int64_t row = team_row(&team_), once_ = 1; once_; once_ = 0)
#define EACH_GROUP(row, group, first, end, groups, cols) TEAM_GROUPS(row, group, first, end, groups, team_shift(cols))
#define TEAM_GROUPS(row, group, first, end, groups, size)                                                              \
    for (float inverse_ = 1.0f / (float)(groups); inverse_ > 0; inverse_ = 0)                                          \
        TEAM_ROWS(size, 0, ((end) - (first)) * (groups))                                                               \
    for (int at_ = (int)team_row(&team_), row_ = row_of_group(at_, inverse_), once_ = 1; once_; once_ = 0)             \
        for (int64_t row = (first) + row_, group = at_ - row_ * (int)(groups); once_; once_ = 0)
#define EACH_SHORT_ROW(row, first, end, cols)                                                                          \
    TEAM_ROWS(team_shift(cols), first, end)                                                                            \
    for (int64_t row = team_row(&team_), once_ = 1; once_; once_ = 0)
/* at / groups in 3 instructions. Exact below 2^21; a program has fewer groups. */
DEVICE int row_of_group(int at, float inverse_of_groups) { return (int)(((float)at + 0.5f) * inverse_of_groups); }
DEVICE float team_sum(float x, const Team *team) {
    return team->lanes > WARP ? block_sum(x) : lanes_sum(x, team->lanes);
}
DEVICE float team_maximum(float x, const Team *team) {
    return team->lanes > WARP ? block_maximum(x) : lanes_maximum(x, team->lanes);
}
#define WARP_EACH(i, n) for (int64_t i = team_.inside ? team_.lane : (n); i < (n); i += team_.lanes)
#define WARP_SUM(s, i, n, ...)                                                                                         \
    do {                                                                                                               \
        float sum_ = 0;                                                                                                \
        WARP_EACH(i, n) sum_ += (__VA_ARGS__);                                                                         \
        s += team_sum(sum_, &team_);                                                                                   \
    } while (0)
#define WARP_MAXIMUM(s, i, n, ...)                                                                                     \
    do {                                                                                                               \
        float maximum_ = s;                                                                                            \
        WARP_EACH(i, n) maximum_ = fmaxf(maximum_, (__VA_ARGS__));                                                     \
        s = team_maximum(maximum_, &team_);                                                                            \
    } while (0)

#define EACH_PAIR(i, j, rows, cols)                                                                                    \
    for (int pair_ = thread_index(); pair_ < (rows) * (cols); pair_ += THREADS)                                        \
        for (int i = pair_ / (cols), j = pair_ % (cols), once_ = 1; once_; once_ = 0)

#define COLUMN_WALK(x, j, cols, i, rows, ...) BLOCK_WALK(x, 0.0f, b_, 1, j, cols, i, rows, __VA_ARGS__)
#define BLOCK_WALK(x, start, b, blocks, j, cols, i, rows, ...)                                                         \
    EACH_PAIR(b, j, blocks, cols) {                                                                                    \
        float x = (start);                                                                                             \
        (void)b;                                                                                                       \
        for (int i = 0; i < (rows); i++) {                                                                             \
            __VA_ARGS__;                                                                                               \
        }                                                                                                              \
    }

/* left_ counts the entries from i to the end of a loop over vectors. The code of the loop exists once for each mode: by
 * entries, by vectors and, for sums, by two vectors, which are loaded together. */
enum { vectors_aligned = 0 }; /* without VECTORS_OF */
#define VECTORS_OF(...) const bool vectors_aligned = LOW_BITS(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) % 16 == 0
#define LOW_BITS(a, b, c, d, e, f, g, h, i, j, k, l, ...)                                                              \
    ((uintptr_t)(a) | (uintptr_t)(b) | (uintptr_t)(c) | (uintptr_t)(d) | (uintptr_t)(e) | (uintptr_t)(f) |             \
     (uintptr_t)(g) | (uintptr_t)(h) | (uintptr_t)(i) | (uintptr_t)(j) | (uintptr_t)(k) | (uintptr_t)(l))
enum { BY_ENTRY, BY_VECTOR, BY_TWO, HELD_BY_PART, HELD_1, HELD_2, HELD_4, HELD_8 };
DEVICE int vectors_mode(bool aligned, int64_t n, int threads, int most) {
    if (!aligned || n % VECTOR != 0) return BY_ENTRY;
    return most == BY_TWO && (n & (BY_TWO * VECTOR * threads - 1)) == 0 ? BY_TWO : BY_VECTOR;
}
#define VECTORS(i, n, first, threads, most)                                                                            \
    EACH_MODE(n, threads, most)                                                                                        \
    EACH_STEP(n, first, threads)                                                                                       \
    EACH_OF_STEP(most)                                                                                                 \
    for (int64_t i = at_ + part_ * step_, left_ __attribute__((unused)) = (n)-i, once_ = 1; once_; once_ = 0)
#define EACH_MODE(n, threads, most)                                                                                    \
    TILE_UNROLL for (int mode_ = BY_ENTRY; mode_ <= (most);                                                            \
                     mode_++) if (mode_ == vectors_mode(vectors_aligned, n, threads, most))
#define EACH_STEP(n, first, threads)                                                                                   \
    for (int64_t at_ = (first) * (int64_t)VECTOR, step_ = (threads) * (int64_t)VECTOR; at_ < (n);                      \
         at_ += mode_ == BY_TWO ? 2 * step_ : step_)
#define EACH_OF_STEP(most)                                                                                             \
    TILE_UNROLL for (int part_ = 0; part_ < ((most) == BY_TWO ? 2 : 1); part_++) if (part_ == 0 || mode_ == BY_TWO)
#define EACH_VECTOR(i, n)          VECTORS(i, n, thread_index(), THREADS, BY_VECTOR)
#define SUM_VECTOR(i, n, ...)      VECTORS(i, n, thread_index(), THREADS, BY_TWO)
#define WARP_VECTOR(i, n)          VECTORS(i, team_.inside ? (n) : 0, team_.lane, team_.lanes, BY_VECTOR)
#define WARP_SUM_VECTOR(i, n, ...) VECTORS(i, team_.inside ? (n) : 0, team_.lane, team_.lanes, BY_TWO)
#define VECTORS_FIT(n, ...)        ((n) % VECTOR == 0 && LOW_BITS(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) % 16 == 0)
#define WHOLE_VECTOR(i, n)                                                                                             \
    for (int64_t i = team_.inside ? team_.lane * (int64_t)VECTOR : (n); i < (n); i += team_.lanes * (int64_t)VECTOR)   \
        for (int64_t mode_ = BY_VECTOR, left_ = (n)-i, once_ = 1; once_; once_ = 0)
#define PROGRAM_SUM(s)     (s = block_sum(s))
#define PROGRAM_SUM_F64(s) (s = block_sum_f64(s))
#define PROGRAM_MAXIMUM(s) (s = block_maximum(s))
#define WARP_TOTAL(s)      (s = team_sum(s, &team_))

/* Held rows. The code exists once for each number of vectors that a lane may have (and one vector also for a part of a
 * warp), so that the loops become straight code and the held vectors registers. Two more copies are for rows that are
 * not held but read again. Lanes past the last row hold the last row too. */
enum { HELD_MOST = 8 };
DEVICE int held_vectors(int mode) { return mode < HELD_1 ? 1 : 1 << (mode - HELD_1); }
DEVICE int held_mode(bool aligned, int64_t cols, int most) {
    if (!aligned || cols % VECTOR != 0) return BY_ENTRY;
    for (int mode = HELD_1; held_vectors(mode) <= most; mode++)
        if (cols == held_vectors(mode) * VECTOR * (cols > TEAM_COLS ? THREADS : WARP)) return mode;
    return cols < VECTOR * WARP && cols == (int64_t)VECTOR << team_shift(cols) ? HELD_BY_PART : BY_VECTOR;
}
DEVICE int held_shift(int mode, int64_t cols) {
    const int whole = cols > TEAM_COLS ? SHIFT_OF_PROGRAM : SHIFT_OF_WARP,
              shift = mode < HELD_1 ? team_shift(cols) : whole;
    return mode == HELD_BY_PART && shift > SHIFT_OF_WARP ? SHIFT_OF_WARP : shift;
}
DEVICE int vector_of_lane(int number, const Team *team) { return (number * team->lanes + team->lane) * VECTOR; }
#define HELD_ROWS(cols, most, ...)                                                                                     \
    do {                                                                                                               \
        const int held_ = held_mode(vectors_aligned, cols, most);                                                      \
        HELD_CASE(BY_ENTRY, most, __VA_ARGS__);                                                                        \
        HELD_CASE(BY_VECTOR, most, __VA_ARGS__);                                                                       \
        HELD_CASE(HELD_BY_PART, most, __VA_ARGS__);                                                                    \
        HELD_CASE(HELD_1, most, __VA_ARGS__);                                                                          \
        HELD_CASE(HELD_2, most, __VA_ARGS__);                                                                          \
        HELD_CASE(HELD_4, most, __VA_ARGS__);                                                                          \
        HELD_CASE(HELD_8, most, __VA_ARGS__);                                                                          \
    } while (0)
#define HELD_CASE(mode, most, ...)                                                                                     \
    if (held_vectors(mode) <= (most) && held_ == (mode)) {                                                             \
        enum { mode_ = (mode) };                                                                                       \
        __VA_ARGS__;                                                                                                   \
    }
#define HELD_MODE const int mode_
#define HELD_HERE mode_
#define EACH_HELD_GROUP(row, group, first, end, groups, cols)                                                          \
    TEAM_GROUPS(row, group, first, end, groups, held_shift(mode_, cols))
#define HELD_TURNS(i, n, taken)                                                                                        \
    for (int turn_ = 0;                                                                                                \
         mode_ < HELD_BY_PART ? team_.inside && vector_of_lane(turn_, &team_) < (n) : turn_ == 0 && (taken); turn_++)  \
    TILE_UNROLL for (int part_ = 0; part_ < HELD_MOST;                                                                 \
                     part_++) if (part_ < held_vectors(mode_)) for (int64_t i = vector_of_lane(turn_ + part_, &team_), \
                                                                    left_ = (n)-i, once_ = 1;                          \
                                                                    once_; once_ = 0)
#define HOLD_VECTOR(i, n, ...) HELD_TURNS(i, n, true)
#define HELD_VECTOR(i, n)      HELD_TURNS(i, n, mode_ >= HELD_1 || team_.inside)
#define HELD(name)             Sixteen name[HELD_MOST] = {{{0}}}
#define HOLD(held, from)                                                                                               \
    do {                                                                                                               \
        if (mode_ >= HELD_BY_PART) held[part_] = sixteen_load(from);                                                   \
    } while (0)
#define READ_HOLD(x, held, from)                                                                                       \
    HOLD(held, from);                                                                                                  \
    READ_HELD(x, held, from)
#define READ_HELD(x, held, from)                                                                                       \
    float x[VECTOR];                                                                                                   \
    if (mode_ >= HELD_BY_PART)                                                                                         \
        element_of_sixteen(x, held[part_]);                                                                            \
    else                                                                                                               \
        vector_read_element(x, from, left_, mode_ != BY_ENTRY)

#define EACH_LANE(e)   TILE_UNROLL for (int e = 0; e < VECTOR; e++)
#define LANE_INSIDE(e) (mode_ != BY_ENTRY || (e) < left_)
#define READ(x, from)                                                                                                  \
    float x[VECTOR];                                                                                                   \
    vector_read_element(x, from, left_, mode_ != BY_ENTRY)
#define READ_F32(x, from)                                                                                              \
    float x[VECTOR];                                                                                                   \
    vector_read_float(x, from, left_, mode_ != BY_ENTRY)
#define WRITE(to, x) vector_write_element(to, x, left_, mode_ != BY_ENTRY)
#define WRITE_F32(to, x)                                                                                               \
    do {                                                                                                               \
        if (mode_ >= HELD_1)                                                                                           \
            vector_write_in_pairs(to, x);                                                                              \
        else                                                                                                           \
            vector_write_float(to, x, left_, mode_ != BY_ENTRY);                                                       \
    } while (0)

DEVICE Sixteen sixteen_of_float(const float *x) {
    Sixteen sixteen;
    TILE_UNROLL for (int n = 0; n < 4; n++) sixteen.value[n] = x[n];
    return sixteen;
}
DEVICE void float_of_sixteen(float *x, Sixteen sixteen) {
    TILE_UNROLL for (int n = 0; n < 4; n++) x[n] = sixteen.value[n];
}
#if defined(TILE_ELEMENT_F32)
#define sixteen_of_element sixteen_of_float
#define element_of_sixteen float_of_sixteen
#else
DEVICE Sixteen sixteen_of_element(const float *x) {
    Sixteen sixteen;
    TILE_UNROLL for (int n = 0; n < 4; n++) sixteen.word[n] = round_pair(x[2 * n], x[2 * n + 1]);
    return sixteen;
}
DEVICE void element_of_sixteen(float *x, Sixteen sixteen) {
    TILE_UNROLL for (int n = 0; n < 8; n++) x[n] = to_float((element)(sixteen.word[n / 2] >> n % 2 * 16));
}
#endif

/* The caller converts after both branches, so that the load of a second vector starts before the first is used. */
DEVICE Sixteen sixteen_of_floats(const float *from, int64_t left) {
    Sixteen sixteen;
    TILE_UNROLL for (int n = 0; n < 4; n++) sixteen.value[n] = n < left ? from[n] : 0.0f;
    return sixteen;
}
#if defined(TILE_ELEMENT_F32)
#define sixteen_of_elements sixteen_of_floats
#else
DEVICE Sixteen sixteen_of_elements(const element *from, int64_t left) {
    Sixteen sixteen;
    TILE_UNROLL for (int n = 0; n < 4; n++) {
        const uint32_t low = 2 * n < left ? from[2 * n] : 0, high = 2 * n + 1 < left ? from[2 * n + 1] : 0;
        sixteen.word[n] = low | high << 16;
    }
    return sixteen;
}
#endif
/* A vector is read and written in parts, each with one access of 16 or 8 bytes. */
#define PART_ENTRIES(entry) (VECTOR * sizeof(entry) < 16 ? VECTOR : (int)(16 / sizeof(entry)))
#define VECTOR_READ_AND_WRITE(entry, narrow)                                                                           \
    DEVICE void vector_read_##entry(float *x, const entry *from, int64_t left, bool aligned) {                         \
        enum { AT_ONCE = PART_ENTRIES(entry), BYTES = AT_ONCE * sizeof(entry), PARTS = VECTOR / AT_ONCE };             \
        Sixteen part[PARTS];                                                                                           \
        if (aligned || (left >= VECTOR && (uintptr_t)from % BYTES == 0)) {                                             \
            TILE_UNROLL for (int n = 0; n < PARTS; n++) part[n] =                                                      \
                BYTES == 16 ? sixteen_read(from + n * AT_ONCE) : eight_read(from + n * AT_ONCE);                       \
        } else {                                                                                                       \
            TILE_UNROLL for (int n = 0; n < PARTS; n++) part[n] =                                                      \
                sixteen_of_##entry##s(from + n * AT_ONCE, left - n * AT_ONCE);                                         \
        }                                                                                                              \
        TILE_UNROLL for (int n = 0; n < PARTS; n++) {                                                                  \
            float entries[16 / sizeof(entry)];                                                                         \
            entry##_of_sixteen(entries, part[n]);                                                                      \
            TILE_UNROLL for (int e = 0; e < AT_ONCE; e++) x[n * AT_ONCE + e] = entries[e];                             \
        }                                                                                                              \
    }                                                                                                                  \
    DEVICE void vector_write_##entry(entry *to, const float *x, int64_t left, bool aligned) {                          \
        enum { AT_ONCE = PART_ENTRIES(entry), BYTES = AT_ONCE * sizeof(entry) };                                       \
        if (aligned || (left >= VECTOR && (uintptr_t)to % BYTES == 0)) {                                               \
            TILE_UNROLL for (int n = 0; n < VECTOR; n += AT_ONCE) {                                                    \
                float entries[16 / sizeof(entry)] = {0};                                                               \
                TILE_UNROLL for (int e = 0; e < AT_ONCE; e++) entries[e] = x[n + e];                                   \
                if (BYTES == 16)                                                                                       \
                    sixteen_store(to + n, sixteen_of_##entry(entries));                                                \
                else                                                                                                   \
                    eight_store(to + n, sixteen_of_##entry(entries));                                                  \
            }                                                                                                          \
        } else {                                                                                                       \
            TILE_UNROLL for (int n = 0; n < VECTOR; n++) if (n < left) to[n] = narrow(x[n]);                           \
        }                                                                                                              \
    }
VECTOR_READ_AND_WRITE(element, to_element)
#if !defined(TILE_ELEMENT_F32)
VECTOR_READ_AND_WRITE(float, )
#else
#define vector_read_float  vector_read_element
#define vector_write_float vector_write_element
#endif

/* A lane's 8 floats take two accesses of 16 bytes, each of which would fill only half of every 32-byte sector. So two
 * neighbouring lanes exchange halves and together write the 8 floats of one of them, then those of the other. All lanes
 * of the warp must take part. */
DEVICE void vector_write_in_pairs(float *to, const float *x) {
#if defined(TILE_ELEMENT_F32)
    vector_write_float(to, x, VECTOR, true);
#else
    const bool odd = thread_index() % 2 != 0;
    float of_even[4], of_odd[4];
    TILE_UNROLL for (int n = 0; n < 4; n++) {
        const float other = warp_shuffle_xor(odd ? x[n] : x[4 + n], 1);
        of_even[n] = odd ? other : x[n];
        of_odd[n] = odd ? x[4 + n] : other;
    }
    float *first = to + (odd ? -4 : 0);
    sixteen_store(first, sixteen_of_float(of_even));
    sixteen_store(first + 8, sixteen_of_float(of_odd));
#endif
}

/* Each thread keeps the numbers of its columns in a place of its own, vector by vector. The layout [row, vector of the
 * thread, quarter of VECTOR, thread, 4] keeps the threads of a warp in different banks. */
enum { QUARTERS = VECTOR / 4 };
#define COLUMNS(name, rows, cols)                                                                                      \
    float *const name = (float *)shared_memory(#name, sizeof(float), (rows) * (cols) / (WARP * VECTOR) * QUARTERS,     \
                                               4 * THREADS, 4 * THREADS)
#define COLUMNS_ROW(name, cols, r) ((name) + (r) * ((cols) / (WARP * VECTOR) * VECTOR * THREADS))
#define columns_zero(row, cols, n)                                                                                     \
    do {                                                                                                               \
        const float zero_[VECTOR] = {0};                                                                               \
        for (int v_ = 0; v_ < (cols) / (WARP * VECTOR); v_++) columns_write(row, v_, zero_);                           \
    } while (0)
#define VECTOR_OF_TEAM(i) ((int)(i) / VECTOR >> team_.shift)
#define READ_COLUMNS(x, row, i)                                                                                        \
    float x[VECTOR];                                                                                                   \
    columns_read(x, row, VECTOR_OF_TEAM(i), thread_index())
#define WRITE_COLUMNS(row, i, x) columns_write(row, VECTOR_OF_TEAM(i), x)
#define ADD_COLUMNS(row, i, x)   columns_add(row, VECTOR_OF_TEAM(i), x)
#define READ_TOTALS(x, row, i, cols)                                                                                   \
    float x[VECTOR];                                                                                                   \
    columns_total(x, row, (int)(i) / VECTOR, team_shift(cols))

DEVICE float *columns_of_thread(float *columns, int vector, int quarter, int thread) {
    return columns + ((vector * QUARTERS + quarter) * THREADS + thread) * 4;
}
DEVICE void columns_read(float *x, float *columns, int vector, int thread) {
    TILE_UNROLL for (int q = 0; q < QUARTERS; q++)
        float_of_sixteen(x + 4 * q, sixteen_read(columns_of_thread(columns, vector, q, thread)));
}
DEVICE void columns_write(float *columns, int vector, const float *x) {
    TILE_UNROLL for (int q = 0; q < QUARTERS; q++)
        sixteen_write(columns_of_thread(columns, vector, q, thread_index()), sixteen_of_float(x + 4 * q));
}
DEVICE void columns_add(float *columns, int vector, const float *x) {
    float sum[VECTOR];
    columns_read(sum, columns, vector, thread_index());
    EACH_LANE(e) sum[e] += x[e];
    columns_write(columns, vector, sum);
}
/* The sum over the teams. Vector `number` of a row belongs to lane `number` modulo the number of lanes in each team. */
DEVICE void columns_total(float *x, float *columns, int number, int shift) {
    const int lane = number & ((1 << shift) - 1);
    EACH_LANE(e) x[e] = 0;
    for (int team = 0; team < THREADS >> shift; team++) {
        float part[VECTOR];
        columns_read(part, columns, number >> shift, (team << shift) + lane);
        EACH_LANE(e) x[e] += part[e];
    }
}

/* Each thread has one column. */
enum { WALK_COLUMNS = THREADS, COLUMN_TOTALS = WARP, COLUMN_PARTS = WARPS };
#define COLUMN_VALUES(name, count) float name[count]
#define EACH_COLUMN(c)             for (int c __attribute__((unused)) = thread_index(), once_ = 1; once_; once_ = 0)
#define COLUMN_VALUE(name, n, c)   (name[n])
/* In each round a lane gives half of its values to another lane and adds what it gets to the other half. At the end
 * lane n has the warp's total of value n. */
DEVICE void column_totals_round(float *values, const int half) {
    const bool upper = (lane_index() & half) != 0;
    TILE_UNROLL for (int n = 0; n < half; n++) {
        const float given = upper ? values[n] : values[n + half];
        values[n] = (upper ? values[n + half] : values[n]) + warp_shuffle_xor(given, half);
    }
}
DEVICE void column_totals(float *parts, float *values) {
    column_totals_round(values, COLUMN_TOTALS / 2);
    column_totals_round(values, COLUMN_TOTALS / 4);
    column_totals_round(values, COLUMN_TOTALS / 8);
    column_totals_round(values, COLUMN_TOTALS / 16);
    column_totals_round(values, COLUMN_TOTALS / 32);
    parts[thread_index()] = values[0];
}

#include "tile/tile_fragment.h"
#include "tile/tile_product.h"

#endif
