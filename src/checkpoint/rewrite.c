#include "checkpoint/rewrite.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/log.h"
#include "checkpoint/checkpoint_state.h"
#include "checkpoint/checksums.h"
#include "base/crc.h"
#include "base/files.h"
#include "base/interrupts.h"
#include "checkpoint/safetensors_plan.h"

enum { BLOCK_ELEMENTS = 1 << 20 };

/* What a warning is about: how many tensors and how many values in them, and the first names. */
typedef struct Remark {
    int64_t tensors, values;
    char names[400];
} Remark;

typedef struct Rewrite {
    RewriteOptions options;
    const char *folder;
    SafetensorsPlan plan;
    float *values;
    uint16_t *halves;
    Remark not_finite, too_large, zero;
} Rewrite;

static void remark(Remark *remark, const char *name, int64_t values) {
    if (values == 0) return;
    const size_t used = strlen(remark->names);
    if (remark->tensors++ < 5)
        snprintf(remark->names + used, sizeof remark->names - used, "%s%s", used ? ", " : "", name);
    remark->values += values;
}

/* Round to nearest, ties to even. Values that round to more than 65504 become infinite. */
static uint16_t float_to_half(float x) {
    union {
        float value;
        uint32_t bits;
    } u = {.value = x};
    const uint16_t sign = (uint16_t)(u.bits >> 16 & 0x8000u);
    u.bits &= 0x7fffffffu;
    if (x != x) return sign | 0x7e00u;
    if (u.bits >= 0x477ff000u) return sign | 0x7c00u; /* 65520 and more */
    if (u.bits < 0x38800000u) {                       /* subnormal: multiples of 2^-24, rounded by the addition */
        u.value += 0.5f;
        return (uint16_t)(sign | (u.bits - 0x3f000000u));
    }
    const uint32_t odd = u.bits >> 13 & 1u;
    return (uint16_t)(sign | ((u.bits - 0x38000000u + 0xfffu + odd) >> 13));
}

/* Converts the block `values` to the new type; adds to *too_large the finite values that become infinite. */
static const void *convert(Rewrite *w, int64_t count, int64_t *too_large) {
    if (w->options.type == SAFE_F32) return w->values;
    const bool brain = w->options.type == SAFE_BF16;
    for (int64_t i = 0; i < count; i++) {
        w->halves[i] = brain ? float_to_bf16(w->values[i]) : float_to_half(w->values[i]);
        const uint16_t infinity = brain ? 0x7f80u : 0x7c00u;
        *too_large += (w->halves[i] & 0x7fffu) == infinity && isfinite(w->values[i]);
    }
    return w->halves;
}

static Status write_failed(const char *path, int error) {
    log_error("writing %s: %s", path, strerror(error));
    return IO_ERROR;
}

static Status rewrite_tensor(Rewrite *w, const SafeTensor *from, const PlannedTensor *to, int fd, const char *path,
                             uint32_t *crc) {
    const int64_t size = safe_type_bits(to->type) / 8;
    int64_t not_finite = 0, too_large = 0;
    bool zero = true;
    uint32_t source_crc = 0;
    *crc = 0;
    for (int64_t first = 0; first < from->elements; first += BLOCK_ELEMENTS) {
        if (interrupts_noted()) return INTERRUPTED;
        const int64_t count = from->elements - first < BLOCK_ELEMENTS ? from->elements - first : BLOCK_ELEMENTS;
        const Status status = safetensors_read_floats(from, first, count, w->values);
        if (status) return status;
        source_crc = crc_update(source_crc, w->values, 4 * count);
        for (int64_t i = 0; i < count; i++) {
            not_finite += !isfinite(w->values[i]);
            zero = zero && w->values[i] == 0;
        }
        const void *block = convert(w, count, &too_large);
        *crc = crc_update(*crc, block, count * size);
        const int error = file_write(fd, block, count * size, to->offset + first * size);
        if (error) return write_failed(path, error);
    }
    remark(&w->not_finite, from->name, not_finite);
    remark(&w->too_large, from->name, too_large);
    remark(&w->zero, from->name, zero && from->elements > 0);
    return checksums_check_tensor(w->options.expected, safetensors_path(from->file), from->name, source_crc, true);
}

static Status rewrite_file(Rewrite *w, const SafeTensor *const *tensors, int file, json_t *state) {
    const PlannedFile *planned = &w->plan.file[file];
    char *path = path_join(w->folder, planned->name);
    int fd = -1;
    int error = file_create(path, &fd);
    Status status = error ? write_failed(path, error) : OK;
    if (!error) {
        error = file_allocate(fd, planned->bytes);
        if (!error) error = file_write(fd, planned->header, planned->header_bytes, 0);
        if (error) status = write_failed(path, error);
        for (int64_t i = 0; i < w->plan.tensors && status == OK; i++) {
            uint32_t crc;
            if (w->plan.tensor[i].file != file) continue;
            status = rewrite_tensor(w, tensors[i], &w->plan.tensor[i], fd, path, &crc);
            if (state) checkpoint_state_add(state, "tensors", w->plan.tensor[i].name, crc);
        }
        error = status == OK ? file_sync(fd) : 0;
        const int close_error = file_close(fd);
        if (status == OK && (error || close_error)) status = write_failed(path, error ? error : close_error);
    }
    if (state)
        checkpoint_state_add(state, "files", planned->name, crc_update(0, planned->header, planned->header_bytes));
    free(path);
    return status;
}

static Status write_index(const Rewrite *w, json_t *state) {
    if (!w->plan.index) return OK;
    static const char name[] = "model.safetensors.index.json";
    const int64_t bytes = (int64_t)strlen(w->plan.index);
    char *path = path_join(w->folder, name);
    const int error = file_write_all(path, w->plan.index, bytes);
    const Status status = error ? write_failed(path, error) : OK;
    if (state) checkpoint_state_add(state, "files", name, crc_update(0, w->plan.index, bytes));
    free(path);
    return status;
}

static void report(const Rewrite *w) {
    if (w->not_finite.tensors)
        log_warning("%" PRId64 " values in %" PRId64 " tensors are NaN or infinite: %s", w->not_finite.values,
                    w->not_finite.tensors, w->not_finite.names);
    if (w->too_large.tensors)
        log_warning("%" PRId64 " values in %" PRId64 " tensors are too large for %s and became infinite: %s",
                    w->too_large.values, w->too_large.tensors, safe_type_name(w->options.type), w->too_large.names);
    if (w->zero.tensors && w->options.warn_about_zeros)
        log_warning("%" PRId64 " tensors are zero everywhere: %s", w->zero.tensors, w->zero.names);
}

Status tensors_rewrite(const SafeTensor *const *tensors, int64_t count, const char *folder, RewriteOptions options,
                       json_t *state) {
    Rewrite w = {.options = options, .folder = folder};
    w.values = malloc(BLOCK_ELEMENTS * sizeof *w.values);
    w.halves = malloc(BLOCK_ELEMENTS * sizeof *w.halves);
    CHECK_MEMORY(w.values && w.halves, "no memory for a block of values");
    for (int64_t i = 0; i < count; i++)
        safetensors_plan_add(&w.plan, tensors[i]->name, options.type, tensors[i]->dims, tensors[i]->shape);
    safetensors_plan_place(&w.plan, "model", options.max_shard_bytes);
    Status status = OK;
    for (int i = 0; i < w.plan.files && status == OK; i++) status = rewrite_file(&w, tensors, i, state);
    if (status == OK) status = write_index(&w, state);
    if (status == OK) report(&w);
    safetensors_plan_free(&w.plan);
    free(w.values);
    free(w.halves);
    return status;
}
