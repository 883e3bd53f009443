"""Shared by the tests of reliability: how much is done, a run that ends in seconds, what must be the same and what must be gone.

MNEME_RELIABILITY=N multiplies how often each fault is tried: 1, the suite's, seconds each; .ci/run takes 4; tests/reliability/long.sh 100."""
import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/cli"))

from support import SMOKE, ProgramTest, last_weights  # noqa: E402

SCALE = max(1, int(os.environ.get("MNEME_RELIABILITY", "1")))
thorough = unittest.skipIf(SCALE < 4, "with MNEME_RELIABILITY=4, as .ci/run has it")
CONFIG = SMOKE / "mqar_mag.ini"
# About a second, with evaluations and checkpoints on the way.
RUN = ["train.steps=120", "train.checkpoint_every=10", "train.log_every=10", "eval.every=40", "run.name=tried"]
SWEEP = f"""extends = {CONFIG}
[sweep]
name = tried
axes = arm
seeds = 1, 2
lr = 1e-3, 4e-3
lr_extend = 0
[train]
steps = 40
checkpoint_every = 10
[axis.arm.narrow]
model.width = 16
[axis.arm.wide]
model.width = 32
"""
TIMING = ("seconds", "tokens_per_s", "rss_mib")


@functools.lru_cache(None)
def faults():
    """fault.c as a library; the test is skipped where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        raise unittest.SkipTest("no C compiler for tests/reliability/fault.c")
    library = pathlib.Path(tempfile.mkdtemp(prefix="mneme-fault-")) / "fault.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, SOURCE / "tests/reliability/fault.c", "-ldl"], check=True)
    return str(library)


def results(folder):
    """What a run measured, without time and memory, and its weights."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in TIMING} for row in rows], last_weights(folder)


class ReliabilityTest(ProgramTest):
    faults = {}  # variables of fault.c

    def environment(self):
        variables = {**super().environment(), **self.faults}
        if self.faults:
            variables["LD_PRELOAD"] = " ".join(filter(None, [faults(), os.environ.get("LD_PRELOAD", "")]))
        return variables

    def with_faults(self, **variables):
        self.faults = {name: str(value) for name, value in variables.items()}

    def assert_nothing_left(self, *also):
        left = [path for path in self.folder.rglob("*") if path.suffix == ".tmp" or path.name.startswith("unfinished-") or path.name in also]
        self.assertEqual(left, [], "what was not finished is gone")

    def by_name(self, root):
        return {path.name: results(path) for path in sorted((self.folder / root).iterdir()) if path.is_dir()}
