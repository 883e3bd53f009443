#!/usr/bin/env python3
"""Our fused memory beside the public titans-pytorch NeuralMemory: the same module (RMSNorms, projections, gates, residual+norm
memory of two layers with expansion 4 and a fast gain, combine), the same shapes, threads and clock.

Use: compare.py LIBRARY [--tokens 1024] [--threads 2] [--peer-settings 1:64,64:64] [--json FILE]
Needs torch, and titans-pytorch==0.5.5 for the peer (without it only ours is measured). LIBRARY is build/release/libmneme_ops.so.
A peer's setting is chunk:refresh: chunk = tokens that share gates and reads, refresh = tokens that share a gradient point. Ours has
gates and reads per token, so its counterpart is 1:64. Each line runs in a fresh process; times are the best of the repeats, memory
is the highest resident memory above what the process held before the first call. On a busy machine compare processor times: of
all threads, for the whole call."""
import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import time

import torch
import torch.nn.functional as F


class FusedMemory(torch.nn.Module):
    """NeuralMemory of titans-pytorch with momentum, its network's weights read and written by torch.ops.mneme.mlp_memory."""

    def __init__(self, dim, heads, expansion=4, refresh=64):
        super().__init__()
        D, E, self.heads, self.refresh = dim // heads, dim // heads * expansion, heads, refresh
        linear = lambda out: torch.nn.Linear(dim, out, bias=False)
        self.store_norm, self.retrieve_norm = torch.nn.RMSNorm(dim), torch.nn.RMSNorm(dim)
        self.query, self.key, self.value, self.combine = linear(dim), linear(dim), linear(dim), linear(dim)
        self.gates, self.retrieve_gate = torch.nn.Linear(dim, 3 * heads), linear(heads)
        matrix = lambda rows, columns: torch.randn(heads, rows, columns) / rows**0.5
        self.weights = torch.nn.ParameterList([matrix(D, E), matrix(E, D), torch.zeros(heads, 1, D)])

    def forward(self, x):
        B, T, C = x.shape
        split = lambda y: y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        xs, xr = self.store_norm(x), self.retrieve_norm(x)
        theta, alpha, eta = (g.transpose(1, 2) for g in self.gates(xs).sigmoid().chunk(3, -1))
        reads, *state = torch.ops.mneme.mlp_memory(
            split(self.query(xr)), split(self.key(xs)), split(self.value(xs)), [theta * 0.01] * 3, [alpha] * 3, [eta] * 3,
            list(self.weights), form="residual+norm", gradient="refresh", refresh=self.refresh)
        reads = reads * self.retrieve_gate(xr).sigmoid().transpose(1, 2)[..., None]
        return self.combine(reads.transpose(1, 2).reshape(B, T, C)), state


def module(a):
    if a.one == "fused":
        torch.ops.load_library(a.library)
        return FusedMemory(a.dim, a.heads)
    from titans_pytorch import MemoryMLP, NeuralMemory
    chunk, refresh = map(int, a.one.split(":"))
    return NeuralMemory(dim=a.dim, heads=a.heads, dim_head=a.dim // a.heads, chunk_size=chunk, batch_size=refresh or None,
                        model=MemoryMLP(a.dim // a.heads, depth=2, expansion_factor=4.0), momentum=True, use_accelerated_scan=False)


def one(a):
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    memory = module(a)
    x = torch.randn(a.batch, a.tokens, a.dim)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def forward():
        with torch.no_grad():
            memory(x)

    def train():
        memory.zero_grad()
        y, _ = memory(x.clone().requires_grad_())
        y.square().sum().backward()

    row = dict(memory=a.one, tokens=a.tokens, threads=a.threads)

    def measure(name, f):
        f()
        best, least, begin = float("inf"), float("inf"), time.perf_counter()
        for i in range(100):
            start, processor = time.perf_counter(), time.process_time()
            f()
            best, least = min(best, time.perf_counter() - start), min(least, time.process_time() - processor)
            if i + 1 >= a.repeat and time.perf_counter() - begin > 2:
                break
        row[f"{name}_tokens_per_s"], row[f"{name}_processor_ms"] = round(a.batch * a.tokens / best), round(1e3 * least, 1)

    measure("forward", forward)
    measure("train", train)
    row["peak_mib"] = round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held) / 1024, 1)
    print(json.dumps(row))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("library")
    for name, default in dict(threads=2, batch=1, tokens=1024, dim=256, heads=4, repeat=2).items():
        p.add_argument("--" + name, type=int, default=default)
    p.add_argument("--peer-settings", default="1:64,64:64")
    p.add_argument("--json", help="write the rows to this file")
    p.add_argument("--one", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.one:
        return one(a)
    peer = a.peer_settings.split(",") if importlib.util.find_spec("titans_pytorch") else []
    if not peer:
        print("titans-pytorch is not installed: pip install titans-pytorch==0.5.5 measures it beside ours", file=sys.stderr)
    rows = []
    environment = dict(os.environ, OMP_NUM_THREADS=str(a.threads))
    for setting in ["fused", *filter(None, peer)]:
        out = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--one", setting], env=environment,
                             check=True, capture_output=True, text=True).stdout
        rows.append(json.loads(out.splitlines()[-1]))
    columns = ["forward_tokens_per_s", "train_tokens_per_s", "forward_processor_ms", "train_processor_ms", "peak_mib"]
    print("| memory |", " | ".join(c.replace("_", " ") for c in columns), "|\n|---|" + "---:|" * len(columns))
    for r in rows:
        print(f"| {r['memory']} |", " | ".join(f"{r[c]:,}" for c in columns), "|")
    print("\n| ours beside |", " | ".join(c.replace("_", " ") for c in columns), "|\n|---|" + "---:|" * len(columns))
    for r in rows[1:]:
        ratio = lambda c: rows[0][c] / r[c] if c.endswith("per_s") else r[c] / rows[0][c]
        print(f"| {r['memory']} |", " | ".join(f"{ratio(c):.1f} ×" for c in columns), "|")
    if a.json:
        with open(a.json, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
