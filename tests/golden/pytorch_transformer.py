#!/usr/bin/env python3
"""An independent PyTorch transformer: reads weights, tokens and targets from a safetensors file that our program wrote, and
compares logits, every gradient by name and 20 training losses with ours in the same file. Exit 1 names what differs."""
import json, math, sys
import torch
import torch.nn.functional as F
from safetensors import safe_open

TOLERANCE = 1e-5  # relative, fp32
with safe_open(sys.argv[1], "pt") as f:
    cfg = json.loads(f.metadata()["case"])
    data = {k: f.get_tensor(k) for k in f.keys()}
w = {k[8:]: torch.nn.Parameter(v) for k, v in data.items() if k.startswith("weights/")}
tokens, targets = data["tokens"], data["targets"]
L, C, H, HK, window = cfg["layers"], cfg["width"], cfg["heads"], cfg["kv_heads"], cfg["window"]
D, T = C // H, tokens.shape[1]


def norm(x, g):
    return F.rms_norm(x, (x.shape[-1],), g, 1e-6)


def conv(x, taps):  # taps [K, channels], tap j looks j tokens back
    weight = taps.flip(0).t().unsqueeze(1)
    return F.conv1d(F.pad(x.transpose(1, 2), (len(taps) - 1, 0)), weight, groups=x.shape[-1]).transpose(1, 2)


def rotate(x):  # [B,H,T,D]
    angle = torch.arange(T, dtype=torch.float64)[:, None] * 10000.0 ** (-torch.arange(0, D, 2, dtype=torch.float64) / D)
    phase = torch.polar(torch.ones_like(angle), angle).to(torch.complex64)
    return torch.view_as_real(torch.view_as_complex(x.reshape(*x.shape[:-1], D // 2, 2).contiguous()) * phase).flatten(-2)


def forward():
    x = w["embedding"][tokens]
    if cfg["positions"] == "learned":
        x = x + w["positions"][:T]
    if cfg["positions"] == "sinusoidal":  # Vaswani et al. 2017, section 3.5
        C = x.shape[-1]
        angle = torch.arange(T, dtype=torch.float64)[:, None] / 10000.0 ** (torch.arange(0, C, 2, dtype=torch.float64) / C)
        x = x + torch.stack([angle.sin(), angle.cos()], -1).flatten(1).float()
    i = torch.arange(T)
    seen = (i[:, None] >= i) & ((i[:, None] - i < window) if window else torch.ones(T, T, dtype=torch.bool))
    for l in range(L):
        p = f"layers_{l}."
        qkv = norm(x, w[p + "block_norm"]) @ w[p + "block.attention.qkv"].t()
        if p + "block.attention.conv" in w:
            qkv = conv(qkv, w[p + "block.attention.conv"])
        q, k, v = (t.unflatten(-1, (-1, D)).transpose(1, 2) for t in qkv.split([H * D, HK * D, HK * D], -1))
        if cfg["positions"] == "rope":
            q, k = rotate(q), rotate(k)
        k, v = (t.repeat_interleave(H // HK, 1) for t in (k, v))
        scores = (q @ k.transpose(2, 3) / math.sqrt(D)).masked_fill(~seen, -math.inf)
        x = x + (scores.softmax(-1) @ v).transpose(1, 2).flatten(2) @ w[p + "block.attention.out"].t()
        if p + "feed_forward.up" in w:
            gate, value = (norm(x, w[p + "feed_forward_norm"]) @ w[p + "feed_forward.up"].t()).chunk(2, -1)
            x = x + (F.silu(gate) * value) @ w[p + "feed_forward.down"].t()
    return norm(x, w["norm"]) @ w.get("head", w["embedding"]).t()


def check(name, ours, theirs):
    error = ((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-3)).item()
    if not error <= TOLERANCE:
        sys.exit(f"{name}: relative error {error:.2e} > {TOLERANCE}")


def loss():
    return F.cross_entropy(forward().flatten(0, 1), targets.flatten(), ignore_index=-1)


check("logits", data["logits"], forward().detach())
loss().backward()
names = {k[9:] for k in data if k.startswith("gradient/")}
assert names == set(w), names ^ set(w)
for name in sorted(names):
    check("gradient of " + name, data["gradient/" + name], w[name].grad)
decayed = [p for n, p in w.items() if n.rsplit(".", 1)[-1] in ("qkv", "out", "up", "down", "head")]
other = [p for n, p in w.items() if not any(p is d for d in decayed)]
optimizer = torch.optim.AdamW([dict(params=decayed, weight_decay=0.1), dict(params=other, weight_decay=0.0)], lr=1e-3, betas=(0.9, 0.98))
for step, ours in enumerate(data["losses"].tolist()):
    optimizer.zero_grad()
    value = loss()
    value.backward()
    torch.nn.utils.clip_grad_norm_(list(w.values()), 1.0)
    optimizer.step()
    if not abs(value.item() - ours) <= TOLERANCE * abs(ours):
        sys.exit(f"loss of step {step}: ours {ours}, PyTorch's {value.item()}")
