/* Tasks on graphs of n nodes, with a position for each of the n^2 pairs (i, j) of nodes: shortest paths between all
 * pairs (Floyd-Warshall), and which pairs are in the same strongly connected component. The features of a pair are the
 * weight of its edge, 0 without one, and the places i/(n-1) and j/(n-1) of its nodes. */
#include <math.h>
#include <stdlib.h>

#include "suites/tropical/tropical.h"

typedef struct Graph {
    int64_t nodes;
    double low, high, p_low, p_high; /* ranges of edge weights and of the probability of one direction of an edge */
    double p_inside, p_across;       /* probability of an edge within a community, and between two */
    double noise, noise_low, noise_high;
    bool predecessors;
} Graph;

enum { NODES_MOST = 128 };

#define NODES_KEY KEY(Graph, nodes, KEY_INTEGER, "8", 2, NODES_MOST, NULL, "nodes; an example has nodes^2 positions")

static void write_pair(float *feature, double edge, int64_t i, int64_t j, int64_t n) {
    feature[0] = (float)edge;
    feature[1] = tropical_place(i, n);
    feature[2] = tropical_place(j, n);
}

static const Key floyd_warshall_keys[] = {
    NODES_KEY,
    KEY(Graph, low, KEY_REAL, "1", 0, VALUE_MOST, NULL, "least weight of an edge"),
    KEY(Graph, high, KEY_REAL, "15", 0, VALUE_MOST, NULL, "most weight of an edge"),
    KEY(Graph, p_low, KEY_REAL, "0.5", 0, 1, NULL, "least p of a graph; its edges have probability p^2"),
    KEY(Graph, p_high, KEY_REAL, "0.9", 0, 1, NULL, "most p of a graph"),
    KEY(Graph, predecessors, KEY_BOOLEAN, "false", 0, 0, NULL,
        "predict the node before j on the way from i, of nodes + 1 classes, instead of the distance"),
    KEY(Graph, noise, KEY_REAL, "0", 0, 1, NULL, "probability that a pair of different nodes is changed"),
    KEY(Graph, noise_low, KEY_REAL, "1", -VALUE_MOST, VALUE_MOST, NULL, "least that noise adds"),
    KEY(Graph, noise_high, KEY_REAL, "10", -VALUE_MOST, VALUE_MOST, NULL, "most that noise adds"),
};

static Status floyd_warshall_check(const void *config) {
    const Graph *c = config;
    Status status = tropical_range("", c->low, c->high);
    if (status == OK) status = tropical_range("p_", c->p_low, c->p_high);
    if (status == OK) status = tropical_range("noise_", c->noise_low, c->noise_high);
    return status;
}

static TaskSizes floyd_warshall_sizes(const void *config) {
    const Graph *c = config;
    return (TaskSizes){.T = c->nodes * c->nodes, .features = 3, .classes = c->predecessors ? c->nodes + 1 : 0};
}

static double draw_real(Draws *draws, double low, double high) { return low + (high - low) * draw_unit(draws); }

/* An undirected graph: [n, n], infinite without an edge, 0 on the diagonal. An edge exists if both of its directions
 * were drawn, and its weight is the geometric mean of theirs. */
static void draw_weights(const Graph *c, Draws *draws, double *weight) {
    const int64_t n = c->nodes;
    const double p = draw_real(draws, c->p_low, c->p_high);
    for (int64_t i = 0; i < n; i++) {
        weight[i * n + i] = 0;
        for (int64_t j = 0; j < i; j++) {
            const bool there = draw_chance(draws, p), back = draw_chance(draws, p);
            const double first = draw_real(draws, c->low, c->high), second = draw_real(draws, c->low, c->high);
            weight[i * n + j] = weight[j * n + i] = there && back ? sqrt(first * second + 1e-6) : INFINITY;
        }
    }
}

/* On entry `distance` holds the weights. On return it holds the distances of all pairs, and before[i][j] is the node
 * before j on the path from i; n if there is none. */
static void shortest_paths(int64_t n, double *distance, int32_t *before) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) before[i * n + j] = (int32_t)(i != j && distance[i * n + j] < INFINITY ? i : n);
    for (int64_t k = 0; k < n; k++)
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) {
                const double by_k = distance[i * n + k] + distance[k * n + j];
                if (by_k >= distance[i * n + j]) continue;
                distance[i * n + j] = by_k;
                before[i * n + j] = before[k * n + j];
            }
}

/* A pair without a path has the distance n high + 1, which is more than that of any path. */
static void floyd_warshall_generate(const void *config, uint64_t seed, Draws *draws, bool test, Example e) {
    (void)seed;
    (void)test;
    const Graph *c = config;
    const int64_t n = c->nodes;
    double *distance = tropical_zeros(n * n, sizeof *distance);
    int32_t *before = tropical_zeros(n * n, sizeof *before);
    draw_weights(c, draws, distance);
    for (int64_t t = 0; t < n * n; t++) {
        const int64_t i = t / n, j = t % n;
        const bool noisy = i != j && draw_chance(draws, c->noise);
        const double weight = distance[t] < INFINITY ? distance[t] : 0;
        const double noise = noisy ? draw_real(draws, c->noise_low, c->noise_high) : 0;
        write_pair(e.features + 3 * t, fmax(weight + noise, 0), i, j, n);
    }
    shortest_paths(n, distance, before);
    for (int64_t t = 0; t < n * n; t++) {
        e.labels[t] = c->predecessors ? before[t] : 0;
        if (!c->predecessors) e.values[t] = (float)fmin(distance[t], (double)n * c->high + 1);
    }
    free(before);
    free(distance);
}

/* The mean squared error of the mean, or the accuracy of the most frequent class, which is that of pairs without a
 * predecessor. */
static double floyd_warshall_trivial(const void *config) {
    const LabelFacts facts = tropical_facts(&floyd_warshall, config);
    return ((const Graph *)config)->predecessors ? facts.majority : facts.variance;
}

static const Split floyd_warshall_splits[] = {
    {"length 2x", "task.nodes=2x"}, {"values", "task.low=16 task.high=30"}, {"noise", "task.noise=0.5"}, {NULL, NULL}};

const Task floyd_warshall = {.name = "floyd_warshall",
                             .meaning = "the distances of all pairs of nodes of an undirected graph",
                             .form = TASK_SET,
                             .keys = floyd_warshall_keys,
                             .key_count = LENGTH(floyd_warshall_keys),
                             .config_size = sizeof(Graph),
                             .sweep = tropical_no_sweep,
                             .protocol = "training.batch_size=16",
                             .quick = "training.examples=4000 training.epochs=2 training.test_examples=500",
                             .splits = floyd_warshall_splits,
                             .check = floyd_warshall_check,
                             .sizes = floyd_warshall_sizes,
                             .generate = floyd_warshall_generate,
                             .trivial = floyd_warshall_trivial};

static const Key components_keys[] = {
    NODES_KEY,
    KEY(Graph, p_inside, KEY_REAL, "0.001", 0, 1, NULL, "probability of an edge between nodes of a community"),
    KEY(Graph, p_across, KEY_REAL, "0.05", 0, 1, NULL, "probability of an edge between nodes of two communities"),
    KEY(Graph, noise, KEY_REAL, "0", 0, 1, NULL, "probability that an edge between different nodes is flipped"),
};

static Status components_check(const void *config) {
    (void)config;
    return OK;
}

static TaskSizes components_sizes(const void *config) {
    const Graph *c = config;
    return (TaskSizes){.T = c->nodes * c->nodes, .features = 3, .classes = 2};
}

/* Draws edge[i][j] of a directed graph without loops. The nodes form 1 to n / 2 communities of nearly equal size. */
static void draw_edges(const Graph *c, Draws *draws, bool *edge) {
    const int64_t n = c->nodes, communities = draw_between(draws, 1, n / 2);
    int32_t place[NODES_MOST]; /* place of each node in a random order */
    draw_different(draws, 0, n, n, place);
    for (int64_t t = 0; t < n * n; t++) {
        const int64_t i = t / n, j = t % n;
        const bool inside = place[i] * communities / n == place[j] * communities / n;
        edge[t] = i != j && draw_chance(draws, inside ? c->p_inside : c->p_across);
    }
}

/* Finds the nodes that can be reached from node `from`, including itself; with `back`, the nodes from which it can be
 * reached. */
static void find_reached(int64_t n, const bool *edge, int64_t from, bool back, bool *reached) {
    int64_t waiting[NODES_MOST], count = 1;
    for (int64_t j = 0; j < n; j++) reached[j] = j == from;
    waiting[0] = from;
    while (count > 0) {
        const int64_t i = waiting[--count];
        for (int64_t j = 0; j < n; j++) {
            if (reached[j] || !edge[back ? j * n + i : i * n + j]) continue;
            reached[j] = true;
            waiting[count++] = j;
        }
    }
}

static void components_generate(const void *config, uint64_t seed, Draws *draws, bool test, Example e) {
    (void)seed;
    (void)test;
    const Graph *c = config;
    const int64_t n = c->nodes;
    bool *edge = tropical_zeros(n * n, sizeof *edge), forward[NODES_MOST], back[NODES_MOST];
    draw_edges(c, draws, edge);
    for (int64_t i = 0; i < n; i++) {
        find_reached(n, edge, i, false, forward);
        find_reached(n, edge, i, true, back);
        for (int64_t j = 0; j < n; j++) {
            const bool flipped = i != j && draw_chance(draws, c->noise);
            e.labels[i * n + j] = forward[j] && back[j];
            write_pair(e.features + 3 * (i * n + j), edge[i * n + j] != flipped, i, j, n);
        }
    }
    free(edge);
}

/* F1 of the answer "only i = j", which ignores the edges. It is always right and finds n of the n^2 p positive pairs.
 * If components are large, answering 1 everywhere is better. */
static double components_trivial(const void *config) {
    const double n = (double)((const Graph *)config)->nodes;
    const double p = tropical_facts(&strongly_connected_components, config).positive;
    return fmax(2 / (1 + n * p), 2 * p / (1 + p));
}

static const Split components_splits[] = {
    {"length 2x", "task.nodes=2x"}, {"values", "task.p_inside=0.1"}, {"noise", "task.noise=0.5"}, {NULL, NULL}};

const Task strongly_connected_components = {.name = "strongly_connected_components",
                                            .meaning = "which pairs of nodes of a directed graph reach each other?",
                                            .form = TASK_SET,
                                            .keys = components_keys,
                                            .key_count = LENGTH(components_keys),
                                            .config_size = sizeof(Graph),
                                            .sweep = tropical_no_sweep,
                                            .protocol = "training.batch_size=16",
                                            .quick =
                                                "training.examples=4000 training.epochs=2 training.test_examples=500",
                                            .splits = components_splits,
                                            .check = components_check,
                                            .sizes = components_sizes,
                                            .generate = components_generate,
                                            .trivial = components_trivial};
