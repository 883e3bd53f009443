#!/usr/bin/env python3
"""What forgetting is worth to the rule itself: random unit keys and values in a matrix of `width` x `width`, no network around it. Regimes of
`keys` live keys, each written once and half of them again, then all asked; the answer is the value (of 256) nearest to the read. Share of
right answers in the first regimes (from the second to the fourth) and in the last ones (of 64), for the best step of a few.

    experiments/forgetting/ideal.py             needs NumPy; a minute
"""
import numpy as np

WIDTH, VALUES, REGIMES, ROWS = 16, 256, 64, 200


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def recall(loss, forget, beta, keys, seed=1):
    """Share right by regime. forget: α per write, or "reset": everything at a regime's start."""
    random = np.random.default_rng(seed)
    values = unit(random.standard_normal((VALUES, WIDTH)))
    rows = np.arange(ROWS)
    memory = np.zeros((ROWS, WIDTH, WIDTH))
    right = np.zeros(REGIMES)
    for regime in range(REGIMES):
        if forget == "reset":
            memory[:] = 0
        names = unit(random.standard_normal((ROWS, keys, WIDTH)))
        newest = np.zeros((ROWS, keys), int)
        for write in range(keys + keys // 2):
            which = np.full(ROWS, write) if write < keys else random.integers(keys, size=ROWS)
            newest[rows, which] = random.integers(VALUES, size=ROWS)
            k, v = names[rows, which], values[newest[rows, which]]
            error = v - np.einsum("bk,bkv->bv", k, memory) if loss == "l2" else v
            memory = memory * (1 - (0 if forget == "reset" else forget)) + beta * k[:, :, None] * error[:, None, :]
        read = np.einsum("bnk,bkv->bnv", names, memory)
        right[regime] = (np.argmax(read @ values.T, -1) == newest).mean()
    return right


if __name__ == "__main__":
    forms = {"never": 0, ".02 a write": 0.02, ".1 a write": 0.1, ".3 a write": 0.3, "all, at a change": "reset"}
    print("| loss | live keys | regimes | " + " | ".join(forms) + " |\n|---|---:|---|" + "---:|" * len(forms))
    for loss in ("l2", "dot"):
        for keys in (4, 8, 12):
            best = [max((recall(loss, forget, beta, keys) for beta in ((1, 0.7, 0.4) if loss == "l2" else (1,))), key=lambda r: r[-8:].mean())
                    for forget in forms.values()]
            for name, part in (("2 to 4", slice(1, 4)), ("57 to 64", slice(56, 64))):
                print(f"| {loss} | {keys} | {name} | " + " | ".join(f"{100 * right[part].mean():.0f}" for right in best) + " |")
