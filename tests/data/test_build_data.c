/* Text to tokens: documents, marks, the split, what is skipped and what is refused. */
#include "data/tokens_fixture.h"

#include <hdf5.h>
#include <omp.h>
#include <sys/stat.h>

#include "commands/commands.h"
#include "data/build_data.h"
#include "data/tokens_h5.h"

static void write_text(const char *path, const char *text, size_t size) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    fclose(file);
}

static BuildOptions options_for(const char *const *text, const char *out) {
    return (BuildOptions){.text = text,
                          .text_count = 1,
                          .bos = "auto",
                          .eos = "auto",
                          .out = out,
                          .chunk_tokens = TOKENS_CHUNK_DEFAULT,
                          .level = TOKENS_LEVEL_DEFAULT};
}

/* The file as text: < begins and > ends a document; each document is followed by | as doc_ends says. */
static char *rendered(const char *path) {
    TokensFile *file;
    assert_int_equal(tokens_open(path, &file), OK);
    const TokensFacts *facts = tokens_facts(file);
    uint16_t *tokens = malloc((size_t)tokens_chunk_bytes(file));
    char *text = calloc((size_t)(facts->tokens + facts->documents) + 1, 1), *to = text;
    TokensScratch scratch = {0};
    assert_int_equal(tokens_read_chunk(file, 0, &scratch, tokens), OK);
    assert_int_equal(facts->chunks, 1);
    for (int64_t i = 0, document = 0; i < facts->tokens; i++) {
        *to++ = tokens[i] == BYTES_BOS ? '<' : tokens[i] == BYTES_EOS ? '>' : (char)tokens[i];
        if (facts->doc_ends[document] != (uint64_t)i + 1) continue;
        *to++ = '|';
        document++;
    }
    tokens_scratch_free(&scratch);
    free(tokens);
    tokens_close(file);
    return text;
}

static void expect_text(const char *path, const char *expected) {
    char *text = rendered(path);
    assert_string_equal(text, expected);
    free(text);
}

/* Makes a new folder with two texts, one of them in a subfolder. */
static const char *make_texts(const char *name) {
    const char *folder = fixture_path(name);
    char path[600];
    assert_int_equal(folder_create(folder), 0);
    snprintf(path, sizeof path, "%s/b", folder);
    assert_int_equal(folder_create(path), 0);
    snprintf(path, sizeof path, "%s/b/x.txt", folder);
    write_text(path, "second\xff", 7); /* not UTF-8; the tokenizer of bytes accepts any bytes */
    snprintf(path, sizeof path, "%s/a.txt", folder);
    write_text(path, "first", 5);
    return folder;
}

static void a_folder_is_read_in_order(void **state) {
    (void)state;
    const char *folder = make_texts("order"), *out = fixture_path("order.h5");
    BuildOptions options = options_for(&folder, out);
    BuildReport report;
    assert_int_equal(build_data(&options, &report), OK);
    expect_text(out, "<first>|<second\xff>|");
    assert_int_equal(report.files, 2);
    assert_int_equal(report.bytes, 12);
    assert_int_equal(report.tokens, 16);
    assert_int_equal(report.documents, 2);
}

/* The tokens of the first chunk, which holds all. */
static uint16_t *read_tokens(TokensFile *file) {
    uint16_t *tokens = malloc((size_t)tokens_chunk_bytes(file));
    TokensScratch scratch = {0};
    assert_int_equal(tokens_facts(file)->chunks, 1);
    assert_int_equal(tokens_read_chunk(file, 0, &scratch, tokens), OK);
    tokens_scratch_free(&scratch);
    return tokens;
}

static void expect_document(const uint16_t *tokens, int64_t count, const char *text, int64_t eos) {
    Tokenizer *tokenizer;
    assert_int_equal(tokenizer_open("tests/golden/tokenizers/gpt2.json", &tokenizer), OK);
    TokenEncoder *encoder = token_encoder_create(tokenizer);
    TokenIds ids = {0};
    assert_int_equal(tokenizer_encode(encoder, text, (int64_t)strlen(text), false, &ids), OK);
    token_ids_add(&ids, (uint32_t)eos);
    assert_int_equal(count, ids.count);
    for (int64_t i = 0; i < count; i++) assert_int_equal(tokens[i], ids.id[i]);
    free(ids.id);
    token_encoder_free(encoder);
    tokenizer_close(tokenizer);
}

static void a_tokenizer_makes_the_tokens(void **state) {
    (void)state;
    const char *folder = make_texts("tokenizer"), *out = fixture_path("tokenizer.h5");
    BuildOptions options = options_for(&folder, out);
    options.tokenizer = "tests/golden/tokenizers/gpt2.json";
    options.bos = "none";
    options.eos = "<|endoftext|>";
    BuildReport report;
    assert_int_equal(build_data(&options, &report), OK);
    TokensFile *file;
    assert_int_equal(tokens_open(out, &file), OK);
    const TokensFacts *facts = tokens_facts(file);
    assert_int_equal(facts->vocab_size, 400);
    assert_int_equal(facts->width, 2);
    assert_int_equal(facts->bos_token_id, -1);
    assert_int_equal(facts->eos_token_id, 0);
    assert_string_equal(facts->tokenizer, "tokenizers");
    assert_int_equal(strlen(facts->tokenizer_sha256), 64);
    assert_non_null(facts->tokenizer_files->file[0].content);
    assert_int_equal(facts->tokenizer_files->file[1].bytes,
                     strlen("{\"tokenizer_class\":\"PreTrainedTokenizerFast\",\"eos_token\":\"<|endoftext|>\"}"));
    uint16_t *tokens = read_tokens(file);
    assert_int_equal(facts->documents, 2);
    expect_document(tokens, (int64_t)facts->doc_ends[0], "first", 0);
    expect_document(tokens + facts->doc_ends[0], (int64_t)(facts->doc_ends[1] - facts->doc_ends[0]), "second\xff", 0);
    free(tokens);
    tokens_close(file);
}

/* The output does not depend on the number of threads or on the batches of 8 MiB of text. */
static void threads_change_nothing(void **state) {
    (void)state;
    const char *text = "src", *out[] = {fixture_path("one.h5"), fixture_path("three.h5")};
    char *content[2];
    int64_t bytes[2];
    for (int i = 0; i < 2; i++) {
        BuildOptions options = options_for(&text, out[i]);
        options.tokenizer = "tests/golden/tokenizers/unigram.json";
        options.eos = "1";
        options.document = DOCUMENT_PARAGRAPH;
        BuildReport report;
        omp_set_num_threads(1 + 2 * i);
        capture_begin();
        assert_int_equal(build_data(&options, &report), OK);
        assert_mentions(capture_end(), "no tokenizer_config.json");
        assert_int_equal(file_read_all(out[i], 1 << 30, &content[i], &bytes[i]), 0);
    }
    assert_int_equal(bytes[0], bytes[1]);
    assert_memory_equal(content[0], content[1], (size_t)bytes[0]);
    free(content[0]);
    free(content[1]);
}

static void marks_must_be_tokens(void **state) {
    (void)state;
    const char *folder = make_texts("marks"), *out = fixture_path("marks.h5");
    static const char *const wrong[] = {"<no>", "400", "-1", ""};
    for (size_t i = 0; i < LENGTH(wrong); i++) {
        BuildOptions options = options_for(&folder, out);
        options.tokenizer = "tests/golden/tokenizers/gpt2.json";
        options.bos = wrong[i];
        BuildReport report;
        capture_begin();
        assert_int_equal(build_data(&options, &report), BAD_INPUT);
        assert_mentions(capture_end(), "neither a token");
        assert_false(path_exists(out));
    }
}

/* llama2 has tokens "1" and "2", too. */
static void a_number_is_an_id(void **state) {
    (void)state;
    const char *folder = make_texts("ids"), *out = fixture_path("ids.h5");
    BuildOptions options = options_for(&folder, out);
    options.tokenizer = "tests/golden/tokenizers/llama2.json";
    options.bos = "1";
    options.eos = "2";
    BuildReport report;
    assert_int_equal(build_data(&options, &report), OK);
    TokensFile *file;
    assert_int_equal(tokens_open(out, &file), OK);
    assert_int_equal(tokens_facts(file)->bos_token_id, 1);
    assert_int_equal(tokens_facts(file)->eos_token_id, 2);
    tokens_close(file);
}

static void expect_no_time(hid_t plist) {
    hbool_t times = true;
    assert_true(H5Pget_obj_track_times(plist, &times) >= 0);
    assert_false(times);
    H5Pclose(plist);
}

/* The same texts give a file of the same bytes. */
static void no_object_says_when_it_was_made(void **state) {
    (void)state;
    static const char *const groups[] = {"/", "tokenizer"};
    static const char *const datasets[] = {"tokens", "doc_ends", "chunk_crc32", "tokenizer/tokenizer.json"};
    const char *folder = make_texts("times"), *out = fixture_path("times.h5");
    BuildOptions options = options_for(&folder, out);
    BuildReport report;
    assert_int_equal(build_data(&options, &report), OK);
    const hid_t file = H5Fopen(out, H5F_ACC_RDONLY, H5P_DEFAULT);
    for (size_t i = 0; i < LENGTH(groups); i++) {
        const hid_t group = H5Gopen2(file, groups[i], H5P_DEFAULT);
        expect_no_time(H5Gget_create_plist(group));
        H5Gclose(group);
    }
    for (size_t i = 0; i < LENGTH(datasets); i++) {
        const hid_t dataset = H5Dopen2(file, datasets[i], H5P_DEFAULT);
        expect_no_time(H5Dget_create_plist(dataset));
        H5Dclose(dataset);
    }
    H5Fclose(file);
}

static void what_is_not_text_is_skipped(void **state) {
    (void)state;
    const char *folder = make_texts("skip"), *out = fixture_path("skip.h5");
    char path[600];
    snprintf(path, sizeof path, "%s/binary", folder);
    write_text(path, "a\0b", 3);
    snprintf(path, sizeof path, "%s/empty", folder);
    write_text(path, "", 0);
    snprintf(path, sizeof path, "%s/.hidden", folder);
    write_text(path, "hidden", 6);
    snprintf(path, sizeof path, "%s/b/loop", folder);
    assert_int_equal(symlink("..", path), 0);
    snprintf(path, sizeof path, "%s/itself", folder);
    assert_int_equal(symlink("itself", path), 0);
    BuildOptions options = options_for(&folder, out);
    BuildReport report;
    capture_begin();
    assert_int_equal(build_data(&options, &report), OK);
    const char *text = capture_end();
    assert_mentions(text, "binary: skipped");
    assert_mentions(text, "empty: skipped");
    assert_mentions(text, "loop: skipped");
    assert_int_equal(report.skipped_binary, 1);
    assert_int_equal(report.skipped_empty, 1);
    assert_int_equal(report.skipped_links, 2);
    expect_text(out, "<first>|<second\xff>|");
}

static void lines_and_paragraphs_are_documents(void **state) {
    (void)state;
    const char *file = fixture_path("units.txt"), *out = fixture_path("units.h5");
    write_text(file, "a\nb\n \nc\n\n\nd", 11);
    BuildOptions options = options_for(&file, out);
    BuildReport report;
    options.force = true;
    const char *const expected[] = {"<a\nb\n \nc\n\n\nd>|", "<a\nb\n \n>|<c\n\n>|<\nd>|",
                                    "<a\n>|<b\n>|< \nc\n>|<\n\nd>|"};
    for (int unit = DOCUMENT_FILE; unit <= DOCUMENT_LINE; unit++) {
        options.document = (DocumentUnit)unit;
        assert_int_equal(build_data(&options, &report), OK);
        expect_text(out, expected[unit]);
    }
}

static void a_long_line_goes_through_in_pieces(void **state) {
    (void)state;
    enum { LENGTH = 3 * 1024 * 1024 + 17 };
    const char *file = fixture_path("long.txt"), *out = fixture_path("long.h5");
    char *text = malloc(LENGTH);
    memset(text, 'x', LENGTH);
    write_text(file, text, LENGTH);
    free(text);
    BuildOptions options = options_for(&file, out);
    options.document = DOCUMENT_LINE;
    BuildReport report;
    assert_int_equal(build_data(&options, &report), OK);
    assert_int_equal(report.tokens, LENGTH + 2);
    assert_int_equal(report.documents, 1);
}

static void validation_takes_its_share(void **state) {
    (void)state;
    const char *file = fixture_path("share.txt"), *out = fixture_path("train.h5"), *other = fixture_path("valid.h5");
    char text[20000];
    for (int i = 0; i < 10000; i++) memcpy(text + 2 * i, "a\n", 2);
    write_text(file, text, sizeof text);
    BuildOptions options = options_for(&file, out);
    options.document = DOCUMENT_LINE;
    options.validation = 0.1;
    options.validation_out = other;
    BuildReport report;
    assert_int_equal(build_data(&options, &report), OK);
    assert_int_equal(report.documents + report.validation_documents, 10000);
    assert_int_equal(report.tokens + report.validation_tokens, 40000);
    assert_in_range(report.validation_documents, 850, 1150); /* five standard deviations */
    options.document = DOCUMENT_FILE;
    options.force = true;
    capture_begin();
    assert_int_equal(build_data(&options, &report), BAD_INPUT);
    assert_mentions(capture_end(), "--document paragraph");
}

static void expect_content(const char *path, const char *expected) {
    char *content;
    int64_t size;
    assert_int_equal(file_read_all(path, 100, &content, &size), 0);
    assert_string_equal(content, expected);
    free(content);
}

static void an_output_is_not_replaced_unless_forced(void **state) {
    (void)state;
    const char *folder = make_texts("force"), *out = fixture_path("force.h5");
    write_text(out, "precious", 8);
    BuildOptions options = options_for(&folder, out);
    BuildReport report;
    capture_begin();
    assert_int_equal(build_data(&options, &report), BAD_INPUT);
    assert_mentions(capture_end(), "--force");
    expect_content(out, "precious");
    options.force = true;
    assert_int_equal(build_data(&options, &report), OK);
    expect_text(out, "<first>|<second\xff>|");
}

/* A text that is to be read is never overwritten by the output, not even with --force or under another name. */
static void text_is_not_replaced_by_its_data_set(void **state) {
    (void)state;
    const char *folder = make_texts("own"), *out = fixture_path("own/../own/a.txt"),
               *free_name = fixture_path("own.h5");
    BuildOptions options = options_for(&folder, out);
    BuildReport report;
    options.force = true;
    for (int validation = 0; validation < 2; validation++) {
        capture_begin();
        assert_int_equal(build_data(&options, &report), BAD_INPUT);
        assert_mentions(capture_end(), "a.txt: is a text to read, which the output would replace");
        expect_content(out, "first");
        assert_false(file_exists(free_name));
        options.out = free_name;
        options.validation_out = out;
        options.validation = 0.5;
    }
}

/* --out and --validation-out must not be the same file, not even under different names. */
static void one_file_is_no_split(void **state) {
    (void)state;
    const char *folder = make_texts("twice"), *out = fixture_path("twice.h5"),
               *same = fixture_path("twice/../twice.h5");
    BuildOptions options = options_for(&folder, out);
    BuildReport report;
    assert_int_equal(build_data(&options, &report), OK);
    const int64_t tokens = report.tokens;
    options.force = true;
    options.validation_out = same;
    options.validation = 0.5;
    options.document = DOCUMENT_LINE;
    capture_begin();
    assert_int_equal(build_data(&options, &report), USAGE);
    assert_mentions(capture_end(), "--out and --validation-out are the same file");
    TokensFile *file;
    assert_int_equal(tokens_open(out, &file), OK);
    assert_int_equal(tokens_facts(file)->tokens, tokens);
    tokens_close(file);
}

static void nothing_stays_after_an_error(void **state) {
    (void)state;
    const char *folder = fixture_path("clean"), *out = fixture_path("clean/out.h5");
    const char *text[] = {make_texts("readable"), fixture_path("missing")};
    assert_int_equal(folder_create(folder), 0);
    BuildOptions options = options_for(text, out);
    options.text_count = 2;
    BuildReport report;
    capture_begin();
    assert_int_equal(build_data(&options, &report), BAD_INPUT);
    assert_mentions(capture_end(), "missing: cannot be read");
    char **names;
    int64_t count;
    assert_int_equal(folder_list(folder, &names, &count), 0);
    assert_int_equal(count, 0);
    folder_list_free(names, count);
}

static void expect_refused(const BuildOptions *options, const char *where) {
    BuildReport report;
    capture_begin();
    assert_int_equal(build_data(options, &report), BAD_INPUT);
    assert_mentions(capture_end(), where);
}

/* The error names the document, whichever batch it is in. */
static void a_refused_text_is_named(void **state) {
    (void)state;
    enum { LONG = 9 << 20 }; /* more than a batch */
    static const char json[] = "{\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0},\"unk_token\":\"u\"},"
                               "\"pre_tokenizer\":{\"type\":\"Whitespace\"}}";
    const char *text[] = {fixture_path("known.txt"), fixture_path("unknown.txt")};
    BuildOptions options = options_for(text, fixture_path("named.h5"));
    options.text_count = 2;
    options.tokenizer = fixture_path("letter.json");
    options.bos = options.eos = "none";
    options.document = DOCUMENT_LINE;
    write_text(options.tokenizer, json, strlen(json));
    write_text(text[0], "a\n", 2);
    write_text(text[1], "a\na\nb\n", 6);
    expect_refused(&options, "unknown.txt: document 3: the tokenizer has no token for \"b\"");
    char *lines = malloc(LONG);
    memset(lines, ' ', LONG);
    memcpy(lines + LONG - 4, "a\nb\n", 4);
    write_text(text[1], lines, LONG);
    free(lines);
    expect_refused(&options, "unknown.txt: document 2: the tokenizer has no token for \"b\"");
}

static void json_lines_are_no_text(void **state) {
    (void)state;
    const char *texts = make_texts("rows"), *out = fixture_path("rows.h5");
    char rows[600];
    snprintf(rows, sizeof rows, "%s/rows.jsonl", texts);
    write_text(rows, "{\"text\": \"a\"}\n", 14);
    const char *const paths[] = {texts, rows};
    for (size_t i = 0; i < LENGTH(paths); i++) {
        const BuildOptions options = options_for(&paths[i], out);
        expect_refused(&options, "rows/rows.jsonl: JSON lines would be tokenized as text; tools/prepare.py makes");
        assert_false(path_exists(out));
    }
}

typedef struct UsageCase {
    const char *arguments[6];
    Status status;
    const char *message;
} UsageCase;

static const UsageCase usage_cases[] = {
    {{"data"}, USAGE, "name one of build, inspect, show, verify"},
    {{"data", "bild"}, USAGE, "there is no \"data bild\", only build"},
    {{"data", "build"}, USAGE, "data build: --text DIR|FILE... is missing; see flame-c data build --help"},
    {{"data", "build", "--text"}, USAGE, "--text needs a value: --text DIR|FILE"},
    {{"data", "build", "--text", "a"}, USAGE, "--out FILE.h5 is missing"},
    {{"data", "build", "a"}, USAGE, "unexpected argument \"a\""},
    {{"data", "build", "--level", "10"}, USAGE, "--level must be an integer, 0 to 9, not \"10\""},
    {{"data", "build", "--chunk", "7"}, USAGE, "--chunk must be an integer, 2048 to"},
    {{"data", "build", "--chunk", "70000x"}, USAGE, "not \"70000x\""},
    {{"data", "build", "--validation", "1.5"}, USAGE, "--validation must be a number, 0 to 1, not \"1.5\""},
    {{"data", "build", "--validation", "nan"}, USAGE, "--validation must be a number"},
    {{"data", "build", "--document", "page"}, USAGE, "--document must be one of file|paragraph|line, not \"page\""},
    {{"data", "build", "--colour", "red"}, USAGE, "unknown option --colour"},
    {{"data", "inspect"}, USAGE, "FILE.h5... is missing"},
    {{"data", "verify", "--fast"}, USAGE, "unknown option --fast"},
    {{"data", "verify", "no-such-file.h5"}, BAD_INPUT, "no such file; make it with"},
};

static void the_command_line_is_checked(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof usage_cases / sizeof usage_cases[0]; i++) {
        char *arguments[7] = {NULL};
        int count = 0;
        for (; count < 6 && usage_cases[i].arguments[count]; count++)
            arguments[count] = (char *)(uintptr_t)usage_cases[i].arguments[count];
        capture_begin();
        Status status = command_run(&data_command, count, arguments);
        const char *text = capture_end();
        assert_int_equal(status, usage_cases[i].status);
        assert_mentions(text, usage_cases[i].message);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_is_read_in_order),
        cmocka_unit_test(a_tokenizer_makes_the_tokens),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(marks_must_be_tokens),
        cmocka_unit_test(a_number_is_an_id),
        cmocka_unit_test(no_object_says_when_it_was_made),
        cmocka_unit_test(what_is_not_text_is_skipped),
        cmocka_unit_test(lines_and_paragraphs_are_documents),
        cmocka_unit_test(a_long_line_goes_through_in_pieces),
        cmocka_unit_test(validation_takes_its_share),
        cmocka_unit_test(one_file_is_no_split),
        cmocka_unit_test(an_output_is_not_replaced_unless_forced),
        cmocka_unit_test(text_is_not_replaced_by_its_data_set),
        cmocka_unit_test(nothing_stays_after_an_error),
        cmocka_unit_test(a_refused_text_is_named),
        cmocka_unit_test(json_lines_are_no_text),
        cmocka_unit_test(the_command_line_is_checked),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
