/* flame-c data build | inspect | show | verify */
#include "commands/commands.h"

#include "base/log.h"
#include "base/unfinished.h"
#include "data/build_data.h"
#include "data/inspect_data.h"
#include "data/tokens_h5.h"
#include "data/tokens_writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* build */

typedef struct Build {
    Texts text;
    const char *tokenizer, *bos, *eos, *out, *validation_out, *document;
    double validation;
    bool force;
    int64_t chunk, level;
} Build;

#define AT(field) offsetof(Build, field)

static const Option build_options[] = {
    {"text", OPTION_TEXTS | OPTION_REQUIRED, "DIR|FILE", NULL, 0, 0, "what to read", AT(text)},
    {"out", OPTION_TEXT | OPTION_REQUIRED, "FILE.h5", NULL, 0, 0, "what to write", AT(out)},
    {"tokenizer", OPTION_TEXT, "DIR|FILE", "bytes", 0, 0,
     "a tokenizer.json, a folder with one, or the built-in one of bytes", AT(tokenizer)},
    {"bos", OPTION_TEXT, "ID|TOKEN|none", "auto", 0, 0, "begins a document; auto: what tokenizer_config.json names",
     AT(bos)},
    {"eos", OPTION_TEXT, "ID|TOKEN|none", "auto", 0, 0, "ends a document", AT(eos)},
    {"force", OPTION_FLAG, "", NULL, 0, 0, "replace the output if it exists", AT(force)},
    {"document", OPTION_CHOICE, "file|paragraph|line", "file", 0, 0,
     "what becomes one document; a paragraph ends at a blank line", AT(document)},
    {"validation", OPTION_REAL, "SHARE", NULL, 0, 1, "share of the documents that goes to --validation-out instead",
     AT(validation)},
    {"validation-out", OPTION_TEXT, "FILE.h5", NULL, 0, 0, "file of the validation documents", AT(validation_out)},
    {"chunk", OPTION_INTEGER, "N", "65536", TOKENS_CHUNK_BYTES_MIN / 2, TOKENS_CHUNK_BYTES_MAX / 2, "tokens per chunk",
     AT(chunk)},
    {"level", OPTION_INTEGER, "N", "4", 0, 9, "compression level: 0 none, 1 fastest, 9 smallest", AT(level)},
};

static Status refuse(const char *why) {
    log_error("data build: %s; see flame-c data build --help", why);
    return USAGE;
}

static Status check_outputs(const Build *build) {
    if (build->validation == 1) return refuse("--validation 1 leaves nothing to train on; use a share below 1");
    if ((build->validation > 0) != (build->validation_out != NULL))
        return refuse("--validation and --validation-out go together");
    return strlen(build->out) < TOKENS_NAME_MAX ? OK : refuse("--out is too long");
}

static DocumentUnit document_unit(const char *name) {
    return strcmp(name, "file") == 0 ? DOCUMENT_FILE : strcmp(name, "line") == 0 ? DOCUMENT_LINE : DOCUMENT_PARAGRAPH;
}

static void print_written(const char *path, int64_t tokens, int64_t documents) {
    printf("%s: %" PRId64 " tokens, %" PRId64 " documents\n", path, tokens, documents);
}

static Status run_build(void *values) {
    const Build *build = values;
    const BuildOptions task = {.text = (const char *const *)build->text.item,
                               .text_count = build->text.count,
                               .tokenizer = strcmp(build->tokenizer, "bytes") == 0 ? NULL : build->tokenizer,
                               .bos = build->bos,
                               .eos = build->eos,
                               .out = build->out,
                               .validation_out = build->validation_out,
                               .validation = build->validation,
                               .document = document_unit(build->document),
                               .force = build->force,
                               .chunk_tokens = build->chunk,
                               .level = (int)build->level};
    BuildReport report;
    Status status = check_outputs(build);
    if (status) return status;
    unfinished_handle_signals();
    status = build_data(&task, &report);
    if (status) return status;
    print_written(build->out, report.tokens, report.documents);
    if (build->validation_out)
        print_written(build->validation_out, report.validation_tokens, report.validation_documents);
    printf("from %" PRId64 " files, %.2f MB; skipped %" PRId64 " not text, %" PRId64 " empty, %" PRId64 " links\n",
           report.files, (double)report.bytes / 1e6, report.skipped_binary, report.skipped_empty, report.skipped_links);
    return OK;
}

static const Command data_build = {
    .name = "data build",
    .summary = "turn text into tokens",
    .text =
        "Reads text, turns it into tokens and writes one HDF5 file. Without --tokenizer every byte is a token (0 .. "
        "255;\n"
        "256 begins and 257 ends a document; vocabulary 320). Folders are read with everything below them, in the\n"
        "order of their names; names that start with a dot, files with zero bytes and links to folders are skipped.\n",
    .options = build_options,
    .option_count = LENGTH(build_options),
    .values_size = sizeof(Build),
    .run = run_build,
};

/* inspect and verify */

typedef struct Files {
    Texts file;
} Files;

static const Option file_options[] = {
    {"", OPTION_TEXTS | OPTION_REQUIRED, "FILE.h5", NULL, 0, 0, "what to read", offsetof(Files, file)},
};

/* Calls `run` for every file and returns the worst status. */
static Status run_each(const Files *files, Status (*run)(const char *path)) {
    Status worst = OK;
    for (int i = 0; i < files->file.count; i++) {
        const Status status = run(files->file.item[i]);
        if (status > worst) worst = status;
    }
    return worst;
}

static Status run_inspect(void *values) { return run_each(values, inspect_data); }

static const Command data_inspect = {
    .name = "data inspect",
    .summary = "print what a file holds",
    .text = "Prints tokens, documents, chunks, compression, tokenizer and a histogram of document lengths.\n",
    .options = file_options,
    .option_count = LENGTH(file_options),
    .values_size = sizeof(Files),
    .run = run_inspect,
};

typedef struct Show {
    const char *file;
    int64_t first, count;
} Show;

static const Option show_options[] = {
    {"", OPTION_TEXT | OPTION_REQUIRED, "FILE.h5", NULL, 0, 0, "what to read", offsetof(Show, file)},
    {"first", OPTION_INTEGER, "N", "0", 0, 1e15, "number of the first token", offsetof(Show, first)},
    {"count", OPTION_INTEGER, "N", "256", 1, 1e9, "how many tokens", offsetof(Show, count)},
};

static Status run_show(void *values) {
    const Show *show = values;
    return show_data(show->file, show->first, show->count);
}

static const Command data_show = {
    .name = "data show",
    .summary = "print tokens",
    .text =
        "Prints some tokens of a file, a line for each document: their numbers, or with the built-in tokenizer the\n"
        "text. flame-c replay says which tokens a sample has.\n",
    .options = show_options,
    .option_count = LENGTH(show_options),
    .values_size = sizeof(Show),
    .run = run_show,
};

static Status verify_one(const char *path) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return verify_data(path, cores > 0 && cores < 64 ? (int)cores : 2);
}

static Status run_verify(void *values) { return run_each(values, verify_one); }

static const Command data_verify = {
    .name = "data verify",
    .summary = "read and check a whole file",
    .text = "Reads every chunk, checks its CRC-32 and that every token is in the vocabulary, and names each\n"
            "damaged chunk. Exit code 0: all good, 1: damaged or missing, 3: cannot be read.\n",
    .options = file_options,
    .option_count = LENGTH(file_options),
    .values_size = sizeof(Files),
    .run = run_verify,
};

static const Command *const parts[] = {&data_build, &data_inspect, &data_show, &data_verify, NULL};

const Command data_command = {
    .name = "data",
    .summary = "build, inspect, show and verify data sets",
    .text = "Token files for training, in HDF5. For JSONL and Parquet there is tools/prepare.py;\n"
            "docs/data-format.md describes the file.\n",
    .parts = parts,
};
