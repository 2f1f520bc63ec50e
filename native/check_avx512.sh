#!/bin/sh
# Holds the AVX-512 kernels to the portable ones on any x86-64 processor with AVX2, where SIMDe writes their instructions
# in terms of others:
#     native/check_avx512.sh
# PYTHON names an interpreter with pip, which fetches SIMDe's headers. Where the processor has AVX-512, the tests have held
# the real instructions to the contract already.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
simde=$root/build/simde
command -v cmake >/dev/null || { echo "check_avx512.sh: cmake is missing (Debian: apt-get install cmake)" >&2; exit 2; }
headers() { find "$simde" -path '*/simde/x86/avx512.h' 2>/dev/null | head -n 1; }
[ -n "$(headers)" ] || "${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --no-deps --target "$simde" "simde-py==0.8.2.post1"
directory=$(headers)
directory=${directory%/simde/x86/avx512.h}
cmake -S "$root" -B "$root/build/avx512" -DPQSTORE_CONTRACT=ON "-DPQSTORE_SIMDE=$directory" >/dev/null
cmake --build "$root/build/avx512" --parallel 2 --target kernel_contract >/dev/null
"$root/build/avx512/kernel_contract" avx512
