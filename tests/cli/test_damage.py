"""Files that were damaged, edited or made to hurt: what is read is as it was written, or the program says which file is not and goes on
with the others. Limits are said, not found out by waiting."""
import json
import os
import pathlib
import random
import re
import shutil
import struct
import unittest

from support import FAILED, OK, SMOKE, USAGE, ProgramTest

CONFIG = SMOKE / "mqar_mag.ini"
SHORT = ["train.steps=10", "eval.every=5", "train.log_every=5", "eval.samples=4"]


def flipped(data, place, bit=0):
    return data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1:]


class Damage(ProgramTest):
    def setUp(self):
        super().setUp()
        self.mneme("run", CONFIG, *SHORT, "--quiet")
        self.run_path = self.run_folder()

    def other_run(self):
        self.mneme("run", CONFIG, *SHORT, "run.seed=2", "--quiet")
        return next(path for path in self.run_path.parent.iterdir() if path.is_dir() and path != self.run_path)

    def test_every_changed_bit_of_a_result_is_found(self):
        file = self.run_path / "run.h5"
        whole = file.read_bytes()
        random.seed(1)
        for place in random.sample(range(len(whole)), 8):
            file.write_bytes(flipped(whole, place, random.randrange(8)))
            self.assertIn("run.h5", self.mneme("inspect", file, expect=FAILED, timeout=10).err)
        file.write_bytes(whole)
        self.mneme("inspect", file)

    def test_a_table_is_made_of_the_others_and_says_which_file_is_damaged(self):
        other = self.other_run() / "run.h5"
        other.write_bytes(flipped(other.read_bytes(), 5000))
        before = {path: path.read_bytes() for path in self.run_path.parent.glob("*/run.h5")}
        for command in (["table", self.run_path.parent, "--rows", "model.kind"], ["report", self.run_path.parent, "--output", "page.html"]):
            result = self.mneme(*command, expect=FAILED)
            self.assertIn(str(other.relative_to(self.folder)), result.err)
            self.assertRegex(result.out, r"mag[^$]*left out: \S*run.h5|page.html")
        self.assertRegex((self.folder / "page.html").read_text(), r"left out</b>: \S*run.h5")
        self.assertEqual(before, {path: path.read_bytes() for path in before})
        sweep = self.write("seeds.ini", f"extends = {CONFIG}\n[sweep]\nseeds = 1, 2\n[train]\nsteps = 10\n[eval]\nsamples = 4\n")
        self.mneme("sweep", sweep, "--quiet")
        damaged = sorted(self.run_path.parent.glob("seeds-*/run.h5"))[0]
        damaged.write_bytes(flipped(damaged.read_bytes(), 5000))
        result = self.mneme("table", sweep, "--rows", "model.kind", expect=FAILED)
        self.assertIn("damaged 1 of 2", result.out)

    def test_trainer_json_is_as_it_was_saved(self):
        file = next(self.run_path.glob("checkpoint/step-10/trainer.json"))
        (self.run_path / "run.h5").unlink()
        whole = file.read_text()
        for changed in (whole.replace('"step": 10', '"step": 15'), whole.replace('"loss_steps"', '"loss_stepz"'),
                        whole.replace("SHA-256 of", "SHA-257 of"), whole + " ", whole[:-20]):
            self.assertNotEqual(changed, whole)
            file.write_text(changed)
            self.assertIn("trainer.json", self.mneme("inspect", self.run_path / "checkpoint", expect=FAILED).err)
            self.assertIn("trainer.json", self.mneme("run", self.run_path, expect=FAILED).err)
        file.write_text("[" * 3000000)
        self.assertIn("trainer.json", self.mneme("inspect", self.run_path / "checkpoint", expect=FAILED).err)
        old = json.loads(whole)  # of before there were seals
        del old["sha256"]
        file.write_text(json.dumps(old))
        self.mneme("inspect", self.run_path / "checkpoint")

    def test_a_memory_file_is_as_it_was_saved(self):
        rows = self.folder / "rows.h5"
        try:
            import h5py
        except ImportError:
            self.skipTest("needs h5py")
        with h5py.File(rows, "w") as file:
            file["tokens"] = [[1, 2, 3, 4, 5, 6, 7, 8]]
        self.mneme("predict", self.run_path, "--input", rows, "--output", "a.h5", "--save-memory", "a.safetensors")
        again = ["predict", self.run_path, "--input", rows, "--output", "b.h5", "--memory", "a.safetensors"]
        self.mneme(*again)
        file = self.folder / "a.safetensors"
        whole = file.read_bytes()
        random.seed(2)
        for place in random.sample(range(len(whole)), 5):
            file.write_bytes(flipped(whole, place, random.randrange(8)))
            self.assertIn("a.safetensors", self.mneme(*again, expect=FAILED).err)

    def test_a_run_folder_that_no_longer_agrees_is_not_another_run(self):
        config = self.run_path / "config.ini"
        whole = config.read_text()
        config.write_text(re.sub(r"(?m)^steps = 10$", "steps = 15", whole))
        self.assertIn("config.ini: is not as it was written", self.mneme("run", self.run_path, expect=USAGE).err)
        config.write_text(re.sub(r"(?m)^(steps = 1)0$|^# .*", lambda found: "steps = 15" if found[1] else "", whole))  # of before there were seals
        self.assertIn("holds another run than its config.ini describes now", self.mneme("run", self.run_path, expect=USAGE).err)
        config.write_text(whole)
        moved = self.folder / "moved" / self.run_path.name
        moved.parent.mkdir()
        shutil.copytree(self.run_path, moved)
        result = self.mneme("run", moved, expect=USAGE)
        self.assertIn("run.folder=", result.err)
        self.assertIn("already done", self.mneme("run", moved, f"run.folder={moved.parent}").err)
        renamed = self.run_path.parent / "renamed"
        shutil.copytree(self.run_path, renamed)
        self.assertIn("renamed", self.mneme("run", renamed, expect=USAGE).err)
        self.assertEqual(sorted(path.name for path in self.run_path.parent.iterdir()), sorted([self.run_path.name, "renamed"]))

    def test_lock_and_latest_lead_nowhere_else(self):
        other = self.write("precious", "keep me\n")
        (self.run_path / "run.h5").unlink()  # a run that ended is read without its lock
        for name in ("lock", "checkpoint/latest"):
            place = self.run_path / name
            text = place.read_text()
            for make in (lambda: place.symlink_to(other), lambda: place.symlink_to("/dev/zero"), lambda: os.mkfifo(place)):
                place.unlink()
                make()
                self.assertIn(name, self.mneme("run" if name == "lock" else "eval", self.run_path, expect=FAILED, timeout=20).err)
            place.unlink()
            place.write_text(text)
        for name in ("../../../etc\n", "\0\0\0", "step-\n"):
            (self.run_path / "checkpoint/latest").write_text(name)
            for command in ("eval", "run"):
                error = self.mneme(command, self.run_path, expect=FAILED).err
                self.assertIn("checkpoint/latest", error)
        self.assertIn("echo step-10 >", error)
        self.assertEqual(other.read_text(), "keep me\n")


class Limits(ProgramTest):
    def refused(self, *command, why, expect=USAGE):
        self.assertRegex(self.mneme(*command, expect=expect, timeout=20).err, why)

    def test_configs(self):
        for i in range(500):
            self.write(f"e{i}.ini", f"extends = e{i + 1}.ini\n" if i < 499 else "[model]\nwidth = 16\n")
        self.refused("config", "e0.ini", why="more than 64 files in a chain")
        self.write("keys.ini", "[model]\n" + "".join(f"key{i} = 1\n" for i in range(20000)))
        self.refused("config", "keys.ini", why="more than 5000 keys")
        self.write("grid.ini", f"extends = {CONFIG}\n[grid]\n" + "".join(
            f"train.{key} = {' | '.join(map(str, range(1, 60)))}\n" for key in ("steps", "batch", "log_every", "checkpoint_every", "keep", "warmup")))
        self.refused("sweep", "grid.ini", "--list", why="4.22e\\+10 runs; at most 20000")
        self.refused("config", "/dev/zero", why="a device or a pipe")
        os.mkfifo(self.folder / "pipe")
        self.refused("config", "pipe", why="a device or a pipe")
        self.refused("inspect", "pipe", why="a device or a pipe", expect=FAILED)
        self.refused("table", "/dev/zero", why="a device or a pipe", expect=FAILED)

    def test_deep_and_long_headers(self):
        for size, name in ((2_000_000, "deep"), (20_000_000, "long")):
            file = self.folder / f"{name}.safetensors"
            file.write_bytes(struct.pack("<Q", size) + b"[" * size)
            self.refused("run", CONFIG, "--init-from", file, why=f"{name}.safetensors is damaged", expect=FAILED)
        self.write("deep.jsonl", "[" * 1_000_000)
        self.refused("run", CONFIG, "task.kind=file", "task.file.train=deep.jsonl", "task.file.test=deep.jsonl", why="deep.jsonl: it is a JSON array", expect=FAILED)


if __name__ == "__main__":
    unittest.main()
