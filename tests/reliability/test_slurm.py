"""experiments/scripts/slurm_sweep.sh under a real Slurm of one node, started here for the test; skipped with the reason where there is none."""
import os
import random
import subprocess
import time
import unittest

from harness import CONFIG, SCALE, SOURCE, ReliabilityTest, thorough
from support import PROGRAM
import slurm

SWEEP = f"""extends = {CONFIG}
[sweep]
name = tried
seeds = 1, 2
[train]
steps = {{steps}}
checkpoint_every = 1000000
log_every = 10
[eval]
every = 0
"""
# KillWait, GraceTime and Slurm's own rounds are seconds each.
PATIENCE = 120


class UnderSlurm(ReliabilityTest):
    steps = 800  # seconds

    @classmethod
    def setUpClass(cls):
        try:
            cls.slurm = slurm.Slurm()
        except slurm.CannotStart as reason:
            raise unittest.SkipTest(f"no Slurm can be started here: {reason}")
        cls.addClassCleanup(cls.slurm.stop)

    def setUp(self):
        super().setUp()
        self.addCleanup(self.slurm.ask, "scancel", "--full", "--user", str(os.getuid()))

    def environment(self):
        return {**super().environment(), **self.slurm.environment(), "MNEME": str(PROGRAM)}

    def sweep_file(self):
        return self.write("tried.ini", SWEEP.format(steps=self.steps))

    def submit(self, *arguments, folder="runs"):
        """The array job's id of a sweep in `folder`."""
        sweep = self.sweep_file()
        result = subprocess.run(["bash", SOURCE / "experiments/scripts/slurm_sweep.sh", sweep, f"run.folder={self.folder / folder}", "--",
                                 f"--output={self.folder}/slurm-%A_%a.out", "--partition=low", *arguments],
                                env=self.environment(), text=True, capture_output=True, timeout=60)
        self.assertEqual(result.returncode, 0, result)
        return result.stdout.rpartition("job ")[2].partition(",")[0]

    def wait_for_job(self, name, condition, what):
        def is_so():
            state, restarts = self.slurm.jobs().get(name, ("", 0))
            if state == "PENDING" and restarts:  # Slurm lets two minutes go by before it starts a job again
                self.slurm.ask("scontrol", "update", f"JobId={name}", "StartTime=now")
            return condition(state, restarts)
        self.wait_for(is_so, lambda: f"{what}: {self.slurm.jobs()}", PATIENCE)

    def training(self, folder="runs"):
        return any(path.stat().st_size for path in (self.folder / folder).glob("*/metrics.jsonl"))

    def words(self):
        return "".join(path.read_text() for path in self.folder.glob("slurm-*.out")) + "".join(
            path.read_text() for path in self.folder.glob("runs/*/output.txt"))

    def reference(self, *indices):
        for index in indices:
            self.mneme("sweep", self.sweep_file(), "--index", index, "run.folder=whole", timeout=300)
        return self.by_name("whole")

    @thorough
    def test_a_preempted_run_keeps_its_checkpoint_and_resumes(self):
        self.steps = 3000  # not done before Slurm's rounds come to it, on any machine
        whole = self.reference(0)
        job = self.submit("--array=0")
        self.wait_for(self.training, "training", PATIENCE)
        # A job of a partition that goes first: the node is taken away, SIGTERM to the step, SIGKILL ten seconds later.
        urgent = self.slurm.ask("sbatch", "--parsable", "--partition=high", "--output=/dev/null", "--wrap", "sleep 1").strip()
        self.wait_for_job(urgent, lambda state, _: state == "COMPLETED", "the urgent job")
        self.wait_for_job(f"{job}_0", lambda state, restarts: restarts == 1 and state == "COMPLETED", "the run's second job")
        log = "".join(path.read_text() for path in self.folder.glob("runs/*/log.txt"))
        self.assertRegex(log, "stopped by SIGTERM")
        self.assertRegex(log, r"resumed at step [1-9]")
        self.assertEqual(self.by_name("runs"), whole)
        self.assert_nothing_left()

    def test_the_warning_reaches_the_run_and_the_job_goes_back_to_the_queue(self):
        job = self.submit("--array=0")
        self.wait_for(self.training, "training", PATIENCE)
        # What --signal=B:TERM@… sends when its time comes: SIGTERM to the batch shell alone. Then at once, as at the limit, one to everything.
        self.slurm.ask("scancel", "--batch", "--signal=TERM", f"{job}_0")
        self.slurm.ask("scancel", "--full", "--signal=TERM", f"{job}_0")
        self.wait_for_job(f"{job}_0", lambda state, restarts: restarts == 1 and state == "COMPLETED", "the requeued job")
        self.assertRegex(self.words() + "".join(path.read_text() for path in self.folder.glob("runs/*/log.txt")), r"resumed at step [1-9]")

    @thorough
    def test_a_cancelled_job_stays_cancelled(self):
        job = self.submit("--array=0")
        self.wait_for(self.training, "training", PATIENCE)
        self.slurm.ask("scancel", f"{job}_0")
        self.wait_for_job(f"{job}_0", lambda state, _: state == "CANCELLED", "the end of the job")
        self.wait_for(lambda: list(self.folder.glob("runs/*/checkpoint/latest")), "the checkpoint")
        time.sleep(2)
        self.assertEqual(self.slurm.jobs()[f"{job}_0"], ("CANCELLED", 0))

    @thorough
    def test_the_limit_of_time(self):
        self.steps = 1000000
        job = self.submit("--array=0", "--time=1", "--signal=B:TERM@40")
        self.wait_for_job(f"{job}_0", lambda state, restarts: restarts >= 1, "the job to go back to the queue before its time is over")
        self.assertTrue(list(self.folder.glob("runs/*/checkpoint/latest")))

    @thorough
    def test_kills(self):
        whole = self.reference(0, 1)
        for _ in range(SCALE // 4):
            job = self.submit()
            time.sleep(random.uniform(0.5, 8))
            self.slurm.ask("scancel", "--full", "--signal=KILL", job)
            self.wait_for_end_of(job)
        job = self.submit()
        self.wait_for(lambda: self.by_name_if_there() == whole, "the sweep's end", PATIENCE)
        self.wait_for_end_of(job)  # what it stores last may still be on its way
        self.assert_nothing_left()

    def wait_for_end_of(self, job):
        self.wait_for(lambda: all(state not in ("RUNNING", "PENDING", "COMPLETING") for name, (state, _) in self.slurm.jobs().items()
                                  if name.startswith(job)), "the end of the jobs", PATIENCE)

    def by_name_if_there(self):
        try:
            return self.by_name("runs")
        except (OSError, ValueError, IndexError):
            return None


if __name__ == "__main__":
    unittest.main()
