#!/usr/bin/env python3
"""Trains one memory layer on associative recall: pairs (a, b) are shown, then a's are asked for their b.

Use: python ops/example.py build/release/libmneme_ops.so [steps]
A memory recalls what it read once; without its writes (theta = 0) it stays at chance (1 / 32)."""
import sys
import torch
import torch.nn.functional as F

torch.ops.load_library(sys.argv[1])
STEPS = int(sys.argv[2]) if len(sys.argv) > 2 else 400
PAIRS, SYMBOLS, WIDTH, HEADS = 16, 32, 64, 2
torch.manual_seed(0)


class MemoryModel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(2 * SYMBOLS, WIDTH)
        self.qkv = torch.nn.Linear(2 * WIDTH, 3 * WIDTH, bias=False)  # sees a token and the one before it
        self.gates = torch.nn.Linear(2 * WIDTH, 3 * HEADS)
        self.weights = torch.nn.Parameter(torch.zeros(HEADS, WIDTH // HEADS, WIDTH // HEADS))
        self.out = torch.nn.Linear(WIDTH, SYMBOLS, bias=False)
        with torch.no_grad():
            self.gates.bias.copy_(torch.tensor([0.0, -6.0, -3.0]).repeat_interleave(HEADS))  # step, forgetting, momentum

    def forward(self, tokens):
        x = self.embed(tokens)
        x = torch.cat([x, F.pad(x, (0, 0, 1, 0))[:, :-1]], -1)
        B, T, _ = x.shape
        q, k, v = (p.unflatten(-1, (HEADS, -1)).transpose(1, 2) for p in self.qkv(x).chunk(3, -1))
        theta, alpha, eta = (g.transpose(1, 2) for g in self.gates(x).sigmoid().chunk(3, -1))
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        reads, *state = torch.ops.mneme.linear_memory(q, k, v, 0.5 * theta, alpha, eta, self.weights)
        return self.out(reads.transpose(1, 2).reshape(B, T, WIDTH))


def batch(rows=32):
    keys = torch.rand(rows, SYMBOLS).argsort(1)[:, :PAIRS]
    values = torch.randint(SYMBOLS, (rows, PAIRS))
    shown = torch.stack([keys, values + SYMBOLS], 2).flatten(1)
    order = torch.rand(rows, PAIRS).argsort(1)
    return torch.cat([shown, keys.gather(1, order)], 1), values.gather(1, order)


model = MemoryModel()
optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
for step in range(1, STEPS + 1):
    tokens, answers = batch()
    logits = model(tokens)[:, -PAIRS:]
    loss = F.cross_entropy(logits.flatten(0, 1), answers.flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0 or step == STEPS:
        right = (logits.argmax(-1) == answers).float().mean()
        print(f"step {step:4d}  loss {loss.item():.3f}  recalled {right.item():.2f}")
