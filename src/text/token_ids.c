#include "text/token_ids.h"

#include <stdlib.h>

#include "base/check.h"

uint32_t *token_ids_room(TokenIds *ids, int64_t count) {
    if (ids->count + count > ids->room) {
        ids->room = 2 * (ids->count + count) + 16;
        ids->id = realloc(ids->id, (size_t)ids->room * sizeof *ids->id);
        CHECK_MEMORY(ids->id, "no memory for %lld tokens", (long long)ids->room);
    }
    return ids->id + ids->count;
}

void token_ids_add(TokenIds *ids, uint32_t id) {
    *token_ids_room(ids, 1) = id;
    ids->count++;
}
