/* Tiles and accumulators of a program of 128 threads in 4 warps: which thread has which entry, and loads, stores and
 * sums. Part of tile_simt.h. */
#ifndef FLAME_TILE_TILE_FRAGMENT_H
#define FLAME_TILE_TILE_FRAGMENT_H

/* An accumulator is kept in registers in the layout of m16n8k16: blocks of 16 x 8 entries, 4 entries per thread. The
 * warps form a grid over the blocks, with one row of warps per row of blocks, but at most four. A warp has an even
 * number of neighbouring blocks in a row. */
enum { TILE_PAD = 8 };   /* elements: rows start in different banks */
enum { MATRIX_PAD = 8 }; /* floats: the 8 rows of a block of an accumulator start in different banks */
#define WARPS_DOWN(rows)   ((rows) < 64 ? (rows) / 16 : 4)
#define WARPS_ACROSS(rows) (4 / WARPS_DOWN(rows))
#define BLOCKS_DOWN(rows)  (((rows) / 16 + WARPS_DOWN(rows) - 1) / WARPS_DOWN(rows))
enum { MOST_BLOCKS_DOWN = 4 };
#define BLOCKS_ACROSS(rows, cols)    (((cols) / 16 + WARPS_ACROSS(rows) - 1) / WARPS_ACROSS(rows) * 2)
#define ONE_WARP_ACROSS(rows)        TILE_ASSERT((rows) >= 64, "in fewer than 64 rows several warps share the columns")
#define ACCUMULATOR_SIZE(rows, cols) (4 * BLOCKS_DOWN(rows) * BLOCKS_ACROSS(rows, cols))
#define TILE_SIZES(name, rows, cols, stride)                                                                           \
    enum { name##_rows = (rows), name##_cols = (cols), name##_stride = (stride) }

#define TILE(name, rows, cols)                                                                                         \
    TILE_SIZES(name, rows, cols, (cols) + TILE_PAD);                                                                   \
    element *const name = (element *)shared_memory(#name, sizeof(element), rows, cols, (cols) + TILE_PAD)
#define TILE_VIEW(name, tile, i, j, rows, cols)                                                                        \
    TILE_SIZES(name, rows, cols, tile##_stride);                                                                       \
    element *const name = tile + (i)*tile##_stride + (j)
#define STRIDED_MATRIX(name, rows, cols, stride)                                                                       \
    TILE_SIZES(name, rows, cols, stride);                                                                              \
    float *const name = (float *)shared_memory(#name, sizeof(float), rows, cols, stride)
#define MATRIX(name, rows, cols)        STRIDED_MATRIX(name, rows, cols, cols)
#define PADDED_MATRIX(name, rows, cols) STRIDED_MATRIX(name, rows, cols, (cols) + MATRIX_PAD)
#define MATRIX_VIEW(name, matrix, i, j, rows, cols)                                                                    \
    TILE_SIZES(name, rows, cols, matrix##_stride);                                                                     \
    float *const name = matrix + (i)*matrix##_stride + (j)
#define VECTOR(name, size)                                                                                             \
    enum { name##_size = (size) };                                                                                     \
    float *const name = (float *)shared_memory(#name, sizeof(float), 1, size, size)
#define ACCUMULATOR(name, rows, cols)                                                                                  \
    TILE_ASSERT(BLOCKS_DOWN(rows) <= MOST_BLOCKS_DOWN, "an accumulator of too many rows");                             \
    enum { name##_rows = (rows), name##_cols = (cols), name##_size = ACCUMULATOR_SIZE(rows, cols) };                   \
    float name[ACCUMULATOR_SIZE(rows, cols)]

#define ACCUMULATOR_VIEW(name, accumulator, j, cols)                                                                   \
    TILE_ASSERT(accumulator##_rows == 64, "views are of accumulators of 64 rows");                                     \
    enum {                                                                                                             \
        name##_rows = accumulator##_rows,                                                                              \
        name##_cols = (cols),                                                                                          \
        name##_size = ACCUMULATOR_SIZE(accumulator##_rows, cols)                                                       \
    };                                                                                                                 \
    float *const name = accumulator + (j) / 8 * 4

#define EACH_BAND(b, rows, count) for (int b = 0; b == 0; b++)
#define ACCUMULATOR_BAND(name, accumulator, b, rows)                                                                   \
    TILE_ASSERT(accumulator##_rows == (rows), "there is one band");                                                    \
    enum { name##_rows = accumulator##_rows, name##_cols = accumulator##_cols, name##_size = accumulator##_size };     \
    float *const name = accumulator

#define AT(tile, i, j)         to_float(tile[(i)*tile##_stride + (j)])
#define PUT(tile, i, j, value) (tile[(i)*tile##_stride + (j)] = to_element(value))
#define ENTRY(matrix, i, j)    (matrix[(i)*matrix##_stride + (j)])

/* Row and column of this thread's entry e. They may be past the end if the blocks cannot be divided evenly. */
DEVICE int fragment_row(int e, int rows, int cols) {
    const int down = e / 4 / BLOCKS_ACROSS(rows, cols) * WARPS_DOWN(rows) + warp_index() % WARPS_DOWN(rows);
    return down * 16 + lane_index() / 4 + e / 2 % 2 * 8;
}
DEVICE int fragment_col(int e, int rows, int cols) {
    const int first = warp_index() / WARPS_DOWN(rows) * BLOCKS_ACROSS(rows, cols);
    const int across = first + e / 4 % BLOCKS_ACROSS(rows, cols);
    return across * 8 + thread_index() % 4 * 2 + e % 2;
}
/* False if the entry's block is past the end, or the warp has no block at all because the grid has only 3 warps. */
DEVICE bool fragment_inside(int i, int j, int rows, int cols) {
    const bool even = WARPS_DOWN(rows) * WARPS_ACROSS(rows) == 4 && rows % (16 * WARPS_DOWN(rows)) == 0 &&
                      cols % (16 * WARPS_ACROSS(rows)) == 0;
    return even || (i < rows && j < cols && warp_index() < WARPS_DOWN(rows) * WARPS_ACROSS(rows));
}

#define MAP(accumulator, i, j, x, ...)                                                                                 \
    do {                                                                                                               \
        TILE_UNROLL for (int e_ = 0; e_ < accumulator##_size; e_++) {                                                  \
            const int i = fragment_row(e_, accumulator##_rows, accumulator##_cols);                                    \
            const int j = fragment_col(e_, accumulator##_rows, accumulator##_cols);                                    \
            const int blocks_ = BLOCKS_ACROSS(accumulator##_rows, accumulator##_cols);                                 \
            (void)blocks_;                                                                                             \
            if (fragment_inside(i, j, accumulator##_rows, accumulator##_cols)) {                                       \
                float x = accumulator[e_];                                                                             \
                __VA_ARGS__;                                                                                           \
                accumulator[e_] = x;                                                                                   \
            }                                                                                                          \
        }                                                                                                              \
    } while (0)
/* A tile or matrix is read and written in pieces of 16 bytes, and piece n always belongs to the same thread. */
#define PIECES(tile, entry)        (tile##_rows * tile##_cols / PIECE_ENTRIES(entry))
#define PIECE_ENTRIES(entry)       (16 / (int)sizeof(entry))
#define PIECE_ROW(tile, entry, n)  ((n) / (tile##_cols / PIECE_ENTRIES(entry)))
#define PIECE_COL(tile, entry, n)  ((n) % (tile##_cols / PIECE_ENTRIES(entry)) * PIECE_ENTRIES(entry))
#define EACH_PIECE(tile, entry, n) for (int n = thread_index(); n < PIECES(tile, entry); n += THREADS)
/* The same with a number of rounds that the compiler knows, so that it steps addresses instead of computing each
 * one. */
#define EACH_PIECE_UNROLLED(tile, entry, n)                                                                            \
    TILE_UNROLL_BY_2 for (int round_ = 0; round_ * THREADS < PIECES(tile, entry);                                      \
                          round_++) for (int n = round_ * THREADS + thread_index(), once_ = n < PIECES(tile, entry);   \
                                         once_; once_ = 0)
/* If a thread's pieces are all in one column, PIECE_STEP rows apart, the thread keeps two addresses and steps them. */
#define PIECES_ACROSS(tile, entry) (tile##_cols / PIECE_ENTRIES(entry))
#define PIECES_ALIGN(tile, entry)  (THREADS % PIECES_ACROSS(tile, entry) == 0 && PIECES(tile, entry) % THREADS == 0)
#define PIECE_STEP(tile, entry)    (THREADS / PIECES_ACROSS(tile, entry))
#define PIECE_WALK(tile, entry, at, from, source, stride)                                                              \
    entry *at =                                                                                                        \
        tile + PIECE_ROW(tile, entry, thread_index()) * tile##_stride + PIECE_COL(tile, entry, thread_index());        \
    entry *source =                                                                                                    \
        (entry *)(from) + PIECE_ROW(tile, entry, thread_index()) * (stride) + PIECE_COL(tile, entry, thread_index());  \
    TILE_UNROLL_BY_2 for (int step_ = 0; step_ < tile##_rows; step_ += PIECE_STEP(tile, entry),                        \
                                                              at += PIECE_STEP(tile, entry) * tile##_stride,           \
                                                              source += PIECE_STEP(tile, entry) * (stride))
#define ALIGNED(from, stride, entry) (((uintptr_t)(from) | (uintptr_t)(stride) * sizeof(entry)) % 16 == 0)

#define EACH_ENTRY_READY(tile, entry, i, j, x, ...)                                                                    \
    do {                                                                                                               \
        EACH_PIECE(tile, entry, piece_) {                                                                              \
            const int i = PIECE_ROW(tile, entry, piece_), first_ = PIECE_COL(tile, entry, piece_);                     \
            entry *const at_ = tile + i * tile##_stride + first_;                                                      \
            float value_[PIECE_ENTRIES(entry)];                                                                        \
            entry##_of_sixteen(value_, sixteen_read(at_));                                                             \
            TILE_UNROLL for (int n_ = 0; n_ < PIECE_ENTRIES(entry); n_++) {                                            \
                const int j = first_ + n_;                                                                             \
                (void)j;                                                                                               \
                float x = value_[n_];                                                                                  \
                __VA_ARGS__;                                                                                           \
                value_[n_] = x;                                                                                        \
            }                                                                                                          \
            sixteen_write(at_, sixteen_of_##entry(value_));                                                            \
        }                                                                                                              \
    } while (0)
#define EACH_ENTRY_OF(tile, entry, i, j, x, ...)                                                                       \
    do {                                                                                                               \
        copy_wait();                                                                                                   \
        EACH_ENTRY_READY(tile, entry, i, j, x, __VA_ARGS__);                                                           \
    } while (0)
#define EACH_TILE_STAGED(tile, i, j, x, ...) EACH_ENTRY_READY(tile, element, i, j, x, __VA_ARGS__)
#define EACH_TILE(tile, i, j, x, ...)        EACH_ENTRY_OF(tile, element, i, j, x, __VA_ARGS__)
#define EACH_ENTRY(matrix, i, j, x, ...)     EACH_ENTRY_OF(matrix, float, i, j, x, __VA_ARGS__)

#define EACH_ROW_VECTOR(i, j, rows, cols)                                                                              \
    TILE_UNROLL_BY_2 for (int round_ = 0; round_ * THREADS < (rows) * (cols) / VECTOR;                                 \
                          round_++) for (int vector_ = round_ * THREADS + thread_index(),                              \
                                         i = vector_ / ((cols) / VECTOR), j = vector_ % ((cols) / VECTOR) * VECTOR;    \
                                         vector_ < (rows) * (cols) / VECTOR; vector_ = (rows) * (cols))
#define READ_TILE(x, tile, i, j)                                                                                       \
    float x[VECTOR];                                                                                                   \
    element_of_sixteen(x, sixteen_read(tile + (i)*tile##_stride + (j)))
#define READ_MATRIX(x, matrix, i, j)                                                                                   \
    float x[VECTOR];                                                                                                   \
    TILE_UNROLL for (int n_ = 0; n_ < VECTOR; n_ += 4)                                                                 \
        float_of_sixteen(x + n_, sixteen_read(matrix + (i)*matrix##_stride + (j) + n_))
#define WRITE_TILE(tile, i, j, x) sixteen_write(tile + (i)*tile##_stride + (j), sixteen_of_element(x))
#define WRITE_MATRIX(matrix, i, j, x)                                                                                  \
    TILE_UNROLL for (int n_ = 0; n_ < VECTOR; n_ += 4)                                                                 \
        sixteen_write(matrix + (i)*matrix##_stride + (j) + n_, sixteen_of_float((x) + n_))

DEVICE bool covers(int64_t there, int wanted) { return there >= wanted; }
DEVICE int between(int64_t x, int low, int high) { return x < low ? low : x > high ? high : (int)x; }

/* Loads entries without converting them. A copy of fewer than 16 bytes takes a dozen more instructions, so whole tiles
 * have code of their own. Whether a tile is whole is decided from the sizes before they are clamped: ptxas 13.0 merges
 * the clamp of an int and a comparison with its upper bound into one VIMNMX.RELU, whose predicate is also true below
 * the bound. */
#define LOAD_SAME(tile, entry, from, stride, rows, cols)                                                               \
    do {                                                                                                               \
        const entry *const from_ = (from);                                                                             \
        const int64_t stride_ = (stride);                                                                              \
        const int rows_ = between(rows, 0, tile##_rows), cols_ = between(cols, 0, tile##_cols);                        \
        const bool aligned_ = ALIGNED(from_, stride_, entry);                                                          \
        if (aligned_ && covers(rows, tile##_rows) && covers(cols, tile##_cols)) {                                      \
            if (PIECES_ALIGN(tile, entry)) {                                                                           \
                PIECE_WALK(tile, entry, to_, from_, source_, stride_) copy_start(to_, source_, 16);                    \
            } else {                                                                                                   \
                EACH_PIECE_UNROLLED(tile, entry, piece_) {                                                             \
                    const int i_ = PIECE_ROW(tile, entry, piece_), j_ = PIECE_COL(tile, entry, piece_);                \
                    copy_start(tile + i_ * tile##_stride + j_, from_ + i_ * stride_ + j_, 16);                         \
                }                                                                                                      \
            }                                                                                                          \
        } else {                                                                                                       \
            TILE_ROLLED EACH_PIECE(tile, entry, piece_) {                                                              \
                const int i_ = PIECE_ROW(tile, entry, piece_), j_ = PIECE_COL(tile, entry, piece_);                    \
                const int count_ = i_ < rows_ ? between(cols_ - j_, 0, PIECE_ENTRIES(entry)) : 0;                      \
                entry *const to_ = tile + i_ * tile##_stride + j_;                                                     \
                const entry *const source_ = from_ + i_ * stride_ + j_;                                                \
                if (aligned_)                                                                                          \
                    copy_start(to_, source_, count_ *(int)sizeof(entry));                                              \
                else                                                                                                   \
                    for (int n_ = 0; n_ < PIECE_ENTRIES(entry); n_++) to_[n_] = n_ < count_ ? source_[n_] : (entry)0;  \
            }                                                                                                          \
        }                                                                                                              \
    } while (0)
#define tile_load(tile, from, stride, rows, cols)     LOAD_SAME(tile, element, from, stride, rows, cols)
#define matrix_load(matrix, from, stride, rows, cols) LOAD_SAME(matrix, float, from, stride, rows, cols)
#define tile_load_f32(tile, from, stride, rows, cols)                                                                  \
    do {                                                                                                               \
        const float *const from_ = (from);                                                                             \
        const int64_t stride_ = (stride), rows_ = (rows), cols_ = (cols);                                              \
        const bool aligned_ = ALIGNED(from_, stride_, float);                                                          \
        EACH_PIECE(tile, element, piece_) {                                                                            \
            const int i_ = PIECE_ROW(tile, element, piece_), j_ = PIECE_COL(tile, element, piece_);                    \
            const int count_ = i_ < rows_ ? between(cols_ - j_, 0, PIECE_ENTRIES(element)) : 0;                        \
            const float *const source_ = from_ + i_ * stride_ + j_;                                                    \
            float value_[PIECE_ENTRIES(element)];                                                                      \
            TILE_UNROLL for (int n_ = 0; n_ < PIECE_ENTRIES(element); n_ += 4) {                                       \
                if (aligned_ && n_ + 4 <= count_) {                                                                    \
                    float_of_sixteen(value_ + n_, sixteen_read(source_ + n_));                                         \
                } else {                                                                                               \
                    TILE_UNROLL for (int m_ = n_; m_ < n_ + 4; m_++) value_[m_] = m_ < count_ ? source_[m_] : 0.0f;    \
                }                                                                                                      \
            }                                                                                                          \
            sixteen_write(tile + i_ * tile##_stride + j_, sixteen_of_element(value_));                                 \
        }                                                                                                              \
    } while (0)
/* Where a thread's first piece of the next rows is: its entries x_at and y_at in the matrices, its entry `to` in the
 * tiles, and its row of the tiles, NO_ROW past the end of the columns. The thread's pieces are in one column, WALK_ROWS
 * rows apart. */
typedef struct TilesWalk {
    const element *x, *y;
    int64_t x_at, y_at, x_stride, y_stride, cols;
    int to, row;
    bool aligned;
} TilesWalk;
enum { NO_ROW = 1 << 30 };
#define WALK_ROWS(tile) (THREADS * PIECE_ENTRIES(element) / tile##_cols)
#define TILES_WALK(name, tile, x, x_first, x_stride, y, y_first, y_stride, cols, aligned)                              \
    TilesWalk name = walk_from(tile##_cols, tile##_stride, x, x_first, x_stride, y, y_first, y_stride, cols, aligned)
DEVICE TilesWalk walk_from(int tile_cols, int tile_stride, const element *x, int64_t x_first, int64_t x_stride,
                           const element *y, int64_t y_first, int64_t y_stride, int64_t cols, bool aligned) {
    const int entry = thread_index() * PIECE_ENTRIES(element), i = entry / tile_cols, j = entry % tile_cols;
    const TilesWalk walk = {
        .x = x,
        .y = y,
        .x_at = x_first + i * x_stride + j,
        .y_at = y_first + i * y_stride + j,
        .x_stride = x_stride,
        .y_stride = y_stride,
        .cols = cols,
        .to = i * tile_stride + j,
        .row = j < cols ? i : (int)NO_ROW,
        .aligned = aligned,
    };
    return walk;
}
#define walk_load(x_tile, y_tile, walk, rows)                                                                          \
    do {                                                                                                               \
        const int rows_ = (rows) - (walk).row;                                                                         \
        if ((walk).aligned) {                                                                                          \
            walk_pieces(x_tile, (walk).to, (walk).x + (walk).x_at, (walk).x_stride, rows_);                            \
            walk_pieces(y_tile, (walk).to, (walk).y + (walk).y_at, (walk).y_stride, rows_);                            \
        } else {                                                                                                       \
            const int cols_ = (int)(walk).cols - PIECE_COL(x_tile, element, thread_index());                           \
            walk_entries(x_tile, (walk).to, (walk).x + (walk).x_at, (walk).x_stride, rows_, cols_);                    \
            walk_entries(y_tile, (walk).to, (walk).y + (walk).y_at, (walk).y_stride, rows_, cols_);                    \
        }                                                                                                              \
        (walk).x_at += x_tile##_rows * (walk).x_stride;                                                                \
        (walk).y_at += y_tile##_rows * (walk).y_stride;                                                                \
    } while (0)
#define walk_load_across(x_tile, y_tile, walk, rows, cols_left)                                                        \
    do {                                                                                                               \
        const int left_ = (int)(cols_left)-PIECE_COL(x_tile, element, thread_index());                                 \
        const int rows_ = left_ > 0 ? (int)(rows) - (walk).row : 0;                                                    \
        if ((walk).aligned) {                                                                                          \
            walk_pieces(x_tile, (walk).to, (walk).x + (walk).x_at, (walk).x_stride, rows_);                            \
            walk_pieces(y_tile, (walk).to, (walk).y + (walk).y_at, (walk).y_stride, rows_);                            \
        } else {                                                                                                       \
            walk_entries(x_tile, (walk).to, (walk).x + (walk).x_at, (walk).x_stride, rows_, left_);                    \
            walk_entries(y_tile, (walk).to, (walk).y + (walk).y_at, (walk).y_stride, rows_, left_);                    \
        }                                                                                                              \
        (walk).x_at += x_tile##_cols;                                                                                  \
        (walk).y_at += y_tile##_cols;                                                                                  \
    } while (0)
#define walk_pieces(tile, to, from, stride, rows)                                                                      \
    TILE_UNROLL for (int i_ = 0; i_ < tile##_rows; i_ += WALK_ROWS(tile))                                              \
        copy_start(tile + (to) + i_ * tile##_stride, (from) + i_ * (stride), i_ < (rows) ? 16 : 0)
#define walk_entries(tile, to, from, stride, rows, cols)                                                               \
    TILE_ROLLED for (int i_ = 0; i_ < tile##_rows; i_ += WALK_ROWS(tile))                                              \
        TILE_ROLLED for (int n_ = 0; n_ < PIECE_ENTRIES(element); n_++) tile[(to) + i_ * tile##_stride + n_] =         \
            i_ < (rows) && n_ < (cols) ? (from)[i_ * (stride) + n_] : (element)0
#define matrix_load_whole(matrix, from)                                                                                \
    EACH_PIECE_UNROLLED(matrix, float, piece_)                                                                         \
    copy_start(matrix + PIECE_ROW(matrix, float, piece_) * matrix##_stride + PIECE_COL(matrix, float, piece_),         \
               (from) + piece_ * PIECE_ENTRIES(float), 16)
#define tile_dot(s, a, b) (s += dot_of_tiles(a, a##_stride, b, b##_stride, a##_rows, a##_cols))
#define accumulator_load(accumulator, from, stride, rows, cols)                                                        \
    MAP(accumulator, i_, j_, x_, x_ = i_ < (rows) && j_ < (cols) ? (from)[i_ * (int64_t)(stride) + j_] : 0.0f)

/* Runs the statements for every two neighbours in a row that the thread has: entries e and e + 1, at (i, j) and (i, j +
 * 1). */
#define EACH_TWO(accumulator, e, i, j, ...)                                                                            \
    do {                                                                                                               \
        TILE_UNROLL for (int e = 0; e < accumulator##_size; e += 2) {                                                  \
            const int i = fragment_row(e, accumulator##_rows, accumulator##_cols);                                     \
            const int j = fragment_col(e, accumulator##_rows, accumulator##_cols);                                     \
            if (fragment_inside(i, j, accumulator##_rows, accumulator##_cols)) {                                       \
                __VA_ARGS__;                                                                                           \
            }                                                                                                          \
        }                                                                                                              \
    } while (0)
#if defined(TILE_ELEMENT_F32)
DEVICE Sixteen two_of_element(float x, float y) {
    const float two[4] = {x, y, 0.0f, 0.0f};
    return sixteen_of_float(two);
}
#else
DEVICE Sixteen two_of_element(float x, float y) {
    const Sixteen two = {{round_pair(x, y), 0, 0, 0}};
    return two;
}
#endif

/* Exchanges entry `high` of a lane with entry `low` of the lane above it, whose number differs in the bit `mask`. */
DEVICE void exchange(Sixteen *x, int low, int high, int mask) {
    const bool above = lane_index() & mask;
    const float other = warp_shuffle_xor(above ? x->value[low] : x->value[high], mask);
    x->value[low] = above ? other : x->value[low];
    x->value[high] = above ? x->value[high] : other;
}
/* Entry n of lane q of four neighbours becomes entry q of lane n. */
DEVICE void transpose_four(Sixteen *x) {
    exchange(x, 0, 1, 1);
    exchange(x, 2, 3, 1);
    exchange(x, 0, 2, 2);
    exchange(x, 1, 3, 2);
}
/* Turns the entries of four neighbouring lanes, in rows i and i + 8 of one block (fp32) or of two (bf16), into pieces
 * of 16 bytes of one row, one per lane: lane q gets row i + q % 2 * 8 and the columns from q / 2 * PIECE_ENTRIES on. */
enum { PIECE_SHARE_float = 4, PIECE_SHARE_element = 16 / sizeof(element) }; /* entries of a lane in a piece */
DEVICE Sixteen piece_of_float(const float *x) {
    Sixteen piece = sixteen_of_float(x);
    exchange(&piece, 0, 2, 1);
    exchange(&piece, 1, 3, 1);
    return piece;
}
#if defined(TILE_ELEMENT_F32)
#define piece_of_element piece_of_float
DEVICE element entry_of_piece(Sixteen piece, int n) { return piece.value[n]; }
#else
DEVICE Sixteen piece_of_element(const float *x) {
    Sixteen piece = sixteen_of_element(x);
    transpose_four(&piece);
    return piece;
}
DEVICE element entry_of_piece(Sixteen piece, int n) { return (element)(piece.word[n / 2] >> n % 2 * 16); }
#endif
DEVICE float float_of_piece(Sixteen piece, int n) { return piece.value[n]; }

/* Pieces are written whole, except at the end of a row and in rows that are not aligned, which are written entry by
 * entry. With sixteen_write, nvcc would split the whole pieces too. */
#define STORE_PIECES(accumulator, entry, entry_of, to, stride, rows, cols)                                             \
    do {                                                                                                               \
        entry *const start_ = (to);                                                                                    \
        const int64_t stride_ = (stride);                                                                              \
        const int rows_ = between(rows, 0, accumulator##_rows), cols_ = between(cols, 0, accumulator##_cols);          \
        const int lane_ = lane_index() % 4;                                                                            \
        TILE_UNROLL for (int e_ = 0; e_ < accumulator##_size; e_ += PIECE_SHARE_##entry) {                             \
            const Sixteen piece_ = piece_of_##entry(accumulator + e_);                                                 \
            const int i_ = fragment_row(e_, accumulator##_rows, accumulator##_cols) + lane_ % 2 * 8;                   \
            const int j_ = fragment_col(e_, accumulator##_rows, accumulator##_cols) - lane_ * 2 +                      \
                           lane_ / 2 * PIECE_ENTRIES(entry);                                                           \
            entry *const to_ = start_ + i_ * stride_ + j_;                                                             \
            if (!fragment_inside(i_, j_, accumulator##_rows, accumulator##_cols) || i_ >= rows_) continue;             \
            if (j_ + PIECE_ENTRIES(entry) <= cols_ && (uintptr_t)to_ % 16 == 0) {                                      \
                sixteen_store(to_, piece_);                                                                            \
            } else {                                                                                                   \
                TILE_UNROLL for (int n_ = 0; n_ < PIECE_ENTRIES(entry); n_++) if (j_ + n_ < cols_) to_[n_] =           \
                    entry_of(piece_, n_);                                                                              \
            }                                                                                                          \
        }                                                                                                              \
    } while (0)
#define STORE_ENTRIES(tile, entry, to, stride, rows, cols)                                                             \
    do {                                                                                                               \
        entry *const start_ = (to);                                                                                    \
        const int64_t stride_ = (stride);                                                                              \
        const int rows_ = between(rows, 0, tile##_rows), cols_ = between(cols, 0, tile##_cols);                        \
        if (PIECES_ALIGN(tile, entry) && ALIGNED(start_, stride_, entry) && covers(rows, tile##_rows) &&               \
            covers(cols, tile##_cols)) {                                                                               \
            PIECE_WALK(tile, entry, at_, start_, to_, stride_) sixteen_store(to_, sixteen_read(at_));                  \
        } else if (ALIGNED(start_, stride_, entry) && cols_ % PIECE_ENTRIES(entry) == 0) {                             \
            EACH_PIECE_UNROLLED(tile, entry, piece_) {                                                                 \
                const int i_ = PIECE_ROW(tile, entry, piece_), j_ = PIECE_COL(tile, entry, piece_);                    \
                if (i_ < rows_ && j_ < cols_)                                                                          \
                    sixteen_store(start_ + i_ * stride_ + j_, sixteen_read(tile + i_ * tile##_stride + j_));           \
            }                                                                                                          \
        } else {                                                                                                       \
            EACH_PIECE(tile, entry, piece_) {                                                                          \
                const int i_ = PIECE_ROW(tile, entry, piece_), j_ = PIECE_COL(tile, entry, piece_);                    \
                const int count_ = i_ < rows_ ? between(cols_ - j_, 0, PIECE_ENTRIES(entry)) : 0;                      \
                for (int n_ = 0; n_ < count_; n_++)                                                                    \
                    start_[i_ * stride_ + j_ + n_] = tile[i_ * tile##_stride + j_ + n_];                               \
            }                                                                                                          \
        }                                                                                                              \
    } while (0)
#define tile_store(tile, to, stride, rows, cols)     STORE_ENTRIES(tile, element, to, stride, rows, cols)
#define matrix_store(matrix, to, stride, rows, cols) STORE_ENTRIES(matrix, float, to, stride, rows, cols)
#define accumulator_store(accumulator, to, stride, rows, cols)                                                         \
    STORE_PIECES(accumulator, element, entry_of_piece, to, stride, rows, cols)
#define accumulator_store_f32(accumulator, to, stride, rows, cols)                                                     \
    STORE_PIECES(accumulator, float, float_of_piece, to, stride, rows, cols)
/* In shuffled columns, entry 2 q + e of block b of four blocks is at 8 q + 2 b + e, so that each piece of 16 bytes
 * belongs to one thread. The entries that a product leaves in quarter q of block b then belong in quarter b of block q.
 * fp32 is not shuffled. */
#if defined(TILE_ELEMENT_F32)
#define accumulator_store_shuffled(accumulator, to, stride, rows, cols)                                                \
    accumulator_store(accumulator, to, stride, rows, cols)
#define accumulator_unshuffle(accumulator) ((void)0)
#else
#define accumulator_store_shuffled(accumulator, to, stride, rows, cols)                                                \
    do {                                                                                                               \
        ONE_WARP_ACROSS(accumulator##_rows);                                                                           \
        enum { SHUFFLED_ENTRIES_ = 16 };                                                                               \
        const int rows_ = between(rows, 0, accumulator##_rows), cols_ = between(cols, 0, accumulator##_cols);          \
        const int64_t stride_ = (stride);                                                                              \
        element *const start_ = (to) + lane_index() % 4 * 8;                                                           \
        TILE_UNROLL for (int e_ = 0; e_ < accumulator##_size; e_ += e_ % SHUFFLED_ENTRIES_ ? 14 : 2) {                 \
            const int i_ = fragment_row(e_, accumulator##_rows, accumulator##_cols);                                   \
            const int j_ = fragment_col(e_, accumulator##_rows, accumulator##_cols) - lane_index() % 4 * 2;            \
            Sixteen piece_;                                                                                            \
            TILE_UNROLL for (int n_ = 0; n_ < 4; n_++) piece_.word[n_] =                                               \
                round_pair(accumulator[e_ + 4 * n_], accumulator[e_ + 4 * n_ + 1]);                                    \
            if (i_ < rows_ && j_ < cols_) sixteen_store(start_ + i_ * stride_ + j_, piece_);                           \
        }                                                                                                              \
    } while (0)
#define accumulator_unshuffle(accumulator)                                                                             \
    TILE_UNROLL for (int e_ = 0; e_ < accumulator##_size; e_ += e_ % 4 == 3 ? 13 : 1) do {                             \
        Sixteen four_;                                                                                                 \
        TILE_UNROLL for (int n_ = 0; n_ < 4; n_++) four_.value[n_] = accumulator[e_ + 4 * n_];                         \
        transpose_four(&four_);                                                                                        \
        TILE_UNROLL for (int n_ = 0; n_ < 4; n_++) accumulator[e_ + 4 * n_] = four_.value[n_];                         \
    }                                                                                                                  \
    while (0)
#endif
/* Takes two neighbours at a time, because the tile gets them in one access. The statements still see one entry after
 * the other. */
#define MAP_INTO(tile, accumulator, i, j, x, ...)                                                                      \
    EACH_TWO(accumulator, first_, i, left_, {                                                                          \
        TILE_UNROLL for (int e_ = first_; e_ < first_ + 2; e_++) {                                                     \
            const int j = left_ + e_ - first_;                                                                         \
            const int blocks_ = BLOCKS_ACROSS(accumulator##_rows, accumulator##_cols);                                 \
            float x = accumulator[e_];                                                                                 \
            (void)j, (void)blocks_;                                                                                    \
            __VA_ARGS__;                                                                                               \
            accumulator[e_] = x;                                                                                       \
        }                                                                                                              \
        pair_write(tile + i * tile##_stride + left_, 2 * (int)sizeof(element),                                         \
                   two_of_element(accumulator[first_], accumulator[first_ + 1]));                                      \
    })
#define tile_cast(tile, accumulator) MAP_INTO(tile, accumulator, i_, j_, x_, )
#define accumulator_zero(accumulator)                                                                                  \
    do {                                                                                                               \
        TILE_UNROLL for (int e_ = 0; e_ < accumulator##_size; e_++) accumulator[e_] = 0;                               \
    } while (0)
#define PEER(other, i, j)                   (other[e_])
#define accumulator_add(accumulator, other) MAP(accumulator, i_, j_, x_, x_ += PEER(other, i_, j_))

/* Row values. One warp spans the accumulator's columns, so a row lies in the registers of 4 neighbouring threads, each
 * of which has two of every 16 rows. */
#define ROW_VALUES(name, rows)                                                                                         \
    ONE_WARP_ACROSS(rows);                                                                                             \
    enum { name##_rows = (rows), name##_size = 2 * BLOCKS_DOWN(rows) };                                                \
    float name[name##_size]
#define ROW_VALUES_BAND(name, values, b, rows)                                                                         \
    TILE_ASSERT(values##_rows == (rows), "there is one band");                                                         \
    enum { name##_rows = values##_rows, name##_size = values##_size };                                                 \
    float *const name = values
#define EACH_ROW_VALUE(name, r, i)                                                                                     \
    TILE_UNROLL for (int r = 0; r < name##_size;                                                                       \
                     r++) for (int i = row_of_value(r, name##_rows), once_ = name##_rows % 64 == 0 || i < name##_rows; \
                               once_; once_ = 0)
/* The row value that belongs to entry e_ of an accumulator with blocks_ blocks across. */
#define ROW_VALUE(name, i) (name[e_ / 4 / blocks_ * 2 + e_ / 2 % 2])
DEVICE int row_of_value(int r, int rows) {
    return (r / 2 * WARPS_DOWN(rows) + warp_index()) * 16 + lane_index() / 4 + r % 2 * 8;
}

#define ROW_REDUCE(to, accumulator, start, combine, lanes, finish)                                                     \
    do {                                                                                                               \
        ONE_WARP_ACROSS(accumulator##_rows);                                                                           \
        enum { blocks_ = accumulator##_cols / 8 };                                                                     \
        TILE_UNROLL for (int half_ = 0; half_ < accumulator##_size / blocks_ / 2; half_++) {                           \
            const int first_ = half_ / 2 * blocks_ * 4 + half_ % 2 * 2;                                                \
            float row_ = start;                                                                                        \
            TILE_UNROLL for (int n_ = 0; n_ < blocks_; n_++) row_ =                                                    \
                combine(row_, combine(accumulator[first_ + n_ * 4], accumulator[first_ + n_ * 4 + 1]));                \
            for (int mask_ = 1; mask_ < (lanes); mask_ *= 2) row_ = combine(row_, warp_shuffle_xor(row_, mask_));      \
            finish(to, half_, accumulator##_rows);                                                                     \
        }                                                                                                              \
    } while (0)
#define ROW_TO_VECTOR(vector, r, rows)                                                                                 \
    if (thread_index() % 4 == 0 && row_of_value(r, rows) < rows) (vector)[row_of_value(r, rows)] = row_
#define ROW_TO_VALUE(values, r, rows) values[r] = row_
DEVICE float plus(float x, float y) { return x + y; }
#define row_sum(vector, accumulator)            ROW_REDUCE(vector, accumulator, 0.0f, plus, 4, ROW_TO_VECTOR)
#define row_values_share(values, accumulator)   ROW_REDUCE(values, accumulator, 0.0f, plus, 1, ROW_TO_VALUE)
#define row_values_maximum(values, accumulator) ROW_REDUCE(values, accumulator, -INFINITY, fmaxf, 4, ROW_TO_VALUE)
#define row_values_total(values)                                                                                       \
    do {                                                                                                               \
        TILE_UNROLL for (int r_ = 0; r_ < values##_size; r_++) values[r_] = lanes_sum(values[r_], 4);                  \
    } while (0)

#define column_sums(matrix, accumulator)                                                                               \
    do {                                                                                                               \
        ONE_WARP_ACROSS(accumulator##_rows);                                                                           \
        sums_of_columns(matrix, matrix##_stride, accumulator, accumulator##_rows, accumulator##_cols);                 \
    } while (0)
DEVICE void sums_of_columns(float *to, int stride, const float *accumulator, int rows, int cols) {
    TILE_UNROLL for (int e = 0; e < ACCUMULATOR_SIZE(rows, cols); e += e % 4 ? 3 : 1) {
        float sum = accumulator[e] + accumulator[e + 2];
        for (int mask = 4; mask < WARP; mask *= 2) sum += warp_shuffle_xor(sum, mask);
        const int i = fragment_row(e, rows, cols);
        if (lane_index() < 4 && i < rows) to[i / 16 * stride + fragment_col(e, rows, cols)] = sum;
    }
}

/* One warp scans a vector, 32 entries at a time; lane 0 has the entry that the scan begins with. */
#define VECTOR_SCAN(name, combine, neutral)                                                                            \
    DEVICE void name(float *x, int size, int step) {                                                                   \
        const int lane = lane_index();                                                                                 \
        if (warp_index() > 0) return;                                                                                  \
        float before = neutral;                                                                                        \
        for (int first = 0; first < size; first += WARP) {                                                             \
            const int i = first + lane;                                                                                \
            float scan = i < size ? x[i * step] : neutral;                                                             \
            for (int distance = 1; distance < WARP; distance *= 2) {                                                   \
                const float other = warp_shuffle(scan, lane - distance);                                               \
                scan = combine(scan, lane >= distance ? other : neutral);                                              \
            }                                                                                                          \
            scan = combine(scan, before);                                                                              \
            if (i < size) x[i * step] = scan;                                                                          \
            before = warp_shuffle(scan, WARP - 1);                                                                     \
        }                                                                                                              \
    }
DEVICE float times(float x, float y) { return x * y; }
VECTOR_SCAN(running_sum, plus, 0.0f)
VECTOR_SCAN(running_product, times, 1.0f)
#define vector_cumsum(vector)         running_sum(vector, vector##_size, 1)
#define vector_cumsum_reverse(vector) running_sum(vector + vector##_size - 1, vector##_size, -1)
#define vector_cumprod(vector)        running_product(vector, vector##_size, 1)

#endif
