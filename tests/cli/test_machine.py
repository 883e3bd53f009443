"""More threads, processes or memory than the machine has: said before the work, or what to make smaller and by how much."""
import re
import resource
import unittest

from support import FAILED, OK, SMOKE, USAGE, ProgramTest

CONFIG = SMOKE / "mqar_transformer.ini"
SHORT = ["train.steps=6", "train.warmup=1", "eval.every=0"]


class Machine(ProgramTest):
    def limited(self, *command, environment=None, **limits):
        def set_limits():
            for name, value in limits.items():
                resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
        process = self.start(*command, preexec_fn=set_limits, env={**self.environment(), **(environment or {})})
        out, err = process.communicate(timeout=60)
        return process.returncode, err

    def test_threads_that_cannot_be_started_are_refused(self):
        for arguments, environment, limits in ((["runtime.threads=4096"], {}, {}), ([], {"OMP_NUM_THREADS": "5000"}, {}),
                                               (["runtime.threads=64"], {}, {"STACK": 1 << 18}), (["runtime.threads=500"], {}, {"AS": 2 << 30})):
            with self.subTest(arguments=arguments, **environment, **limits):
                status, err = self.limited("run", CONFIG, *SHORT, *arguments, environment=environment, **limits)
                self.assertEqual(status, USAGE, err)
                self.assertRegex(err, r"^mneme: (runtime\.threads|OMP_NUM_THREADS) = \d+: .*threads.*use at most")

    def test_more_threads_than_cores_are_noted(self):
        self.assertRegex(self.mneme("run", CONFIG, *SHORT, "runtime.threads=40").err, "note: 40 threads on .*they will wait for each other")
        sweep = self.write("many.ini", f"extends = {CONFIG}\n[sweep]\nname = many\nseeds = 1, 2\n[runtime]\nthreads = 40\n")
        self.assertRegex(self.mneme("sweep", sweep, "--jobs", 2, "--dry-run").out, "note: 2 runs at a time of 40 threads each are 80 threads on")

    def test_out_of_memory(self):
        """What it says helps."""
        big = ["train.batch=16384", "train.batch_tokens=0", "task.mqar.train=64x8", "model.width=64", "run.name=big"]
        limit = 3 << 30
        status, err = self.limited("run", CONFIG, *SHORT, *big, AS=limit)
        self.assertEqual(status, FAILED, err)
        self.assertRegex(err, r"(?m)^mneme: out of memory: .* more were asked for, .* are left, .* in use by this process; train\.accumulate = \d+")
        for _ in range(4):
            advice = re.search(r"train\.accumulate = \d+", err).group().replace(" ", "")
            status, err = self.limited("run", CONFIG, *SHORT, *big, advice, "train.steps=1", "train.warmup=0", AS=limit)
            if status == OK:
                return
            self.assertIn("out of memory", err)
        self.fail(err)


if __name__ == "__main__":
    unittest.main()
