/* Micro-batches on their way to the device, and the losses of their tokens on the way back. On a GPU the host enqueues
 * several micro-batches before it waits; each has a slot. */
#ifndef FLAME_TRAINING_MICRO_BATCHES_H
#define FLAME_TRAINING_MICRO_BATCHES_H

#include "core/tape.h"

/* Host buffers of a micro-batch, one entry per token, for the caller of the runner to fill. */
typedef struct HostBatch {
    int32_t *tokens, *labels, *segment, *position;
    float *features; /* [rows, features]; NULL if the model has none */
    float *values;   /* the numbers to predict where there is a label; NULL unless the model is a regression */
} HostBatch;

typedef struct MicroBatchShape {
    int64_t rows;     /* the most tokens of a micro-batch */
    int64_t features; /* input features of each token, in place of its embedding; 0: none */
    bool values;
    int told;   /* numbers that come back for each token: 1, its loss, or 2, with another one */
    DType type; /* of the features on the device */
} MicroBatchShape;

typedef struct MicroBatches {
    const Device *device;
    MicroBatchShape shape;
    int64_t rows;                         /* tokens of a micro-batch at present */
    int64_t slots, used;                  /* slots in total, and those in use since the last sum */
    int32_t *host_tokens, *device_tokens; /* the arrays of each batch, one after another */
    float *host_told, *device_told;       /* the losses, then the other numbers */
    float *host_features, *device_features, *host_values;
    Tensor features, values;    /* on the device, for the model */
    double loss_sum, other_sum; /* sums over the micro-batches whose slots have been summed */
    int64_t targets;
} MicroBatches;

/* Creates micro-batches without memory, which is enough for plans. micro_batches_allocate gives them memory, zeroed. */
MicroBatches micro_batches_create(const Device *device, MicroBatchShape shape);
void micro_batches_allocate(MicroBatches *batches);
void micro_batches_destroy(MicroBatches *batches);

/* From now on a micro-batch has `rows` tokens. The micro-batches so far are summed first. */
void micro_batches_resize(MicroBatches *batches, int64_t rows);
/* Sets the arrays of a batch to where they are on the device. */
void micro_batches_point(const MicroBatches *batches, Batch *batch);

/* The micro-batch that is to be filled. micro_batches_next first waits for the device if all slots are in use. */
HostBatch micro_batches_next(MicroBatches *batches);
HostBatch micro_batches_now(const MicroBatches *batches);
/* Sorts the rows by their tokens, of a vocabulary of this size (Batch.by_token). It is done on the host, because what a
 * GPU replays cannot depend on the tokens. */
void micro_batches_sort(MicroBatches *batches, int64_t vocabulary);
/* Copies the micro-batch to the device. */
void micro_batches_upload(MicroBatches *batches);
/* Starts copying the losses of the micro-batch to the host, and moves on to the next slot. */
void micro_batches_download(MicroBatches *batches);

/* Waits, and returns what has come back for the last micro-batch: [told, rows]. */
const float *micro_batches_told(MicroBatches *batches);
/* Waits, and adds what has come back for all slots in use to the sums, in the order of the tokens. */
void micro_batches_sum(MicroBatches *batches);

#endif
