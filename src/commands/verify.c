/* flame-c verify DIR: runs the model of DIR on the inputs of DIR/io.safetensors and compares logits, loss, every
 * gradient and the losses of AdamW steps with those of the reference. Each rank computes the whole batch, so the
 * results must not depend on the number of ranks, and each compares the gradients in its own shards. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "commands/commands.h"
#include "commands/start.h"
#include "base/log.h"
#include "base/files.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/weights.h"
#include "parallel/optimizer.h"
#include "training/session.h"

typedef struct Verification {
    const char *folder, *dtype, *device, *share_gpu;
    double tolerance;
    Session session;
    SafeTensors *io;
    json_t *train; /* train.json, or NULL */
    int64_t B, T;
    int passed, failed;
    char worst_name[160];
    double worst;
} Verification;

#define AT(field) offsetof(Verification, field)

static const Option options[] = {
    {"", OPTION_TEXT | OPTION_REQUIRED, "DIR", NULL, 0, 0, "folder of a model and the reference's results", AT(folder)},
    {"tolerance", OPTION_REAL, "X", "1e-4", 0, INFINITY, "the largest RMS(error) / RMS(reference) of a tensor",
     AT(tolerance)},
    {"dtype", OPTION_CHOICE, "float32|bfloat16", "float32", 0, 0, "type of products and activations", AT(dtype)},
    {"device", OPTION_CHOICE, DEVICES, "auto", 0, 0, "where to compute", AT(device)},
    SHARE_GPU_OPTION(AT(share_gpu)),
};

static void *allocate(int64_t count, size_t size) {
    void *memory = calloc((size_t)(count > 0 ? count : 1), size);
    CHECK_MEMORY(memory, "out of memory for %lld elements", (long long)count);
    return memory;
}

/* Reports one comparison, which fails if the error is NaN. `bound` is the tolerance, or the reference's own fp32 error
 * if that is larger. */
static void report_within(Verification *v, const char *name, double error, double bound) {
    const bool pass = error <= bound;
    v->passed += pass;
    v->failed += !pass;
    if (!isnan(v->worst) && !(error <= v->worst)) {
        v->worst = error;
        snprintf(v->worst_name, sizeof v->worst_name, "%s", name);
    }
    if (bound > v->tolerance)
        log_info("%-56s %9.2e%s  (the reference in fp32: %.2e)", name, error, pass ? "" : "  FAILED", bound);
    else
        log_info("%-56s %9.2e%s", name, error, pass ? "" : "  FAILED");
}

static void report(Verification *v, const char *name, double error) { report_within(v, name, error, v->tolerance); }

/* Sums of squares of the error and of the reference, fp64. */
typedef struct Distance {
    double error, reference;
} Distance;

static void add_distance(Distance *d, double value, double reference) {
    d->error += (value - reference) * (value - reference);
    d->reference += reference * reference;
}

/* RMS(error) / RMS(reference); if the reference is zero, the root of the sum of squared errors. */
static double relative(Distance d) { return sqrt(d.reference > 0 ? d.error / d.reference : d.error); }

static const SafeTensor *find_io(Verification *v, const char *name) {
    const SafeTensor *tensor = safetensors_find(v->io, name);
    if (!tensor) log_error("%s: the tensor %s is missing", safetensors_path(v->io), name);
    return tensor;
}

/* The tensor with this name; NULL (logged) if there is none, or if it has another number of elements. */
static const SafeTensor *find_sized(Verification *v, const char *name, int64_t elements) {
    const SafeTensor *tensor = find_io(v, name);
    if (!tensor || tensor->elements == elements) return tensor;
    log_error("%s: %s has %lld elements, not %lld", safetensors_path(v->io), name, (long long)tensor->elements,
              (long long)elements);
    return NULL;
}

/* Reads a whole tensor. Collective. */
static Status read_floats(Verification *v, const char *name, int64_t elements, float *to) {
    const SafeTensor *tensor = find_sized(v, name, elements);
    return agree(v->session.comm, tensor ? safetensors_read_floats(tensor, 0, elements, to) : BAD_INPUT);
}

/* Whether the numbers rise from 0 to `last`. */
static bool rises_to(const int64_t *number, int64_t count, int64_t last) {
    if (count < 2 || number[0] != 0 || number[count - 1] != last) return false;
    for (int64_t i = 1; i < count; i++)
        if (number[i] <= number[i - 1]) return false;
    return true;
}

/* Sets segments and positions from cu_seqlens, the offsets of the documents. Without it a sequence is one document. */
static Status read_documents(Verification *v, HostBatch batch) {
    const int64_t n = v->B * v->T;
    for (int64_t i = 0; i < n; i++) batch.segment[i] = 0, batch.position[i] = (int32_t)(i % v->T);
    const SafeTensor *ends = safetensors_find(v->io, "cu_seqlens");
    if (!ends) return OK;
    int64_t *at = allocate(ends->elements, sizeof *at);
    Status status = safetensors_read_integers(ends, 0, ends->elements, at);
    if (status == OK && !rises_to(at, ends->elements, n)) {
        log_error("%s: cu_seqlens must rise from 0 to the number of tokens, %lld", safetensors_path(v->io),
                  (long long)n);
        status = BAD_INPUT;
    }
    for (int64_t d = 0; status == OK && d + 1 < ends->elements; d++)
        for (int64_t i = at[d]; i < at[d + 1]; i++)
            batch.segment[i] = (int32_t)d, batch.position[i] = (int32_t)(i - at[d]);
    free(at);
    return status;
}

/* Fills the batch. As in fla's loss, a label is the next token, also across document boundaries, and the last token of
 * a sequence has no label. */
static Status read_batch(Verification *v) {
    const HostBatch batch = runner_batch(v->session.runner);
    const int64_t n = v->B * v->T, vocabulary = v->session.model->config.vocab_size;
    int64_t *tokens = allocate(n, sizeof *tokens);
    Status status = safetensors_read_integers(find_io(v, "input_ids"), 0, n, tokens);
    for (int64_t i = 0; status == OK && i < n; i++) {
        if (tokens[i] < 0 || tokens[i] >= vocabulary) {
            log_error("%s: input_ids holds %lld, but the vocabulary has %lld tokens", safetensors_path(v->io),
                      (long long)tokens[i], (long long)vocabulary);
            status = BAD_INPUT;
        }
        batch.tokens[i] = (int32_t)tokens[i];
    }
    for (int64_t i = 0; status == OK && i < n; i++) batch.labels[i] = (i + 1) % v->T == 0 ? -100 : batch.tokens[i + 1];
    free(tokens);
    return status == OK ? read_documents(v, batch) : status;
}

static Status check_logits(Verification *v) {
    const int64_t count = v->B * v->T * v->session.model->config.vocab_size;
    float *ours = allocate(count, sizeof *ours), *theirs = allocate(count, sizeof *theirs);
    const Status status = read_floats(v, "logits", count, theirs);
    if (status == OK) {
        Distance d = {0, 0};
        runner_logits(v->session.runner, ours);
        for (int64_t i = 0; i < count; i++) add_distance(&d, (double)ours[i], (double)theirs[i]);
        report(v, "logits", relative(d));
    }
    free(ours);
    free(theirs);
    return status;
}

/* Runs forward and backward and returns the mean loss over all ranks. The gradient sums stay in the shards. */
static double run_step(Verification *v, double *targets) {
    double loss[2] = {0, 0};
    int64_t count = 0;
    runner_train(v->session.runner, true);
    runner_losses(v->session.runner, &loss[0], &count);
    loss[1] = (double)count;
    v->session.comm->f->all_reduce_sum(v->session.comm, loss, 2);
    *targets = loss[1];
    return loss[0] / loss[1];
}

/* Compares the part of a parameter's gradient in this rank's shard, and sums the distances over all ranks. */
static Status check_gradient(Verification *v, const Unit *unit, const Parameter *p, double scale) {
    char name[PARAMETER_NAME + 8];
    snprintf(name, sizeof name, "grad.%s", p->name);
    const SafeTensor *reference = find_sized(v, name, p->elements);
    const UnitRange range = unit_range(unit, p);
    const int64_t elements = range.last - range.first;
    Distance d = {0, 0};
    Status status = reference ? OK : BAD_INPUT;
    if (reference && elements > 0) {
        float *theirs = allocate(elements, sizeof *theirs), *ours = allocate(elements, sizeof *ours);
        status = safetensors_read_floats(reference, range.in_parameter, elements, theirs);
        device_download(unit->device, ours, unit->gradient_shard + range.in_shard, elements * (int64_t)sizeof *ours);
        for (int64_t i = 0; i < elements; i++) add_distance(&d, (double)ours[i] * scale, (double)theirs[i]);
        free(theirs);
        free(ours);
    }
    double sums[2] = {d.error, d.reference};
    v->session.comm->f->all_reduce_sum(v->session.comm, sums, 2);
    status = agree(v->session.comm, status);
    if (status == OK) report(v, name, relative((Distance){sums[0], sums[1]}));
    return status;
}

static bool has_parameter(const Model *model, const char *name) {
    for (int u = 0; u < model->units; u++)
        for (int i = 0; i < model->unit[u].parameters; i++)
            if (strcmp(model->unit[u].parameter[i].name, name) == 0) return true;
    return false;
}

/* Every gradient of the reference must be compared with one of ours. */
static Status check_gradient_names(const Verification *v) {
    for (int64_t i = 0; i < safetensors_count(v->io); i++) {
        const char *name = safetensors_entry(v->io, i)->name;
        if (strncmp(name, "grad.", 5) != 0 || has_parameter(v->session.model, name + 5)) continue;
        log_error("%s: %s is the gradient of a parameter that the model does not have", safetensors_path(v->io), name);
        return BAD_INPUT;
    }
    return OK;
}

static Status check_gradients(Verification *v, double scale) {
    const Model *model = v->session.model;
    Status status = agree(v->session.comm, check_gradient_names(v));
    for (int u = 0; u < model->units && status == OK; u++)
        for (int i = 0; i < model->unit[u].parameters && status == OK; i++)
            if (model->unit[u].parameter[i].moving_average == 0) /* buffers have no gradient */
                status = check_gradient(v, &model->unit[u], &model->unit[u].parameter[i], scale);
    return status;
}

static Status check_loss_and_gradients(Verification *v) {
    float reference = 0;
    double targets = 0;
    Status status = read_floats(v, "loss", 1, &reference);
    if (status != OK) return status;
    const double ours = run_step(v, &targets);
    report(v, "loss", fabs(ours - (double)reference) / fabs((double)reference));
    status = check_gradients(v, 1 / targets);
    fsdp_end_step(v->session.fsdp);
    return status;
}

static Status load_weights(Verification *v) {
    return weights_load(v->folder, v->session.comm, v->session.model->unit, v->session.model->units);
}

/* The options of train.json's optimizer. All ranks run the same batch, so buffers have one copy per rank. */
static OptimizerOptions read_optimizer(const json_t *o, bool decay_all, int ranks, double *lr) {
    OptimizerOptions options = optimizer_default_options();
    *lr = json_number_value(json_object_get(o, "lr"));
    options.beta1 = json_number_value(json_array_get(json_object_get(o, "betas"), 0));
    options.beta2 = json_number_value(json_array_get(json_object_get(o, "betas"), 1));
    options.eps = json_number_value(json_object_get(o, "eps"));
    options.weight_decay = json_number_value(json_object_get(o, "weight_decay"));
    options.max_norm = json_number_value(json_object_get(o, "max_norm"));
    options.decay_all = decay_all;
    options.copies = ranks;
    return options;
}

static double list_distance(const json_t *reference, const double *ours) {
    Distance d = {0, 0};
    for (size_t i = 0; i < json_array_size(reference); i++)
        add_distance(&d, ours[i], json_number_value(json_array_get(reference, i)));
    return relative(d);
}

/* The tolerance of the gradient norms, but at least the distance between the reference's fp32 and fp64 runs: if a clamp
 * or a zero gradient makes the norms ill-conditioned, no fp32 program comes closer. */
static double norms_bound(const Verification *v) {
    const json_t *exact = json_object_get(v->train, "grad_norms_fp64"), *fp32 = json_object_get(v->train, "grad_norms");
    Distance d = {0, 0};
    for (size_t i = 0; i < json_array_size(exact); i++)
        add_distance(&d, json_number_value(json_array_get(fp32, i)), json_number_value(json_array_get(exact, i)));
    return fmax(v->tolerance, relative(d));
}

/* Runs the AdamW steps of train.json from the folder's weights. Compares losses and gradient norms with the lists under
 * these keys. */
static Status check_training(Verification *v, bool decay_all, const char *losses_key, const char *norms_key) {
    const json_t *losses = json_object_get(v->train, losses_key), *norms = json_object_get(v->train, norms_key);
    if (!json_is_array(losses) || !json_is_array(norms)) return OK;
    const int64_t steps = (int64_t)json_array_size(losses);
    double lr = 0, *ours = allocate(2 * steps, sizeof *ours);
    const OptimizerOptions options =
        read_optimizer(json_object_get(v->train, "optimizer"), decay_all, v->session.comm->size, &lr);
    Status status = load_weights(v);
    for (int64_t s = 0; s < steps && status == OK; s++) {
        double targets = 0;
        ours[s] = run_step(v, &targets);
        const OptimizerResult result = optimizer_step(v->session.fsdp, &options, s + 1, lr, 1 / targets);
        ours[steps + s] = result.gradient_norm;
        fsdp_end_step(v->session.fsdp);
    }
    if (status == OK) {
        report(v, decay_all ? "train: losses, decay on all" : "train: losses", list_distance(losses, ours));
        report_within(v, decay_all ? "train: gradient norms, decay on all" : "train: gradient norms",
                      list_distance(norms, ours + steps), norms_bound(v));
    }
    free(ours);
    return status;
}

static Status check_all(Verification *v) {
    Status status = load_weights(v);
    if (status == OK) status = agree(v->session.comm, read_batch(v));
    if (status == OK) status = check_logits(v);
    if (status == OK) status = check_loss_and_gradients(v);
    if (status == OK && v->train) {
        const bool both = json_object_get(v->train, "losses_fp64") != NULL; /* else the reference itself is in fp64 */
        status = check_training(v, true, both ? "losses_fp64" : "losses", both ? "grad_norms_fp64" : "grad_norms");
    }
    if (status == OK && v->train) status = check_training(v, false, "losses_nodecay1d", "grad_norms_nodecay1d");
    return status;
}

/* If both lists exist, they must have the same length. */
static Status compare_lengths(const Verification *v, const char *path, const char *a, const char *b) {
    const json_t *one = json_object_get(v->train, a), *other = json_object_get(v->train, b);
    if (!json_is_array(one) || !json_is_array(other) || json_array_size(one) == json_array_size(other)) return OK;
    log_error("%s: %s has %zu numbers and %s %zu", path, a, json_array_size(one), b, json_array_size(other));
    return BAD_INPUT;
}

static Status check_list(const Verification *v, const char *path, const char *key) {
    const json_t *list = json_object_get(v->train, key);
    bool good = json_array_size(list) > 0;
    for (size_t i = 0; i < json_array_size(list); i++) good = good && json_is_number(json_array_get(list, i));
    if (good) return OK;
    log_error("%s: %s is not a list of numbers with at least one", path, key);
    return BAD_INPUT;
}

/* Losses come with gradient norms: without one of the two there would be nothing to compare. */
static Status check_pair(const Verification *v, const char *path, const char *losses, const char *norms) {
    Status status = check_list(v, path, losses);
    if (status == OK) status = check_list(v, path, norms);
    return status == OK ? compare_lengths(v, path, losses, norms) : status;
}

static bool has_either(const Verification *v, const char *a, const char *b) {
    return json_object_get(v->train, a) || json_object_get(v->train, b);
}

static Status check_lists(const Verification *v, const char *path) {
    Status status = check_pair(v, path, "losses", "grad_norms");
    if (status == OK && has_either(v, "losses_fp64", "grad_norms_fp64"))
        status = check_pair(v, path, "losses_fp64", "grad_norms_fp64");
    if (status == OK && has_either(v, "losses_nodecay1d", "grad_norms_nodecay1d"))
        status = check_pair(v, path, "losses_nodecay1d", "grad_norms_nodecay1d");
    return status == OK ? compare_lengths(v, path, "grad_norms", "grad_norms_fp64") : status;
}

/* train.json may be missing, but not damaged. */
static Status read_train(Verification *v) {
    char *path = path_join(v->folder, "train.json");
    json_error_t error;
    Status status = OK;
    if (path_exists(path) && !(v->train = json_load_file(path, 0, &error))) {
        log_error("%s:%d: %s", path, error.line, error.text);
        status = BAD_INPUT;
    }
    if (status == OK && v->train) status = check_lists(v, path);
    free(path);
    return status;
}

static Status open_inputs(Verification *v) {
    char *io = path_join(v->folder, "io.safetensors");
    Status status = safetensors_open(io, &v->io);
    free(io);
    if (status == OK) status = read_train(v);
    if (status != OK) return status;
    const SafeTensor *tokens = find_io(v, "input_ids");
    if (!tokens) return BAD_INPUT;
    if (tokens->dims != 2 || tokens->shape[0] < 1 || tokens->shape[1] < 2) {
        log_error("%s: input_ids must have shape [B, T], with B from 1 and T from 2 on", safetensors_path(v->io));
        return BAD_INPUT;
    }
    v->B = tokens->shape[0];
    v->T = tokens->shape[1];
    return OK;
}

static Status open_model(Verification *v, Comm *comm) {
    char *path = path_join(v->folder, "config.json");
    Model *model = NULL;
    const Device *device = NULL;
    Status status = agree(comm, model_from_file(path, &model));
    free(path);
    if (status == OK) status = session_device(comm, v->device, &device);
    if (status != OK) {
        model_destroy(model);
        return status;
    }
    const RunnerOptions runner = {.type = dtype_named(v->dtype),
                                  .recompute = RECOMPUTE_SELECTIVE,
                                  .B = v->B,
                                  .T = v->T,
                                  .mean_of = v->B * (v->T - 1), /* fla's loss is the mean over the targets */
                                  .training = true,
                                  .logits = true};
    return session_open(&v->session, comm, device, model, runner, session_sharding(&runner));
}

static Status run(void *values) {
    Verification *v = values;
    v->worst = -1;
    snprintf(v->worst_name, sizeof v->worst_name, "none");
    Comm *comm = NULL;
    comm_configure(v->share_gpu, COMM_TIMEOUT);
    Status status = command_start(&verify_command, v, &comm);
    if (status != OK) return status;
    status = open_inputs(v);
    status = agree(comm, status);
    if (status == OK) status = open_model(v, comm);
    if (status == OK) status = check_all(v);
    if (status == OK)
        log_info("verify: %d passed, %d failed, worst %s %.2e", v->passed, v->failed, v->worst_name, v->worst);
    safetensors_close(v->io);
    json_decref(v->train);
    if (v->session.comm)
        session_close(&v->session);
    else
        comm_destroy(comm);
    return status != OK ? status : v->failed ? BAD_INPUT : OK;
}

const Command verify_command = {
    .name = "verify",
    .summary = "compare logits, loss and gradients of a model with a reference",
    .text = "DIR holds config.json, model.safetensors, io.safetensors (input_ids, logits, loss, grad.TENSOR,\n"
            "optionally cu_seqlens) and optionally train.json (losses of AdamW steps).\n\n"
            "Runs the model on these tokens and compares logits, loss, every gradient and some steps of AdamW with\n"
            "the reference's. Prints RMS(error) / RMS(reference) of each tensor and exits 1 if any is above the\n"
            "tolerance. Runs under mpirun too, sharded.\n",
    .options = options,
    .option_count = LENGTH(options),
    .values_size = sizeof(Verification),
    .run = run,
};
