#include "training/scoring.h"

#include <stdlib.h>

#include "data/pack.h"
#include "data/pack_windows.h"

enum { ROW_MULTIPLE = 64 }; /* rows have a multiple of this many tokens, because kernels work in chunks of that size */

/* The model reads `count` tokens from `first` on, and the token after each of the last `asked` tokens is scored. */
typedef struct Window {
    int64_t request, first, count, asked;
    int64_t target; /* number of its first target among all targets */
} Window;

struct Scoring {
    const Requests *requests;
    Window *window;
    PackedRows packed;
    int64_t windows, cut, B, T;
};

static void *allocate(int64_t count, size_t size) {
    void *array = calloc((size_t)count, size);
    CHECK_MEMORY(array, "no memory to score %lld requests", (long long)count);
    return array;
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t round_up(int64_t a, int64_t b) { return (a + b - 1) / b * b; }

/* Adds the windows of a request, whose targets are numbered from `target` on, or only counts them. */
static int64_t cut_request(const Request *r, int64_t number, int64_t seq_len, int64_t target, Window *window) {
    const int64_t inputs = r->count - 1;
    int64_t windows = 0;
    for (int64_t done = r->given - 1; done < inputs; windows++) {
        const int64_t end = smaller(done + seq_len, inputs), count = smaller(end, seq_len);
        if (window)
            window[windows] = (Window){.request = number,
                                       .first = r->first + end - count,
                                       .count = count,
                                       .asked = end - done,
                                       .target = target + done - (r->given - 1)};
        done = end;
    }
    return windows;
}

static void cut_requests(Scoring *s, int64_t seq_len) {
    const Requests *r = s->requests;
    for (int64_t i = 0; i < r->count; i++) s->windows += cut_request(&r->request[i], i, seq_len, 0, NULL);
    s->window = allocate(s->windows, sizeof *s->window);
    for (int64_t i = 0, w = 0, target = 0; i < r->count; i++) {
        const Request *request = &r->request[i];
        const int64_t windows = cut_request(request, i, seq_len, target, s->window + w);
        s->cut += s->window[w].first > request->first;
        target += request->count - request->given;
        w += windows;
    }
}

Scoring *scoring_plan(const Requests *requests, int64_t seq_len, int64_t batch_tokens, int ranks) {
    Scoring *s = allocate(1, sizeof *s);
    *s = (Scoring){.requests = requests};
    cut_requests(s, seq_len);
    int64_t *length = allocate(s->windows, sizeof *length);
    for (int64_t w = 0; w < s->windows; w++) {
        length[w] = s->window[w].count;
        if (length[w] > s->T) s->T = length[w];
    }
    s->T = round_up(s->T, ROW_MULTIPLE);
    s->packed = pack_windows(length, s->windows, s->T);
    const int64_t own_rows = (s->packed.rows + ranks - 1) / ranks, rows = batch_tokens / s->T;
    s->B = smaller(rows > 1 ? rows : 1, own_rows);
    free(length);
    return s;
}

void scoring_free(Scoring *s) {
    if (!s) return;
    packed_rows_free(&s->packed);
    free(s->window);
    free(s);
}

RunnerOptions scoring_runner(const Scoring *s) { return (RunnerOptions){.B = s->B, .T = s->T, .margins = true}; }

int64_t scoring_cut(const Scoring *s) { return s->cut; }

/* The windows of a row. A row beyond the last has none. */
static void windows_of(const Scoring *s, int64_t row, int64_t *first, int64_t *end) {
    const bool exists = row < s->packed.rows;
    *first = exists ? s->packed.start[row] : 0;
    *end = exists ? s->packed.start[row + 1] : 0;
}

static void fill_token(HostBatch batch, int64_t at, int32_t token, int32_t label, int64_t segment, int64_t position) {
    batch.tokens[at] = token;
    batch.labels[at] = label;
    batch.segment[at] = (int32_t)segment;
    batch.position[at] = (int32_t)position;
}

/* Fills a row of the batch. Each window is a document; the rest of the row is documents of one token each. */
static void fill_row(const Scoring *s, HostBatch batch, int64_t row, int64_t at) {
    const int64_t row_end = at + s->T;
    int64_t first, end, segment = 0;
    windows_of(s, row, &first, &end);
    for (int64_t i = first; i < end; i++, segment++) {
        const Window *w = &s->window[s->packed.order[i]];
        const int32_t *token = s->requests->token + w->first;
        for (int64_t t = 0; t < w->count; t++)
            fill_token(batch, at++, token[t], t < w->count - w->asked ? IGNORED_LABEL : token[t + 1], segment, t);
    }
    for (; at < row_end; segment++) fill_token(batch, at++, 0, IGNORED_LABEL, segment, 0);
}

static void take_row(const Scoring *s, TokenScores found, int64_t row, int64_t at, Scores *scores) {
    int64_t first, end;
    windows_of(s, row, &first, &end);
    for (int64_t i = first; i < end; i++) {
        const Window *w = &s->window[s->packed.order[i]];
        at += w->count - w->asked;
        for (int64_t t = 0; t < w->asked; t++, at++) {
            scores->loss[w->target + t] = (double)found.losses[at];
            scores->misses[w->request] += found.margins[at] != 0;
        }
    }
}

Scores scoring_run(const Scoring *s, Session *session) {
    const Comm *comm = session->comm;
    const Requests *requests = s->requests;
    Scores scores = {allocate(requests->targets, sizeof(double)), allocate(requests->count, sizeof(double))};
    for (int64_t row = 0; row < s->packed.rows; row += s->B * comm->size) {
        const int64_t own = row + comm->rank * s->B;
        const HostBatch batch = runner_batch(session->runner);
        for (int64_t b = 0; b < s->B; b++) fill_row(s, batch, own + b, b * s->T);
        runner_evaluate(session->runner);
        const TokenScores found = runner_scores(session->runner);
        for (int64_t b = 0; b < s->B; b++) take_row(s, found, own + b, b * s->T, &scores);
    }
    comm->f->all_reduce_sum(session->comm, scores.loss, requests->targets);
    comm->f->all_reduce_sum(session->comm, scores.misses, requests->count);
    return scores;
}

void scores_free(Scores *scores) {
    free(scores->loss);
    free(scores->misses);
    *scores = (Scores){0};
}
