"""What needs no training: help, listings, configs, sample rows, and what a mistyped command is told."""
import re
import subprocess
import unittest

from support import FAILED, SMOKE, SOURCE, USAGE, ProgramTest

COMMANDS = "run eval sweep table report predict generate stream show list options config inspect doctor bench new".split()
CONFIG = SMOKE / "mqar_transformer.ini"


class Help(ProgramTest):
    def test_program_help_names_every_command(self):
        self.assertRegex(self.mneme("--version").out, r"^mneme \d+\.\d+\.\d+\+")
        out = self.mneme("--help").out
        self.assertEqual(sorted(re.findall(r"(?m)^  (\w+) ", out)), sorted(COMMANDS))

    def test_every_command_has_help_with_an_example(self):
        for command in COMMANDS:
            with self.subTest(command):
                out = self.mneme(command, "--help").out
                self.assertIn(f"usage: mneme {command}", out)
                example = re.search(rf"example:\n  (mneme {command}.*)", out)[1]
                for path in re.findall(r"\S+\.ini", example):
                    self.assertTrue((SOURCE / path).exists(), example)
                for run in re.findall(r"results/runs/(\S+?)-1a2b3c4d", example):  # as `mneme run` names them
                    model, task = run.split("-")
                    self.assertRegex(self.mneme("list", "models").out, rf"(?m)^  {model} ", example)
                    self.assertRegex(self.mneme("list", "tasks").out, rf"(?m)^  {task} ", example)

    def test_mistyped_command_and_option_get_the_nearest_name(self):
        self.assertIn("did you mean 'sweep'", self.mneme("swep", expect=USAGE).err)
        self.assertIn("did you mean '--jobs'", self.mneme("sweep", "x.ini", "--jbos", "2", expect=USAGE).err)
        self.mneme(expect=USAGE)

    def test_a_prefix_of_an_option_is_not_guessed(self):
        self.mneme("show", "mqar", "--row", "1", expect=USAGE)

    def test_missing_and_surplus_arguments(self):
        self.mneme("run", expect=USAGE)
        self.mneme("run", CONFIG, CONFIG, expect=USAGE)
        self.mneme("options", "model.width=3", expect=USAGE)
        self.mneme("show", "mqar", "--rows", "many", expect=USAGE)


class Listings(ProgramTest):
    def test_options_can_be_narrowed(self):
        everything = self.mneme("options").out
        self.assertIn("memory.refresh", everything)
        self.assertIn("task.needle.", everything)
        train = self.mneme("options", "train.").out
        self.assertIn("train.lr", train)
        self.assertNotIn("model.width", train)
        self.assertIn("did you mean 'train", self.mneme("options", "trian", expect=USAGE).err)

    def test_list(self):
        out = self.mneme("list").out
        for name in "transformer lmm mag linear neural_mlp needle rewrite mqar induction lm file".split():
            self.assertRegex(out, rf"(?m)^  {name} ")
        self.assertNotIn("neural_mlp", self.mneme("list", "tasks").out)
        self.mneme("list", "thing", expect=USAGE)

    def test_a_full_disk_behind_stdout_is_a_failure(self):
        with open("/dev/full", "w") as full:
            self.mneme("options", expect=FAILED, stdout=full, stderr=subprocess.PIPE)

    def test_doctor(self):
        out = self.mneme("doctor", timeout=120).out
        self.assertRegex(out, r"GF/s")
        self.assertRegex(out, r"(?i)libtorch")
        self.assertRegex(out, r"(?i)hdf5")


class Configs(ProgramTest):
    def test_resolved_config_is_itself_a_config(self):
        first = self.mneme("config", CONFIG, "model.width=32", "run.seed=7").out
        self.assertRegex(first, r"(?m)^width = 32$")
        again = self.mneme("config", self.write("again.ini", first)).out
        self.assertEqual(first, again)

    def test_every_problem_is_told_at_once_with_its_place(self):
        path = self.write("bad.ini", f"extends = {CONFIG}\n[model]\nwidht = 32\nheads = 5\n[train]\nlr = fast\n")
        result = self.mneme("config", path, "model.window=0", expect=USAGE)
        self.assertRegex(result.err, r"bad\.ini:3.*widht.*did you mean 'model\.width'")
        self.assertRegex(result.err, r"bad\.ini:6.*fast")
        self.assertRegex(result.err, r"command line.*model\.window")

    def test_what_is_no_config_is_named_without_its_bytes(self):
        (self.folder / "bytes.bin").write_bytes(bytes(range(256)) * 20)
        for command in ("config", "run", "sweep"):
            with self.subTest(command):
                result = self.mneme(command, "bytes.bin", expect=USAGE)
                self.assertEqual(result.err, "mneme: cannot read config bytes.bin: it is not a text file; name an INI file, as configs/ has them\n")
        self.write("sweeps/a.ini", "[sweep]\n")
        err = self.mneme("sweep", "sweeps", expect=USAGE).err
        self.assertIn("sweeps: it is a folder; name a file in it, e.g. sweeps/a.ini", err)
        self.assertNotIn("did you mean", err)

    def test_missing_file_and_malformed_override(self):
        self.assertIn("nowhere.ini", self.mneme("config", "nowhere.ini", expect=USAGE).err)
        self.mneme("config", CONFIG, "width=3", expect=USAGE)


class Show(ProgramTest):
    def test_rows_and_answers(self):
        out = self.mneme("show", "mqar", "task.mqar.train=64x4", "--rows", 2).out
        self.assertEqual(len(re.findall(r"(?m)^row ", out)), 2)
        self.assertEqual(len(re.findall(r"\[→v\d+\]", out)), 8, "four pairs are asked in each row")

    def test_test_rows_differ_from_training_rows(self):
        rows = ["show", CONFIG, "--rows", 1, "task.mqar.test=32x4"]
        self.assertNotEqual(self.mneme(*rows, "--split", "train").out.split("\n", 3)[3],
                            self.mneme(*rows, "--split", "test").out.split("\n", 3)[3])
        self.mneme("show", CONFIG, "--split", "tset", expect=USAGE)

    def test_needle_in_a_text_file(self):
        text = self.write("book.txt", "It is a truth universally acknowledged, that a good book is long. " * 200)
        other = self.write("other.txt", text.read_text())
        out = self.mneme("show", "needle", f"task.needle.train_text={text}", f"task.needle.test_text={other}",
                         "task.length=256", "--rows", 1).out
        self.assertRegex(out, r"\[\d{3}\]", "the digits of the answer are marked")

    def test_missing_and_empty_text(self):
        empty = self.write("empty.txt", "")
        for path, why in [("nowhere.txt", "nowhere.txt"), (empty, "empty")]:
            result = self.mneme("show", "needle", f"task.needle.train_text={path}",
                                expect=None or USAGE if path == "nowhere.txt" else FAILED)
            self.assertIn(why, result.err)

    def test_unknown_task(self):
        self.assertIn("did you mean 'needle'", self.mneme("show", "needel", expect=USAGE).err)


if __name__ == "__main__":
    unittest.main()
