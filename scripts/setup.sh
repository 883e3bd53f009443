#!/usr/bin/env bash
# Installs what is missing and builds the release preset. Safe to run again: a second run only rebuilds what changed.
#
#   scripts/setup.sh              dependencies, then build/release/mneme and its tests
#   scripts/setup.sh --program    without the tests; --target=NAME … builds targets by name
#   scripts/setup.sh --deps-only  dependencies alone
#   scripts/setup.sh --no-venv    never make the private Python environment (then LibTorch must be given)
#
# LibTorch: CMAKE_PREFIX_PATH or MNEME_LIBTORCH if one of them holds it, else the wheel torch==2.13.0 in ./.venv.
# MNEME_PIP_ARGS  further arguments for pip, e.g. --extra-index-url of an index that serves the CPU build of the wheel (the
#                 registry's default Linux wheel may be a CUDA build of several GB, which does as well).
# MNEME_PRESET    CMake preset to build (release).
set -euo pipefail
cd "$(dirname "$0")/.."
deps_only=no venv=yes targets=()
for arg in "$@"; do
  case $arg in
    --program) targets+=(mneme) ;;
    --target=*) targets+=("${arg#*=}") ;;
    --deps-only) deps_only=yes ;;
    --no-venv) venv=no ;;
    *) sed -n '2,13p' "$0" >&2; exit 2 ;;
  esac
done
say() { printf 'setup: %s\n' "$*" >&2; }
preset=${MNEME_PRESET:-release}

# 1. A LibTorch that is given
torch_in() { [ -n "$1" ] && { [ -f "$1/share/cmake/Torch/TorchConfig.cmake" ] || [ -f "$1/Torch/TorchConfig.cmake" ]; }; }
libtorch=
if [ -n "${MNEME_LIBTORCH:-}" ]; then
  torch_in "$MNEME_LIBTORCH" || { say "MNEME_LIBTORCH=$MNEME_LIBTORCH holds no share/cmake/Torch/TorchConfig.cmake: name the folder that does, or unset it"; exit 1; }
  libtorch=$MNEME_LIBTORCH
else
  IFS=':;' read -r -a given <<<"${CMAKE_PREFIX_PATH:-}"
  for path in "${given[@]}"; do
    if torch_in "$path"; then libtorch=$path; break; fi
  done
fi
[ -z "$libtorch" ] || venv=no

# 2. Debian packages
packages=(g++ cmake ninja-build ccache libboost-program-options-dev libhdf5-dev libssl-dev libfmt-dev libjemalloc-dev catch2 nlohmann-json3-dev python3-venv)
if [ ${#targets[@]} = 0 ] && [ "$deps_only" = no ] && [ "$(uname -m)" = x86_64 ]; then
  packages+=(qemu-user binutils)  # the tests run as older processors, and look at what the linker sees
fi
missing=()
if ! command -v dpkg-query >/dev/null; then
  say "not a Debian-like system: what CMake does not find below, install as the equivalents of: ${packages[*]}"
  packages=()
fi
for package in "${packages[@]}"; do
  case $package in  # a tool that is there, from wherever, will do
    g++) command -v g++ >/dev/null && continue ;;
    cmake) command -v cmake >/dev/null && continue ;;
    ninja-build) command -v ninja >/dev/null && continue ;;
    ccache) command -v ccache >/dev/null && continue ;;
    qemu-user) command -v qemu-x86_64 >/dev/null && continue ;;
    binutils) command -v objdump >/dev/null && continue ;;
    python3-venv) [ "$venv" = no ] && continue; python3 -c 'import ensurepip' 2>/dev/null && continue ;;
  esac
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  [ -z "$sudo" ] || command -v sudo >/dev/null || { say "missing packages: ${missing[*]}; run as root or install sudo"; exit 1; }
  say "installing Debian packages: ${missing[*]}"
  log=$(mktemp)
  { DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1 ||
    { $sudo apt-get update >"$log" 2>&1 && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1; }; } ||
    { tail -n 20 "$log" >&2; say "apt-get failed; the last lines of its output are above"; exit 1; }
  rm -f "$log"
fi

# 3. LibTorch
if [ -z "$libtorch" ]; then
  [ "$venv" = yes ] || { say "no LibTorch in CMAKE_PREFIX_PATH or MNEME_LIBTORCH, and --no-venv forbids fetching the wheel"; exit 1; }
  stamp=.venv/mneme-requirements.txt
  if ! cmp -s scripts/requirements.txt "$stamp" 2>/dev/null; then
    say "making .venv with $(tr '\n' ' ' <scripts/requirements.txt)(some hundred MB for a CPU build; MNEME_PIP_ARGS chooses the index)"
    made=no; [ -e .venv ] || made=yes
    # shellcheck disable=SC2086
    { python3 -m venv .venv && .venv/bin/python -m pip install --quiet --disable-pip-version-check ${MNEME_PIP_ARGS:-} -r scripts/requirements.txt; } ||
      { [ "$made" = no ] || rm -rf .venv; say "the wheels could not be installed (above): check the network or MNEME_PIP_ARGS, or give a LibTorch by MNEME_LIBTORCH"; exit 1; }
    cp scripts/requirements.txt "$stamp"
  fi
  libtorch=$(.venv/bin/python -c 'import torch; print(torch.utils.cmake_prefix_path)')
else
  say "LibTorch: $libtorch"
  [ -e .venv/bin/python ] || say "note: without .venv the tests leave out the comparisons with PyTorch; for them run this once without MNEME_LIBTORCH and CMAKE_PREFIX_PATH"
fi
[ "$deps_only" = no ] || exit 0

# 4. Build
build=build/$preset; mkdir -p build
[ ${#targets[@]} -gt 0 ] || targets=(all)
say "building $build (on 2 cores about 9 minutes the first time, 7 without the tests)"
cmake --preset "$preset" -U Torch_DIR -U TORCH_LIBRARY -U c10_LIBRARY -U MNEME_TORCH_CUDA -DCMAKE_PREFIX_PATH="$libtorch" >"$build.log" 2>&1 || { tail -n 30 "$build.log" >&2; exit 1; }
cmake --build --preset "$preset" --target "${targets[@]}" --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}"
say "ready: $build"
