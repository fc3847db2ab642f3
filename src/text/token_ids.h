/* A list of tokens. */
#ifndef FLAME_TEXT_TOKEN_IDS_H
#define FLAME_TEXT_TOKEN_IDS_H

#include <stdint.h>

/* {0} is empty. The owner frees `id`. */
typedef struct TokenIds {
    uint32_t *id;
    int64_t count, room;
} TokenIds;

/* Makes room for `count` more ids and returns where they go. The caller adds the number it has written to
 * ids->count. */
uint32_t *token_ids_room(TokenIds *ids, int64_t count);
void token_ids_add(TokenIds *ids, uint32_t id);

#endif
