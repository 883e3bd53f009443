#!/usr/bin/env python3
"""Gates by arm and layer out of a table file, mean over seeds: at the end of training, or the trace of one of them.

    experiments/forgetting/gates.py results/tables/forgetting_drift.h5                 mean over tokens / largest
    experiments/forgetting/gates.py results/tables/forgetting_drift.h5 alpha           mean over tokens, by step
"""
import collections
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../scripts"))
import mneme_results


def traces(path):
    """{arm: {("layer0", "alpha_mean"): {step: [value of each run]}}}, an arm being its labels."""
    table = mneme_results.load(path)
    labels = dict(zip(table["runs"]["run_id"], table["config"]["run.labels"]))
    values, names = table["probe"]["values"], table["probe"]["name"]
    found = collections.defaultdict(lambda: collections.defaultdict(lambda: collections.defaultdict(list)))
    for run, series, step, value in zip(values["run_id"], values["series"], values["step"], values["value"]):
        layer, _, quantity = names[series].partition("/memory/")
        if quantity.split("_")[0] in ("theta", "alpha", "eta"):
            found[labels[run]][layer, quantity][int(step)].append(value)
    return found


def mean(values):
    return f"{sum(values) / len(values):.2g}"


def show(header, rows):
    print("| " + " | ".join(header) + " |\n|---|" + "---:|" * (len(header) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def at_the_end(found):
    columns = sorted({(layer, name.split("_")[0]) for arm in found.values() for layer, name in arm})
    rows = []
    for arm in sorted(found):
        cells = []
        for layer, gate in columns:
            both = [found[arm].get((layer, f"{gate}_{what}")) for what in ("mean", "max")]
            cells.append(" / ".join(mean(steps[max(steps)]) for steps in both) if all(both) else "")
        rows.append([arm, *cells])
    show(["arm", *(f"{gate}, {layer}" for layer, gate in columns)], rows)


def trace(found, gate):
    steps = sorted({step for arm in found.values() for (_, name), values in arm.items() if name == gate + "_mean" for step in values})
    rows = [[arm, layer, *(mean(values[step]) if step in values else "" for step in steps)]
            for arm in sorted(found) for (layer, name), values in sorted(found[arm].items()) if name == gate + "_mean"]
    if not rows:
        sys.exit(f"no run has a gate '{gate}'; there are theta, alpha and eta, of memories that have them")
    show(["arm", "layer", *map(str, steps)], rows)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        at_the_end(traces(sys.argv[1]))
    elif len(sys.argv) == 3:
        trace(traces(sys.argv[1]), sys.argv[2])
    else:
        sys.exit(__doc__)
