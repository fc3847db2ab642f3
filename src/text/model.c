#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/model.h"
#include "text/utf8.h"

static const ModelKind *const kinds[] = {&bpe_kind, &unigram_kind, &word_piece_kind, &word_level_kind};

void *model_room(ModelRoom *room, int part, int64_t count, size_t element) {
    const int64_t bytes = count * (int64_t)element;
    if (bytes > room->bytes[part]) {
        free(room->memory[part]);
        room->bytes[part] = 2 * bytes;
        room->memory[part] = malloc((size_t)room->bytes[part]);
        CHECK_MEMORY(room->memory[part], "no memory for %lld bytes of a word", (long long)room->bytes[part]);
    }
    return room->memory[part];
}

void model_room_free(ModelRoom *room) {
    for (int i = 0; i < 3; i++) free(room->memory[i]);
    *room = (ModelRoom){0};
}

static void find_byte_tokens(Model *model) {
    for (int byte = 0; byte < 256; byte++) {
        char token[8];
        snprintf(token, sizeof token, "<0x%02X>", byte);
        model->byte_token[byte] = vocabulary_find(&model->vocabulary, token, 6);
    }
}

/* Files from 2020 have no "type"; their keys tell which kind they are. */
static const char *type_of(const json_t *object) {
    const json_t *type = json_object_get(object, "type");
    if (json_is_string(type)) return json_string_value(type);
    if (json_object_get(object, "merges")) return bpe_kind.type;
    if (json_object_get(object, "max_input_chars_per_word")) return word_piece_kind.type;
    return json_is_array(json_object_get(object, "vocab")) ? unigram_kind.type : word_level_kind.type;
}

Status model_read(Model *model, const char *path, const json_t *object) {
    Fields fields = {.path = path, .part = "model", .type = "", .object = object};
    if (!json_is_object(object)) return fields_refuse(&fields, "it must be an object");
    fields.type = type_of(object);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i]->type, fields.type) == 0) model->kind = kinds[i];
    if (!model->kind) return fields_refuse(&fields, "this program does not know this type");
    model->unknown = -1;
    Status status = fields_flag(&fields, "byte_fallback", OPTIONAL, &model->byte_fallback);
    if (!status) status = model->kind->read(model, &fields);
    if (!status) find_byte_tokens(model);
    return status;
}

void model_free(Model *model) {
    if (model->kind && model->kind->free) model->kind->free(model->data);
    vocabulary_free(&model->vocabulary);
    *model = (Model){0};
}

int64_t model_part(const Model *model, const char *word, int64_t bytes) {
    const int64_t mark = (int64_t)strlen(WORD_MARK);
    bool in_marks = true; /* all characters so far are marks, or the one before is a mark */
    if (!model->cut_at_marks) return bytes;
    for (int64_t i = 0; i + mark <= bytes;) {
        const bool here = memcmp(word + i, WORD_MARK, (size_t)mark) == 0;
        if (here && !in_marks) return i;
        in_marks = here;
        i += here ? mark : 1;
    }
    return bytes;
}

Status model_read_vocabulary(Model *model, const Fields *fields) {
    json_t *vocabulary = json_object_get(fields->object, "vocab"), *id;
    const char *token;
    size_t bytes;
    if (!json_is_object(vocabulary))
        return fields_refuse(fields, "\"vocab\" must be an object of tokens and their ids");
    json_object_keylen_foreach(vocabulary, token, bytes, id) {
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > VOCABULARY_ID_MAX)
            return fields_refuse(fields, "the id of token \"%.100s\" must be an integer from 0 to %d", token,
                                 VOCABULARY_ID_MAX);
        vocabulary_add(&model->vocabulary, token, (int64_t)bytes, (uint32_t)json_integer_value(id));
    }
    model->tokens = model->vocabulary.count;
    return OK;
}

bool model_fall_back(const Model *model, const char *text, int64_t bytes, TokenIds *ids) {
    if (!model->byte_fallback) return false;
    for (int64_t i = 0; i < bytes; i++)
        if (model->byte_token[(unsigned char)text[i]] < 0) return false;
    for (int64_t i = 0; i < bytes; i++) token_ids_add(ids, (uint32_t)model->byte_token[(unsigned char)text[i]]);
    return true;
}

Status model_no_token(ModelRoom *room, const char *text, int64_t bytes) {
    snprintf(room->reason, sizeof room->reason, "the tokenizer has no token for \"%.*s\", and none for unknown text",
             (int)utf8_valid(text, bytes < 40 ? bytes : 40), text);
    return BAD_INPUT;
}
