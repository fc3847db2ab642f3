#include "training/tally.h"

#include <stddef.h>

_Static_assert(sizeof(Tallies) % sizeof(double) == 0, "only doubles");
enum { TALLIES_NUMBERS = sizeof(Tallies) / sizeof(double) };

int64_t tally_first(int range) { return range == 0 ? 0 : (int64_t)1 << (range - 1); }

static int range_of(int32_t position) {
    int range = 0;
    while (range + 1 < TALLY_POSITIONS && position >= tally_first(range + 1)) range++;
    return range;
}

static void count(Tally *tally, const Tally *target) {
    tally->targets += target->targets;
    tally->loss += target->loss;
    tally->right += target->right;
    tally->bytes += target->bytes;
}

/* Adds the targets of one sequence. */
static void tally_row(Tallies *tallies, HostBatch batch, TokenScores scores, int64_t first, int64_t end,
                      const int32_t *bytes, Bigrams *seen, const ShownBigrams *shown) {
    for (int64_t i = first; i < end; i++) {
        if (i == first || batch.segment[i] != batch.segment[i - 1]) bigrams_clear(seen);
        const int32_t label = batch.labels[i];
        if (label < 0) continue;
        const Tally target = {.targets = 1,
                              .loss = (double)scores.losses[i],
                              .right = scores.margins[i] == 0,
                              .bytes = bytes ? bytes[i] : 0};
        count(&tallies->all, &target);
        count(&tallies->position[range_of(batch.position[i])], &target);
        if (!bigrams_add(seen, batch.tokens[i], label)) continue;
        count(&tallies->repeated, &target);
        if (shown && shown_bigrams_is_rare(shown, batch.tokens[i], label)) count(&tallies->rare, &target);
    }
}

void tally_batch(Tallies *tallies, HostBatch batch, TokenScores scores, int64_t B, int64_t T, const int32_t *bytes,
                 Bigrams *seen, const ShownBigrams *shown) {
    CHECK(scores.margins, "the runner was created without margins");
    for (int64_t b = 0; b < B; b++) tally_row(tallies, batch, scores, b * T, (b + 1) * T, bytes, seen, shown);
}

void tally_add(Tallies *to, const Tallies *from) {
    for (int i = 0; i < TALLIES_NUMBERS; i++) ((double *)to)[i] += ((const double *)from)[i];
}

void tally_reduce(Tallies *tallies, Comm *comm) { comm->f->all_reduce_sum(comm, (double *)tallies, TALLIES_NUMBERS); }

Tally tally_rest(const Tally *all, const Tally *part) {
    return (Tally){.targets = all->targets - part->targets,
                   .loss = all->loss - part->loss,
                   .right = all->right - part->right,
                   .bytes = all->bytes - part->bytes};
}
