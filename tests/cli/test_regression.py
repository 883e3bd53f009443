"""A task of real vectors from end to end: run, table, report, eval, predict, resume; and what is for tokens refuses it."""
import csv
import io
import signal
import unittest

from support import RESUMABLE, USAGE, FAILED, SOURCE, ProgramTest, h5py_or_skip, last_weights

CONFIG = """
[model]
kind = mag
layers = 2
width = 16
ffn = none
attention = window
window = 8
[memory]
kind = linear
heads = 2
[task]
kind = regression
[task.regression]
dimension = 3
train = 12
test = 1, 4, 12
[train]
steps = 30
batch = 8
warmup = 5
log_every = 5
checkpoint_every = 10
[eval]
samples = 32
every = 10
[runtime]
threads = 1
[run]
labels = arm:mag, task:regression
"""


class Regression(ProgramTest):
    def trained(self, *more):
        self.config = self.write("regression.ini", CONFIG)
        self.mneme("run", self.config, *more)
        return self.run_folder()

    def test_results_say_errors_not_nats_and_references_are_rows_of_their_own(self):
        run = self.trained()
        shown = self.mneme("inspect", run).out
        self.assertRegex(shown, r"last step +30, error \d")
        self.assertRegex(shown, r"(?m)^pairs +tokens +rows +error ")
        self.assertNotRegex(shown, r"accuracy|\bloss\b|\bnats?\b")
        self.assertNotRegex((run / "metrics.jsonl").read_text(), "accuracy")
        table = self.mneme("table", run).out
        self.assertRegex(table, r"(?m)^\| arm \| n \| 1 \| 4 \| 12 \| parameters")
        self.assertRegex(table, r"(?m)^\| bayes \| 1 \| 0\.\d+ \| 0\.0\d+ \| 0\.0000 \| – \|")
        self.assertRegex(table, r"(?m)^\| nearest \| 1 \|")
        self.assertIn("Error, mean squared error over the variance of the answers", table)
        rows = list(csv.DictReader(io.StringIO(self.mneme("table", run, "--format", "csv").out)))
        self.assertEqual({row["arm"] for row in rows}, {"mag", "bayes", "nearest"})
        self.assertEqual({row["arm"] for row in rows if row["kind"] == "cost"}, {"mag"})
        self.mneme("table", run, "--output", "t")
        self.assertEqual(self.mneme("table", "t.h5").out, table)
        self.mneme("report", run, "--output", "r.html")
        page = (self.folder / "r.html").read_text()
        self.assertIn("bayes", page)
        self.assertIn("training error", page)
        self.assertNotIn("nats", page)
        self.assertIn("has no metric 'loss'; there are: error", self.mneme("table", run, "--metric", "loss", expect=USAGE).err)

    def test_evaluation_of_other_settings_and_functions(self):
        run = self.trained()
        out = self.mneme("eval", run, "task.regression.test=24", "task.regression.noise=1", "--output", "e.h5").out
        self.assertRegex(out, r"(?m)^ *24 +49 +32 ")
        self.assertRegex(self.mneme("table", "e.h5").out, r"(?m)^\| bayes \| 1 \| 0\.[3-9]")
        err = self.mneme("eval", run, "task.regression.dimension=5", expect=FAILED).err
        self.assertIn("vectors of 6 numbers, answers of 1, but the model knows vectors of 4", err)
        self.assertIn("the model knows vectors", self.mneme("eval", run, "task.kind=mqar", expect=FAILED).err)

    def test_what_is_for_tokens_refuses(self):
        run = self.trained()
        for command in (["generate", run, "--prompt", "1 2"], ["generate", run, "--prompt", "text"], ["stream", run, "--tokens", 100]):
            err = self.mneme(*command, expect=USAGE).err
            self.assertRegex(err, r"tokens.* vectors of 4 numbers, answers of 1")

    def test_predict_reads_vectors(self):
        h5py = h5py_or_skip()
        import numpy
        run = self.trained()
        rows = numpy.random.default_rng(1).normal(size=(5, 9, 4)).astype("float32")

        def write(name, dataset, values):
            with h5py.File(self.folder / name, "w") as file:
                file[dataset] = values

        def outputs(name):
            with h5py.File(self.folder / name) as file:
                self.assertEqual(set(file), {"outputs"})
                return file["outputs"][...]

        write("x.h5", "inputs", rows)
        self.mneme("predict", run, "--input", "x.h5", "--output", "y.h5")
        self.mneme("predict", run, "--input", "x.h5", "--output", "last.h5", "--last", 2)
        self.assertEqual(outputs("y.h5").shape, (5, 9, 1))
        numpy.testing.assert_allclose(outputs("y.h5")[:, -2:], outputs("last.h5"), atol=1e-6)
        later = rows.copy()
        later[:, 5:] += 1
        write("x.h5", "inputs", later)
        self.mneme("predict", run, "--input", "x.h5", "--output", "z.h5")
        self.assertTrue((outputs("y.h5")[:, :5] == outputs("z.h5")[:, :5]).all())
        self.assertFalse((outputs("y.h5")[:, 5:] == outputs("z.h5")[:, 5:]).any())
        write("tokens.h5", "tokens", numpy.zeros((2, 3), dtype="int64"))
        write("wide.h5", "inputs", numpy.zeros((2, 3, 5)))
        write("nan.h5", "inputs", numpy.full((2, 3, 4), numpy.nan))
        for name, why in [("tokens.h5", "no dataset `inputs`"), ("wide.h5", "[2, 3, 5]"), ("nan.h5", "row 0, position 0")]:
            self.assertIn(why, self.mneme("predict", run, "--input", name, "--output", "no.h5", expect=FAILED).err)
        self.assertFalse((self.folder / "no.h5").exists())
        self.mneme("predict", run, "--input", "x.h5", "--output", "no.h5", "--logits", expect=USAGE)

    def test_an_interrupted_run_goes_on_bitwise(self):
        long = ["train.steps=400", "train.checkpoint_every=20"]
        self.config = self.write("regression.ini", CONFIG)
        self.mneme("run", self.config, *long, "run.folder=whole")
        whole = next((self.folder / "whole").iterdir())
        process = self.start("run", self.config, *long)
        self.wait_for(lambda: list(self.folder.glob("results/runs/*/checkpoint/step-*")), "a checkpoint")
        self.assertEqual(self.stop(process, signal.SIGINT).status, RESUMABLE)
        self.mneme("run", self.config, *long)
        self.assertEqual(last_weights(self.run_folder()), last_weights(whole))
        self.assertEqual(self.mneme("table", self.run_folder(), "--no-costs").out, self.mneme("table", whole, "--no-costs").out)

    def test_show_prints_numbers(self):
        out = self.mneme("show", "regression", "task.regression.dimension=2", "task.regression.train=3", "--rows", 1).out
        self.assertIn("vectors of 3 numbers, answers of 1", out)
        self.assertIn("7 positions, 4 scored", out)
        self.assertRegex(out, r"(?m)^ +0 +-?\d\.\d{3} +-?\d\.\d{3} +1\.000   \[→-?\d\.\d{3}\]$")
        self.assertRegex(out, r"(?m)^ +1 +-?\d\.\d{3} +0\.000 +-1\.000$")
        shipped = self.mneme("show", SOURCE / "configs/tasks/regression.ini", "--split", "test", "--rows", 7).out
        self.assertIn("129 positions, 1 scored", shipped)


if __name__ == "__main__":
    unittest.main()
