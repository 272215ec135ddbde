// cuBLAS, as cuda_stub.c is the driver: it records, and computes nothing.
#include "prototypes.h"
#include "recorder.h"
#include <stdint.h>

#define P(x) ((unsigned long long)(uintptr_t)(x))

cublasStatus_t cublasCreate_v2(cublasHandle_t *handle) {
    *handle = (cublasHandle_t)(uintptr_t)0xF1F2F3F400000007ull;
    return record("cublasCreate_v2", "");
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) { return record("cublasDestroy_v2", " 0x%llx", P(handle)); }

cublasStatus_t cublasGetVersion_v2(cublasHandle_t handle, int *version) {
    *version = 120403;
    return record("cublasGetVersion_v2", " 0x%llx", P(handle));
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
    return record("cublasSetStream_v2", " 0x%llx 0x%llx", P(handle), P(stream));
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t bytes) {
    return record("cublasSetWorkspace_v2", " 0x%llx 0x%llx %zu", P(handle), P(workspace), bytes);
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
    return record("cublasSetMathMode", " 0x%llx %d", P(handle), (int)mode);
}

cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t mode) {
    return record("cublasSetPointerMode_v2", " 0x%llx %d", P(handle), (int)mode);
}

cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t trans_a, cublasOperation_t trans_b, int m, int n, int k,
    const float *alpha, const float *a, int lda, const float *b, int ldb, const float *beta, float *c, int ldc) {
    return record("cublasSgemm_v2", " 0x%llx %d %d %d %d %d %.9g 0x%llx %d 0x%llx %d %.9g 0x%llx %d", P(handle), (int)trans_a, (int)trans_b,
        m, n, k, *alpha, P(a), lda, P(b), ldb, *beta, P(c), ldc);
}
