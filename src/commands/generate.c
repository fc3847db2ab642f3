/* flame-c generate: continues texts. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/files.h"
#include "base/interrupts.h"
#include "base/log.h"
#include "checkpoint/weights.h"
#include "commands/commands.h"
#include "commands/start.h"
#include "commands/output_file.h"
#include "commands/prompts.h"
#include "base/crc.h"
#include "parallel/agreement.h"
#include "text/continuation.h"
#include "training/generation.h"
#include "training/trained_model.h"

typedef struct GenerateArguments {
    const char *checkpoint, *prompt_file, *out;
    Texts prompt, stop;
    int64_t new_tokens, batch, top_k, seed;
    double temperature, top_p, repetition_penalty;
    bool ids, echo, ignore_eos;
    const char *dtype, *device, *share_gpu;
} GenerateArguments;

#define AT(field) offsetof(GenerateArguments, field)

static const Option options[] = {
    {"checkpoint", OPTION_TEXT | OPTION_REQUIRED, "DIR", NULL, 0, 0,
     "a checkpoint, a run's folder (its newest checkpoint) or a Hugging Face folder", AT(checkpoint)},
    {"prompt", OPTION_TEXTS, "TEXT", NULL, 0, 0, "the text to continue", AT(prompt)},
    {"prompt-file", OPTION_TEXT, "FILE", NULL, 0, 0,
     "a file with a prompt: all of it, or one in each line of a .jsonl; -: standard input", AT(prompt_file)},
    {"max-new-tokens", OPTION_INTEGER, "N", "128", 1, MOST_NEW_TOKENS,
     "most new tokens for each prompt, unless its line says how many", AT(new_tokens)},
    {"temperature", OPTION_REAL, "X", "1", 0, 1e6, "temperature of the softmax; 0: always the most probable token",
     AT(temperature)},
    {"top-k", OPTION_INTEGER, "N", "0", 0, 1e9, "draw from the N most probable tokens; 0: from all", AT(top_k)},
    {"top-p", OPTION_REAL, "X", "1", 0, 1, "draw from the most probable tokens whose probabilities add up to X",
     AT(top_p)},
    {"repetition-penalty", OPTION_REAL, "X", "1", 1e-6, 1e6,
     "divides the logits of tokens that are in the text already", AT(repetition_penalty)},
    {"seed", OPTION_INTEGER, "N", "42", 0, 0, "seed of the random draws", AT(seed)},
    {"stop", OPTION_TEXTS, "TEXT", NULL, 0, 0, "stop where the model generates this text, which is not printed",
     AT(stop)},
    {"ignore-eos", OPTION_FLAG, NULL, NULL, 0, 0, "continue after an end-of-text token", AT(ignore_eos)},
    {"batch", OPTION_INTEGER, "N", "8", 1, 1e6, "prompts that are continued at the same time", AT(batch)},
    {"echo", OPTION_FLAG, NULL, NULL, 0, 0, "print the prompt before its continuation", AT(echo)},
    {"ids", OPTION_FLAG, NULL, NULL, 0, 0, "prompts and continuations are token ids: \"17 4 3\"", AT(ids)},
    {"out", OPTION_TEXT, "FILE.jsonl", NULL, 0, 0, "write the continuations to this file, not to standard output",
     AT(out)},
    {"dtype", OPTION_CHOICE, "float32|bfloat16", "float32", 0, 0, "type of products and activations", AT(dtype)},
    {"device", OPTION_CHOICE, DEVICES, "auto", 0, 0, "where to compute", AT(device)},
    SHARE_GPU_OPTION(AT(share_gpu)),
};

/* The state of a run of the command. */
typedef struct Task {
    const GenerateArguments *arguments;
    Session session;
    Tokenizer *tokenizer; /* NULL: prompts and texts are token ids */
    Prompts prompts;
    Continuation *continuation; /* [prompts] */
    int64_t tokens[2];          /* numbers of tokens read and generated */
    double seconds[2];
} Task;

enum { READ, GENERATED };

static bool any_interrupted(Comm *comm) {
    double flag = interrupts_noted();
    if (comm->size > 1) comm->f->all_reduce_max(comm, &flag, 1);
    return flag > 0;
}

static Status read_prompts(Task *task) {
    const GenerateArguments *a = task->arguments;
    const ModelConfig *config = &task->session.model->config;
    if ((a->prompt.count > 0) == (a->prompt_file != NULL)) {
        log_error(a->prompt_file ? "generate takes --prompt TEXT or --prompt-file FILE, not both"
                                 : "generate needs --prompt TEXT or --prompt-file FILE");
        return USAGE;
    }
    const PromptOptions wanted = {.tokenizer = task->tokenizer,
                                  .vocabulary = config->vocab_size,
                                  .first_token = trained_model_first_token(task->session.model)};
    return prompts_read(&a->prompt, a->prompt_file, &wanted, &task->prompts);
}

static Status check_options(const GenerateArguments *a) {
    for (int i = 0; i < a->stop.count; i++)
        if (!*a->stop.item[i]) {
            log_error("--stop: the text must not be empty");
            return USAGE;
        }
    if (a->top_p > 0) return OK;
    log_error("--top-p 0: no token would be left; --temperature 0 takes the most probable one");
    return USAGE;
}

/* A CRC of the texts at which a prompt's continuation ends. */
static uint32_t stops_crc(const Prompt *prompt) {
    uint32_t crc = 0;
    for (int s = 0; s < prompt->stops; s++)
        crc = crc_update(crc, prompt->stop[s], (int64_t)strlen(prompt->stop[s]) + 1);
    return crc;
}

/* Compares the prompts of all ranks: a file may have other content on another host. Collective. */
static Status compare_prompts(const Task *task) {
    Agreement *agreement = agreement_begin();
    for (int64_t i = 0; i < task->prompts.count; i++) {
        char key[32];
        const Prompt *prompt = &task->prompts.item[i];
        const TokenIds *ids = &prompt->ids;
        snprintf(key, sizeof key, "prompt %lld", (long long)i + 1);
        agreement_add(agreement, key, "%lld tokens, %08" PRIx32 ", max_new_tokens %lld, %d stop texts, %08" PRIx32,
                      (long long)ids->count, crc_update(0, ids->id, ids->count * (int64_t)sizeof *ids->id),
                      (long long)prompt->new_tokens, prompt->stops, stops_crc(prompt));
    }
    return agreement_end(agreement, task->session.comm, "let all hosts see the same prompts");
}

static int64_t most_tokens(const Task *task, const Prompt *prompt) {
    return prompt->new_tokens > 0 ? prompt->new_tokens : task->arguments->new_tokens;
}

static int64_t most_of_all(const Task *task) {
    int64_t most = 0;
    for (int64_t i = 0; i < task->prompts.count; i++) {
        const int64_t wanted = most_tokens(task, &task->prompts.item[i]);
        if (wanted > most) most = wanted;
    }
    return most;
}

static RunnerOptions runner_for(const Task *task, int64_t longest) {
    const GenerateArguments *a = task->arguments;
    const int64_t count = task->prompts.count;
    return generation_runner(dtype_named(a->dtype), a->batch < count ? a->batch : count, longest, most_of_all(task));
}

static int64_t memory_for(const Task *task, const Device *device, int64_t longest) {
    const RunnerOptions options = runner_for(task, longest);
    return session_memory(task->session.comm, device, task->session.model, &options);
}

/* The longest prompt that there is memory for; 0: none. */
static int64_t longest_possible(const Task *task, const Device *device, int64_t available, int64_t wanted) {
    int64_t low = 0, high = wanted;
    while (low + 1 < high) {
        const int64_t middle = low + (high - low) / 2;
        if (memory_for(task, device, middle) <= available)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static Status check_memory(const Task *task, const Device *device, int64_t longest) {
    Comm *comm = task->session.comm;
    const int64_t available = device->available(comm_sharers(comm, device));
    const int64_t needed = memory_for(task, device, longest);
    if (needed > available && comm->rank == 0)
        log_error("a prompt of %lld tokens and %lld new ones, %lld at a time, need %.2f GB; %.2f GB are free, enough "
                  "for prompts of %lld tokens",
                  (long long)longest, (long long)most_of_all(task), (long long)runner_for(task, longest).B,
                  (double)needed * 1e-9, (double)available * 1e-9,
                  (long long)longest_possible(task, device, available, longest));
    return agree(comm, needed > available ? BAD_INPUT : OK);
}

static int64_t longest_prompt(const Prompts *prompts) {
    int64_t longest = 0;
    for (int64_t i = 0; i < prompts->count; i++)
        if (prompts->item[i].ids.count > longest) longest = prompts->item[i].ids.count;
    return longest;
}

static Status open_model(Task *task, const char *folder) {
    Session *session = &task->session;
    const int64_t longest = longest_prompt(&task->prompts);
    const RunnerOptions runner = runner_for(task, longest);
    Model *model = session->model;
    const Device *device = NULL;
    Status status = session_device(session->comm, task->arguments->device, &device);
    if (status == OK) status = check_memory(task, device, longest);
    if (status == OK) status = session_open(session, session->comm, device, model, runner, session_sharding(&runner));
    return status == OK ? weights_load(folder, session->comm, model->unit, model->units) : status;
}

/* Prints the text of a continuation that has become certain. */
static void show(Task *task, int64_t number) {
    int64_t bytes;
    const char *text = continuation_show(&task->continuation[number], &bytes);
    if (task->session.comm->rank != 0 || task->arguments->out) return;
    fwrite(text, 1, (size_t)bytes, stdout);
    fflush(stdout);
}

/* Prints what precedes a continuation: its number, if there are several, and with --echo the prompt. */
static void introduce(const Task *task, int64_t number) {
    const Prompt *prompt = &task->prompts.item[number];
    if (task->session.comm->rank != 0 || task->arguments->out) return;
    if (task->prompts.count > 1) printf("%s--- prompt %lld\n", number > 0 ? "\n" : "", (long long)number + 1);
    if (task->arguments->echo && prompt->text) fwrite(prompt->text, 1, (size_t)prompt->bytes, stdout);
}

static bool has_ended(const Task *task, int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; i++)
        if (!task->continuation[i].ended) return false;
    return true;
}

static void read_to_end(Generation *generation, bool speaks) {
    int64_t read, all;
    double next = seconds_now() + 2;
    while (generation_read(generation, &read, &all)) {
        if (!speaks || seconds_now() < next) continue;
        fprintf(stderr, "reading the prompt: %lld of %lld tokens\n", (long long)read, (long long)all);
        next = seconds_now() + 2;
    }
}

static void add_tokens(Task *task, int64_t first, int64_t count, const int32_t *tokens) {
    const ModelConfig *config = &task->session.model->config;
    for (int64_t i = 0; i < count; i++) {
        Continuation *continuation = &task->continuation[first + i];
        const bool is_end = !task->arguments->ignore_eos && model_config_has_eos(config, tokens[i]);
        task->tokens[GENERATED] += !continuation->ended;
        continuation_add(continuation, (uint32_t)tokens[i], is_end);
    }
    if (task->prompts.count == 1) show(task, first);
}

/* Generates tokens until all `count` texts have ended. BAD_INPUT if the model's logits are not finite. */
static Status continue_by_tokens(Task *task, Generation *generation, int64_t first, int64_t count) {
    Comm *comm = task->session.comm;
    while (!has_ended(task, first, count) && !any_interrupted(comm)) {
        const int32_t *tokens = generation_step(generation);
        if (!tokens) {
            if (comm->rank == 0)
                log_error(
                    "%s: the model's logits are not finite: its weights hold NaN or infinity, or what it computes "
                    "overflows (--dtype float32 has more room)",
                    task->arguments->checkpoint);
            return BAD_INPUT;
        }
        add_tokens(task, first, count, tokens);
    }
    return OK;
}

/* Continues `count` prompts from number `first` on, side by side. */
static Status continue_group(Task *task, int64_t first, int64_t count) {
    const GenerateArguments *a = task->arguments;
    Comm *comm = task->session.comm;
    TokenIds *ids = calloc((size_t)count, sizeof *ids);
    CHECK_MEMORY(ids, "out of memory for %lld prompts", (long long)count);
    for (int64_t i = 0; i < count; i++) {
        const Prompt *prompt = &task->prompts.item[first + i];
        ids[i] = prompt->ids;
        task->tokens[READ] += prompt->ids.count;
        Continuation *continuation = &task->continuation[first + i];
        *continuation = continuation_begin(task->tokenizer, &prompt->ids, most_tokens(task, prompt));
        continuation->stop[0] = (StopTexts){a->stop.item, a->stop.count};
        continuation->stop[1] = (StopTexts){prompt->stop, prompt->stops};
    }
    const GenerationOptions wanted = {.sampling = {.repetition_penalty = a->repetition_penalty,
                                                   .temperature = a->temperature,
                                                   .top_k = a->top_k,
                                                   .top_p = a->top_p},
                                      .seed = (uint64_t)a->seed,
                                      .first = first};
    Generation *generation = generation_begin(task->session.runner, ids, count, wanted);
    const double begun = seconds_now();
    if (task->prompts.count == 1) introduce(task, first);
    read_to_end(generation, comm->rank == 0);
    const double read = seconds_now();
    const Status status = continue_by_tokens(task, generation, first, count);
    task->seconds[READ] += read - begun;
    task->seconds[GENERATED] += seconds_now() - read;
    generation_end(generation);
    free(ids);
    for (int64_t i = first; i < first + count; i++) {
        continuation_end(&task->continuation[i], "interrupted");
        if (task->prompts.count > 1) introduce(task, i);
        show(task, i);
    }
    return status;
}

static Status write_continuations(const Task *task) {
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    CHECK_MEMORY(file, "out of memory");
    for (int64_t i = 0; i < task->prompts.count; i++) {
        const Continuation *c = &task->continuation[i];
        json_t *ids = json_array();
        for (int64_t n = 0; n < c->ids.count; n++) json_array_append_new(ids, json_integer(c->ids.id[n]));
        json_t *object = json_pack("{s:s%, s:o, s:s}", "text", c->text ? c->text : "", (size_t)c->bytes, "ids", ids,
                                   "ended", c->ended ? c->ended : "interrupted");
        CHECK(object && json_dumpf(object, file, JSON_COMPACT) == 0, "a continuation is not UTF-8");
        fputc('\n', file);
        json_decref(object);
    }
    CHECK_MEMORY(fclose(file) == 0, "out of memory");
    const Status status = output_write(task->arguments->out, text, (int64_t)size);
    free(text);
    return status;
}

static void print_speed(const Task *task) {
    if (task->session.comm->rank != 0) return;
    fprintf(stderr, "%lld tokens read in %.2f s (%.0f/s), %lld generated in %.2f s (%.1f/s)\n",
            (long long)task->tokens[READ], task->seconds[READ],
            (double)task->tokens[READ] / fmax(task->seconds[READ], 1e-9), (long long)task->tokens[GENERATED],
            task->seconds[GENERATED], (double)task->tokens[GENERATED] / fmax(task->seconds[GENERATED], 1e-9));
}

static Status generate(Task *task) {
    Comm *comm = task->session.comm;
    const int64_t count = task->prompts.count, batch = task->arguments->batch;
    task->continuation = calloc((size_t)count, sizeof *task->continuation);
    CHECK_MEMORY(task->continuation, "out of memory");
    interrupts_watch();
    Status status = OK;
    for (int64_t first = 0; first < count && status == OK && !any_interrupted(comm); first += batch)
        status = continue_group(task, first, batch < count - first ? batch : count - first);
    if (task->arguments->out && status == OK)
        status = agree(comm, comm->rank == 0 ? write_continuations(task) : OK);
    else if (!task->arguments->out && comm->rank == 0)
        putchar('\n');
    print_speed(task);
    for (int64_t i = 0; i < count; i++) continuation_free(&task->continuation[i]);
    free(task->continuation);
    return status == OK && any_interrupted(comm) ? INTERRUPTED : status;
}

static Status run(void *values) {
    Task task = {.arguments = values};
    char *folder = NULL;
    Comm *comm = NULL;
    comm_configure(task.arguments->share_gpu, COMM_TIMEOUT);
    Status status = command_start(&generate_command, values, &comm);
    if (status != OK) return status;
    task.session.comm = comm;
    status = agree(comm, check_options(task.arguments));
    if (status == OK) status = output_prepare(comm, "out", task.arguments->out);
    if (status == OK) status = trained_model_read(task.arguments->checkpoint, &task.session, &folder);
    if (status == OK && !task.arguments->ids)
        status = agree(comm, trained_model_tokenizer(folder, task.session.model, &task.tokenizer));
    if (status == OK) status = agree(comm, read_prompts(&task));
    if (status == OK) status = compare_prompts(&task);
    if (status == OK) status = open_model(&task, folder);
    if (status == OK) status = generate(&task);
    prompts_free(&task.prompts);
    tokenizer_close(task.tokenizer);
    free(folder);
    session_close(&task.session);
    return status;
}

const Command generate_command = {
    .name = "generate",
    .summary = "generate text that continues prompts",
    .text = "Reads prompts and prints the text that the model generates after each, token by token.\n\n"
            "  flame-c generate --checkpoint runs/quickstart --prompt 'static int '\n"
            "  flame-c generate --checkpoint runs/quickstart --prompt-file prompts.jsonl --out texts.jsonl\n\n"
            "A line of a .jsonl file is {\"prompt\": TEXT or [ids], \"stop\": [TEXT, ..], \"max_new_tokens\": N}, a "
            "line of\n"
            "--out {\"text\": .., \"ids\": [..], \"ended\": \"eos\", \"stop\", \"length\" or \"interrupted\"}. The "
            "same seed\n"
            "gives the same texts. Runs under mpirun too, where every rank does the same with its part of the model.\n",
    .options = options,
    .option_count = LENGTH(options),
    .values_size = sizeof(GenerateArguments),
    .run = run,
};
