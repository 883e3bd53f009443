"""mneme run, eval and inspect on tiny configs: results, resuming after every kind of end, and what cannot be run."""
import json
import re
import shutil
import signal
import subprocess
import unittest

from support import FAILED, PROGRAM, RESUMABLE, SMOKE, SOURCE, USAGE, ProgramTest, last_weights

CONFIG = SMOKE / "mqar_transformer.ini"
MEMORY = SMOKE / "mqar_mag.ini"
# Setting, rows, accuracy, exact match, loss: a line of the printed results without speed and memory.
NUMBERS = r"(?m)^ *(\d+ +\d+ +\d+ +[\d.]+ % +[\d.]+ % +[\d.]+)"
# Long enough to be stopped in the middle: about two seconds.
LONG = ["train.steps=600", "train.warmup=5", "train.checkpoint_every=20", "eval.every=200"]


def metrics(folder):
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def without_timing(rows):
    timing = ("seconds", "tokens_per_s", "rss_mib")
    return [{key: value for key, value in row.items() if key not in timing} for row in rows]


class Run(ProgramTest):
    def test_result_folder_and_table(self):
        result = self.mneme("run", MEMORY, "--quiet")
        folder = self.run_folder()
        self.assertEqual(result.out.splitlines()[0], str(folder.relative_to(self.folder)))
        self.assertRegex(result.out, r"accuracy.*loss")
        self.assertEqual(result.err, "", "--quiet says nothing on stderr")
        for name in ["config.ini", "log.txt", "metrics.jsonl", "run.h5", "checkpoint/latest"]:
            self.assertTrue((folder / name).exists(), name)
        rows = metrics(folder)
        self.assertEqual([row["step"] for row in rows if row["type"] == "train"], [5, 10, 15, 20])
        self.assertTrue(all(row["loss"] > 0 for row in rows if row["type"] == "train"))

    def test_progress_goes_to_stderr(self):
        result = self.mneme("run", CONFIG)
        self.assertIn("step", result.err)
        self.assertNotIn("ETA", result.out)

    def test_finished_run_says_so_and_changes_nothing(self):
        first = self.mneme("run", CONFIG)
        before = {path: path.read_bytes() for path in self.run_folder().glob("*.h5")}
        again = self.mneme("run", CONFIG)
        self.assertIn("already done", again.err)
        self.assertEqual(first.out, again.out)
        self.assertEqual(before, {path: path.read_bytes() for path in self.run_folder().glob("*.h5")})

    def test_a_run_folder_is_a_config(self):
        self.mneme("run", CONFIG)
        self.assertIn("already done", self.mneme("run", self.run_folder()).err)

    def test_inspect(self):
        self.mneme("run", MEMORY)
        folder = self.run_folder()
        out = self.mneme("inspect", folder / "run.h5", "--config").out
        self.assertRegex(out, r"status +done")
        self.assertIn("mneme run", out)
        self.assertIn("[memory]", out)
        parameters = self.mneme("inspect", folder / "checkpoint").out
        self.assertRegex(parameters, r"(?m)^parameter +shape")
        self.assertRegex(parameters, r"\d+×\d+")

    def test_init_from_another_run(self):
        self.mneme("run", CONFIG)
        first = self.run_folder()
        self.mneme("run", CONFIG, "run.name=second", "--init-from", first)
        folders = [path for path in (self.folder / "results/runs").iterdir() if path != first]
        losses = [[row["loss"] for row in metrics(path) if row["type"] == "train"][0] for path in [first, *folders]]
        self.assertLess(losses[1], losses[0], "it starts where the first run ended")
        result = self.mneme("run", CONFIG, "run.name=third", "model.width=32", "--init-from", first, expect=FAILED)
        self.assertRegex(result.err, r"16.*32|32.*16")
        self.assertEqual(len(list((self.folder / "results/runs").iterdir())), 2, "what cannot begin leaves no run folder")

    def test_what_a_run_starts_from_is_part_of_which_run_it_is(self):
        self.mneme("run", CONFIG, "run.folder=sources", "run.seed=1")
        self.mneme("run", CONFIG, "run.folder=sources", "run.seed=2")
        one, two = sorted((self.folder / "sources").iterdir())
        losses = lambda text: re.findall(NUMBERS, text)
        from_one = self.mneme("run", CONFIG, "--init-from", one)
        from_two = self.mneme("run", CONFIG, "--init-from", two)
        self.assertNotIn("already done", from_two.err)
        self.assertNotEqual(losses(from_one.out), losses(from_two.out))
        # The same weights by another name are the same run; so is its stored config, also when the weights are gone.
        step = next(one.glob("checkpoint/step-*"))
        shutil.copy(step / "model.safetensors", self.folder / "copy.safetensors")
        for weights in (step, "copy.safetensors"):
            self.assertIn("already done", self.mneme("run", CONFIG, "--init-from", weights).err)
        self.assertIn("already done", self.mneme("run", CONFIG, f"train.init_from={one}").err)
        shutil.rmtree(one)
        folder = self.folder / from_one.out.splitlines()[0]
        self.assertIn("already done", self.mneme("run", folder).err)
        self.mneme("eval", folder, "--output", "again.h5")
        # To train it again, the weights must be those.
        (folder / "run.h5").unlink()
        shutil.rmtree(folder / "checkpoint")
        self.assertIn("there is no checkpoint", self.mneme("run", folder, expect=FAILED).err)
        shutil.copytree(two, one)
        self.assertRegex(self.mneme("run", folder, expect=FAILED).err, "have changed .*give those this run was to start from")
        self.assertNotIn("failed", (folder / "log.txt").read_text())

    def test_no_weights_to_start_from(self):
        (self.folder / "empty").mkdir()
        for path, why in [("nowhere", "there is no checkpoint at nowhere: give a run folder"), ("empty", "no checkpoint at empty"),
                          ("gone.safetensors", "no weights at gone.safetensors")]:
            with self.subTest(path):
                self.assertIn(why, self.mneme("run", CONFIG, "--init-from", path, expect=USAGE).err)
        self.assertIn("train.init_from", self.mneme("run", CONFIG, "train.init_sha256=00", expect=USAGE).err)
        self.assertFalse((self.folder / "results").exists(), "nothing was made")


class Eval(ProgramTest):
    def test_other_settings_and_storing(self):
        self.mneme("run", MEMORY)
        folder = self.run_folder()
        result = self.mneme("eval", folder, "task.mqar.test=64x8,128x8", "--output", "longer/x.h5")
        self.assertRegex(result.out, r"(?m)^ *128 +8 ")
        inspected = self.mneme("inspect", "longer/x.h5").out
        self.assertRegex(inspected, r"(?m)^ *128 +8 ")

    def test_the_same_numbers_as_the_run(self):
        run = self.mneme("run", MEMORY)
        rows = re.findall(NUMBERS, run.out)
        again = self.mneme("eval", self.run_folder() / "checkpoint")
        self.assertEqual(rows, re.findall(NUMBERS, again.out))
        self.assertEqual(len(rows), 2)

    def test_what_does_not_fit_the_weights(self):
        self.mneme("run", CONFIG)
        self.assertIn("model.width", self.mneme("eval", self.run_folder(), "model.width=32", expect=USAGE).err)
        self.assertIn("tokens", self.mneme("eval", self.run_folder(), "task.mqar.vocab=512", expect=FAILED).err)
        self.mneme("eval", "nowhere", expect=FAILED)
        refused = self.mneme("eval", self.run_folder(), "run.seed=77", "train.lr=9", "-o", "ev.h5", expect=USAGE).err
        self.assertRegex(refused, r"(?s)run\.seed=77: .*eval\.seed.*train\.lr=9: only training")
        self.assertIn("element type", self.mneme("eval", self.run_folder(), "runtime.dtype=float64", expect=USAGE).err)
        self.assertIn("did you mean 'memory.off'", self.mneme("eval", self.run_folder(), "memory.of=true", expect=USAGE).err)
        self.assertFalse((self.folder / "ev.h5").exists())

    def test_a_stored_evaluation_can_be_filed_as_an_arm_of_its_own(self):
        self.mneme("run", MEMORY)
        self.mneme("eval", self.run_folder(), "memory.off=true", "run.labels=arm:off", "run.name=off", "-o", "off.h5")
        self.assertRegex(self.mneme("table", "off.h5", "--columns", "length", "--metric", "accuracy").out, r"(?m)^\| *off ")


class Resume(ProgramTest):
    def reference(self, config):
        self.mneme("run", config, *LONG, "run.folder=reference")
        return next((self.folder / "reference").iterdir())

    def assert_same_run(self, one, other):
        self.assertEqual(without_timing(metrics(one)), without_timing(metrics(other)))
        self.assertEqual(last_weights(one), last_weights(other))

    def started(self, config=CONFIG):
        """A run that has begun, or resumed, and has a checkpoint."""
        logs = lambda: "".join(path.read_text() for path in self.folder.glob("results/runs/*/log.txt"))
        before = logs()
        process = self.start("run", config, *LONG)
        runs = self.folder / "results/runs"
        self.wait_for(lambda: re.search("training begins|resumed", logs()[len(before):]), "the run to begin")
        self.wait_for(lambda: list(runs.glob("*/checkpoint/latest")), "the first checkpoint")
        return process

    def test_ctrl_c_is_exit_75_and_resumes(self):
        reference = self.reference(CONFIG)
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.started()
            result = self.stop(process, number)
            self.assertEqual(result.status, RESUMABLE, result)
            self.assertRegex(result.err, r"(?m)^mneme: stopped by SIG")
        self.mneme("run", CONFIG, *LONG)
        self.assert_same_run(reference, self.run_folder())

    def test_a_signal_before_training_begins_leaves_nothing_half_written(self):
        reference = self.reference(CONFIG)
        runs = self.folder / "results/runs"
        moments = [lambda: list(runs.glob("*/config.ini")), lambda: list(runs.glob("*/lock")), lambda: list(runs.glob("*")), lambda: True]
        for moment in moments:
            process = self.start("run", CONFIG, *LONG)
            self.wait_for(moment, "a moment before training begins")
            result = self.stop(process, signal.SIGTERM)
            if result.status == -signal.SIGTERM:  # before the program's first line
                self.assertFalse(runs.exists(), "nothing was made")
            else:
                self.assertEqual(result.status, RESUMABLE, result)
                self.assertRegex(result.err, r"(?m)^mneme: stopped by SIGTERM; ")
            self.assertEqual([path for path in runs.rglob("*") if "unfinished" in path.name or path.suffix == ".tmp"], [])
            shutil.rmtree(runs, ignore_errors=True)
        process = self.start("run", CONFIG, *LONG)
        self.wait_for(moments[0], "the run folder")
        self.stop(process, signal.SIGTERM)
        self.mneme("run", CONFIG, *LONG)
        self.assert_same_run(reference, self.run_folder())

    def test_a_folder_in_use_is_refused(self):
        process = self.started()
        result = self.mneme("run", CONFIG, *LONG, expect=FAILED)
        self.assertIn(str(process.pid), result.err, "the message names the process that holds it")
        self.stop(process)


class Damage(ProgramTest):
    def stopped_run(self):
        process = self.start("run", CONFIG, *LONG)
        runs = self.folder / "results/runs"
        self.wait_for(lambda: any(re.search('"eval".*\n(.*\n)*.*"train"', path.read_text()) for path in runs.glob("*/metrics.jsonl")),
                      "a step after the first evaluation")
        self.stop(process)
        return self.run_folder()

    def test_damaged_checkpoint(self):
        folder = self.stopped_run()
        results = (folder / "metrics.jsonl").read_text()
        step = folder / "checkpoint" / (folder / "checkpoint/latest").read_text().strip()
        weights = step / "model.safetensors"
        whole = weights.read_bytes()
        flipped = bytearray(whole)
        flipped[-3] ^= 1
        for name, data in [("truncated", whole[: len(whole) // 2]), ("altered", bytes(flipped)), ("empty", b"")]:
            with self.subTest(name):
                weights.write_bytes(data)
                self.assertIn("model.safetensors", self.mneme("run", CONFIG, *LONG, expect=FAILED).err)
                self.assertIn("model.safetensors", self.mneme("eval", folder, expect=FAILED).err)
        self.assertEqual((folder / "metrics.jsonl").read_text(), results)
        self.assertIn("accuracy", self.mneme("inspect", folder).out, "the evaluations are still in run.h5")
        weights.write_bytes(whole)
        self.mneme("run", CONFIG, *LONG)

    def test_a_changed_config_of_a_checkpoint(self):
        self.mneme("run", MEMORY)
        folder = self.run_folder()
        config = next(folder.glob("checkpoint/step-*/config.ini"))
        text = config.read_text()
        for name, other in [("window", re.sub(r"(?m)^window = .*", "window = 3", text)), ("empty", "")]:
            with self.subTest(name):
                self.assertNotEqual(other, text)
                config.write_text(other)
                for command in (["eval", folder], ["generate", folder, "--prompt", "3"], ["inspect", folder / "checkpoint"]):
                    self.assertIn("config.ini is not the file that was saved", self.mneme(*command, expect=FAILED).err)
        config.write_text(text)
        self.mneme("eval", folder)

    def test_run_file_of_another_schema_and_no_run_file(self):
        self.mneme("run", CONFIG)
        folder = self.run_folder()
        (folder / "run.h5").write_text("not HDF5")
        for command in (["run", CONFIG], ["inspect", folder], ["table", folder]):
            self.assertIn("run.h5", self.mneme(*command, expect=FAILED).err)

    def test_full_disk(self):
        limit = "ulimit -f 16; exec \"$@\""  # 16 KiB a file: the weights do not fit
        result = subprocess.run(["bash", "-c", limit, "bash", PROGRAM, "run", CONFIG, "model.width=64"], text=True,
                                cwd=self.folder, env=self.environment(), capture_output=True, timeout=60)
        self.assertEqual(result.returncode, FAILED, result)
        self.assertRegex(result.stderr, r"(?m)^mneme: .*(File too large|No space)")
        self.assertEqual(list(self.folder.glob("results/runs/*/checkpoint/step-*")), [], "nothing half-written")
        self.mneme("run", CONFIG, "model.width=64")

    def test_data_that_does_not_fit_leaves_no_run(self):
        text = self.write("short.txt", "a few words")
        needle = SOURCE / "configs/needle_mag.ini"
        texts = [f"task.needle.train_text={text}", f"task.needle.test_text={self.write('other.txt', 'a few words')}"]
        self.assertIn("the train text has", self.mneme("run", needle, *texts, expect=FAILED).err)
        self.assertFalse((self.folder / "results").exists(), "nothing was made")

    def test_lengths_that_a_task_does_not_read(self):
        self.assertIn("settings of its own", self.mneme("run", CONFIG, "eval.lengths=64").err)
        self.assertIn("leave it out", self.mneme("eval", self.run_folder(), "eval.lengths=128", expect=USAGE).err)

    def test_an_empty_pointer_to_the_latest_checkpoint(self):
        self.mneme("run", CONFIG)
        latest = self.run_folder() / "checkpoint/latest"
        latest.write_text("")
        (self.run_folder() / "run.h5").unlink()
        self.assertIn("latest is empty", self.mneme("run", CONFIG, expect=FAILED).err)

    def test_impossible_configs(self):
        for assignment, what in [("model.heads=3", "heads"), ("model.window=0", "window"), ("train.lr=-1", "lr"),
                                 ("task.mqar.train=8x4", "8x4"), ("memory.kind=lineer", "linear"),
                                 ("task.kind=mqra", "mqar"), ("runtime.device=cuda", "use cpu")]:
            if assignment == "runtime.device=cuda" and shutil.which("nvidia-smi"):
                continue
            with self.subTest(assignment):
                self.assertIn(what, self.mneme("run", CONFIG, assignment, expect=USAGE).err)
        self.assertFalse((self.folder / "results").exists(), "nothing was made")


if __name__ == "__main__":
    unittest.main()
