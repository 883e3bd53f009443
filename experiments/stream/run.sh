#!/usr/bin/env bash
# Trains an arm (finished runs are not repeated) and lets it read 2,097,152 tokens.
#
#   experiments/stream/run.sh [mag_linear|mag_mlp] [arguments of mneme stream]
#
# MNEME  the program (build/release/mneme)
set -euo pipefail
cd "$(dirname "$0")/../.."
arm=${1:-mag_linear}
mneme=${MNEME:-build/release/mneme}
"$mneme" run "experiments/stream/$arm.ini"
run=$("$mneme" config "experiments/stream/$arm.ini" | sed -n 's/^# run id //p')
"$mneme" stream "results/runs/$run" --output "results/tables/stream_$arm.h5" --plot "results/figures/stream_$arm.svg" "${@:2}"
