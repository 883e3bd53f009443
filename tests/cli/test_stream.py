"""mneme stream: a trained model on one endless text, with questions on the way."""
import signal
import sys
import time
import unittest

from support import FAILED, RESUMABLE, SOURCE, USAGE, ProgramTest, h5py_or_skip

sys.path.insert(0, str(SOURCE / "experiments/scripts"))

CONFIG = SOURCE / "configs/needle_mag.ini"
TINY = ["model.width=16", "model.window=8", "task.length=100", "eval.lengths=100", "eval.samples=2", "train.steps=3",
        "train.warmup=1", "train.batch=2", "train.batch_tokens=0"]
TEXT = ["task.needle.train_text=train.txt", "task.needle.test_text=book.txt"]


class Stream(ProgramTest):
    def setUp(self):
        super().setUp()
        for name in ("train.txt", "book.txt"):
            (self.folder / name).write_text((SOURCE / "docs/config.md").read_text())

    def train(self, *overrides):
        self.mneme("run", CONFIG, *TINY, *TEXT, *overrides)
        self.run = self.run_folder().relative_to(self.folder)

    def stream(self, *arguments, **options):
        return self.mneme("stream", self.run, *arguments, **options)

    def test_stream_of_needles(self):
        h5py_or_skip()
        from mneme_results import load
        self.train("runtime.dtype=float64")
        questions = ["--tokens", 20000, "--distances", "64,250,1000"]
        out = self.stream(*questions, "--output", "new/a.h5", "--plot", "new/a.svg").out
        self.assertIn("16,384", out)
        found = load(self.folder / "new/a.h5")
        about, bins, slices = found["attributes"], found["bins"], found["slices"]
        self.assertEqual((about["schema"], about["status"], about["task"], about["tokens"], about["step"]),
                         ("mneme.stream", "done", "needle", 20000, 3))
        self.assertIn("--tokens 20000", about["command_line"])
        self.assertNotIn(str(self.folder), str(about))
        self.assertEqual(list(bins["end"]), [4096, 8192, 16384, 20000])
        self.assertTrue((bins["rss_mib"] > 10).all() and (bins["tokens_per_s"] > 0).all() and (bins["processor_seconds"] > 0).all())
        self.assertEqual(len(set(bins["state_bytes"])), 1)
        self.assertGreater(bins["questions"].sum(), 20)
        for column in ("questions", "scored", "correct", "exact"):
            self.assertEqual(bins[column].sum(), slices[column].sum())
        self.assertEqual(set(slices["distance"]), {64, 250, 1000})
        self.assertTrue((bins["scored"] == 5 * bins["questions"]).all())
        self.assertIn("</svg>", (self.folder / "new/a.svg").read_text())
        shown = self.mneme("inspect", "new/a.h5", "--plot", "again.svg").out
        self.assertEqual(shown[shown.index("needle ·"):], out[out.index("needle ·"):out.index("written:")])
        self.assertEqual((self.folder / "again.svg").read_text(), (self.folder / "new/a.svg").read_text())
        self.assertIn("mneme report", self.mneme("inspect", self.run, "--plot", "no.svg", expect=USAGE).err)

        self.stream(*questions, "--output", "b.h5", "--segment", 333)
        self.stream("--tokens", 9000, "--output", "c.h5", "--seed", 5, "--spacing", 10, "--distances", 90, "--text", "book.txt")
        other, third = load(self.folder / "b.h5"), load(self.folder / "c.h5")
        for column in ("first", "distance", "questions", "correct", "exact"):
            self.assertEqual(list(slices[column]), list(other["slices"][column]))
        self.assertLess(abs(slices["loss"] - other["slices"]["loss"]).max(), 1e-9)
        self.assertGreater(third["bins"]["questions"].sum(), 30)

    def test_interrupted(self):
        self.train()
        process = self.start("stream", self.run, "--tokens", 10**12, "--output", "a.h5", "--segment", 100)
        self.assertIn("checkpoint/step-3", process.stdout.readline())
        time.sleep(0.5)  # reading has begun
        result = self.stop(process, signal.SIGINT)
        self.assertEqual(result.status, RESUMABLE, result)
        self.assertRegex(result.err, r"stopped by SIGINT; what was found in the first [\d,]+ tokens is in a.h5")
        self.assertIn("distance", result.out)
        with h5py_or_skip().File(self.folder / "a.h5") as file:
            self.assertEqual(file.attrs["status"], "interrupted")
            self.assertEqual(file["bins"]["end"][-1], file.attrs["tokens"])

    def test_other_tasks_are_read_row_by_row(self):
        self.train("task.kind=rewrite", "task.rewrite.train=4x8", "task.rewrite.test=4x8,8x40")
        self.assertRegex(self.stream("--tokens", 3000).out, r"(?s)keys x writes.*4x8.*8x40")
        self.assertIn("eval.lengths", self.stream("--distances", "64", expect=USAGE).err)
        self.assertIn("rewrite", self.stream("--text", "book.txt", expect=USAGE).err)

    def test_what_cannot_be_streamed(self):
        self.train()
        (self.folder / "old.h5").write_text("precious")
        (self.folder / "empty.txt").write_text("")
        for arguments, status, why in [(["--tokens", 0], USAGE, "--tokens = 0"), (["--distances", "a"], USAGE, "--distances"),
                                       (["model.width=8"], USAGE, "model"), (["--text", "nowhere", "-o", "old.h5"], FAILED, "nowhere"),
                                       (["--text", "empty.txt"], FAILED, "no text in it"),
                                       (["--text", "book.txt", "task.needle.variant=repeated"], USAGE, "reads no text"),
                                       (["--output", "."], FAILED, "is a folder"), (["--output", "book.txt/x.h5"], FAILED, "book.txt")]:
            with self.subTest(arguments):
                self.assertIn(why, self.stream(*arguments, expect=status).err)
        self.assertEqual((self.folder / "old.h5").read_text(), "precious")
        self.assertEqual([p.name for p in self.folder.iterdir() if "trial" in p.name or "tmp" in p.name], [])
        self.assertIn("nowhere", self.mneme("stream", "nowhere", expect=FAILED).err)

    def test_full_attention_is_refused(self):
        self.train("model.attention=full")
        error = self.stream(expect=USAGE).err
        self.assertIn("model.attention = window", error)
        self.stream("--tokens", 500)


if __name__ == "__main__":
    unittest.main()
