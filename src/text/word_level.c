#include "text/model.h"

static Status read_word_level(Model *model, const Fields *fields) {
    const char *unknown = "";
    int64_t bytes = 0;
    Status status = model_read_vocabulary(model, fields);
    if (!status) status = fields_text(fields, "unk_token", REQUIRED, &unknown, &bytes);
    model->unknown = vocabulary_find(&model->vocabulary, unknown, bytes);
    return status;
}

static Status encode(const Model *model, ModelRoom *room, const char *word, int64_t bytes, TokenIds *ids) {
    const int64_t id = vocabulary_find(&model->vocabulary, word, bytes);
    if (id < 0 && model->unknown < 0) return model_no_token(room, word, bytes);
    token_ids_add(ids, (uint32_t)(id >= 0 ? id : model->unknown));
    return OK;
}

const ModelKind word_level_kind = {"WordLevel", read_word_level, encode, NULL};
