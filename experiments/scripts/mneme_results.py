"""Reads Mneme's result files: `load("results/runs/<id>/run.h5")` gives one run as a dict, `load("NAME.h5")` a dict of them.

    run["train"]["loss"]                                   numpy arrays by column; pandas.DataFrame(run["train"]) works
    run["eval"]["needle"]["test"]["exact_match"][-1]       last evaluation, by setting
    run["eval"]["needle"]["test"]["length"]                the settings' axis; units: ["attributes"]["loss"]["units"]
    run["attributes"]["status"], run["cost"]["attributes"]["parameters"], run["config"]["attributes"]["model.width"]
"""
import sys

import h5py


def _plain(value):
    return value.decode() if isinstance(value, bytes) else value.item() if hasattr(value, "item") and value.ndim == 0 else value


def _attributes(node):
    hidden = ("CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST", "DIMENSION_LABELS")  # of HDF5's dimension scales
    return {key: _plain(value) for key, value in node.attrs.items() if key not in hidden}


def _read(node):
    if isinstance(node, h5py.Dataset):
        if node.dtype.names:
            return {name: node[name] for name in node.dtype.names}
        return list(node.asstr()[()]) if h5py.check_string_dtype(node.dtype) else node[()]
    result = {name: _read(child) for name, child in node.items()}
    result["attributes"] = _attributes(node)
    result["attributes"].update({name: _attributes(child) for name, child in node.items() if isinstance(child, h5py.Dataset)})
    return result


def load(path):
    with h5py.File(path, "r") as file:
        return _read(file["runs"] if file.attrs.get("schema") == "mneme.runs" else file)


if __name__ == "__main__":
    print({key: value for key, value in load(sys.argv[1])["attributes"].items() if key != "config_ini"})
