#!/usr/bin/env bash
# From a fresh clone to a fair comparison: builds, makes the corpus, trains seven arms on two tasks (about 12 minutes on 2
# cores after the build), prints the tables and writes a page. Run again, it resumes and skips what is done.
#
#   scripts/quickstart.sh [options of mneme sweep]     e.g. scripts/quickstart.sh --jobs 4
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '\nquickstart: %s\n' "$*" >&2; }
for arg in "$@"; do
  case $arg in
    -h | --help) sed -n '2,5p' "$0"; exit 0 ;;
    -*) ;;
    *=*) printf 'quickstart: it runs experiments/quickstart/short.ini as it is; for %s use mneme sweep, table and report yourself (README.md, Use)\n' "$arg" >&2; exit 2 ;;
  esac
done

sweep=experiments/quickstart/short.ini
out=results/quickstart

say "1/4 dependencies and build"
scripts/setup.sh --program
mneme=build/release/mneme

say "2/4 books"
scripts/get-books.sh

say "3/4 training and evaluating the arms of $sweep"
mkdir -p "$out"
status=0
"$mneme" sweep "$sweep" "$@" | tee -i "$out/sweep.txt" || status=${PIPESTATUS[0]}
if [ "$status" -gt 128 ]; then
  signal=SIG$(kill -l "$status")
  case $signal in
    SIGILL) todo="this processor lacks instructions that the program uses; try MNEME_ISA=generic scripts/quickstart.sh" ;;
    SIGKILL | SIGTERM | SIGINT | SIGHUP) todo="the same command goes on from there" ;;
    *) todo="a fault of the program itself; please report it with the lines above" ;;
  esac
  say "mneme sweep was killed by $signal: $todo"; exit "$status"
fi
[ "$status" != 75 ] || { say "interrupted; the same command goes on from there"; exit 75; }
# Ends with the cause: the first run that failed, else what the sweep says of its runs, else its own message, which is there already.
not_complete() {
  local cause
  cause=$(sed -n '/^failed: /{s///;p;q}' "$out/sweep.txt")
  [ -n "$cause" ] || cause=$(sed -n 's/^sweep //p' "$out/sweep.txt")
  [ -z "$cause" ] || say "not complete: $cause; once the cause is gone, scripts/quickstart.sh --retry-failed goes on"
  exit "$status"
}
[ "$status" = 0 ] || grep -q '^sweep .*: [1-9][0-9]* of ' "$out/sweep.txt" || not_complete  # nothing to tabulate

say "4/4 tables and page"
"$mneme" table "$sweep" --rows arm --columns length --where task=needle_keys --title "Needles with keys in a book, by bytes read" --output "$out/needle_keys" || [ "$status" != 0 ]
printf '\n'
"$mneme" table "$sweep" --rows arm --columns setting --where task=rewrite --title "Rewritten values, keys x writes" --output "$out/rewrite" || [ "$status" != 0 ]
"$mneme" report "$sweep" --title "Mneme quickstart" --output "$out/index.html" >/dev/null || [ "$status" != 0 ]
printf '\nEvery number is in HDF5: results/runs/quickstart-short-*/run.h5, and beside each table in %s/*.h5\n' "$out"
printf 'The page: %s/index.html\n' "$PWD/$out"
[ "$status" = 0 ] || not_complete
