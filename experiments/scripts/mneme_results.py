"""Reads Mneme's HDF5 files into dicts of numpy arrays, tables by column: pandas.DataFrame(...) takes each of them.

One run:
    run = load("results/runs/<id>/run.h5")
    run["train"]["loss"]
    run["eval"]["needle"]["test"]["exact_match"][-1]       last evaluation, by setting
    run["eval"]["needle"]["test"]["length"]                the settings' axis; units: ["attributes"]["loss"]["units"]
    run["attributes"]["status"], run["cost"]["attributes"]["parameters"], run["config"]["attributes"]["model.width"]

Many runs, the NAME.h5 beside a table: long tables whose rows name their run:
    table = load("results/tables/NAME.h5")
    table["eval"]["needle"]["test"]["settings"]            columns run_id, step, length, rows, exact_match, loss, …
    table["train"], table["cost"], table["runs"]["status"], table["config"]["run.labels"]
    table["table"]["results"]                              what is printed: mean, half_width, …; row: place in table["table"]["rows"]
"""
import sys

import h5py
import numpy


def _plain(value):
    return value.decode() if isinstance(value, bytes) else value.item() if hasattr(value, "item") and value.ndim == 0 else value


def _attributes(node):
    hidden = ("CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST", "DIMENSION_LABELS")  # of HDF5's dimension scales
    return {key: _plain(value) for key, value in node.attrs.items() if key not in hidden}


def _read(node, run_ids=None):
    if isinstance(node, h5py.Dataset):
        if node.dtype.names:
            columns = {name: node[name] for name in node.dtype.names}
            return columns if run_ids is None or "run" not in columns else {"run_id": run_ids[columns["run"]], **columns}
        return list(node.asstr()[()]) if h5py.check_string_dtype(node.dtype) else node[()]
    result = {name: _read(child, run_ids) for name, child in node.items()}
    result["attributes"] = _attributes(node)
    result["attributes"].update({name: _attributes(child) for name, child in node.items() if isinstance(child, h5py.Dataset)})
    return result


def load(path):
    with h5py.File(path, "r") as file:
        if file.attrs.get("schema") != "mneme.runs":
            return _read(file)
        if file.attrs["schema_version"] == 1:  # a dict of runs, each as its run.h5
            return _read(file["runs"])
        result = _read(file, numpy.array(file["runs/run_id"].asstr()[()]))
        shared = result["config"]["attributes"]  # keys that all runs have in common
        result["config"].update({key: [value] * len(file["runs/run_id"]) for key, value in shared.items() if isinstance(value, str)})
        return result


if __name__ == "__main__":
    print({key: value for key, value in load(sys.argv[1])["attributes"].items() if key != "config_ini"})
