#!/usr/bin/env bash
# Builds the fuzz targets (Clang with libFuzzer: clang, libclang-rt-dev) and runs each for some seconds (60), under AddressSanitizer and
# UndefinedBehaviorSanitizer, from the project's own files: tests/fuzz/run.sh [SECONDS [TARGET …]]. Inputs that were found to matter stay in
# build/fuzz/corpus/; one that fails is written to build/fuzz/failed/, which is empty where all went well.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
shift $(( $# > 0 ))
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(config rows results tensors)
build=build/fuzz
if ! printf 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' |
    clang++ -fsanitize=fuzzer,address,undefined -x c++ - -o /dev/null 2>/dev/null; then
  echo 'fuzz: left out, as there is no libFuzzer: install clang and libclang-rt-dev'
  exit 0
fi
MNEME_PRESET=fuzz scripts/setup.sh "${targets[@]/#/--target=fuzz_}"
mkdir -p "$build/failed"
export ASAN_OPTIONS=detect_leaks=0:detect_odr_violation=0:detect_container_overflow=0 UBSAN_OPTIONS=print_stacktrace=1

seeds() {  # of a target: files of the project
  case $1 in
    config) find tests/fuzz/seeds/config configs/smoke -type f ;;
    rows) find tests/fuzz/seeds/rows -type f ;;
    results) find results/tables -name "*.h5" -size -60k ;;
    tensors) find tests/fuzz/seeds/tensors -type f ;;
  esac
}

status=0
for target in "${targets[@]}"; do
  corpus=$build/corpus/$target
  mkdir -p "$corpus"
  while read -r file; do cp "$file" "$corpus/$(echo "$file" | tr / _)"; done < <(seeds "$target")
  printf '\nfuzz: %s\n' "$target"
  "$build/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -timeout=60 -report_slow_units=60 -rss_limit_mb=4096 -max_len=400000 -print_final_stats=1 \
    -artifact_prefix="$build/failed/$target-" "$corpus" >"$build/$target.log" 2>&1 && failed=no || failed=yes
  grep -E 'ERROR|SUMMARY|runtime error|executed_units' "$build/$target.log" || true
  if [ $failed = yes ]; then status=1
  else rm -f "$build/failed/$target-"*; fi  # HDF5 that failed in a guarded process is why there are such
done
exit $status
