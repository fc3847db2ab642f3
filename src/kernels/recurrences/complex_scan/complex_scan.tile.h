/* The linear recurrence of complex channels (GateLoop, arXiv 2311.01927); equations in complex_scan.h. A thread has a
 * column: it computes the column's decays of a chunk, then walks down the rows with the state in registers. EACH_PAIR
 * and EACH_COLUMN give a column to the same thread, so that no sync() is needed between them. */
#include "tile/tile.h"
#include "kernels/recurrences/complex_scan/complex_scan.h"
#include "kernels/recurrences/scan_part.h"
#include "tile/rows.h"

enum { COLS = COMPLEX_SCAN_COLS, ROWS = COMPLEX_SCAN_ROWS };
TILE_ASSERT((int)COLS == (int)WALK_COLUMNS, "a thread has a column");

typedef struct Complex {
    float re, im;
} Complex;

DEVICE Complex complex_of(float re, float im) {
    const Complex z = {re, im};
    return z;
}
DEVICE Complex conjugate(Complex x) { return complex_of(x.re, -x.im); }
/* x y + added. If the imaginary parts are 0, it rounds as a real recurrence does. */
DEVICE Complex product_sum(Complex x, Complex y, float added) {
    return complex_of(x.re * y.re + (added - x.im * y.im), x.re * y.im + x.im * y.re);
}
DEVICE Complex product(Complex x, Complex y) {
    return complex_of(x.re * y.re - x.im * y.im, x.re * y.im + x.im * y.re);
}

/* c = modulus times direction. If c is 0, the direction is 1 and the reciprocal of the modulus 0. */
typedef struct Polar {
    Complex direction;
    float modulus, reciprocal;
} Polar;

DEVICE Polar polar_form(float re, float im) {
    const float least = 1e-30f, square = re * re + im * im;
    const bool zero = square < least;
    const float reciprocal = zero ? 0.0f : reciprocal_root_f(square);
    const Polar c = {{zero ? 1.0f : re * reciprocal, im * reciprocal}, square * reciprocal, reciprocal};
    return c;
}

DEVICE Complex direction_of(float phase) {
    Complex z;
    sine_and_cosine((double)phase, &z.im, &z.re);
    return z;
}

DEVICE Complex polar_decay(float a_0, float a_1) {
    const Complex z = direction_of(a_1);
    const float r = sigmoid_f(a_0);
    return complex_of(r * z.re, r * z.im);
}
DEVICE Complex cartesian_decay(float a_0, float a_1) {
    const Polar c = polar_form(a_0, a_1);
    const float r = sigmoid_f(c.modulus);
    return complex_of(r * c.direction.re, r * c.direction.im);
}

/* The gradient of (a_0, a_1) from that of log alpha, conj(alpha) dalpha: its real part is the gradient of log |alpha|,
 * its imaginary part that of the phase. */
DEVICE Complex polar_decay_gradient(float a_0, float a_1 __attribute__((unused)), Complex dlog) {
    return complex_of(dlog.re * sigmoid_f(-a_0), dlog.im);
}
/* The same for a cartesian decay. The gradient is 0 where c is 0, as in PyTorch. */
DEVICE Complex cartesian_decay_gradient(float a_0, float a_1, Complex dlog) {
    const Polar c = polar_form(a_0, a_1);
    const Complex direction = complex_of(a_0 * c.reciprocal, a_1 * c.reciprocal);
    return product(direction, complex_of(dlog.re * sigmoid_f(-c.modulus), dlog.im * c.reciprocal));
}

/* Programs: x over blocks of columns, y over parts, z over sequences. */
DEVICE ScanPart scan_part(const ComplexScanArguments *a, int64_t block, int64_t index, int64_t sequence) {
    const ScanPart part = SCAN_PART(a, block, index, sequence);
    return part;
}

DEVICE int rows_of_chunk(const ComplexScanArguments *a, int64_t chunk) {
    return a->T - chunk * ROWS < ROWS ? (int)(a->T - chunk * ROWS) : ROWS;
}

/* stays[t] = 0 for the chunk's rows in which a document begins, else 1. The first row of a sequence goes on from
 * `initial`. */
DEVICE void fill_stays(float *stays, const ComplexScanArguments *a, int64_t sequence, int64_t chunk, int count) {
    const int32_t *segment = a->segment + sequence * a->T + chunk * ROWS;
    EACH (t, ROWS) stays[t] = t < count && (chunk > 0 || t > 0) && segment[t] != segment[t - 1] ? 0.0f : 1.0f;
}

#define LOAD_ROWS(tile, name, part, row, count)                                                                        \
    tile_load(tile, (const element *)a.name + (row)*a.tile##_stride + (part).first_col, a.tile##_stride, count,        \
              (part).cols)
#define LOAD_DECAYS(part, row, count)                                                                                  \
    tile_load(raw, (const element *)a.a + (row)*a.a_stride + 2 * (part).first_col, a.a_stride, count, 2 * (part).cols)
#define STORE_ROWS(tile, name, part, row, count)                                                                       \
    tile_store(tile, (element *)a.name + (row)*a.tile##_stride + (part).first_col, a.tile##_stride, count, (part).cols)

/* Computes alpha of each row, 0 where a document begins, from what LOAD_DECAYS has loaded. */
#define FILL_DECAYS()                                                                                                  \
    do {                                                                                                               \
        if (a.cartesian) {                                                                                             \
            FILL_DECAYS_BY(cartesian_decay);                                                                           \
        } else {                                                                                                       \
            FILL_DECAYS_BY(polar_decay);                                                                               \
        }                                                                                                              \
    } while (0)
#define FILL_DECAYS_BY(decay_of)                                                                                       \
    EACH_PAIR(t_, c_, ROWS, COLS) {                                                                                    \
        const Complex alpha_ = decay_of(AT(raw, t_, 2 * c_), AT(raw, t_, 2 * c_ + 1));                                 \
        ENTRY(re, t_, c_) = stays[t_] * alpha_.re;                                                                     \
        ENTRY(im, t_, c_) = stays[t_] * alpha_.im;                                                                     \
    }
#define DECAY(t, c) complex_of(ENTRY(re, t, c), ENTRY(im, t, c))

/* A complex number for each column, in registers. */
#define STATE(name, c) complex_of(COLUMN_VALUE(name, 0, c), COLUMN_VALUE(name, 1, c))
#define SET_STATE(name, c, value)                                                                                      \
    do {                                                                                                               \
        const Complex value_ = value;                                                                                  \
        COLUMN_VALUE(name, 0, c) = value_.re;                                                                          \
        COLUMN_VALUE(name, 1, c) = value_.im;                                                                          \
    } while (0)

DEVICE void fill_states(float *state, Complex value) {
    EACH_COLUMN (c) SET_STATE(state, c, value);
}

/* Loads row `row` of a matrix of complex numbers, with 0 beyond the last column and if there is no matrix; and stores
 * it. */
DEVICE void load_states(float *state, const float *from, int64_t stride, const ComplexScanArguments *a, ScanPart part,
                        int64_t row) {
    EACH_COLUMN (c) {
        const int64_t at = row * stride + part.first_col + c;
        const bool there = from && c < part.cols;
        SET_STATE(state, c, complex_of(there ? from[at] : 0.0f, there ? from[at + a->cols] : 0.0f));
    }
}
DEVICE void store_states(const float *state, float *to, int64_t stride, const ComplexScanArguments *a, ScanPart part,
                         int64_t row) {
    EACH_COLUMN (c) {
        const int64_t at = row * stride + part.first_col + c;
        if (c < part.cols) {
            to[at] = COLUMN_VALUE(state, 0, c);
            to[at + a->cols] = COLUMN_VALUE(state, 1, c);
        }
    }
}

/* Takes a state through part `other`; with `backward`, a gradient. */
DEVICE void cross_part(float *state, const ComplexScanArguments *a, ScanPart part, int64_t other, bool backward) {
    const int64_t row = (part.sequence * a->parts + other) * 2 * a->cols + part.first_col;
    const float *decay = a->part_decay + row, *added = a->part_state + row;
    EACH_COLUMN (c) {
        if (c < part.cols) {
            const Complex alpha = complex_of(decay[c], backward ? -decay[c + a->cols] : decay[c + a->cols]);
            const Complex kept = product(alpha, STATE(state, c));
            SET_STATE(state, c, complex_of(kept.re + added[c], kept.im + added[c + a->cols]));
        }
    }
}

/* Computes the state that a part leaves if it begins with 0, and the product of its alpha. Not for the last part. */
KERNEL(complex_scan_part, ComplexScanArguments) {
    TILE(k, ROWS, COLS);
    TILE(v, ROWS, COLS);
    TILE(raw, ROWS, 2 * COLS);
    MATRIX(re, ROWS, COLS);
    MATRIX(im, ROWS, COLS);
    VECTOR(stays, ROWS);
    COLUMN_VALUES(state, 2);
    COLUMN_VALUES(decay, 2);
    const ScanPart part = scan_part(&a, program_x, program_y, program_z);
    fill_states(state, complex_of(0, 0));
    fill_states(decay, complex_of(1, 0));
    for (int64_t chunk = part.first_chunk; chunk < part.end_chunk; chunk++) {
        const int64_t row = part.sequence * a.T + chunk * ROWS;
        const int count = rows_of_chunk(&a, chunk);
        LOAD_ROWS(k, k, part, row, count);
        LOAD_ROWS(v, v, part, row, count);
        LOAD_DECAYS(part, row, count);
        fill_stays(stays, &a, part.sequence, chunk, count);
        sync();
        FILL_DECAYS();
        for (int t = 0; t < count; t++) {
            EACH_COLUMN (c) {
                SET_STATE(state, c, product_sum(DECAY(t, c), STATE(state, c), AT(k, t, c) * AT(v, t, c)));
                SET_STATE(decay, c, product(DECAY(t, c), STATE(decay, c)));
            }
        }
        sync();
    }
    store_states(state, a.part_state, 2 * a.cols, &a, part, part.part);
    store_states(decay, a.part_decay, 2 * a.cols, &a, part, part.part);
}

KERNEL(complex_scan, ComplexScanArguments) {
    TILE(q, ROWS, COLS); /* q, then o */
    TILE(k, ROWS, COLS);
    TILE(v, ROWS, COLS);
    TILE(raw, ROWS, 2 * COLS);
    MATRIX(re, ROWS, COLS);
    MATRIX(im, ROWS, COLS);
    VECTOR(stays, ROWS);
    COLUMN_VALUES(state, 2);
    const ScanPart part = scan_part(&a, program_x, program_y, program_z);
    load_states(state, a.initial, a.initial_stride, &a, part, part.sequence);
    for (int64_t other = 0; other < part.index; other++) cross_part(state, &a, part, other, false);
    for (int64_t chunk = part.first_chunk; chunk < part.end_chunk; chunk++) {
        const int64_t row = part.sequence * a.T + chunk * ROWS;
        const int count = rows_of_chunk(&a, chunk);
        LOAD_ROWS(q, q, part, row, count);
        LOAD_ROWS(k, k, part, row, count);
        LOAD_ROWS(v, v, part, row, count);
        LOAD_DECAYS(part, row, count);
        fill_stays(stays, &a, part.sequence, chunk, count);
        store_states(state, a.state, 2 * a.cols, &a, part, part.sequence * a.chunks + chunk);
        sync();
        FILL_DECAYS();
        for (int t = 0; t < count; t++) {
            EACH_COLUMN (c) {
                const Complex now = product_sum(DECAY(t, c), STATE(state, c), AT(k, t, c) * AT(v, t, c));
                SET_STATE(state, c, now);
                PUT(q, t, c, AT(q, t, c) * now.re);
            }
        }
        sync();
        tile_store(q, (element *)a.o + row * a.o_stride + part.first_col, a.o_stride, count, part.cols);
        sync();
    }
    if (a.final && part.end_chunk == a.chunks) store_states(state, a.final, 2 * a.cols, &a, part, part.sequence);
}

/* Computes the gradient of the state before a part if that of the state after it is 0, and the product of the part's
 * alpha. Not for the first part. */
KERNEL(complex_scan_dpart, ComplexScanArguments) {
    TILE(q, ROWS, COLS);
    TILE(o, ROWS, COLS); /* do */
    TILE(raw, ROWS, 2 * COLS);
    MATRIX(re, ROWS, COLS);
    MATRIX(im, ROWS, COLS);
    VECTOR(stays, ROWS);
    COLUMN_VALUES(gradient, 2);
    COLUMN_VALUES(decay, 2);
    const ScanPart part = scan_part(&a, program_x, program_y + 1, program_z);
    fill_states(gradient, complex_of(0, 0));
    fill_states(decay, complex_of(1, 0));
    for (int64_t chunk = part.end_chunk - 1; chunk >= part.first_chunk; chunk--) {
        const int64_t row = part.sequence * a.T + chunk * ROWS;
        const int count = rows_of_chunk(&a, chunk);
        LOAD_ROWS(q, q, part, row, count);
        LOAD_ROWS(o, do_, part, row, count);
        LOAD_DECAYS(part, row, count);
        fill_stays(stays, &a, part.sequence, chunk, count);
        sync();
        FILL_DECAYS();
        for (int t = count - 1; t >= 0; t--) {
            EACH_COLUMN (c) {
                const Complex after = STATE(gradient, c);
                const Complex G = complex_of(after.re + AT(q, t, c) * AT(o, t, c), after.im);
                SET_STATE(gradient, c, product(conjugate(DECAY(t, c)), G));
                SET_STATE(decay, c, product(DECAY(t, c), STATE(decay, c)));
            }
        }
        sync();
    }
    store_states(gradient, a.part_state, 2 * a.cols, &a, part, part.part);
    store_states(decay, a.part_decay, 2 * a.cols, &a, part, part.part);
}

/* Replaces the rows of `a` by their gradients; re and im hold G. */
#define FILL_DECAY_GRADIENTS()                                                                                         \
    do {                                                                                                               \
        if (a.cartesian) {                                                                                             \
            FILL_DECAY_GRADIENTS_BY(cartesian_decay_gradient);                                                         \
        } else {                                                                                                       \
            FILL_DECAY_GRADIENTS_BY(polar_decay_gradient);                                                             \
        }                                                                                                              \
    } while (0)
#define FILL_DECAY_GRADIENTS_BY(gradient_of)                                                                           \
    EACH_PAIR(t_, c_, ROWS, COLS) {                                                                                    \
        const Complex kept_ = complex_of(ENTRY(kept_re, t_, c_), ENTRY(kept_im, t_, c_));                              \
        const Complex G_ = complex_of(ENTRY(re, t_, c_), ENTRY(im, t_, c_));                                           \
        const Complex d_ = gradient_of(AT(raw, t_, 2 * c_), AT(raw, t_, 2 * c_ + 1), product(conjugate(kept_), G_));   \
        const float first_ = a.gradient_factor * d_.re, second_ = a.gradient_factor * d_.im;                           \
        PUT(raw, t_, 2 * c_, first_);                                                                                  \
        PUT(raw, t_, 2 * c_ + 1, second_);                                                                             \
    }

KERNEL(complex_scan_backward, ComplexScanArguments) {
    TILE(q, ROWS, COLS); /* q, then dq; the others likewise */
    TILE(k, ROWS, COLS);
    TILE(v, ROWS, COLS);
    TILE(o, ROWS, COLS); /* do */
    TILE(raw, ROWS, 2 * COLS);
    MATRIX(re, ROWS, COLS);
    MATRIX(im, ROWS, COLS);
    MATRIX(kept_re, ROWS, COLS); /* alpha S_{t-1} for each row */
    MATRIX(kept_im, ROWS, COLS);
    VECTOR(stays, ROWS);
    COLUMN_VALUES(state, 2);
    COLUMN_VALUES(gradient, 2);
    const ScanPart part = scan_part(&a, program_x, program_y, program_z);
    load_states(gradient, a.dfinal, 2 * a.cols, &a, part, part.sequence);
    for (int64_t other = a.parts - 1; other > part.index; other--) cross_part(gradient, &a, part, other, true);
    for (int64_t chunk = part.end_chunk - 1; chunk >= part.first_chunk; chunk--) {
        const int64_t row = part.sequence * a.T + chunk * ROWS;
        const int count = rows_of_chunk(&a, chunk);
        LOAD_ROWS(q, q, part, row, count);
        LOAD_ROWS(k, k, part, row, count);
        LOAD_ROWS(v, v, part, row, count);
        LOAD_ROWS(o, do_, part, row, count);
        LOAD_DECAYS(part, row, count);
        fill_stays(stays, &a, part.sequence, chunk, count);
        load_states(state, a.state, 2 * a.cols, &a, part, part.sequence * a.chunks + chunk);
        sync();
        FILL_DECAYS();
        for (int t = 0; t < count; t++) {
            EACH_COLUMN (c) {
                const Complex kept = product(DECAY(t, c), STATE(state, c));
                ENTRY(kept_re, t, c) = kept.re;
                ENTRY(kept_im, t, c) = kept.im;
                SET_STATE(state, c, complex_of(kept.re + AT(k, t, c) * AT(v, t, c), kept.im));
            }
        }
        for (int t = count - 1; t >= 0; t--) {
            EACH_COLUMN (c) {
                const Complex after = STATE(gradient, c), alpha = DECAY(t, c);
                const float Q = AT(q, t, c), K = AT(k, t, c), V = AT(v, t, c), d = AT(o, t, c);
                const Complex G = complex_of(after.re + Q * d, after.im);
                PUT(q, t, c, d * (ENTRY(kept_re, t, c) + K * V));
                PUT(k, t, c, V * G.re);
                PUT(v, t, c, K * G.re);
                ENTRY(re, t, c) = G.re;
                ENTRY(im, t, c) = G.im;
                SET_STATE(gradient, c, product(conjugate(alpha), G));
            }
        }
        FILL_DECAY_GRADIENTS();
        sync();
        STORE_ROWS(q, dq, part, row, count);
        STORE_ROWS(k, dk, part, row, count);
        STORE_ROWS(v, dv, part, row, count);
        tile_store(raw, (element *)a.da + row * a.a_stride + 2 * part.first_col, a.a_stride, count, 2 * part.cols);
        sync();
    }
    if (a.dinitial && part.first_chunk == 0)
        store_states(gradient, a.dinitial, a.initial_stride, &a, part, part.sequence);
}
