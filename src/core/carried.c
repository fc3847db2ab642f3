#include "core/carried.h"

#include <stdlib.h>

#include "base/check.h"

enum { LAYER_SLOTS = 64 };

/* Memory of one op: a state, or rows. */
typedef struct Slot {
    CarriedRows rows; /* a state is one row that holds all its bytes */
    bool state;
    int nothing;
} Slot;

typedef struct LayerSlots {
    Slot slot[LAYER_SLOTS];
    int count;
} LayerSlots;

struct Carried {
    const Device *device;
    int64_t B, limit, tokens, layers, bytes;
    LayerSlots *layer, *current;
    int next; /* slot of the current layer */
};

Carried *carried_create(const Device *device, int64_t B, int64_t layers, int64_t tokens) {
    Carried *carried = calloc(1, sizeof *carried);
    CHECK_MEMORY(carried, "out of memory");
    *carried = (Carried){.device = device, .B = B, .limit = tokens, .layers = layers};
    carried->layer = calloc((size_t)layers, sizeof *carried->layer);
    CHECK_MEMORY(carried->layer, "out of memory");
    return carried;
}

static int64_t bytes_of(const Carried *carried, const Slot *slot) {
    return carried->B * slot->rows.capacity * slot->rows.row_bytes;
}

void carried_destroy(Carried *carried) {
    if (!carried) return;
    for (int64_t l = 0; l < carried->layers; l++)
        for (int i = 0; i < carried->layer[l].count; i++) {
            const Slot *slot = &carried->layer[l].slot[i];
            carried->device->release(slot->rows.data, bytes_of(carried, slot));
        }
    free(carried->layer);
    free(carried);
}

int64_t carried_bytes(const Carried *carried) { return carried->bytes; }

void carried_begin_layer(Carried *carried, int64_t layer) {
    carried->current = &carried->layer[layer];
    carried->next = 0;
}

void carried_advance(Carried *carried, int64_t T) {
    CHECK(carried->tokens + T <= carried->limit, "sequences of more than %lld tokens", (long long)carried->limit);
    carried->tokens += T;
}

int64_t carried_tokens(const Carried *carried) { return carried->tokens; }

int64_t carried_limit(const Carried *carried) { return carried->limit; }

static void forget(const Carried *carried, const Slot *slot, int64_t sequence, int64_t sequences) {
    const int64_t bytes = slot->rows.row_bytes;
    if (!carried->device->computes) return;
    carried->device->fill(slot->rows.data + sequence * bytes, slot->nothing, sequences, bytes, bytes);
}

void carried_restart(Carried *carried, int64_t sequence) {
    for (int64_t l = 0; l < carried->layers; l++)
        for (int i = 0; i < carried->layer[l].count; i++)
            if (carried->layer[l].slot[i].state) forget(carried, &carried->layer[l].slot[i], sequence, 1);
}

/* The layer's next slot. At the first call it is created with this shape, and gets memory if the device computes. */
static Slot *next_slot(Carried *carried, Slot shape) {
    LayerSlots *layer = carried->current;
    if (carried->next == layer->count) {
        CHECK(layer->count < LAYER_SLOTS, "the ops of a layer carry more than %d states", LAYER_SLOTS);
        Slot *slot = &layer->slot[layer->count++];
        *slot = shape;
        const int64_t bytes = bytes_of(carried, slot);
        if (carried->device->computes)
            slot->rows.data = device_memory(carried->device, bytes, "what a model remembers of its tokens");
        carried->bytes += bytes;
        if (shape.state) forget(carried, slot, 0, carried->B);
    }
    Slot *slot = &layer->slot[carried->next++];
    CHECK(slot->rows.capacity == shape.rows.capacity && slot->rows.row_bytes == shape.rows.row_bytes,
          "a layer's ops carry other states than in the call before");
    return slot;
}

void *carried_state(Carried *carried, int64_t bytes, int nothing) {
    return next_slot(carried, (Slot){.rows = {.capacity = 1, .row_bytes = bytes}, .state = true, .nothing = nothing})
        ->rows.data;
}

const CarriedRows *carried_rows(Carried *carried, int64_t rows, int64_t row_bytes) {
    const int64_t capacity = rows < carried->limit ? rows : carried->limit;
    return &next_slot(carried, (Slot){.rows = {.capacity = capacity, .row_bytes = row_bytes}})->rows;
}

/* A run of `count` rows from `place` on that does not wrap around the end of the ring. */
typedef struct RingPart {
    int64_t place, count;
} RingPart;

static RingPart ring_part(const CarriedRows *rows, int64_t token, int64_t count) {
    const int64_t place = token % rows->capacity, room = rows->capacity - place;
    return (RingPart){place, count < room ? count : room};
}

void carried_read(const Carried *carried, const CarriedRows *rows, int64_t count, char *to, int64_t part_bytes) {
    const int64_t size = rows->row_bytes, of_sequence = rows->capacity * size;
    if (!carried->device->computes) return;
    for (int64_t done = 0; done < count;) {
        const RingPart part = ring_part(rows, carried->tokens - count + done, count - done);
        carried->device->copy(to + done * size, part_bytes, rows->data + part.place * size, of_sequence, carried->B,
                              part.count * size);
        done += part.count;
    }
}

void carried_write(const Carried *carried, const CarriedRows *rows, const char *from, int64_t row_stride, int64_t T) {
    const int64_t size = rows->row_bytes, of_sequence = rows->capacity * size;
    if (!carried->device->computes) return;
    for (int64_t done = T > rows->capacity ? T - rows->capacity : 0; done < T;) {
        const RingPart part = ring_part(rows, carried->tokens + done, T - done);
        char *const to = rows->data + part.place * size;
        if (part.count == 1)
            carried->device->copy(to, of_sequence, from + done * row_stride, T * row_stride, carried->B, size);
        for (int64_t b = 0; b < carried->B && part.count > 1; b++)
            carried->device->copy(to + b * of_sequence, size, from + (b * T + done) * row_stride, row_stride,
                                  part.count, size);
        done += part.count;
    }
}
