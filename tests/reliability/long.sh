#!/usr/bin/env bash
# The long form of the tests of reliability, hours on 2 cores: 300 kills of a run, 100 each of a sweep, a table, a report and a stream, 10,000
# damaged files, a full disk at every write of a run, preemption and kills under a Slurm of its own where slurmctld is installed.
#
#   tests/reliability/long.sh [arguments of python3 -m unittest, e.g. -k kills]
#
# MNEME_PROGRAM  the program (build/release/mneme)      MNEME_RELIABILITY  how much (100; the suite does 1)
set -euo pipefail
cd "$(dirname "$0")"
export MNEME_RELIABILITY=${MNEME_RELIABILITY:-100} PYTHONDONTWRITEBYTECODE=1
python=../../.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" -m unittest discover -v -s . "$@"
