"""What every part of the whole model is made of (whole_model.py): the files of a checkpoint, functions of vectors, the short convolution."""
import configparser
import json
import math
import pathlib

import numpy as np

TYPES = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "I64": np.dtype("<i8")}


def read_safetensors(path):
    data = pathlib.Path(path).read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    entries = {name: entry for name, entry in json.loads(data[8:begin]).items() if name != "__metadata__"}
    return {name: np.frombuffer(data, TYPES[entry["dtype"]], math.prod(entry["shape"]), begin + entry["data_offsets"][0]).reshape(entry["shape"])
            for name, entry in entries.items()}


def read_config(path):
    """{section: {key: value}}, values as numbers and truth values where they are such."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(pathlib.Path(path).read_text(encoding="utf-8"))

    def value(text):
        if text in ("true", "false"):
            return text == "true"
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                pass
        return text

    return {section: {key: value(text) for key, text in parser[section].items()} for section in parser.sections()}


def below(tensors, prefix):
    """The tensors of a part of the model, by their names in it."""
    return {name[len(prefix) + 1:]: x for name, x in tensors.items() if name.startswith(prefix + ".")}


erf = np.vectorize(math.erf, otypes=[np.float64])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def gelu(x):
    return x * (1 + erf(x / math.sqrt(2))) / 2


def gelu_slope(x):
    return (1 + erf(x / math.sqrt(2))) / 2 + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def rms(x, gain, eps=1e-6):
    return gain * x / np.sqrt(np.mean(x * x, -1, keepdims=True) + eps)


def unit(x):
    return x / np.sqrt(np.sum(x * x, -1, keepdims=True) + 1e-6)


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


class Convolution:
    """taps [K, channels] or None; row 0 is the token's own."""

    def __init__(self, taps):
        self.taps, self.inputs = taps, []

    def step(self, z):
        if self.taps is None:
            return z
        self.inputs = [z] + self.inputs[:len(self.taps) - 1]
        return sum(tap * x for tap, x in zip(self.taps, self.inputs))
