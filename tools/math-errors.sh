#!/usr/bin/env bash
# The errors of the elementary functions of kernels.cu, over all 2^32 singles, as a Markdown table.     tools/math-errors.sh [STRIDE]
# Compiles their section of kernels.cu as C++ for this machine, with its fma and nothing contracted, so the bits are those of the kernels.
# Exact values come from libm in double precision, whose own error here is below 1e-4 ulp. STRIDE takes every so manieth single only.
# All of them take eight minutes of processor time. CXX names the compiler.
set -euo pipefail
cd "$(dirname "$0")/.."
compiler=${CXX:-$(command -v clang++-14 || command -v clang++ || command -v g++ || true)}
if [ -z "$compiler" ]; then
    echo "math-errors.sh: needs a C++ compiler (clang++ or g++)" >&2
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# What stands between the banner "Elementary functions" and the next.
awk '/^\/\/ Elementary functions/ { inside = 1; next } inside && /^\/\/ -----/ { if (++rules == 2) exit; next } inside' kernels.cu > "$work/functions.h"
cat > "$work/errors.cpp" << 'CPP'
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#if !defined(__FMA__) && !defined(__aarch64__)
#error "this machine has no fma: a library's would take days"
#endif

#define __device__
#define __forceinline__ inline __attribute__((always_inline))
static inline int __float_as_int(float a) { int b; memcpy(&b, &a, 4); return b; }
static inline float __int_as_float(int a) { float b; memcpy(&b, &a, 4); return b; }
#include "functions.h"

struct Worst {
    double ulp;
    float at;
};

// |y - exact| in ulp of exact, 2^-149 for denormal results; infinite where the kinds (NaN, infinity, sign of an exact zero) differ.
static double ulp_between(float y, double exact) {
    if (std::isnan(exact) || std::isnan(y)) {
        return std::isnan(exact) && std::isnan(y) ? 0 : INFINITY;
    }
    if (std::isinf((float)exact) || std::isinf(y)) {
        return y == (float)exact ? 0 : INFINITY;
    }
    if (exact == 0 && y == 0) {
        return std::signbit(exact) == std::signbit(y) ? 0 : INFINITY;
    }
    int exponent = exact == 0 ? -126 : std::max(std::ilogb(exact), -126);
    return std::scalbn(std::fabs(y - exact), 23 - exponent);
}

// Blocks of 2^20 are handed out as threads come free: the exponents that cost most lie together.
template <class Function, class Exact> static Worst scan(Function function, Exact exact, uint32_t stride) {
    std::atomic<uint64_t> next{0};
    std::mutex lock;
    Worst worst{0, 0};
    auto work = [&] {
        Worst mine{0, 0};
        for (uint64_t block; (block = next.fetch_add(1 << 20)) < 1ull << 32;) {
            for (uint64_t bits = (block + stride - 1) / stride * stride; bits < block + (1 << 20); bits += stride) {
                float x = __int_as_float((int)(uint32_t)bits);
                float y = function(x);
                double e = exact((double)x);
                // What is rounded correctly errs by no more than half an ulp, and needs no measuring; zeros do, for their sign.
                if ((float)e != y || y == 0) {
                    double ulp = ulp_between(y, e);
                    if (ulp > mine.ulp) {
                        mine = Worst{ulp, x};
                    }
                }
            }
        }
        std::lock_guard<std::mutex> guard(lock);
        // Of equal errors that of the least bits, which each thread meets first: the table does not depend on the threads.
        if (mine.ulp > worst.ulp || (mine.ulp == worst.ulp && (unsigned)__float_as_int(mine.at) < (unsigned)__float_as_int(worst.at))) {
            worst = mine;
        }
    };
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); i++) {
        threads.emplace_back(work);
    }
    for (auto &thread : threads) {
        thread.join();
    }
    return worst;
}

int main(int count, char **arguments) {
    uint32_t stride = count > 1 ? (uint32_t)std::strtoul(arguments[1], nullptr, 10) : 1;
    auto row = [](const char *name, Worst worst) {
        printf("| %s | %.4f | %.9g | %08x |\n", name, worst.ulp, worst.at, (unsigned)__float_as_int(worst.at));
        fflush(stdout);
    };
    printf("| function | worst error, ulp | at | its bits |\n|---|---|---|---|\n");
    auto sigmoid = [](double x) {
        double e = std::exp(-std::fabs(x));
        return (x < 0 ? e : 1) / (1 + e);
    };
    auto softplus = [](double x) { return (x < 0 ? 0 : x) + std::log1p(std::exp(-std::fabs(x))); };
    row("exp", scan([](float x) { return exp_(x); }, [](double x) { return std::exp(x); }, stride));
    row("log", scan([](float x) { return log_(x); }, [](double x) { return std::log(x); }, stride));
    row("log1p", scan([](float x) { return log1p_(x); }, [](double x) { return std::log1p(x); }, stride));
    row("tanh", scan([](float x) { return tanh_(x); }, [](double x) { return std::tanh(x); }, stride));
    row("sigmoid", scan([](float x) { return sigmoid_(x); }, sigmoid, stride));
    row("softplus", scan([](float x) { return softplus_(x); }, softplus, stride));
}
CPP
"$compiler" -std=c++17 -O2 -march=native -ffp-contract=off -Wall -Wno-unused-function -pthread -I "$work" -o "$work/errors" "$work/errors.cpp"
"$work/errors" "${1:-1}"
