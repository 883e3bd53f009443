#!/usr/bin/env python3
"""The whole model as docs/maths.md describes it ("The whole model, token by token"), one token after the other, in NumPy and fp64. It shares
nothing with our program but the files of a checkpoint, model.safetensors and config.ini (docs/file-formats.md).

    whole_model.py TOLERANCE FOLDER…

Each folder is a checkpoint with case.safetensors beside it: `tokens` [N,T] and `logits` [N,T,V] of our program. Exit status 1 names the
folder whose logits are further from ours than the tolerance, relative to the largest.
"""
import math
import pathlib
import sys

import numpy as np

from whole_model_basics import below, sigmoid, silu, rms, softmax, Convolution, read_config, read_safetensors
from whole_model_memory import FastWeights, MemoryLayer, rule_of


def rotated(x, position, base):
    """x [heads, D]: channels 2i and 2i + 1 turn by position · base^(−2i/D)."""
    angle = position * float(base) ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1])
    a, b = x[..., 0::2], x[..., 1::2]
    y = np.empty_like(x)
    y[..., 0::2], y[..., 1::2] = a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)
    return y


class Attention:
    """segment = 0: over the whole row or a window. Else that of mac."""

    def __init__(self, tensors, model, segment=0):
        self.t, self.segment = tensors, segment
        self.heads, self.kv_heads = model["heads"], model["kv_heads"] or model["heads"]
        self.width = model["width"] // model["heads"]
        self.window = model["window"] if model["attention"] == "window" and not segment else 0
        self.base = model["rope_base"] if model["positions"] == "rope" else 0
        self.convolution = Convolution(tensors.get("conv"))
        self.persistent = [self.split(tensors["qkv"] @ p)[1:] for p in tensors.get("persistent", [])]
        self.pairs = []

    def split(self, z):
        rows, H, G = z.reshape(-1, self.width), self.heads, self.kv_heads
        return rows[:H], rows[H:H + G], rows[H + G:]

    def turned(self, x, position):
        return rotated(x, position, self.base) if self.base else x

    def step(self, x, t, retrieved=None):
        phase = t % self.segment if self.segment else t
        if self.segment and phase == 0:
            self.pairs = []
        q, k, v = self.split(self.convolution.step(self.t["qkv"] @ x))
        if retrieved is not None:
            _, key, value = self.split(self.t["qkv"] @ retrieved)
            self.pairs.append((self.turned(key, phase), value))
        self.pairs.append((self.turned(k, phase), v))
        if self.window:
            self.pairs = self.pairs[-self.window:]
        q, seen = self.turned(q, phase), self.persistent + self.pairs
        heads = []
        for h in range(self.heads):
            g = h * self.kv_heads // self.heads
            p = softmax(np.array([q[h] @ key[g] for key, _ in seen]) / math.sqrt(self.width))
            heads.append(sum(weight * value[g] for weight, (_, value) in zip(p, seen)))
        return self.t["out"] @ np.concatenate(heads)


def mixed(tensors, x, a, m, combine):
    if combine != "sum":
        return a * m if combine == "product" else a * m + a + m
    g = sigmoid(tensors["mix"] @ x)
    return g * a + (1 - g) * m


class Block:
    """transformer, lmm, mag, mal."""

    def __init__(self, tensors, config):
        self.t = tensors
        attention, memory = below(tensors, "attention"), below(tensors, "memory")
        self.attention = Attention(attention, config["model"]) if attention else None
        self.memory = MemoryLayer(memory, config) if memory else None
        self.kind, self.combine = config["model"]["kind"], config["model"]["combine"]
        self.residual = config.get("model.mal", {}).get("residual")

    def step(self, x, t):
        if not self.memory:
            return self.attention.step(x, t)
        m = self.memory.step(x)
        if self.kind == "lmm":
            return m
        m = rms(m, self.t["memory_norm"])
        if self.kind == "mal":
            return m + self.attention.step(x + m, t) if self.residual else self.attention.step(m, t)
        return mixed(self.t, x, rms(self.attention.step(x, t), self.t["attention_norm"]), m, self.combine)


class Mac:
    def __init__(self, tensors, config):
        self.t, self.segment, self.residual = tensors, config["model.mac"]["segment"], config["model.mac"]["residual"]
        self.combine = config["model"]["combine"]
        memory = below(tensors, "memory")
        self.attention = Attention(below(tensors, "attention"), config["model"], self.segment)
        self.memory = MemoryLayer(memory, config) if memory else None

    def step(self, x, t):
        if not self.memory:
            return self.attention.step(x, t)
        if t % self.segment == 0:
            self.frozen = self.memory.frozen()
        h = self.memory.retrieve(x, self.frozen)
        y = rms(self.attention.step(x, t, h), self.t["attention_norm"])
        u = x + y if self.residual else y
        return mixed(self.t, x, y, rms(self.memory.step(u), self.t["memory_norm"]), self.combine)


class Ssm:
    def __init__(self, tensors, config):
        own = config["model.ssm"]
        self.t, self.N, self.H = tensors, own["state"], len(tensors["log_a"])
        self.inner = own["expand"] * config["model"]["width"]
        self.convolution = Convolution(tensors.get("conv"))
        self.h = np.zeros((self.H, self.N, self.inner // self.H))

    def step(self, x, t):
        E, N = self.inner, self.N
        z, s, d = np.split(self.t["in"] @ x, [E, 2 * E + 2 * N])
        s = silu(self.convolution.step(s) + self.t.get("conv_bias", 0))
        x, B, C = np.split(s, [E, E + N])
        x = x.reshape(self.H, -1)
        delta = np.logaddexp(0, d + self.t["delta_bias"])
        decay = np.exp(-delta * np.exp(self.t["log_a"]))
        for h in range(self.H):
            self.h[h] = decay[h] * self.h[h] + np.outer(B, delta[h] * x[h])
        y = np.concatenate([C @ self.h[h] + self.t["skip"][h] * x[h] for h in range(self.H)])
        return self.t["out"] @ rms(y * silu(z), self.t["norm"], 1e-5)


class TitansPytorch:
    def __init__(self, tensors, config):
        self.t, self.m = tensors, config["memory"]
        m, state = self.m, below(tensors, "memory")
        self.H = m["heads"]
        self.D = m["head_width"] or config["model"]["width"] // self.H
        self.eps = 2.0**-52 if config["runtime"]["dtype"] == "float64" else 2.0**-23
        fixed = {**m, "kind": "neural_mlp", "inner_loss": "l2_mean", "gradient": "refresh", "retention_target": "zero", "clip": 0, "guard": False,
                 "momentum_damping": False, "step_cap": 0, "cache": 0}
        rule = rule_of(fixed, {"form": "residual+norm", "depth": config["model.titans_pytorch"]["depth"]})
        self.memories = []
        for h in range(self.H):
            weights = [state[f"weights_{l}"][h] for l in range(config["model.titans_pytorch"]["depth"])]
            self.memories.append(FastWeights(weights + [state["gain"][h, 0]], rule, None, True))
        self.off, self.group = m["off"] or m["frozen"], []

    def heads(self, name, x, gain=None):
        y = (self.t[name] @ x).reshape(self.H, self.D)
        if gain not in self.t:
            return y
        return math.sqrt(self.D) * y * (1 + self.t[gain][:, 0]) / np.maximum(np.sqrt(np.sum(y * y, -1, keepdims=True)), 1e-12)

    def gate(self, name, x):
        return sigmoid(self.t[name + "_weight"] @ x + self.t[name + "_bias"])

    def step(self, x, t):
        xs, xr = rms(x, self.t["store_norm"], self.eps), rms(x, self.t["retrieve_norm"], self.eps)
        q, k, v = self.heads("to_queries", xr, "q_norm"), self.heads("to_keys", xs, "k_norm"), self.heads("to_values", xs)
        self.group = (self.group if len(self.group) < self.m["group"] else []) + [xs]
        mean = sum(self.group) / len(self.group)
        theta = self.m["theta_max"] * self.gate("to_adaptive_step", xs)
        alpha = self.gate("to_decay_factor", mean) if self.m["forgetting"] else np.zeros(self.H)
        eta = self.gate("to_momentum", mean) if self.m["momentum"] else np.zeros(self.H)
        reads = []
        for h, memory in enumerate(self.memories):
            if not self.off:
                memory.step(k[h], v[h], *(np.full(len(memory.weights), gate[h]) for gate in (theta, alpha, eta)))
            reads.append(memory.read(q[h]))
        if "retrieve_gate" in self.t:
            reads = [r * g for r, g in zip(reads, sigmoid(self.t["retrieve_gate"] @ xr))]
        y = np.concatenate(reads)
        return self.t["combine_heads"] @ y if "combine_heads" in self.t else y


class WholeModel:
    def __init__(self, folder):
        folder = pathlib.Path(folder)
        self.config = read_config(folder / "config.ini")
        self.tensors = {name: x.astype(np.float64) for name, x in read_safetensors(folder / "model.safetensors").items()}

    def position(self, t):
        C = self.config["model"]["width"]
        if self.config["model"]["positions"] == "learned":
            return self.tensors["positions"][t]
        if self.config["model"]["positions"] != "sinusoidal":
            return 0
        angle = t * 10000.0 ** (-np.arange(0, C, 2) / C)
        return np.stack([np.sin(angle), np.cos(angle)], 1).reshape(-1)[:C]

    def logits(self, tokens):
        """tokens [T] → [T,V]"""
        t, model = self.tensors, self.config["model"]
        kinds = {"mac": Mac, "ssm": Ssm, "titans_pytorch": TitansPytorch}
        layers = [below(t, f"layers_{l}") for l in range(model["layers"])]
        blocks = [kinds.get(model["kind"], Block)(below(layer, "block"), self.config) for layer in layers]
        logits = []
        for i, token in enumerate(tokens):
            x = t["embedding"][token] + self.position(i)
            for layer, block in zip(layers, blocks):
                x = x + block.step(rms(x, layer["block_norm"]), i)
                if "feed_forward.up" in layer:
                    a, b = np.split(layer["feed_forward.up"] @ rms(x, layer["feed_forward_norm"]), 2)
                    x = x + layer["feed_forward.down"] @ (silu(a) * b)
            logits.append(t.get("head", t["embedding"]) @ rms(x, t["norm"]))
        return np.array(logits)


def relative_error(ours, theirs):
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def main(tolerance, *folders):
    for folder in folders:
        case = read_safetensors(pathlib.Path(folder) / "case.safetensors")
        model = WholeModel(folder)
        theirs = np.array([model.logits(row) for row in case["tokens"]])
        error = relative_error(case["logits"], theirs)
        if not error <= float(tolerance):
            sys.exit(f"{folder}: logits differ by {error:.2e} of the largest, allowed {tolerance}")


if __name__ == "__main__":
    main(*sys.argv[1:])
