/* Micro-batches on their way to the device, and what is told of their tokens on its way back. On a GPU the host
 * enqueues several before it waits; each has a slot. */
#ifndef FLAME_TRAINING_MICRO_BATCHES_H
#define FLAME_TRAINING_MICRO_BATCHES_H

#include "core/tape.h"

/* Host buffers of a micro-batch, one entry per token, for the caller of the runner to fill. */
typedef struct HostBatch {
    int32_t *tokens, *labels, *segment, *position;
    float *features; /* [rows, features]; NULL if the model has none */
    float *values;   /* to predict where there is a label; NULL if the model is no regression */
} HostBatch;

typedef struct MicroBatchShape {
    int64_t rows;     /* tokens of a micro-batch at most */
    int64_t features; /* numbers of each token, instead of its embedding; 0: none */
    bool values;
    int told;   /* numbers told of each token: its loss, and with 2 another one */
    DType type; /* of the features on the device */
} MicroBatchShape;

typedef struct MicroBatches {
    const Device *device;
    MicroBatchShape shape;
    int64_t rows;                         /* of a micro-batch now */
    int64_t slots, used;                  /* in total, and in use since they were summed */
    int32_t *host_tokens, *device_tokens; /* the arrays of a batch, one after another */
    float *host_told, *device_told;       /* losses, then the other numbers */
    float *host_features, *device_features, *host_values;
    Tensor features, values;    /* on the device, for the model */
    double loss_sum, other_sum; /* of the micro-batches whose slots were summed */
    int64_t targets;
} MicroBatches;

/* Without memory, for plans; micro_batches_allocate gives it some, zeroed. */
MicroBatches micro_batches_create(const Device *device, MicroBatchShape shape);
void micro_batches_allocate(MicroBatches *batches);
void micro_batches_destroy(MicroBatches *batches);

/* From now on a micro-batch has so many rows. Sums those before. */
void micro_batches_resize(MicroBatches *batches, int64_t rows);
/* Sets the arrays of a batch to where they are on the device. */
void micro_batches_point(const MicroBatches *batches, Batch *batch);

/* The micro-batch that is being filled, after waiting for one if all slots are in use; the same without waiting. */
HostBatch micro_batches_next(MicroBatches *batches);
HostBatch micro_batches_now(const MicroBatches *batches);
/* Sorts its tokens, of a vocabulary of so many: what a GPU replays cannot depend on the tokens. */
void micro_batches_sort(MicroBatches *batches, int64_t vocabulary);
/* Copies it to the device. */
void micro_batches_upload(MicroBatches *batches);
/* Starts copying what the device tells of it to the host, and moves on to the next slot. */
void micro_batches_download(MicroBatches *batches);

/* Waits, and gives what was told of the last micro-batch: [told, rows]. */
const float *micro_batches_told(MicroBatches *batches);
/* Waits, and adds what was told to the sums, in the order of the tokens. */
void micro_batches_sum(MicroBatches *batches);

#endif
