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
// A float4 that is read or written as a struct may come apart into four accesses; a vector of clang's stays one.
typedef float vector4 __attribute__((ext_vector_type(4)));
static __device__ __forceinline__ float4 load_float4(const float* p) {
    vector4 v = *(const vector4*)p;
    return float4{v.x, v.y, v.z, v.w};
}
static __device__ __forceinline__ void store_float4(float* p, float4 v) { *(vector4*)p = vector4{v.x, v.y, v.z, v.w}; }
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
static __device__ __forceinline__ int __popc(unsigned a) { return __builtin_popcount(a); }
static __device__ __forceinline__ int __ffs(int a) { return __builtin_ffs(a); }
static __device__ __forceinline__ unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((unsigned long long)a * b) >> 32); }
static __device__ __forceinline__ long long __double_as_longlong(double a) { return __builtin_bit_cast(long long, a); }
static __device__ __forceinline__ double __longlong_as_double(long long a) { return __builtin_bit_cast(double, a); }
static __device__ __forceinline__ unsigned long long atomicAdd(unsigned long long* p, unsigned long long v) {
    return (unsigned long long)__nvvm_atom_add_gen_ll((long long*)p, (long long)v);
}
#else
static __device__ __forceinline__ float4 load_float4(const float* p) { return *(const float4*)p; }
static __device__ __forceinline__ void store_float4(float* p, float4 v) { *(float4*)p = v; }
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
// Building blocks: registers, vector access, sums over a warp and over the threads of a row.
// ---------------------------------------------------------------------------------------------------------------------------------------

static const unsigned Threads = 256; // of every block below

// W neighbouring numbers in registers: 4 where rows allow it, else 1.
template <int W> struct Pack { float v[W]; };

static __device__ __forceinline__ bool aligned(const void* p) { return ((u64)p & 15) == 0; }

// Sixteen bytes in one access when `wide`; the caller has looked at the address.
template <int W> static __device__ __forceinline__ Pack<W> load(const float* p, bool wide) {
    Pack<W> r;
    if constexpr (W == 4) {
        if (wide) {
            float4 four = load_float4(p);
            r.v[0] = four.x, r.v[1] = four.y, r.v[2] = four.z, r.v[3] = four.w;
            return r;
        }
    }
#pragma unroll
    for (int c = 0; c < W; c++) r.v[c] = p[c];
    return r;
}

template <int W> static __device__ __forceinline__ void store(const Pack<W>& r, float* p, bool wide) {
    if constexpr (W == 4) {
        if (wide) {
            store_float4(p, make_float4(r.v[0], r.v[1], r.v[2], r.v[3]));
            return;
        }
    }
#pragma unroll
    for (int c = 0; c < W; c++) p[c] = r.v[c];
}

// Writes, or adds to what stands there.
template <int W> static __device__ __forceinline__ void store(Pack<W> r, float* p, bool wide, int accumulate) {
    if (accumulate) {
        Pack<W> old = load<W>(p, wide);
#pragma unroll
        for (int c = 0; c < W; c++) r.v[c] = old.v[c] + r.v[c];
    }
    store<W>(r, p, wide);
}

static __device__ __forceinline__ u64 shfl_xor(u64 v, int lane) {
    unsigned low = (unsigned)__shfl_xor_sync(AllLanes, (int)(unsigned)v, lane);
    unsigned high = (unsigned)__shfl_xor_sync(AllLanes, (int)(unsigned)(v >> 32), lane);
    return (u64)high << 32 | low;
}

static __device__ __forceinline__ u64 shfl_up(u64 v, int lanes) {
    unsigned low = (unsigned)__shfl_up_sync(AllLanes, (int)(unsigned)v, lanes);
    unsigned high = (unsigned)__shfl_up_sync(AllLanes, (int)(unsigned)(v >> 32), lanes);
    return (u64)high << 32 | low;
}

// Every lane gets the same bits: the two halves of each exchange add the same two numbers.
static __device__ __forceinline__ float warp_sum(float v) {
#pragma unroll
    for (int lane = 16; lane > 0; lane >>= 1) v += __shfl_xor_sync(AllLanes, v, lane);
    return v;
}

static __device__ __forceinline__ double warp_sum(double v) {
#pragma unroll
    for (int lane = 16; lane > 0; lane >>= 1) v += __longlong_as_double((long long)shfl_xor((u64)__double_as_longlong(v), lane));
    return v;
}

static __device__ __forceinline__ u64 warp_sum(u64 v) {
#pragma unroll
    for (int lane = 16; lane > 0; lane >>= 1) v += shfl_xor(v, lane);
    return v;
}

static __device__ __forceinline__ u64 warp_max(u64 v) {
#pragma unroll
    for (int lane = 16; lane > 0; lane >>= 1) {
        u64 other = shfl_xor(v, lane);
        v = other > v ? other : v;
    }
    return v;
}

// T threads that share a row: a warp, or the whole block. Sums go through a warp's lanes first, then over the warps in order, so that
// they depend on T alone, which the row's length decides.
template <int T> struct RowThreads {
    unsigned rank = threadIdx.x % T;
    unsigned turn = 0;

    // Two places by turns: who writes the next sum cannot meet a warp that still reads this one, and one barrier a sum is enough.
    template <class V> __device__ __forceinline__ V sum(V v) {
        v = warp_sum(v);
        if constexpr (T > 32) {
            __shared__ V parts[2][Threads / 32];
            V* part = parts[turn++ & 1];
            if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
            __syncthreads();
            v = part[0];
#pragma unroll
            for (unsigned w = 1; w < Threads / 32; w++) v += part[w];
        }
        return v;
    }
};

// The packs of a row that one of its T threads has in its N registers: f(k, j) for pack k, which begins at column j.
template <int T, int N, int W, class F>
static __device__ __forceinline__ void each_pack(unsigned base, unsigned columns, unsigned rank, F f) {
#pragma unroll
    for (int k = 0; k < N / W; k++) {
        unsigned j = base + (k * T + rank) * W;
        if (j < columns) f(k, j);
    }
}

// A tile of a matrix, f(row, column) for each of its packs: the threads run along its rows, one after the other.
template <int W, class F> static __device__ __forceinline__ void each_in_tile(unsigned rows, unsigned columns, F f) {
    unsigned packs = columns / W;
    unsigned row = threadIdx.x / packs, pack = threadIdx.x % packs;
    unsigned rowStep = Threads / packs, packStep = Threads % packs;
    while (row < rows) {
        f(row, pack * W);
        row += rowStep, pack += packStep;
        if (pack >= packs) row++, pack -= packs;
    }
}

// Where a block's tile lies: strips of the matrix from left to right, in each strip tiles from top to bottom.
static const unsigned TileRows = 32, TileColumns = 1024; // at most

struct Tile {
    unsigned row, column, rows, columns;
    __device__ __forceinline__ Tile(unsigned allRows, unsigned allColumns, unsigned rowsOfTile, unsigned columnsOfTile) {
        unsigned strips = (allColumns + columnsOfTile - 1) / columnsOfTile;
        row = blockIdx.x / strips * rowsOfTile;
        column = blockIdx.x % strips * columnsOfTile;
        rows = allRows - row < rowsOfTile ? allRows - row : rowsOfTile;
        columns = allColumns - column < columnsOfTile ? allColumns - column : columnsOfTile;
    }
};

// ---------------------------------------------------------------------------------------------------------------------------------------
// Elementwise: unary, binary, affine, SwiGLU, each with its backward.
// ---------------------------------------------------------------------------------------------------------------------------------------

static const unsigned ElementsOfBlock = 4 * Threads;

// f(in[.][i], result) for every i < n; result k goes to out[k][i], or is added to it where bit k of `add` is set. Grid: ceil(n / 1024)
// blocks of 256 threads, no shared memory. Moves what it must: each input once, each output once, twice to add. Inputs and outputs may be
// the same memory: a thread reads what it overwrites first, and adds to its outputs one after the other.
template <int Inputs, int Outputs, class F>
static __device__ __forceinline__ void elementwise(const float* const (&in)[Inputs], float* const (&out)[Outputs], int add, unsigned n, F f) {
    u64 addresses = 0;
#pragma unroll
    for (int k = 0; k < Inputs; k++) addresses |= (u64)in[k];
#pragma unroll
    for (int k = 0; k < Outputs; k++) addresses |= (u64)out[k];
    bool wide = (addresses & 15) == 0;
    unsigned first = blockIdx.x * ElementsOfBlock;
    unsigned i = first + threadIdx.x * 4;
    if (wide && i + 4 <= n) {
        Pack<4> x[Inputs], y[Outputs];
#pragma unroll
        for (int k = 0; k < Inputs; k++) x[k] = load<4>(in[k] + i, true);
#pragma unroll
        for (int c = 0; c < 4; c++) {
            float a[Inputs], r[Outputs];
#pragma unroll
            for (int k = 0; k < Inputs; k++) a[k] = x[k].v[c];
            f(a, r);
#pragma unroll
            for (int k = 0; k < Outputs; k++) y[k].v[c] = r[k];
        }
#pragma unroll
        for (int k = 0; k < Outputs; k++) store<4>(y[k], out[k] + i, true, add >> k & 1);
        return;
    }
    // The last few numbers, or all of them where an address is not aligned: then neighbours go to neighbouring threads.
    unsigned step = wide ? 1 : Threads;
    i = wide ? i : first + threadIdx.x;
#pragma unroll 1
    for (int c = 0; c < 4 && i < n; c++, i += step) {
        float a[Inputs], r[Outputs];
#pragma unroll
        for (int k = 0; k < Inputs; k++) a[k] = in[k][i];
        f(a, r);
#pragma unroll
        for (int k = 0; k < Outputs; k++) out[k][i] = add >> k & 1 ? out[k][i] + r[k] : r[k];
    }
}

// y = value(x), and dx (+)= derivative dy, where the derivative is made of `saved`: x, or y where that is cheaper. See elementwise.
#define UNARY(name, value, derivative)                                                                                                   \
    extern "C" __global__ void __launch_bounds__(256) unary_##name(const float* input, float* output, int n) {                           \
        elementwise<1, 1>({input}, {output}, 0, n, [](const float(&in)[1], float(&result)[1]) {                                          \
            float x = in[0];                                                                                                             \
            result[0] = value;                                                                                                           \
        });                                                                                                                              \
    }                                                                                                                                    \
    extern "C" __global__ void __launch_bounds__(256) unary_##name##_backward(                                                           \
        const float* saved, const float* dOutput, float* dInput, int n, int accumulate) {                                                \
        elementwise<2, 1>({saved, dOutput}, {dInput}, accumulate, n, [](const float(&in)[2], float(&result)[1]) {                        \
            float x = in[0], y = in[0], dy = in[1];                                                                                      \
            (void)x, (void)y;                                                                                                            \
            result[0] = derivative * dy;                                                                                                 \
        });                                                                                                                              \
    }

// gelu(x) = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
static __device__ __forceinline__ float gelu_inner(float x) { return tanh_((x + x * x * x * 0.044715f) * 0.797884561f); }

static __device__ __forceinline__ float gelu_derivative(float x) {
    float tanh = gelu_inner(x);
    float slope = 0.797884561f * (1.0f + x * x * (3.0f * 0.044715f));
    return (1.0f + tanh + x * (1.0f - tanh * tanh) * slope) * 0.5f;
}

UNARY(negate, -x, -1.0f)
UNARY(exp, exp_(x), y)
UNARY(log, log_(x), (1.0f / x))
UNARY(sigmoid, sigmoid_(x), (y * (1.0f - y)))
UNARY(log_sigmoid, log_sigmoid_(x), sigmoid_(-x))
UNARY(relu, x < 0.0f ? 0.0f : x, (x > 0.0f ? 1.0f : 0.0f))
UNARY(square, x * x, (x + x))
UNARY(tanh, tanh_(x), (1.0f - y * y))
UNARY(abs, fabsf(x), (x < 0.0f ? -1.0f : x > 0.0f ? 1.0f : 0.0f))
UNARY(gelu, x * 0.5f * (1.0f + gelu_inner(x)), gelu_derivative(x))

// y = value(a, b); the gradient of a (first) and of b (second). See elementwise; an input that a derivative does not name is not read.
#define BINARY(name, value, first, second)                                                                                               \
    extern "C" __global__ void __launch_bounds__(256) binary_##name(const float* pa, const float* pb, float* py, int n) {                \
        elementwise<2, 1>({pa, pb}, {py}, 0, n, [](const float(&in)[2], float(&result)[1]) {                                             \
            float a = in[0], b = in[1];                                                                                                  \
            result[0] = value;                                                                                                           \
        });                                                                                                                              \
    }                                                                                                                                    \
    BINARY_BACKWARD(binary_##name##_backward_first, first)                                                                               \
    BINARY_BACKWARD(binary_##name##_backward_second, second)

#define BINARY_BACKWARD(name, derivative)                                                                                                \
    extern "C" __global__ void __launch_bounds__(256) name(                                                                              \
        const float* pa, const float* pb, const float* pdy, float* pd, int n, int accumulate) {                                          \
        elementwise<3, 1>({pa, pb, pdy}, {pd}, accumulate, n, [](const float(&in)[3], float(&result)[1]) {                               \
            float a = in[0], b = in[1], dy = in[2];                                                                                      \
            (void)a, (void)b;                                                                                                            \
            result[0] = derivative;                                                                                                      \
        });                                                                                                                              \
    }

BINARY(add, a + b, dy, dy)
BINARY(subtract, a - b, dy, -dy)
BINARY(multiply, a * b, b * dy, a * dy)
BINARY(divide, a / b, 1.0f / b * dy, -a / (b * b) * dy)

// y = scale x + shift, or y + that.
extern "C" __global__ void __launch_bounds__(256) affine(const float* x, float scale, float shift, float* y, int n, int accumulate) {
    elementwise<1, 1>({x}, {y}, accumulate, n, [=](const float(&in)[1], float(&result)[1]) { result[0] = fmaf(scale, in[0], shift); });
}

// y = silu(gate) up, silu(z) = z sigmoid(z).
extern "C" __global__ void __launch_bounds__(256) swiglu(const float* gate, const float* up, float* y, int n) {
    elementwise<2, 1>({gate, up}, {y}, 0, n, [](const float(&in)[2], float(&result)[1]) { result[0] = in[0] * sigmoid_(in[0]) * in[1]; });
}

extern "C" __global__ void __launch_bounds__(256) swiglu_backward(
    const float* gate, const float* up, const float* dy, float* dGate, float* dUp, int n, int accumulateGate, int accumulateUp) {
    int add = accumulateGate | accumulateUp << 1;
    elementwise<3, 2>({gate, up, dy}, {dGate, dUp}, add, n, [](const float(&in)[3], float(&result)[2]) {
        float z = in[0];
        float sigmoid = sigmoid_(z);
        float silu = z * sigmoid;
        float slope = fmaf(silu, 1.0f - sigmoid, sigmoid);
        result[0] = in[2] * in[1] * slope;
        result[1] = in[2] * silu;
    });
}

// ---------------------------------------------------------------------------------------------------------------------------------------
// Reductions: sum, segment sum, column sum, bias, each with its backward.
// ---------------------------------------------------------------------------------------------------------------------------------------

static const unsigned SumBlock = 4096;

// The numbers of block b of x, thread by thread: f(x[i]) for 16 of them at most. Which thread gets which does not depend on the address.
template <class F> static __device__ __forceinline__ void each_of_block(const float* x, unsigned n, F f) {
    bool wide = aligned(x);
#pragma unroll
    for (unsigned k = 0; k < SumBlock / (4 * Threads); k++) {
        unsigned i = blockIdx.x * SumBlock + (k * Threads + threadIdx.x) * 4;
        if (i + 4 <= n) {
            Pack<4> v = load<4>(x + i, wide);
#pragma unroll
            for (int c = 0; c < 4; c++) f(v.v[c]);
        } else {
            for (; i < n; i++) f(x[i]);
        }
    }
}

// y[b] = scale times the sum of block b of 4096 numbers of x. The launcher goes on with the blocks' sums until one is left, so the order
// depends on n alone. Grid: ceil(n / 4096) blocks; 64 bytes of shared memory. Moves what it must: x once, a number a block.
extern "C" __global__ void __launch_bounds__(256) sum_blocks(const float* x, int n, float scale, float* y) {
    float total = 0.0f;
    each_of_block(x, n, [&](float v) { total += v; });
    total = RowThreads<Threads>().sum(total);
    if (threadIdx.x == 0) y[blockIdx.x] = scale * total;
}

// dx[i] (+)= scale dSum[0]. Grid: ceil(n / 4096) blocks. Moves dx once (twice to add), and dSum once a warp: 32 bytes to 2048.
extern "C" __global__ void __launch_bounds__(256) sum_backward(const float* dSum, float scale, float* dx, int n, int accumulate) {
    float value = scale * dSum[0];
    bool wide = aligned(dx);
#pragma unroll
    for (unsigned k = 0; k < 4; k++) {
        unsigned first = blockIdx.x * SumBlock + k * 4 * Threads;
        unsigned i = first + threadIdx.x * 4;
        if (wide && i + 4 <= (unsigned)n) {
            store<4>({value, value, value, value}, dx + i, true, accumulate);
        } else {
            unsigned step = wide ? 1 : Threads;
            i = wide ? i : first + threadIdx.x;
#pragma unroll 1
            for (int c = 0; c < 4 && i < (unsigned)n; c++, i += step) store<1>({value}, dx + i, false, accumulate);
        }
    }
}

// sum[s] = the sum of x[offsets[s] .. offsets[s + 1]): lane l adds every 32nd number from l on, then the lanes. Grid: a warp a segment, 8
// to a block. Moves x and sum once, and two offsets a segment.
extern "C" __global__ void __launch_bounds__(256) segment_sum(const float* x, const int* offsets, int segments, float* sum) {
    unsigned s = blockIdx.x * 8 + threadIdx.x / 32;
    if (s >= (unsigned)segments) return;
    unsigned lane = threadIdx.x % 32, end = offsets[s + 1];
    float total = 0.0f;
    for (unsigned i = offsets[s] + lane; i < end; i += 32) total += x[i];
    total = warp_sum(total);
    if (lane == 0) sum[s] = total;
}

// dx[i] (+)= dSum[s] for every i of segment s. Grid: as segment_sum. Moves dx once (twice to add), a gradient and two offsets a segment.
extern "C" __global__ void __launch_bounds__(256) segment_sum_backward(
    const float* dSum, const int* offsets, int segments, float* dx, int accumulate) {
    unsigned s = blockIdx.x * 8 + threadIdx.x / 32;
    if (s >= (unsigned)segments) return;
    unsigned lane = threadIdx.x % 32, end = offsets[s + 1];
    float value = dSum[s];
    for (unsigned i = offsets[s] + lane; i < end; i += 32) store<1>({value}, dx + i, false, accumulate);
}

// Sums down the columns of a matrix, the rows in chunks of 128: partial [chunks, columns]. The launcher sums that the same way until one
// row is left, so the order depends on the number of rows alone (and which lane has a column on the number of columns). A warp has 32 W
// columns of every 8th row of the chunk; then the warps are added in order. Grid: ceil(columns / (32 W)) strips times chunks, W = 4 where
// columns is a multiple of 4, else 1; 4 KiB of shared memory for the sums, 512 bytes for each number that a row has. Moves the
// matrix once and a 128th of it as partial sums.
static const unsigned ChunkRows = 128;

template <int W, class Term>
static __device__ __forceinline__ void column_sum_of(unsigned rows, unsigned columns, bool wide, float* partial, int accumulate, Term term) {
    __shared__ float sums[Threads / 32][32 * W];
    unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    unsigned strips = (columns + 32 * W - 1) / (32 * W);
    unsigned strip = blockIdx.x % strips * (32 * W), chunk = blockIdx.x / strips;
    unsigned first = chunk * ChunkRows;
    unsigned count = rows - first < ChunkRows ? rows - first : ChunkRows;
    unsigned j = strip + lane * W;
    Pack<W> total;
#pragma unroll
    for (int c = 0; c < W; c++) total.v[c] = 0.0f;
    if (j < columns) {
#pragma unroll 4
        for (unsigned r = warp; r < count; r += Threads / 32) {
            Pack<W> v = term(r, (first + r) * columns + j, wide);
#pragma unroll
            for (int c = 0; c < W; c++) total.v[c] += v.v[c];
        }
    }
    store<W>(total, &sums[warp][lane * W], true);
    __syncthreads();
    j = strip + threadIdx.x;
    if (threadIdx.x < 32 * W && j < columns) {
        float value = sums[0][threadIdx.x];
#pragma unroll
        for (unsigned w = 1; w < Threads / 32; w++) value += sums[w][threadIdx.x];
        store<1>({value}, partial + chunk * columns + j, false, accumulate);
    }
}

// The numbers that each row of a chunk has, read once by the block: v[r] for row r of the chunk.
static __device__ __forceinline__ void chunk_numbers(const float* rowNumbers, unsigned rows, unsigned columns, int W, float* v) {
    unsigned strips = (columns + 32 * W - 1) / (32 * W);
    unsigned row = blockIdx.x / strips * ChunkRows + threadIdx.x;
    if (threadIdx.x < ChunkRows && row < rows) v[threadIdx.x] = rowNumbers[row];
}

template <int W>
static __device__ __forceinline__ void column_sum_body(const float* x, unsigned rows, unsigned columns, float* partial, int accumulate) {
    column_sum_of<W>(
        rows, columns, aligned(x), partial, accumulate, [=](unsigned, unsigned at, bool wide) { return load<W>(x + at, wide); });
}

extern "C" __global__ void __launch_bounds__(256) column_sum(const float* x, int rows, int columns, float* partial, int accumulate) {
    if (columns % 4 == 0) column_sum_body<4>(x, rows, columns, partial, accumulate);
    else column_sum_body<1>(x, rows, columns, partial, accumulate);
}

// y[r, :] += bias, in place. Grid: strips of 1024 columns times tiles of at most 32 rows; 4 KiB of shared memory. Moves y
// twice and the bias once a tile: with 32 rows 1.016 times the fewest bytes.
template <int W> static __device__ __forceinline__ void add_bias_tile(
    float* y, const float* bias, unsigned rows, unsigned columns, unsigned rowsOfTile, unsigned columnsOfTile, bool wide) {
    __shared__ __align__(16) float staged[TileColumns];
    Tile tile(rows, columns, rowsOfTile, columnsOfTile);
    for (unsigned j = threadIdx.x; j < tile.columns; j += Threads) staged[j] = bias[tile.column + j];
    __syncthreads();
    each_in_tile<W>(tile.rows, tile.columns, [=](unsigned row, unsigned j) {
        store<W>(load<W>(&staged[j], true), y + (tile.row + row) * columns + tile.column + j, wide, 1);
    });
}

extern "C" __global__ void __launch_bounds__(256) add_bias(
    float* y, const float* bias, int rows, int columns, int rowsOfTile, int columnsOfTile) {
    if (columns % 4 == 0) add_bias_tile<4>(y, bias, rows, columns, rowsOfTile, columnsOfTile, aligned(y));
    else add_bias_tile<1>(y, bias, rows, columns, rowsOfTile, columnsOfTile, false);
}

// ---------------------------------------------------------------------------------------------------------------------------------------
// Rows: gather, scatter-add over a sorted index.
// ---------------------------------------------------------------------------------------------------------------------------------------

// y[i, :] = table[index[i], :]. Grid: as add_bias; 128 bytes of shared memory. Moves the rows that are named and y once, the index once a
// strip of 1024 columns.
template <int W> static __device__ __forceinline__ void gather_tile(
    const float* table, const int* index, unsigned count, unsigned columns, unsigned rowsOfTile, unsigned columnsOfTile, float* y, bool wide) {
    __shared__ unsigned rows[TileRows];
    Tile tile(count, columns, rowsOfTile, columnsOfTile);
    if (threadIdx.x < tile.rows) rows[threadIdx.x] = index[tile.row + threadIdx.x];
    __syncthreads();
    each_in_tile<W>(tile.rows, tile.columns, [=](unsigned row, unsigned j) {
        j += tile.column;
        store<W>(load<W>(table + rows[row] * columns + j, wide), y + (tile.row + row) * columns + j, wide);
    });
}

extern "C" __global__ void __launch_bounds__(256) gather_rows(
    const float* table, const int* index, int count, int columns, int rowsOfTile, int columnsOfTile, float* y) {
    if (columns % 4 == 0) gather_tile<4>(table, index, count, columns, rowsOfTile, columnsOfTile, y, aligned(table) && aligned(y));
    else gather_tile<1>(table, index, count, columns, rowsOfTile, columnsOfTile, y, false);
}

// Row rows[s] of the table (+)= the rows y[order[k], :] for k in [starts[s], starts[s + 1]), one after the other: the host has sorted the
// index, so a sum's order is that of the rows of y. A segment without rows writes zeros. Grid: a thread for each pack of each segment, no
// shared memory. Moves y and the table's rows once (twice to add), and for every warp the segments' bounds and the order.
template <int W> static __device__ __forceinline__ void scatter_rows(
    const float* y, const int* starts, const int* rows, const int* order, unsigned segments, unsigned columns, float* table, int accumulate,
    bool wide) {
    unsigned item = blockIdx.x * Threads + threadIdx.x, packs = columns / W;
    unsigned s = item / packs, j = item % packs * W;
    if (s >= segments) return;
    float* place = table + (unsigned)rows[s] * columns + j;
    Pack<W> total;
    if (accumulate) {
        total = load<W>(place, wide);
    } else {
#pragma unroll
        for (int c = 0; c < W; c++) total.v[c] = 0.0f;
    }
    int end = starts[s + 1];
    for (int k = starts[s]; k < end; k++) {
        Pack<W> v = load<W>(y + (unsigned)order[k] * columns + j, wide);
#pragma unroll
        for (int c = 0; c < W; c++) total.v[c] += v.v[c];
    }
    store<W>(total, place, wide);
}

extern "C" __global__ void __launch_bounds__(256) scatter_add_rows(
    const float* y, const int* starts, const int* rows, const int* order, int segments, int columns, float* table, int accumulate) {
    if (columns % 4 == 0) scatter_rows<4>(y, starts, rows, order, segments, columns, table, accumulate, aligned(y) && aligned(table));
    else scatter_rows<1>(y, starts, rows, order, segments, columns, table, accumulate, false);
}

// ---------------------------------------------------------------------------------------------------------------------------------------
// Norms: RMSNorm and LayerNorm, forward and backward.
// ---------------------------------------------------------------------------------------------------------------------------------------

// Each kernel comes three times, by the length of a row: _warp up to 1024 columns, a warp a row; _block up to 8192, the block a row; _long
// beyond. The first two hold the row in registers between its sum and the last pass, so that it is read once, and the weights in shared
// memory for all rows of the block (4 bytes a column; a bias the same in _warp, but in registers in _block, where a thread has the same
// columns of every row); _long reads row and weights again in every pass, which a level 2 cache may or may not make cheap. Grid: ceil(rows / rowsOfBlock) blocks. Must move the rows of each
// matrix and the weights once. Moves the weights once a block: with R rows a block 1 + 1/2R times the fewest bytes (forward, one vector),
// 1 + 1/R (two), 1 + 1/3R (backward). Where columns is a multiple of 4 a thread has packs of 4 neighbours, else of 1.
template <bool Held> static __device__ __forceinline__ void stage(const float* numbers, unsigned columns, float* shared) {
    if (Held) {
        for (unsigned j = threadIdx.x; j < columns; j += Threads) shared[j] = numbers[j];
    }
}

extern __shared__ float4 dynamicShared[];

template <int T, int N, bool Held, int W> static __device__ __forceinline__ void rms_norm(
    const float* x, const float* weight, unsigned rows, unsigned columns, float epsilon, unsigned rowsOfBlock, float* y, float* reciprocal) {
    float* staged = (float*)dynamicShared;
    stage<Held>(weight, columns, staged);
    if (Held) __syncthreads();
    bool wide = aligned(x) && aligned(y), wideWeight = aligned(weight);
    RowThreads<T> threads;
    unsigned row = blockIdx.x * rowsOfBlock;
    unsigned end = rows - row < rowsOfBlock ? rows : row + rowsOfBlock;
    for (row += threadIdx.x / T; row < end; row += Threads / T) {
        const float* rowX = x + row * columns;
        float* rowY = y + row * columns;
        Pack<W> v[N / W];
        float dot = 0.0f;
        for (unsigned base = 0; base == 0 || (!Held && base < columns); base += T * N) {
            each_pack<T, N, W>(base, columns, threads.rank, [&](int k, unsigned j) { v[k] = load<W>(rowX + j, wide); });
            each_pack<T, N, W>(base, columns, threads.rank, [&](int k, unsigned) {
#pragma unroll
                for (int c = 0; c < W; c++) dot = fmaf(v[k].v[c], v[k].v[c], dot);
            });
        }
        float scale = 1.0f / sqrtf(threads.sum(dot) / (float)columns + epsilon);
        if (threads.rank == 0) reciprocal[row] = scale;
        for (unsigned base = 0; base == 0 || (!Held && base < columns); base += T * N) {
            each_pack<T, N, W>(base, columns, threads.rank, [&](int k, unsigned j) {
                if (!Held) v[k] = load<W>(rowX + j, wide);
                Pack<W> w = Held ? load<W>(staged + j, true) : load<W>(weight + j, wideWeight);
#pragma unroll
                for (int c = 0; c < W; c++) w.v[c] = v[k].v[c] * scale * w.v[c];
                store<W>(w, rowY + j, wide);
            });
        }
    }
}

// With n = x r, r = 1 / rms: dx = r (w dy - n mean(n w dy)).
template <int T, int N, bool Held, int W> static __device__ __forceinline__ void rms_norm_backward_input(
    const float* x, const float* weight, const float* reciprocal, const float* dy, unsigned rows, unsigned columns, unsigned rowsOfBlock,
    float* dx, int accumulate) {
    float* staged = (float*)dynamicShared;
    stage<Held>(weight, columns, staged);
    if (Held) __syncthreads();
    bool wide = aligned(x) && aligned(dy) && aligned(dx), wideWeight = aligned(weight);
    RowThreads<T> threads;
    unsigned row = blockIdx.x * rowsOfBlock;
    unsigned end = rows - row < rowsOfBlock ? rows : row + rowsOfBlock;
    for (row += threadIdx.x / T; row < end; row += Threads / T) {
        const float *rowX = x + row * columns, *rowDy = dy + row * columns;
        float* rowDx = dx + row * columns;
        Pack<W> v[N / W], d[N / W];
        float dot = 0.0f;
        for (unsigned base = 0; base == 0 || (!Held && base < columns); base += T * N) {
            each_pack<T, N, W>(base, columns, threads.rank, [&](int k, unsigned j) {
                v[k] = load<W>(rowX + j, wide);
                d[k] = load<W>(rowDy + j, wide);
            });
            each_pack<T, N, W>(base, columns, threads.rank, [&](int k, unsigned j) {
                Pack<W> w = Held ? load<W>(staged + j, true) : load<W>(weight + j, wideWeight);
#pragma unroll
                for (int c = 0; c < W; c++) {
                    d[k].v[c] = w.v[c] * d[k].v[c];
                    dot = fmaf(v[k].v[c], d[k].v[c], dot);
                }
            });
        }
        float r = reciprocal[row];
        float pull = r * r * r * threads.sum(dot) / (float)columns;
        for (unsigned base = 0; base == 0 || (!Held && base < columns); base += T * N) {
            each_pack<T, N, W>(base, columns, threads.rank, [&](int k, unsigned j) {
                if (!Held) {
                    v[k] = load<W>(rowX + j, wide);
                    d[k] = load<W>(rowDy + j, wide);
                    Pack<W> w = load<W>(weight + j, wideWeight);
#pragma unroll
                    for (int c = 0; c < W; c++) d[k].v[c] = w.v[c] * d[k].v[c];
                }
                Pack<W> value;
#pragma unroll
                for (int c = 0; c < W; c++) value.v[c] = d[k].v[c] * r - v[k].v[c] * pull;
                store<W>(value, rowDx + j, wide, accumulate);
            });
        }
    }
}

template <int T, int N, bool Held, int W> static __device__ __forceinline__ void layer_norm(
    const float* x, const float* weight, const float* bias, unsigned rows, unsigned columns, float epsilon, unsigned rowsOfBlock, float* y,
    float* mean, float* reciprocal) {
    float *staged = (float*)dynamicShared, *stagedBias = staged + (columns + 3) / 4 * 4;
    const bool OwnBias = Held && T > 32;
    stage<Held>(weight, columns, staged);
    stage<Held && !OwnBias>(bias, columns, stagedBias);
    if (Held) __syncthreads();
    bool wide = aligned(x) && aligned(y), wideWeight = aligned(weight), wideBias = aligned(bias);
    RowThreads<T> threads;
    Pack<W> own[OwnBias ? N / W : 1];
    if constexpr (OwnBias) each_pack<T, N, W>(0, columns, threads.rank, [&](int k, unsigned j) { own[k] = load<W>(bias + j, wideBias); });
    unsigned row = blockIdx.x * rowsOfBlock;
    unsigned end = rows - row < rowsOfBlock ? rows : row + rowsOfBlock;
    for (row += threadIdx.x / T; row < end; row += Threads / T) {
        const float* rowX = x + row * columns;
        float* rowY = y + row * columns;
        Pack<W> v[N / W];
        float sum = 0.0f, squares = 0.0f;
        for (unsigned base = 0; base == 0 || (!Held && base < columns); base += T * N) {
            each_pack<T, N, W>(base, columns, threads.rank, [&](int k, unsigned j) { v[k] = load<W>(rowX + j, wide); });
            each_pack<T, N, W>(base, columns, threads.rank, [&](int k, unsigned) {
#pragma unroll
                for (int c = 0; c < W; c++) sum += v[k].v[c];
            });
        }
        float center = threads.sum(sum) / (float)columns;
        for (unsigned base = 0; base == 0 || (!Held && base < columns); base += T * N) {
            each_pack<T, N, W>(base, columns, threads.rank, [&](int k, unsigned j) {
                if (!Held) v[k] = load<W>(rowX + j, wide);
#pragma unroll
                for (int c = 0; c < W; c++) {
                    v[k].v[c] = v[k].v[c] - center;
                    squares = fmaf(v[k].v[c], v[k].v[c], squares);
                }
            });
        }
        float r = 1.0f / sqrtf(threads.sum(squares) / (float)columns + epsilon);
        if (threads.rank == 0) {
            mean[row] = center;
            reciprocal[row] = r;
        }
        for (unsigned base = 0; base == 0 || (!Held && base < columns); base += T * N) {
            each_pack<T, N, W>(base, columns, threads.rank, [&](int k, unsigned j) {
                if (!Held) {
                    v[k] = load<W>(rowX + j, wide);
#pragma unroll
                    for (int c = 0; c < W; c++) v[k].v[c] = v[k].v[c] - center;
                }
                Pack<W> w = Held ? load<W>(staged + j, true) : load<W>(weight + j, wideWeight);
                Pack<W> b;
                if constexpr (OwnBias) b = own[k];
                else b = Held ? load<W>(stagedBias + j, true) : load<W>(bias + j, wideBias);
#pragma unroll
                for (int c = 0; c < W; c++) w.v[c] = v[k].v[c] * r * w.v[c] + b.v[c];
                store<W>(w, rowY + j, wide);
            });
        }
    }
}

// With n = (x - mean) r: dx = r (w dy - mean(w dy) - n mean(n w dy)).
template <int T, int N, bool Held, int W> static __device__ __forceinline__ void layer_norm_backward_input(
    const float* x, const float* weight, const float* mean, const float* reciprocal, const float* dy, unsigned rows, unsigned columns,
    unsigned rowsOfBlock, float* dx, int accumulate) {
    float* staged = (float*)dynamicShared;
    stage<Held>(weight, columns, staged);
    if (Held) __syncthreads();
    bool wide = aligned(x) && aligned(dy) && aligned(dx), wideWeight = aligned(weight);
    RowThreads<T> threads;
    unsigned row = blockIdx.x * rowsOfBlock;
    unsigned end = rows - row < rowsOfBlock ? rows : row + rowsOfBlock;
    for (row += threadIdx.x / T; row < end; row += Threads / T) {
        const float *rowX = x + row * columns, *rowDy = dy + row * columns;
        float* rowDx = dx + row * columns;
        float center = mean[row], r = reciprocal[row];
        Pack<W> v[N / W], d[N / W];
        float sum = 0.0f, dot = 0.0f;
        for (unsigned base = 0; base == 0 || (!Held && base < columns); base += T * N) {
            each_pack<T, N, W>(base, columns, threads.rank, [&](int k, unsigned j) {
                v[k] = load<W>(rowX + j, wide);
                d[k] = load<W>(rowDy + j, wide);
            });
            each_pack<T, N, W>(base, columns, threads.rank, [&](int k, unsigned j) {
                Pack<W> w = Held ? load<W>(staged + j, true) : load<W>(weight + j, wideWeight);
#pragma unroll
                for (int c = 0; c < W; c++) {
                    sum = fmaf(w.v[c], d[k].v[c], sum);
                    d[k].v[c] = w.v[c] * d[k].v[c];
                    dot = fmaf(v[k].v[c], d[k].v[c], dot);
                }
            });
        }
        sum = threads.sum(sum);
        dot = (threads.sum(dot) - center * sum) * r;
        float shift = sum / (float)columns, pull = dot / (float)columns;
        for (unsigned base = 0; base == 0 || (!Held && base < columns); base += T * N) {
            each_pack<T, N, W>(base, columns, threads.rank, [&](int k, unsigned j) {
                if (!Held) {
                    v[k] = load<W>(rowX + j, wide);
                    d[k] = load<W>(rowDy + j, wide);
                    Pack<W> w = load<W>(weight + j, wideWeight);
#pragma unroll
                    for (int c = 0; c < W; c++) d[k].v[c] = w.v[c] * d[k].v[c];
                }
                Pack<W> value;
#pragma unroll
                for (int c = 0; c < W; c++) {
                    float normal = (v[k].v[c] - center) * r;
                    value.v[c] = (d[k].v[c] - shift - normal * pull) * r;
                }
                store<W>(value, rowDx + j, wide, accumulate);
            });
        }
    }
}

#define NORM_BY_LENGTH(name, suffix, T, N, held, parameters, arguments)                                                                  \
    extern "C" __global__ void __launch_bounds__(256) name##_##suffix parameters {                                                       \
        if (columns % 4 == 0) name<T, N, held, 4> arguments;                                                                             \
        else name<T, N, held, 1> arguments;                                                                                              \
    }
#define NORM(name, parameters, arguments)                                                                                                \
    NORM_BY_LENGTH(name, warp, 32, 32, true, parameters, arguments)                                                                      \
    NORM_BY_LENGTH(name, block, 256, 32, true, parameters, arguments)                                                                    \
    NORM_BY_LENGTH(name, long, 256, 24, false, parameters, arguments)

NORM(rms_norm,
    (const float* x, const float* weight, int rows, int columns, float epsilon, int rowsOfBlock, float* y, float* reciprocal),
    (x, weight, rows, columns, epsilon, rowsOfBlock, y, reciprocal))
NORM(rms_norm_backward_input,
    (const float* x, const float* weight, const float* reciprocal, const float* dy, int rows, int columns, int rowsOfBlock, float* dx,
        int accumulate),
    (x, weight, reciprocal, dy, rows, columns, rowsOfBlock, dx, accumulate))
NORM(layer_norm,
    (const float* x, const float* weight, const float* bias, int rows, int columns, float epsilon, int rowsOfBlock, float* y, float* mean,
        float* reciprocal),
    (x, weight, bias, rows, columns, epsilon, rowsOfBlock, y, mean, reciprocal))
NORM(layer_norm_backward_input,
    (const float* x, const float* weight, const float* mean, const float* reciprocal, const float* dy, int rows, int columns,
        int rowsOfBlock, float* dx, int accumulate),
    (x, weight, mean, reciprocal, dy, rows, columns, rowsOfBlock, dx, accumulate))

// dWeight [columns] as a column sum of dy n: grid, shared memory and bytes as column_sum, with two matrices.
template <int W> static __device__ __forceinline__ void rms_norm_weight_sum(
    const float* x, const float* reciprocal, const float* dy, unsigned rows, unsigned columns, float* partial, int accumulate) {
    __shared__ float scales[ChunkRows];
    chunk_numbers(reciprocal, rows, columns, W, scales);
    __syncthreads();
    column_sum_of<W>(rows, columns, aligned(x) && aligned(dy), partial, accumulate, [=](unsigned row, unsigned at, bool wide) {
        Pack<W> v = load<W>(x + at, wide), d = load<W>(dy + at, wide);
#pragma unroll
        for (int c = 0; c < W; c++) v.v[c] = d.v[c] * v.v[c] * scales[row];
        return v;
    });
}

extern "C" __global__ void __launch_bounds__(256) rms_norm_backward_weight(
    const float* x, const float* reciprocal, const float* dy, int rows, int columns, float* partial, int accumulate) {
    if (columns % 4 == 0) rms_norm_weight_sum<4>(x, reciprocal, dy, rows, columns, partial, accumulate);
    else rms_norm_weight_sum<1>(x, reciprocal, dy, rows, columns, partial, accumulate);
}

template <int W> static __device__ __forceinline__ void layer_norm_weight_sum(
    const float* x, const float* mean, const float* reciprocal, const float* dy, unsigned rows, unsigned columns, float* partial,
    int accumulate) {
    __shared__ float centers[ChunkRows], scales[ChunkRows];
    chunk_numbers(mean, rows, columns, W, centers);
    chunk_numbers(reciprocal, rows, columns, W, scales);
    __syncthreads();
    column_sum_of<W>(rows, columns, aligned(x) && aligned(dy), partial, accumulate, [=](unsigned row, unsigned at, bool wide) {
        Pack<W> v = load<W>(x + at, wide), d = load<W>(dy + at, wide);
#pragma unroll
        for (int c = 0; c < W; c++) v.v[c] = d.v[c] * ((v.v[c] - centers[row]) * scales[row]);
        return v;
    });
}

extern "C" __global__ void __launch_bounds__(256) layer_norm_backward_weight(
    const float* x, const float* mean, const float* reciprocal, const float* dy, int rows, int columns, float* partial, int accumulate) {
    if (columns % 4 == 0) layer_norm_weight_sum<4>(x, mean, reciprocal, dy, rows, columns, partial, accumulate);
    else layer_norm_weight_sum<1>(x, mean, reciprocal, dy, rows, columns, partial, accumulate);
}

// ---------------------------------------------------------------------------------------------------------------------------------------
// Log-probs: fused log-softmax and target gather, its backward, KL of rows.
// ---------------------------------------------------------------------------------------------------------------------------------------

// max, and the sum of exp(z - max): of a part of a row, in one pass.
struct MaxSum { float max, sum; };

// What the sum is relative to: the largest, or 0 while all are -inf, which then count 0 and not NaN.
static __device__ __forceinline__ float shift_of(float max) { return max == __int_as_float((int)0xff800000) ? 0.0f : max; }

static __device__ __forceinline__ MaxSum combine(MaxSum a, MaxSum b) {
    float max = a.max > b.max ? a.max : b.max;
    float shift = shift_of(max);
    return {max, a.sum * exp_(a.max - shift) + b.sum * exp_(b.max - shift)};
}

// log sum_j exp(z_j) in one pass over the row (Milakov and Gimelshein 2018, "Online normalizer calculation for softmax"): each thread takes
// 8 numbers at a time, and what it has is scaled when they have a larger one; then lanes and warps are combined in order. A NaN is not
// the largest, but makes the sum NaN; an infinite largest gives NaN, as on the CPU.
template <int T, int W>
static __device__ __forceinline__ float log_sum_exp(const float* z, unsigned length, bool wide, RowThreads<T>& threads) {
    const int N = 8;
    const float infinity = __int_as_float(0x7f800000);
    MaxSum all = {-infinity, 0.0f};
    for (unsigned base = 0; base < length; base += T * N) {
        float v[N];
        float max = all.max;
#pragma unroll
        for (int k = 0; k < N; k++) v[k] = -infinity;
        each_pack<T, N, W>(base, length, threads.rank, [&](int k, unsigned j) {
            Pack<W> pack = load<W>(z + j, wide);
#pragma unroll
            for (int c = 0; c < W; c++) v[k * W + c] = pack.v[c];
        });
#pragma unroll
        for (int k = 0; k < N; k++) max = v[k] > max ? v[k] : max;
        float shift = shift_of(max);
        float sum = all.sum * exp_(all.max - shift);
#pragma unroll
        for (int k = 0; k < N; k++) sum += exp_(v[k] - shift);
        all = {max, sum};
    }
#pragma unroll 1
    for (int lane = 16; lane > 0; lane >>= 1) {
        all = combine(all, {__shfl_xor_sync(AllLanes, all.max, lane), __shfl_xor_sync(AllLanes, all.sum, lane)});
    }
    if constexpr (T > 32) {
        __shared__ MaxSum parts[2][Threads / 32];
        MaxSum* part = parts[threads.turn++ & 1];
        if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = all;
        __syncthreads();
        all = part[0];
#pragma unroll 1
        for (unsigned w = 1; w < Threads / 32; w++) all = combine(all, part[w]);
    }
    float value = all.max + log_(all.sum);
    return fabsf(all.max) == infinity ? __int_as_float(0x7fc00000) : value;
}

// logProb[r] = z[r, targets[r]] - logSumExp[r]. _warp up to 1024 words: a warp a row, 8 to a block; _block beyond: a block a row, 128 bytes
// of shared memory. Moves what it must: the logits once, and a number each of targets, logProb and logSumExp; the target's logit
// is read a second time.
template <int T, int W> static __device__ __forceinline__ void log_softmax_gather(
    const float* logits, const int* targets, unsigned rows, unsigned vocabulary, float* logProb, float* logSumExp) {
    RowThreads<T> threads;
    unsigned row = blockIdx.x * (Threads / T) + threadIdx.x / T;
    if (row >= rows) return;
    const float* z = logits + row * vocabulary;
    float value = log_sum_exp<T, W>(z, vocabulary, aligned(logits), threads);
    if (threads.rank == 0) {
        logSumExp[row] = value;
        logProb[row] = z[targets[row]] - value;
    }
}

#define LOG_SOFTMAX_GATHER(suffix, T)                                                                                                    \
    extern "C" __global__ void __launch_bounds__(256) log_softmax_gather_##suffix(                                                       \
        const float* logits, const int* targets, int rows, int vocabulary, float* logProb, float* logSumExp) {                           \
        if (vocabulary % 4 == 0) log_softmax_gather<T, 4>(logits, targets, rows, vocabulary, logProb, logSumExp);                        \
        else log_softmax_gather<T, 1>(logits, targets, rows, vocabulary, logProb, logSumExp);                                            \
    }

LOG_SOFTMAX_GATHER(warp, 32)
LOG_SOFTMAX_GATHER(block, 256)

// In place: z[r, j] becomes dLogProb[r] ([j == target] - exp(z[r, j] - logSumExp[r])). Grid: as add_bias; 384 bytes of shared memory.
// Moves the logits twice, which it must, and three numbers a row for each strip of 1024 words.
template <int W> static __device__ __forceinline__ void log_softmax_gather_backward_tile(
    float* logits, const int* targets, unsigned rows, unsigned vocabulary, const float* logSumExp, const float* dLogProb, unsigned rowsOfTile,
    unsigned columnsOfTile, bool wide) {
    __shared__ float shifts[TileRows], gradients[TileRows];
    __shared__ unsigned words[TileRows];
    Tile tile(rows, vocabulary, rowsOfTile, columnsOfTile);
    if (threadIdx.x < tile.rows) {
        unsigned row = tile.row + threadIdx.x;
        shifts[threadIdx.x] = logSumExp[row];
        gradients[threadIdx.x] = dLogProb[row];
        words[threadIdx.x] = targets[row];
    }
    __syncthreads();
    each_in_tile<W>(tile.rows, tile.columns, [=](unsigned row, unsigned j) {
        j += tile.column;
        float* place = logits + (tile.row + row) * vocabulary + j;
        float shift = shifts[row], d = gradients[row];
        unsigned word = words[row];
        Pack<W> z = load<W>(place, wide);
#pragma unroll
        for (int c = 0; c < W; c++) {
            float value = exp_(z.v[c] - shift) * -d;
            z.v[c] = j + c == word ? value + d : value;
        }
        store<W>(z, place, wide);
    });
}

extern "C" __global__ void __launch_bounds__(256) log_softmax_gather_backward(
    float* logits, const int* targets, int rows, int vocabulary, const float* logSumExp, const float* dLogProb, int rowsOfTile,
    int columnsOfTile) {
    if (vocabulary % 4 == 0) {
        log_softmax_gather_backward_tile<4>(
            logits, targets, rows, vocabulary, logSumExp, dLogProb, rowsOfTile, columnsOfTile, aligned(logits));
    } else {
        log_softmax_gather_backward_tile<1>(logits, targets, rows, vocabulary, logSumExp, dLogProb, rowsOfTile, columnsOfTile, false);
    }
}

// Of a part of a row of p and q, in one pass: the largest of each, the sum of exp of each relative to it, and the sum of
// exp(p - pMax) ((p - pMax) - (q - qMax)).
struct Divergence { float pMax, pSum, qMax, qSum, total; };

// The same relative to larger maxima. Nothing before the first number: zero times a finite change stays 0.
static __device__ __forceinline__ Divergence relative_to(Divergence a, float pMax, float qMax) {
    float pShift = shift_of(pMax), qShift = shift_of(qMax), pOld = shift_of(a.pMax), qOld = shift_of(a.qMax);
    float scale = exp_(a.pMax - pShift);
    float change = (pOld - pShift) - (qOld - qShift);
    return {pMax, scale * a.pSum, qMax, a.qSum * exp_(a.qMax - qShift), scale * (a.total + a.pSum * change)};
}

static __device__ __forceinline__ Divergence combine(Divergence a, Divergence b) {
    float pMax = a.pMax > b.pMax ? a.pMax : b.pMax, qMax = a.qMax > b.qMax ? a.qMax : b.qMax;
    a = relative_to(a, pMax, qMax);
    b = relative_to(b, pMax, qMax);
    return {pMax, a.pSum + b.pSum, qMax, a.qSum + b.qSum, a.total + b.total};
}

// kl[r] = KL(softmax(p[r, :]) || softmax(q[r, :])) = sum_j p_j (log p_j - log q_j), the log-sum-exps and the sum in one pass, as log_sum_exp:
// with a = p - max p, b = q - max q it is sum e^a (a - b) / sum e^a + log(sum e^b / sum e^a). Where the distributions are close both
// terms are small, and equal rows give 0. Grid as log_softmax_gather; 160 bytes of shared memory beyond 1024 words. Moves what it must: p and q
// once, and kl.
template <int T, int W>
static __device__ __forceinline__ void row_kl(const float* p, const float* q, unsigned rows, unsigned vocabulary, float* kl) {
    const int N = 8;
    const float infinity = __int_as_float(0x7f800000);
    RowThreads<T> threads;
    unsigned row = blockIdx.x * (Threads / T) + threadIdx.x / T;
    if (row >= rows) return;
    bool wide = aligned(p) && aligned(q);
    p += row * vocabulary;
    q += row * vocabulary;
    Divergence all = {-infinity, 0.0f, -infinity, 0.0f, 0.0f};
    for (unsigned base = 0; base < vocabulary; base += T * N) {
        Pack<W> zp[N / W], zq[N / W];
        float pMax = all.pMax, qMax = all.qMax;
        each_pack<T, N, W>(base, vocabulary, threads.rank, [&](int k, unsigned j) {
            zp[k] = load<W>(p + j, wide);
            zq[k] = load<W>(q + j, wide);
#pragma unroll
            for (int c = 0; c < W; c++) {
                pMax = zp[k].v[c] > pMax ? zp[k].v[c] : pMax;
                qMax = zq[k].v[c] > qMax ? zq[k].v[c] : qMax;
            }
        });
        all = relative_to(all, pMax, qMax);
        float pShift = shift_of(pMax), qShift = shift_of(qMax);
        each_pack<T, N, W>(base, vocabulary, threads.rank, [&](int k, unsigned) {
#pragma unroll
            for (int c = 0; c < W; c++) {
                float a = zp[k].v[c] - pShift, b = zq[k].v[c] - qShift, weight = exp_(a);
                all.pSum += weight;
                all.qSum += exp_(b);
                all.total += weight * (a - b);
            }
        });
    }
#pragma unroll 1
    for (int lane = 16; lane > 0; lane >>= 1) {
        all = combine(
            all, {__shfl_xor_sync(AllLanes, all.pMax, lane), __shfl_xor_sync(AllLanes, all.pSum, lane), __shfl_xor_sync(AllLanes, all.qMax, lane),
                  __shfl_xor_sync(AllLanes, all.qSum, lane), __shfl_xor_sync(AllLanes, all.total, lane)});
    }
    if constexpr (T > 32) {
        __shared__ Divergence part[Threads / 32];
        if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = all;
        __syncthreads();
        all = part[0];
#pragma unroll 1
        for (unsigned w = 1; w < Threads / 32; w++) all = combine(all, part[w]);
    }
    float value = all.total / all.pSum + log_(all.qSum / all.pSum);
    bool finite = fabsf(all.pMax) != infinity && fabsf(all.qMax) != infinity;
    if (threads.rank == 0) kl[row] = finite ? value : __int_as_float(0x7fc00000);
}

#define ROW_KL(suffix, T)                                                                                                                \
    extern "C" __global__ void __launch_bounds__(256) row_kl_##suffix(                                                                   \
        const float* p, const float* q, int rows, int vocabulary, float* kl) {                                                           \
        if (vocabulary % 4 == 0) row_kl<T, 4>(p, q, rows, vocabulary, kl);                                                               \
        else row_kl<T, 1>(p, q, rows, vocabulary, kl);                                                                                   \
    }

ROW_KL(warp, 32)
ROW_KL(block, 256)

// ---------------------------------------------------------------------------------------------------------------------------------------
// Sampling: softmax in fixed point, top-k and top-p without a sort, Philox.
// ---------------------------------------------------------------------------------------------------------------------------------------

static const unsigned PhiloxSample = 3; // RandomPurpose.Sample

// Philox.Uniform of src/Kernels/Philox.cs: a number in [0, 1) with 53 random bits.
static __device__ __forceinline__ double philox_uniform(u64 seed, unsigned purpose, unsigned step, unsigned sequence, unsigned position) {
    unsigned c0 = position, c1 = sequence, c2 = step, c3 = purpose;
    unsigned k0 = (unsigned)seed, k1 = (unsigned)(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        unsigned high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
        unsigned high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return (double)(((u64)c0 << 32 | c1) >> 11) * (1.0 / 9007199254740992.0);
}

// e^x for x <= 0 by x = k ln 2 + r and the Taylor series in r up to r^13 / 13!: what it leaves out is 4e-18 of the result. Error 0.9 ulp;
// 0 below -746, NaN does not occur.
static __device__ __forceinline__ double exp_double(double x) {
    x = x < -746.0 ? -746.0 : x;
    double shifted = fma(x, 1.4426950408889634, 6755399441055744.0);
    double rounded = shifted - 6755399441055744.0;
    double r = fma(-rounded, 6.93147180369123816490e-01, x);
    r = fma(-rounded, 1.90821492927058770002e-10, r);
    double p = fma(1.0 / 6227020800.0, r, 1.0 / 479001600.0);
    p = fma(p, r, 1.0 / 39916800.0);
    p = fma(p, r, 1.0 / 3628800.0);
    p = fma(p, r, 1.0 / 362880.0);
    p = fma(p, r, 1.0 / 40320.0);
    p = fma(p, r, 1.0 / 5040.0);
    p = fma(p, r, 1.0 / 720.0);
    p = fma(p, r, 1.0 / 120.0);
    p = fma(p, r, 1.0 / 24.0);
    p = fma(p, r, 1.0 / 6.0);
    p = fma(p, r, 0.5);
    p = fma(p, r, 1.0);
    p = fma(p, r, 1.0);
    long long k = __double_as_longlong(shifted) - __double_as_longlong(6755399441055744.0);
    long long half = k >> 1;
    return p * __longlong_as_double((half + 1023) << 52) * __longlong_as_double((k - half + 1023) << 52);
}

// A number's bits, made to grow with it as unsigned integers do; -0 counts as 0.
static __device__ __forceinline__ unsigned key_of(float z) {
    unsigned bits = (unsigned)__float_as_int(z == 0.0f ? 0.0f : z);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static __device__ __forceinline__ float number_of(unsigned key) {
    return __int_as_float((int)(key & 0x80000000u ? key & 0x7fffffffu : ~key));
}

// One row of logits with what a word weighs in it: exp((z - max) / temperature) as an integer multiple of 1 / unit. Sums of integers are
// exact in any order, so every search below finds the same word, and never runs off the end by a rounding.
struct SampleRow {
    const float* z;
    unsigned length;
    double max, temperature, unit;
    __device__ __forceinline__ u64 weight(float number) const {
        return (u64)(exp_double(((double)number - max) / temperature) * unit + 0.5);
    }
};

// The sum of v over the block, for every thread.
static __device__ __forceinline__ u64 block_sum(u64 v) {
    __shared__ u64 parts[Threads / 32];
    v = warp_sum(v);
    __syncthreads();
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = v;
    __syncthreads();
    v = 0;
#pragma unroll
    for (unsigned w = 0; w < Threads / 32; w++) v += parts[w];
    return v;
}

static __device__ __forceinline__ u64 block_max(u64 v) {
    __shared__ u64 parts[Threads / 32];
    v = warp_max(v);
    __syncthreads();
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = v;
    __syncthreads();
    v = 0;
#pragma unroll
    for (unsigned w = 0; w < Threads / 32; w++) v = parts[w] > v ? parts[w] : v;
    return v;
}

struct Found { unsigned key; u64 before; };

// Where the bin of a digit lies: digits 8 apart, which neighbouring lanes read together, are neighbours.
static __device__ __forceinline__ unsigned bin_of(unsigned digit) { return digit % 8 * 32 + digit / 8; }

// From the largest logit down, a word measures 1 (Count) or its weight. Finds the key of the word with which the sum reaches the goal (at
// least 1, at most the sum of all), and the sum of all larger keys. Radix search: four times a histogram of the next 8 bits among the words
// that share the bits found so far; integer atomics in shared memory, whose order changes nothing.
template <bool Count> static __device__ __forceinline__ Found find_from_top(const SampleRow& row, u64 goal) {
    __shared__ u64 bins[256];
    __shared__ unsigned digit;
    __shared__ u64 sumBefore;
    unsigned found = 0;
    u64 before = 0;
#pragma unroll 1
    for (int shift = 24; shift >= 0; shift -= 8) {
        bins[threadIdx.x] = 0;
        __syncthreads();
        for (unsigned j = threadIdx.x; j < row.length; j += Threads) {
            float z = row.z[j];
            unsigned key = key_of(z);
            if (shift == 24 || key >> (shift + 8) == found) {
                u64 measure = Count ? 1 : row.weight(z);
                if (measure != 0) atomicAdd(&bins[bin_of(key >> shift & 255)], measure);
            }
        }
        __syncthreads();
        if (threadIdx.x < 32) {
            // Lane l has the digits 255 - 8 l down to 248 - 8 l.
            unsigned top = 255 - 8 * threadIdx.x;
            u64 own = 0;
#pragma unroll
            for (unsigned d = 0; d < 8; d++) own += bins[bin_of(top - d)];
            u64 sum = own;
#pragma unroll
            for (int lanes = 1; lanes < 32; lanes <<= 1) {
                u64 below = shfl_up(sum, lanes);
                sum += (int)threadIdx.x >= lanes ? below : 0;
            }
            unsigned reached = __ballot_sync(AllLanes, before + sum >= goal);
            if ((int)threadIdx.x == __ffs((int)reached) - 1) {
                u64 total = before + sum - own;
                unsigned d = top;
                while (total + bins[bin_of(d)] < goal) total += bins[bin_of(d--)];
                digit = d;
                sumBefore = total;
            }
        }
        __syncthreads();
        found = found << 8 | digit;
        before = sumBefore;
        __syncthreads();
    }
    return {found, before};
}

// The warp's share of a row: a range of ids, so that the warps' shares stand in the order of the ids.
struct Share { unsigned from, to; };

static __device__ __forceinline__ Share share_of(unsigned length) {
    unsigned size = (length + Threads - 1) / Threads * 32;
    unsigned from = threadIdx.x / 32 * size;
    from = from < length ? from : length;
    return {from, length - from < size ? length : from + size};
}

// From id 0 up: the first word with which the sum of measures exceeds the goal (less than the sum of all). First every warp sums its
// share; the one whose share holds the goal then walks it, 32 words at a time.
template <class Measure> static __device__ __forceinline__ void find_by_id(unsigned length, u64 goal, Measure measure, int* token) {
    __shared__ u64 parts[Threads / 32];
    Share share = share_of(length);
    unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    u64 own = 0;
    for (unsigned j = share.from + lane; j < share.to; j += 32) own += measure(j);
    own = warp_sum(own);
    __syncthreads();
    if (lane == 0) parts[warp] = own;
    __syncthreads();
    u64 sum = 0;
    for (unsigned w = 0; w < warp; w++) sum += parts[w];
    if (sum > goal || sum + own <= goal) return;
    for (unsigned first = share.from; first < share.to; first += 32) {
        unsigned j = first + lane;
        u64 part = j < share.to ? measure(j) : 0;
#pragma unroll
        for (int lanes = 1; lanes < 32; lanes <<= 1) {
            u64 below = shfl_up(part, lanes);
            part += (int)lane >= lanes ? below : 0;
        }
        unsigned exceeds = __ballot_sync(AllLanes, sum + part > goal);
        if (exceeds != 0) {
            if (lane == 0) *token = (int)(first + __ffs((int)exceeds) - 1);
            return;
        }
        unsigned low = (unsigned)__shfl_sync(AllLanes, (int)(unsigned)part, 31);
        unsigned high = (unsigned)__shfl_sync(AllLanes, (int)(unsigned)(part >> 32), 31);
        sum += (u64)high << 32 | low;
    }
}

// token[r] drawn from row r of the logits as TokenSampler draws it, or -1 where a logit is NaN or the largest infinite. With topK or topP
// the words stand in descending order, equal ones in that of their ids: topK keeps the first k, topP of those the first whose sum reaches
// topP times all; the word drawn is the one in which uniform times the sum of what is kept lies. Otherwise the words stand in the order of
// their ids, which asks for no search. unit: the weight of the likeliest word, a power of two with unit * vocabulary < 2^62; a word lighter
// than half of 1 / unit of it counts 0, which changes a draw with probability vocabulary / (2 unit) at the most. Grid: a block a row. _block
// up to 8192 words: the row stays in shared memory (4 bytes a word, 4.3 KiB besides) and is read once, as it must. _long beyond: reads it
// once (temperature 0), up to 4 times (all words) or up to 16 times (top-k and top-p), from a cache mostly. Both read two numbers a warp.
template <bool Held> static __device__ __forceinline__ void sample(
    const float* logits, unsigned length, double temperature, int topK, double topP, double unit, u64 seed, const int* sequence,
    const int* position, int* token) {
    unsigned r = blockIdx.x;
    float* held = (float*)dynamicShared;
    const float* z = logits + r * length;

    // The largest key with the lowest id; a NaN is larger than all.
    u64 best = 0;
    for (unsigned j = threadIdx.x; j < length; j += Threads) {
        float number = z[j];
        if (Held) held[j] = number;
        unsigned key = number == number ? key_of(number) : 0xffffffffu;
        u64 candidate = (u64)key << 32 | (0xffffffffu - j);
        best = candidate > best ? candidate : best;
    }
    best = block_max(best); // after its barriers all of the row is held
    if (Held) z = held;
    float max = z[0xffffffffu - (unsigned)best];
    bool finite = fabsf(max) < __int_as_float(0x7f800000);
    if (!finite || temperature == 0.0) {
        if (threadIdx.x == 0) token[r] = finite ? (int)(0xffffffffu - (unsigned)best) : -1;
        return;
    }

    SampleRow row = {z, length, max, temperature, unit};
    double uniform = philox_uniform(seed, PhiloxSample, 0, sequence[r], position[r]);
    unsigned above = 0; // all words of a larger key are kept, and of this key `kept`
    u64 kept = 0;
    if (topK > 0 && (unsigned)topK < length) {
        Found cut = find_from_top<true>(row, topK);
        above = cut.key;
        kept = topK - cut.before;
    }
    u64 total = 0;
    for (unsigned j = threadIdx.x; j < length; j += Threads) {
        if (key_of(z[j]) > above) total += row.weight(z[j]);
    }
    total = block_sum(total);
    if (kept > 0) total += kept * row.weight(number_of(above));
    if (topP < 1.0) {
        double exact = topP * (double)total;
        u64 goal = exact > 0.0 ? (u64)exact : 0;
        goal += (double)goal < exact || goal == 0;
        goal = goal < total ? goal : total;
        Found cut = find_from_top<false>(row, goal);
        u64 weight = row.weight(number_of(cut.key));
        total = cut.before + (goal - cut.before + weight - 1) / weight * weight;
    }
    u64 goal = (u64)(uniform * (double)total);
    goal = goal < total ? goal : total - 1;
    if (topK <= 0 && !(topP < 1.0)) {
        find_by_id(length, goal, [&](unsigned j) { return row.weight(z[j]); }, token + r);
        return;
    }
    Found drawn = find_from_top<false>(row, goal + 1);
    goal = (goal - drawn.before) / row.weight(number_of(drawn.key));
    find_by_id(length, goal, [&](unsigned j) { return (u64)(key_of(z[j]) == drawn.key); }, token + r);
}

#define SAMPLE(suffix, held)                                                                                                             \
    extern "C" __global__ void __launch_bounds__(256) sample_##suffix(                                                                   \
        const float* logits, int vocabulary, double temperature, int topK, double topP, double unit, u64 seed, const int* sequence,      \
        const int* position, int* token) {                                                                                               \
        sample<held>(logits, vocabulary, temperature, topK, topP, unit, seed, sequence, position, token);                                \
    }

SAMPLE(block, true)
SAMPLE(long, false)

// ---------------------------------------------------------------------------------------------------------------------------------------
// Optimisers: sum of squares, AdamW, SGD, RMSprop.
// ---------------------------------------------------------------------------------------------------------------------------------------

// y[b] = the sum of squares of block b of 4096 numbers, in double; the host adds the blocks in order. Grid: ceil(n / 4096) blocks; 128 bytes
// of shared memory. Moves what it must: x once, 8 bytes a block.
extern "C" __global__ void __launch_bounds__(256) sum_of_squares(const float* x, int n, double* y) {
    double total = 0.0;
    each_of_block(x, n, [&](float v) { total = fma((double)v, (double)v, total); });
    total = RowThreads<Threads>().sum(total);
    if (threadIdx.x == 0) y[blockIdx.x] = total;
}

// One AdamW update of all parameters, all four buffers once (three of them twice): see elementwise. What does not depend on the element
// comes from the host: keep = 1 - rate decay, rate = learning rate / correction 1, root = 1 / sqrt(correction 2).
extern "C" __global__ void __launch_bounds__(256) adamw(
    float* parameter, const float* gradient, float gradientScale, float* m, float* v, int n, float keep, float rate, float root, float beta1,
    float rest1, float beta2, float rest2, float epsilon) {
    elementwise<4, 3>({gradient, m, v, parameter}, {m, v, parameter}, 0, n, [=](const float(&in)[4], float(&result)[3]) {
        float g = in[0] * gradientScale;
        float first = in[1] * beta1 + g * rest1;
        float second = in[2] * beta2 + g * g * rest2;
        float update = first * rate / (sqrtf(second) * root + epsilon);
        result[0] = first;
        result[1] = second;
        result[2] = in[3] * keep - update;
    });
}

// parameter -= rate gradient.
extern "C" __global__ void __launch_bounds__(256) sgd(float* parameter, const float* gradient, float gradientScale, int n, float rate) {
    elementwise<2, 1>({gradient, parameter}, {parameter}, 0, n, [=](const float(&in)[2], float(&result)[1]) {
        result[0] = in[1] - in[0] * gradientScale * rate;
    });
}

// velocity = momentum velocity + gradient; parameter -= rate velocity.
extern "C" __global__ void __launch_bounds__(256) sgd_momentum(
    float* parameter, const float* gradient, float gradientScale, float* velocity, int n, float rate, float momentum) {
    elementwise<3, 2>({gradient, velocity, parameter}, {velocity, parameter}, 0, n, [=](const float(&in)[3], float(&result)[2]) {
        float change = in[0] * gradientScale + in[1] * momentum;
        result[0] = change;
        result[1] = in[2] - change * rate;
    });
}

// square = alpha square + (1 - alpha) g^2; parameter -= rate g / (sqrt(square) + epsilon). rest = 1 - alpha.
extern "C" __global__ void __launch_bounds__(256) rmsprop(
    float* parameter, const float* gradient, float gradientScale, float* square, int n, float rate, float alpha, float rest, float epsilon) {
    elementwise<3, 2>({gradient, square, parameter}, {square, parameter}, 0, n, [=](const float(&in)[3], float(&result)[2]) {
        float g = in[0] * gradientScale;
        float s = in[1] * alpha + g * g * rest;
        result[0] = s;
        result[1] = in[2] - g * rate / (sqrtf(s) + epsilon);
    });
}

// ---------------------------------------------------------------------------------------------------------------------------------------
// Attention: rotary positions, segment attention forward and backward, the key/value cache.
// ---------------------------------------------------------------------------------------------------------------------------------------

typedef long long i64;

struct __align__(8) FloatPair { float x, y; };

static __device__ __forceinline__ void result4(float* p, float4 v, bool accumulate) {
    if (accumulate) {
        float4 old = load_float4(p);
        v = make_float4(old.x + v.x, old.y + v.y, old.z + v.z, old.w + v.w);
    }
    store_float4(p, v);
}

static __device__ __forceinline__ float minus_infinity() { return __int_as_float((int)0xff800000u); }
static __device__ __forceinline__ int least(int a, int b) { return a < b ? a : b; }
static __device__ __forceinline__ int most(int a, int b) { return a > b ? a : b; }
// Of two values: `condition ? a[i] : a[j]` would choose between addresses, and force the array out of registers.
static __device__ __forceinline__ float choose(bool condition, float a, float b) { return condition ? a : b; }

// A rotary pair (a, b) turns by its token's angle: a c - b s, b c + a s, rounded as the CPU rounds it. Four pairs a thread in halves, two
// interleaved (either way a float4 of the row), or one where 16 bytes are not to be had; a thread takes its pairs through all heads.
// Grid: a thread for each token and part of a head. Must move and moves: x and y once, each token's cosines and sines once. (Tokens of one
// position share an angle; that they meet in a cache is not counted on.) Only where pairs are interleaved and not aligned to 16 bytes,
// x and y are touched twice.
extern "C" __global__ void __launch_bounds__(256) rotary(
    const float* __restrict__ x, const int* __restrict__ positions, const float* __restrict__ cosines, const float* __restrict__ sines,
    int tokens, int heads, int headSize, int interleaved, int inverse, float* __restrict__ y, int accumulate) {
    int half = headSize / 2;
    bool aligned = (headSize & 7) == 0 && (((u64)x | (u64)y | (u64)cosines | (u64)sines) & 15) == 0;
    int pairs = aligned ? (interleaved ? 2 : 4) : 1;
    int parts = half / pairs;
    i64 index = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= (i64)tokens * parts) return;
    int token = (int)(index / parts);
    int pair = (int)(index % parts) * pairs;
    const float* c = cosines + (i64)positions[token] * half + pair;
    const float* s = sines + (i64)positions[token] * half + pair;
    const float* from = x + (i64)token * heads * headSize;
    float* to = y + (i64)token * heads * headSize;
    if (!aligned) {
        int first = interleaved ? 2 * pair : pair;
        int second = interleaved ? first + 1 : pair + half;
        float cosine = *c;
        float sine = inverse ? -*s : *s;
        for (int h = 0; h < heads; h++, from += headSize, to += headSize) {
            float a = from[first], b = from[second];
            float turnedA = a * cosine - b * sine;
            float turnedB = b * cosine + a * sine;
            to[first] = accumulate ? to[first] + turnedA : turnedA;
            to[second] = accumulate ? to[second] + turnedB : turnedB;
        }
    } else if (interleaved) {
        FloatPair cosine = *(const FloatPair*)c, sine = *(const FloatPair*)s;
        sine.x = inverse ? -sine.x : sine.x;
        sine.y = inverse ? -sine.y : sine.y;
        for (int h = 0; h < heads; h++, from += headSize, to += headSize) {
            float4 a = load_float4(from + 2 * pair);
            float4 turned = make_float4(
                a.x * cosine.x - a.y * sine.x, a.y * cosine.x + a.x * sine.x, a.z * cosine.y - a.w * sine.y, a.w * cosine.y + a.z * sine.y);
            result4(to + 2 * pair, turned, accumulate);
        }
    } else {
        float4 cosine = load_float4(c), sine = load_float4(s);
        if (inverse) {
            sine = make_float4(-sine.x, -sine.y, -sine.z, -sine.w);
        }
        for (int h = 0; h < heads; h++, from += headSize, to += headSize) {
            float4 a = load_float4(from + pair), b = load_float4(from + half + pair);
            float4 turnedA = make_float4(
                a.x * cosine.x - b.x * sine.x, a.y * cosine.y - b.y * sine.y, a.z * cosine.z - b.z * sine.z, a.w * cosine.w - b.w * sine.w);
            float4 turnedB = make_float4(
                b.x * cosine.x + a.x * sine.x, b.y * cosine.y + a.y * sine.y, b.z * cosine.z + a.z * sine.z, b.w * cosine.w + a.w * sine.w);
            result4(to + pair, turnedA, accumulate);
            result4(to + half + pair, turnedB, accumulate);
        }
    }
}

// Attention's rows are the numbers of one head of one token. A block OWNS some rows (queries, or keys in the pass for their gradients) and
// STREAMS the others past them. Eight lanes share each owned row and hold it in registers: lane g its float4s g, g + 8, g + 16, ..., so DS
// numbers a lane, in a head of at most 8 DS. A streamed row lies in shared memory and is read by eight lanes as 128 bytes in a line, by the
// other rows of the warp at the same addresses: no bank conflicts and one read for R owned rows. The partial sums of a dot product meet
// by shuffles that leave each lane with finished products (SUM below), and each lane does its softmax on those alone.
//
// The order of every sum: lane g adds its numbers in order; then g with g ^ 4, ^ 2, ^ 1. The same products have the same bits in every
// kernel here, and a query's result depends on its own keys alone: blocks of keys start at multiples of BC of its sequence's key index.
// Numbers past the head's end are zeros in registers and in the tile.
//
// DS   numbers of a row in each lane                          R    owned rows of eight lanes
// BC   rows of a tile of the stream                           T    threads; T / 8 * R rows are owned by a block
template <int DS_, int R_, int BC_, int T_> struct Tiling {
    static const int DS = DS_, R = R_, BC = BC_, T = T_;
    static const int Padded = 8 * DS;             // numbers of a row in shared memory
    static const int Rows = T / 8 * R;            // owned rows of a block
    static const int WarpRows = 4 * R;            // owned rows of a warp
    static const int Step = R == 1 ? 8 : 4;       // streamed rows of one round of dot products
    static const int LaneRows = R == 1 ? 1 : R / 2; // finished products of a lane: one streamed row, so many owned rows
    static const int Stream = 2 * BC * Padded;    // numbers of the two tiles of a stream
    static const int GroupWeights = BC * R + (R == 4 ? 16 : 8); // [BC][R] of eight lanes; the pad puts neighbours on other banks
    static const int Weights = T / 8 * GroupWeights;
};

// Rows of a head: row j is that of token prefixStart + j in the prefix, and of token shift + j behind it.
struct HeadRows {
    const float* start;
    int stride, prefix, prefixStart, shift;

    __device__ __forceinline__ const float* at(int j) const { return start + (i64)(j < prefix ? prefixStart + j : shift + j) * stride; }
};

static __device__ __forceinline__ HeadRows rows_from(const float* start, int stride, int shift) { return HeadRows{start, stride, 0, 0, shift}; }

// Rows first to first + count - 1 into a tile of so many rows, zeros behind their ends and below the last. All threads.
template <class C, int TileRows> static __device__ __forceinline__ void load_rows(
    float* tile, const HeadRows& rows, int first, int count, int size) {
    if ((size & 3) == 0 && ((u64)rows.start & 15) == 0) {
        const int line = C::Padded / 4;
#pragma unroll 4
        for (int i = 0; i < TileRows * line; i += C::T) {
            int r = (i + threadIdx.x) / line, d = (i + threadIdx.x) % line * 4;
            float4 value = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            if (r < count && d < size) {
                value = load_float4(rows.at(first + r) + d);
            }
            store_float4(tile + 4 * (i + threadIdx.x), value);
        }
    } else {
#pragma unroll 1
        for (int i = threadIdx.x; i < TileRows * C::Padded; i += C::T) {
            int r = i / C::Padded, d = i % C::Padded;
            tile[i] = r < count && d < size ? rows.at(first + r)[d] : 0.0f;
        }
    }
}

template <class C> static __device__ __forceinline__ void store_rows(const float* tile, float* target, int stride, int count, int size) {
    if ((size & 3) == 0 && ((u64)target & 15) == 0) {
        const int line = C::Padded / 4;
#pragma unroll 1
        for (int i = threadIdx.x; i < count * line; i += C::T) {
            int r = i / line, d = i % line * 4;
            if (d < size) {
                store_float4(target + (i64)r * stride + d, load_float4(tile + 4 * i));
            }
        }
    } else {
#pragma unroll 1
        for (int i = threadIdx.x; i < count * C::Padded; i += C::T) {
            int r = i / C::Padded, d = i % C::Padded;
            if (d < size) {
                target[(i64)r * stride + d] = tile[i];
            }
        }
    }
}

// A block's owned rows between memory and registers, through the shared memory of the stream, which holds a half of them at the least:
// memory is read and written in whole lines whatever a lane holds. All threads; the stream is free afterwards.
template <class C> static __device__ __forceinline__ void own_rows(
    float (&x)[C::R][C::DS], float* stream, const HeadRows& rows, int count, int size) {
    const int buffer = 2 * C::BC < C::Rows ? 2 * C::BC : C::Rows;
    int row = threadIdx.x / 8 * C::R, g = threadIdx.x & 7;
#pragma unroll
    for (int pass = 0; pass < C::Rows; pass += buffer) {
        load_rows<C, buffer>(stream, rows, pass, count - pass, size);
        __syncthreads();
        if (C::Rows <= buffer || (row >= pass && row < pass + buffer)) {
#pragma unroll
            for (int r = 0; r < C::R; r++) {
#pragma unroll
                for (int m = 0; m < C::DS / 4; m++) {
                    float4 v = load_float4(stream + (row - pass + r) * C::Padded + 4 * g + 32 * m);
                    x[r][4 * m] = v.x;
                    x[r][4 * m + 1] = v.y;
                    x[r][4 * m + 2] = v.z;
                    x[r][4 * m + 3] = v.w;
                }
            }
        }
        __syncthreads();
    }
}

template <class C> static __device__ __forceinline__ void give_rows(
    const float (&x)[C::R][C::DS], float* stream, float* target, int stride, int count, int size) {
    const int buffer = 2 * C::BC < C::Rows ? 2 * C::BC : C::Rows;
    int row = threadIdx.x / 8 * C::R, g = threadIdx.x & 7;
#pragma unroll
    for (int pass = 0; pass < C::Rows; pass += buffer) {
        if (C::Rows <= buffer || (row >= pass && row < pass + buffer)) {
#pragma unroll
            for (int r = 0; r < C::R; r++) {
#pragma unroll
                for (int m = 0; m < C::DS / 4; m++) {
                    store_float4(
                        stream + (row - pass + r) * C::Padded + 4 * g + 32 * m,
                        make_float4(x[r][4 * m], x[r][4 * m + 1], x[r][4 * m + 2], x[r][4 * m + 3]));
                }
            }
        }
        __syncthreads();
        store_rows<C>(stream, target + (i64)pass * stride, stride, count - pass < buffer ? count - pass : buffer, size);
        __syncthreads();
    }
}

template <class C> static __device__ __forceinline__ void clear_rows(float (&x)[C::R][C::DS]) {
#pragma unroll
    for (int r = 0; r < C::R; r++) {
#pragma unroll
        for (int d = 0; d < C::DS; d++) {
            x[r][d] = 0.0f;
        }
    }
}

// Which streamed row of a round, and the first of which owned rows, a lane's finished products belong to.
template <class C> static __device__ __forceinline__ int lane_key() { return C::R == 1 ? threadIdx.x & 7 : (threadIdx.x & 7) >> 1; }
template <class C> static __device__ __forceinline__ int lane_row() { return C::R == 1 ? 0 : (threadIdx.x & 1) * C::LaneRows; }

// SUM. Dot products of the owned rows x with rows first to first + Step - 1 of a tile: Step R sums over eight lanes, of which each lane
// gets the LaneRows that belong to its lane_key and lane_row. In each exchange a lane gives away the half that it will not keep. Lane g takes
// the streamed rows in the order k ^ lane_key, so that what it keeps stands in front, at indices that are known when compiled.
template <class C> static __device__ __forceinline__ void dot(
    const float (&x)[C::R][C::DS], const float* tile, int first, float (&sum)[C::LaneRows]) {
    int g = threadIdx.x & 7, key = lane_key<C>();
    float v[C::Step][C::R];
#pragma unroll
    for (int k = 0; k < C::Step; k++) {
        const float* row = tile + (first + (k ^ key)) * C::Padded + 4 * g;
#pragma unroll
        for (int r = 0; r < C::R; r++) {
            v[k][r] = 0.0f;
        }
#pragma unroll
        for (int m = 0; m < C::DS / 4; m++) {
            float4 y = load_float4(row + 32 * m);
#pragma unroll
            for (int r = 0; r < C::R; r++) {
                v[k][r] = fmaf(x[r][4 * m], y.x, v[k][r]);
                v[k][r] = fmaf(x[r][4 * m + 1], y.y, v[k][r]);
                v[k][r] = fmaf(x[r][4 * m + 2], y.z, v[k][r]);
                v[k][r] = fmaf(x[r][4 * m + 3], y.w, v[k][r]);
            }
        }
    }
#pragma unroll
    for (int h = C::Step / 2; h > 0; h /= 2) {
#pragma unroll
        for (int k = 0; k < h; k++) {
#pragma unroll
            for (int r = 0; r < C::R; r++) {
                v[k][r] += __shfl_xor_sync(AllLanes, v[k + h][r], C::R == 1 ? h : 2 * h);
            }
        }
    }
    if (C::R == 1) {
        sum[0] = v[0][0];
    } else {
        bool odd = g & 1;
#pragma unroll
        for (int i = 0; i < C::LaneRows; i++) {
            float mine = choose(odd, v[0][C::R / 2 + i], v[0][i]);
            float given = choose(odd, v[0][i], v[0][C::R / 2 + i]);
            sum[i] = mine + __shfl_xor_sync(AllLanes, given, 1);
        }
    }
}

// Of the lane's owned rows, the sum of a times b over the row.
template <class C> static __device__ __forceinline__ void row_products(
    const float (&a)[C::R][C::DS], const float (&b)[C::R][C::DS], float (&sum)[C::LaneRows]) {
    float all[C::R];
#pragma unroll
    for (int r = 0; r < C::R; r++) {
        all[r] = 0.0f;
#pragma unroll
        for (int d = 0; d < C::DS; d++) {
            all[r] = fmaf(a[r][d], b[r][d], all[r]);
        }
#pragma unroll
        for (int lanes = 4; lanes > 0; lanes /= 2) {
            all[r] += __shfl_xor_sync(AllLanes, all[r], lanes);
        }
    }
    bool second = C::R > 1 && (threadIdx.x & 1);
#pragma unroll
    for (int i = 0; i < C::LaneRows; i++) {
        sum[i] = choose(second, all[C::R / 2 + i], all[i]);
    }
}

// A lane's finished products of the round that starts at a streamed row, in [BC][R] of its eight lanes.
template <class C> static __device__ __forceinline__ float* lane_weights(float* group, int first) {
    return group + (first + lane_key<C>()) * C::R + lane_row<C>();
}

template <class C> static __device__ __forceinline__ void put(float* place, const float (&value)[C::LaneRows]) {
    if (C::LaneRows == 2) {
        *(FloatPair*)place = FloatPair{value[0], value[C::LaneRows - 1]};
    } else {
        *place = value[0];
    }
}

template <class C> static __device__ __forceinline__ void get(const float* place, float (&value)[C::LaneRows]) {
    if (C::LaneRows == 2) {
        FloatPair pair = *(const FloatPair*)place;
        value[0] = pair.x;
        value[C::LaneRows - 1] = pair.y;
    } else {
        value[0] = *place;
    }
}

// What the lanes know about their own rows, for all rows of the eight lanes.
template <class C> static __device__ __forceinline__ void spread(const float (&mine)[C::LaneRows], float (&all)[C::R]) {
    if (C::R == 1) {
        all[0] = mine[0];
    } else {
        bool odd = threadIdx.x & 1;
#pragma unroll
        for (int i = 0; i < C::LaneRows; i++) {
            float other = __shfl_xor_sync(AllLanes, mine[i], 1);
            all[i] = choose(odd, other, mine[i]);
            all[C::R / 2 + i] = choose(odd, mine[i], other);
        }
    }
}

// A number of each owned row to memory, neighbouring rows by neighbouring lanes; target is that of the block's first row.
template <class C> static __device__ __forceinline__ void write_rows(float* target, const float (&mine)[C::LaneRows], int count) {
    int g = threadIdx.x & 7;
    int row = threadIdx.x / 8 * C::R + lane_row<C>() + (g >> 1);
    if (g < C::R && row < count) {
        target[row] = choose(g > 1, mine[C::LaneRows - 1], mine[0]);
    }
}

// The weights of streamed row k for all owned rows of the eight lanes.
template <class C> static __device__ __forceinline__ void row_weights(const float* weights, int k, float (&w)[C::R]) {
    if (C::R == 4) {
        float4 four = load_float4(weights + 4 * k);
        w[0] = four.x;
        w[C::R / 4] = four.y;
        w[C::R / 2] = four.z;
        w[C::R - 1] = four.w;
    } else if (C::R == 2) {
        FloatPair two = ((const FloatPair*)weights)[k];
        w[0] = two.x;
        w[C::R - 1] = two.y;
    } else {
        w[0] = weights[k];
    }
}

// acc[r] += the sum of weights[k][r] times row k of the tile, for k in [from, to) in order.
template <class C> static __device__ __forceinline__ void accumulate_rows(
    float (&acc)[C::R][C::DS], const float* weights, const float* tile, int from, int to) {
#pragma unroll 2
    for (int k = from; k < to; k++) {
        const float* row = tile + k * C::Padded + 4 * (threadIdx.x & 7);
        float w[C::R];
        row_weights<C>(weights, k, w);
#pragma unroll
        for (int m = 0; m < C::DS / 4; m++) {
            float4 y = load_float4(row + 32 * m);
#pragma unroll
            for (int r = 0; r < C::R; r++) {
                acc[r][4 * m] = fmaf(w[r], y.x, acc[r][4 * m]);
                acc[r][4 * m + 1] = fmaf(w[r], y.y, acc[r][4 * m + 1]);
                acc[r][4 * m + 2] = fmaf(w[r], y.z, acc[r][4 * m + 2]);
                acc[r][4 * m + 3] = fmaf(w[r], y.w, acc[r][4 * m + 3]);
            }
        }
    }
}

// The same at the edge of the causal triangle, where streamed row k belongs to owned row r if k - edge <= r (or >= r): elsewhere nothing is
// added, not even 0 times a number, which would carry a NaN from a token to an earlier one.
template <class C, bool Later> static __device__ __forceinline__ void accumulate_edge(
    float (&acc)[C::R][C::DS], const float* weights, const float* tile, int edge, int from, int to) {
#pragma unroll 1
    for (int k = from; k < to; k++) {
        const float* row = tile + k * C::Padded + 4 * (threadIdx.x & 7);
        float w[C::R];
        row_weights<C>(weights, k, w);
#pragma unroll
        for (int m = 0; m < C::DS / 4; m++) {
            float4 y = load_float4(row + 32 * m);
#pragma unroll
            for (int r = 0; r < C::R; r++) {
                bool seen = Later ? k - edge >= r : k - edge <= r;
                acc[r][4 * m] = seen ? fmaf(w[r], y.x, acc[r][4 * m]) : acc[r][4 * m];
                acc[r][4 * m + 1] = seen ? fmaf(w[r], y.y, acc[r][4 * m + 1]) : acc[r][4 * m + 1];
                acc[r][4 * m + 2] = seen ? fmaf(w[r], y.z, acc[r][4 * m + 2]) : acc[r][4 * m + 2];
                acc[r][4 * m + 3] = seen ? fmaf(w[r], y.w, acc[r][4 * m + 3]) : acc[r][4 * m + 3];
            }
        }
    }
}


// Owned queries against a tile of keys and values whose first is key `first` of their sequence; keys of it count, and the warp's last query
// sees those before `end`. Owned row 0 stands at `position` and sees keys up to that one, row r up to position + r * step.
// best, total: the largest raw score so far, and this lane's part of the sum of exp(scale (score - best)).
template <class C> static __device__ __forceinline__ void attend(
    const float (&q)[C::R][C::DS], const float* keys, const float* values, float* weights, float scale, int first, int count, int end,
    int position, int step, float (&best)[C::LaneRows], float (&total)[C::LaneRows], float (&o)[C::R][C::DS]) {
    float top[C::LaneRows], factor[C::LaneRows], factors[C::R];
#pragma unroll
    for (int i = 0; i < C::LaneRows; i++) {
        top[i] = best[i];
    }
    int own = position + lane_row<C>() * step - first - lane_key<C>();
#pragma unroll 1
    for (int k = 0; k < end; k += C::Step) {
        float score[C::LaneRows];
        dot<C>(q, keys, k, score);
#pragma unroll
        for (int i = 0; i < C::LaneRows; i++) {
            score[i] = k <= own + i * step && k + lane_key<C>() < count ? score[i] : minus_infinity();
            top[i] = score[i] > top[i] ? score[i] : top[i];
        }
        put<C>(lane_weights<C>(weights, k), score);
    }
#pragma unroll
    for (int i = 0; i < C::LaneRows; i++) {
#pragma unroll
        for (int lanes = C::R == 1 ? 1 : 2; lanes < 8; lanes *= 2) {
            float other = __shfl_xor_sync(AllLanes, top[i], lanes);
            top[i] = other > top[i] ? other : top[i];
        }
        factor[i] = exp_((best[i] - top[i]) * scale);
        best[i] = top[i];
        total[i] *= factor[i];
    }
#pragma unroll 1
    for (int k = 0; k < end; k += C::Step) {
        float weight[C::LaneRows];
        get<C>(lane_weights<C>(weights, k), weight);
#pragma unroll
        for (int i = 0; i < C::LaneRows; i++) {
            weight[i] = exp_((weight[i] - top[i]) * scale);
            total[i] += weight[i];
        }
        put<C>(lane_weights<C>(weights, k), weight);
    }
    spread<C>(factor, factors);
#pragma unroll
    for (int r = 0; r < C::R; r++) {
#pragma unroll
        for (int d = 0; d < C::DS; d++) {
            o[r][d] *= factors[r];
        }
    }
    __syncwarp();
    int all = most(0, least(count, position + 1 - first));
    int some = most(0, least(count, position + (C::R - 1) * step + 1 - first));
    accumulate_rows<C>(o, weights, values, 0, all);
    accumulate_edge<C, false>(o, weights, values, position - first, all, some);
}

// Ends the softmax: o / total, and of the lane's rows best * scale + log(total).
template <class C> static __device__ __forceinline__ void finish_softmax(
    float scale, const float (&best)[C::LaneRows], const float (&total)[C::LaneRows], float (&o)[C::R][C::DS], float (&logSumExp)[C::LaneRows]) {
    float inverse[C::LaneRows], inverses[C::R];
#pragma unroll
    for (int i = 0; i < C::LaneRows; i++) {
        float sum = total[i];
#pragma unroll
        for (int lanes = C::R == 1 ? 1 : 2; lanes < 8; lanes *= 2) {
            sum += __shfl_xor_sync(AllLanes, sum, lanes);
        }
        inverse[i] = sum == 0.0f ? 0.0f : 1.0f / sum;
        logSumExp[i] = fmaf(best[i], scale, log_(sum));
    }
    spread<C>(inverse, inverses);
#pragma unroll
    for (int r = 0; r < C::R; r++) {
#pragma unroll
        for (int d = 0; d < C::DS; d++) {
            o[r][d] *= inverses[r];
        }
    }
}

// A tile of queries as the host lists it: rows tokens from `token`, whose first stands at `position` of its sequence.
struct QueryTile {
    int token, rows, prefixStart, prefix, position;
};

static __device__ __forceinline__ QueryTile query_tile(const int* tiles, int index) {
    int field = tiles[8 * index + (threadIdx.x & 7)];
    return QueryTile{
        __shfl_sync(AllLanes, field, 0), __shfl_sync(AllLanes, field, 1), __shfl_sync(AllLanes, field, 2), __shfl_sync(AllLanes, field, 3),
        __shfl_sync(AllLanes, field, 4)};
}

// FORWARD: 64 queries of a segment and head, their keys streamed in tiles of 32 (16 at head size 256), softmax as it goes.
// Grid: a block for each tile of queries and head, the tiles with most keys first. T threads. Shared: 17, 25, 41, 37 KiB at padded heads
// of 32, 64, 128, 256. Must move, for a tile whose last row sees `seen` keys: 4 size (2 rows + 2 seen) + 4 rows bytes: Q and O once,
// K and V of the visible keys once, the log-sum-exp. Moves that, and 32 bytes of the list for each warp: 1.001 times at size 64, 1.008 at
// 8. A head whose row is no whole number of 32-byte sectors moves all that it touches: 1.22 times at size 127, 1.55 at 13.
template <class C> static __device__ __forceinline__ void attention_forward(
    const int* __restrict__ tiles, int tokens, int heads, int kvHeads, int size, float scale, const float* __restrict__ q,
    const float* __restrict__ k, const float* __restrict__ v, float* __restrict__ output, float* __restrict__ logSumExp) {
    __shared__ __align__(16) float stream[C::Stream];
    __shared__ __align__(16) float weights[C::Weights];
    QueryTile tile = query_tile(tiles, blockIdx.x / heads);
    int head = blockIdx.x % heads, kvHead = head / (heads / kvHeads);
    int width = heads * size, kvWidth = kvHeads * size;
    HeadRows keyRows{k + kvHead * size, kvWidth, tile.prefix, tile.prefixStart, tile.token - tile.position};
    HeadRows valueRows = keyRows;
    valueRows.start = v + kvHead * size;
    float x[C::R][C::DS], o[C::R][C::DS], best[C::LaneRows], total[C::LaneRows];
    own_rows<C>(x, stream, rows_from(q + head * size, width, tile.token), tile.rows, size);
    clear_rows<C>(o);
#pragma unroll
    for (int i = 0; i < C::LaneRows; i++) {
        best[i] = minus_infinity();
        total[i] = 0.0f;
    }
    float* values = stream + C::BC * C::Padded;
    float* mine = weights + threadIdx.x / 8 * C::GroupWeights;
    int position = tile.position + threadIdx.x / 8 * C::R;
    int warpRow = threadIdx.x / 32 * C::WarpRows;
    int warpKeys = warpRow < tile.rows ? tile.position + warpRow + C::WarpRows : 0;
    int seen = tile.position + tile.rows;
#pragma unroll 1
    for (int first = 0; first < seen; first += C::BC) {
        int count = least(C::BC, seen - first);
        load_rows<C, C::BC>(stream, keyRows, first, count, size);
        load_rows<C, C::BC>(values, valueRows, first, count, size);
        __syncthreads();
        int end = least(count, warpKeys - first);
        if (end > 0) {
            attend<C>(x, stream, values, mine, scale, first, count, end, position, 1, best, total, o);
        }
        __syncthreads();
    }
    float lse[C::LaneRows];
    finish_softmax<C>(scale, best, total, o, lse);
    write_rows<C>(logSumExp + (i64)head * tokens + tile.token, lse, tile.rows);
    give_rows<C>(o, stream, output + (i64)tile.token * width + head * size, width, tile.rows, size);
}

// BACKWARD, QUERIES: the same tiles; a query's probabilities again from its log-sum-exp, and delta = dO . O for this pass and the next.
// Grid, shared memory: as forward (38 KiB at 256). Must move for a tile: 4 size (4 rows + 2 seen) + 8 rows bytes: Q, dO, O and dQ once, K and
// V of the visible keys once, log-sum-exp and delta. Moves that, the log-sum-exp twice, and the list: 1.002 times at size 64, 1.019 at 8.
template <class C> static __device__ __forceinline__ void attention_dq(
    const int* __restrict__ tiles, int tokens, int heads, int kvHeads, int size, float scale, const float* __restrict__ q,
    const float* __restrict__ k, const float* __restrict__ v, const float* __restrict__ output, const float* __restrict__ logSumExp,
    const float* __restrict__ dOutput, float* __restrict__ dq, float* __restrict__ delta) {
    __shared__ __align__(16) float stream[C::Stream];
    __shared__ __align__(16) float weights[C::Weights];
    QueryTile tile = query_tile(tiles, blockIdx.x / heads);
    int head = blockIdx.x % heads, kvHead = head / (heads / kvHeads);
    int width = heads * size, kvWidth = kvHeads * size;
    HeadRows keyRows{k + kvHead * size, kvWidth, tile.prefix, tile.prefixStart, tile.token - tile.position};
    HeadRows valueRows = keyRows;
    valueRows.start = v + kvHead * size;
    float x[C::R][C::DS], dO[C::R][C::DS], gradient[C::R][C::DS];
    float lse[C::LaneRows], correction[C::LaneRows];
    own_rows<C>(dO, stream, rows_from(dOutput + head * size, width, tile.token), tile.rows, size);
    own_rows<C>(x, stream, rows_from(output + head * size, width, tile.token), tile.rows, size);
    row_products<C>(dO, x, correction);
    own_rows<C>(x, stream, rows_from(q + head * size, width, tile.token), tile.rows, size);
    clear_rows<C>(gradient);
    i64 statistics = (i64)head * tokens + tile.token;
    int row = threadIdx.x / 8 * C::R + lane_row<C>();
#pragma unroll
    for (int i = 0; i < C::LaneRows; i++) {
        lse[i] = row + i < tile.rows ? logSumExp[statistics + row + i] : 0.0f;
    }
    write_rows<C>(delta + statistics, correction, tile.rows);
    float* values = stream + C::BC * C::Padded;
    float* mine = weights + threadIdx.x / 8 * C::GroupWeights;
    int position = tile.position + threadIdx.x / 8 * C::R;
    int warpRow = threadIdx.x / 32 * C::WarpRows;
    int warpKeys = warpRow < tile.rows ? tile.position + warpRow + C::WarpRows : 0;
    int seen = tile.position + tile.rows;
#pragma unroll 1
    for (int first = 0; first < seen; first += C::BC) {
        int count = least(C::BC, seen - first);
        load_rows<C, C::BC>(stream, keyRows, first, count, size);
        load_rows<C, C::BC>(values, valueRows, first, count, size);
        __syncthreads();
        int end = least(count, warpKeys - first);
        if (end > 0) {
            int own = position + lane_row<C>() - first - lane_key<C>();
#pragma unroll 1
            for (int j = 0; j < end; j += C::Step) {
                float score[C::LaneRows], slope[C::LaneRows];
                dot<C>(x, stream, j, score);
                dot<C>(dO, values, j, slope);
#pragma unroll
                for (int i = 0; i < C::LaneRows; i++) {
                    float weight = exp_(fmaf(score[i], scale, -lse[i]));
                    slope[i] = j <= own + i ? weight * (slope[i] - correction[i]) * scale : 0.0f;
                }
                put<C>(lane_weights<C>(mine, j), slope);
            }
            __syncwarp();
            int all = most(0, least(count, position + 1 - first));
            int some = most(0, least(count, position + C::R - first));
            accumulate_rows<C>(gradient, mine, stream, 0, all);
            accumulate_edge<C, false>(gradient, mine, stream, position - first, all, some);
        }
        __syncthreads();
    }
    give_rows<C>(gradient, stream, dq + (i64)tile.token * width + head * size, width, tile.rows, size);
}

// BACKWARD, KEYS: 64 keys of a segment (32 at head size 256), and all queries that see them streamed past: the rest of the segment and, for a
// prompt, its dependents, which follow it. So dK and dV are one sum, no atomics: tile by tile of queries in the order prompt, chosen,
// rejected; in a tile query head by query head; in a head query by query.
// Grid: a block for each tile of keys and key/value head, those with most queries first. Shared: 26, 34, 26, 38 KiB. Must move, for a tile
// that `seen` queries of each of `sharing` heads see: 4 size (4 rows + 2 sharing seen) + 8 sharing seen bytes: K, V, dK and dV once, Q and dO
// once, log-sum-exp and delta. Moves that and 16 bytes of the list a warp: 1.001 times at size 64, 1.004 at 8.
template <class C> static __device__ __forceinline__ void attention_dkdv(
    const int* __restrict__ tiles, int tokens, int heads, int kvHeads, int size, float scale, const float* __restrict__ q,
    const float* __restrict__ k, const float* __restrict__ v, const float* __restrict__ logSumExp, const float* __restrict__ delta,
    const float* __restrict__ dOutput, float* __restrict__ dk, float* __restrict__ dv) {
    __shared__ __align__(16) float stream[C::Stream];
    __shared__ __align__(16) float weights[C::Weights];
    __shared__ __align__(16) float slopes[C::Weights];
    __shared__ float statistics[2 * C::BC];
    int field = tiles[4 * (blockIdx.x / kvHeads) + (threadIdx.x & 3)];
    int token = __shfl_sync(AllLanes, field, 0), rows = __shfl_sync(AllLanes, field, 1), last = __shfl_sync(AllLanes, field, 2);
    int kvHead = blockIdx.x % kvHeads, sharing = heads / kvHeads;
    int width = heads * size, kvWidth = kvHeads * size;
    float key[C::R][C::DS], value[C::R][C::DS], dKey[C::R][C::DS], dValue[C::R][C::DS];
    own_rows<C>(key, stream, rows_from(k + kvHead * size, kvWidth, token), rows, size);
    own_rows<C>(value, stream, rows_from(v + kvHead * size, kvWidth, token), rows, size);
    clear_rows<C>(dKey);
    clear_rows<C>(dValue);
    float* outputs = stream + C::BC * C::Padded;
    float* myWeights = weights + threadIdx.x / 8 * C::GroupWeights;
    float* mySlopes = slopes + threadIdx.x / 8 * C::GroupWeights;
    int warpRow = threadIdx.x / 32 * C::WarpRows;
    int row = threadIdx.x / 8 * C::R;
#pragma unroll 1
    for (int first = token; first < last; first += C::BC) {
        int count = least(C::BC, last - first);
        int begin = most(0, token + warpRow - first) / C::Step * C::Step;
        int edge = token + row - first;
        int some = least(count, most(0, edge));
        int all = least(count, most(0, edge + C::R - 1));
#pragma unroll 1
        for (int head = kvHead * sharing; head < (kvHead + 1) * sharing; head++) {
            load_rows<C, C::BC>(stream, rows_from(q + head * size, width, 0), first, count, size);
            load_rows<C, C::BC>(outputs, rows_from(dOutput + head * size, width, 0), first, count, size);
            if (threadIdx.x < 2 * C::BC) {
                int i = threadIdx.x % C::BC;
                const float* source = threadIdx.x < C::BC ? logSumExp : delta;
                statistics[threadIdx.x] = i < count ? source[(i64)head * tokens + first + i] : 0.0f;
            }
            __syncthreads();
            if (warpRow < rows && begin < count) {
                int own = token + row + lane_row<C>() - first - lane_key<C>();
#pragma unroll 1
                for (int j = begin; j < count; j += C::Step) {
                    float score[C::LaneRows], slope[C::LaneRows];
                    dot<C>(key, stream, j, score);
                    dot<C>(value, outputs, j, slope);
                    float lse = statistics[j + lane_key<C>()], correction = statistics[C::BC + j + lane_key<C>()];
#pragma unroll
                    for (int i = 0; i < C::LaneRows; i++) {
                        bool seen = j >= own + i;
                        float weight = exp_(fmaf(score[i], scale, -lse));
                        slope[i] = seen ? weight * (slope[i] - correction) * scale : 0.0f;
                        score[i] = seen ? weight : 0.0f;
                    }
                    put<C>(lane_weights<C>(myWeights, j), score);
                    put<C>(lane_weights<C>(mySlopes, j), slope);
                }
                __syncwarp();
                accumulate_edge<C, true>(dValue, myWeights, outputs, edge, some, all);
                accumulate_rows<C>(dValue, myWeights, outputs, all, count);
                accumulate_edge<C, true>(dKey, mySlopes, stream, edge, some, all);
                accumulate_rows<C>(dKey, mySlopes, stream, all, count);
            }
            __syncthreads();
        }
    }
    give_rows<C>(dKey, stream, dk + (i64)token * kvWidth + kvHead * size, kvWidth, rows, size);
    give_rows<C>(dValue, stream, dv + (i64)token * kvWidth + kvHead * size, kvWidth, rows, size);
}

// DECODE: one query of a sequence against its cache; a warp's owned rows are the heads that share a key/value head. The arithmetic is that of
// the forward pass, to the bit. Grid: a warp for each sequence, key/value head and eight heads that share it. Shared: 9, 17, 33, 33 KiB.
// Must move: Q and O once, the cached K and V once. Moves that and a length a warp; K and V again for every further eight heads.
template <class C> static __device__ __forceinline__ void attention_decode(
    const int* __restrict__ lengths, int capacity, int heads, int kvHeads, int size, float scale, const float* __restrict__ q,
    const float* __restrict__ kCache, const float* __restrict__ vCache, float* __restrict__ output) {
    __shared__ __align__(16) float stream[C::Stream];
    __shared__ __align__(16) float weights[C::Weights];
    int sharing = heads / kvHeads, parts = (sharing + C::Rows - 1) / C::Rows;
    int part = blockIdx.x % parts, kvHead = blockIdx.x / parts % kvHeads, sequence = blockIdx.x / parts / kvHeads;
    int kvWidth = kvHeads * size, rows = least(C::Rows, sharing - part * C::Rows);
    i64 cache = (i64)sequence * capacity * kvWidth + kvHead * size;
    i64 queries = ((i64)sequence * heads + kvHead * sharing + part * C::Rows) * size;
    int length = lengths[sequence];
    float x[C::R][C::DS], o[C::R][C::DS], best[C::LaneRows], total[C::LaneRows], lse[C::LaneRows];
    own_rows<C>(x, stream, rows_from(q + queries, size, 0), rows, size);
    clear_rows<C>(o);
#pragma unroll
    for (int i = 0; i < C::LaneRows; i++) {
        best[i] = minus_infinity();
        total[i] = 0.0f;
    }
    float* values = stream + C::BC * C::Padded;
#pragma unroll 1
    for (int first = 0; first < length; first += C::BC) {
        int count = least(C::BC, length - first);
        load_rows<C, C::BC>(stream, rows_from(kCache + cache, kvWidth, 0), first, count, size);
        load_rows<C, C::BC>(values, rows_from(vCache + cache, kvWidth, 0), first, count, size);
        __syncthreads();
        attend<C>(
            x, stream, values, weights + threadIdx.x / 8 * C::GroupWeights, scale, first, count, count, length - 1, 0, best, total, o);
        __syncthreads();
    }
    finish_softmax<C>(scale, best, total, o, lse);
    give_rows<C>(o, stream, output + queries, size, rows, size);
}

#define SEGMENT_ATTENTION(SIZE, ...)                                                                                                        \
    extern "C" __global__ void __launch_bounds__((Tiling<__VA_ARGS__>::T)) segment_attention_##SIZE(                                         \
        const int* __restrict__ tiles, int tokens, int heads, int kvHeads, int size, float scale, const float* __restrict__ q,               \
        const float* __restrict__ k, const float* __restrict__ v, float* __restrict__ output, float* __restrict__ logSumExp) {               \
        attention_forward<Tiling<__VA_ARGS__>>(tiles, tokens, heads, kvHeads, size, scale, q, k, v, output, logSumExp);                       \
    }
#define SEGMENT_ATTENTION_DQ(SIZE, ...)                                                                                                     \
    extern "C" __global__ void __launch_bounds__((Tiling<__VA_ARGS__>::T)) segment_attention_dq_##SIZE(                                      \
        const int* __restrict__ tiles, int tokens, int heads, int kvHeads, int size, float scale, const float* __restrict__ q,               \
        const float* __restrict__ k, const float* __restrict__ v, const float* __restrict__ output, const float* __restrict__ logSumExp,     \
        const float* __restrict__ dOutput, float* __restrict__ dq, float* __restrict__ delta) {                                              \
        attention_dq<Tiling<__VA_ARGS__>>(tiles, tokens, heads, kvHeads, size, scale, q, k, v, output, logSumExp, dOutput, dq, delta);        \
    }
#define SEGMENT_ATTENTION_DKDV(SIZE, ...)                                                                                                   \
    extern "C" __global__ void __launch_bounds__((Tiling<__VA_ARGS__>::T)) segment_attention_dkdv_##SIZE(                                    \
        const int* __restrict__ tiles, int tokens, int heads, int kvHeads, int size, float scale, const float* __restrict__ q,               \
        const float* __restrict__ k, const float* __restrict__ v, const float* __restrict__ logSumExp, const float* __restrict__ delta,      \
        const float* __restrict__ dOutput, float* __restrict__ dk, float* __restrict__ dv) {                                                 \
        attention_dkdv<Tiling<__VA_ARGS__>>(tiles, tokens, heads, kvHeads, size, scale, q, k, v, logSumExp, delta, dOutput, dk, dv);          \
    }
#define DECODE_ATTENTION(SIZE, ...)                                                                                                         \
    extern "C" __global__ void __launch_bounds__((Tiling<__VA_ARGS__>::T)) decode_attention_##SIZE(                                          \
        const int* __restrict__ lengths, int capacity, int heads, int kvHeads, int size, float scale, const float* __restrict__ q,           \
        const float* __restrict__ kCache, const float* __restrict__ vCache, float* __restrict__ output) {                                    \
        attention_decode<Tiling<__VA_ARGS__>>(lengths, capacity, heads, kvHeads, size, scale, q, kCache, vCache, output);                     \
    }

SEGMENT_ATTENTION(32, 4, 4, 32, 128)
SEGMENT_ATTENTION(64, 8, 4, 32, 128)
SEGMENT_ATTENTION(128, 16, 4, 32, 128)
SEGMENT_ATTENTION(256, 32, 2, 16, 256)

SEGMENT_ATTENTION_DQ(32, 4, 4, 32, 128)
SEGMENT_ATTENTION_DQ(64, 8, 4, 32, 128)
SEGMENT_ATTENTION_DQ(128, 16, 2, 32, 256)
SEGMENT_ATTENTION_DQ(256, 32, 1, 16, 512)

SEGMENT_ATTENTION_DKDV(32, 4, 4, 32, 128)
SEGMENT_ATTENTION_DKDV(64, 8, 4, 32, 128)
SEGMENT_ATTENTION_DKDV(128, 16, 2, 16, 256)
SEGMENT_ATTENTION_DKDV(256, 32, 1, 16, 256)

DECODE_ATTENTION(32, 4, 2, 32, 32)
DECODE_ATTENTION(64, 8, 2, 32, 32)
DECODE_ATTENTION(128, 16, 2, 32, 32)
DECODE_ATTENTION(256, 32, 2, 16, 32)

// Puts row s of k and v at place lengths[s] - 1 of sequence s in its cache. Grid: a thread for every 16 bytes of k (4 where they are not
// aligned). Must move and moves: k and v once, their places in the caches once, a length a warp.
extern "C" __global__ void __launch_bounds__(256) append_cache(
    const float* __restrict__ k, const float* __restrict__ v, const int* __restrict__ lengths, int sequences, int capacity, int width,
    float* __restrict__ kCache, float* __restrict__ vCache) {
    bool aligned = (width & 3) == 0 && (((u64)k | (u64)v | (u64)kCache | (u64)vCache) & 15) == 0;
    int parts = aligned ? width / 4 : width;
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (i64)sequences * parts) return;
    int sequence = (int)(i / parts);
    i64 place = ((i64)sequence * capacity + lengths[sequence] - 1) * parts + i % parts;
    if (aligned) {
        store_float4(kCache + 4 * place, load_float4(k + 4 * i));
        store_float4(vCache + 4 * place, load_float4(v + 4 * i));
    } else {
        kCache[place] = k[i];
        vCache[place] = v[i];
    }
}
