#!/usr/bin/env bash
# A sweep as Slurm job arrays over a shared folder: the trials first, if there are any, those beyond the grid of learning rates step by step
# (most turn out not to be needed and end at once), then the runs proper.
# Finished runs are skipped and interrupted ones resumed, so submitting again is resuming. A run is asked to stop two minutes before its time is
# over (Slurm may ask a minute earlier still), saves its checkpoint, and its job goes back to the queue, as one that is preempted; so the limit
# of time can be short. A job that was cancelled stays so. A warning of 10 minutes instead: … -- --signal=B:TERM@600
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
[ ${#sweep[@]} -gt 0 ] || { sed -n '2,12p' "$0" >&2; exit 2; }

list=$("$mneme" sweep "${sweep[@]}" --list)
runs=$(($(wc -l <<<"$list") - 1))  # without the heading
trials=$(grep -c ' lr:' <<<"$list" || true)
grid=$(grep ' lr:' <<<"$list" | grep -vc ' beyond:' || true)
may_come=$(grep -c ' beyond:1$' <<<"$list" || true)  # at each step

# What a job does: the run as a child, so that the shell, which alone gets the warning (B:), passes it on; then, where the run was interrupted
# (75) and the job was not cancelled meanwhile, back to the queue. A hundred times at most: some run may never reach its first checkpoint.
quoted() { local word; for word; do printf "'%s' " "${word//\'/\'\\\'\'}"; done; }  # for any shell
job='id=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID; '
job+="$(quoted "$mneme" sweep "${sweep[@]}")"'--index "$SLURM_ARRAY_TASK_ID" & run=$!; '
job+='trap "kill -TERM $run 2>/dev/null" TERM INT HUP USR1 USR2 XCPU; '
job+='while wait $run; status=$?; [ $status -gt 128 ] && kill -0 $run 2>/dev/null; do :; done; '
job+='if [ $status = 75 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 100 ] && [ "$(squeue -h -j "$id" -o %T)" = RUNNING ]; then '
job+='trap "" TERM; scontrol requeue "$id" && sleep 60; fi; exit $status'

# submit FIRST LAST [arguments of sbatch]: one job a run; prints the job's id.
submit() {
  local first=$1 last=$2; shift 2
  sbatch --parsable --array="$first-$last" --requeue --open-mode=append --signal=B:TERM@120 "$@" ${sbatch_arguments[@]+"${sbatch_arguments[@]}"} \
    --wrap "$job"
}
after=()
if [ "$trials" -gt 0 ]; then
  id=$(submit 0 $((grid - 1)))
  echo "learning-rate trials: job $id, $grid runs"
  for ((first = grid; first < trials; first += may_come)); do
    id=$(submit "$first" $((first + may_come - 1)) --dependency="afterany:$id")
    echo "learning-rate trials that may come: job $id, up to $may_come runs"
  done
  after=(--dependency="afterany:$id")
fi
id=$(submit "$trials" $((runs - 1)) ${after[@]+"${after[@]}"})
echo "runs: job $id, $((runs - trials)) runs"
