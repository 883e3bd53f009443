"""Requests to stop, of persons, terminals and schedulers: a checkpoint, exit status 75, and the same command goes on."""
import json
import os
import pathlib
import pty
import shutil
import signal
import subprocess
import time
import unittest

from support import PROGRAM, RESUMABLE, SMOKE, ProgramTest

CONFIG = SMOKE / "mqar_transformer.ini"
STOP = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU]
# Without an end and without checkpoints but those that a signal asks for; a step takes a noticeable part of a second.
ENDLESS = {"train.steps": 1000000, "train.checkpoint_every": 1000000, "train.log_every": 1, "eval.every": 0, "train.batch_tokens": 0,
           "train.batch": 256, "runtime.threads": 1}
RUN = ["run", CONFIG, *(f"{key}={value}" for key, value in ENDLESS.items())]
SWEEP = f"extends = {CONFIG}\n[sweep]\nname = stopped\nseeds = 1, 2\n" + "".join(
    f"[{key.partition('.')[0]}]\n{key.partition('.')[2]} = {value}\n" for key, value in ENDLESS.items())


def usual_signals():
    """Not those of who started this test, which may be under nohup or in the background of a shell."""
    for number in STOP:
        signal.signal(number, signal.SIG_DFL)


def children(process):
    return [int(child) for child in pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


class Signals(ProgramTest):
    def started(self, *command, **options):
        """A run, or a sweep of it, that trains."""
        lines = lambda: sum(path.read_text().count("\n") for path in self.folder.glob("results/runs/*/metrics.jsonl"))
        process = self.start(*command, **{"preexec_fn": usual_signals, **options})
        self.addCleanup(process.kill)
        before = lines()
        self.wait_for(lambda: lines() > before, "a step")
        return process

    def latest(self):
        return sorted(path.read_text() for path in self.folder.glob("results/runs/*/checkpoint/latest"))

    def assert_stopped(self, process, *numbers):
        """Ends with a checkpoint that is newer than the one before."""
        before = self.latest()
        for number in numbers:
            process.send_signal(number)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, RESUMABLE, out + err)
        self.assertNotEqual(self.latest(), before, "a checkpoint")
        return out, err

    def test_each_request_is_honoured(self):
        for number in STOP:
            with self.subTest(number.name):
                _, err = self.assert_stopped(self.started(*RUN), number)
                self.assertRegex(err, f"(?m)^mneme: stopped by {number.name}; ")

    def test_a_scheduler_repeats_itself(self):
        for gap, numbers in ((0, [signal.SIGUSR1, signal.SIGTERM]), (0.02, [signal.SIGTERM] * 3), (0.3, [signal.SIGTERM] * 2),
                             (0.02, [signal.SIGINT] * 2), (0.1, [signal.SIGCONT, signal.SIGTERM, signal.SIGHUP])):
            with self.subTest(numbers=numbers, gap=gap):
                process = self.started(*RUN)
                before = self.latest()
                for number in numbers:
                    process.send_signal(number)
                    time.sleep(gap)
                out, err = process.communicate(timeout=60)
                self.assertEqual(process.returncode, RESUMABLE, err)
                self.assertNotEqual(self.latest(), before)

    def test_ctrl_c_again_after_a_while_ends_at_once(self):
        process = self.started(*RUN[:-2], "train.batch=4096", "runtime.threads=1")  # about a second a step
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
        process.send_signal(signal.SIGSTOP)  # a step that does not end
        time.sleep(3.2)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGCONT)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, -signal.SIGINT)

    def test_a_sweep_passes_them_on(self):
        sweep = self.write("stopped.ini", SWEEP)
        for number in STOP:
            with self.subTest(number.name):
                out, err = self.assert_stopped(self.started("sweep", sweep, "--jobs", 1), number)
                self.assertIn("2 interrupted or not started", out)

    def test_a_step_that_is_signalled_with_its_sweep(self):
        process = self.started("sweep", self.write("stopped.ini", SWEEP), "--jobs", 1)
        child, = children(process)
        os.kill(child, signal.SIGTERM)
        self.assert_stopped(process, signal.SIGTERM, signal.SIGTERM)

    def test_one_run_of_a_sweep_is_stopped(self):
        process = self.started("sweep", self.write("stopped.ini", SWEEP), "--jobs", 1)
        os.kill(children(process)[0], signal.SIGUSR1)
        self.wait_for(lambda: len(list(self.folder.glob("results/runs/*/metrics.jsonl"))) == 2, "the other run")
        out, _ = self.assert_stopped(process, signal.SIGTERM)
        self.assertRegex(out, r"(?m)^interrupted: stopped-\S+: stopped by SIGUSR1; ")

    def test_nohup(self):
        for command in (RUN, ["sweep", self.write("stopped.ini", SWEEP), "--jobs", 1]):
            with self.subTest(command[0]):
                process = self.started(*command, preexec_fn=lambda: (usual_signals(), signal.signal(signal.SIGHUP, signal.SIG_IGN)))
                process.send_signal(signal.SIGHUP)
                time.sleep(0.5)
                self.assertIsNone(process.poll())
                self.assert_stopped(process, signal.SIGTERM)
                shutil.rmtree(self.folder / "results")

    def test_a_launcher_that_blocked_them(self):
        process = self.started(*RUN, preexec_fn=lambda: (usual_signals(), signal.pthread_sigmask(signal.SIG_BLOCK, STOP)))
        self.assert_stopped(process, signal.SIGTERM)

    def test_a_launcher_that_asks_not_to_hear_of_children(self):
        sweep = self.write("short.ini", f"extends = {CONFIG}\n[sweep]\nseeds = 1, 2\n[train]\nsteps = 2\nwarmup = 1\n[eval]\nsamples = 4\n")
        self.assertIn("2 of 2 done", self.mneme("sweep", sweep, preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)).out)

    def test_closed_descriptors_are_no_files_of_ours(self):
        process = self.start(*RUN, "train.steps=3", "train.warmup=1", stdout=None, stderr=None, preexec_fn=lambda: (os.close(1), os.close(2)))
        self.assertEqual(process.wait(timeout=60), 0)
        for line in (self.run_folder() / "metrics.jsonl").read_text().splitlines():
            json.loads(line)
        self.assertRegex((self.run_folder() / "lock").read_text(), r"^\d+( on \S+)?\n$")

    def test_a_terminal_that_is_closed(self):
        """SIGHUP, and nobody left to print to."""
        for command in (RUN, ["sweep", self.write("stopped.ini", SWEEP), "--jobs", 1]):
            with self.subTest(command[0]):
                before = self.latest()
                ours, theirs = pty.openpty()
                process = self.started(*command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
                                       preexec_fn=lambda: (usual_signals(), __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0)))
                os.close(theirs)
                os.close(ours)
                self.assertEqual(process.wait(timeout=60), RESUMABLE)
                self.assertNotEqual(self.latest(), before)


if __name__ == "__main__":
    unittest.main()
