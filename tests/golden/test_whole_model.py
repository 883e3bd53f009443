"""Checkpoints that `mneme run` leaves, answered by `mneme predict` and by an independent program that knows nothing but docs/maths.md and
docs/file-formats.md (whole_model.py): the same logits, for every block with both of Titans' memories. In fp64, at 1e-12 and in more settings:
tests/integration/test_whole_model.cpp."""
import pathlib
import re
import sys
import unittest
from unittest import mock

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parents[1] / "cli")]
from support import SMOKE, SOURCE, ProgramTest, h5py_or_skip  # noqa: E402

TOLERANCE = 1e-5  # of the largest logit, fp32
TINY = ["train.steps=8", "train.lr=0.02", "train.checkpoint_every=8", "task.mqar.test=32x4", "eval.every=8", "eval.samples=8", "memory.refresh=16"]
MLP = "memory.kind=neural_mlp"
CASES = {
    "full": ["mqar_transformer.ini"],
    "nope": ["mqar_transformer.ini", "model.positions=none"],
    "window": ["mqar_window.ini", "model.persistent_tokens=2"],
    "ssm": ["mqar_ssm.ini"],
    "lmm": ["mqar_lmm.ini"],
    "lmm_mlp": ["mqar_lmm.ini", MLP],
    "mag": ["mqar_mag.ini", "model.persistent_tokens=2"],
    "mag_mlp": ["mqar_mag_mlp.ini", "model.heads=2", "memory.heads=2"],
    "mag_product": ["mqar_mag.ini", "model.combine=product", "model.ffn=swiglu"],
    "mag_product_sum": ["mqar_mag.ini", "model.combine=product+sum"],
    "mal_as_printed": ["mqar_mal.ini", "model.mal.residual=false"],
    "mal": ["mqar_mal.ini"],
    "mal_mlp": ["mqar_mal.ini", MLP],
    "mac": ["mqar_mac.ini", "model.persistent_tokens=2", "model.mac.segment=16"],
    "mac_mlp": ["mqar_mac.ini", MLP, "model.mac.segment=16"],
    "mac_as_printed": ["mqar_mac.ini", "model.mac.residual=false", "model.combine=product", "model.mac.segment=16"],
    "titans_pytorch": ["mqar_lmm.ini", "model.kind=titans_pytorch", MLP, "memory.group=4", "memory.heads=2", "memory.theta_max=0.1"],
}


class WholeModels(ProgramTest):
    def setUp(self):
        super().setUp()
        self.h5py = h5py_or_skip()
        import numpy
        import whole_model
        import whole_model_basics
        import whole_model_memory
        self.theirs, self.basics, self.memory = whole_model, whole_model_basics, whole_model_memory
        self.tokens = numpy.random.default_rng(1).integers(0, 64, (1, 40))
        with self.h5py.File(self.folder / "rows.h5", "w") as file:
            file["tokens"] = self.tokens

    def answered(self, name, arguments):
        """A short training → the checkpoint and what `mneme predict` says of the rows."""
        config, *overrides = arguments
        self.mneme("run", SMOKE / config, f"run.folder={name}", *TINY, *overrides)
        run = next(path for path in (self.folder / name).iterdir() if path.is_dir())
        self.mneme("predict", run, "--input", "rows.h5", "--output", f"{name}.h5", "--logits")
        with self.h5py.File(self.folder / f"{name}.h5") as file:
            return run / "checkpoint" / (run / "checkpoint/latest").read_text().strip(), file["logits"][...]

    def error(self, checkpoint, logits):
        model = self.theirs.WholeModel(checkpoint)
        return max(self.theirs.relative_error(ours, model.logits(row)) for ours, row in zip(logits, self.tokens))

    def another_model_is_noticed(self, checkpoint, logits):
        import numpy
        program, right, taken = self.theirs, self.theirs.rotated, self.theirs.Convolution.step
        halves = [0, 4, 1, 5, 2, 6, 3, 7]  # as pairs (i, i + 4)

        def flipped(self, z):
            self.taps = None if self.taps is None else self.taps if hasattr(self, "flipped") else self.taps[::-1]
            self.flipped = True
            return taken(self, z)

        wrong = {
            "rotary pairs of halves": (program, "rotated", lambda x, t, base: right(x[..., halves], t, base)[..., numpy.argsort(halves)]),
            "taps in the other order": (program.Convolution, "step", flipped),
            "tanh in gelu": (self.basics, "erf", lambda x: numpy.tanh(2 / numpy.sqrt(numpy.pi) * (x + 0.08943 * x**3))),
            "eps of unit": (self.memory, "unit", lambda x: x / numpy.sqrt(numpy.sum(x * x, -1, keepdims=True) + 1e-3)),
            "no lower step": (self.memory, "below", lambda t, prefix, of=self.basics.below: {k: x for k, x in of(t, prefix).items() if k != "lower_step"}),
        }
        for what, (owner, attribute, replacement) in wrong.items():
            with self.subTest(what), mock.patch.object(owner, attribute, replacement):
                self.assertGreater(self.error(checkpoint, logits), 2 * TOLERANCE)

    def test_every_block_is_what_the_documents_say(self):
        text = (SOURCE / "docs/file-formats.md").read_text()
        section = text[text.index("### Tensors of model.safetensors"):text.index("\n## State")]
        documented = set(re.findall(r"`([^`]+)`", section))
        for name, arguments in CASES.items():
            with self.subTest(name):
                checkpoint, logits = self.answered(name, arguments)
                self.assertLessEqual(self.error(checkpoint, logits), TOLERANCE)
                if name == "mag_mlp":
                    self.another_model_is_noticed(checkpoint, logits)
                for tensor in self.basics.read_safetensors(checkpoint / "model.safetensors"):
                    self.assertIn(re.sub(r"_\d+(?=\.|$)", "_<l>", tensor).removeprefix("layers_<l>.block."), documented)


if __name__ == "__main__":
    unittest.main()
