#!/bin/sh
# Runs the contract under the address and undefined-behaviour sanitizers (GCC or Clang on Linux):
#     native/sanitize.sh [arguments for pytest]
# PYTHON names the interpreter; it needs nanobind, cmake, pytest and numpy.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
python=$(command -v "$python")
build=$root/build/sanitize
site=$build/site
cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release "-DCMAKE_CXX_FLAGS_RELEASE=-O1" -DPQSTORE_SANITIZE=address,undefined -DPython_EXECUTABLE="$python"
cmake --build "$build" --parallel 2
# A copy of the package with this module inside, so that the checkout's own build stays as it is.
rm -rf "$site"
mkdir -p "$site"
cp -R "$root/pqstore" "$site/"
rm -f "$site"/pqstore/_native*.so
cmake --install "$build" --prefix "$site" >/dev/null
cd "$site"
compiler=${CXX:-c++}
# The C++ runtime too, or the address sanitizer does not find what throws exceptions.
runtime="$("$compiler" -print-file-name=libasan.so) $("$compiler" -print-file-name=libstdc++.so)"
# Python itself leaks on purpose; odr checks would see the static nanobind twice.
LD_PRELOAD=$runtime ASAN_OPTIONS=detect_leaks=0:detect_odr_violation=0:allocator_may_return_null=1 \
    UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 PQSTORE_REQUIRE_NATIVE=1 \
    "$python" -m pytest -c "$root/pyproject.toml" --rootdir "$root" -p no:cacheprovider \
    "$root/tests/contract" "$root/tests/unit/kernels" \
    "$root/tests/unit/storage/attachments" "$root/tests/unit/storage/test_compiled_loops.py" "$@"
