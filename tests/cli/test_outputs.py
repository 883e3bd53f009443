"""What a command writes: never over what it reads or a run keeps, never onto a device, checked before the work begins."""
import json
import os
import stat
import subprocess
import unittest

from support import FAILED, PROGRAM, SMOKE, USAGE, ProgramTest, h5py_or_skip

ROWS = "\n".join(json.dumps({"tokens": [1, 2, 3, 4], "targets": [-1, -1, -1, 1]}) for _ in range(8))


class Outputs(ProgramTest):
    def setUp(self):
        super().setUp()
        self.mneme("run", SMOKE / "mqar_mag.ini")
        self.run = self.run_folder().relative_to(self.folder)

    def contents(self):
        """Every file below the working folder, with its bytes; pipes and links by what they are."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            kind = stat.S_IFMT(path.lstat().st_mode)
            found[str(path.relative_to(self.folder))] = path.read_bytes() if kind == stat.S_IFREG else kind
        return found

    def refuse(self, *arguments, why, expect=USAGE):
        with self.subTest(arguments):
            before = self.contents()
            self.assertRegex(self.mneme(*arguments, expect=expect).err, why)
            self.assertEqual(self.contents(), before, "nothing is changed, nothing is left behind")

    def rows(self, name="x.h5"):
        with h5py_or_skip().File(self.folder / name, "w") as file:
            file["tokens"] = [[5, 9, 2] * 20] * 5

    def predict(self, *arguments):
        return ["predict", self.run, "--input", "x.h5", *arguments]

    def test_predict(self):
        self.rows()
        (self.folder / "link.h5").symlink_to("x.h5")
        self.mneme(*self.predict("--output", "y.h5", "--save-memory", "m.safetensors"))
        for output in ("x.h5", "./x.h5", self.folder / "x.h5", "new/../x.h5", "link.h5"):
            self.refuse(*self.predict("--output", output), why="--input reads.*name another file")
        self.refuse(*self.predict("--output", "y.h5", "--save-memory", "y.h5"), why="--save-memory y.h5 is also written by --output")
        self.refuse(*self.predict("--output", "y.h5", "--memory", "m.safetensors", "--save-memory", "m.safetensors"),
                    why="--memory reads")
        self.refuse(*self.predict("--output", self.run / "run.h5"), why="run keeps")
        self.refuse(*self.predict("--output", self.run / "checkpoint/latest"), why="run keeps")
        self.refuse(*self.predict("--output", "."), why="it is a folder; name a file", expect=FAILED)

    def test_an_input_that_is_called_like_a_temporary_file(self):
        self.rows("y.h5.unfinished")
        before = (self.folder / "y.h5.unfinished").read_bytes()
        self.mneme("predict", self.run, "--input", "y.h5.unfinished", "--output", "y.h5")
        self.assertEqual((self.folder / "y.h5.unfinished").read_bytes(), before)

    def test_eval_and_stream(self):
        self.write("rows.jsonl", ROWS)
        data = ["task.kind=file", *(f"task.file.{name}=rows.jsonl" for name in ("train", "test"))]
        self.refuse("eval", self.run, *data, "--output", "rows.jsonl", why=r"task\.file\.\w+ reads")
        self.refuse("eval", self.run, "--output", self.run / "run.h5", why="what a run keeps of its training")
        self.refuse("eval", self.run, "--output", self.run / "checkpoint/step-20/config.ini", why="run keeps")
        self.refuse("stream", self.run, "--tokens", 500, "--output", "s.h5", "--plot", "s.h5", why="--plot s.h5 is also written by --output")
        self.write("books/one.txt", "text")
        self.write("train.txt", "text")
        needle = ["task.kind=needle", "task.needle.train_text=train.txt", "task.needle.test_text=books"]
        self.refuse("eval", self.run, *needle, "--output", "books/new.h5", why="lies in books, which task.needle")
        self.mneme("eval", self.run, "--output", self.run / "longer.h5")  # beside what the run keeps

    def test_an_empty_name(self):
        self.rows()
        for command in (["eval", self.run], ["table", self.run, "--rows", "model.kind"], ["report", self.run], self.predict()):
            self.refuse(*command, "--output", "", why="--output is empty; name a file")

    def test_eval_looks_at_its_output_before_the_work(self):
        self.write("file", "precious")
        result = self.mneme("eval", self.run, "--output", "file/x.h5", expect=FAILED)
        self.assertEqual(result.out, "", "nothing was evaluated")
        self.assertRegex(result.err, "cannot make the folder .*; a file stands where a folder is needed")

    def test_generate(self):
        self.mneme("generate", self.run, "--prompt", "3", "--tokens", 2, "--save-memory", "m.safetensors")
        self.write("prompt", "5 9")
        self.refuse("generate", self.run, "--prompt", "3", "--memory", "m.safetensors", "--save-memory", "./m.safetensors", why="--memory reads")
        self.refuse("generate", self.run, "--prompt-file", "prompt", "--save-memory", "prompt", why="--prompt-file reads")

    def test_table_report_inspect(self):
        self.mneme("table", self.run, "--rows", "model.kind", "--output", "t")
        self.refuse("table", "t.h5", "--rows", "model.kind", "--output", "t", why="t.h5 is the file that this command reads")
        self.refuse("table", self.run, "--rows", "model.kind", "--output", self.run / "run", why="run keeps")
        self.refuse("report", "t.h5", "--rows", "model.kind", "--output", "t.h5", why="reads")
        self.refuse("report", "t.h5", "--rows", "model.kind", "--output", "r.html", "--figures", "t.h5", why="a folder is needed", expect=FAILED)
        self.mneme("stream", self.run, "--tokens", 500, "--output", "s.h5")
        self.refuse("inspect", "s.h5", "--plot", "s.h5", why="reads")
        self.refuse("bench", "memory", "--json", "b.h5", "--output", "b", why="--output b.h5 is also written by --json")

    def test_a_link_stays_one_and_a_pipe_too(self):
        (self.folder / "real.h5").write_text("old")
        (self.folder / "link.h5").symlink_to("real.h5")
        os.mkfifo(self.folder / "pipe")
        self.mneme("eval", self.run, "--output", "link.h5")
        self.assertTrue((self.folder / "link.h5").is_symlink())
        self.assertIn("accuracy", self.mneme("inspect", "real.h5").out)
        self.refuse("eval", self.run, "--output", "pipe", why="it is a device or a pipe; name a file", expect=FAILED)

    def limited(self, kib, *arguments):
        """With files of at most so many KiB, as on a full disk."""
        script = f"ulimit -f {kib}; exec \"$@\""
        return subprocess.run(["bash", "-c", script, "bash", PROGRAM, *map(str, arguments)], text=True, cwd=self.folder,
                              env=self.environment(), capture_output=True, timeout=60)

    def test_predict_on_a_full_disk(self):
        self.rows()
        before = self.contents()
        result = self.limited(16, *self.predict("--output", "y.h5", "--logits"))
        self.assertEqual(result.returncode, FAILED, result)
        self.assertRegex(result.stderr, r"(?m)^mneme: .*y\.h5.*[Ff]ree some space.*File too large\)$")
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertEqual(self.contents(), before)

    def test_a_table_on_a_full_disk_has_its_numbers_or_is_not_there(self):
        before = self.contents()
        result = self.limited(4, "table", self.run, "--rows", "model.kind", "--output", "t")
        self.assertEqual(result.returncode, FAILED, result)
        self.assertRegex(result.stderr, r"cannot write t\.h5: .*free some space")
        self.assertEqual(self.contents(), before)


if __name__ == "__main__":
    unittest.main()
