/* Values of all keys of all models, drawn at random from those that the keys allow. A configuration is either refused
 * with one message that names a key, or it is read back from config.json as the same, training and generation are
 * planned, and a small model takes a step.
 *
 *   test_drawn_models [CONFIGURATIONS [SEED]]    a longer run */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <omp.h>

#include "models/drawn_model.h"
#include "training/session.h"

enum { MIXERS = 64, TEXT = 4096, MOST_TOKENS = 150 };
enum { REFUSED, PLANNED, TRAINED, COUNTS };

/* Shared with the process that runs the configurations, so that its progress is known if it crashes. */
typedef struct Progress {
    long next, failures;
    char keys[TEXT];
    long counts[MIXERS][COUNTS];
} Progress;

static Progress *progress;
static uint64_t seed = 1;
static FILE *messages; /* standard error of a configuration */

static void failed(const char *what, const char *detail) {
    progress->failures++;
    printf("%s: %s\n    %s\n", what, detail, progress->keys);
}

static void messages_clear(void) {
    CHECK(ftruncate(fileno(messages), 0) == 0 && lseek(fileno(messages), 0, SEEK_SET) == 0, "messages");
}

static const char *messages_text(void) {
    static char text[TEXT];
    const ssize_t bytes = pread(fileno(messages), text, sizeof text - 1, 0);
    text[bytes > 0 ? bytes : 0] = 0;
    return text;
}

static bool names_key(const DrawnModel *drawn, const char *message) {
    for (int t = 0; t < MODEL_TABLES; t++)
        for (int k = 0; k < drawn->tables[t].count; k++)
            if (strstr(message, drawn->tables[t].keys[k].name)) return true;
    for (int a = 0; a < drawn->mixer->alias_count; a++)
        if (strstr(message, drawn->mixer->aliases[a].other)) return true;
    return strstr(message, "model.attn") != NULL;
}

static void check_refusal(const DrawnModel *drawn, Status status) {
    const char *message = messages_text(), *line = strchr(message, '\n');
    if (status != BAD_INPUT || !line || line[1] || !names_key(drawn, message))
        failed("not refused by one message that names a key", message);
}

/* Writes config.json, reads it and writes it again, and compares both. */
static void check_written(const Model *model) {
    ModelConfig again;
    ConfigValue *written = model_config_value(&model->config);
    if (model_config_read(written, &again) == OK) {
        ConfigValue *rewritten = model_config_value(&again);
        if (!config_value_same(written, rewritten)) failed("config.json is read as another", "");
        config_value_free(rewritten);
    } else {
        failed("config.json is not read", messages_text());
    }
    model_config_free(&again);
    config_value_free(written);
}

/* Plans training and generation for a CPU or a GPU; gives the plan of training. */
static RunnerPlan plan(Model *model, int64_t T, bool gpu) {
    const RunnerOptions train = {.type = F32, .B = 1, .T = T, .training = true};
    const RunnerOptions generate = {.type = BF16, .B = 2, .T = T, .tokens = T + 1, .logits = true};
    const RunnerPlan training = runner_plan(model, train, gpu), generation = runner_plan(model, generate, gpu);
    if (training.keep_bytes <= 0 || training.scratch_bytes < 0 || training.forward_flops < 0 ||
        generation.keep_bytes < 0 || generation.scratch_bytes < 0 || generation.carried_bytes < 0)
        failed("a planned size is negative", "");
    return training;
}

static bool is_small(const Model *model, const RunnerPlan *plan) {
    return model_parameter_count(model) < 1 << 17 && plan->keep_bytes + plan->scratch_bytes < 1 << 24 &&
           plan->forward_flops < 1e8;
}

/* Several documents of random tokens, some without a label. */
static void fill(HostBatch batch, int64_t T, int64_t vocabulary, Draws *draws) {
    int32_t document = 0, begin = 0;
    for (int32_t t = 0; t < T; t++) {
        if (t > 0 && draw_chance(draws, 0.05)) document++, begin = t;
        batch.tokens[t] = (int32_t)draw_below(draws, vocabulary);
        batch.labels[t] = draw_chance(draws, 0.1) ? -100 : (int32_t)draw_below(draws, vocabulary);
        batch.segment[t] = document;
        batch.position[t] = t - begin;
    }
}

static void check_finite(const Model *model, bool gradients, const char *what) {
    for (int u = 0; u < model->units; u++)
        for (int i = 0; i < model->unit[u].parameters; i++) {
            const Parameter *p = &model->unit[u].parameter[i];
            const float *values = (gradients ? model->unit[u].gradient_shard : model->unit[u].master) + p->offset;
            int64_t finite = 0;
            while (finite < p->elements && isfinite(values[finite])) finite++;
            if (finite == p->elements) continue;
            failed(what, p->name);
            return;
        }
}

/* Initial values are finite for all keys. So are the loss and the gradients of the first step, unless a key is 0: with
 * an eps of 0, the norm of a row of zeros is 0 / 0, as in fla; the first rows of RWKV-6's states are such rows. */
static void train(Model *model, int64_t T, DrawnModel *drawn) {
    const RunnerOptions options = {.type = F32, .B = 1, .T = T, .training = true};
    Session s = {0};
    CHECK(session_open(&s, comm_self_create(), device_cpu(), model, options, session_sharding(&options)) == OK, "open");
    fsdp_initialise(s.fsdp, 3);
    check_finite(model, false, "an initial value is not finite");
    fill(runner_batch(s.runner), T, model->config.vocab_size, &drawn->draws);
    runner_train(s.runner, true);
    double loss = 0;
    int64_t targets = 0;
    runner_losses(s.runner, &loss, &targets);
    if (!drawn->zero && !isfinite(loss)) failed("the loss is not finite", "");
    if (!drawn->zero) check_finite(model, true, "a gradient is not finite");
    session_close(&s);
}

static void note_keys(const ConfigValue *keys) {
    FILE *file = fmemopen(progress->keys, sizeof progress->keys, "w");
    CHECK(file, "out of memory");
    config_value_write(file, keys, -1);
    fclose(file);
}

/* Whether a model has these keys; if not, checks the refusal. */
static bool fits(const DrawnModel *drawn, const ConfigValue *keys) {
    ModelConfig config;
    messages_clear();
    note_keys(keys);
    const Status status = model_config_read(keys, &config);
    model_config_free(&config);
    if (status != OK) check_refusal(drawn, status);
    return status == OK;
}

/* Adds the keys one by one. After the sizes, removes a key again if it does not fit to those before it. */
static ConfigValue *fitting(const DrawnModel *drawn, const ConfigValue *all) {
    ConfigValue *keys = config_value_new(VALUE_MAPPING, "drawn", 0);
    bool fitted = false;
    for (int i = 0; i < all->count; i++) {
        config_value_set(keys, all->item[i]->key, config_value_copy(all->item[i]));
        const bool fit = fits(drawn, keys);
        if (fitted && !fit) config_value_free(keys->item[--keys->count]);
        fitted = fitted || (fit && i >= drawn->sizes);
    }
    return keys;
}

static void run(long number) {
    DrawnModel drawn;
    ConfigValue *all = NULL;
    Model *model = NULL;
    char *text = draw_model(&drawn, seed, number);
    CHECK(config_value_read_yaml("drawn", text, strlen(text), &all) == OK, "%s", text);
    free(text);
    ConfigValue *keys = fitting(&drawn, all);
    config_value_free(all);
    const bool complete = fits(&drawn, keys);
    CHECK(!complete || model_create(keys, &model) == OK, "the same keys are refused");
    config_value_free(keys);
    long *counts = progress->counts[number % mixers()];
    counts[REFUSED] += !complete;
    if (!complete) return;
    check_written(model);
    const int64_t T = draw_between(&drawn.draws, 1, MOST_TOKENS);
    const RunnerPlan planned = plan(model, T, draw_chance(&drawn.draws, 0.5));
    counts[PLANNED]++;
    if (is_small(model, &planned)) {
        train(model, T, &drawn);
        counts[TRAINED]++;
    } else {
        model_destroy(model);
    }
}

static void run_from_here(long count) {
    dup2(fileno(messages), 2);
    omp_set_num_threads(1);
    while (progress->next < count) run(progress->next++);
    fflush(stdout);
    _exit(0);
}

/* A plan for a GPU ends the process where a model has more heads than a grid takes. */
static bool is_too_large(int status) {
    return WIFEXITED(status) && WEXITSTATUS(status) == BAD_INPUT && strstr(messages_text(), "is too large for a GPU");
}

/* Fails if no configuration of a model was accepted. */
static void check_counts(long count) {
    long trained = 0;
    for (int i = 0; i < mixers(); i++) {
        const long *counts = progress->counts[i];
        snprintf(progress->keys, sizeof progress->keys, "%s: %ld refused, %ld planned, %ld trained",
                 mixer_at(i)->model_type, counts[REFUSED], counts[PLANNED], counts[TRAINED]);
        puts(progress->keys);
        if (counts[PLANNED] == 0) failed("too few configurations", "every one is refused");
        trained += counts[TRAINED];
    }
    printf("%ld configurations, %ld trained, %ld failures\n", count, trained, progress->failures);
}

int main(int argc, char **argv) {
    const long count = argc > 1 ? atol(argv[1]) : 1500;
    if (argc > 2) seed = strtoull(argv[2], NULL, 10);
    progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    messages = tmpfile();
    CHECK(progress != MAP_FAILED && messages && mixers() <= MIXERS, "no memory, no file or no room");
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (progress->next < count) {
        const pid_t child = fork();
        CHECK(child >= 0, "fork");
        if (child == 0) run_from_here(count);
        int status = 0;
        waitpid(child, &status, 0);
        char how[64];
        snprintf(how, sizeof how, WIFSIGNALED(status) ? "signal %d" : "exit code %d",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        if (is_too_large(status))
            progress->counts[(progress->next - 1) % mixers()][REFUSED]++;
        else if (status != 0)
            failed(how, messages_text());
    }
    check_counts(count);
    return progress->failures > 0;
}
