/* The features of polynomial kernels of degree 2; equations in quadratic_features.h. A lane of a GPU has some entries
 * of a head, and their pairs with the entries at each distance. A CPU core stores a head's entries twice in a row, as a
 * ring, so that the entries at a distance from those of a vector lie side by side too. */
#include "tile/tile.h"
#include "kernels/products/quadratic_features/quadratic_features.h"
#include "tile/rows.h"

/* Factors: of every pair, an additional one for pairs of two different entries, and of single entries (0 if these are
 * no features). */
typedef struct Factors {
    float pair, mixed, single;
} Factors;

DEVICE Factors factors_of(const QuadraticFeaturesArguments *a) {
    const float root = 1.0f / sqrtf((float)a->cols);
    const Factors factors = {a->taylor ? 0.707106781f * root : 1.0f, 1.41421356f, a->taylor ? sqrtf(root) : 0.0f};
    return factors;
}

DEVICE int64_t pairs_at(int64_t d, int64_t distance) { return 2 * distance == d ? d / 2 : d; }

enum { RING = ON_GPU ? 1 : 2 * (int)QUADRATIC_FEATURES_COLS };

DEVICE void fill_ring(float *ring, const element *x, int64_t d) {
    EACH (j, d) {
        const float entry = to_float(x[j]);
        ring[j] = entry;
        ring[d + j] = entry;
    }
}

DEVICE void write_singles(TEAM, const element *x, element *to, int64_t d, float factor) {
    VECTORS_OF(x, to);
    WARP_VECTOR(j, d) {
        READ(own, x + j);
        EACH_LANE(e) own[e] *= factor;
        WRITE(to + j, own);
    }
}

KERNEL(quadratic_features, QuadraticFeaturesArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    const int64_t d = a.cols, pairs = d * (d + 1) / 2, used = a.taylor ? pairs + d : pairs;
    const Factors factors = factors_of(&a);
    EACH_GROUP (row, head, first, end, a.heads, d) {
        const element *x = (const element *)a.x + row * a.x_stride + head * d;
        element *phi = (element *)a.phi + row * a.phi_stride + head * a.features;
        VECTORS_OF(x, phi, d * sizeof(element));
        float ring[RING];
        if (!ON_GPU) fill_ring(ring, x, d);
        for (int64_t distance = 0; distance <= d / 2; distance++) {
            const float factor = distance > 0 ? factors.pair * factors.mixed : factors.pair;
            WARP_VECTOR(j, pairs_at(d, distance)) {
                READ(own, x + j);
                EACH_LANE(e) {
                    const int64_t other = j + e + distance;
                    if (ON_GPU)
                        own[e] *= LANE_INSIDE(e) ? factor * to_float(x[other < d ? other : other - d]) : 0.0f;
                    else
                        own[e] *= factor * ring[other];
                }
                WRITE(phi + distance * d + j, own);
            }
        }
        if (a.taylor) write_singles(TEAM_HERE, x, phi + pairs, d, factors.single);
        WARP_EACH(j, a.features - used) phi[used + j] = to_element(a.taylor && j == 0 ? 1.0f : 0.0f);
    }
}

/* At each distance, an entry's gradient has a part from its pair with the entry after it and one from its pair with the
 * entry before it. A lane of a GPU adds them up entry by entry. */
DEVICE void gradient_by_entry(TEAM, const element *x, const element *dphi, element *dx, int64_t d, Factors factors) {
    const int64_t pairs = d * (d + 1) / 2;
    VECTORS_OF(x, dphi, dx);
    WARP_VECTOR(j, d) {
        READ(own, x + j);
        READ(squares, dphi + j);
        float sum[VECTOR], single[VECTOR];
        EACH_LANE(e) sum[e] = 2.0f * squares[e] * own[e];
        for (int64_t distance = 1; distance <= d / 2; distance++) {
            const int64_t count = pairs_at(d, distance);
            const element *from = dphi + distance * d;
            EACH_LANE(e) {
                const int64_t i = LANE_INSIDE(e) ? j + e : 0;
                const int64_t behind = i + distance < d ? i + distance : i + distance - d;
                const int64_t before = i >= distance ? i - distance : i - distance + d;
                if (i < count) sum[e] += factors.mixed * to_float(from[i]) * to_float(x[behind]);
                if (before < count) sum[e] += factors.mixed * to_float(from[before]) * to_float(x[before]);
            }
        }
        EACH_LANE(e) {
            single[e] = factors.single != 0 && LANE_INSIDE(e) ? to_float(dphi[pairs + j + e]) : 0.0f;
            sum[e] = factors.pair * sum[e] + factors.single * single[e];
        }
        WRITE(dx + j, sum);
    }
}

/* A CPU core adds them up distance by distance; the parts of the entries after are summed in a ring. */
DEVICE void gradient_by_distance(const element *x, const element *dphi, element *dx, int64_t d, Factors factors) {
    const int64_t pairs = d * (d + 1) / 2;
    float ring[RING], sums[RING], behind[RING];
    fill_ring(ring, x, d);
    EACH (j, d) {
        sums[j] = 2.0f * to_float(dphi[j]) * ring[j];
        behind[j] = 0;
        behind[d + j] = 0;
    }
    for (int64_t distance = 1; distance <= d / 2; distance++) {
        const element *from = dphi + distance * d;
        EACH (j, pairs_at(d, distance)) {
            const float gradient = factors.mixed * to_float(from[j]);
            sums[j] += gradient * ring[j + distance];
            behind[j + distance] += gradient * ring[j];
        }
    }
    EACH (j, d) {
        const float single = factors.single != 0 ? to_float(dphi[pairs + j]) : 0.0f;
        dx[j] = to_element(factors.pair * (sums[j] + behind[j] + behind[d + j]) + factors.single * single);
    }
}

KERNEL(quadratic_features_backward, QuadraticFeaturesArguments) {
    const int64_t first = program_x * a.rows_per_program, end = end_of_program(first, a.rows, a.rows_per_program);
    const int64_t d = a.cols;
    const Factors factors = factors_of(&a);
    EACH_GROUP (row, head, first, end, a.heads, d) {
        const element *x = (const element *)a.x + row * a.x_stride + head * d;
        const element *dphi = (const element *)a.dphi + row * a.phi_stride + head * a.features;
        element *dx = (element *)a.dx + row * a.x_stride + head * d;
        if (ON_GPU)
            gradient_by_entry(TEAM_HERE, x, dphi, dx, d, factors);
        else
            gradient_by_distance(x, dphi, dx, d, factors);
    }
}
