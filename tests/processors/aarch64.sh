#!/usr/bin/env bash
# The tests of the kernels on another architecture: built for aarch64 by Debian's cross compiler against LibTorch's aarch64 wheel, run by
# qemu-user. Not part of .ci/run: the wheel has 430 MB.
#
#   tests/processors/aarch64.sh [--folder FOLDER] [arguments of the test program, e.g. "*every instruction set*"]
#
# FOLDER (build/aarch64) keeps wheels, objects and the program; wheels that lie in FOLDER/wheels are not downloaded.
# Debian packages: g++-aarch64-linux-gnu qemu-user catch2 (version 2, which is all header) python3-venv or python3-pip; with ccache a second
# run compiles what changed alone.
# MNEME_PIP_ARGS  further arguments for pip, as for scripts/setup.sh; the CPU build of the wheel does as well.
set -euo pipefail
cd "$(dirname "$0")/../.."
say() { printf 'aarch64: %s\n' "$*" >&2; }
stop() { say "$*"; exit 1; }
folder=build/aarch64
case ${1:-} in
  -h | --help) sed -n '2,10p' "$0"; exit ;;
  --folder) folder=${2:?--folder needs a folder}; shift 2 ;;
esac
mkdir -p "$folder/wheels" "$folder/objects"
folder=$(realpath "$folder")

# 1. Tools
target=aarch64-linux-gnu
for tool in $target-g++:g++-$target $target-readelf:binutils-$target qemu-aarch64:qemu-user; do
  command -v ${tool%:*} >/dev/null || stop "no ${tool%:*}: install the Debian package ${tool#*:}"
done
[ -f /usr/include/catch2/catch.hpp ] ||
  stop "no catch2/catch.hpp: install Catch2 of version 2 (Debian 12: catch2); version 3 is a library of the wrong architecture"
python=.venv/bin/python
[ -x $python ] || python=python3

# 2. LibTorch. Its CUDA build links the CPU library to two small ones of CUDA, found through the wheels' own search paths.
fetch() {  # package, version, which files of it
  local wheel=$folder/wheels/${1//-/_} platform platforms=()
  for platform in _2_28 _2_27 _2_26 _2_25 _2_24 2014; do platforms+=(--platform "manylinux${platform}_aarch64"); done
  if ! compgen -G "$wheel-*.whl" >/dev/null; then
    say "downloading $1$2"
    # shellcheck disable=SC2086
    $python -m pip download ${MNEME_PIP_ARGS:-} --quiet --disable-pip-version-check --no-deps --only-binary=:all: --implementation cp \
      --python-version 3.11 "${platforms[@]}" --dest "$folder/wheels" "$1$2" ||
      stop "pip could not download $1$2 (above): lay its wheel into $folder/wheels"
  fi
  [ -e "$wheel.unpacked" ] && return
  $python -c 'import re, sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
wheel.extractall(sys.argv[2], [name for name in wheel.namelist() if re.search(sys.argv[3], name)])' "$wheel"-*.whl "$folder" "$3"
  touch "$wheel.unpacked"
}
fetch torch "$(sed -n 's/^torch//p' scripts/requirements.txt)" \
  '^torch/(version\.py|include/|lib/lib(?!torch_(cuda|python|nvshmem)|c10_cuda|caffe2)[^/]*\.so)'
lib=$folder/torch/lib
linked=$($target-readelf -d "$lib/libtorch_cpu.so")
for name in cudart:nvidia-cuda-runtime cupti:nvidia-cuda-cupti; do
  [[ $linked == *"[lib${name%:*}.so"* ]] || continue
  fetch "${name#*:}" "==$(sed -n "s/^cuda\b.*'\(.*\)'/\1/p" "$folder/torch/version.py").*" "lib${name%:*}\.so"
done

# 3. Compile: sources with the flags of cmake/Layers.cmake, the one engine that is for any processor (CMakeLists.txt), and of the layers
# above the kernels what their tests compare with.
compile() {  # source, flags
  local object=$folder/objects/${1//\//_}.o
  $launcher $target-g++ -std=c++20 -DNDEBUG -fPIC -fopenmp -Wall -Wextra -Wshadow -Werror -Wno-restrict -Wno-stringop-overflow \
    -Wno-array-bounds -Wno-stringop-overread -Wno-maybe-uninitialized -Iinclude -Isrc -I. -isystem cmake/lean -isystem "$folder/torch/include" \
    -isystem "$folder/torch/include/torch/csrc/api/include" -DFMT_HEADER_ONLY -DMNEME_TEST_TORCH "${@:2}" -c "$1" -o "$object.new"
  mv "$object.new" "$object"
}
launcher=$(command -v ccache || true)
export folder target launcher
export -f compile
rm -f "$folder"/objects/*
say "compiling"
{
  for source in src/kernels/*.cpp src/nn/attention.cpp; do echo "$source -O3"; done
  for source in src/kernels/engine/*.cpp; do echo "$source -O3 -DMNEME_ENGINE=generic -DMNEME_LANES=4"; done
  for source in tests/unit/kernels/*.cpp; do echo "$source -O1"; done
  echo "tests/support/catch_main.cpp -O0"
} | xargs -P "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}" -L 1 bash -euc 'compile "$@"' compile
$target-g++ -fopenmp "$folder"/objects/*.o -o "$folder/test_kernels" -Wl,--allow-shlib-undefined,-rpath,"$lib" \
  "$lib/libtorch_cpu.so" "$lib/libc10.so" "$lib/libgomp.so.1"

# 4. Run, as a processor of 2019 without SVE. What qemu-user does not translate it would take from this machine: LibTorch dies of a
# /proc/cpuinfo that describes another architecture.
sysroot=$folder/sysroot
cpu=$sysroot/sys/devices/system/cpu
mkdir -p "$sysroot/proc" "$cpu/cpu0/regs/identification"
ln -sfn /usr/$target/lib "$sysroot/lib"
for file in possible present online; do echo 0 >"$cpu/$file"; done
echo 0x00000000414fd0c1 >"$cpu/cpu0/regs/identification/midr_el1"
cat >"$sysroot/proc/cpuinfo" <<'CPU'
processor	: 0
Features	: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x4
CPU part	: 0xd0c
CPU revision	: 1

CPU
say "running $folder/test_kernels"
OMP_NUM_THREADS=1 exec qemu-aarch64 -cpu neoverse-n1 -L "$sysroot" "$folder/test_kernels" -w NoAssertions "$@"
