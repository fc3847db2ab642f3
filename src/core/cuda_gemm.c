#ifdef FLAME_CUDA
#include "core/cuda_gemm.h"

#include <cublasLt.h>
#include <stdio.h>

#include "base/check.h"
#include "core/cuda_call.h"
#include "core/gemm_plans.h"
#include "base/library.h"

#define CUBLASLT_FUNCTIONS(X)                                                                                          \
    X(cublasLtCreate)                                                                                                  \
    X(cublasLtGetStatusName)                                                                                           \
    X(cublasLtMatmul)                                                                                                  \
    X(cublasLtMatmulAlgoGetHeuristic)                                                                                  \
    X(cublasLtMatmulDescCreate)                                                                                        \
    X(cublasLtMatmulDescDestroy)                                                                                       \
    X(cublasLtMatmulDescSetAttribute)                                                                                  \
    X(cublasLtMatmulPreferenceCreate)                                                                                  \
    X(cublasLtMatmulPreferenceDestroy)                                                                                 \
    X(cublasLtMatmulPreferenceSetAttribute)                                                                            \
    X(cublasLtMatrixLayoutCreate)                                                                                      \
    X(cublasLtMatrixLayoutDestroy)

/* Pointers to cuBLASLt's functions, with the prototypes of its header. */
static struct {
#define POINTER(name) __typeof__(name) *name;
    CUBLASLT_FUNCTIONS(POINTER)
#undef POINTER
} lt;

/* Whether a call of cuBLASLt succeeded. Ends the job if it failed because the GPU has. */
static bool succeeded(cublasStatus_t status) {
    if (status != CUBLAS_STATUS_SUCCESS) CUDA(cuda_failure());
    return status == CUBLAS_STATUS_SUCCESS;
}

#define LT(call)                                                                                                       \
    do {                                                                                                               \
        const cublasStatus_t status_ = (call);                                                                         \
        CHECK(succeeded(status_), "cuBLASLt answered %s", lt.cublasLtGetStatusName(status_));                          \
    } while (0)

/* cuBLASLt's plan for one shape at one alignment of its matrices. It is only read while a product is enqueued or
 * recorded, so it may be destroyed afterwards. */
typedef struct Product {
    GemmKey key;
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t algorithm;
} Product;

static struct {
    cublasLtHandle_t handle;
    void *workspace;
    size_t workspace_bytes;
} cuda;

/* In the headers of 12.4, 12.9 and 13.1 the functions above have the same prototypes, and the enumerators, structs and
 * offsets that this file uses have the same values. So a program built with either version runs with the other. */
_Static_assert(CUBLAS_VER_MAJOR == 12 || CUBLAS_VER_MAJOR == 13,
               "compare the header with that of 13, then name the new version here and in cuda_gemm_open");
_Static_assert(sizeof(cublasLtMatmulAlgo_t) == 64 && sizeof(cublasLtMatmulHeuristicResult_t) == 96,
               "cuBLASLt's structs have changed");

/* `why` receives one clause. */
static bool open_version(int major, char *why, int64_t why_bytes) {
    static const LibrarySymbol symbols[] = {
#define SYMBOL(name) {#name, &lt.name},
        CUBLASLT_FUNCTIONS(SYMBOL)
#undef SYMBOL
    };
    char file[64];
    snprintf(file, sizeof file, "libcublasLt.so.%d", major);
    if (!library_load(file, symbols, (int)(sizeof symbols / sizeof *symbols), why, why_bytes)) return false;
    const cublasStatus_t status = lt.cublasLtCreate(&cuda.handle);
    if (status == CUBLAS_STATUS_SUCCESS) return true;
    snprintf(why, (size_t)why_bytes, "%s does not start: %s", file, lt.cublasLtGetStatusName(status));
    return false;
}

bool cuda_gemm_open(void *workspace, int64_t workspace_bytes, char *why, int64_t why_bytes) {
    const int other = CUBLAS_VER_MAJOR == 12 ? 13 : 12;
    char own_words[256], other_words[256];
    cuda.workspace = workspace;
    cuda.workspace_bytes = (size_t)workspace_bytes;
    if (open_version(CUBLAS_VER_MAJOR, own_words, sizeof own_words)) return true;
    if (open_version(other, other_words, sizeof other_words)) return true;
    snprintf(why, (size_t)why_bytes, "%s; %s", own_words, other_words);
    return false;
}

static cudaDataType type_of(DType type) { return type == BF16 ? CUDA_R_16BF : CUDA_R_32F; }

/* cuBLASLt is column-major, and a row-major matrix read as column-major is its transpose: C^T = op(B)^T op(A)^T. So
 * cuBLASLt's first operand is our B and its second our A, each transposed where ours is. */
static void create_layouts(Product *product, const Gemm *g) {
    const cublasOperation_t first = g->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t second = g->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    LT(lt.cublasLtMatmulDescCreate(&product->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    LT(lt.cublasLtMatmulDescSetAttribute(product->operation, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first));
    LT(lt.cublasLtMatmulDescSetAttribute(product->operation, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second));
    const uint64_t m = (uint64_t)g->m, n = (uint64_t)g->n, k = (uint64_t)g->k;
    LT(lt.cublasLtMatrixLayoutCreate(&product->b, type_of(g->type), g->transpose_b ? k : n, g->transpose_b ? n : k,
                                     g->ldb));
    LT(lt.cublasLtMatrixLayoutCreate(&product->a, type_of(g->type), g->transpose_a ? m : k, g->transpose_a ? k : m,
                                     g->lda));
    LT(lt.cublasLtMatrixLayoutCreate(&product->c, type_of(g->c_type), n, m, g->ldc));
}

static void product_destroy(void *plan) {
    const Product *product = plan;
    LT(lt.cublasLtMatrixLayoutDestroy(product->a));
    LT(lt.cublasLtMatrixLayoutDestroy(product->b));
    LT(lt.cublasLtMatrixLayoutDestroy(product->c));
    LT(lt.cublasLtMatmulDescDestroy(product->operation));
}

/* If the library refuses a product, ends the job with a message that names it. */
static void check_product(cublasStatus_t status, const Product *product) {
    const Gemm *g = &product->key.shape;
    const uint32_t *alignment = product->key.alignment;
    CHECK(
        succeeded(status),
        "cuBLASLt answered %s for [%lld, %lld]%s times [%lld, %lld]%s, of %lld bytes each to %lld, rows %lld, %lld and "
        "%lld apart, aligned to %u, %u and %u bytes",
        lt.cublasLtGetStatusName(status), (long long)g->m, (long long)g->k, g->transpose_a ? " (transposed)" : "",
        (long long)g->k, (long long)g->n, g->transpose_b ? " (transposed)" : "", (long long)dtype_size(g->type),
        (long long)dtype_size(g->c_type), (long long)g->lda, (long long)g->ldb, (long long)g->ldc, alignment[0],
        alignment[1], alignment[2]);
}

static void set_preference(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
                           const void *value, size_t bytes) {
    LT(lt.cublasLtMatmulPreferenceSetAttribute(preference, attribute, value, bytes));
}

/* A product whose k is split over thread blocks adds up partial sums. These are fp32, so they may be added up in place
 * only if C is fp32 too. */
static uint32_t reductions_of(const Gemm *g) {
    const uint32_t in_place = g->c_type == F32 ? CUBLASLT_REDUCTION_SCHEME_INPLACE : 0;
    return CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE | in_place;
}

/* The algorithm that cuBLASLt's heuristic ranks first. */
static void choose_algorithm(Product *product) {
    static const cublasLtMatmulPreferenceAttributes_t attributes[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    const uint32_t reductions = reductions_of(&product->key.shape);
    cublasLtMatmulPreference_t preference;
    LT(lt.cublasLtMatmulPreferenceCreate(&preference));
    set_preference(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &cuda.workspace_bytes,
                   sizeof cuda.workspace_bytes);
    set_preference(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions, sizeof reductions);
    for (int i = 0; i < 4; i++)
        set_preference(preference, attributes[i], &product->key.alignment[i < 2 ? i : 2],
                       sizeof product->key.alignment[0]);
    cublasLtMatmulHeuristicResult_t result = {.state = CUBLAS_STATUS_NOT_SUPPORTED};
    int found = 0;
    check_product(lt.cublasLtMatmulAlgoGetHeuristic(cuda.handle, product->operation, product->b, product->a, product->c,
                                                    product->c, preference, 1, &result, &found),
                  product);
    check_product(result.state, product);
    product->algorithm = result.algo;
    LT(lt.cublasLtMatmulPreferenceDestroy(preference));
}

/* The largest power of two up to 256 that the address is a multiple of. */
static uint32_t alignment_of(const void *memory) {
    const uintptr_t bits = (uintptr_t)memory | 256;
    return (uint32_t)(bits & (~bits + 1));
}

static GemmPlans plans = {.most = GEMM_PLANS, .plan_bytes = sizeof(Product), .destroy = product_destroy};

/* The plan for this product, made at first use. */
static const Product *product_of(const Gemm *g) {
    const GemmKey key = {*g, {alignment_of(g->a), alignment_of(g->b), alignment_of(g->c)}};
    bool is_new;
    gemm_plans_reserve(&plans, 1);
    Product *product = gemm_plans_find(&plans, &key, &is_new);
    if (!is_new) return product;
    product->key = key;
    create_layouts(product, g);
    choose_algorithm(product);
    return product;
}

void cuda_gemm(const Gemm *g, cudaStream_t stream) {
    const float one = 1, zero = 0;
    const Product *product = product_of(g);
    check_product(lt.cublasLtMatmul(cuda.handle, product->operation, &one, g->b, product->b, g->a, product->a,
                                    g->accumulate ? &one : &zero, g->c, product->c, g->c, product->c,
                                    &product->algorithm, cuda.workspace, cuda.workspace_bytes, stream),
                  product);
}

#endif
