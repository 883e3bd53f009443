"""What others do to files and folders while the program works, or left there: several launches on one folder, files that are held, locks that
are missing, folders that are read-only or deleted, a program that is built anew, what dead processes left."""
import contextlib
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys
import time
import unittest

from support import FAILED, OK, PROGRAM, SMOKE, SOURCE, ProgramTest, last_weights

CONFIG = SMOKE / "mqar_transformer.ini"
SHORT = ["train.steps=6", "train.warmup=1", "eval.every=0"]
SWEEP = f"extends = {CONFIG}\n[sweep]\nname = shared\nseeds = 1, 2, 3, 4\n[train]\nsteps = 10\n[eval]\nevery = 0\n"
NOBODY = 65534


@contextlib.contextmanager
def held(path):
    """As h5py holds a file that it writes, and a run its folder."""
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class SharingTest(ProgramTest):
    def setUp(self):
        super().setUp()
        self.folder.chmod(0o755)

    def trained(self):
        self.mneme("run", CONFIG, *SHORT)
        return self.run_folder()

    def sweep(self):
        return self.write("shared.ini", SWEEP)

    def runs(self):
        return sorted(path for path in (self.folder / "results/runs").iterdir() if path.is_dir())


class Launches(SharingTest):
    def test_several_on_one_folder_all_end_well(self):
        for launches in (2, 4):
            with self.subTest(launches=launches):
                shutil.rmtree(self.folder / "results", ignore_errors=True)
                started = [self.start("sweep", self.sweep(), "--jobs", 2) for _ in range(launches)]
                for process in started:
                    out, err = process.communicate(timeout=120)
                    self.assertEqual(process.returncode, OK, out + err)
                    self.assertIn("4 of 4 done", out)

    def test_they_share_the_trials_of_learning_rates_too(self):
        sweep = self.write("shared.ini", SWEEP.replace("seeds = 1, 2, 3, 4", "seeds = 1\nlr = 1e-3, 4e-3\nlr_extend = 0"))
        started = [self.start("sweep", sweep, "--jobs", 1) for _ in range(3)]
        for process in started:
            out, err = process.communicate(timeout=120)
            self.assertEqual(process.returncode, OK, out + err)
        self.assertEqual(len(self.runs()), 3)

    def test_a_run_of_a_process_that_ended_is_taken_over(self):
        self.mneme("sweep", self.sweep(), "--index", 0)
        run, = self.runs()
        (run / "run.h5").unlink()
        with open(self.folder / "err.txt", "w") as err:
            with held(run / "lock"):
                process = self.start("sweep", self.sweep(), "--jobs", 1, stderr=err)
                self.wait_for(lambda: "waiting for it" in (self.folder / "err.txt").read_text(), "the sweep to wait")
            out, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, OK, out)
        self.assertIn("4 of 4 done (0 of them before)", out)

    def test_the_program_is_built_anew_during_a_sweep(self):
        """Its file and its library are other ones, or gone: the runs are those of the program that began."""
        library = PROGRAM.parent / "libmneme.so"
        for replacement in ("#!/bin/sh\nexit 9\n", None):
            with self.subTest(replacement=replacement):
                shutil.rmtree(self.folder / "results", ignore_errors=True)
                shutil.rmtree(self.folder / "bin", ignore_errors=True)
                (self.folder / "bin").mkdir()
                for file in (PROGRAM, library):
                    shutil.copy(file, self.folder / "bin")
                environment = {**self.environment(), "LD_LIBRARY_PATH": str(self.folder / "bin")}
                process = subprocess.Popen([self.folder / "bin/mneme", "sweep", self.sweep(), "--jobs", "1"], cwd=self.folder, env=environment,
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                self.wait_for(lambda: list(self.folder.glob("results/runs/*/lock")), "the first run")
                for file in (self.folder / "bin").iterdir():
                    file.unlink()
                    if replacement:
                        file.write_text(replacement)
                        file.chmod(0o755)
                out, err = process.communicate(timeout=120)
                self.assertEqual(process.returncode, OK, out + err)
                self.assertIn("4 of 4 done", out)
                self.assertIn("note: the program was built anew", err)


class Files(SharingTest):
    def test_what_is_no_run_hides_no_run(self):
        run = self.trained()
        (run.parent / "circle").symlink_to("circle")
        (run.parent / "other").mkdir()
        (run.parent / "other/run.h5").symlink_to("run.h5")
        self.assertIn("| 1 |", self.mneme("table", run.parent, "--rows", "seed").out)

    def test_one_run_in_two_files_that_differ_is_refused(self):
        self.mneme("run", CONFIG, *SHORT, "train.checkpoint_every=3", "train.keep=3")
        run = self.run_folder()
        shutil.copy(run / "run.h5", self.folder / "same.h5")
        self.assertIn("| 1 |", self.mneme("table", run, "same.h5", "--rows", "seed").out)
        self.mneme("eval", run / "checkpoint/step-3", "--output", "other.h5", "--quiet")
        error = self.mneme("table", run, "other.h5", "--rows", "seed", expect=FAILED).err
        self.assertRegex(error, "run.h5 and other.h5 both hold the run .* not the same results")

    def test_a_step_folder_in_the_place_of_another_is_found_out(self):
        run = self.trained()
        latest = next((run / "checkpoint").glob("step-*"))
        latest.rename(run / "checkpoint/step-7")
        (run / "checkpoint/latest").write_text("step-7\n")
        self.assertRegex(self.mneme("eval", run, expect=FAILED).err, r"step-7 holds step \d+")

    def test_locked_unreadable_and_damaged_are_three_things(self):
        run = self.trained()
        file = run / "run.h5"
        whole = file.read_bytes()
        commands = (["table", run, "--rows", "seed"], ["inspect", run], ["run", CONFIG, *SHORT])
        with held(file):
            for command in commands:
                err = self.mneme(*command, expect=FAILED).err
                self.assertRegex(err, r"run\.h5 is open for writing in another program.*nothing is wrong with the file")
                self.assertNotRegex(err, "damaged|delete")
        file.chmod(0)
        for command in commands[:2]:
            err = self.as_nobody(*command).stderr
            self.assertRegex(err, r"^mneme: cannot read .*run\.h5: Permission denied; change its permissions")
            self.assertNotRegex(err, "damaged|delete")
        file.chmod(0o644)
        file.write_bytes(whole[: len(whole) // 2])
        for command in commands:
            self.assertRegex(self.mneme(*command, expect=FAILED).err, r"run\.h5.*damaged")
        file.write_bytes(whole)
        self.mneme(*commands[2])

    def test_a_sweep_does_not_repeat_a_run_whose_results_are_held(self):
        self.mneme("sweep", self.sweep())
        file = self.runs()[0] / "run.h5"
        with held(file):
            result = self.mneme("sweep", self.sweep(), expect=FAILED)
            self.assertIn("3 of 4 done (3 of them before), 1 failed", result.out)
            self.assertIn("is open for writing in another program", result.err)
            self.assertIn("unreadable", self.mneme("sweep", self.sweep(), "--list").out)
        self.assertIn("4 of 4 done (4 of them before)", self.mneme("sweep", self.sweep()).out)

    def test_a_file_system_without_locks(self):
        sys.path.insert(0, str(SOURCE / "tests/reliability"))
        from harness import faults
        without = {"LD_PRELOAD": faults(), "FAULT_NO_LOCKS": "1"}
        run = self.trained()
        self.mneme("table", run, "--rows", "seed", env={**self.environment(), **without})
        err = self.mneme("run", CONFIG, *SHORT, "run.seed=2", env={**self.environment(), **without}, expect=FAILED).err
        self.assertRegex(err, "no file locks.*MNEME_LOCKS=off")
        off = {**self.environment(), **without, "MNEME_LOCKS": "off"}
        self.mneme("run", CONFIG, *SHORT, "run.seed=2", env=off)
        self.assertIn("4 of 4 done", self.mneme("sweep", self.sweep(), env=off).out)

    def as_nobody(self, *command, folder=None):
        """Root may do everything."""
        as_who = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        return subprocess.run([PROGRAM, *map(str, command)], cwd=folder or self.folder, env=self.environment(), text=True, capture_output=True,
                              timeout=60, **as_who)

    def test_finished_runs_of_a_read_only_folder(self):
        self.mneme("sweep", self.sweep())
        run = self.runs()[0]
        output = self.folder / "output"
        output.mkdir()
        output.chmod(0o777)
        runs = self.folder / "results/runs"
        for path in [runs, *runs.rglob("*")]:
            path.chmod(path.stat().st_mode & ~0o222)
        for command in (["run", run / "config.ini", f"run.folder={runs}"], ["sweep", self.sweep(), f"run.folder={runs}"], ["inspect", run],
                        ["sweep", self.sweep(), f"run.folder={runs}", "--list"], ["table", runs, "--rows", "seed", "--output", "t"],
                        ["report", runs, "--rows", "seed", "--output", "r.html"], ["eval", run], ["generate", run, "--prompt", "3", "--tokens", "3"]):
            result = self.as_nobody(*command, folder=output)
            self.assertEqual(result.returncode, OK, f"{command}: {result}")
        for path in [runs, *runs.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)


class Leftovers(SharingTest):
    def test_of_dead_processes_are_removed(self):
        run = self.trained()
        reference = last_weights(run)
        (run / "run.h5").unlink()
        gone = subprocess.Popen(["true"])
        gone.wait()
        left = [run / f"run.h5.{gone.pid}.tmp", run / f"metrics.jsonl.{os.uname().nodename}-{gone.pid}.tmp", run / f"run.h5.elsewhere-{os.getpid()}.tmp",
                run / f"checkpoint/latest.{gone.pid}.tmp"]
        for path in left:
            path.write_text("half")
        (run / "checkpoint/unfinished-step-3").mkdir()
        mine = [run / "notes.tmp", run / f"run.h5.{os.getpid()}.tmp"]
        for path in mine:
            path.write_text("of a living process, or no file of ours")
        self.mneme("run", CONFIG, *SHORT)
        self.assertEqual([path for path in left if path.exists()], [])
        self.assertTrue(all(path.exists() for path in mine))
        self.assertEqual(last_weights(run), reference)
        for name in ("t.md", "t.h5"):
            self.write(f"{name}.{gone.pid}.tmp", "half")
        self.mneme("table", run, "--rows", "seed", "--output", "t")
        self.assertEqual(list(self.folder.glob("t.*.tmp")), [])

    def test_a_run_whose_folder_is_deleted_says_so(self):
        endless = [*SHORT, "train.steps=1000000", "train.checkpoint_every=5", "train.log_every=5", "eval.every=50"]
        process = self.start("run", CONFIG, *endless)
        self.addCleanup(process.kill)
        self.wait_for(lambda: list(self.folder.glob("results/runs/*/checkpoint/latest")), "a checkpoint")
        run = self.run_folder()
        run.rename(self.folder / "moved")
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, FAILED, err)
        self.assertRegex(err, r"(?m)^mneme: .* (was deleted|No such file)")
        self.assertFalse(run.exists(), "and does not make it again")


if __name__ == "__main__":
    unittest.main()
