// Every CUDA kernel of TinyDpo, written by hand. One family a banner; the launchers stand in src/Kernels/Cuda.
//
// nvcc and NVRTC take this file as it stands (with --fmad=false); tools/ptx.sh compiles it with clang and no CUDA toolkit to kernels.ptx,
// which is what users run. Rules that every kernel keeps:
//   - No libdevice: exp, log, log1p and tanh are written out below, with the constants of src/Kernels/Cpu/MathConstants.cs and in the same
//     order of operations, so that elementwise kernels have the bits of the CPU. An fma is written where one is meant, contraction is off.
//   - No floating-point atomics, and no "last block": a sum's order depends on its length alone.
//   - Any size. Sixteen bytes at a time where the addresses allow, one number at a time elsewhere.
//   - NaN passes through: comparisons and selections instead of min and max.
// A kernel's comment gives its grid, its shared memory, the bytes that it must move and the bytes that it moves.

#if defined(__clang__) && defined(__CUDA__) && !defined(__NVCC__)
// clang without a toolkit knows the language, but not NVIDIA's headers.
#define __host__ __attribute__((host))
#define __device__ __attribute__((device))
#define __global__ __attribute__((global))
#define __shared__ __attribute__((shared))
#define __forceinline__ __inline__ __attribute__((always_inline))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))
#define __align__(n) __attribute__((aligned(n)))
struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
#include <__clang_cuda_builtin_vars.h>
struct __align__(16) float4 { float x, y, z, w; };
static __device__ __forceinline__ float4 make_float4(float x, float y, float z, float w) { return float4{x, y, z, w}; }
static __device__ __forceinline__ float fmaf(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static __device__ __forceinline__ double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
static __device__ __forceinline__ float sqrtf(float a) { return __builtin_sqrtf(a); }
static __device__ __forceinline__ float fabsf(float a) { return __builtin_fabsf(a); }
static __device__ __forceinline__ int __float_as_int(float a) { return __builtin_bit_cast(int, a); }
static __device__ __forceinline__ float __int_as_float(int a) { return __builtin_bit_cast(float, a); }
static __device__ __forceinline__ void __syncwarp(unsigned mask = 0xffffffffu) { __nvvm_bar_warp_sync(mask); }
// The last operand is what width 32 means in PTX: 0x1f, and 0 for shfl.up.
static __device__ __forceinline__ float __shfl_xor_sync(unsigned mask, float v, int lane) { return __nvvm_shfl_sync_bfly_f32(mask, v, lane, 0x1f); }
static __device__ __forceinline__ int __shfl_xor_sync(unsigned mask, int v, int lane) { return __nvvm_shfl_sync_bfly_i32(mask, v, lane, 0x1f); }
static __device__ __forceinline__ float __shfl_down_sync(unsigned mask, float v, unsigned d) { return __nvvm_shfl_sync_down_f32(mask, v, d, 0x1f); }
static __device__ __forceinline__ int __shfl_up_sync(unsigned mask, int v, unsigned d) { return __nvvm_shfl_sync_up_i32(mask, v, d, 0); }
static __device__ __forceinline__ float __shfl_sync(unsigned mask, float v, int lane) { return __nvvm_shfl_sync_idx_f32(mask, v, lane, 0x1f); }
static __device__ __forceinline__ int __shfl_sync(unsigned mask, int v, int lane) { return __nvvm_shfl_sync_idx_i32(mask, v, lane, 0x1f); }
static __device__ __forceinline__ unsigned __ballot_sync(unsigned mask, int p) { return __nvvm_vote_ballot_sync(mask, p); }
#endif

typedef unsigned long long u64;

static const unsigned AllLanes = 0xffffffffu;

// ---------------------------------------------------------------------------------------------------------------------------------------
// Elementary functions: src/Kernels/Cpu/VectorMath.Single.cs line for line. Change neither alone.
// ---------------------------------------------------------------------------------------------------------------------------------------

static __device__ __forceinline__ float power_of_two(int k) { return __int_as_float((k + 127) << 23); }

// e^x by x = k ln 2 + r and a polynomial in r. Comparisons, not min and max: a NaN fails both and passes through.
static __device__ __forceinline__ float exp_(float x) {
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    float shifted = fmaf(x, 1.44269502f, 12582912.0f);
    float rounded = shifted - 12582912.0f;
    float r = fmaf(-rounded, 0.693147182f, x);
    r = fmaf(-rounded, -1.90465421e-9f, r);
    float p = fmaf(0.00137821981f, r, 0.00836867746f);
    p = fmaf(p, r, 0.0416689664f);
    p = fmaf(p, r, 0.166665211f);
    p = fmaf(p, r, 0.499999911f);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    // 2^k in two factors: k reaches beyond one exponent, and only the second multiplication can round, into a denormal.
    int k = __float_as_int(shifted) - 0x4B400000;
    int half = k >> 1;
    return p * power_of_two(half) * power_of_two(k - half);
}

// log(2^k (1 + f)) for 1 + f in [2/3, 4/3).
static __device__ __forceinline__ float log_of_reduced(float f, int k) {
    float p = fmaf(-0.12832424f, f, 0.140027761f);
    p = fmaf(p, f, -0.121985942f);
    p = fmaf(p, f, 0.140016198f);
    p = fmaf(p, f, -0.166793853f);
    p = fmaf(p, f, 0.200107142f);
    p = fmaf(p, f, -0.249998242f);
    p = fmaf(p, f, 0.333332092f);
    p = fmaf(p, f, -0.5f);
    p = fmaf(p, f * f, f);
    return fmaf((float)k, 0.693147182f, p);
}

// A logarithm where x is no ordinary number: -inf at the pole, NaN below, else x itself.
static __device__ __forceinline__ float log_outside(float x, float pole) {
    float below = x < pole ? __int_as_float(0x7fc00000) : x;
    return x == pole ? __int_as_float(0xff800000) : below;
}

static __device__ __forceinline__ float log_(float x) {
    bool denormal = x < 1.17549435e-38f;
    unsigned bits = (unsigned)__float_as_int(denormal ? x * 8388608.0f : x);
    int k = (int)(bits - 0x3F2AAAABu) >> 23;
    float m = __int_as_float((int)(bits - ((unsigned)k << 23)));
    k -= denormal ? 23 : 0;
    float result = log_of_reduced(m - 1.0f, k);
    return x > 0.0f && x < __int_as_float(0x7f800000) ? result : log_outside(x, 0.0f);
}

// 2^k is chosen by the rounded 1 + x, but f = (1 + x) 2^-k - 1 is made from x itself.
static __device__ __forceinline__ float log1p_(float x) {
    unsigned scale = ((unsigned)__float_as_int(1.0f + x) - 0x3F2AAAABu) & 0xFF800000u;
    float scaled = __int_as_float((int)((unsigned)__float_as_int(x) - scale));
    float four = __int_as_float((int)(0x40800000u - scale));
    float f = scaled + fmaf(0.25f, four, -1.0f);
    float result = log_of_reduced(f, (int)scale >> 23);
    return x > -1.0f && x < __int_as_float(0x7f800000) && x != 0.0f ? result : log_outside(x, -1.0f);
}

static __device__ __forceinline__ float tanh_(float x) {
    float a = fabsf(x);
    float square = a * a;
    float p = fmaf(-0.00570009183f, square, 0.0206341185f);
    p = fmaf(p, square, -0.0537379384f);
    p = fmaf(p, square, 0.133314162f);
    p = fmaf(p, square, -0.333332807f);
    float near = fmaf(p, a * square, a);
    float far = 1.0f - 2.0f / (exp_(a + a) + 1.0f);
    float result = a < 0.625f ? near : far;
    return __int_as_float(__float_as_int(result) | (__float_as_int(x) & (int)0x80000000u));
}

static __device__ __forceinline__ float sigmoid_(float x) {
    float e = exp_(-fabsf(x));
    float numerator = x < 0.0f ? e : 1.0f;
    return numerator / (1.0f + e);
}

static __device__ __forceinline__ float softplus_(float x) {
    float positive = x < 0.0f ? 0.0f : x;
    return positive + log1p_(exp_(-fabsf(x)));
}

static __device__ __forceinline__ float log_sigmoid_(float x) { return -softplus_(-x); }

// ---------------------------------------------------------------------------------------------------------------------------------------
// Elementwise: unary, binary, affine, SwiGLU, each with its backward.
// ---------------------------------------------------------------------------------------------------------------------------------------

// y[i] = scale x[i] + shift, or y[i] + that. Grid: a thread for each element. Moves what it must: x once, y once (twice to add).
extern "C" __global__ void affine(const float* __restrict__ x, float scale, float shift, float* __restrict__ y, int n, int accumulate) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        float value = fmaf(scale, x[i], shift);
        y[i] = accumulate ? y[i] + value : value;
    }
}

// ---------------------------------------------------------------------------------------------------------------------------------------
// Reductions: sum, segment sum, column sum, bias, each with its backward.
// ---------------------------------------------------------------------------------------------------------------------------------------

// ---------------------------------------------------------------------------------------------------------------------------------------
// Rows: gather, scatter-add over a sorted index.
// ---------------------------------------------------------------------------------------------------------------------------------------

// ---------------------------------------------------------------------------------------------------------------------------------------
// Norms: RMSNorm and LayerNorm, forward and backward.
// ---------------------------------------------------------------------------------------------------------------------------------------

// ---------------------------------------------------------------------------------------------------------------------------------------
// Log-probs: fused log-softmax and target gather, its backward, KL of rows, sampling.
// ---------------------------------------------------------------------------------------------------------------------------------------

// ---------------------------------------------------------------------------------------------------------------------------------------
// Optimisers: sum of squares, AdamW, SGD, RMSprop.
// ---------------------------------------------------------------------------------------------------------------------------------------

// ---------------------------------------------------------------------------------------------------------------------------------------
// Attention: rotary positions, segment attention forward and backward, the key/value cache.
// ---------------------------------------------------------------------------------------------------------------------------------------

