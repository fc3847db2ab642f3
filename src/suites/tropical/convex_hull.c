/* Which points are corners of the convex hull? Points on an edge between two corners are not corners, and equal points
 * have the same label. The features of a point are its coordinates. */
#include <stdlib.h>

#include "suites/tropical/tropical.h"

typedef struct Point {
    int32_t x, y;
} Point;

static const Key convex_hull_keys[] = {LENGTH_KEY(2), VALUE_KEYS("0", "10", -VALUE_MOST), NOISE_KEYS("1", "5")};

static TaskSizes convex_hull_sizes(const void *config) {
    return (TaskSizes){.T = ((const Tropical *)config)->length, .features = 2, .classes = 2};
}

static int by_coordinates(const void *a, const void *b) {
    const Point *p = a, *q = b;
    return p->x != q->x ? p->x - q->x : p->y - q->y;
}

/* Positive if the path from a through b to c turns left. */
static int64_t turn(Point a, Point b, Point c) {
    return (int64_t)(b.x - a.x) * (c.y - a.y) - (int64_t)(b.y - a.y) * (c.x - a.x);
}

/* Appends p to a chain that only turns left, and first removes the points at which it would no longer do so. Returns
 * the new count. */
static int64_t chain_append(Point *chain, int64_t count, Point p) {
    while (count >= 2 && turn(chain[count - 2], chain[count - 1], p) <= 0) count--;
    chain[count] = p;
    return count + 1;
}

/* The corners of the lower side of the ascending points, then those of the upper side (Andrew's monotone chain).
 * Returns their count, at most 2 n: the leftmost and the rightmost point are in it twice. */
static int64_t hull_of(const Point *sorted, int64_t n, Point *corner) {
    int64_t lower = 0, upper = 0;
    for (int64_t i = 0; i < n; i++) lower = chain_append(corner, lower, sorted[i]);
    for (int64_t i = n - 1; i >= 0; i--) upper = chain_append(corner + lower, upper, sorted[i]);
    return lower + upper;
}

static bool is_corner(Point p, const Point *corner, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (corner[i].x == p.x && corner[i].y == p.y) return true;
    return false;
}

static void convex_hull_generate(const void *config, uint64_t seed, Draws *draws, bool test, Example e) {
    (void)seed;
    (void)test;
    const Tropical *c = config;
    const int64_t n = c->length;
    Point *point = tropical_zeros(4 * n, sizeof *point), *sorted = point + n, *corner = sorted + n;
    for (int64_t i = 0; i < n; i++) {
        point[i].x = (int32_t)draw_between(draws, c->low, c->high);
        point[i].y = (int32_t)draw_between(draws, c->low, c->high);
        sorted[i] = point[i];
    }
    qsort(sorted, (size_t)n, sizeof *sorted, by_coordinates);
    const int64_t corners = hull_of(sorted, n, corner);
    for (int64_t i = 0; i < n; i++) {
        const bool noisy = draw_chance(draws, c->noise);
        e.labels[i] = is_corner(point[i], corner, corners);
        e.features[2 * i] = (float)(point[i].x + (noisy ? draw_between(draws, c->noise_low, c->noise_high) : 0));
        e.features[2 * i + 1] = (float)(point[i].y + (noisy ? draw_between(draws, c->noise_low, c->noise_high) : 0));
    }
    free(point);
}

static double convex_hull_trivial(const void *config) { return tropical_all_ones(&convex_hull, config); }

static const Split convex_hull_splits[] = TROPICAL_SPLITS("task.low=11 task.high=21");

const Task convex_hull = {.name = "convex_hull",
                          .meaning = "which points are corners of the convex hull?",
                          .form = TASK_SET,
                          .keys = convex_hull_keys,
                          .key_count = LENGTH(convex_hull_keys),
                          .config_size = sizeof(Tropical),
                          .sweep = tropical_no_sweep,
                          .splits = convex_hull_splits,
                          .check = tropical_check,
                          .sizes = convex_hull_sizes,
                          .generate = convex_hull_generate,
                          .trivial = convex_hull_trivial};
