#include "suites/mqar_setting.h"

#include <math.h>

int64_t mqar_key_tokens(const Mqar *c) { return c->compositional ? 2 : 1; }

int64_t mqar_pair_tokens(const Mqar *c) { return mqar_key_tokens(c) + 1; }
int64_t mqar_shown_pairs(const Mqar *c) { return c->num_kv_pairs + c->num_updates; }
int64_t mqar_context(const Mqar *c) { return mqar_pair_tokens(c) * mqar_shown_pairs(c) * c->num_passes; }

/* The part of a range that training shows or, for unseen tokens, the held-out part, which is at its end. */
static Range part_of(const Mqar *c, Range all) {
    const int64_t held = llround(c->held_out * (double)all.count);
    return c->unseen ? (Range){all.first + all.count - held, held} : (Range){all.first, all.count - held};
}

Range mqar_keys_of(const Mqar *c, int token) {
    const int64_t part = c->vocab_size / (c->compositional ? 3 : 2);
    return part_of(c, token == 0 ? (Range){1, part - 1} : (Range){part, part});
}

Range mqar_values_of(const Mqar *c) {
    const int64_t first = c->compositional ? 2 * (c->vocab_size / 3) : c->vocab_size / 2;
    return part_of(c, (Range){first, c->vocab_size - first});
}

int64_t mqar_side(const Mqar *c) {
    const int64_t side = llround(sqrt((double)c->num_kv_pairs));
    return side * side == c->num_kv_pairs ? side : 0;
}

int mqar_parts(const Mqar *c, Range part[MQAR_PARTS]) {
    part[0] = (Range){0, c->vocab_size};
    if (c->held_out == 0) return 1;
    part[0] = mqar_keys_of(c, 0);
    part[1] = mqar_values_of(c);
    part[2] = mqar_keys_of(c, 1);
    return c->compositional ? 3 : 2;
}

int64_t mqar_fillers(const Mqar *c) {
    Range part[MQAR_PARTS];
    int64_t count = 0;
    for (int i = mqar_parts(c, part) - 1; i >= 0; i--) count += part[i].count;
    return count;
}

int64_t mqar_taken(const Mqar *c) {
    return (c->compositional ? 2 * mqar_side(c) : c->num_kv_pairs) + mqar_shown_pairs(c);
}
