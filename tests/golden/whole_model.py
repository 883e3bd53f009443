#!/usr/bin/env python3
"""The whole model as docs/maths.md describes it ("The whole model, token by token"), one token after the other, in NumPy and fp64. It shares
nothing with our program but the files of a checkpoint, model.safetensors and config.ini (docs/file-formats.md).

    whole_model.py TOLERANCE FOLDER…

Each folder is a checkpoint with case.safetensors beside it: `tokens` [N,T] and `logits` [N,T,V] of our program. Exit status 1 names the
folder whose logits are further from ours than the tolerance, relative to the largest.
"""
import configparser
import json
import math
import pathlib
import sys

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


def gelu_sigmoid(x):
    return x * sigmoid(1.702 * x)


def gelu_sigmoid_slope(x):
    s = sigmoid(1.702 * x)
    return s + 1.702 * x * s * (1 - s)


def rms(x, gain, eps=1e-6):
    return gain * x / np.sqrt(np.mean(x * x, -1, keepdims=True) + eps)


def unit(x):
    return x / np.sqrt(np.sum(x * x, -1, keepdims=True) + 1e-6)


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def rotated(x, position, base):
    """x [heads, D]: channels 2i and 2i + 1 turn by position · base^(−2i/D)."""
    angle = position * float(base) ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1])
    a, b = x[..., 0::2], x[..., 1::2]
    y = np.empty_like(x)
    y[..., 0::2], y[..., 1::2] = a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)
    return y


class Convolution:
    """taps [K, channels] or None; row 0 is the token's own."""

    def __init__(self, taps):
        self.taps, self.inputs = taps, []

    def step(self, z):
        if self.taps is None:
            return z
        self.inputs = [z] + self.inputs[:len(self.taps) - 1]
        return sum(tap * x for tap, x in zip(self.taps, self.inputs))


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


class FastWeights:
    """A memory's network of one head and what its steps do to it. `weights`: the matrices, after them a fast gain."""

    def __init__(self, weights, rule, gain=None, fast_gain=False):
        self.rule, self.depth, self.fast_gain = rule, len(weights) - fast_gain, fast_gain
        self.initial, self.weights, self.gain = weights, list(weights), gain
        self.momentum = [np.zeros_like(w) for w in weights]
        self.clock, self.waiting = 0, []

    def activated(self, pre):
        act = gelu if self.rule["activation"] == "gelu" else gelu_sigmoid
        return unit(act(pre)) if self.rule["form"] == "feature" else act(pre)

    def activated_back(self, pre, g):
        act, slope = (gelu, gelu_slope) if self.rule["activation"] == "gelu" else (gelu_sigmoid, gelu_sigmoid_slope)
        if self.rule["form"] != "feature":
            return g * slope(pre)
        s = act(pre)
        a = unit(s)
        delta = (g - a * (a @ g)) / math.sqrt(s @ s + 1e-6) * slope(pre)
        return delta * min(1, 1 / math.sqrt(delta @ delta + 1e-12))

    def gain_of(self, weights):
        return weights[self.depth] if self.fast_gain else self.gain

    @staticmethod
    def normed(x):
        deviation = math.sqrt(np.mean((x - x.mean()) ** 2) + 1e-5)
        return (x - x.mean()) / deviation, deviation

    def output(self, z, chain, gain):
        if self.rule["form"] == "residual+norm":
            return z + self.normed(chain)[0] * (1 + gain)
        return z + chain if self.rule["form"] == "feature" else chain

    def read(self, q):
        row = q
        for l in range(self.depth):
            row = row @ self.weights[l]
            row = self.activated(row) if l < self.depth - 1 else row
        return self.output(q, row, self.gain_of(self.weights))

    def error(self, output, v):
        kind, e = self.rule["inner_loss"], output - v
        if kind == "dot":
            return -v
        if kind == "huber":
            return 2 * e * min(1, 2 * self.rule["huber_delta"] / math.sqrt(4 * (e @ e) + 1e-24))
        return e * self.curvature()

    def curvature(self):
        return 2 / len(self.weights[self.depth - 1][0]) if self.rule["inner_loss"] == "l2_mean" else 2

    def gradient(self, k, v, matrices, gain):
        """Of each fast weight: its input row A_l and error row Δ_l; of a fast gain (None, gradient)."""
        rows, pre = [k], []
        for W in matrices[:-1]:
            pre.append(rows[-1] @ W)
            rows.append(self.activated(pre[-1]))
        chain = rows[-1] @ matrices[-1]
        delta = self.error(self.output(k, chain, gain), v)
        of_gain = None
        if self.rule["form"] == "residual+norm":
            normed, deviation = self.normed(chain)
            of_gain, delta = delta * normed, delta * (1 + gain)
            delta = (delta - delta.mean() - normed * np.mean(delta * normed)) / deviation
        pairs = [(rows[-1], delta)]
        for l in range(self.depth - 2, -1, -1):
            delta = self.activated_back(pre[l], delta @ matrices[l + 1].T)
            pairs.insert(0, (rows[l], delta))
        return pairs + ([(None, of_gain)] if self.fast_gain else [])

    def step(self, k, v, theta, alpha, eta):
        """Gates: a number for each fast weight. A group's steps wait for its last one, whose α and η are the group's."""
        self.waiting.append((k, v, theta))
        if len(self.waiting) < self.rule["group"]:
            return
        rule, exact = self.rule, self.rule["gradient"] != "refresh"
        if self.clock % rule["refresh"] == 0:
            self.point, self.load = list(self.weights), [0 * w @ w.T for w in self.weights[:self.depth]]
        own = list(self.point)
        if exact:
            last = self.depth - 1
            own = self.weights if self.depth == 1 else self.point[:last] + [self.weights[last]] + self.weights[self.depth:]
            if rule["gradient_at"] == "decayed":
                kept = (1 - alpha[last]) * self.weights[last] + alpha[last] * self.start(last)
                own = own[:last] + [kept] + own[self.depth:]
        total = [np.zeros_like(w) for w in self.weights]
        for k, v, theta in self.waiting:
            theta = theta * (1 - eta) if rule["damped"] else theta
            theta = theta * rule["share"]
            pairs = self.gradient(k, v, own[:self.depth], self.gain_of(own))
            if rule["clip"] and not exact:
                square = sum((delta @ delta) * (1 if a is None else a @ a) for a, delta in pairs)
                theta = theta * min(1, rule["clip"] / math.sqrt(square + 1e-24))
            for l, (a, delta) in enumerate(pairs):
                step = theta[l]
                if rule["guard"] and not exact and a is not None:
                    step = self.guarded(l, a, step, eta[l])
                total[l] = total[l] + step * (delta if a is None else np.outer(a, delta))
        for l, W in enumerate(self.weights):
            self.momentum[l] = eta[l] * self.momentum[l] - total[l]
            self.weights[l] = (1 - alpha[l]) * W + alpha[l] * self.start(l) + self.momentum[l]
        self.clock += len(self.waiting)
        self.waiting = []

    def start(self, l):
        return self.initial[l] if self.rule["retain"] else 0

    def guarded(self, l, a, theta, eta):
        wanted, square = self.curvature() / 2 * theta / max(1 - eta, 1e-6), a @ a
        room = 0.4 * square - a @ self.load[l] @ a
        self.load[l] = self.load[l] + wanted * np.outer(a, a)
        needs = wanted * square * square
        return theta * max(room, 0) / needs if needs > max(room, 1e-12) else theta


def rule_of(memory, own, pairs=1):
    """What FastWeights reads of a config: the sections memory and memory.<kind>."""
    kind, form = memory["kind"], own.get("form", "plain")
    if kind not in ("linear", "neural_mlp") or memory["gradient"] == "sweeps" or memory["step_cap"] or memory["cache"]:
        sys.exit("whole_model.py has the memories linear and neural_mlp, without sweeps, step cap and cache")
    auto = "refresh" if kind == "neural_mlp" and (form == "residual+norm" or memory["inner_loss"] == "huber") else "exact"
    gradient = auto if memory["gradient"] == "auto" else memory["gradient"]
    exact_matrix = gradient != "refresh" and own.get("depth", 1) == 1
    return {"form": form, "activation": own.get("activation", "gelu"), "inner_loss": memory["inner_loss"], "huber_delta": memory["huber_delta"],
            "gradient": gradient, "gradient_at": memory["gradient_at"], "clip": memory["clip"],
            "guard": memory["guard"] and memory["refresh"] > 1 and memory["inner_loss"] != "dot",
            "refresh": 1 if exact_matrix else memory["refresh"] * pairs, "group": memory["group"] * pairs if memory["group"] > 1 else 1,
            "damped": memory["momentum"] and memory["momentum_damping"],
            "retain": memory["retention_target"] == "init" or (kind == "neural_mlp" and memory["retention_target"] == "auto"), "share": 1}


class MemoryLayer:
    def __init__(self, tensors, config):
        self.t, self.m = tensors, config["memory"]
        m, own = self.m, config.get("memory." + self.m["kind"], {})
        C = config["model"]["width"]
        self.H, self.n = m["heads"], m["keys_per_token"]
        self.K = m["head_width"] or C // self.H
        self.V = round(m["expand_v"] * self.K)
        self.kind, self.off = m["kind"], m["off"] or m["frozen"]
        self.convolution = Convolution(tensors.get("conv"))
        queries = tensors["conv"][:, :self.H * self.K] if "conv" in tensors else None
        self.retrieval = Convolution(queries)
        state = below(tensors, "memory")
        depth, fast_gain = own.get("depth", 1), own.get("fast_gain", False)
        self.features = state.get("features")
        self.memories = []
        for h in range(self.H):
            rule = rule_of(m, own, self.n)
            if "lower_step" in state:
                rule["share"] = np.append(sigmoid(state["lower_step"][h]), 1)
            weights = [state[f"weights_{l}"][h] for l in range(depth)]
            gain = state["gain"][h, 0] if "gain" in state else None
            self.memories.append(FastWeights(weights + ([gain] if fast_gain else []), rule, gain, fast_gain))
        self.fast = depth + fast_gain
        self.copies = self.fast if own.get("gate_per_matrix", True) else 1
        self.previous, self.group = np.zeros(C), []
        for token in tensors.get("persistent", []):
            self.step(token)

    def normalised(self, x, gain):
        if self.m["qk_norm"] == "none":
            return x
        return unit(x) * math.sqrt(self.K) * self.t[gain][:, 0] if self.m["qk_norm"] == "rms" else unit(x)

    def in_front(self, x, h):  # linear.features
        return x if self.features is None else unit(gelu(x @ self.features[h]))

    def gates(self, x):
        """θ, α, η, each [n, H, fast weights]."""
        m, C = self.m, len(x)
        G = self.t["gates.gate"]
        z = m["gate_scale"] * (G[:, :C] @ x + G[:, C:] @ self.previous)
        self.previous = x
        each = self.n * (self.H if m["gate_per_head"] else 1) * self.copies
        if m["group"] > 1 and len(z) > each:  # α and η are the group's
            pool = self.t.get("gates.pool")
            weight = np.ones(len(z) - each) if pool is None else np.exp(8 * np.tanh(pool @ x / 8))
            self.group = (self.group if len(self.group) < m["group"] else []) + [(weight, z[each:])]
            z = np.append(z[:each], sum(w * part for w, part in self.group) / sum(w for w, _ in self.group))

        def spread(rows):
            return np.broadcast_to(rows.reshape(self.n, -1, self.copies), (self.n, self.H, self.fast))

        rows = list(z.reshape(-1, each))
        theta = spread(m["theta_max"] * sigmoid(rows.pop(0) + m["theta_bias"]))
        alpha = spread(sigmoid(rows.pop(0) + m["alpha_bias"])) if m["forgetting"] else np.zeros_like(theta)
        eta = spread(sigmoid(rows.pop(0) + m["eta_bias"])) if m["momentum"] else np.zeros_like(theta)
        return theta, alpha, eta

    def step(self, x):
        H, K, V, n = self.H, self.K, self.V, self.n
        z = silu(self.convolution.step(self.t["qkv"] @ x))
        q, k, v = np.split(z, [H * K, H * K + n * H * K])
        q, k, v = self.normalised(q.reshape(H, K), "query_gain"), k.reshape(n, H, K), v.reshape(n, H, V)
        theta, alpha, eta = self.gates(x)
        before, reads = self.m["read"] == "before", []
        for h, memory in enumerate(self.memories):
            asked = self.in_front(q[h], h)
            read = memory.read(asked)
            for i in range(0 if self.off else n):
                key = self.in_front(self.normalised(k[i], "key_gain")[h], h)
                memory.step(key, v[i, h], theta[i, h], alpha[i, h], eta[i, h])
            reads.append(read if before else memory.read(asked))
        return self.output(reads, x)

    def output(self, reads, x):
        return self.t["out"] @ (np.concatenate([rms(r, self.t["norm"]) for r in reads]) * silu(self.t["out_gate"] @ x))

    def frozen(self):
        return [list(memory.weights) for memory in self.memories]

    def retrieve(self, x, frozen):
        """mac: what the weights `frozen` say to x, without a write."""
        q = silu(self.retrieval.step(self.t["qkv"][:self.H * self.K] @ x)).reshape(self.H, self.K)
        q, reads = self.normalised(q, "query_gain"), []
        for h, memory in enumerate(self.memories):
            now, memory.weights = memory.weights, frozen[h]
            reads.append(memory.read(self.in_front(q[h], h)))
            memory.weights = now
        return self.output(reads, x)


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
