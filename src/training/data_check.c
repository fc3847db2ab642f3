#include "training/data_check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
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

static void check_vocabulary(const Stream *train, int64_t vocab_size) {
    const StreamFacts *facts = stream_facts(train);
    if (facts->vocab_size < vocab_size / 2)
        log_warning(
            "%s has a vocabulary of %lld tokens, but model.vocab_size is %lld: most rows of the embedding table are "
            "never used. Set model.vocab_size to %lld, or use data of the model's tokenizer",
            stream_file(train, 0)->path, (long long)facts->vocab_size, (long long)vocab_size,
            (long long)facts->vocab_size);
}

Status data_check(const Stream *train, const Stream *validation, int64_t vocab_size, int64_t step_samples,
                  int64_t seq_len) {
    const int64_t samples = stream_samples(train);
    const char *shared = validation ? stream_shared_file(train, validation) : NULL;
    const Status status = validation ? check_tokenizer(train, validation) : OK;
    if (status != OK || log_rank() != 0) return status;
    check_vocabulary(train, vocab_size);
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

static void epochs_text(double epochs, char text[32]) { snprintf(text, 32, epochs < 1 ? "%.2g" : "%.1f", epochs); }

void data_print(const Stream *train, int files, int64_t steps, int64_t samples) {
    const int64_t seq_len = stream_seq_len(train);
    int64_t *tokens = calloc((size_t)files, sizeof *tokens);
    CHECK_MEMORY(tokens, "out of memory");
    stream_accounting(train, samples, tokens);
    double least = INFINITY, most = 0;
    for (int file = 0; file < files; file++) {
        const double epochs = (double)tokens[file] / (double)(stream_file_samples(train, file) * seq_len);
        least = fmin(least, epochs);
        most = fmax(most, epochs);
    }
    free(tokens);
    char low[32], high[32];
    epochs_text(least, low);
    epochs_text(most, high);
    const bool same = strcmp(low, high) == 0;
    log_info("data         %14lld tokens  (%lld steps read %lld: %s%s%s epochs%s)",
             (long long)stream_facts(train)->tokens, (long long)steps, (long long)(samples * seq_len), low,
             same ? "" : " to ", same ? "" : high, same ? "" : " of a file");
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
