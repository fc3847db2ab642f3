#include "checkpoint/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/log.h"
#include "base/rng.h"
#include "checkpoint/checksums.h"
#include "checkpoint/shards.h"
#include "parallel/agreement.h"

enum { LISTED = 5 };             /* most names in a message */
enum { READ_AT_ONCE = 1 << 20 }; /* elements of one read */

static bool same_shape(const SafeTensor *tensor, const Parameter *p) {
    if (tensor->dims != p->dims) return false;
    for (int i = 0; i < p->dims; i++)
        if (tensor->shape[i] != p->shape[i]) return false;
    return true;
}

static void shape_error(const char *path, const SafeTensor *tensor, const Parameter *p) {
    char found[128], expected[128];
    safetensors_shape_text(tensor->dims, tensor->shape, found, sizeof found);
    safetensors_shape_text(p->dims, p->shape, expected, sizeof expected);
    const bool transposed =
        p->dims == 2 && tensor->dims == 2 && tensor->shape[0] == p->shape[1] && tensor->shape[1] == p->shape[0];
    log_error("%s: tensor %s has shape %s, the model expects %s%s", path, tensor->name, found, expected,
              transposed ? " (it looks transposed)" : "");
}

static bool is_expected(const char *name, const char *prefix, const Unit *units, int count) {
    const size_t length = strlen(prefix);
    if (strncmp(name, prefix, length) != 0) return false;
    for (int u = 0; u < count; u++)
        for (int i = 0; i < units[u].parameters; i++)
            if (strcmp(units[u].parameter[i].name, name + length) == 0) return true;
    return false;
}

static bool ends_with(const char *name, const char *end) {
    const size_t length = strlen(name), tail = strlen(end);
    return length > tail + 1 && name[length - tail - 1] == '.' && strcmp(name + length - tail, end) == 0;
}

static const char head_name[] = "lm_head.weight";

/* The embedding table of a model whose head is tied to it, or NULL. */
static const Parameter *tied_embeddings(const Unit *root) {
    const Parameter *embeddings = NULL;
    for (int i = 0; i < root->parameters; i++) {
        if (strcmp(root->parameter[i].name, head_name) == 0) return NULL;
        if (ends_with(root->parameter[i].name, "embeddings.weight")) embeddings = &root->parameter[i];
    }
    return embeddings;
}

static Status same_values(const SafeTensor *a, const SafeTensor *b, bool *same) {
    enum { BLOCK = 4096 };
    float x[BLOCK], y[BLOCK];
    *same = a->elements == b->elements;
    for (int64_t i = 0; *same && i < a->elements; i += BLOCK) {
        const int64_t count = a->elements - i < BLOCK ? a->elements - i : BLOCK;
        Status status = safetensors_read_floats(a, i, count, x);
        if (status == OK) status = safetensors_read_floats(b, i, count, y);
        if (status != OK) return status;
        *same = memcmp(x, y, (size_t)count * sizeof *x) == 0;
    }
    return OK;
}

/* Whether the unexpected tensor `name` is a head that the model ties to its embeddings. BAD_INPUT if it differs from
 * them. */
static Status check_tied_head(const TensorFolder *folder, const char *path, const char *name, const Unit *root,
                              bool *is_head) {
    const Parameter *tied = strcmp(name, head_name) == 0 ? tied_embeddings(root) : NULL;
    const SafeTensor *embeddings = tied ? tensor_folder_find(folder, tied->name) : NULL;
    *is_head = embeddings != NULL;
    if (!embeddings) return OK;
    bool same = false;
    const Status status = same_values(tensor_folder_find(folder, name), embeddings, &same);
    if (status != OK || same) return status;
    if (log_rank() == 0)
        log_error("%s: %s and %s differ, but tie_word_embeddings makes them one tensor; set it to false", path, name,
                  tied->name);
    return BAD_INPUT;
}

/* Appends a name to "a, b, c", up to LISTED names. */
static void list_name(char *list, size_t size, int64_t found, const char *name) {
    const size_t used = strlen(list);
    if (found <= LISTED) snprintf(list + used, size - used, "%s%s", found > 1 ? ", " : "", name);
}

/* A tensor whose name equals `name` except for a prefix that one of the two has (model.norm.weight, norm.weight), or
 * NULL. */
static const char *find_other_prefix(const TensorFolder *folder, const char *name) {
    for (int64_t i = 0; i < tensor_folder_count(folder); i++) {
        const char *other = tensor_folder_entry(folder, i)->name;
        if (ends_with(other, name) || ends_with(name, other)) return other;
    }
    return NULL;
}

Status weights_check(const TensorFolder *folder, const char *path, const char *prefix, const Unit *units, int count) {
    char missing[1024] = "", unexpected[1024] = "";
    const char *other_prefix = NULL;
    int64_t missing_count = 0, unexpected_count = 0;
    for (int u = 0; u < count; u++)
        for (int i = 0; i < units[u].parameters; i++) {
            const Parameter *p = &units[u].parameter[i];
            char name[PARAMETER_NAME + 32];
            snprintf(name, sizeof name, "%s%s", prefix, p->name);
            const SafeTensor *tensor = tensor_folder_find(folder, name);
            if (!tensor) {
                list_name(missing, sizeof missing, ++missing_count, name);
                if (!other_prefix) other_prefix = find_other_prefix(folder, name);
            } else if (!same_shape(tensor, p)) {
                shape_error(path, tensor, p);
                return BAD_INPUT;
            }
        }
    for (int64_t i = 0; i < tensor_folder_count(folder); i++) {
        const char *name = tensor_folder_entry(folder, i)->name;
        const bool other = strncmp(name, prefix, strlen(prefix)) != 0; /* the file holds other kinds of tensors too */
        if (other || is_expected(name, prefix, units, count)) continue;
        bool is_head = false;
        const Status status = check_tied_head(folder, path, name, &units[0], &is_head);
        if (status != OK) return status;
        if (!is_head) list_name(unexpected, sizeof unexpected, ++unexpected_count, name);
    }
    if (missing_count == 0 && unexpected_count == 0) return OK;
    log_error("%s does not hold this model: %lld tensors missing%s%s, %lld unexpected%s%s%s%s", path,
              (long long)missing_count, missing_count ? ": " : "", missing, (long long)unexpected_count,
              unexpected_count ? ": " : "", unexpected,
              other_prefix ? ". The prefix of the names differs: the folder has " : "",
              other_prefix ? other_prefix : "");
    return BAD_INPUT;
}

const SafeTensor **weights_list(const TensorFolder *folder, const Unit *units, int count, int64_t *tensors) {
    *tensors = 0;
    const SafeTensor **list = calloc((size_t)tensor_folder_count(folder) + 1, sizeof *list);
    CHECK_MEMORY(list, "no memory for the list of tensors");
    for (int u = 0; u < count; u++)
        for (int i = 0; i < units[u].parameters; i++)
            list[(*tensors)++] = tensor_folder_find(folder, units[u].parameter[i].name);
    return list;
}

void weights_zero_moments(Unit *units, int count) {
    for (int u = 0; u < count; u++) {
        const int64_t bytes = units[u].shard * (int64_t)sizeof(float);
        if (units[u].exp_avg) units[u].update_device->fill(units[u].exp_avg, 0, 1, bytes, bytes);
        if (units[u].exp_avg_sq) units[u].update_device->fill(units[u].exp_avg_sq, 0, 1, bytes, bytes);
    }
}

/* Whether all elements in this rank's shard are finite. `values`: buffer of READ_AT_ONCE elements. */
static bool is_finite(const Unit *unit, const Parameter *p, float *values) {
    const UnitRange range = unit_range(unit, p);
    const int64_t elements = range.last - range.first;
    bool finite = true;
    for (int64_t done = 0, n; done < elements && finite; done += n) {
        n = elements - done < READ_AT_ONCE ? elements - done : READ_AT_ONCE;
        device_download(unit->update_device, values, unit->master + range.in_shard + done, n * (int64_t)sizeof *values);
        for (int64_t i = 0; i < n; i++) finite = finite && isfinite(values[i]);
    }
    return finite;
}

const Parameter *weights_not_finite(const Unit *units, int count) {
    float *values = malloc(READ_AT_ONCE * sizeof *values);
    CHECK_MEMORY(values, "out of memory");
    const Parameter *found = NULL;
    for (int u = 0; u < count && !found; u++)
        for (int i = 0; i < units[u].parameters && !found; i++)
            if (!is_finite(&units[u], &units[u].parameter[i], values)) found = &units[u].parameter[i];
    free(values);
    return found;
}

/* The finaliser of MurmurHash3. */
static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 33) * 0xff51afd7ed558ccdu;
    x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53u;
    return x ^ x >> 33;
}

/* The sum over the elements in this rank's shard, each mixed with the parameter's name and its index. `values`: buffer
 * of READ_AT_ONCE elements. */
static uint64_t fingerprint_part(const Unit *unit, const Parameter *p, float *values) {
    const UnitRange range = unit_range(unit, p);
    const int64_t elements = range.last - range.first;
    const uint64_t name = rng_key(p->name);
    uint64_t sum = 0;
    for (int64_t done = 0, n; done < elements; done += n) {
        n = elements - done < READ_AT_ONCE ? elements - done : READ_AT_ONCE;
        device_download(unit->update_device, values, unit->master + range.in_shard + done, n * (int64_t)sizeof *values);
        for (int64_t i = 0; i < n; i++) {
            uint32_t bits;
            memcpy(&bits, &values[i], sizeof bits);
            sum += mix(mix(name + (uint64_t)(range.in_parameter + done + i)) + bits);
        }
    }
    return sum;
}

uint64_t weights_fingerprint(Comm *comm, const Unit *units, int count) {
    float *values = malloc(READ_AT_ONCE * sizeof *values);
    CHECK_MEMORY(values, "out of memory");
    uint64_t sum = 0;
    for (int u = 0; u < count; u++)
        for (int i = 0; i < units[u].parameters; i++)
            sum += fingerprint_part(&units[u], &units[u].parameter[i], values);
    free(values);
    double halves[2] = {(double)(sum & UINT32_MAX), (double)(sum >> 32)}; /* their sums over ranks are exact */
    comm->f->all_reduce_sum(comm, halves, 2);
    return (uint64_t)halves[0] + ((uint64_t)halves[1] << 32);
}

/* Compares the list of files, their sizes and CRCs over all ranks. Collective. */
static Status compare_files(const char *path, Comm *comm) {
    char **names = NULL;
    int64_t count = 0;
    Agreement *agreement = agreement_begin();
    const int error = folder_list(path, &names, &count);
    if (error) agreement_add(agreement, path, "%s", strerror(error));
    for (int64_t i = 0; !error && i < count; i++) {
        if (!ends_with(names[i], "safetensors") && !ends_with(names[i], "json")) continue;
        char *file = path_join(path, names[i]);
        agreement_add_file(agreement, file);
        free(file);
    }
    if (!error) folder_list_free(names, count);
    return agreement_end(agreement, comm, "let all hosts see the same folder");
}

Status weights_load(const char *path, Comm *comm, Unit *units, int count) {
    TensorFolder *tensors = NULL;
    json_t *state = NULL;
    Status status = compare_files(path, comm), opened = OK;
    if (status == OK) opened = checksums_open_weights(path, &state, &tensors);
    if (status == OK && opened == OK) opened = weights_check(tensors, path, "", units, count);
    if (status == OK) status = comm_worst(comm, opened);
    if (status == OK) status = shards_read(tensors, state, path, comm, units, count, SHARD_WEIGHTS);
    if (status == OK) weights_zero_moments(units, count);
    tensor_folder_close(tensors);
    json_decref(state);
    return status;
}
