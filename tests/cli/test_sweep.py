"""mneme sweep, table and report: several runs at a time, failures, interrupts, learning rates, and what comes out."""
import fcntl
import json
import os
import re
import signal
import subprocess
import unittest

from support import FAILED, PROGRAM, RESUMABLE, SMOKE, SOURCE, USAGE, ProgramTest

SWEEP = f"""extends = {SMOKE}/mqar_transformer.ini
[sweep]
name = tiny
axes = arm
seeds = 1, 2
[axis.arm.small]
model.width = 8
[axis.arm.large]
model.width = 16
"""


class Sweep(ProgramTest):
    def runs(self):
        folder = self.folder / "results/runs"
        return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.exists() else []

    def test_all_runs_then_nothing_left_to_do(self):
        sweep = self.write("tiny.ini", SWEEP)
        result = self.mneme("sweep", sweep, "--jobs", 2)
        self.assertIn("4 of 4 done", result.out)
        self.assertEqual(len(self.runs()), 4)
        self.assertEqual(len(re.findall(r"(?m)^\[\d/4\] tiny-\S+ done in .*%", result.err)), 4, result.err)
        times = [path.stat().st_mtime_ns for path in self.folder.glob("results/runs/*/run.h5")]
        self.assertIn("4 of 4 done (4 of them before)", self.mneme("sweep", sweep).out)
        self.assertEqual(times, [path.stat().st_mtime_ns for path in self.folder.glob("results/runs/*/run.h5")])
        self.check_table_and_report(sweep)

    def check_table_and_report(self, sweep):
        out = self.mneme("table", sweep, "--columns", "length", "--metric", "accuracy", "--output", "tables/tiny").out
        self.assertRegex(out, r"(?m)^\| *large .*±")
        self.assertRegex(out, r"(?m)^\| *small .*±")
        # A table made from its own .h5 is the same table.
        again = self.mneme("table", "tables/tiny.h5", "--columns", "length", "--metric", "accuracy").out
        self.assertEqual((self.folder / "tables/tiny.md").read_text(), again)
        self.assertRegex(out, r"Fewer than 5 seeds\..*Fewer than 512 rows\.")
        against = self.mneme("table", "tables/tiny.h5", "--columns", "length", "--metric", "accuracy", "--against", "small").out
        self.assertRegex(against, r"(?m)^\| large \| 2 \| [+-]\d+\.\d ± \d+\.\d, p ")
        self.assertIn("\\begin{tabular}", self.mneme("table", sweep, "--format", "tex").out)
        self.mneme("table", sweep, "--rows", "amr", expect=USAGE)
        self.mneme("table", sweep, "--format", "xls", expect=USAGE)
        # Two more seeds that were never run are not left out silently.
        self.assertIn("missing", self.mneme("table", sweep, "sweep.seeds=1,2,3").out)
        path = self.mneme("report", sweep, "--output", "page/index.html").out.strip()
        page = (self.folder / path).read_text()
        self.assertNotRegex(page, r"(src|href)=\"(https?:)?//", "nothing is loaded from elsewhere")
        self.assertIn("<svg", page)

    def test_a_sweep_file_is_no_run(self):
        err = self.mneme("run", self.write("tiny.ini", SWEEP), expect=USAGE).err
        self.assertEqual(err.count("this is a sweep file; start it with `mneme sweep`"), 1, err)

    def test_list_and_dry_run_do_nothing(self):
        sweep = self.write("tiny.ini", SWEEP)
        listed = self.mneme("sweep", sweep, "--list").out
        self.assertEqual(len(re.findall(r"(?m)^ *\d  tiny-(small|large)-\S+ ", listed)), 4, listed)
        self.assertRegex(self.mneme("sweep", sweep, "--dry-run").out, r"4 runs, 0 done\ntraining tokens about")
        self.assertEqual(self.runs(), [])

    def test_one_run_by_index(self):
        sweep = self.write("tiny.ini", SWEEP)
        ids = re.findall(r"(?m)^ *\d  (tiny-\S+)", self.mneme("sweep", sweep, "--list").out)
        self.mneme("sweep", sweep, "--index", 2)
        self.assertEqual([path.name for path in self.runs()], [ids[2]])
        self.assertIn("0 to 3", self.mneme("sweep", sweep, "--index", 4, expect=USAGE).err)

    def test_a_failing_run_is_recorded_and_the_others_go_on(self):
        rows = "\n".join(json.dumps({"tokens": [1, 2, 3, 4], "targets": [-1, -1, -1, 1]}) for _ in range(8))
        self.write("good.jsonl", rows)
        self.write("bad.jsonl", rows + '\n{"tokens": [1, 2], "targets": [1]}')
        axes = "".join(f"[axis.data.{name}]\ntask.file.train = {name}.jsonl\n" for name in ("good", "bad"))
        sweep = self.write("data.ini", f"extends = {SMOKE}/mqar_transformer.ini\n"
                           "[sweep]\nname = data\naxes = data\nseeds = 1, 2\n"
                           f"[task]\nkind = file\n[task.file]\nvalidation = good.jsonl\ntest = good.jsonl\n{axes}")
        result = self.mneme("sweep", sweep, "--jobs", 2, expect=FAILED)
        self.assertIn("2 of 4 done", result.out)
        self.assertEqual(len(re.findall(r"(?m)^failed: data-bad\S+: .*bad\.jsonl", result.out)), 2, result.out)
        self.write("bad.jsonl", rows + "\n" + rows)
        self.assertIn("4 of 4 done (2 of them before)", self.mneme("sweep", sweep).out)

    def test_retry_failed(self):
        sweep = self.write("tiny.ini", SWEEP)
        run = re.findall(r"(?m)^ *\d  (tiny-\S+)", self.mneme("sweep", sweep, "--list").out)[1]
        pointer = self.write(f"results/runs/{run}/checkpoint/latest", "step-99\n")
        result = self.mneme("sweep", sweep, expect=FAILED)
        self.assertRegex(result.out, rf"(?m)^failed: {run}: .*step-99")
        self.assertIn("3 of 4 done", result.out)
        self.assertRegex(self.mneme("table", sweep).out, "failed")
        pointer.unlink()
        self.assertIn("failed in an earlier launch", self.mneme("sweep", sweep, expect=FAILED).err)
        self.assertIn("4 of 4 done (3 of them before)", self.mneme("sweep", sweep, "--retry-failed").out)

    def test_interrupt_and_resume(self):
        sweep = self.write("tiny.ini", SWEEP + "[train]\nsteps = 250\ncheckpoint_every = 20\n")
        process = self.start("sweep", sweep, "--jobs", 2)
        self.wait_for(lambda: len(list(self.folder.glob("results/runs/*/checkpoint/latest"))) >= 2, "two runs to begin")
        result = self.stop(process, signal.SIGINT)
        self.assertEqual(result.status, RESUMABLE, result)
        self.assertFalse(any(self.in_use(path) for path in self.runs()), "no child is left behind")
        self.assertIn("4 of 4 done", self.mneme("sweep", sweep, "--jobs", 2).out)
        self.assertTrue(any("resumed at step" in (path / "log.txt").read_text() for path in self.runs()))

    @staticmethod
    def in_use(folder):
        with open(folder / "lock") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return False
            except OSError:
                return True

    def test_a_run_held_by_another_process_that_does_not_move_is_left_to_it(self):
        sweep = self.write("tiny.ini", SWEEP)
        self.mneme("sweep", sweep, "--index", 0)
        run = self.runs()[0]
        (run / "run.h5").unlink()
        with open(run / "lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            result = self.mneme("sweep", sweep, expect=FAILED)
        self.assertIn("run by another process", result.err)
        self.assertIn("3 of 4 done", result.out)

    def test_learning_rate_is_chosen_on_the_validation_split(self):
        sweep = self.write("tiny.ini", SWEEP.replace("seeds = 1, 2", "seeds = 1\nlr = 1e-4, 1e-2\nlr_seed = 100"))
        self.assertIn("(after tuning)", self.mneme("sweep", sweep, "--list").out)
        self.assertIn("trials", self.mneme("sweep", sweep, "--index", 4, expect=FAILED).err)
        result = self.mneme("sweep", sweep, "--jobs", 2)
        choice = json.loads((self.folder / "results/runs/tiny.lr.json").read_text())
        self.assertEqual(len(choice["combinations"]), 2)
        for entry in choice["combinations"]:
            self.assertEqual(entry["chosen"], self.best_trial(entry)["lr"])
            name = f"tiny-{entry['labels']['arm']}"
            configs = [path / "config.ini" for path in self.runs()
                       if path.name.startswith(name) and "tuning" not in path.name]
            self.assertEqual(len(configs), 1)
            self.assertEqual(float(re.search(r"(?m)^lr = (.*)$", configs[0].read_text())[1]), entry["chosen"])
        self.assertIn("*", result.out)
        self.assertNotIn("(after tuning)", self.mneme("sweep", sweep, "--list").out)
        self.assertNotIn("tuning", self.mneme("table", sweep).out)

    @staticmethod
    def best_trial(entry):
        done = [trial for trial in entry["trials"] if trial["value"] is not None]  # without those that diverged
        return min(done, key=lambda trial: (-trial["value"], trial["loss"], trial["lr"]))

    def choices(self):
        return json.loads((self.folder / "results/runs/tiny.lr.json").read_text())["combinations"]

    def test_a_best_rate_at_an_edge_extends_the_grid(self):
        # Of two rates the best one is always at an edge. Two arms: indices 0 to 3 are the grid, 4 to 7 what may come, 8 and 9 the runs.
        sweep = self.write("tiny.ini", SWEEP.replace("seeds = 1, 2", "seeds = 1\nlr = 1e-3, 4e-3\nlr_extend = 2"))
        listed = self.mneme("sweep", sweep, "--list").out
        self.assertEqual(len(re.findall(r"(?m)^ *[4-7]  \(may come\) .* lr:\? beyond:[12]$", listed)), 4, listed)
        self.assertIn("6 runs (4 of them trials on the tuning seed), 0 done", self.mneme("sweep", sweep, "--dry-run").out)
        self.assertIn("up to 4 more trials", self.mneme("sweep", sweep, "--dry-run").out)
        self.assertNotIn("may come", self.mneme("sweep", sweep, "sweep.lr_extend=0", "--list").out)
        self.assertIn("trials", self.mneme("sweep", sweep, "--index", 4, expect=FAILED).err)
        for index in (0, 1, 4):  # the first arm, as a cluster would; its next rate is known then
            self.mneme("sweep", sweep, "--index", index, "--jobs", 2)  # one thread
        self.assertRegex(self.mneme("sweep", sweep, "--list").out, r"(?m)^ *4  tiny-small-tuning-\S+ +done .* lr:0\.(00025|016) beyond:1$")
        out = self.mneme("sweep", sweep, "--jobs", 2).out
        self.assertIn("learning-rate trials: 4 of 4 done (2 of them before)", out)
        self.assertIn("learning-rate trials beyond the grid: ", out)
        for entry in self.choices():
            rates = [trial["lr"] for trial in entry["trials"]]
            self.assertIn(rates[2:], ([0.00025], [0.00025, 6.25e-05], [0.016], [0.016, 0.064]))
            best = self.best_trial(entry)["lr"]
            self.assertEqual(entry["chosen"], best)
            self.assertEqual(entry["at_edge"], best in (min(rates), max(rates)))
            self.assertTrue(not entry["at_edge"] or len(rates) == 4)
        table = self.mneme("table", sweep).out
        for entry in self.choices():
            edge = r"\S" if entry["at_edge"] else ""
            self.assertRegex(table, rf"(?m)^\| {entry['labels']['arm']} .*\| {len(entry['trials'])} \| {entry['chosen']:g}{edge} \|$")
        # Another launch finds all of it, and what was not needed is no failure of a cluster's job.
        times = [path.stat().st_mtime_ns for path in self.folder.glob("results/runs/*/run.h5")]
        self.assertIn("2 of 2 done (2 of them before)", self.mneme("sweep", sweep).out)
        self.assertEqual(times, [path.stat().st_mtime_ns for path in self.folder.glob("results/runs/*/run.h5")])
        for index in (6, 7):
            needed = len(self.choices()[index - 6]["trials"]) == 4
            self.assertIn("1 of 1 done" if needed else "not needed", self.mneme("sweep", sweep, "--index", index).out)

    def test_settings_are_searched_with_the_rate(self):
        search = "[search.arm.small]\nmodel.heads = 1 | 2\n[trials]\neval.samples = 8\n"
        sweep = self.write("tiny.ini", SWEEP.replace("seeds = 1, 2", "seeds = 1\nlr = 1e-3, 4e-3\nlr_extend = 0") + search)
        self.assertEqual(self.mneme("sweep", sweep, "--list").out.count("model.heads:2 lr:"), 2)
        self.mneme("sweep", sweep, "--jobs", 2)
        small, large = self.choices()
        self.assertEqual((len(small["trials"]), len(large["trials"])), (4, 2))
        best = self.best_trial(small)
        self.assertEqual((small["searched"], small["chosen"]), (best["searched"], best["lr"]))
        config = next(path / "config.ini" for path in self.runs() if re.match(r"tiny-small-[0-9a-f]{8}$", path.name)).read_text()
        self.assertRegex(config, rf"(?s)\[model\].*\nheads = {best['searched']['model.heads']}\n")
        self.assertRegex(config, r"(?m)^samples = 16$")
        self.assertRegex(self.mneme("table", sweep).out, r"(?m)^\| small .*\| 4 \| \S+ \|$")

    def test_slurm_arrays_follow_each_other(self):
        sweep = self.write("tiny.ini", SWEEP.replace("seeds = 1, 2", "seeds = 1\nlr = 1e-3, 4e-3"))
        script = self.write("experiments/scripts/slurm_sweep.sh", (SOURCE / "experiments/scripts/slurm_sweep.sh").read_text())
        self.write("bin/sbatch", '#!/bin/sh\necho "$@" >>sbatch.log\nwc -l <sbatch.log\n').chmod(0o755)
        environment = {**self.environment(), "PATH": f"{self.folder}/bin:{os.environ['PATH']}", "MNEME": str(PROGRAM)}
        result = subprocess.run(["bash", script, sweep, "--", "--time=1"], env=environment, text=True, capture_output=True, timeout=60)
        self.assertEqual(result.returncode, 0, result)
        arrays = [re.search(r"--array=(\S+)(?:.*--dependency=(\S+))?.* --time=1", line).groups()
                  for line in (self.folder / "sbatch.log").read_text().splitlines()]
        self.assertEqual(arrays, [("0-3", None), ("4-5", "afterany:1"), ("6-7", "afterany:2"), ("8-9", "afterany:3")])

    def test_problems_of_all_combinations_are_told_before_anything_runs(self):
        sweep = self.write("tiny.ini", SWEEP.replace("model.width = 8", "model.widht = 8"))
        self.assertRegex(self.mneme("sweep", sweep, expect=USAGE).err, r"widht.*did you mean")
        self.assertEqual(self.runs(), [])


if __name__ == "__main__":
    unittest.main()
