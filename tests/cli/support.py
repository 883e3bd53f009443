"""Drives the built program as a person would: arguments in, exit status and text out, files in a folder of its own."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("MNEME_PROGRAM", SOURCE / "build/release/mneme")).resolve()
SMOKE = SOURCE / "configs/smoke"
OK, FAILED, USAGE, RESUMABLE = 0, 1, 2, 75


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __repr__(self):
        return f"exit {self.status}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class ProgramTest(unittest.TestCase):
    """Each test has an empty working folder, self.folder."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mneme-cli-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def environment(self):
        return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

    def start(self, *arguments, **options):
        usual = {"env": self.environment(), "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([PROGRAM, *map(str, arguments)], cwd=self.folder, text=True, errors="replace", **{**usual, **options})

    def mneme(self, *arguments, expect=OK, timeout=60, **options):
        process = self.start(*arguments, **options)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            self.fail(f"mneme {' '.join(map(str, arguments))} took longer than {timeout} s: {process.communicate()}")
        result = Result(process.returncode, out, err)
        self.assertEqual(result.status, expect, f"mneme {' '.join(map(str, arguments))}: {result}")
        if expect in (FAILED, USAGE):
            self.assertRegex(result.err, r"(?m)^mneme: ", f"a failure says why: {result}")
            self.assertNotRegex(result.err, r"Exception raised from|frame #|terminate called|Aborted", "no backtraces")
        return result

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def run_folder(self):
        """The only run folder below results/runs."""
        folders = [path for path in (self.folder / "results/runs").iterdir() if path.is_dir()]
        self.assertEqual(len(folders), 1, folders)
        return folders[0]

    def wait_for(self, condition, what, seconds=30):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return
            time.sleep(0.02)
        self.fail(f"waited {seconds} s for {what() if callable(what) else what}")

    def stop(self, process, number=signal.SIGKILL):
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        return Result(process.returncode, out, err)


def last_weights(run_folder):
    """Bytes of the weights in the newest checkpoint of a run."""
    files = sorted(run_folder.glob("checkpoint/step-*/model.safetensors"), key=lambda path: int(path.parent.name[5:]))
    return files[-1].read_bytes()


def h5py_or_skip():
    try:
        import h5py
        return h5py
    except ImportError:
        raise unittest.SkipTest("h5py is not installed for this Python")
