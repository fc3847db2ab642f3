/* flame-c data build | inspect | verify */
#include "commands/commands.h"

#include "data/build_data.h"
#include "data/inspect_data.h"
#include "data/tokens_h5.h"
#include "data/tokens_writer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help_text[] = "flame-c data: token files for training, in HDF5\n\n"
                                "  flame-c data build --text DIR|FILE... --out FILE.h5   text to tokens, one per byte\n"
                                "  flame-c data inspect FILE.h5...                       what a file holds\n"
                                "  flame-c data verify FILE.h5...                        reads and checks all of it\n\n"
                                "Each has its own --help. For Hugging Face tokenizers, JSONL and Parquet there is\n"
                                "tools/prepare.py; docs/data-format.md describes the file.\n";

static const char build_help_text[] =
    "flame-c data build --text DIR|FILE... --out FILE.h5 [OPTIONS]\n\n"
    "Reads text, makes a token of every byte (0 .. 255; 256 begins and 257 ends a document; vocabulary 320) and "
    "writes\n"
    "one HDF5 file. Folders are read with everything below them, in the order of their names; names that start with a\n"
    "dot, files with zero bytes and links to folders are skipped.\n\n"
    "  --text DIR|FILE...        what to read; may be repeated\n"
    "  --out FILE.h5             what to write\n"
    "  --force                   replace the output if it exists\n"
    "  --document UNIT           what is one document: file (default), paragraph (up to a blank line), line\n"
    "  --validation FRACTION     put this share of the documents into another file ...\n"
    "  --validation-out FILE.h5  ... this one\n"
    "  --chunk N                 tokens per chunk (default 65536)\n"
    "  --level N                 compression 0 (fast) .. 9 (small); default 4\n";

static const char inspect_help_text[] =
    "flame-c data inspect FILE.h5...\n\n"
    "Prints tokens, documents, chunks, compression, tokenizer and a histogram of document lengths.\n";

static const char verify_help_text[] =
    "flame-c data verify FILE.h5...\n\n"
    "Reads every chunk, checks its CRC-32 and that every token is in the vocabulary, and names each damaged chunk.\n"
    "Exit code 0: all good, 1: damaged, 3: cannot be read.\n";

static Status __attribute__((format(printf, 2, 3))) usage(const char *command, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "flame-c: error: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "; see flame-c data %s%s--help\n", command, command[0] ? " " : "");
    va_end(arguments);
    return USAGE;
}

static bool wants_help(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    return false;
}

static bool parse_integer(const char *text, int64_t minimum, int64_t maximum, int64_t *value) {
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    *value = number;
    return errno == 0 && end != text && *end == 0 && number >= minimum && number <= maximum;
}

static bool parse_unit(const char *text, DocumentUnit *unit) {
    static const char *const names[] = {"file", "paragraph", "line"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, names[i])) continue;
        *unit = (DocumentUnit)i;
        return true;
    }
    return false;
}

static bool parse_share(const char *text, double *share) {
    char *end;
    *share = strtod(text, &end);
    return end != text && *end == 0 && *share > 0 && *share < 1;
}

/* Sets one option from its value. */
static Status parse_build_option(const char *name, const char *value, BuildOptions *options) {
    int64_t number;
    if (strcmp(name, "--out") == 0) {
        options->out = value;
    } else if (strcmp(name, "--validation-out") == 0) {
        options->validation_out = value;
    } else if (strcmp(name, "--validation") == 0) {
        if (!parse_share(value, &options->validation))
            return usage("build", "--validation %s: must lie between 0 and 1", value);
    } else if (strcmp(name, "--document") == 0) {
        if (!parse_unit(value, &options->document))
            return usage("build", "--document %s: must be file, paragraph or line", value);
    } else if (strcmp(name, "--chunk") == 0) {
        if (!parse_integer(value, TOKENS_CHUNK_BYTES_MIN / 2, TOKENS_CHUNK_BYTES_MAX / 2, &options->chunk_tokens))
            return usage("build", "--chunk %s: must be %d .. %d tokens", value, TOKENS_CHUNK_BYTES_MIN / 2,
                         TOKENS_CHUNK_BYTES_MAX / 2);
    } else if (strcmp(name, "--level") == 0) {
        if (!parse_integer(value, 0, 9, &number)) return usage("build", "--level %s: must be 0 .. 9", value);
        options->level = (int)number;
    } else {
        return usage("build", "unknown option %s", name);
    }
    return OK;
}

/* text: room for argc paths, which --text fills. */
static Status parse_build(int argc, char **argv, const char **text, BuildOptions *options) {
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (strcmp(name, "--force") == 0) {
            options->force = true;
        } else if (strcmp(name, "--text") == 0) {
            int first = options->text_count;
            while (i + 1 < argc && strncmp(argv[i + 1], "--", 2)) text[options->text_count++] = argv[++i];
            if (options->text_count == first) return usage("build", "--text needs a folder or a file");
        } else if (strncmp(name, "--", 2)) {
            return usage("build", "what is \"%s\"? Folders and files follow --text", name);
        } else if (i + 1 == argc) {
            return usage("build", "%s needs a value, or is unknown", name);
        } else {
            Status status = parse_build_option(name, argv[++i], options);
            if (status) return status;
        }
    }
    if (options->text_count == 0) return usage("build", "--text is missing");
    if (!options->out || !options->out[0]) return usage("build", "--out is missing");
    if ((options->validation > 0) != (options->validation_out != NULL))
        return usage("build", "--validation and --validation-out go together");
    if (options->validation_out && strcmp(options->out, options->validation_out) == 0)
        return usage("build", "--out and --validation-out are the same file");
    if (strlen(options->out) >= TOKENS_NAME_MAX) return usage("build", "--out is too long");
    return OK;
}

static void print_written(const char *path, int64_t tokens, int64_t documents) {
    printf("%s: %" PRId64 " tokens, %" PRId64 " documents\n", path, tokens, documents);
}

static Status run_build(int argc, char **argv) {
    const char **text = calloc((size_t)argc, sizeof *text);
    CHECK(text, "no memory for %d arguments", argc);
    BuildOptions options = {.text = text, .chunk_tokens = TOKENS_CHUNK_DEFAULT, .level = TOKENS_LEVEL_DEFAULT};
    BuildReport report;
    Status status = parse_build(argc, argv, text, &options);
    tokens_writer_handle_signals();
    if (!status) status = build_data(&options, &report);
    if (!status) {
        print_written(options.out, report.tokens, report.documents);
        if (options.validation_out)
            print_written(options.validation_out, report.validation_tokens, report.validation_documents);
        printf("from %" PRId64 " files, %.2f MB; skipped %" PRId64 " not text, %" PRId64 " empty, %" PRId64 " links\n",
               report.files, (double)report.bytes / 1e6, report.skipped_binary, report.skipped_empty,
               report.skipped_links);
    }
    free(text);
    return status;
}

static Status verify_one(const char *path) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return verify_data(path, cores > 0 && cores < 64 ? (int)cores : 2);
}

/* For each file named; the worst result. */
static Status run_each(int argc, char **argv, Status (*run)(const char *path)) {
    Status worst = OK;
    if (argc < 2) return usage(argv[0], "which file?");
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0) return usage(argv[0], "unknown option %s", argv[i]);
        Status status = run(argv[i]);
        if (status > worst) worst = status;
    }
    return worst;
}

static Status print_help(const char *text) {
    fputs(text, stdout);
    return OK;
}

Status command_data(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    bool help = wants_help(argc - 1, argv + 1);
    if (strcmp(name, "build") == 0) return help ? print_help(build_help_text) : run_build(argc - 1, argv + 1);
    if (strcmp(name, "inspect") == 0)
        return help ? print_help(inspect_help_text) : run_each(argc - 1, argv + 1, inspect_data);
    if (strcmp(name, "verify") == 0)
        return help ? print_help(verify_help_text) : run_each(argc - 1, argv + 1, verify_one);
    if (wants_help(argc, argv)) return print_help(help_text);
    return usage("", name[0] ? "there is no \"data %s\"" : "data: build, inspect or verify?%s", name);
}
