#!/usr/bin/env bash
# Builds what is missing (scripts/setup.sh) and runs the whole test suite.
#
#   scripts/test.sh [arguments of ctest]     e.g. scripts/test.sh -R config
#
# MNEME_PRESET  CMake preset to build and test (release)
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${MNEME_PRESET:-release}
MNEME_PRESET=$preset scripts/setup.sh
log=build/$preset/test.log
status=0
ctest --test-dir "build/$preset" --output-on-failure "$@" 2>&1 | tee "$log" || status=$?
# ctest closes with timings or a list of failures; the line that counts comes last here.
grep -E '^[0-9]+% tests passed|^No tests were found' "$log" | tail -n 1 || true
exit "$status"
