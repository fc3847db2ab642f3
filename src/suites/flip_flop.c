/* Flip-flop language modelling (Liu et al. 2023, arXiv 2306.00946): instructions with a bit each. `write` stores its
 * bit, `ignore` has a random one, and the bit after `read` is the one that was stored last:
 *
 *   x       w 1 i 0 i 1 r 1 w 0 i 1 r 0        first a write, last a read
 *   scored  . . . . . . 1 . . . . . 0 .
 *
 * Every other instruction is `ignore` with probability p_ignore, and otherwise a write or a read with equal
 * probability. */
#include "suites/flip_flop.h"
#include "suites/flip_flop_text.h"

#include "base/log.h"

typedef struct FlipFlop {
    int64_t seq_len;
    double p_ignore, tails;
    bool clean;
} FlipFlop;

static const Key flip_flop_keys[] = {
    KEY(FlipFlop, seq_len, KEY_INTEGER, "512", 4, 1 << 20, NULL, "tokens: instructions and bits take turns"),
    KEY(FlipFlop, p_ignore, KEY_REAL, "0.8", 0, 1, NULL, "probability of an instruction to be ignored"),
    KEY(FlipFlop, tails, KEY_REAL, "0", 0, 1, NULL,
        "share of the training's examples with p_ignore 0.98 or 0.1, alike, as in the tests sparse and dense"),
    KEY(FlipFlop, clean, KEY_BOOLEAN, "true", 0, 0, NULL,
        "train on the bits after reads only (false: on every next token)"),
};

static Status flip_flop_check(const void *config) {
    const FlipFlop *c = config;
    if (c->seq_len % 2 == 0) return OK;
    log_error("task.seq_len must be even: an instruction and its bit; it is %lld", (long long)c->seq_len);
    return USAGE;
}

static TaskSizes flip_flop_sizes(const void *config) {
    const FlipFlop *c = config;
    return (TaskSizes){.T = c->seq_len, .tokens = FLIP_FLOP_TOKENS, .classes = FLIP_FLOP_TOKENS};
}

static double flip_flop_trivial(const void *config) {
    (void)config;
    return 0.5;
}

static double p_ignore_of(const FlipFlop *c, Draws *draws, bool test) {
    if (test || c->tails == 0 || !draw_chance(draws, c->tails)) return c->p_ignore;
    return draw_chance(draws, 0.5) ? 0.98 : 0.1;
}

static int32_t draw_instruction(const FlipFlop *c, double p_ignore, Draws *draws, int64_t i) {
    if (i == 0) return WRITE;
    if (i == c->seq_len / 2 - 1) return READ;
    if (draw_chance(draws, p_ignore)) return IGNORE;
    return (int32_t)draw_between(draws, WRITE, READ);
}

static void flip_flop_generate(const void *config, uint64_t seed, Draws *draws, bool test, Example e) {
    (void)seed;
    const FlipFlop *c = config;
    const double p_ignore = p_ignore_of(c, draws, test);
    int32_t stored = ZERO;
    for (int64_t i = 0; i < c->seq_len / 2; i++) {
        const int32_t instruction = draw_instruction(c, p_ignore, draws, i);
        const int32_t bit = instruction == READ ? stored : (int32_t)(ZERO + draw_below(draws, 2));
        if (instruction == WRITE) stored = bit;
        e.inputs[2 * i] = instruction;
        e.inputs[2 * i + 1] = bit;
        e.labels[2 * i] = instruction == READ ? bit : IGNORED_LABEL;
        e.labels[2 * i + 1] = IGNORED_LABEL;
    }
    if (c->clean || test) return;
    for (int64_t t = 0; t + 1 < c->seq_len; t++) e.labels[t] = e.inputs[t + 1];
}

static const char *const flip_flop_sweep[] = {NULL};

static const Split flip_flop_splits[] = {{"sparse", "task.p_ignore=0.98"}, {"dense", "task.p_ignore=0.1"},
                                         {"length 2x", "task.seq_len=2x"}, {"length 4x", "task.seq_len=4x"},
                                         {"length 8x", "task.seq_len=8x"}, {NULL, NULL}};

const Task flip_flop = {.name = "flip_flop",
                        .meaning = "keep one bit, through instructions to ignore",
                        .form = TASK_CAUSAL,
                        .keys = flip_flop_keys,
                        .key_count = LENGTH(flip_flop_keys),
                        .config_size = sizeof(FlipFlop),
                        .sweep = flip_flop_sweep,
                        .splits = flip_flop_splits,
                        .files = &flip_flop_files,
                        .check = flip_flop_check,
                        .sizes = flip_flop_sizes,
                        .generate = flip_flop_generate,
                        .trivial = flip_flop_trivial};
