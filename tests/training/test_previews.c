/* Prompts that cannot be used: data without a tokenizer, a model without a token that begins a text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "data/tokens_writer.h"
#include "support/temporary.h"
#include "support/capture.h"
#include "training/previews.h"
#include "training/samples.h"
#include "training/setup.h"

static void write_data(const char *path, const char *tokenizer) {
    TokensWriterOptions options = tokens_writer_bytes_options(path);
    TokensWriter *writer;
    options.tokenizer = tokenizer;
    options.tokenizer_files = NULL;
    assert_int_equal(tokens_writer_open(&options, &writer), OK);
    for (uint32_t i = 0; i < 1000; i++) assert_int_equal(tokens_writer_add(writer, &(uint32_t){i % 200}, 1), OK);
    tokens_writer_end_document(writer);
    assert_int_equal(tokens_writer_finish(writer), OK);
}

/* The message of a run about the prompt. */
static Status try_prompt(const char *tokenizer, const char *prompt, char message[4096]) {
    char file[300], files[320], dump[320], prompts[320];
    snprintf(file, sizeof file, "%s/%s.h5", temporary_folder, tokenizer);
    snprintf(files, sizeof files, "--data.files=[%s]", file);
    snprintf(dump, sizeof dump, "--job.dump_folder=%s", temporary_folder);
    snprintf(prompts, sizeof prompts, "--metrics.sample_prompts=[%s]", prompt);
    char *arguments[] = {"--model.model_type=gla",
                         "--model.hidden_size=64",
                         "--model.vocab_size=320",
                         "--device=cpu",
                         "--training.seq_len=64",
                         "--model.num_hidden_layers=1",
                         "--model.bos_token_id=null",
                         "--model.eos_token_id=null",
                         files,
                         dump,
                         prompts};
    TrainConfig config;
    Session session = {0};
    Stream *stream = NULL;
    Saver *saver = NULL;
    Previews *previews = NULL;
    Progress progress;
    Model *model = NULL;
    write_data(file, tokenizer);
    assert_int_equal(config_load(LENGTH(arguments), arguments, &config), OK);
    config_set_device(&config, "cpu");
    assert_int_equal(model_create(config.model, &model), OK);
    assert_int_equal(session_open(&session, comm_self_create(), device_cpu(), model, setup_runner(&config, NULL),
                                  setup_sharding(&config)),
                     OK);
    StreamOptions wanted = stream_default_options();
    wanted.files = (const char *const *)config.data.files.item;
    wanted.seq_len = 64;
    assert_int_equal(samples_open(session.comm, &wanted, &stream), OK);
    assert_int_equal(progress_begin(&config, &session, stream, &progress, &saver), OK);
    Capture capture = capture_begin(2);
    const Status status = previews_create(&config, &session, saver, &previews);
    capture_end(&capture, message, 4096);
    previews_free(previews);
    saver_close(saver);
    stream_close(stream);
    session_close(&session);
    config_free(&config);
    remove(file);
    return status;
}

static void test_no_tokenizer(void **state) {
    (void)state;
    char message[4096];
    assert_int_equal(try_prompt("words", "a", message), BAD_INPUT);
    assert_non_null(strstr(message, "metrics.sample_prompts: the data have no tokenizer"));
    assert_int_equal(try_prompt("bytes", "a", message), OK);
}

static void test_nothing_begins_a_text(void **state) {
    (void)state;
    char message[4096];
    assert_int_equal(try_prompt("bytes", "\"\"", message), BAD_INPUT);
    assert_non_null(strstr(message, "prompt 1, \"\", has no tokens, and the model has no token that begins a text"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_tokenizer),
                                       cmocka_unit_test(test_nothing_begins_a_text)};
    return cmocka_run_group_tests(tests, temporary_create, temporary_remove);
}
