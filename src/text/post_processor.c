#include "text/post_processor.h"

#include <stdlib.h>
#include <string.h>

#include "text/vocabulary.h"

static void add_item(PostProcessor *post, int64_t item) {
    post->item = realloc(post->item, (size_t)(post->count + 1) * sizeof *post->item);
    CHECK_MEMORY(post->item, "no memory for %lld special tokens", (long long)post->count);
    post->item[post->count++] = item;
}

static bool is_id(const json_t *value) {
    return json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) <= VOCABULARY_ID_MAX;
}

/* Reads {"SpecialToken": {"id": NAME}}. "special_tokens" lists the ids of NAME. */
static Status read_special(PostProcessor *post, const Fields *fields, const json_t *special) {
    const json_t *name = json_object_get(special, "id");
    if (!json_is_string(name)) return fields_refuse(fields, "a special token of \"single\" has no \"id\"");
    const json_t *token = json_object_get(json_object_get(fields->object, "special_tokens"), json_string_value(name));
    const json_t *ids = json_object_get(token, "ids");
    if (!json_is_array(ids))
        return fields_refuse(fields, "\"special_tokens\" has no ids of \"%.100s\"", json_string_value(name));
    for (size_t i = 0; i < json_array_size(ids); i++) {
        if (!is_id(json_array_get(ids, i)))
            return fields_refuse(fields, "\"special_tokens\" has no usable ids of \"%.100s\"", json_string_value(name));
        add_item(post, json_integer_value(json_array_get(ids, i)));
    }
    return OK;
}

static Status read_template(PostProcessor *post, const Fields *fields) {
    const json_t *list;
    Status status = fields_list(fields, "single", REQUIRED, &list);
    for (size_t i = 0; !status && i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i), *special = json_object_get(entry, "SpecialToken");
        const json_t *sequence = json_object_get(json_object_get(entry, "Sequence"), "id");
        if (special)
            status = read_special(post, fields, special);
        else if (json_is_string(sequence) && strcmp(json_string_value(sequence), "A") == 0)
            add_item(post, POST_TEXT);
        else
            status = fields_refuse(fields, "\"single\" must be made of sequence A and special tokens");
    }
    return status;
}

static Status read_end(PostProcessor *post, const Fields *fields, const char *key) {
    const json_t *id = json_array_get(json_object_get(fields->object, key), 1);
    if (!is_id(id)) return fields_refuse(fields, "\"%s\" must be a token and its id", key);
    add_item(post, json_integer_value(id));
    return OK;
}

/* BERT's and RoBERTa's template: [CLS] text [SEP] */
static Status read_ends(PostProcessor *post, const Fields *fields) {
    const Status status = read_end(post, fields, "cls");
    add_item(post, POST_TEXT);
    return status ? status : read_end(post, fields, "sep");
}

static Status read_sequence(PostProcessor *post, const Fields *fields) {
    const json_t *list;
    Status status = fields_list(fields, "processors", REQUIRED, &list);
    for (size_t i = 0; !status && i < json_array_size(list); i++)
        status = post_processor_read(post, fields->path, json_array_get(list, i));
    return status;
}

Status post_processor_read(PostProcessor *post, const char *path, const json_t *object) {
    Fields fields;
    if (!object || json_is_null(object)) return OK;
    const Status status = fields_open(path, "post_processor", object, &fields);
    if (status) return status;
    if (strcmp(fields.type, "ByteLevel") == 0) return OK; /* it only changes offsets */
    if (strcmp(fields.type, "Sequence") == 0) return read_sequence(post, &fields);
    if (post->set) return fields_refuse(&fields, "a processor before it already adds tokens");
    post->set = true;
    if (strcmp(fields.type, "TemplateProcessing") == 0) return read_template(post, &fields);
    if (strcmp(fields.type, "BertProcessing") == 0 || strcmp(fields.type, "RobertaProcessing") == 0)
        return read_ends(post, &fields);
    return fields_refuse(&fields, "this program does not know this type");
}

int64_t post_processor_vocab_size(const PostProcessor *post) {
    int64_t size = 0;
    for (int64_t i = 0; i < post->count; i++)
        if (post->item[i] >= size) size = post->item[i] + 1;
    return size;
}

void post_processor_free(PostProcessor *post) {
    free(post->item);
    *post = (PostProcessor){0};
}

static void put_text(const TokenIds *text, TokenIds *ids) {
    if (text->count == 0) return;
    memcpy(token_ids_room(ids, text->count), text->id, (size_t)text->count * sizeof *text->id);
    ids->count += text->count;
}

void post_processor_put(const PostProcessor *post, const TokenIds *text, bool special_tokens, TokenIds *ids) {
    if (!post->set) put_text(text, ids);
    for (int64_t i = 0; i < post->count; i++) {
        if (post->item[i] == POST_TEXT)
            put_text(text, ids);
        else if (special_tokens)
            token_ids_add(ids, (uint32_t)post->item[i]);
    }
}
