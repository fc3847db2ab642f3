#include "checkpoint/safetensors_plan.h"
#include "base/memory.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void safetensors_plan_add(SafetensorsPlan *plan, const char *name, SafeType type, int dims, const int64_t *shape) {
    CHECK(dims <= SAFE_DIMS, "tensor %s has %d dimensions", name, dims);
    if (plan->tensors == plan->capacity) {
        plan->capacity = plan->capacity ? 2 * plan->capacity : 64;
        plan->tensor = realloc(plan->tensor, (size_t)plan->capacity * sizeof *plan->tensor);
        CHECK_MEMORY(plan->tensor, "no memory to plan files");
    }
    PlannedTensor *tensor = &plan->tensor[plan->tensors++];
    *tensor = (PlannedTensor){.name = strdup(name), .type = type, .dims = dims, .elements = 1};
    CHECK_MEMORY(tensor->name, "no memory for the name of a tensor");
    for (int i = 0; i < dims; i++) {
        tensor->shape[i] = shape[i];
        tensor->elements *= shape[i];
    }
    tensor->bytes = tensor->elements * safe_type_bits(type) / 8;
}

/* Fills the files in the order of the tensors. */
static void divide_into_files(SafetensorsPlan *plan, int64_t max_shard_bytes) {
    int64_t bytes = 0;
    plan->files = 1;
    for (int64_t i = 0; i < plan->tensors; i++) {
        PlannedTensor *tensor = &plan->tensor[i];
        if (bytes > 0 && bytes + tensor->bytes > max_shard_bytes) {
            plan->files++;
            bytes = 0;
        }
        tensor->file = plan->files - 1;
        bytes += tensor->bytes;
    }
}

/* Length (u64) and JSON, padded with spaces so that the data begin at a multiple of 8. */
static void encode_header(PlannedFile *file, json_t *json) {
    char *text = json_dumps(json, JSON_COMPACT);
    CHECK(text, "the header of %s does not fit into memory", file->name);
    const int64_t length = (int64_t)strlen(text), padded = (length + 7) / 8 * 8;
    file->header_bytes = 8 + padded;
    file->header = memory_take(file->header_bytes, "the header of a safetensors file", "Use more ranks");
    for (int i = 0; i < 8; i++) file->header[i] = (char)((uint64_t)padded >> 8 * i);
    memcpy(file->header + 8, text, (size_t)length);
    memset(file->header + 8 + length, ' ', (size_t)(padded - length));
    free(text);
}

static json_t *encode_entry(const PlannedTensor *tensor, int64_t begin) {
    json_t *shape = json_array();
    for (int i = 0; i < tensor->dims; i++) json_array_append_new(shape, json_integer(tensor->shape[i]));
    return json_pack("{s:s,s:o,s:[I,I]}", "dtype", safe_type_name(tensor->type), "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)(begin + tensor->bytes));
}

static void place_file(SafetensorsPlan *plan, int index) {
    PlannedFile *file = &plan->file[index];
    json_t *json = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    int64_t end = 0;
    for (int64_t i = 0; i < plan->tensors; i++) {
        PlannedTensor *tensor = &plan->tensor[i];
        if (tensor->file != index) continue;
        json_object_set_new(json, tensor->name, encode_entry(tensor, end));
        tensor->offset = end;
        end += tensor->bytes;
    }
    encode_header(file, json);
    json_decref(json);
    for (int64_t i = 0; i < plan->tensors; i++)
        if (plan->tensor[i].file == index) plan->tensor[i].offset += file->header_bytes;
    file->bytes = file->header_bytes + end;
}

static void encode_index(SafetensorsPlan *plan) {
    json_t *map = json_object();
    int64_t total = 0;
    for (int64_t i = 0; i < plan->tensors; i++) {
        const PlannedTensor *tensor = &plan->tensor[i];
        json_object_set_new(map, tensor->name, json_string(plan->file[tensor->file].name));
        total += tensor->bytes;
    }
    json_t *index = json_pack("{s:{s:I},s:o}", "metadata", "total_size", (json_int_t)total, "weight_map", map);
    plan->index = json_dumps(index, JSON_INDENT(2));
    CHECK_MEMORY(plan->index, "no memory for the index of the files");
    json_decref(index);
}

void safetensors_plan_place(SafetensorsPlan *plan, const char *stem, int64_t max_shard_bytes) {
    divide_into_files(plan, max_shard_bytes);
    plan->file = calloc((size_t)plan->files, sizeof *plan->file);
    CHECK_MEMORY(plan->file, "no memory to plan files");
    for (int i = 0; i < plan->files; i++) {
        if (plan->files == 1)
            snprintf(plan->file[i].name, sizeof plan->file[i].name, "%s.safetensors", stem);
        else
            snprintf(plan->file[i].name, sizeof plan->file[i].name, "%s-%05d-of-%05d.safetensors", stem, i + 1,
                     plan->files);
        place_file(plan, i);
    }
    if (plan->files > 1) encode_index(plan);
}

void safetensors_plan_free(SafetensorsPlan *plan) {
    for (int64_t i = 0; i < plan->tensors; i++) free(plan->tensor[i].name);
    for (int i = 0; i < plan->files; i++) free(plan->file[i].header);
    free(plan->tensor);
    free(plan->file);
    free(plan->index);
    *plan = (SafetensorsPlan){0};
}
