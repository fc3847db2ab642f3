#include "training/runner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "core/add.h"
#include "kernels/ops.h"
#include "training/replay.h"

/* The arenas' names in the memory plan. */
static const char KEEP[] = "memory for activations", SCRATCH[] = "working memory";

struct Runner {
    Model *model;
    Fsdp *fsdp; /* NULL on the counting device */
    const Device *device;
    RunnerOptions options;
    Arena memory[2]; /* keep and scratch point here; a teacher's point to the arenas of the runner that it teaches */
    Arena *keep, *scratch;
    int64_t keep_start; /* what lies before it in keep belongs to another model */
    Runner *teacher;    /* NULL: none. It reads this runner's batch */
    Tensor taught;      /* the input of the teacher's head */
    MicroBatches batches;
    int64_t most_tokens;    /* T of the largest micro-batch */
    double last_divergence; /* over the micro-batches that runner_losses summed last */
    Batch batch;
    Carried *carried; /* the sequences so far; NULL: calls are independent */
    Tape embedding_tape, head_tape, *layer_tape;
    Tensor *boundary;         /* [layers + 1] inputs of each layer and of the head */
    void *boundary_memory[2]; /* for evaluation, which needs at most two boundaries at a time */
    void *boundary_gradient;
    int64_t hands_on; /* the layer that hands a tensor on to those after it; -1: none has yet */
    Tensor handed_on; /* that tensor; the layers, last one first, add its gradient up in handed_on_gradient */
    void *handed_on_gradient;
    double forward_flops, state_bytes;
    Profile *profile; /* NULL: no profiling */
    Replays replays;
};

static int64_t rows_of(const Runner *runner) { return runner->options.B * runner->options.T; }

static Tape *begin_tape(Runner *runner, Tape *tape, bool recording) {
    tape_begin(tape, runner->device, runner->keep, runner->scratch, runner->options.type, &runner->batch, recording,
               runner->options.recompute);
    tape->profile = runner->profile;
    return tape;
}

/* The tape's ops carry what they remember under this number: 0 before the layers, or 1 + layer. */
static void begin_carrying(Runner *runner, Tape *tape, int64_t number) {
    tape->carried = runner->carried;
    if (runner->carried) carried_begin_layer(runner->carried, number);
}

static Tape *begin_layer_tape(Runner *runner, int64_t layer, bool recording) {
    Tape *tape = begin_tape(runner, &runner->layer_tape[layer], recording);
    if (runner->hands_on >= 0 && runner->hands_on < layer) tape->handed_on = &runner->handed_on;
    begin_carrying(runner, tape, 1 + layer);
    const int64_t every = runner->options.recompute_every;
    if (every > 0) tape->recompute = (layer + 1) % every == 0 ? RECOMPUTE_FULL : RECOMPUTE_NONE;
    return tape;
}

/* On the counting device each unit begins at the same address, which refers to nothing. It is aligned like real memory,
 * so that matrix products see how their operands will be aligned. */
static void pretend_gathered(Unit *unit, DType type, bool gathered) {
    for (int i = 0; i < unit->parameters; i++) {
        Parameter *p = &unit->parameter[i];
        const uintptr_t place = ARENA_ALIGNMENT + (uintptr_t)(p->offset * dtype_size(type));
        p->tensor.data = gathered ? (void *)place : NULL;
    }
}

/* On the counting device, any address but NULL means "not frozen". */
static void pretend_gradient(Unit *unit, bool begin) {
    for (int i = 0; i < unit->parameters; i++) {
        Parameter *p = &unit->parameter[i];
        const uintptr_t place = ARENA_ALIGNMENT + (uintptr_t)p->offset * sizeof(float);
        p->tensor.gradient = begin ? (void *)place : NULL;
    }
}

static void gather(Runner *runner, int unit) {
    if (runner->fsdp)
        fsdp_gather(runner->fsdp, unit);
    else
        pretend_gathered(&runner->model->unit[unit], runner->options.type, true);
}

static void prefetch(Runner *runner, int64_t unit) {
    if (runner->fsdp && unit >= 1 && unit < runner->model->units) fsdp_prefetch(runner->fsdp, (int)unit);
}

static void release(Runner *runner, int unit) {
    if (runner->fsdp)
        fsdp_release(runner->fsdp, unit);
    else
        pretend_gathered(&runner->model->unit[unit], runner->options.type, false);
}

/* Copies x into memory that outlives scratch, as a tensor for other tapes. */
static Tensor copy_to(Runner *runner, void *memory, const Tensor *x) {
    const int64_t size = dtype_size(x->type), row = x->cols * size;
    runner->device->copy(memory, row, x->data, x->stride * size, x->rows, row);
    return tensor_of(memory, x->rows, x->cols, x->type);
}

/* The same for an output of a node, which is copied only if it lives in scratch. */
static Tensor keep_output(Runner *runner, const Node *node, const Tensor *x) {
    if (!node->in_scratch) return tensor_of(x->data, x->rows, x->cols, x->type);
    return copy_to(runner, arena_push(runner->keep, x->rows * x->cols * dtype_size(x->type)), x);
}

static int64_t boundary_bytes(const Runner *runner) {
    return rows_of(runner) * runner->model->config.hidden_size * dtype_size(runner->options.type);
}

static void begin_boundaries(Runner *runner, bool recording) {
    for (int i = 0; i < 2 && !recording; i++)
        runner->boundary_memory[i] = arena_push(runner->keep, boundary_bytes(runner));
}

/* Keeps the output of a tape as the input of layer l. */
static void keep_boundary(Runner *runner, const Tape *tape, int64_t l, const Tensor *x) {
    runner->boundary[l] = tape->recording ? keep_output(runner, &tape->node[tape->nodes - 1], x)
                                          : copy_to(runner, runner->boundary_memory[l % 2], x);
}

static void keep_handed_on(Runner *runner, const Tape *tape, int64_t layer) {
    if (!tape->hands_on) return;
    const Tensor *x = tape->hands_on->out[0];
    runner->hands_on = layer;
    runner->handed_on = keep_output(runner, tape->hands_on, x);
    if (!tape->recording) return;
    runner->handed_on_gradient = arena_push(runner->keep, tensor_bytes(&runner->handed_on));
    runner->handed_on.gradient = runner->handed_on_gradient;
}

static int64_t added_bytes(const Runner *runner) { return rows_of(runner) * (int64_t)sizeof(float); }

/* Runs embeddings and all layers; boundary[l] is the input of layer l. */
static void forward_layers(Runner *runner, bool recording) {
    Model *model = runner->model;
    arena_rewind(runner->keep, runner->keep_start);
    arena_rewind(runner->scratch, 0);
    if (runner->batch.added_losses && recording)
        runner->device->fill(runner->batch.added_losses, 0, 1, added_bytes(runner), added_bytes(runner));
    gather(runner, 0);
    prefetch(runner, 1);
    Tape *tape = begin_tape(runner, &runner->embedding_tape, recording);
    begin_carrying(runner, tape, 0);
    begin_boundaries(runner, recording);
    keep_boundary(runner, tape, 0, model_embed(model, tape, &runner->batches.features));
    arena_rewind(runner->scratch, 0);
    runner->forward_flops = runner->state_bytes = 0;
    runner->hands_on = -1;
    for (int64_t l = 0; l < model->layers; l++) {
        gather(runner, (int)l + 1);
        prefetch(runner, l + 2);
        tape = begin_layer_tape(runner, l, recording);
        keep_boundary(runner, tape, l + 1, model_layer(model, l, tape, &runner->boundary[l]));
        keep_handed_on(runner, tape, l);
        release(runner, (int)l + 1);
        arena_rewind(runner->scratch, 0);
        runner->forward_flops += tape->work.flops;
        runner->state_bytes += tape->work.state;
    }
    if (runner->carried) carried_advance(runner->carried, runner->batch.T);
}

static Tensor *head_of(const Model *model, Tape *tape, Tensor *x) {
    Tensor *y = linear(tape, x, model->lm_head);
    return model->head_bias ? bias(tape, y, model->head_bias) : y;
}

static LossTeacher loss_teacher(Runner *runner) {
    const Model *teacher = runner->teacher->model;
    return (LossTeacher){.x = &runner->taught,
                         .weight = teacher->lm_head,
                         .bias = teacher->head_bias,
                         .cap = model_logit_cap(teacher),
                         .share = runner->options.teacher_share};
}

/* The losses of all tokens. *more: in training with a teacher the divergences, in evaluation with options.margins the
 * margins, otherwise NULL. Evaluation scores the cross-entropy alone. */
static Tensor *losses_of(Runner *runner, Tape *tape, Tensor *x, Tensor **more) {
    const Model *model = runner->model;
    *more = NULL;
    if (model->ends.regression) return squared_error(tape, head_of(model, tape, x), &runner->batches.values);
    LossShape shape = {.pull = model_pull(model), .cap = model_logit_cap(model)};
    if (!tape->recording)
        return linear_cross_entropy(tape, x, model->lm_head, model->head_bias, shape, NULL, NULL,
                                    runner->options.margins ? more : NULL);
    shape.smoothing = runner->options.label_smoothing;
    shape.z_loss = runner->options.z_loss;
    const LossTeacher teacher = runner->teacher ? loss_teacher(runner) : (LossTeacher){0};
    return linear_cross_entropy(tape, x, model->lm_head, model->head_bias, shape, runner->teacher ? &teacher : NULL,
                                more, NULL);
}

/* Copies the losses out of the arenas, which the next layers reuse. In training, adds what layers have added to
 * them. */
static void keep_losses(Runner *runner, const Tensor *losses, const Tensor *more, bool recording) {
    float *told = runner->batches.device_told;
    runner->device->copy(told, 4, losses->data, losses->stride * 4, losses->rows, 4);
    if (more) runner->device->copy(told + rows_of(runner), 4, more->data, more->stride * 4, more->rows, 4);
    if (!runner->batch.added_losses || !recording) return;
    const AddArguments arguments = {
        .x = told, .y = runner->batch.added_losses, .z = told, .rows = 1, .cols = losses->rows};
    add_launch(runner->device, F32, &arguments);
}

static void head_losses(Runner *runner, bool recording) {
    Tape *tape = begin_tape(runner, &runner->head_tape, recording);
    /* the forward of the fused loss also accumulates the head's gradient, so it must run only once */
    tape->recompute = RECOMPUTE_NONE;
    Tensor *x = model_norm(runner->model, tape, &runner->boundary[runner->model->layers]), *more;
    Tensor *losses = losses_of(runner, tape, x, &more);
    runner->forward_flops += tape->work.flops;
    keep_losses(runner, losses, more, recording);
}

/* Brings the gradient of the handed-on tensor back to its place, in case a tape has put it elsewhere. */
static void settle_handed_on(Runner *runner) {
    Tensor *x = &runner->handed_on;
    const int64_t row = x->cols * dtype_size(x->type);
    if (x->gradient != runner->handed_on_gradient)
        runner->device->copy(runner->handed_on_gradient, row, x->gradient, row, x->rows, row);
    x->gradient = runner->handed_on_gradient;
    x->shared = false;
}

/* Runs a tape backwards from the gradient of its output in boundary_gradient (NULL: the loss) and leaves the gradient
 * of its input there. */
static void backward_tape(Runner *runner, Tape *tape, Tensor *input) {
    tape_rematerialise(tape);
    Tensor *output = tape->node[tape->nodes - 1].out[0];
    tape_seed_gradient(output, runner->boundary_gradient); /* the loss's op does not read its output's gradient */
    if (tape->hands_on && runner->handed_on.touched)
        tape_seed_gradient(tape->hands_on->out[0], runner->handed_on_gradient);
    tape_backward(tape);
    if (tape->handed_on) settle_handed_on(runner);
    if (input) {
        const int64_t row = input->cols * dtype_size(input->type);
        runner->device->copy(runner->boundary_gradient, row, input->gradient, row, input->rows, row);
    }
    arena_rewind(runner->scratch, 0);
}

static void begin_gradient(Runner *runner, int unit) {
    if (runner->fsdp)
        fsdp_begin_gradient(runner->fsdp, unit);
    else
        pretend_gradient(&runner->model->unit[unit], true);
}

static void reduce_gradient(Runner *runner, int unit, bool last) {
    if (runner->fsdp)
        fsdp_reduce_gradient(runner->fsdp, unit, last);
    else
        pretend_gradient(&runner->model->unit[unit], false);
}

/* Runs the teacher. Leaves the input of its head at the beginning of keep, and its root gathered. */
static void forward_teacher(Runner *runner) {
    Runner *teacher = runner->teacher;
    teacher->batch = runner->batch;
    teacher->batch.added_losses = NULL;
    teacher->profile = runner->profile;
    arena_rewind(runner->keep, 0);
    void *memory = arena_push(runner->keep, boundary_bytes(teacher));
    runner->keep_start = teacher->keep_start = arena_mark(runner->keep);
    forward_layers(teacher, false);
    Tape *tape = begin_tape(teacher, &teacher->head_tape, false);
    const Tensor *x = model_norm(teacher->model, tape, &teacher->boundary[teacher->model->layers]);
    runner->taught = copy_to(runner, memory, x);
    runner->taught.constant = true;
    teacher->forward_flops +=
        tape->work.flops + 2 * (double)x->rows * (double)x->cols * (double)teacher->model->config.vocab_size;
}

static void run_training(Runner *runner, bool last) {
    Model *model = runner->model;
    if (runner->teacher) forward_teacher(runner);
    forward_layers(runner, true);
    begin_gradient(runner, 0);
    head_losses(runner, true);
    if (runner->teacher) release(runner->teacher, 0);
    backward_tape(runner, &runner->head_tape, &runner->boundary[model->layers]);
    for (int64_t l = model->layers - 1; l >= 0; l--) {
        const int unit = (int)l + 1;
        gather(runner, unit);
        prefetch(runner, unit - 1);
        begin_gradient(runner, unit);
        backward_tape(runner, &runner->layer_tape[l], &runner->boundary[l]);
        release(runner, unit);
        reduce_gradient(runner, unit, last);
    }
    backward_tape(runner, &runner->embedding_tape, NULL);
    release(runner, 0);
    reduce_gradient(runner, 0, last);
}

static void launch_training(void *runner, bool last) { run_training(runner, last); }

void runner_train(Runner *runner, bool last) {
    CHECK(runner->options.training, "this runner was created for evaluation");
    micro_batches_sort(&runner->batches, runner->model->config.vocab_size);
    micro_batches_upload(&runner->batches);
    if (runner->options.replay && !runner->profile)
        replays_run(&runner->replays, runner->fsdp, launch_training, runner, last);
    else
        run_training(runner, last);
    micro_batches_download(&runner->batches);
}

/* Resets the sequences whose first new token begins a document: they have no past. */
static void forget_ended(Runner *runner) {
    const int32_t *position = micro_batches_now(&runner->batches).position;
    for (int64_t b = 0; b < runner->options.B; b++)
        if (position[b * runner->options.T] == 0) carried_restart(runner->carried, b);
}

static void run_evaluation(Runner *runner) {
    runner->keep_start = 0;
    forward_layers(runner, false);
    head_losses(runner, false);
    release(runner, 0);
}

void runner_evaluate(Runner *runner) {
    micro_batches_upload(&runner->batches);
    if (runner->carried) forget_ended(runner);
    run_evaluation(runner);
    micro_batches_download(&runner->batches);
}

TokenScores runner_scores(Runner *runner) {
    const float *losses = micro_batches_told(&runner->batches);
    return (TokenScores){losses, runner->options.margins ? losses + rows_of(runner) : NULL};
}

void runner_losses(Runner *runner, double *loss_sum, int64_t *targets) {
    MicroBatches *batches = &runner->batches;
    micro_batches_sum(batches);
    *loss_sum = batches->loss_sum;
    *targets = batches->targets;
    runner->last_divergence = runner->teacher ? batches->other_sum : 0;
    batches->loss_sum = batches->other_sum = 0;
    batches->targets = 0;
}

double runner_divergence(const Runner *runner) { return runner->last_divergence; }

const Tensor *runner_boundary(const Runner *runner, int64_t layer) { return &runner->boundary[layer]; }

const Tape *runner_tape(const Runner *runner, int64_t layer) {
    if (layer < 0) return &runner->embedding_tape;
    return layer < runner->model->layers ? &runner->layer_tape[layer] : &runner->head_tape;
}

/* The row of the last token of each sequence. */
static Tensor last_rows(const Tensor *x, const Batch *batch) {
    Tensor last = *x;
    last.rows = batch->B;
    last.stride = batch->T * x->stride;
    last.data = (char *)x->data + (batch->T - 1) * x->stride * dtype_size(x->type);
    return last;
}

/* Computes the logits of all tokens, or only those of the last token of each sequence. */
static void run_logits(Runner *runner, bool of_last, float *logits) {
    runner->keep_start = 0;
    forward_layers(runner, false);
    Tape *tape = begin_tape(runner, &runner->head_tape, false);
    Tensor *x = model_norm(runner->model, tape, &runner->boundary[runner->model->layers]);
    Tensor last = last_rows(x, &runner->batch);
    const Tensor *y = head_of(runner->model, tape, of_last ? &last : x);
    release(runner, 0);
    if (!runner->device->computes) return;
    const int64_t size = dtype_size(y->type), count = y->rows * y->cols;
    char *raw = memory_take(count * size, "the logits", "Give fewer or shorter sequences");
    runner->device->copy(raw, y->cols * size, y->data, y->stride * size, y->rows, y->cols * size);
    runner->device->synchronize();
    for (int64_t i = 0; i < count; i++)
        logits[i] = y->type == BF16 ? bf16_to_float(((bf16 *)raw)[i]) : ((float *)raw)[i];
    free(raw);
    const float cap = model_logit_cap(runner->model);
    for (int64_t i = 0; cap > 0 && i < count; i++) logits[i] = cap * tanhf(logits[i] / cap);
}

void runner_logits(Runner *runner, float *logits) {
    CHECK(runner->options.logits, "this runner was created without memory for logits");
    micro_batches_upload(&runner->batches);
    run_logits(runner, false, logits);
}

void runner_set_tokens(Runner *runner, int64_t T) {
    CHECK(runner->carried && T <= runner->most_tokens, "a call of %lld tokens", (long long)T);
    runner->options.T = runner->batch.T = T;
    micro_batches_resize(&runner->batches, rows_of(runner));
    micro_batches_point(&runner->batches, &runner->batch);
}

void runner_restart(Runner *runner) {
    carried_destroy(runner->carried);
    const RunnerOptions *options = &runner->options;
    runner->carried = carried_create(runner->device, options->B, 1 + runner->model->layers, options->tokens);
}

void runner_continue(Runner *runner, float *logits) {
    micro_batches_upload(&runner->batches);
    forget_ended(runner);
    run_logits(runner, true, logits);
}

int64_t runner_carried_bytes(const Runner *runner) { return carried_bytes(runner->carried); }

RunnerShape runner_shape(const Runner *runner) {
    return (RunnerShape){.B = runner->options.B,
                         .T = runner->most_tokens,
                         .tokens = runner->options.tokens,
                         .vocabulary = runner->model->config.vocab_size};
}

HostBatch runner_batch(Runner *runner) { return micro_batches_next(&runner->batches); }

void runner_profile(Runner *runner, Profile *profile) { runner->profile = profile; }

static Runner *new_runner(Model *model, Fsdp *fsdp, const Device *device, RunnerOptions options) {
    Runner *runner = memory_take(sizeof *runner, "the loop over blocks", NOTHING_LESS);
    runner->model = model;
    runner->fsdp = fsdp;
    runner->device = device;
    runner->options = options;
    runner->most_tokens = options.T;
    runner->layer_tape =
        memory_take(model->layers * (int64_t)sizeof *runner->layer_tape, "a record of each layer", NOTHING_LESS);
    runner->boundary =
        memory_take((model->layers + 1) * (int64_t)sizeof *runner->boundary, "a record of each layer", NOTHING_LESS);
    runner->batch = (Batch){.B = options.B, .T = options.T, .mean_of = options.mean_of};
    const MicroBatchShape shape = {.rows = rows_of(runner),
                                   .features = model->ends.features,
                                   .values = model->ends.regression,
                                   .told = options.teacher || options.margins ? 2 : 1,
                                   .type = options.type};
    runner->batches = micro_batches_create(device, shape);
    if (options.teacher) {
        const RunnerOptions forward = {.type = options.type, .B = options.B, .T = options.T};
        runner->teacher = new_runner(options.teacher, options.teacher_fsdp, device, forward);
    }
    return runner;
}

static void set_memory(Runner *runner, Arena keep, Arena scratch) {
    runner->memory[0] = keep;
    runner->memory[1] = scratch;
    for (Runner *r = runner; r; r = r->teacher) {
        r->keep = &runner->memory[0];
        r->scratch = &runner->memory[1];
    }
}

/* Gathered parameters have the same type as activations. */
static void set_parameter_type(Model *model, DType type) {
    for (int u = 0; u < model->units; u++)
        for (int i = 0; i < model->unit[u].parameters; i++) model->unit[u].parameter[i].tensor.type = type;
}

static void plan_calls(Runner *runner, int64_t past) {
    for (int call = 0; call < 2; call++) {
        runner_restart(runner);
        carried_advance(runner->carried, past);
        if (call == 0)
            run_logits(runner, true, NULL);
        else
            run_evaluation(runner);
    }
}

/* Plans calls with a past. Then plans calls without one, after which carried_bytes counts exactly options.tokens
 * tokens. */
static void plan_sequences(Runner *runner) {
    const int64_t tokens = runner->options.tokens;
    runner->options.tokens = tokens + runner->options.T;
    plan_calls(runner, tokens);
    runner->options.tokens = tokens;
    plan_calls(runner, 0);
}

RunnerPlan runner_plan(Model *model, RunnerOptions options, bool gpu) {
    set_parameter_type(model, options.type);
    if (options.teacher) set_parameter_type(options.teacher, options.type);
    options.teacher_fsdp = NULL;
    Runner *runner = new_runner(model, NULL, device_counting(gpu), options);
    set_memory(runner, arena_counting(KEEP, runner->device), arena_counting(SCRATCH, runner->device));
    if (options.training) run_training(runner, true);
    run_evaluation(runner); /* a training runner does this for validation, with everything in scratch */
    if (options.logits) run_logits(runner, false, NULL);
    if (options.tokens > 0) plan_sequences(runner);
    const RunnerPlan plan = {.keep_bytes = runner->keep->peak,
                             .scratch_bytes = runner->scratch->peak,
                             .forward_flops = runner->forward_flops,
                             .teacher_flops = runner->teacher ? runner->teacher->forward_flops : 0,
                             .carried_bytes = runner->carried ? carried_bytes(runner->carried) : 0,
                             .state_bytes = runner->state_bytes};
    runner_destroy(runner);
    return plan;
}

Runner *runner_create(Model *model, Fsdp *fsdp, const Device *device, RunnerOptions options) {
    const RunnerPlan plan = runner_plan(model, options, device->gpu);
    Runner *runner = new_runner(model, fsdp, device, options);
    set_memory(runner, arena_create(KEEP, device, plan.keep_bytes), arena_create(SCRATCH, device, plan.scratch_bytes));
    micro_batches_allocate(&runner->batches);
    micro_batches_point(&runner->batches, &runner->batch);
    if (options.training && model->config.mixer->adds_loss)
        runner->batch.added_losses = device_memory(device, added_bytes(runner), "what layers add to losses");
    if (options.training)
        runner->boundary_gradient = device_memory(device, boundary_bytes(runner), "a block's gradient");
    if (options.tokens > 0) runner_restart(runner);
    return runner;
}

void runner_destroy(Runner *runner) {
    if (!runner) return;
    for (int i = 0; i < 2; i++) arena_destroy(&runner->memory[i]);
    const Device *device = runner->device;
    replays_release(&runner->replays, device);
    if (runner->boundary_gradient) device->release(runner->boundary_gradient, boundary_bytes(runner));
    if (runner->batch.added_losses) device->release(runner->batch.added_losses, added_bytes(runner));
    micro_batches_destroy(&runner->batches);
    carried_destroy(runner->carried);
    runner_destroy(runner->teacher);
    free(runner->layer_tape);
    free(runner->boundary);
    free(runner);
}
