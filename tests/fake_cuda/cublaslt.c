/* cuBLASLt on the CPU: checks that the matrices are described as its documentation wants them, column by column, and
 * multiplies them as the device `cpu` does. */
#include <cublasLt.h>
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

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
    *handle = NULL;
    return CUBLAS_STATUS_SUCCESS;
}

const char *cublasLtGetStatusName(cublasStatus_t status) { return status ? "an error" : "success"; }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute, cudaDataType_t scale) {
    CHECK(compute == CUBLAS_COMPUTE_32F && scale == CUDA_R_32F, "sums are fp32");
    *desc = calloc(1, sizeof(Operation));
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t bytes) {
    CHECK(bytes == sizeof(cublasOperation_t), "an attribute of another size");
    memcpy(attribute == CUBLASLT_MATMUL_DESC_TRANSA ? &OPERATION(desc)->a : &OPERATION(desc)->b, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType type, uint64_t rows,
                                          uint64_t cols, int64_t stride) {
    Layout *made = malloc(sizeof *made);
    CHECK(made && (uint64_t)stride >= rows, "columns of %llu, %lld apart", (unsigned long long)rows, (long long)stride);
    *made = (Layout){type, rows, cols, stride};
    *layout = (cublasLtMatrixLayout_t)(void *)made;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference) {
    *preference = NULL;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
    (void)preference;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
                                                    size_t bytes) {
    (void)preference, (void)attribute, (void)value, (void)bytes;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int *found) {
    (void)handle, (void)desc, (void)a, (void)b, (void)c, (void)d, (void)preference, (void)wanted;
    memset(results, 0, sizeof results[0]);
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

static void run_product(void *payload) { device_cpu()->gemm(payload); }

static DType type_of(cudaDataType type) { return type == CUDA_R_16BF ? BF16 : F32; }

/* D = op(A) op(B), all stored column by column: row by row that is D^T = op(B)^T op(A)^T. */
cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha, const void *a,
                              cublasLtMatrixLayout_t a_layout, const void *b, cublasLtMatrixLayout_t b_layout,
                              const void *beta, const void *c, cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algorithm, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
    (void)handle, (void)algorithm, (void)workspace, (void)workspace_bytes;
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
    fake_enqueue(stream, run_product, &gemm, sizeof gemm);
    return CUBLAS_STATUS_SUCCESS;
}
