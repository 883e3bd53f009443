"""Nothing that looks like a result and is none: answers that are not finite, rows without a target, runs that are others by now."""
import json
import os
import unittest

from support import FAILED, SMOKE, USAGE, ProgramTest, h5py_or_skip

# A memory that overflows on rows longer than those of training.
OVERFLOWS = f"""extends = {SMOKE}/base.ini, {SMOKE}/../models/mag.ini, {SMOKE}/../memory/neural_mlp.ini
[memory]
neural_mlp.form = plain
gradient = refresh
guard = false
refresh = 16
theta_max = 20
theta_bias = 3
alpha_bias = -12
retention_target = init
write_penalty = 0
[train]
steps = 2
warmup = 1
[eval]
every = 0
samples = 4
[task.mqar]
train = 16x4
test = 16x4, 256x8
"""
TEXT = f"""extends = {SMOKE}/../base.ini, {SMOKE}/../models/mag.ini, {SMOKE}/../memory/linear.ini
[model]
width = 16
layers = 1
window = 8
[task]
kind = lm
length = 32
[task.lm]
train_text = train.txt
test_text = test.txt
[train]
steps = 2
batch_tokens = 256
warmup = 1
[eval]
samples = 4
every = 0
"""
PROSE = "".join(f"The {i * i % 97} of {i} is not the {i * 7 % 31} of {i + 1}, said the man.\n" for i in range(400))


class NotFinite(ProgramTest):
    WHERE = r"256x8 \(4 of 4 rows; row 0: .*layer \d.*head \d.*from token \d+ on"

    def setUp(self):
        super().setUp()
        self.write("x.ini", OVERFLOWS)
        self.first = self.mneme("run", "x.ini", "--quiet", expect=FAILED)
        self.run = self.run_folder()

    def test_run_eval_inspect_and_again_tables_and_pages(self):
        results = [self.first, self.mneme("run", "x.ini", "--quiet", expect=FAILED), self.mneme("eval", self.run, "--quiet", "-o", "e.h5", expect=FAILED)]
        for result in results:
            self.assertRegex(result.out, r"(?m)^ *16 +4 +4 +[\d.]+ %")
            self.assertRegex(result.out, r"(?m)^ *256 +8 +4 +not finite, 4 of 4 rows")
            self.assertRegex(result.err, self.WHERE)
        for file in (self.run, "e.h5"):
            self.assertRegex(self.mneme("inspect", file).out, r"(?s)status +done: .*not finite at 256x8.* 4 +not finite, 4 of 4")
        table = self.mneme("table", "results/runs", "--rows", "model.kind").out
        self.assertRegex(table, r"(?m)^\| mag \|.*\| [\d.]+ .*\| not finite 1 of 1 \|")
        self.mneme("report", "results/runs", "-o", "page.html")
        page = (self.folder / "page.html").read_text()
        self.assertIn("not finite 1 of 1", page)
        self.assertNotRegex(page, r"(?i)>-?nan|\bnan\b%")

    def test_a_sweep_counts_it_as_failed_each_time(self):
        self.write("s.ini", OVERFLOWS + "[sweep]\nseeds = 1\n")
        for _ in range(2):
            result = self.mneme("sweep", "s.ini", "--quiet", expect=FAILED)
            self.assertRegex(result.out, r"0 of 1 done.*1 failed")
            self.assertRegex(result.out, r"failed: .*not finite at 256x8")

    def test_generate_stream_and_predict(self):
        prompt = ["--prompt", " ".join(str(i % 60) for i in range(300))]
        for more in (["-n", 5], ["-n", 0, "--save-memory", "m"]):
            result = self.mneme("generate", self.run, *prompt, *more, expect=FAILED)
            self.assertEqual(result.out.strip(), "", "no token")
            self.assertRegex(result.err, r"not finite.*layer \d" if more[1] else r"m is not written: .*layer \d")
        self.assertFalse((self.folder / "m").exists())
        result = self.mneme("stream", self.run, "-n", 2000, "--quiet", "-o", "s.h5", expect=FAILED)
        self.assertRegex(result.out, r"all .*not finite, \d+ of \d+ rows")
        self.assertRegex(result.err, r"not finite.*from token \d+ on")
        self.assertRegex(self.mneme("inspect", "s.h5").out, r"(?s)from token \d+ on.*not finite, \d+ of \d+ rows")
        h5py = h5py_or_skip()  # predict writes no token
        import numpy
        with h5py.File(self.folder / "x.h5", "w") as file:
            file["tokens"] = numpy.random.default_rng(1).integers(0, 60, (2, 300))
        result = self.mneme("predict", self.run, "-i", "x.h5", "-o", "y.h5", "--last", 3, "--save-memory", "m", expect=FAILED)
        self.assertRegex(result.err, r"6 of 6 answers in y.h5 are not finite \(argmax -1\), first row 0, position 297: .*from token \d+ on; m is not written")
        with h5py.File(self.folder / "y.h5") as file:
            self.assertTrue((file["argmax"][...] == -1).all())
            self.assertEqual(file.attrs["not_finite"], 6)
        self.assertFalse((self.folder / "m").exists())


class Rows(ProgramTest):
    def test_rows_without_a_target_are_left_out_and_counted(self):
        rows = [{"tokens": [i % 7, 3, 2], "targets": [-1, -1, i % 7 if i % 4 == 0 else -1]} for i in range(160)]
        self.write("rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        config = self.write("x.ini", TEXT.replace("kind = lm", "kind = file").replace("[task.lm]\ntrain_text = train.txt\ntest_text = test.txt",
                                                                                     "[task.file]\ntrain = rows.jsonl\ntest = rows.jsonl\nmetric = exact_match"))
        result = self.mneme("run", config, "train.batch=2", "train.batch_tokens=0", "eval.samples=256", "eval.lengths=")
        self.assertIn("task.file.train: 120 of the 160 rows of rows.jsonl have no target", result.err)
        self.assertRegex(result.out, r"(?m)^ *3 +40 +", "40 rows are scored")

    def test_a_stray_id_is_named_before_a_model_is_made_for_it(self):
        rows = [{"tokens": [1, 2, 3], "targets": [-1, -1, 4]}] * 20 + [{"tokens": [1, 2, 2000000000], "targets": [-1, -1, 4]}]
        self.write("rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        result = self.mneme("run", SMOKE / "mqar_transformer.ini", "task.kind=file", "task.file.train=rows.jsonl", "task.file.test=rows.jsonl", expect=FAILED)
        self.assertRegex(result.err, "rows.jsonl.*2000000000")

    def test_an_empty_name_is_no_name(self):
        self.assertIn("--init-from is empty", self.mneme("run", SMOKE / "mqar_transformer.ini", "--init-from", "", expect=USAGE).err)

    def test_an_unsigned_mark_is_refused(self):
        h5py = h5py_or_skip()
        import numpy
        for kind in ("uint8", "uint16", "uint32", "uint64"):
            with h5py.File(self.folder / "x.h5", "w") as file:
                file["tokens"] = numpy.ones((20, 4), "int64")
                file["targets"] = numpy.array([[-1, -1, -1, 1]] * 20).astype(kind)
            result = self.mneme("run", SMOKE / "mqar_transformer.ini", "task.kind=file", "task.file.train=x.h5", "task.file.test=x.h5", expect=FAILED)
            self.assertRegex(result.err, rf"type {kind}, which has no -1.*int64")


class RunFolders(ProgramTest):
    def setUp(self):
        super().setUp()
        self.write("train.txt", PROSE)
        self.write("test.txt", PROSE[::-1])
        self.mneme("run", self.write("x.ini", TEXT), "--quiet")
        self.run = self.run_folder()

    def folders(self):
        return sorted(str(path) for path in self.folder.rglob("run.h5"))

    def refused(self, *arguments):
        before = self.folders()
        error = self.mneme("run", *arguments, expect=USAGE).err
        self.assertEqual(self.folders(), before, "nothing else is trained")
        return error

    def test_a_folder_that_was_moved_or_renamed(self):
        moved = self.folder / "elsewhere" / self.run.name
        moved.parent.mkdir()
        os.rename(self.run, moved)
        error = self.refused(moved)
        self.assertRegex(error, r"was moved: .*run.folder=\S*elsewhere")
        self.assertIn("already done", self.mneme("run", moved, "run.folder=elsewhere").err)
        os.rename(moved, moved.parent / "mine")
        self.assertIn("was renamed", self.refused(moved.parent / "mine"))

    def test_data_or_config_that_changed(self):
        self.write("train.txt", PROSE + "one more line\n")
        for named in (self.run, self.run / "config.ini"):
            self.assertRegex(self.refused(named), r"holds another run .*train.txt has changed since")
        self.assertIn("note: train.txt has changed since this model was trained", self.mneme("eval", self.run).err)
        self.write("train.txt", PROSE)
        self.assertNotIn("changed", self.mneme("eval", self.run).err)
        config = self.run / "config.ini"
        config.write_text(config.read_text().replace("\nlr = ", "\nlr = 1", 1))
        self.assertRegex(self.refused(self.run), r"config.ini: is not as it was written")
        config.write_text("".join(line for line in config.read_text().splitlines(True) if not line.startswith("#")))  # of before there were seals
        self.assertRegex(self.refused(self.run), r"the config or the data it reads have changed")

    def test_another_run_may_be_made_of_its_config(self):
        self.mneme("run", self.run, "run.seed=2", "--quiet")
        self.assertEqual(len(self.folders()), 2)


class Texts(ProgramTest):
    def test_prompts_are_cleaned_as_texts_are(self):
        self.write("train.txt", PROSE)
        self.write("test.txt", PROSE[::-1])
        self.mneme("run", self.write("x.ini", TEXT), "--quiet")
        said = set()
        for name, data in (("plain", b"the\nman"), ("newline", b"the\nman\n"), ("windows", b"\xef\xbb\xbfthe\r\nman\r\n"), ("mac", b"the\rman\r")):
            (self.folder / name).write_bytes(data)
            said.add(self.mneme("generate", self.run_folder(), "--prompt-file", name, "-n", 12).out)
        said.add(self.mneme("generate", self.run_folder(), "--prompt", "the\r\nman", "-n", 12).out)
        self.assertEqual(len(said), 1)
        (self.folder / "wide").write_bytes("the man".encode("utf-16"))
        self.assertIn("wide is text in UTF-16", self.mneme("generate", self.run_folder(), "--prompt-file", "wide", expect=FAILED).err)

    def test_what_is_read_of_a_folder_is_said(self):
        for name, text in (("texts/a.txt", PROSE), ("texts/notes.md", "no"), ("texts/.git/b.txt", "hidden " * 5000), ("test.txt", PROSE[5000:9000])):
            self.write(name, text)
        result = self.mneme("run", self.write("x.ini", TEXT.replace("train.txt", "texts")))
        self.assertRegex(result.err, r"note: task.lm.train_text = texts: 1 files are not called .txt and are not read: texts/notes.md")
        self.assertRegex(result.err, r"note: task.lm.test_text: test.txt: \d+ of \d+ passages of 256 bytes stand in the training text too")

    def test_names_with_commas(self):
        self.write("Pride, and Prejudice.txt", PROSE)
        self.write("test.txt", PROSE[::-1])
        name = '"Pride, and Prejudice.txt"'
        self.mneme("run", self.write("x.ini", TEXT.replace("train.txt", name)), "--quiet")
        self.assertIn("already done", self.mneme("run", self.write("x.ini", TEXT), f"task.lm.train_text={name}").err)
        self.assertIn("already done", self.mneme("run", self.run_folder()).err)
        for where in (f"task.lm.train_text={name}", '"task.lm.train_text=Pride, and Prejudice.txt"'):
            self.assertRegex(self.mneme("table", "results/runs", "--rows", "run.seed", "--where", where).out, r"(?m)^\| 1 \|")


if __name__ == "__main__":
    unittest.main()
