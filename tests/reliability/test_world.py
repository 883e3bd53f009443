"""A disk that fills at each write, a clock that jumps, limits of the system: either the work is done as ever, or one message says why not, and
the same command goes on once there is room."""
import random
import resource
import struct
import unittest

from harness import CONFIG, RUN, SCALE, SWEEP, ReliabilityTest, thorough
from support import FAILED, OK, RESUMABLE, USAGE


class FullDisk(ReliabilityTest):
    def writes_of(self, *command, **how):
        """Runs it with the disk full at `full_at`; its result and how many writes it came to."""
        counter = self.folder / "counter"
        counter.write_bytes(bytes(8))
        self.with_faults(FAULT_COUNTER=counter, **{f"FAULT_{name.upper()}": value for name, value in how.items()})
        process = self.start(*command)
        out, err = process.communicate(timeout=120)
        self.with_faults()
        return process.returncode, err + out, struct.unpack("q", counter.read_bytes())[0]

    def places(self, total, tries):
        return range(1, total + 1) if tries >= total else sorted(random.sample(range(1, total + 1), tries))

    def try_everywhere(self, command, whole, tries):
        """`command(folder)` and its results in the folder `whole`."""
        status, said, total = self.writes_of(*command("counted"))
        self.assertEqual(status, OK, said)
        self.assertGreater(total, 50)
        for at in self.places(total, tries):
            for how in ({}, {"full_for": 1}):
                folder = f"full{at}{len(how)}"
                with self.subTest(at=at, of=total, **how):
                    status, said, _ = self.writes_of(*command(folder), full_at=at, **how)
                    if not how:
                        self.assertEqual(status, FAILED, said)
                        self.assertRegex(said, r"(?m)^(mneme: |failed: |interrupted: ).*(No space left|[Dd]isk)", said)
                    self.assertIn(status, (OK, FAILED), said)
                    self.assertNotRegex(said, "terminate called|Exception raised from|frame #")
                    again = [*command(folder), *(["--retry-failed"] if command(folder)[0] == "sweep" else [])]
                    self.mneme(*again)
                    self.assertEqual(self.by_name(folder), whole)
                    self.assert_nothing_left()

    def test_run(self):
        command = lambda folder: ["run", CONFIG, *RUN, "train.steps=20", "eval.every=10", f"run.folder={folder}"]
        self.mneme(*command("whole"))
        self.try_everywhere(command, self.by_name("whole"), 2 * SCALE)

    @thorough
    def test_sweep(self):
        sweep = self.write("tried.ini", SWEEP.replace("steps = 40", "steps = 10").replace("lr = 1e-3, 4e-3\n", ""))
        command = lambda folder: ["sweep", sweep, "--jobs", 1, f"run.folder={folder}"]
        self.mneme(*command("whole"))
        self.try_everywhere(command, self.by_name("whole"), SCALE)


class Clock(ReliabilityTest):
    def test_a_clock_that_jumps_by_years_changes_no_result(self):
        self.mneme("run", CONFIG, *RUN, "run.folder=whole")
        for seed in range(SCALE if SCALE < 10 else 10):
            self.with_faults(FAULT_CLOCK=10**8 + seed)
            self.mneme("run", CONFIG, *RUN, f"run.folder=jumping{seed}")
            self.with_faults()
            self.assertEqual(self.by_name(f"jumping{seed}"), self.by_name("whole"))


class Limits(ReliabilityTest):
    def limited(self, *command, **limits):
        def set_limits():
            for name, value in limits.items():
                resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), value if isinstance(value, tuple) else (value, value))
        process = self.start(*command, preexec_fn=set_limits)
        out, err = process.communicate(timeout=120)
        return process.returncode, err

    def test_each_limit_is_said_or_does_not_matter(self):
        command = ["run", CONFIG, *RUN, "train.steps=10", "eval.every=0"]
        tight = [{"STACK": 1 << 18}, {"FSIZE": 20000}, {"NOFILE": 20}, {"CORE": 0}, {"MEMLOCK": 0}, {"AS": 3 << 30}, {"DATA": 1 << 28}, {"NPROC": 4}]
        for limits in tight:
            with self.subTest(**limits):
                status, err = self.limited(*command, f"run.name={'-'.join(limits).lower()}", **limits)
                self.assertIn(status, (OK, FAILED, USAGE), err)
                if status != OK:
                    self.assertRegex(err, r"(?m)^mneme: ", err)
        self.assert_nothing_left()

    def test_the_limit_of_cpu_time_is_a_request_to_stop(self):
        long = ["run", CONFIG, *RUN, "train.steps=1000000", "train.checkpoint_every=1000000", "eval.every=0"]
        for limit in ((2, 3), (3, 3)):  # with a warning, and without one: ulimit -t
            status, err = self.limited(*long, f"run.name=cpu{limit[0]}", CPU=limit)
            self.assertEqual(status, RESUMABLE, err)
            self.assertIn("stopped by SIGXCPU", err)
        self.assertEqual(len(list(self.folder.glob("results/runs/*/checkpoint/latest"))), 2)


if __name__ == "__main__":
    unittest.main()
