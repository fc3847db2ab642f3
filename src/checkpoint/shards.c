#include "checkpoint/shards.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/crc.h"
#include "base/memory.h"
#include "checkpoint/checksums.h"
#include "parallel/agreement.h"

enum { READ_AT_ONCE = 1 << 20 }; /* elements of one read */

const char *const shard_prefixes[SHARD_KINDS] = {"", "exp_avg.", "exp_avg_sq."};

static const SafeTensor *find_tensor(const TensorFolder *tensors, ShardKind kind, const Parameter *p) {
    char name[PARAMETER_NAME + 16];
    snprintf(name, sizeof name, "%s%s", shard_prefixes[kind], p->name);
    return tensor_folder_find(tensors, name);
}

/* Reads the part of one tensor that belongs to this rank's shard; *part receives its CRC. `block`: buffer of
 * READ_AT_ONCE elements. */
static Status read_part(const SafeTensor *tensor, const Unit *unit, const Parameter *p, float *values, float *block,
                        CrcPart *part) {
    const UnitRange range = unit_range(unit, p);
    const int64_t elements = range.last - range.first;
    if (elements <= 0) return OK;
    *part = (CrcPart){range.in_parameter * (int64_t)sizeof *block, elements * (int64_t)sizeof *block, 0};
    for (int64_t done = 0, n; done < elements; done += n) {
        n = elements - done < READ_AT_ONCE ? elements - done : READ_AT_ONCE;
        const Status status = safetensors_read_floats(tensor, range.in_parameter + done, n, block);
        if (status != OK) return status;
        part->crc = crc_update(part->crc, block, n * (int64_t)sizeof *block);
        device_upload(unit->update_device, values + range.in_shard + done, block, n * (int64_t)sizeof *block);
    }
    return OK;
}

static Status read_parts(const TensorFolder *tensors, Unit *units, int count, ShardKind kind, CrcPart *part) {
    float *block = memory_take(READ_AT_ONCE * (int64_t)sizeof *block, "reading a checkpoint", NOTHING_LESS);
    Status status = OK;
    for (int u = 0; u < count; u++) {
        float *const values[] = {units[u].master, units[u].exp_avg, units[u].exp_avg_sq};
        for (int i = 0; i < units[u].parameters && status == OK; i++) {
            const Parameter *p = &units[u].parameter[i];
            status = read_part(find_tensor(tensors, kind, p), &units[u], p, values[kind], block, part++);
        }
    }
    free(block);
    return status;
}

/* Combines the CRCs of all ranks' parts into one per tensor and compares them. Collective. */
static Status check_parts(const TensorFolder *tensors, const json_t *state, const char *path, Comm *comm,
                          const Unit *units, int count, ShardKind kind, const CrcPart *mine, int64_t parameters) {
    CrcPart *parts =
        memory_take(parameters * comm->size * (int64_t)sizeof *parts, "the checksums of a checkpoint", NOTHING_LESS);
    comm->f->all_gather(comm, mine, parts, parameters * (int64_t)sizeof *parts);
    const CrcPart *part = parts;
    Status status = OK;
    for (int u = 0; u < count; u++)
        for (int i = 0; i < units[u].parameters; i++, part++) {
            const SafeTensor *tensor = find_tensor(tensors, kind, &units[u].parameter[i]);
            const uint32_t crc = crc_of_parts(part, comm->size, parameters, tensor->elements * (int64_t)sizeof(float));
            if (checksums_check_tensor(state, path, tensor->name, crc, comm->rank == 0)) status = BAD_INPUT;
        }
    free(parts);
    return status;
}

Status shards_read(const TensorFolder *tensors, const json_t *state, const char *path, Comm *comm, Unit *units,
                   int count, ShardKind kind) {
    int64_t parameters = 0;
    for (int u = 0; u < count; u++) parameters += units[u].parameters;
    CrcPart *mine = calloc((size_t)parameters + 1, sizeof *mine);
    CHECK_MEMORY(mine, "no memory to load a checkpoint");
    Status status = comm_worst(comm, read_parts(tensors, units, count, kind, mine));
    if (status == OK && state) status = check_parts(tensors, state, path, comm, units, count, kind, mine, parameters);
    free(mine);
    return status;
}
