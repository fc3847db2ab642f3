#include "checkpoint/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum { LISTED = 5 };             /* names in a message */
enum { READ_AT_ONCE = 1 << 20 }; /* elements */

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

/* "a, b, c" of up to LISTED names. */
static void list_name(char *list, size_t size, int64_t found, const char *name) {
    const size_t used = strlen(list);
    if (found <= LISTED) snprintf(list + used, size - used, "%s%s", found > 1 ? ", " : "", name);
}

static bool ends_with(const char *name, const char *end) {
    const size_t length = strlen(name), tail = strlen(end);
    return length > tail + 1 && name[length - tail - 1] == '.' && strcmp(name + length - tail, end) == 0;
}

/* A tensor of the folder whose name is `name` with leading parts more or fewer; NULL if there is none. */
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
                if (log_rank() == 0) shape_error(path, tensor, p);
                return BAD_INPUT;
            }
        }
    for (int64_t i = 0; i < tensor_folder_count(folder); i++) {
        const char *name = tensor_folder_entry(folder, i)->name;
        const bool other = strncmp(name, prefix, strlen(prefix)) != 0; /* another kind of tensor in the same file */
        if (!other && !is_expected(name, prefix, units, count))
            list_name(unexpected, sizeof unexpected, ++unexpected_count, name);
    }
    if (missing_count == 0 && unexpected_count == 0) return OK;
    if (log_rank() == 0)
        log_error("%s does not hold this model: %lld tensors missing%s%s, %lld unexpected%s%s%s%s", path,
                  (long long)missing_count, missing_count ? ": " : "", missing, (long long)unexpected_count,
                  unexpected_count ? ": " : "", unexpected, other_prefix ? ". The names have another prefix: " : "",
                  other_prefix ? other_prefix : "");
    return BAD_INPUT;
}

/* The part of a parameter that lies in this rank's shard; `values` has room for READ_AT_ONCE. */
static Status read_part(const TensorFolder *folder, const Unit *unit, const Parameter *p, float *values) {
    const UnitRange range = unit_range(unit, p);
    const SafeTensor *tensor = tensor_folder_find(folder, p->name);
    const int64_t elements = range.last - range.first;
    Status status = OK;
    for (int64_t done = 0, n; done < elements && status == OK; done += n) {
        n = elements - done < READ_AT_ONCE ? elements - done : READ_AT_ONCE;
        status = safetensors_read_floats(tensor, range.in_parameter + done, n, values);
        if (status == OK)
            device_upload(unit->update_device, unit->master + range.in_shard + done, values,
                          n * (int64_t)sizeof *values);
    }
    return status;
}

void weights_zero_moments(Unit *units, int count) {
    for (int u = 0; u < count; u++) {
        const int64_t bytes = units[u].shard * (int64_t)sizeof(float);
        if (units[u].exp_avg) units[u].update_device->fill(units[u].exp_avg, 0, 1, bytes, bytes);
        if (units[u].exp_avg_sq) units[u].update_device->fill(units[u].exp_avg_sq, 0, 1, bytes, bytes);
    }
}

static Status load(const char *path, Unit *units, int count) {
    TensorFolder *folder = NULL;
    float *values = malloc(READ_AT_ONCE * sizeof *values);
    CHECK(values, "out of memory");
    Status status = tensor_folder_open(path, "model", &folder);
    if (status == OK) status = weights_check(folder, path, "", units, count);
    for (int u = 0; u < count; u++)
        for (int i = 0; i < units[u].parameters && status == OK; i++)
            status = read_part(folder, &units[u], &units[u].parameter[i], values);
    if (status == OK) weights_zero_moments(units, count);
    tensor_folder_close(folder);
    free(values);
    return status;
}

Status weights_load(const char *path, Comm *comm, Unit *units, int count) {
    return comm_worst(comm, load(path, units, count));
}
