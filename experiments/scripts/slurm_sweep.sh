#!/usr/bin/env bash
# A sweep as Slurm job arrays over a shared folder: the trials first, if there are any, those beyond the grid of learning rates step by step
# (most turn out not to be needed and end at once), then the runs proper.
# Finished runs are skipped and interrupted ones resumed, so submitting again is resuming.
#
#   experiments/scripts/slurm_sweep.sh FILE [key=value ...] [-- arguments of sbatch]
#   e.g. experiments/scripts/slurm_sweep.sh experiments/quickstart/long.ini -- --cpus-per-task=2 --time=2:00:00
#
# MNEME  the program (build/release/mneme)
set -euo pipefail
cd "$(dirname "$0")/../.."
mneme=${MNEME:-build/release/mneme}
sweep=() sbatch_arguments=()
while [ $# -gt 0 ]; do
  if [ "$1" = -- ]; then shift; sbatch_arguments=("$@"); break; fi
  sweep+=("$1"); shift
done
[ ${#sweep[@]} -gt 0 ] || { sed -n '2,9p' "$0" >&2; exit 2; }

list=$("$mneme" sweep "${sweep[@]}" --list)
runs=$(($(wc -l <<<"$list") - 1))  # without the heading
trials=$(grep -c ' lr:' <<<"$list" || true)
grid=$(grep ' lr:' <<<"$list" | grep -vc ' beyond:' || true)
may_come=$(grep -c ' beyond:1$' <<<"$list" || true)  # at each step

# submit FIRST LAST [arguments of sbatch]: one job a run; prints the job's id. SIGTERM ahead of the time limit lets a run
# save its checkpoint.
submit() {
  local first=$1 last=$2; shift 2
  sbatch --parsable --array="$first-$last" --signal=TERM@60 "$@" ${sbatch_arguments[@]+"${sbatch_arguments[@]}"} --wrap \
    "exec $(printf '%q ' "$mneme" sweep "${sweep[@]}") --index \$SLURM_ARRAY_TASK_ID"
}
after=()
if [ "$trials" -gt 0 ]; then
  job=$(submit 0 $((grid - 1)))
  echo "learning-rate trials: job $job, $grid runs"
  for ((first = grid; first < trials; first += may_come)); do
    job=$(submit "$first" $((first + may_come - 1)) --dependency="afterany:$job")
    echo "learning-rate trials that may come: job $job, up to $may_come runs"
  done
  after=(--dependency="afterany:$job")
fi
job=$(submit "$trials" $((runs - 1)) ${after[@]+"${after[@]}"})
echo "runs: job $job, $((runs - trials)) runs"
