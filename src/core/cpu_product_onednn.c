/* cpu_product.h by oneDNN. */
#ifdef FLAME_ONEDNN
#include <dnnl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"
#include "core/cpu_product.h"
#include "core/gemm_plans.h"

#define DNNL(call)                                                                                                     \
    do {                                                                                                               \
        const dnnl_status_t status_ = (call);                                                                          \
        CHECK(status_ == dnnl_success, "oneDNN answered %d", (int)status_);                                            \
    } while (0)

/* A oneDNN matmul primitive: code generated for one shape. */
struct CpuProduct {
    dnnl_memory_desc_t a, b, c, scratchpad;
    dnnl_primitive_t primitive;
};

static dnnl_engine_t engine(void) {
    static dnnl_engine_t cpu;
    if (!cpu) DNNL(dnnl_engine_create(&cpu, dnnl_cpu, 0));
    return cpu;
}

static dnnl_data_type_t type_of(DType type) { return type == BF16 ? dnnl_bf16 : dnnl_f32; }

static dnnl_memory_desc_t matrix(int64_t rows, int64_t cols, int64_t stride, bool transposed, DType type) {
    dnnl_memory_desc_t desc;
    const dnnl_dims_t size = {rows, cols}, strides = {transposed ? 1 : stride, transposed ? stride : 1};
    DNNL(dnnl_memory_desc_init_by_strides(&desc, 2, size, type_of(type), strides));
    return desc;
}

/* Creates the product of a shape. False if the library has no code for it. */
static bool product_create(CpuProduct *product, const Gemm *shape) {
    product->a = matrix(shape->m, shape->k, shape->lda, shape->transpose_a, shape->type);
    product->b = matrix(shape->k, shape->n, shape->ldb, shape->transpose_b, shape->type);
    product->c = matrix(shape->m, shape->n, shape->ldc, false, shape->c_type);
    dnnl_matmul_desc_t desc;
    DNNL(dnnl_matmul_desc_init(&desc, &product->a, &product->b, NULL, &product->c));
    dnnl_primitive_attr_t attributes;
    DNNL(dnnl_primitive_attr_create(&attributes));
    DNNL(dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user));
    dnnl_post_ops_t sum;
    DNNL(dnnl_post_ops_create(&sum));
    if (shape->accumulate) {
        DNNL(dnnl_post_ops_append_sum(sum, 1.0f));
        DNNL(dnnl_primitive_attr_set_post_ops(attributes, sum));
    }
    dnnl_primitive_desc_t primitive_desc;
    const bool possible =
        dnnl_primitive_desc_create(&primitive_desc, &desc, attributes, engine(), NULL) == dnnl_success;
    if (possible) {
        product->scratchpad = *dnnl_primitive_desc_query_md(primitive_desc, dnnl_query_scratchpad_md, 0);
        DNNL(dnnl_primitive_create(&product->primitive, primitive_desc));
        DNNL(dnnl_primitive_desc_destroy(primitive_desc));
    }
    DNNL(dnnl_post_ops_destroy(sum));
    DNNL(dnnl_primitive_attr_destroy(attributes));
    return possible;
}

static void product_destroy(void *product) { DNNL(dnnl_primitive_destroy(((CpuProduct *)product)->primitive)); }

static GemmPlans plans = {.most = GEMM_PLANS, .plan_bytes = sizeof(CpuProduct), .destroy = product_destroy};

/* The primitive for this shape, created at first use. */
static const CpuProduct *product_of(const Gemm *shape) {
    const GemmKey key = {.shape = *shape};
    bool is_new;
    CpuProduct *product = gemm_plans_find(&plans, &key, &is_new);
    const bool made = !is_new || product_create(product, shape);
    CHECK(made, "oneDNN has no bf16 product for this processor");
    return product;
}

/* This thread's scratchpad for oneDNN, reused by the next product. */
static void *scratchpad(size_t bytes) {
    static _Thread_local void *memory;
    static _Thread_local size_t size;
    if (bytes > size) {
        free(memory);
        size = (bytes + 4095) / 4096 * 4096;
        memory = aligned_alloc(4096, size);
        if (!memory)
            memory_refused((int64_t)size, "a matrix product",
                           "Lower training.batch_size or training.seq_len, or OMP_NUM_THREADS");
    }
    return memory;
}

static dnnl_memory_t memory_at(const dnnl_memory_desc_t *desc, const void *data) {
    dnnl_memory_t memory;
    DNNL(dnnl_memory_create(&memory, desc, engine(), (void *)data));
    return memory;
}

static void run_product(const CpuProduct *product, const Gemm *g) {
    static _Thread_local dnnl_stream_t stream;
    if (!stream) DNNL(dnnl_stream_create(&stream, engine(), dnnl_stream_default_flags));
    const dnnl_exec_arg_t arguments[] = {
        {DNNL_ARG_SRC, memory_at(&product->a, g->a)},
        {DNNL_ARG_WEIGHTS, memory_at(&product->b, g->b)},
        {DNNL_ARG_DST, memory_at(&product->c, g->c)},
        {DNNL_ARG_SCRATCHPAD,
         memory_at(&product->scratchpad, scratchpad(dnnl_memory_desc_get_size(&product->scratchpad)))}};
    DNNL(dnnl_primitive_execute(product->primitive, stream, 4, arguments));
    DNNL(dnnl_stream_wait(stream));
    for (int i = 0; i < 4; i++) DNNL(dnnl_memory_destroy(arguments[i].memory));
}

void cpu_product_reserve(int count) { gemm_plans_reserve(&plans, count); }

/* NULL stands for dnnl_sgemm: in fp32 it is as fast as the primitive and faster for thin shapes, but up to a quarter
 * slower if B is transposed. */
const CpuProduct *cpu_product_prepare(const Gemm *g) {
    const bool thin = g->n < 32 || g->k < 32;
    return g->type == BF16 || (g->transpose_b && !thin) ? product_of(g) : NULL;
}

void cpu_product_multiply(const CpuProduct *product, const Gemm *g) {
    if (product) {
        run_product(product, g);
        return;
    }
    DNNL(dnnl_sgemm(g->transpose_a ? 'T' : 'N', g->transpose_b ? 'T' : 'N', g->m, g->n, g->k, 1.0f, g->a, g->lda, g->b,
                    g->ldb, g->accumulate ? 1.0f : 0.0f, g->c, g->ldc));
}

bool cpu_product_supports(DType type) {
    if (type == F32) return true;
    CpuProduct product = {0};
    const Gemm shape = {.m = 16, .n = 16, .k = 16, .lda = 16, .ldb = 16, .ldc = 16, .type = BF16, .c_type = F32};
    const bool possible = type == BF16 && product_create(&product, &shape);
    if (possible) DNNL(dnnl_primitive_destroy(product.primitive));
    return possible;
}

const char *cpu_product_library(void) {
    static char text[64];
    const dnnl_version_t *version = dnnl_version();
    snprintf(text, sizeof text, "oneDNN %d.%d.%d (%s)", version->major, version->minor, version->patch,
             version->cpu_runtime == DNNL_RUNTIME_OMP ? "OpenMP" : "own threads");
    return text;
}

#endif
