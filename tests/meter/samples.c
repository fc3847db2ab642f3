#include "meter/samples.h"

#include <stdlib.h>

#include "base/check.h"

static int compare_sectors(const void *a, const void *b) {
    const uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;
    return (x > y) - (x < y);
}

void sectors_sort(uintptr_t *sector, int64_t count) { qsort(sector, (size_t)count, sizeof *sector, compare_sectors); }

static void add_counted(Samples *samples, int64_t x, int64_t y, int64_t z) {
    const Grid *program = samples->program;
    for (int i = 0; i < samples->counted; i++)
        if (program[i].x == x && program[i].y == y && program[i].z == z) return;
    samples->program[samples->counted++] = (Grid){x, y, z};
}

/* Chooses the program in the middle of the grid, its neighbours, the first and the last. */
static void choose_counted(Samples *samples, Grid grid) {
    const Grid m = {(grid.x - 1) / 2, (grid.y - 1) / 2, (grid.z - 1) / 2};
    samples->counted = 0;
    add_counted(samples, m.x, m.y, m.z);
    if (grid.x > 1) add_counted(samples, m.x + 1, m.y, m.z);
    if (grid.y > 1) add_counted(samples, m.x, m.y + 1, m.z);
    if (grid.z > 1) add_counted(samples, m.x, m.y, m.z + 1);
    add_counted(samples, 0, 0, 0);
    add_counted(samples, grid.x - 1, grid.y - 1, grid.z - 1);
}

/* The coordinates of the base are the largest powers of two in the grid; its neighbours along an axis are 1, 2, 4 ...
 * programs away. */
static void choose_neighbours(Samples *samples, Grid grid) {
    const int64_t extent[3] = {grid.x, grid.y, grid.z};
    int64_t base[3] = {0};
    int count = SAMPLES_COUNTED;
    for (int axis = 0; axis < 3; axis++)
        for (int64_t n = 1; n < extent[axis]; n *= 2) base[axis] = n;
    samples->program[count++] = (Grid){base[0], base[1], base[2]};
    for (int axis = 0; axis < 3; axis++) {
        samples->neighbours[axis] = 0;
        for (int64_t distance = 1; distance <= base[axis]; distance *= 2) {
            CHECK(samples->neighbours[axis]++ < SAMPLES_AXIS, "a grid of %lld programs", (long long)extent[axis]);
            int64_t at[3] = {base[0], base[1], base[2]};
            const bool behind = distance < base[axis] && base[axis] + distance < extent[axis];
            at[axis] += behind ? distance : -distance;
            samples->program[count++] = (Grid){at[0], at[1], at[2]};
        }
    }
    samples->neighbouring = count - SAMPLES_COUNTED;
}

void samples_choose(Samples *samples, Grid grid) {
    choose_counted(samples, grid);
    choose_neighbours(samples, grid);
}

/* Counts the sectors of a sample in [from, to), and those that `other` has too. */
static void compare_touched(const Sectors *a, const Sectors *b, uintptr_t from, uintptr_t to, double *count,
                            double *common) {
    int64_t j = 0;
    *count = *common = 0;
    for (int64_t i = 0; i < a->count; i++) {
        if (a->sector[i] < from || a->sector[i] >= to) continue;
        (*count)++;
        while (j < b->count && b->sector[j] < a->sector[i]) j++;
        *common += j < b->count && b->sector[j] == a->sector[i];
    }
}

/* The ratio of the part of an array that all programs along an axis access to the part that one accesses. If neighbours
 * at a distance of 1, 2, 4 ... share a fraction f, twice as many programs access 2 - f times as much. `neighbour` is
 * the first neighbour. */
static double growth(const Samples *samples, int64_t programs, int neighbour, int neighbours, uintptr_t from,
                     uintptr_t to) {
    const Sectors *base = &samples->touched[SAMPLES_COUNTED];
    double factor = 1, count, common;
    int64_t covered = 1;
    for (int i = 0; i < neighbours; i++, covered *= 2) {
        const double more = 2 * covered <= programs ? 1 : (double)(programs - covered) / (double)covered;
        compare_touched(&samples->touched[neighbour + i], base, from, to, &count, &common);
        factor *= 1 + more * (count > 0 ? 1 - common / count : 1);
    }
    return factor;
}

double samples_distinct_sectors(const Samples *samples, Grid grid, uintptr_t *start, int arrays) {
    const int64_t extent[3] = {grid.x, grid.y, grid.z};
    double sectors = 0;
    start[arrays] = UINTPTR_MAX;
    for (int n = 0; n < arrays; n++) {
        double mean = 0, count, common, programs = 1;
        for (int i = 0; i < samples->counted; i++) {
            compare_touched(&samples->touched[i], &samples->touched[i], start[n], start[n + 1], &count, &common);
            mean += count / samples->counted;
        }
        for (int axis = 0, neighbour = SAMPLES_COUNTED + 1; axis < 3; neighbour += samples->neighbours[axis++])
            programs *= growth(samples, extent[axis], neighbour, samples->neighbours[axis], start[n], start[n + 1]);
        sectors += mean * programs;
    }
    return sectors;
}
