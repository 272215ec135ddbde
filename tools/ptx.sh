#!/usr/bin/env bash
# Compiles kernels.cu to kernels.ptx with clang 14 (Debian 12's) and no CUDA toolkit.     tools/ptx.sh [OUTPUT]
# The version is pinned: others emit other text, and CI compares byte for byte. CLANG names another path to the same version.
set -euo pipefail
cd "$(dirname "$0")/.."
output=${1:-kernels.ptx}
clang=${CLANG:-clang++-14}
if ! command -v "$clang" > /dev/null; then
    echo "ptx.sh: needs $clang (apt-get install clang-14)" >&2
    exit 1
fi
case $("$clang" --version | head -n 1) in
    *"version 14.0."*) ;;
    *) echo "ptx.sh: $clang is not version 14" >&2; exit 1 ;;
esac
# Without -disable-vector-combine a 16-byte load in one arm of a branch and four 4-byte loads in the other become four loads in both.
flags="-x cuda --cuda-device-only --cuda-gpu-arch=sm_70 -Xclang -target-feature -Xclang +ptx63 -nocudainc -nocudalib -std=c++17 -O3
    -ffp-contract=off -mllvm -disable-vector-combine -Wall -Wno-unknown-cuda-version -Wno-unused-function -Wno-unused-const-variable
    -gline-directives-only -fdebug-compilation-dir=."
temporary=$(mktemp "$output.XXXXXX")
trap 'rm -f "$temporary"' EXIT
{
    echo "// Made from kernels.cu by tools/ptx.sh; sha256 $(sha256sum kernels.cu | cut -d ' ' -f 1)"
    # Lines stay (.loc), for the simulator and for profilers; labels and the empty section that only a debugger reads go, and so do folders.
    # shellcheck disable=SC2086
    "$clang" $flags -S -o - kernels.cu | sed -E \
        -e '/^L(tmp|func_begin|func_end)[0-9]+:$/d' -e '/^\t\.section\t\.debug_loc\t\{\t\}$/d' -e 's|^(\t\.file\t[0-9]+ )".*/([^/"]+)"|\1"\2"|'
} > "$temporary"
if grep -nE '\.extern \.func|\.local|__local_depot|\.approx|\.ftz|\b(atom|red)\.[a-z.]*f(16|32|64)' "$temporary" >&2; then
    echo "ptx.sh: the lines above have no place in kernels.ptx (no libdevice, no local memory, nothing approximate, no float atomics)" >&2
    exit 1
fi
chmod 644 "$temporary"
mv "$temporary" "$output"
