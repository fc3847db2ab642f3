#include "training/data_check.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

static Status check_tokenizer(const Stream *train, const Stream *validation) {
    const StreamFacts *a = stream_facts(train), *b = stream_facts(validation);
    if (a->vocab_size == b->vocab_size && a->bos_token_id == b->bos_token_id && a->eos_token_id == b->eos_token_id &&
        strcmp(a->tokenizer_sha256, b->tokenizer_sha256) == 0)
        return OK;
    log_error("data.validation_files were made by another tokenizer (%s, %lld tokens, eos %lld) than data.files (%s, "
              "%lld tokens, eos %lld): make both with the same one",
              b->tokenizer, (long long)b->vocab_size, (long long)b->eos_token_id, a->tokenizer,
              (long long)a->vocab_size, (long long)a->eos_token_id);
    return BAD_INPUT;
}

Status data_check(const Stream *train, const Stream *validation, int64_t step_samples, int64_t seq_len) {
    const int64_t samples = stream_samples(train);
    const char *shared = validation ? stream_shared_file(train, validation) : NULL;
    const Status status = validation ? check_tokenizer(train, validation) : OK;
    if (status != OK || log_rank() != 0) return status;
    if (samples < step_samples)
        log_warning("the data have %lld samples of %lld tokens, a step takes %lld: some are used several times in one "
                    "step. Use more data, or a smaller training.global_batch_size or training.seq_len",
                    (long long)samples, (long long)seq_len, (long long)step_samples);
    if (shared)
        log_warning(
            "%s is in data.files and in data.validation_files: the validation loss is measured on training data",
            shared);
    return OK;
}

static void warn(const char *key, const char *text, const char *place, int64_t mark) {
    if (log_rank() == 0)
        log_warning("model.%s is %s, but the data's documents %s with token %lld: checkpoints will say %lld", key, text,
                    place, (long long)mark, (long long)mark);
}

void data_check_marks(const StreamFacts *facts, const ConfigValue *given, ModelConfig *model) {
    const ConfigValue *bos = config_value_get(given, "bos_token_id"), *eos = config_value_get(given, "eos_token_id");
    char text[32];
    if (facts->bos_token_id >= 0 && facts->bos_token_id != model->bos_token_id) {
        snprintf(text, sizeof text, "%lld", (long long)model->bos_token_id);
        if (bos) warn("bos_token_id", bos->type == VALUE_NULL ? "null" : text, "begin", facts->bos_token_id);
        model->bos_token_id = facts->bos_token_id;
    }
    if (facts->eos_token_id < 0 || model_config_has_eos(model, facts->eos_token_id)) return;
    const IntegerList *old = &model->eos_token_id;
    snprintf(text, sizeof text, "%lld%s", old->count > 0 ? (long long)old->item[0] : 0, old->count > 1 ? ", ..." : "");
    if (eos) warn("eos_token_id", old->count == 0 ? "null" : text, "end", facts->eos_token_id);
    model_config_set_eos(model, facts->eos_token_id);
}
