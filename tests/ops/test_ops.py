"""The PyTorch operators against plain PyTorch loops written here: reads, states, every gradient by name. Run by CTest in the
set-up's environment; MNEME_OPS names the library."""
import os
import subprocess
import sys
import unittest
from pathlib import Path

import torch
import torch.nn.functional as F

LIBRARY = os.environ["MNEME_OPS"]
ROOT = Path(__file__).resolve().parents[2]
torch.ops.load_library(LIBRARY)
TOLERANCE = 2e-5  # fp32 against fp64
B, H, T, D, E = 2, 3, 70, 20, 36


def linear_loop(q, k, v, theta, alpha, eta, W):
    W = W.expand(B, H, D, D)
    S, reads = torch.zeros_like(W), []
    for t in range(T):
        kt = k[:, :, t, :, None]
        error = (kt * W).sum(2) - v[:, :, t]
        S = eta[:, :, t, None, None] * S - theta[:, :, t, None, None] * 2 * kt * error[:, :, None]
        W = (1 - alpha[:, :, t, None, None]) * W + S
        reads.append((q[:, :, t, :, None] * W).sum(2))
    return torch.stack(reads, 2), W, S


def norm_loop(q, k, v, theta, alpha, eta, W1, W2, gain, refresh=64):
    """M(z) = z + LayerNorm(gelu(z W1) W2) (1 + gain), all three learning at test time, gradients at the refresh point."""
    W = [w.expand(B, *w.shape) for w in (W1, W2, gain)]
    S, reads = [torch.zeros_like(w) for w in W], []
    network = lambda z, w: z + F.layer_norm(F.gelu(z @ w[0]) @ w[1], (D,)) * (1 + w[2])
    for t in range(T):
        if t % refresh == 0:
            R = W
        loss = (network(k[:, :, t : t + 1], R) - v[:, :, t : t + 1]).square().sum()
        for i, u in enumerate(torch.autograd.grad(loss, R, create_graph=True)):
            gate = lambda g: g[:, :, t, None, None]
            S[i] = gate(eta) * S[i] - gate(theta) * u
            W = [*W[:i], (1 - gate(alpha)) * W[i] + S[i], *W[i + 1 :]]
        reads.append(network(q[:, :, t : t + 1], W))
    return torch.cat(reads, 2), *W


def inputs(*weights, step):
    torch.manual_seed(1)
    rows = lambda: torch.randn(B, H, T, D, dtype=torch.float64)
    gate = lambda high: torch.rand(B, H, T, dtype=torch.float64) * high
    x = dict(q=F.normalize(rows(), dim=-1), k=F.normalize(rows(), dim=-1), v=rows(), theta=gate(step), alpha=gate(0.2), eta=gate(0.6))
    return x | {f"W{i}": torch.randn(H, *w, dtype=torch.float64) * 0.3 for i, w in enumerate(weights)}


class Operators(unittest.TestCase):
    def compare(self, op, loop, x):
        def run(f, dtype):
            leaves = {name: t.to(dtype).requires_grad_() for name, t in x.items()}
            outputs = f(*leaves.values())
            torch.manual_seed(2)
            total = sum((o * torch.randn(o.shape, dtype=torch.float64).to(dtype)).sum() for o in outputs)
            return outputs, torch.autograd.grad(total, list(leaves.values()))

        ours, our_gradients = run(op, torch.float32)
        theirs, their_gradients = run(loop, torch.float64)
        names = [f"output {i}" for i in range(len(theirs))] + [f"gradient of {name}" for name in x]
        for name, a, b in zip(names, [*ours, *our_gradients], [*theirs, *their_gradients], strict=True):
            error = (a.double() - b).abs().max() / b.abs().max().clamp_min(1)
            self.assertLess(error.item(), TOLERANCE, name)

    def test_linear_memory(self):
        op = lambda q, k, v, theta, alpha, eta, W: torch.ops.mneme.linear_memory(q, k, v, theta, alpha, eta, W)[:3]
        self.compare(op, linear_loop, inputs((D, D), step=0.05))

    def test_mlp_memory_with_fast_gain(self):
        def op(q, k, v, theta, alpha, eta, *W):
            reads, weights, _, _ = torch.ops.mneme.mlp_memory(q, k, v, [theta] * 3, [alpha] * 3, [eta] * 3, W, form="residual+norm",
                                                              gradient="refresh")
            return reads, *weights

        self.compare(op, norm_loop, inputs((D, E), (E, D), (1, D), step=0.002))

    def test_sweeps_come_to_the_exact_recurrence(self):
        x = inputs((D, E), (E, D), step=0.05)
        x |= {name: x[name][:, :, :64] for name in ("q", "k", "v", "theta", "alpha", "eta")}

        def memory(q, k, v, theta, alpha, eta, *W, **options):
            reads, weights, momentum, _ = torch.ops.mneme.mlp_memory(q, k, v, [theta / 10, theta], [alpha] * 2, [eta] * 2, W, **options)
            return reads, *weights, *momentum

        exact = lambda *x: memory(*(t.float() for t in x), gradient="refresh", refresh=1)
        for refresh in (16, 64):
            self.compare(lambda *x: memory(*x, gradient="sweeps", sweeps=8, refresh=refresh), exact, x)
        with self.assertRaisesRegex(RuntimeError, "whole refresh intervals"):
            memory(*(t.float() for t in x.values()), gradient="sweeps", refresh=48)

    def test_the_guard_shortens_steps_that_together_overshoot(self):
        x = {name: t.float()[:, :, :64] if t.dim() > 2 and t.shape[2] == T else t.float()
             for name, t in inputs((D, E), (E, D), step=0.3).items()}
        x["k"] = x["k"][:, :, :1].expand(-1, -1, 64, -1)  # the same key again and again

        def reads(guard):
            gates = [[x[name]] * 2 for name in ("theta", "alpha")]
            return torch.ops.mneme.mlp_memory(x["q"], x["k"], x["v"], *gates, None, [x["W0"], x["W1"]], gradient="refresh", guard=guard)[0]

        torch.testing.assert_close(reads(1e6), reads(0), rtol=0, atol=TOLERANCE)
        self.assertLess((reads(0.4) - x["q"]).norm(), 0.5 * (reads(0) - x["q"]).norm())

    def test_attention(self):
        for window in (0, 1, 32):
            def masked(q, k, v, prefix_k, prefix_v):
                behind = torch.arange(T)[:, None] + 5 - torch.arange(T + 5)
                seen = (behind >= 0) & (behind < (window or T + 5))
                seen = F.pad(seen, (3, 0), value=True)
                return [F.scaled_dot_product_attention(q, torch.cat([prefix_k, k], 2), torch.cat([prefix_v, v], 2), attn_mask=seen)]

            torch.manual_seed(3)
            x = {name: torch.randn(B, H, n, D, dtype=torch.float64)
                 for name, n in dict(q=T, k=T + 5, v=T + 5, prefix_k=3, prefix_v=3).items()}
            self.compare(lambda q, k, v, *prefix: [torch.ops.mneme.attention(q, k, v, window, *prefix)], masked, x)
        with self.assertRaisesRegex(RuntimeError, "window"):
            torch.ops.mneme.attention(x["q"].float(), x["q"].float(), x["q"].float(), -1)

    def test_a_sequence_may_be_cut_anywhere(self):
        x = {name: t.float() for name, t in inputs((D, E), (E, D), step=0.05).items()}
        gates = lambda part: [[x[name][:, :, part]] * 2 for name in ("theta", "alpha", "eta")]
        rows = lambda part: [x[name][:, :, part] for name in ("q", "k", "v")]
        whole, weights, _, _ = torch.ops.mneme.mlp_memory(*rows(slice(None)), *gates(slice(None)), [x["W0"], x["W1"]], refresh=32)
        state, reads = ([x["W0"], x["W1"]], None, None), []
        for first, last in ((0, 1), (1, 40), (40, T)):
            part = slice(first, last)
            read, *state = torch.ops.mneme.mlp_memory(*rows(part), *gates(part), *state, refresh=32, position=first)
            reads.append(read)
        torch.testing.assert_close(torch.cat(reads, 2), whole, rtol=0, atol=TOLERANCE)
        torch.testing.assert_close(state[0], weights, rtol=0, atol=TOLERANCE)

    def test_mistakes_are_named(self):
        x = {name: t.float() for name, t in inputs((D, D), step=0.05).items()}
        with self.assertRaisesRegex(RuntimeError, "value has sizes"):
            torch.ops.mneme.linear_memory(x["q"], x["k"], x["v"][:, :, :-1], x["theta"], x["alpha"], None, x["W0"])
        with self.assertRaisesRegex(RuntimeError, "float32"):
            torch.ops.mneme.linear_memory(*(x[name].double() for name in ("q", "k", "v", "theta", "alpha")), None, x["W0"].double())

        with self.assertRaisesRegex(RuntimeError, "refresh is a number of tokens"):
            torch.ops.mneme.mlp_memory(x["q"], x["k"], x["v"], [x["theta"]] * 2, [x["alpha"]] * 2, None, [x["W0"]] * 2, refresh=0)

    def test_the_example_learns_to_recall(self):
        out = subprocess.run([sys.executable, ROOT / "ops/example.py", LIBRARY, "150"], capture_output=True, text=True, check=True).stdout
        self.assertGreater(float(out.split()[-1]), 0.8, out)

    def test_shapes_are_compared_axis_by_axis(self):
        """As many numbers in another order are another tensor."""
        rows, gate, start = (torch.randn(B, H, T, D) for _ in range(3)), torch.rand(B, H, T) * 0.1, torch.randn(H, D, D)
        q, k, v = rows
        linear = lambda **x: torch.ops.mneme.linear_memory(*({"q": q, "k": k, "v": v, "theta": gate, "alpha": gate, "eta": gate, "W": start} | x).values())
        mlp = lambda **x: (lambda y: torch.ops.mneme.mlp_memory(y["q"], y["k"], y["v"], [y["theta"]] * 2, [y["alpha"]] * 2, [y["eta"]] * 2, [y["W"]] * 2))(
            {"q": q, "k": k, "v": v, "theta": gate, "alpha": gate, "eta": gate, "W": start} | x)
        for op in (linear, mlp):
            op()
            wrong = [{name: gate.transpose(1, 2)} for name in ("theta", "alpha", "eta")] + [{name: gate.permute(2, 1, 0)} for name in ("theta", "alpha", "eta")]
            wrong += [{"theta": gate.reshape(B, T, H)}, {"theta": gate.reshape(-1)}, {"theta": gate.unsqueeze(-1)}]
            wrong += [{"W": torch.randn(H, B, D, D)}, {"W": torch.randn(B * H, D, D)}, {"W": torch.randn(D, D)}]
            wrong += [{name: q.transpose(1, 2)} for name in ("q", "k", "v")]
            for arguments in wrong:
                with self.subTest(op=op is mlp, **{name: list(x.shape) for name, x in arguments.items()}):
                    with self.assertRaisesRegex(RuntimeError, "mneme: .* has sizes"):
                        op(**arguments)


if __name__ == "__main__":
    unittest.main()
