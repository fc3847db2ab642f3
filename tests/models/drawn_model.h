/* Configurations of models, drawn at random from the tables of keys. Each value is one that its key allows; the
 * values may or may not fit together. */
#ifndef FLAME_TESTS_MODELS_DRAWN_MODEL_H
#define FLAME_TESTS_MODELS_DRAWN_MODEL_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/draws.h"
#include "models/model_config.h"

typedef struct DrawnModel {
    const Mixer *mixer;
    KeyTable tables[MODEL_TABLES];
    Draws draws;
    FILE *text; /* a mapping of YAML */
    bool large; /* some sizes may be as large as their keys allow */
    int sizes;  /* number of the keys below that are set */
    bool zero;  /* some real number is 0 */
} DrawnModel;

/* Keys that nearly every configuration sets, because models of their defaults are large. */
static const struct {
    const char *name;
    int64_t most; /* largest value in small models */
    double wide;  /* share of large models that have more, or leave the key out */
} sizes[] = {{"hidden_size", 64, 0.6}, {"num_hidden_layers", 3, 0.05}, {"vocab_size", 100, 0.2}};

static inline double within(const Key *key, double value) {
    const bool ranged = key->low != 0 || key->high != 0;
    return !ranged ? value : value < key->low ? key->low : value > key->high ? key->high : value;
}

/* The smallest or largest that the key allows, any power of two between, or what small models have. */
static inline int64_t drawn_integer(DrawnModel *d, const Key *key) {
    Draws *draws = &d->draws;
    double value = draw_chance(draws, 0.9) ? exp2((double)draw_below(draws, 7)) : (double)draw_between(draws, 1, 20);
    if (d->large && draw_chance(draws, 0.2)) value = exp2((double)draw_below(draws, 40));
    if (d->large && draw_chance(draws, 0.1)) value = key->high;
    if (draw_chance(draws, 0.1)) value = key->low;
    return (int64_t)within(key, value);
}

static inline double drawn_real(DrawnModel *d, const Key *key) {
    Draws *draws = &d->draws;
    const double given = key->default_text ? strtod(key->default_text, NULL) : 0;
    const double middle = given != 0 && isfinite(given) ? given : 1;
    double value = middle * exp2((double)draw_between(draws, -1, 1));
    if (draw_chance(draws, 0.2)) value = middle * exp2(2 * draw_unit(draws) - 1);
    if (draw_chance(draws, 0.1)) value = middle * exp2(40 * draw_unit(draws) - 20);
    if (draw_chance(draws, 0.1)) value = draw_chance(draws, 0.7) ? key->low : key->high;
    value = within(key, value);
    d->zero = d->zero || value == 0;
    return value;
}

static inline void put_choice(DrawnModel *d, const char *choices) {
    int64_t count = 1;
    for (const char *c = choices; *c; c++) count += *c == '|';
    for (int64_t skipped = draw_below(&d->draws, count); skipped > 0; skipped--) choices = strchr(choices, '|') + 1;
    fprintf(d->text, "%.*s", (int)strcspn(choices, "|"), choices);
}

static inline void put_number(DrawnModel *d, const Key *key) {
    const KeyType type = key_type(key);
    if (type == KEY_INTEGER || type == KEY_INTEGER_LIST)
        fprintf(d->text, "%lld", (long long)drawn_integer(d, key));
    else
        config_write_real(d->text, drawn_real(d, key));
}

static inline void put_list(DrawnModel *d, const Key *key) {
    const int64_t count = draw_between(&d->draws, 1, 3);
    for (int64_t i = 0; i < count; i++) {
        fputs(i ? ", " : "[", d->text);
        put_number(d, key);
    }
    fputc(']', d->text);
}

static inline void put_value(DrawnModel *d, const Key *key) {
    const bool null = (key->type & KEY_NULLABLE) && draw_chance(&d->draws, 0.25);
    const bool automatic = (key->type & KEY_AUTO) && draw_chance(&d->draws, 0.25);
    const KeyType type = key_type(key);
    if (null || automatic)
        fputs(null ? "null" : "auto", d->text);
    else if (type == KEY_INTEGER || type == KEY_REAL)
        put_number(d, key);
    else if (type == KEY_INTEGER_LIST || type == KEY_REAL_LIST)
        put_list(d, key);
    else if (type == KEY_BOOLEAN || type == KEY_CHOICE)
        put_choice(d, type == KEY_BOOLEAN ? "true|false" : key->choices);
    else
        fputs(key->default_text, d->text); /* a KEY_FIXED has no other value */
}

/* The sizes come first. In a large model some have any power of two, and some their defaults. */
static inline void put_sizes(DrawnModel *d) {
    for (int i = 0; i < LENGTH(sizes); i++) {
        Key key = *keys_find(d->tables, 1, sizes[i].name);
        const bool wide = d->large && draw_chance(&d->draws, sizes[i].wide);
        if (wide && draw_chance(&d->draws, 0.1)) continue;
        const int64_t power = draw_below(&d->draws, (int64_t)log2(key.high) + 1);
        key.high = (double)sizes[i].most;
        fprintf(d->text, ", %s: %lld", key.name, (long long)(wide ? (int64_t)1 << power : drawn_integer(d, &key)));
        d->sizes++;
    }
}

static inline bool is_size(const Key *key) {
    for (int i = 0; i < LENGTH(sizes); i++)
        if (strcmp(key->name, sizes[i].name) == 0) return true;
    return false;
}

/* Some of the other keys: each with the probability `share`. */
static inline void put_keys(DrawnModel *d, const KeyTable *table, double share) {
    for (int i = 0; i < table->count; i++) {
        const Key *key = &table->keys[i];
        if (is_size(key) || key_type(key) == KEY_STRING || key_type(key) == KEY_IGNORED) continue;
        if (!draw_chance(&d->draws, share)) continue;
        fprintf(d->text, ", %s: ", key->name);
        put_value(d, key);
    }
}

static inline void put_attention(DrawnModel *d) {
    const int64_t kind = d->mixer->takes_attention ? draw_below(&d->draws, 4) : -1;
    if (kind == 0) fputs(", attn: null", d->text);
    if (kind != 1) return;
    fprintf(d->text, ", attn: {layers: [%lld]", (long long)draw_below(&d->draws, 3));
    put_keys(d, &d->tables[2], 0.8);
    fputc('}', d->text);
}

static inline int mixers(void) {
    int count = 0;
    while (mixer_at(count)) count++;
    return count;
}

/* Configuration `number` of a seed. The caller frees the text. */
static inline char *draw_model(DrawnModel *d, uint64_t seed, int64_t number) {
    char *text = NULL;
    size_t bytes = 0;
    *d = (DrawnModel){.mixer = mixer_at((int)(number % mixers())),
                      .draws = draws_begin(seed, "model", number),
                      .text = open_memstream(&text, &bytes)};
    CHECK(d->text, "out of memory");
    d->large = draw_chance(&d->draws, 0.4);
    model_config_tables(&(ModelConfig){.mixer = d->mixer}, d->tables);
    fprintf(d->text, "{model_type: %s", d->mixer->model_type);
    put_sizes(d);
    put_keys(d, &d->tables[0], 0.1);
    put_keys(d, &d->tables[1], 0.5);
    put_attention(d);
    fputc('}', d->text);
    fclose(d->text);
    return text;
}

#endif
