#include "training/windows.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct Windows {
    int64_t B, T, tokens;
    bool with_margins;
    int32_t *memory; /* the arrays of the batch, one after another */
    HostBatch batch;
    float *losses, *margins;
};

Windows *windows_create(const RunnerOptions *options) {
    Windows *windows = calloc(1, sizeof *windows);
    CHECK_MEMORY(windows, "out of memory");
    *windows = (Windows){.B = options->B, .T = options->T, .tokens = options->tokens, .with_margins = options->margins};
    const int64_t n = options->B * options->tokens;
    windows->memory = calloc((size_t)(4 * n), sizeof *windows->memory);
    windows->losses = calloc((size_t)(2 * n), sizeof *windows->losses);
    CHECK_MEMORY(windows->memory && windows->losses, "no memory for %lld windows of %lld tokens", (long long)options->B,
                 (long long)options->tokens);
    windows->margins = windows->losses + n;
    int32_t *at = windows->memory;
    windows->batch = (HostBatch){.tokens = at, .labels = at + n, .segment = at + 2 * n, .position = at + 3 * n};
    return windows;
}

void windows_free(Windows *windows) {
    if (!windows) return;
    free(windows->memory);
    free(windows->losses);
    free(windows);
}

HostBatch windows_batch(const Windows *windows) { return windows->batch; }

/* Copies `count` entries of 4 bytes of each window. */
static void copy_piece(const Windows *windows, void *to, int64_t to_stride, const void *from, int64_t from_stride,
                       int64_t count) {
    for (int64_t b = 0; b < windows->B; b++)
        memcpy((char *)to + 4 * b * to_stride, (const char *)from + 4 * b * from_stride, (size_t)(4 * count));
}

static void fill_piece(const Windows *windows, HostBatch piece, int64_t first, int64_t count) {
    const HostBatch *whole = &windows->batch;
    const int32_t *const from[] = {whole->tokens, whole->labels, whole->segment, whole->position};
    int32_t *const to[] = {piece.tokens, piece.labels, piece.segment, piece.position};
    for (int i = 0; i < LENGTH(from); i++) copy_piece(windows, to[i], count, from[i] + first, windows->tokens, count);
}

static void keep_scores(const Windows *windows, TokenScores scores, int64_t first, int64_t count) {
    copy_piece(windows, windows->losses + first, windows->tokens, scores.losses, count, count);
    if (windows->with_margins)
        copy_piece(windows, windows->margins + first, windows->tokens, scores.margins, count, count);
}

TokenScores windows_evaluate(Windows *windows, Runner *runner) {
    runner_restart(runner);
    for (int64_t first = 0; first < windows->tokens; first += windows->T) {
        const int64_t left = windows->tokens - first, count = left < windows->T ? left : windows->T;
        runner_set_tokens(runner, count);
        fill_piece(windows, runner_batch(runner), first, count);
        runner_evaluate(runner);
        keep_scores(windows, runner_scores(runner), first, count);
    }
    return (TokenScores){windows->losses, windows->with_margins ? windows->margins : NULL};
}
