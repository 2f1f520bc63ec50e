#!/bin/sh
# Builds the kernels for AArch64 and holds NEON to the portable kernels, and both to the portable kernels of this machine,
# in an emulator:
#     native/check_neon.sh [--sanitize]
# On Debian it needs what `apt-get install cmake g++-aarch64-linux-gnu qemu-user` installs. With --sanitize the programs
# are built with the address and undefined-behaviour sanitizers, and take some minutes.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
for tool in cmake aarch64-linux-gnu-g++ qemu-aarch64; do
    command -v $tool >/dev/null || { echo "check_neon.sh: $tool is missing (Debian: apt-get install cmake g++-aarch64-linux-gnu qemu-user)" >&2; exit 2; }
done

# build DIRECTORY [CMake options...]
build() {
    directory=$root/build/$1
    shift
    cmake -S "$root" -B "$directory" -DPQSTORE_CONTRACT=ON -DPQSTORE_WERROR=ON "$@" >/dev/null
    cmake --build "$directory" --parallel 2 >/dev/null
}
aarch64="-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++"
emulate="qemu-aarch64 -L /usr/aarch64-linux-gnu"

if [ "${1:-}" = --sanitize ]; then
    build neon-sanitize $aarch64 -DCMAKE_CXX_FLAGS_RELEASE=-O1 -DPQSTORE_SANITIZE=address,undefined
    # The leak detector needs a system call that the emulator lacks.
    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 $emulate "$root/build/neon-sanitize/kernel_contract" neon
    exit
fi

build contract
build neon $aarch64
here=$("$root/build/contract/kernel_contract" portable)
there=$($emulate "$root/build/neon/kernel_contract" neon) || { echo "$there"; exit 1; }
echo "$here"
echo "$there"
if [ "${here##*digest }" != "${there##*digest }" ]; then
    echo "check_neon.sh: AArch64 and this machine compute different results" >&2
    exit 1
fi
