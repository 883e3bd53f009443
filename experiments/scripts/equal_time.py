#!/usr/bin/env python3
"""How long an arm has to train to take the time of another one: the sections of a sweep that say so.

    equal_time.py TABLE.h5 ... --arm full_nope --like mag_linear [--name full_nope_time]

TABLE.h5 stands beside a table of both arms (mneme table --output). Steps are those of --arm times the ratio of the arms' seconds per step,
each the median over its finished runs: measure on a quiet machine. What is printed goes into the sweep file, so that no run depends on a
clock; the table's column `wall` shows whether it holds.
"""
import argparse
import statistics

from mneme_results import load


def labels(text):
    return dict(pair.strip().split(":", 1) for pair in text.split(",") if ":" in pair)


def seconds_per_step(path):
    """{(task, arm): (steps, median of seconds per step)} of the finished runs."""
    table = load(path)
    found = {}
    for i, run_id in enumerate(table["runs"]["run_id"]):
        of = labels(table["config"]["run.labels"][i])
        if table["runs"]["status"][i] != "done" or "tuning" in of:
            continue
        seconds = dict(zip(table["cost"]["run_id"], table["cost"]["wall_seconds"]))[run_id]
        steps = int(table["config"]["train.steps"][i])
        found.setdefault((of.get("task", table["config"]["task.kind"][i]), of["arm"], steps), []).append(seconds / steps)
    result = {}
    for (task, arm, steps), values in found.items():
        if (task, arm) in result:
            raise SystemExit(f"{path}: runs of {arm} on {task} have {result[task, arm][0]} and {steps} steps; choose one with mneme table --where")
        result[task, arm] = (steps, statistics.median(values))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+")
    parser.add_argument("--arm", required=True, help="the one whose steps are sought")
    parser.add_argument("--like", required=True, help="the one whose time it is to take, at its own steps")
    parser.add_argument("--name", help="the value of the axis `arm` that gets them (ARM_time)")
    arguments = parser.parse_args()
    for path in arguments.tables:
        known = seconds_per_step(path)
        for task in sorted({task for task, _ in known}):
            missing = [arm for arm in (arguments.arm, arguments.like) if (task, arm) not in known]
            if missing:
                parser.error(f"{path}: no finished run of {' and '.join(missing)} on {task}")
            (steps, own), (like_steps, like) = known[task, arguments.arm], known[task, arguments.like]
            print(f"[case.task.{task}.arm.{arguments.name or arguments.arm + '_time'}]")
            print(f"train.steps = {round(like_steps * like / own)}  # {steps} x {like_steps * like / (steps * own):.2f}: "
                  f"{like_steps * like:.1f} s of {arguments.like} / {steps * own:.1f} s\n")


if __name__ == "__main__":
    main()
