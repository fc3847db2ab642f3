/* cpu_product.h by oneDNN. */
#ifdef FLAME_ONEDNN
#include <dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "core/cpu_product.h"
#include "core/gemm_plans.h"

#define DNNL(call)                                                                                                     \
    do {                                                                                                               \
        const dnnl_status_t status_ = (call);                                                                          \
        CHECK(status_ == dnnl_success, "oneDNN answered %d", (int)status_);                                            \
    } while (0)

static dnnl_engine_t engine(void) {
    static dnnl_engine_t cpu;
    if (!cpu) DNNL(dnnl_engine_create(&cpu, dnnl_cpu, 0));
    return cpu;
}

/* What differs between versions: in oneDNN 2 the description of a matrix is a value, since 3 it is an object. */
#if DNNL_VERSION_MAJOR < 3

typedef const dnnl_memory_desc_t *const_dnnl_memory_desc_t;
#define dnnl_memory_desc_create_with_strides dnnl_memory_desc_init_by_strides

static void matrix_destroy(dnnl_memory_desc_t matrix) { (void)matrix; }

static dnnl_status_t describe_product(dnnl_primitive_desc_t *description, dnnl_memory_desc_t a, dnnl_memory_desc_t b,
                                      dnnl_memory_desc_t c, const_dnnl_primitive_attr_t attributes) {
    dnnl_matmul_desc_t operation;
    DNNL(dnnl_matmul_desc_init(&operation, &a, &b, NULL, &c));
    return dnnl_primitive_desc_create(description, &operation, attributes, engine(), NULL);
}

static dnnl_status_t append_sum(dnnl_post_ops_t operations) { return dnnl_post_ops_append_sum(operations, 1.0f); }

#else

static void matrix_destroy(dnnl_memory_desc_t matrix) { DNNL(dnnl_memory_desc_destroy(matrix)); }

static dnnl_status_t describe_product(dnnl_primitive_desc_t *description, dnnl_memory_desc_t a, dnnl_memory_desc_t b,
                                      dnnl_memory_desc_t c, const_dnnl_primitive_attr_t attributes) {
    return dnnl_matmul_primitive_desc_create(description, engine(), a, b, NULL, c, attributes);
}

static dnnl_status_t append_sum(dnnl_post_ops_t operations) {
    return dnnl_post_ops_append_sum(operations, 1.0f, 0, dnnl_data_type_undef);
}

#endif

/* A oneDNN matmul primitive, code generated for one shape, and its descriptions of the matrices. */
struct CpuProduct {
    dnnl_primitive_t primitive;
    const_dnnl_memory_desc_t a, b, c, scratchpad;
};

static dnnl_data_type_t type_of(DType type) { return type == BF16 ? dnnl_bf16 : dnnl_f32; }

/* A stride of 1 is that of a packed column (see packed): the same in memory as a row. */
static dnnl_memory_desc_t matrix(int64_t rows, int64_t cols, int64_t stride, bool transposed, DType type) {
    const bool by_columns = transposed && stride > 1;
    const dnnl_dims_t size = {rows, cols}, strides = {by_columns   ? 1
                                                      : stride > 1 ? stride
                                                                   : cols,
                                                      by_columns ? stride : 1};
    dnnl_memory_desc_t desc;
    DNNL(dnnl_memory_desc_create_with_strides(&desc, 2, size, type_of(type), strides));
    return desc;
}

static dnnl_status_t describe(dnnl_primitive_desc_t *description, const Gemm *shape,
                              const_dnnl_primitive_attr_t attributes) {
    const dnnl_memory_desc_t a = matrix(shape->m, shape->k, shape->lda, shape->transpose_a, shape->type),
                             b = matrix(shape->k, shape->n, shape->ldb, shape->transpose_b, shape->type),
                             c = matrix(shape->m, shape->n, shape->ldc, false, shape->c_type);
    const dnnl_status_t status = describe_product(description, a, b, c, attributes);
    matrix_destroy(a);
    matrix_destroy(b);
    matrix_destroy(c);
    return status;
}

static void make_primitive(CpuProduct *product, const_dnnl_primitive_desc_t description) {
    DNNL(dnnl_primitive_create(&product->primitive, description));
    const_dnnl_primitive_desc_t own;
    DNNL(dnnl_primitive_get_primitive_desc(product->primitive, &own));
    product->a = dnnl_primitive_desc_query_md(own, dnnl_query_src_md, 0);
    product->b = dnnl_primitive_desc_query_md(own, dnnl_query_weights_md, 0);
    product->c = dnnl_primitive_desc_query_md(own, dnnl_query_dst_md, 0);
    product->scratchpad = dnnl_primitive_desc_query_md(own, dnnl_query_scratchpad_md, 0);
}

/* Creates the product of a shape. False if the library has no code for it. */
static bool product_create(CpuProduct *product, const Gemm *shape) {
    dnnl_primitive_attr_t attributes;
    DNNL(dnnl_primitive_attr_create(&attributes));
    DNNL(dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user));
    dnnl_post_ops_t sum;
    DNNL(dnnl_post_ops_create(&sum));
    if (shape->accumulate) {
        DNNL(append_sum(sum));
        DNNL(dnnl_primitive_attr_set_post_ops(attributes, sum));
    }
    dnnl_primitive_desc_t description;
    const bool possible = describe(&description, shape, attributes) == dnnl_success;
    if (possible) {
        make_primitive(product, description);
        DNNL(dnnl_primitive_desc_destroy(description));
    }
    DNNL(dnnl_post_ops_destroy(sum));
    DNNL(dnnl_primitive_attr_destroy(attributes));
    return possible;
}

static void product_destroy(void *product) { DNNL(dnnl_primitive_destroy(((CpuProduct *)product)->primitive)); }

static GemmPlans plans = {.most = GEMM_PLANS, .plan_bytes = sizeof(CpuProduct), .destroy = product_destroy};

/* The primitive for this shape, created at first use. */
static const CpuProduct *product_of(Gemm shape) {
    const GemmKey key = {.shape = shape};
    bool is_new;
    CpuProduct *product = gemm_plans_find(&plans, &key, &is_new);
    const bool made = !is_new || product_create(product, &shape);
    CHECK(made, "oneDNN has no bf16 product for this processor");
    return product;
}

/* Memory of this thread for one product, reused by the next. */
static void *thread_memory(int64_t bytes) {
    static _Thread_local void *memory;
    static _Thread_local int64_t size;
    if (bytes >= size) {
        free(memory);
        size = (bytes + 4096) / 4096 * 4096;
        memory = aligned_alloc(4096, (size_t)size);
        if (!memory)
            memory_refused(size, "a matrix product",
                           "Lower training.batch_size or training.seq_len, or OMP_NUM_THREADS");
    }
    return memory;
}

static dnnl_memory_t memory_at(const_dnnl_memory_desc_t desc, const void *data) {
    dnnl_memory_t memory;
    DNNL(dnnl_memory_create(&memory, desc, engine(), (void *)data));
    return memory;
}

/* The scratchpad has room for this product. */
static void run_product(const CpuProduct *product, const Gemm *g, void *scratchpad) {
    static _Thread_local dnnl_stream_t stream;
    if (!stream) DNNL(dnnl_stream_create(&stream, engine(), dnnl_stream_default_flags));
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, memory_at(product->a, g->a)},
                                         {DNNL_ARG_WEIGHTS, memory_at(product->b, g->b)},
                                         {DNNL_ARG_DST, memory_at(product->c, g->c)},
                                         {DNNL_ARG_SCRATCHPAD, memory_at(product->scratchpad, scratchpad)}};
    DNNL(dnnl_primitive_execute(product->primitive, stream, 4, arguments));
    DNNL(dnnl_stream_wait(stream));
    for (int i = 0; i < 4; i++) DNNL(dnnl_memory_destroy(arguments[i].memory));
}

/* oneDNN 3.7 takes the entries of a matrix of one column for neighbours, whatever its stride. Here they are. */
static Gemm packed(const Gemm *g) {
    Gemm shape = *g;
    if ((g->transpose_a ? g->m : g->k) == 1) shape.lda = 1;
    if ((g->transpose_b ? g->k : g->n) == 1) shape.ldb = 1;
    if (g->n == 1) shape.ldc = 1;
    return shape;
}

static void copy_column(void *to, int64_t to_stride, const void *from, int64_t from_stride, int64_t rows, DType type) {
    const int64_t size = dtype_size(type);
    for (int64_t row = 0; row < rows; row++)
        memcpy((char *)to + row * to_stride * size, (const char *)from + row * from_stride * size, (size_t)size);
}

/* The product by way of packed copies of matrices of one column. */
static void run_packed(const CpuProduct *product, const Gemm *g) {
    Gemm copy = packed(g);
    const int64_t a_rows = copy.lda == g->lda ? 0
                           : g->transpose_a   ? g->k
                                              : g->m,
                  b_rows = copy.ldb == g->ldb ? 0
                           : g->transpose_b   ? g->n
                                              : g->k,
                  c_rows = copy.ldc == g->ldc ? 0 : g->m;
    const int64_t own = (int64_t)(dnnl_memory_desc_get_size(product->scratchpad) + 63) / 64 * 64;
    char *scratchpad = thread_memory(own + (a_rows + b_rows + c_rows) * (int64_t)sizeof(float));
    float *a = (float *)(scratchpad + own), *b = a + a_rows, *c = b + b_rows; /* large enough for bf16 as well */
    copy_column(a, 1, g->a, g->lda, a_rows, g->type);
    copy_column(b, 1, g->b, g->ldb, b_rows, g->type);
    if (g->accumulate) copy_column(c, 1, g->c, g->ldc, c_rows, g->c_type);
    if (a_rows) copy.a = a;
    if (b_rows) copy.b = b;
    if (c_rows) copy.c = c;
    run_product(product, &copy, scratchpad);
    copy_column(g->c, g->ldc, c, 1, c_rows, g->c_type);
}

void cpu_product_reserve(int count) { gemm_plans_reserve(&plans, count); }

/* NULL stands for dnnl_sgemm: in fp32 it is as fast as the primitive and faster for thin shapes, but up to a quarter
 * slower if B is transposed. */
const CpuProduct *cpu_product_prepare(const Gemm *g) {
    const bool thin = g->n < 32 || g->k < 32;
    return g->type == BF16 || (g->transpose_b && !thin) ? product_of(packed(g)) : NULL;
}

void cpu_product_multiply(const CpuProduct *product, const Gemm *g) {
    if (product) {
        run_packed(product, g);
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
