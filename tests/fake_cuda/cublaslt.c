/* cuBLASLt on the CPU. It checks that matrices are described as its documentation requires, column by column, that an
 * algorithm is used only at the alignment that it was requested for, and that partial sums are not rounded to bf16. It
 * multiplies like the device `cpu`.
 *
 * FAKE_CUDA_PRODUCTS   set: at its end the program prints how many products were not aligned to 16 bytes
 * FAKE_CUDA_LT_STATUS  the status that cublasLtCreate returns, a number */
#include <cublasLt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "core/device.h"
#include "fake_cuda/fake.h"

typedef struct Layout {
    cudaDataType type;
    uint64_t rows, cols;
    int64_t stride;
} Layout;

typedef struct Operation {
    cublasOperation_t a, b;
} Operation;

/* The library's handles are pointers to opaque structs. */
#define LAYOUT(handle)    ((const Layout *)(const void *)(handle))
#define OPERATION(handle) ((Operation *)(void *)(handle))

typedef struct Preference {
    uint32_t reductions, alignment[4]; /* of A, B, C, D */
} Preference;

#define PREFERENCE(handle) ((Preference *)(void *)(handle))

/* The library is linked to a CUDA runtime of its own, so an error in the library is not the last error of the program's
 * runtime. */
#define ANSWER_FAILURE                                                                                                 \
    if (fake_failure() != cudaSuccess) return CUBLAS_STATUS_EXECUTION_FAILED

static int64_t products, slow_products;

__attribute__((destructor)) static void print_products(void) {
    if (getenv("FAKE_CUDA_PRODUCTS"))
        fprintf(stderr, "%lld of %lld products lost their fast kernels\n", (long long)slow_products,
                (long long)products);
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
    ANSWER_FAILURE;
    const char *status = getenv("FAKE_CUDA_LT_STATUS");
    *handle = NULL;
    return status ? (cublasStatus_t)atoi(status) : CUBLAS_STATUS_SUCCESS;
}

const char *cublasLtGetStatusName(cublasStatus_t status) { return status ? "an error" : "success"; }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute, cudaDataType_t scale) {
    ANSWER_FAILURE;
    CHECK(compute == CUBLAS_COMPUTE_32F && scale == CUDA_R_32F, "sums are fp32");
    *desc = calloc(1, sizeof(Operation));
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t bytes) {
    ANSWER_FAILURE;
    CHECK(bytes == sizeof(cublasOperation_t), "an attribute of another size");
    memcpy(attribute == CUBLASLT_MATMUL_DESC_TRANSA ? &OPERATION(desc)->a : &OPERATION(desc)->b, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType type, uint64_t rows,
                                          uint64_t cols, int64_t stride) {
    ANSWER_FAILURE;
    Layout *made = malloc(sizeof *made);
    CHECK(made && (uint64_t)stride >= rows, "columns of %llu, %lld apart", (unsigned long long)rows, (long long)stride);
    *made = (Layout){type, rows, cols, stride};
    *layout = (cublasLtMatrixLayout_t)(void *)made;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
    ANSWER_FAILURE;
    free(OPERATION(desc));
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
    ANSWER_FAILURE;
    free((void *)layout);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference) {
    ANSWER_FAILURE;
    Preference *made = malloc(sizeof *made);
    CHECK(made, "out of memory");
    *made = (Preference){CUBLASLT_REDUCTION_SCHEME_MASK, {256, 256, 256, 256}}; /* as documented */
    *preference = (cublasLtMatmulPreference_t)(void *)made;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
    ANSWER_FAILURE;
    free(PREFERENCE(preference));
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
                                                    size_t bytes) {
    ANSWER_FAILURE;
    if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) return CUBLAS_STATUS_SUCCESS;
    const int matrix = (int)attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
    const bool reductions = attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK;
    CHECK(bytes == sizeof(uint32_t) && (reductions || (matrix >= 0 && matrix < 4)), "an attribute of another kind");
    memcpy(reductions ? &PREFERENCE(preference)->reductions : &PREFERENCE(preference)->alignment[matrix], value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

/* The reduction schemes of split-k products that round partial sums to the output's type: in place and output type. */
static void check_reductions(const Preference *preference, const Layout *output) {
    const uint32_t in_output_type = CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE | CUBLASLT_REDUCTION_SCHEME_INPLACE;
    CHECK(output->type == CUDA_R_32F || !(preference->reductions & in_output_type),
          "partial sums may be rounded to bf16: the reduction schemes are %u", preference->reductions);
}

/* The fake algorithm stores the alignment at which it may be used. */
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int *found) {
    (void)handle, (void)desc, (void)a, (void)b, (void)c, (void)wanted;
    ANSWER_FAILURE;
    check_reductions(PREFERENCE(preference), LAYOUT(d));
    memset(results, 0, sizeof results[0]);
    memcpy(results[0].algo.data, PREFERENCE(preference)->alignment, sizeof PREFERENCE(preference)->alignment);
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

static void check_alignment(const cublasLtMatmulAlgo_t *algorithm, const void *const matrices[4]) {
    uint32_t alignment[4];
    memcpy(alignment, algorithm->data, sizeof alignment);
    for (int i = 0; i < 4; i++)
        CHECK((uintptr_t)matrices[i] % alignment[i] == 0, "%p is not aligned to %u bytes, as was said", matrices[i],
              alignment[i]);
}

static void run_product(void *payload) { device_cpu()->gemm(payload); }

static DType type_of(cudaDataType type) { return type == CUDA_R_16BF ? BF16 : F32; }

/* D = op(A) op(B), all stored column by column; read row by row, that is D^T = op(B)^T op(A)^T. */
cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha, const void *a,
                              cublasLtMatrixLayout_t a_layout, const void *b, cublasLtMatrixLayout_t b_layout,
                              const void *beta, const void *c, cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algorithm, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
    (void)handle, (void)workspace, (void)workspace_bytes;
    ANSWER_FAILURE;
    check_alignment(algorithm, (const void *const[]){a, b, c, d});
    const Layout *A = LAYOUT(a_layout), *B = LAYOUT(b_layout), *D = LAYOUT(d_layout);
    const bool a_transposed = OPERATION(desc)->a == CUBLAS_OP_T, b_transposed = OPERATION(desc)->b == CUBLAS_OP_T;
    const uint64_t inner = a_transposed ? A->rows : A->cols;
    CHECK(*(const float *)alpha == 1 && c == d && c_layout == d_layout, "D is C");
    CHECK((a_transposed ? A->cols : A->rows) == D->rows && (b_transposed ? B->rows : B->cols) == D->cols &&
              (b_transposed ? B->cols : B->rows) == inner && A->type == B->type,
          "the matrices of a product do not fit together");
    const Gemm gemm = {.transpose_a = b_transposed,
                       .transpose_b = a_transposed,
                       .accumulate = *(const float *)beta == 1,
                       .m = (int64_t)D->cols,
                       .n = (int64_t)D->rows,
                       .k = (int64_t)inner,
                       .a = b,
                       .b = a,
                       .c = d,
                       .lda = B->stride,
                       .ldb = A->stride,
                       .ldc = D->stride,
                       .type = type_of(A->type),
                       .c_type = type_of(D->type)};
    products++;
    slow_products += !gemm_is_aligned(&gemm);
    fake_enqueue(stream, run_product, &gemm, sizeof gemm);
    return CUBLAS_STATUS_SUCCESS;
}
