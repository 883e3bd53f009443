"""The memory of the whole model (whole_model.py): weights that learn at test time, and the layer around them."""
import math

import numpy as np

from whole_model_basics import below, sigmoid, silu, gelu, gelu_slope, rms, unit, Convolution


def gelu_sigmoid(x):
    return x * sigmoid(1.702 * x)


def gelu_sigmoid_slope(x):
    s = sigmoid(1.702 * x)
    return s + 1.702 * x * s * (1 - s)


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
