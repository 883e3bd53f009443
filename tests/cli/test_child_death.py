"""What a person is told when a run of a sweep dies: the signal, what it means, whether the same command resumes; a sweep that stops
when its first runs all fail alike; a quickstart that ends with the cause."""
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import time
import unittest

from support import FAILED, PROGRAM, RESUMABLE, SMOKE, SOURCE, ProgramTest


def setUpModule():
    limit = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, limit[1]))  # no core files
    unittest.addModuleCleanup(resource.setrlimit, resource.RLIMIT_CORE, limit)


# Runs that last until they are killed, but for the arm `short`.
LONG = f"""extends = {SMOKE}/mqar_transformer.ini
[sweep]
name = doomed
axes = arm
seeds = 1, 2, 3
[train]
steps = 1000000
[model]
width = 8
[axis.arm.long]
"""
SHORT = "[axis.arm.short]\ntrain.steps = 6\n"


def children(process):
    """Process ids of the children of `process`."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue  # it ended meanwhile
        if int(parent) == process.pid and state != "Z":
            found.append(int(stat.parent.name))
    return found


class DyingTest(ProgramTest):
    def environment(self):
        return {**super().environment(), "OMP_WAIT_POLICY": "PASSIVE"}  # one run at a time gets all cores: threads only spin


class ChildDeath(DyingTest):
    def kill_children(self, process, *signals):
        """Sends each of `signals` to another child as they come one by one, then waits for the end of `process`."""
        killed = set()
        for number in signals:
            self.wait_for(lambda: set(children(process)) - killed or process.poll() is not None, "a child")
            child, = set(children(process)) - killed
            killed.add(child)
            os.kill(child, number)
        return process.communicate(timeout=60)

    def sweep(self, axes, signals, *options, seeds="1, 2, 3"):
        path = self.write("doomed.ini", LONG.replace("1, 2, 3", seeds) + axes)
        process = self.start("sweep", path, "--jobs", 1, *options)
        self.addCleanup(process.kill)
        out, err = self.kill_children(process, *signals)
        return process.returncode, out, err

    def test_faults_are_named_and_nobody_is_told_that_they_resume(self):
        status, out, err = self.sweep("", [signal.SIGSEGV, signal.SIGILL], seeds="1, 2")
        self.assertEqual(status, FAILED, err)
        self.assertRegex(out, r"(?m)^failed: doomed-\S+: killed by SIGSEGV \(invalid memory access: .*report it with \S+/output\.txt\)$")
        self.assertRegex(out, r"(?m)^failed: doomed-\S+: killed by SIGILL \(illegal instruction: .*MNEME_ISA=generic")
        self.assertIn("0 of 2 done (0 of them before), 2 failed\n", out)
        self.assertNotIn("resumes", out + err)
        # The program may be another one by now: the next launch tries again.
        status, out, err = self.sweep("", [signal.SIGFPE, signal.SIGBUS], seeds="1, 2")
        self.assertRegex(out, r"(?m)^failed: \S+: killed by SIGFPE[^\n]*\nfailed: \S+: killed by SIGBUS")

    def test_sigkill_and_requests_to_stop_resume(self):
        status, out, err = self.sweep("", [signal.SIGKILL], seeds="1")
        self.assertEqual(status, FAILED, err)
        self.assertRegex(out, r"(?m)^failed: doomed-\S+: killed by SIGKILL \(usually out of memory.*the same command resumes it")
        status, out, err = self.sweep("", [signal.SIGHUP], seeds="1")
        self.assertEqual(status, RESUMABLE, err)
        # It comes while the run is loaded, or later: either way the run can go on.
        self.assertRegex(out, r"(?m)^interrupted: doomed-\S+: (killed by SIGHUP \(asked to stop.*the same command resumes it|stopped by SIGHUP; )")

    def test_stops_when_the_first_runs_all_fail_alike(self):
        status, out, err = self.sweep(SHORT, [signal.SIGABRT] * 3)
        self.assertEqual(status, FAILED, err)
        self.assertIn("0 of 6 done (0 of them before), 3 failed, 3 not started\n", out)
        self.assertEqual(out.count("killed by SIGABRT"), 3, out)
        self.assertRegex(err.splitlines()[-1], r"^mneme: the first 3 runs all failed alike: killed by SIGABRT \(.*\); stopped, the "
                                               r"other 3 runs were not started; .*--keep-going")

    def test_keep_going(self):
        status, out, err = self.sweep(SHORT, [signal.SIGABRT] * 3, "--keep-going")
        self.assertEqual(status, FAILED, err)
        self.assertIn("3 of 6 done (0 of them before), 3 failed\n", out)

    def test_goes_on_after_other_deaths_or_a_run_that_is_done(self):
        status, out, err = self.sweep(SHORT, [signal.SIGSEGV, signal.SIGBUS, signal.SIGSEGV])
        self.assertIn("3 of 6 done (0 of them before), 3 failed\n", out)
        status, out, err = self.sweep(SHORT, [signal.SIGSEGV] * 3)  # those of the other arm are done by an earlier launch
        self.assertIn("3 of 6 done (3 of them before), 3 failed\n", out)

    def test_waits_for_runs_side_by_side_before_it_gives_up(self):
        path = self.write("doomed.ini", LONG.replace("1, 2, 3", "1, 2, 3, 4, 5, 6, 7, 8"))
        with open(self.folder / "err.txt", "w+") as err:
            process = self.start("sweep", path, "--jobs", 4, stderr=err)
            self.addCleanup(process.kill)
            self.wait_for(lambda: len(children(process)) == 4, "four children")
            for child in children(process)[:3]:
                os.kill(child, signal.SIGFPE)
            self.wait_for(lambda: "; no more are started unless" in (self.folder / "err.txt").read_text(), "three deaths")
            time.sleep(0.2)
            rest = children(process)
            self.assertEqual(len(rest), 3, "the fourth, and those started after the first and second death")
            os.kill(rest[0], signal.SIGSEGV)  # another death: the others are tried
            self.wait_for(lambda: len(children(process)) == 4, "further children")
            self.stop(process, signal.SIGINT)


def rows(length):
    return "\n".join(json.dumps({"tokens": [1, 2, 3, 4], "targets": [-1, -1, -1, 1]}) for _ in range(length)) + "\n"


class SameMessage(DyingTest):
    def write_sweep(self, name="data.ini"):
        self.write("good.jsonl", rows(8))
        self.write("bad.jsonl", rows(8) + '{"tokens": [1, 2], "targets": [1]}')
        tasks = "".join(f"[axis.task.{name}]\ntask.file.train = {name}.jsonl\n" for name in ("bad", "good"))
        return self.write(name, f"extends = {SMOKE}/mqar_transformer.ini\n[sweep]\nname = data\naxes = task, arm\nseeds = 1, 2, 3\n"
                                f"[task]\nkind = file\n[task.file]\nvalidation = good.jsonl\ntest = good.jsonl\n{tasks}[axis.arm.tiny]\n")

    def test_stops_and_says_so(self):
        sweep = self.write_sweep()
        result = self.mneme("sweep", sweep, "--jobs", 1, expect=FAILED)
        self.assertIn("0 of 6 done (0 of them before), 3 failed, 3 not started\n", result.out)
        self.assertRegex(result.err, r"(?m)^mneme: the first 3 runs all failed alike: .*bad\.jsonl.*; stopped, the other 3 runs were not "
                                     r"started")

    def quickstart(self, *arguments):
        return subprocess.run(["bash", "scripts/quickstart.sh", *arguments], cwd=self.folder, text=True, capture_output=True, timeout=120,
                              env=self.environment())

    def copy_quickstart(self):
        """The script itself among stand-ins for what takes minutes."""
        for name in ("setup.sh", "get-books.sh"):
            self.write(f"scripts/{name}", "#!/bin/sh\n").chmod(0o755)
        shutil.copy(SOURCE / "scripts/quickstart.sh", self.folder / "scripts")

    def test_quickstart_ends_with_the_cause(self):
        self.copy_quickstart()
        (self.folder / "build/release").mkdir(parents=True)
        (self.folder / "build/release/mneme").symlink_to(PROGRAM)
        self.write_sweep("experiments/quickstart/short.ini")
        result = self.quickstart("--jobs", "1")
        self.assertEqual(result.returncode, FAILED, result)
        self.assertNotIn("4/4", result.stderr, "nothing to tabulate")
        cause = r"quickstart: not complete: data-bad\S*: .*bad\.jsonl.*scripts/quickstart\.sh --retry-failed goes on$"
        self.assertRegex(result.stderr.splitlines()[-1], cause)
        # Where some runs are done there is a table of them, and the cause comes last all the same.
        result = self.quickstart("--jobs", "1", "--keep-going")
        self.assertEqual(result.returncode, FAILED, result)
        self.assertIn("The page: ", result.stdout)
        self.assertRegex(result.stderr.splitlines()[-1], cause)
        # A wrong option is no reason for tables either.
        result = self.quickstart("--jbos", "1")
        self.assertEqual(result.returncode, 2, result)
        self.assertRegex(result.stderr.splitlines()[-1], "^mneme: .*--jobs")

    def test_quickstart_names_the_signal_that_killed_the_sweep(self):
        self.copy_quickstart()
        for number, todo in [("ILL", "MNEME_ISA=generic"), ("SEGV", "report it"), ("KILL", "the same command goes on")]:
            self.write("build/release/mneme", f"#!/usr/bin/env bash\nkill -{number} $$\n").chmod(0o755)
            result = self.quickstart()
            self.assertGreater(result.returncode, 128, result)
            self.assertRegex(result.stderr.splitlines()[-1], f"SIG{number}: .*{todo}")
        self.write("build/release/mneme", "#!/bin/sh\nexit 75\n").chmod(0o755)
        result = self.quickstart()
        self.assertEqual(result.returncode, RESUMABLE, result)
        self.assertIn("interrupted", result.stderr.splitlines()[-1])


if __name__ == "__main__":
    unittest.main()
