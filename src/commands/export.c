/* flame-c export: a checkpoint as a Hugging Face folder of another element type or shard size. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/commands.h"
#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "base/files.h"
#include "checkpoint/hf_folder.h"
#include "checkpoint/rewrite.h"
#include "checkpoint/tensor_folder.h"

typedef struct Export {
    const char *checkpoint, *out;
    SafeType type;
    int64_t max_shard_bytes;
} Export;

static void print_usage(void) {
    printf(
        "flame-c export --checkpoint DIR --out DIR [--dtype bfloat16|float32|float16] [--max-shard-size 5GB]\n\n"
        "Writes the weights of a checkpoint (a step folder, or the newest step of a run) as a folder that Hugging\n"
        "Face's from_pretrained loads: config.json, model.safetensors or shards of at most --max-shard-size, and the\n"
        "tokenizer's files if the checkpoint has them. The default is bfloat16. --out must be empty or not exist.\n");
}

/* "5GB", "500MB", "2GiB", "1000000"; 0 if it is not a size. */
static int64_t parse_size(const char *text) {
    static const struct {
        const char *name;
        int64_t bytes;
    } suffixes[] = {{"", 1},          {"B", 1},         {"KB", 1000},    {"MB", 1000000}, {"GB", 1000000000},
                    {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
    char *end;
    errno = 0;
    const int64_t number = strtoll(text, &end, 10);
    int64_t bytes;
    if (errno || end == text || number <= 0) return 0;
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++)
        if (strcmp(end, suffixes[i].name) == 0)
            return __builtin_mul_overflow(number, suffixes[i].bytes, &bytes) ? 0 : bytes;
    return 0;
}

static Status read_options(int argc, char **argv, Export *task, bool *help) {
    static const struct option options[] = {{"checkpoint", required_argument, NULL, 'c'},
                                            {"out", required_argument, NULL, 'o'},
                                            {"dtype", required_argument, NULL, 'd'},
                                            {"max-shard-size", required_argument, NULL, 's'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    *help = false;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (option == 'h') {
            *help = true;
            return OK;
        }
        if (option == 'c') task->checkpoint = optarg;
        if (option == 'o') task->out = optarg;
        if (option == 's') task->max_shard_bytes = parse_size(optarg);
        if (option == 'd')
            task->type = strcmp(optarg, "bfloat16") == 0  ? SAFE_BF16
                         : strcmp(optarg, "float16") == 0 ? SAFE_F16
                         : strcmp(optarg, "float32") == 0 ? SAFE_F32
                                                          : SAFE_TYPES;
        if (option == '?') return USAGE;
    }
    const char *wrong = optind != argc                    ? "export takes no argument without a --name"
                        : !task->checkpoint || !task->out ? "export needs --checkpoint DIR and --out DIR"
                        : task->type == SAFE_TYPES        ? "--dtype is bfloat16, float32 or float16"
                        : task->max_shard_bytes <= 0      ? "--max-shard-size is a size such as 5GB, at least one byte"
                                                          : NULL;
    if (wrong) log_error("%s; see flame-c export --help", wrong);
    return wrong ? USAGE : OK;
}

static Status check_out(const char *source, const char *out) {
    char **names;
    int64_t count;
    if (path_is_inside(source, out)) {
        log_error("--out %s lies in the checkpoint that is exported", out);
        return BAD_INPUT;
    }
    const int error = folder_list(out, &names, &count);
    if (error == ENOENT) return OK;
    if (error) {
        log_error("--out %s: %s", out, strerror(error));
        return BAD_INPUT;
    }
    folder_list_free(names, count);
    if (count > 0) log_error("--out %s is not empty", out);
    return count > 0 ? BAD_INPUT : OK;
}

/* state.json of a checkpoint; NULL (fine) for a plain Hugging Face folder. */
static Status read_state(const char *source, json_t **state) {
    char *path = path_join(source, "state.json");
    *state = NULL;
    const Status status = file_exists(path) ? checkpoint_state(source, state) : OK;
    free(path);
    return status;
}

static Status write_folder(const Export *task, const char *source, const char *temporary) {
    TensorFolder *tensors = NULL;
    json_t *state;
    Status status = read_state(source, &state);
    if (status == OK) status = tensor_folder_open(source, "model", &tensors);
    if (status == OK) {
        const int64_t count = tensor_folder_count(tensors);
        const SafeTensor **list = calloc((size_t)count + 1, sizeof *list);
        CHECK(list, "no memory for the list of tensors");
        for (int64_t i = 0; i < count; i++) list[i] = tensor_folder_entry(tensors, i);
        const RewriteOptions options = {
            .type = task->type, .max_shard_bytes = task->max_shard_bytes, .expected = state};
        status = tensors_rewrite(list, count, temporary, options, NULL);
        free(list);
    }
    if (status == OK) status = hf_copy_config(source, temporary, task->type, NULL);
    if (status == OK) status = hf_copy_others(source, temporary);
    tensor_folder_close(tensors);
    json_decref(state);
    return status;
}

/* Makes the finished folder durable and gives it its name: until then --out does not exist. */
static Status give_name(const char *temporary, const char *out) {
    char *parent = path_parent(out);
    int error = folder_sync(temporary);
    if (!error) error = file_rename(temporary, out);
    if (!error) error = folder_sync(parent);
    if (error) log_error("renaming %s to %s: %s", temporary, out, strerror(error));
    free(parent);
    return error ? IO_ERROR : OK;
}

static Status export_folder(const Export *task, const char *source) {
    Status status = check_out(source, task->out);
    if (status) return status;
    const size_t size = strlen(task->out) + 40;
    char *out = strdup(task->out), *temporary = malloc(size);
    CHECK(out && temporary, "no memory for a path");
    while (strlen(out) > 1 && out[strlen(out) - 1] == '/') out[strlen(out) - 1] = 0;
    snprintf(temporary, size, "%s.tmp-%ld", out, (long)getpid());
    const int error = folder_create_all(temporary);
    if (error) {
        log_error("creating %s: %s", temporary, strerror(error));
        status = IO_ERROR;
    } else {
        status = write_folder(task, source, temporary);
        if (status == OK) status = give_name(temporary, out);
        if (status && folder_exists(temporary)) folder_remove(temporary);
    }
    if (status == OK) log_info("exported %s to %s", source, out);
    free(out);
    free(temporary);
    return status;
}

Status command_export(int argc, char **argv) {
    Export task = {.type = SAFE_BF16, .max_shard_bytes = INT64_C(5000000000)};
    bool help;
    Status status = read_options(argc, argv, &task, &help);
    if (help) print_usage();
    if (help || status) return status;
    char *source = checkpoint_find(task.checkpoint);
    status = source ? export_folder(&task, source) : BAD_INPUT;
    free(source);
    return status;
}
