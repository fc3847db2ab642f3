#include "training/micro_batches.h"

#include "base/check.h"
#include "base/memory.h"
#include "kernels/basic/cast/cast.h"
#include "kernels/vocabulary/embedding/embedding.h"
#include "tile/rows.h"

enum { SLOTS = 16 };                                                /* slots on a GPU */
enum { TOKENS, LABELS, SEGMENT, POSITION, BY_TOKEN, BATCH_ARRAYS }; /* the arrays of a batch */

static int64_t tokens_bytes(int64_t rows) { return BATCH_ARRAYS * rows * (int64_t)sizeof(int32_t); }
static int64_t told_bytes(const MicroBatches *batches, int64_t rows) {
    return batches->shape.told * rows * (int64_t)sizeof(float);
}
static int64_t features_bytes(const MicroBatches *batches, int64_t rows) {
    return batches->shape.features * rows * (int64_t)sizeof(float);
}
static int64_t values_bytes(const MicroBatches *batches, int64_t rows) {
    return batches->shape.values ? rows * (int64_t)sizeof(float) : 0;
}

MicroBatches micro_batches_create(const Device *device, MicroBatchShape shape) {
    MicroBatches batches = {.device = device, .shape = shape, .rows = shape.rows};
    batches.slots = device->host_memory ? 1 : SLOTS;
    batches.features = tensor_of(NULL, shape.rows, shape.features, shape.type);
    batches.values = tensor_of(NULL, shape.rows, 1, F32);
    batches.features.constant = batches.values.constant = true;
    return batches;
}

/* Host memory of `bytes` bytes for each slot; NULL for 0 bytes. */
static void *host_memory(const MicroBatches *batches, int64_t bytes) {
    if (bytes == 0) return NULL;
    void *memory = batches->device->allocate_host(batches->slots * bytes);
    if (!memory)
        memory_refused(batches->slots * bytes, "a micro-batch on the host",
                       "Lower training.batch_size or training.seq_len");
    return memory;
}

static void *device_part(const MicroBatches *batches, int64_t bytes, const char *what) {
    return bytes == 0 ? NULL : device_memory(batches->device, bytes, what);
}

void micro_batches_allocate(MicroBatches *batches) {
    const int64_t rows = batches->shape.rows, told = told_bytes(batches, rows);
    const int64_t features = features_bytes(batches, rows), values = values_bytes(batches, rows);
    batches->host_tokens = host_memory(batches, tokens_bytes(rows));
    batches->host_told = host_memory(batches, told);
    batches->host_features = host_memory(batches, features);
    batches->host_values = host_memory(batches, values);
    batches->device_tokens = device_part(batches, tokens_bytes(rows), "a micro-batch");
    batches->device_told = device_part(batches, told, "a micro-batch's losses");
    batches->device_features = device_part(batches, features, "features");
    batches->features.data = device_part(batches, features ? tensor_bytes(&batches->features) : 0, "features");
    batches->values.data = device_part(batches, values, "values");
    batches->device->fill(batches->device_told, 0, 1, told, told);
}

static void free_host(const MicroBatches *batches, void *memory, int64_t bytes) {
    if (memory) batches->device->release_host(memory, batches->slots * bytes);
}

static void free_device(const MicroBatches *batches, void *memory, int64_t bytes) {
    if (memory) batches->device->release(memory, bytes);
}

void micro_batches_destroy(MicroBatches *batches) {
    const int64_t rows = batches->shape.rows, told = told_bytes(batches, rows);
    const int64_t features = features_bytes(batches, rows), values = values_bytes(batches, rows);
    free_host(batches, batches->host_tokens, tokens_bytes(rows));
    free_host(batches, batches->host_told, told);
    free_host(batches, batches->host_features, features);
    free_host(batches, batches->host_values, values);
    free_device(batches, batches->device_tokens, tokens_bytes(rows));
    free_device(batches, batches->device_told, told);
    free_device(batches, batches->device_features, features);
    free_device(batches, batches->features.data, tensor_bytes(&batches->features));
    free_device(batches, batches->values.data, values);
}

void micro_batches_resize(MicroBatches *batches, int64_t rows) {
    CHECK(rows <= batches->shape.rows, "a micro-batch of %lld tokens", (long long)rows);
    if (batches->used > 0) micro_batches_sum(batches);
    batches->rows = rows;
}

void micro_batches_point(const MicroBatches *batches, Batch *batch) {
    const int32_t *first = batches->device_tokens;
    batch->tokens = first + TOKENS * batches->rows;
    batch->labels = first + LABELS * batches->rows;
    batch->segment = first + SEGMENT * batches->rows;
    batch->position = first + POSITION * batches->rows;
    batch->by_token = first + BY_TOKEN * batches->rows;
}

static HostBatch batch_in(const MicroBatches *batches, int64_t slot) {
    const int64_t n = batches->rows;
    int32_t *first = batches->host_tokens + slot * BATCH_ARRAYS * n;
    return (HostBatch){.tokens = first + TOKENS * n,
                       .labels = first + LABELS * n,
                       .segment = first + SEGMENT * n,
                       .position = first + POSITION * n,
                       .features =
                           batches->host_features ? batches->host_features + slot * batches->shape.features * n : NULL,
                       .values = batches->host_values ? batches->host_values + slot * n : NULL};
}

HostBatch micro_batches_now(const MicroBatches *batches) { return batch_in(batches, batches->used); }

HostBatch micro_batches_next(MicroBatches *batches) {
    if (batches->used == batches->slots) micro_batches_sum(batches);
    return micro_batches_now(batches);
}

void micro_batches_sort(MicroBatches *batches, int64_t vocabulary) {
    int32_t *first = micro_batches_now(batches).tokens;
    embedding_sort(first, batches->rows, vocabulary, first + BY_TOKEN * batches->rows);
}

static void upload_features(MicroBatches *batches) {
    const int64_t bytes = features_bytes(batches, batches->rows), count = bytes / (int64_t)sizeof(float);
    if (count == 0) return;
    batches->device->copy(batches->device_features, bytes, micro_batches_now(batches).features, bytes, 1, bytes);
    const CastArguments cast = {.from = batches->device_features, .to = batches->features.data, .count = count};
    batches->device->launch(KERNEL_cast, batches->shape.type, (Grid){blocks_of(count, CAST_BLOCK), 1, 1}, &cast);
}

void micro_batches_upload(MicroBatches *batches) {
    const HostBatch batch = micro_batches_now(batches);
    const int64_t tokens = tokens_bytes(batches->rows), values = values_bytes(batches, batches->rows);
    batches->device->copy(batches->device_tokens, tokens, batch.tokens, tokens, 1, tokens);
    upload_features(batches);
    if (values > 0) batches->device->copy(batches->values.data, values, batch.values, values, 1, values);
}

static float *told_in(const MicroBatches *batches, int64_t slot) {
    return batches->host_told + slot * batches->shape.told * batches->rows;
}

void micro_batches_download(MicroBatches *batches) {
    const int64_t bytes = told_bytes(batches, batches->rows);
    batches->device->copy(told_in(batches, batches->used), bytes, batches->device_told, bytes, 1, bytes);
    batches->used++;
}

const float *micro_batches_told(MicroBatches *batches) {
    CHECK(batches->used > 0, "no micro-batch was evaluated");
    batches->device->synchronize();
    return told_in(batches, batches->used - 1);
}

/* Adds up one slot. The loss of a token without a label is only what layers have added to it. */
static void sum_slot(MicroBatches *batches, int64_t slot) {
    const int32_t *labels = batch_in(batches, slot).labels;
    const int64_t n = batches->rows;
    const float *told = told_in(batches, slot);
    double loss = 0, other = 0;
    for (int64_t i = 0; i < n; i++) {
        loss += (double)told[i];
        batches->targets += labels[i] >= 0;
        if (batches->shape.told > 1) other += (double)told[n + i];
    }
    batches->loss_sum += loss;
    batches->other_sum += other;
}

void micro_batches_sum(MicroBatches *batches) {
    batches->device->synchronize();
    for (int64_t slot = 0; slot < batches->used; slot++) sum_slot(batches, slot);
    batches->used = 0;
}
