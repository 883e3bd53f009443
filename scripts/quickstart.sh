#!/usr/bin/env bash
# From a fresh clone to a fair comparison: builds, makes the corpus, trains six arms on two tasks (about 5 minutes on 2
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
    *=*) printf 'quickstart: it runs experiments/reproduce/quickstart/short.ini as it is; for %s use mneme sweep, table and report yourself (README.md, Use)\n' "$arg" >&2; exit 2 ;;
  esac
done

sweep=experiments/reproduce/quickstart/short.ini
out=results/quickstart

say "1/4 dependencies and build"
scripts/setup.sh --program
mneme=build/release/mneme

say "2/4 books"
scripts/get-books.sh

say "3/4 training and evaluating the arms of $sweep"
status=0
"$mneme" sweep "$sweep" "$@" || status=$?
[ "$status" != 75 ] || { say "interrupted; the same command goes on from there"; exit 75; }

say "4/4 tables and page"
mkdir -p "$out"
"$mneme" table "$sweep" --rows arm --columns length --where task=needle --title "Needle in a book, by bytes read" --output "$out/needle"
printf '\n'
"$mneme" table "$sweep" --rows arm --columns setting --where task=rewrite --title "Rewritten values, keys x writes" --output "$out/rewrite"
"$mneme" report "$sweep" --title "Mneme quickstart" --output "$out/index.html" >/dev/null
printf '\nEvery number is in HDF5: results/runs/quickstart-short-*/run.h5, and beside each table in %s/*.h5\n' "$out"
printf 'The page: %s/index.html\n' "$PWD/$out"
exit "$status"
