#include "ops/op_run.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "kernels/vocabulary/embedding/embedding.h"
#include "tile/emulator_memory.h"

enum { MARGIN_LEFT = 8, MARGIN_RIGHT = 16 }; /* columns beside a wide input */
enum { BATCH_ARRAYS = 5 };

static void *allocate(int64_t bytes) {
    void *memory = aligned_alloc(64, (size_t)((bytes + 64) / 64 * 64));
    CHECK(memory, "out of memory");
    return memory;
}

/* Memory of a device. */
typedef struct Memory {
    const Device *device;
    void *data;
    int64_t bytes;
} Memory;

static Memory memory_create(const Device *device, int64_t bytes) {
    const Memory memory = {device, device_memory(device, bytes, "a test"), bytes};
    device_poison(device, memory.data, memory.bytes);
    return memory;
}

static void memory_destroy(Memory *memory) {
    if (memory->data) memory->device->release(memory->data, memory->bytes);
}

Matrix matrix_create(int64_t rows, int64_t cols) {
    return (Matrix){rows, cols, allocate(rows * cols * (int64_t)sizeof(double))};
}

void matrix_destroy(Matrix *matrix) {
    free(matrix->value);
    *matrix = (Matrix){0};
}

static double load(const void *data, DType type, int64_t i) {
    return type == BF16 ? (double)bf16_to_float(((const bf16 *)data)[i]) : (double)((const float *)data)[i];
}

static void store(void *data, DType type, int64_t i, double value) {
    if (type == BF16)
        ((bf16 *)data)[i] = float_to_bf16((float)value);
    else
        ((float *)data)[i] = (float)value;
}

static void write_matrix(const Device *device, const Matrix *from, void *to, DType type, int64_t stride) {
    const int64_t elements = from->rows * from->cols, size = dtype_size(type);
    void *host = allocate(elements * size);
    for (int64_t i = 0; i < elements; i++) store(host, type, i, from->value[i]);
    device->copy(to, stride * size, host, from->cols * size, from->rows, from->cols * size);
    device->synchronize();
    free(host);
}

static Matrix read_matrix(const Device *device, const void *from, int64_t rows, int64_t cols, DType type,
                          int64_t stride) {
    const int64_t elements = rows * cols, size = dtype_size(type);
    Matrix matrix = matrix_create(rows, cols);
    void *host = allocate(elements * size);
    device->copy(host, cols * size, from, stride * size, rows, cols * size);
    device->synchronize();
    for (int64_t i = 0; i < elements; i++) matrix.value[i] = load(host, type, i);
    free(host);
    return matrix;
}

/* splitmix64 */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double random_uniform(uint64_t *state) { return ((double)(next_random(state) >> 11) + 0.5) * 0x1p-53; }

static double random_normal(uint64_t *state) {
    const double u = random_uniform(state), v = random_uniform(state);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

static void fill_random(Matrix *matrix, double low, double high, bool either, DType type, uint64_t *state) {
    for (int64_t i = 0; i < matrix->rows * matrix->cols; i++) {
        const double at = low < high ? random_uniform(state) : 0;
        const double x = low < high ? low + (high - low) * (either ? round(at) : at) : random_normal(state);
        matrix->value[i] = type == BF16 ? (double)bf16_to_float(float_to_bf16((float)x)) : (double)(float)x;
    }
}

static uint64_t seed_of(const char *name, uint64_t seed) {
    for (; *name; name++) seed = (seed ^ (uint64_t)*name) * 0x100000001b3u;
    return seed;
}

/* Length of the next document. Many are short, some of one token, so that every boundary case occurs. */
static int64_t document_length(int64_t T, uint64_t *state) {
    const uint64_t kind = next_random(state) % 4, r = next_random(state);
    return kind == 0 ? 1 : 1 + (int64_t)(r % (uint64_t)(kind == 1 ? 20 : T));
}

static const int32_t *sorted(const int32_t *tokens, int64_t N, int64_t vocabulary) {
    int32_t *by_token = allocate(4 * N);
    embedding_sort(tokens, N, vocabulary, by_token);
    return by_token;
}

static int64_t vocabulary_of(const OpCase *c) { return c->vocabulary ? c->vocabulary : 16; }

static Batch batch_create(const OpCase *c, int64_t T, uint64_t *state) {
    const int64_t N = c->B * T, vocabulary = vocabulary_of(c);
    int32_t *tokens = allocate(4 * N), *labels = allocate(4 * N), *segment = allocate(4 * N),
            *position = allocate(4 * N);
    for (int64_t b = 0; b < c->B; b++) {
        int64_t left = c->packed ? document_length(T, state) : T;
        for (int64_t t = 0, document = 0, p = 0; t < T; t++, p++, left--) {
            const int64_t n = b * T + t;
            if (left == 0) {
                left = document_length(T, state);
                p = 0;
                document++;
            }
            tokens[n] = (int32_t)(next_random(state) % (uint64_t)vocabulary);
            labels[n] = next_random(state) % 8 ? (int32_t)(next_random(state) % (uint64_t)vocabulary) : -100;
            segment[n] = (int32_t)document;
            position[n] = (int32_t)p;
        }
    }
    return (Batch){.B = c->B,
                   .T = T,
                   .tokens = tokens,
                   .labels = labels,
                   .segment = segment,
                   .position = position,
                   .by_token = sorted(tokens, N, vocabulary)};
}

/* Where a case's tensors live during one run. */
typedef struct Place {
    const Device *device;
    Tensor tensor[OP_TEST_INPUTS], whole[OP_TEST_INPUTS]; /* whole: the wide matrix of which `tensor` is some columns */
    Tensor *in[OP_TEST_INPUTS], *out[OP_TEST_OUTPUTS];
    Memory memory[OP_TEST_INPUTS], parameters, parameter_gradients, seed[OP_TEST_OUTPUTS];
} Place;

static int64_t parameter_elements(const OpProblem *problem) {
    int64_t elements = 0;
    for (int i = 0; i < problem->inputs; i++)
        if (problem->c->input[i].parameter) elements += problem->in[i].rows * problem->in[i].cols;
    return elements;
}

static void place_parameters(Place *place, const OpProblem *problem, DType type, OpOptions options) {
    const int64_t elements = parameter_elements(problem);
    if (elements == 0) return;
    place->parameters = memory_create(place->device, elements * dtype_size(type));
    place->parameter_gradients = memory_create(place->device, elements * 4);
    Matrix before = matrix_create(1, elements);
    for (int64_t i = 0; i < elements; i++) before.value[i] = options.parameter_gradient;
    write_matrix(place->device, &before, place->parameter_gradients.data, F32, elements);
    matrix_destroy(&before);
    int64_t offset = 0;
    for (int i = 0; i < problem->inputs; i++) {
        const Matrix *value = &problem->in[i];
        if (!problem->c->input[i].parameter) continue;
        Tensor *tensor = &place->tensor[i];
        *tensor = tensor_of((char *)place->parameters.data + offset * dtype_size(type), value->rows, value->cols, type);
        tensor->parameter = true;
        tensor->gradient = options.frozen ? NULL : (float *)place->parameter_gradients.data + offset;
        write_matrix(place->device, value, tensor->data, type, tensor->stride);
        offset += value->rows * value->cols;
    }
}

static void place_activation(Place *place, int i, const Matrix *value, DType type, bool wide) {
    const int64_t stride = wide ? value->cols + MARGIN_LEFT + MARGIN_RIGHT : value->cols;
    Tensor *tensor = &place->tensor[i], *whole = &place->whole[i];
    place->memory[i] = memory_create(place->device, value->rows * stride * dtype_size(type));
    *whole = tensor_of(place->memory[i].data, value->rows, stride, type);
    *tensor = tensor_of(whole->data, value->rows, value->cols, type);
    if (wide) {
        tensor->data = (char *)whole->data + MARGIN_LEFT * dtype_size(type);
        tensor->stride = stride;
        tensor->base = whole;
        tensor->column = MARGIN_LEFT;
        whole->has_views = true;
    }
    write_matrix(place->device, value, tensor->data, type, stride);
}

static void place_create(Place *place, const OpProblem *problem, const Device *device, DType type, OpOptions options) {
    *place = (Place){.device = device};
    place_parameters(place, problem, type, options);
    for (int i = 0; i < problem->inputs; i++) {
        const OpInput *input = &problem->c->input[i];
        if (!input->parameter)
            place_activation(place, i, &problem->in[i], input->fp32 ? F32 : type, options.wide && !input->contiguous);
        place->in[i] = &place->tensor[i];
    }
}

static void place_destroy(Place *place) {
    memory_destroy(&place->parameters);
    memory_destroy(&place->parameter_gradients);
    for (int i = 0; i < OP_TEST_INPUTS; i++) memory_destroy(&place->memory[i]);
    for (int i = 0; i < OP_TEST_OUTPUTS; i++) memory_destroy(&place->seed[i]);
}

static void seed_memory(Place *place, int i, Tensor *whole) {
    if (whole->gradient) return;
    place->seed[i] = memory_create(place->device, tensor_bytes(whole));
    whole->gradient = place->seed[i].data;
}

/* Gives output i its gradient; the gradients of views of one matrix share one memory, as those of the tape do. */
static void seed_gradient(Place *place, int i, const Matrix *gradient) {
    Tensor *out = place->out[i], *whole = out->base ? out->base : out;
    seed_memory(place, i, whole);
    void *data = (char *)whole->gradient + (out->base ? out->column : 0) * dtype_size(out->type);
    write_matrix(place->device, gradient, data, out->type, out->stride);
    tape_seed_gradient(out, data);
}

static bool margins_untouched(const Device *device, const Tensor *whole, const void *data) {
    const int64_t size = dtype_size(whole->type), row_bytes = whole->stride * size, bytes = whole->rows * row_bytes;
    unsigned char *host = allocate(bytes), *poison = allocate(bytes);
    Memory poisoned = memory_create(device, bytes);
    device_download(device, poison, poisoned.data, bytes);
    memory_destroy(&poisoned);
    device_download(device, host, data, bytes);
    bool untouched = true;
    for (int64_t i = 0; i < bytes && untouched; i++) {
        const int64_t column = i % row_bytes / size;
        const bool margin = column < MARGIN_LEFT || column >= whole->stride - MARGIN_RIGHT;
        untouched = !margin || host[i] == poison[i];
    }
    free(host);
    free(poison);
    return untouched;
}

static void read_gradients(OpResult *result, const OpProblem *problem, const Place *place) {
    for (int i = 0; i < problem->inputs; i++) {
        const Tensor *tensor = place->in[i], *whole = &place->whole[i];
        if (!tensor->gradient) continue;
        result->in_gradient[i] = read_matrix(place->device, tensor->gradient, tensor->rows, tensor->cols,
                                             tensor->parameter ? F32 : tensor->type, tensor->stride);
        if (tensor->base && (!margins_untouched(place->device, whole, whole->data) ||
                             !margins_untouched(place->device, whole, whole->gradient)))
            result->trespass = problem->c->input[i].name;
    }
}

static void run_on_tape(Tape *tape, const OpProblem *problem, Place *place, OpOptions options, OpResult *result) {
    problem->test->build(tape, place->in, problem->c, place->out);
    for (int i = 0; i < problem->outputs; i++) {
        const Tensor *out = place->out[i];
        result->out[i] = read_matrix(tape->device, out->data, out->rows, out->cols, out->type, out->stride);
    }
    if (options.carried) return;
    Arena *scratch = tape->scratch;
    device_poison(scratch->device, scratch->base, scratch->capacity);
    arena_rewind(scratch, 0);
    arena_push(scratch, 0); /* allocations are released now, not only at the next push */
    if (options.recompute) tape_rematerialise(tape);
    for (int i = 0; i < problem->outputs; i++) seed_gradient(place, i, &problem->out_gradient[i]);
    tape_backward(tape);
    read_gradients(result, problem, place);
}

/* The problem's batch in memory of the device. */
static Batch upload_batch(const Device *device, const Batch *batch, Memory memory[BATCH_ARRAYS]) {
    const int64_t bytes = batch->B * batch->T * (int64_t)sizeof(int32_t);
    const int32_t *const from[BATCH_ARRAYS] = {batch->tokens, batch->labels, batch->segment, batch->position,
                                               batch->by_token};
    for (int i = 0; i < BATCH_ARRAYS; i++) {
        memory[i] = memory_create(device, bytes);
        device_upload(device, memory[i].data, from[i], bytes);
    }
    return (Batch){.B = batch->B,
                   .T = batch->T,
                   .tokens = memory[0].data,
                   .labels = memory[1].data,
                   .segment = memory[2].data,
                   .position = memory[3].data,
                   .by_token = memory[4].data};
}

OpResult op_run(const OpProblem *problem, const OpBackend *backend, OpOptions options) {
    enum { SLACK = 1 << 16 };  /* so that asking for more than was counted fails the test instead of ending it */
    enum { ENOUGH = 1 << 23 }; /* for the pieces of a case */
    const OpResult counted = options.carried ? (OpResult){.scratch_peak = ENOUGH}
                                             : op_run_counting(problem, backend->type, options, backend->device->gpu);
    const Device *device = backend->device;
    emulator_guard_starts(options.guard_starts);
    OpResult result = {0};
    Arena keep = arena_create("keep", device, counted.keep_peak + SLACK);
    Arena scratch = arena_create("scratch", device, counted.scratch_peak + SLACK);
    device_poison(device, keep.base, keep.capacity);
    device_poison(device, scratch.base, scratch.capacity);
    Memory tokens[BATCH_ARRAYS];
    const Batch batch = upload_batch(device, &problem->batch, tokens);
    Place place;
    place_create(&place, problem, device, backend->type, options);
    Tape *tape = allocate(sizeof *tape);
    tape_begin(tape, device, &keep, &scratch, backend->type, &batch, !options.carried,
               options.recompute ? RECOMPUTE_FULL : RECOMPUTE_NONE);
    tape->carried = options.carried;
    const int threads = omp_get_max_threads();
    omp_set_num_threads(options.threads);
    run_on_tape(tape, problem, &place, options, &result);
    omp_set_num_threads(threads);
    result.keep_peak = keep.peak;
    result.scratch_peak = scratch.peak;
    free(tape);
    for (int i = 0; i < BATCH_ARRAYS; i++) memory_destroy(&tokens[i]);
    place_destroy(&place);
    arena_destroy(&keep);
    arena_destroy(&scratch);
    return result;
}

OpResult op_run_counting(const OpProblem *problem, DType type, OpOptions options, bool gpu) {
    const Device *device = device_counting(gpu);
    Arena keep = arena_counting("keep", device), scratch = arena_counting("scratch", device);
    Place place;
    place_create(&place, problem, device_cpu(), type, options);
    Tape *tape = allocate(sizeof *tape);
    const Batch batch = {.B = problem->batch.B,
                         .T = problem->batch.T}; /* without memory, because counting must not read the tokens */
    tape_begin(tape, device, &keep, &scratch, type, &batch, true, options.recompute ? RECOMPUTE_FULL : RECOMPUTE_NONE);
    problem->test->build(tape, place.in, problem->c, place.out);
    OpResult result = {0};
    for (int i = 0; i < OP_TEST_OUTPUTS && place.out[i]; i++)
        result.out[i] = (Matrix){place.out[i]->rows, place.out[i]->cols, NULL};
    arena_rewind(&scratch, 0);
    if (options.recompute) tape_rematerialise(tape);
    for (int i = 0; i < problem->outputs; i++) {
        Tensor *out = place.out[i], *whole = out->base ? out->base : out;
        seed_memory(&place, i, whole);
        tape_seed_gradient(out, whole->gradient);
    }
    if (problem->outputs > 0) tape_backward(tape);
    result.keep_peak = keep.peak;
    result.scratch_peak = scratch.peak;
    free(tape);
    place_destroy(&place);
    return result;
}

void op_result_destroy(OpResult *result) {
    for (int i = 0; i < OP_TEST_OUTPUTS; i++) matrix_destroy(&result->out[i]);
    for (int i = 0; i < OP_TEST_INPUTS; i++) matrix_destroy(&result->in_gradient[i]);
}

OpProblem op_problem_create(const OpTest *test, const OpCase *c, int64_t T, DType type) {
    uint64_t state = seed_of(c->name, seed_of(test->name, (uint64_t)T));
    OpProblem problem = {.test = test, .c = c, .type = type, .batch = batch_create(c, T, &state)};
    while (problem.inputs < OP_TEST_INPUTS && c->input[problem.inputs].cols) {
        const OpInput *input = &c->input[problem.inputs];
        Matrix *in = &problem.in[problem.inputs++];
        *in = matrix_create(input->rows ? input->rows : c->B * T, input->cols);
        fill_random(in, input->low, input->high, input->either, type, &state);
    }
    const OpResult shapes = op_run_counting(&problem, type, (OpOptions){.threads = 1}, false);
    for (int i = 0; i < OP_TEST_OUTPUTS && shapes.out[i].cols; i++) {
        Matrix *gradient = &problem.out_gradient[problem.outputs++];
        *gradient = matrix_create(shapes.out[i].rows, shapes.out[i].cols);
        fill_random(gradient, 0, 0, false, type, &state);
        const double weight = test->weight ? test->weight(c, i) : 1;
        for (int64_t j = 0; test->plain_sum && j < gradient->rows * gradient->cols; j++) gradient->value[j] = weight;
    }
    return problem;
}

static const int32_t *copy_of_tokens(const int32_t *from, int64_t count) {
    return memcpy(allocate(4 * count), from, (size_t)(4 * count));
}

static Matrix rows_of(const Matrix *matrix, int64_t first, int64_t rows) {
    Matrix part = matrix_create(rows, matrix->cols);
    memcpy(part.value, matrix->value + first * matrix->cols, (size_t)(rows * matrix->cols) * sizeof(double));
    return part;
}

OpProblem op_problem_document(const OpProblem *problem, int64_t first, int64_t T) {
    const Batch *batch = &problem->batch;
    OpProblem part = *problem;
    part.batch = (Batch){.B = 1,
                         .T = T,
                         .tokens = copy_of_tokens(batch->tokens + first, T),
                         .labels = copy_of_tokens(batch->labels + first, T),
                         .segment = copy_of_tokens(batch->segment + first, T),
                         .position = copy_of_tokens(batch->position + first, T),
                         .by_token = sorted(batch->tokens + first, T, vocabulary_of(problem->c))};
    for (int i = 0; i < problem->inputs; i++) {
        const Matrix *in = &problem->in[i];
        part.in[i] = problem->c->input[i].rows ? rows_of(in, 0, in->rows) : rows_of(in, first, T);
    }
    for (int i = 0; i < problem->outputs; i++) {
        const Matrix *gradient = &problem->out_gradient[i];
        const bool of_tokens = gradient->rows == batch->B * batch->T;
        part.out_gradient[i] = of_tokens ? rows_of(gradient, first, T) : rows_of(gradient, 0, gradient->rows);
    }
    return part;
}

void op_problem_destroy(OpProblem *problem) {
    free((void *)problem->batch.tokens);
    free((void *)problem->batch.labels);
    free((void *)problem->batch.segment);
    free((void *)problem->batch.position);
    free((void *)problem->batch.by_token);
    for (int i = 0; i < problem->inputs; i++) matrix_destroy(&problem->in[i]);
    for (int i = 0; i < problem->outputs; i++) matrix_destroy(&problem->out_gradient[i]);
}
