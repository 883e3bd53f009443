"""The program and its kernels on older processors, by emulation (Debian's qemu-user): a run of MAG with the MLP memory and the tests of
the kernels where there is no AVX (Nehalem) and where there is AVX2 (Haswell). Every answer must be that of this machine within float32.

MNEME_BUILD: the build folder. Called by .ci/run; half a minute to two a processor.
"""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MNEME_BUILD", SOURCE / "build/release")).resolve()
QEMU = shutil.which("qemu-x86_64")
PROCESSORS = {"Nehalem": "generic", "Haswell": "avx2"}  # and the engine that must run there
TOLERANCE = 1e-4  # of a loss near ln 64, float32 kernels against float32 kernels of another instruction set


def run(*command, folder=SOURCE, timeout=600, **environment):
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", **environment}
    variables.pop("MNEME_ISA", None)
    variables.update(environment)
    return subprocess.run([str(part) for part in command], cwd=folder, env=variables, capture_output=True, text=True, timeout=timeout)


@unittest.skipUnless(os.uname().machine == "x86_64" and QEMU, "needs x86-64 and qemu-user")
class OlderProcessors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="mneme-processors-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.native = cls.smoke(cls, "native", [])

    def smoke(self, name, emulator):
        """Trains the smoke run; returns its folder and what `inspect` says."""
        command = [*emulator, BUILD / "mneme"]
        runs = self.folder / name
        result = run(*command, "run", SOURCE / "configs/smoke/mqar_mag_mlp.ini", f"run.folder={runs}", "--quiet")
        if result.returncode != 0:
            raise AssertionError(f"{name}: exit {result.returncode}\n{result.stderr[-2000:]}")
        folder = next(path for path in runs.iterdir() if path.is_dir())
        return folder, run(BUILD / "mneme", "inspect", folder).stdout

    def losses(self, emulator):
        """Of the natively trained weights, read by the program under an emulator."""
        result = run(*emulator, BUILD / "mneme", "eval", self.native[0], "--output", self.folder / "eval", "--quiet")
        self.assertEqual(result.returncode, 0, result.stderr[-2000:])
        values = [float(value) for value in re.findall(r"%\s+([0-9.]+)\s+[0-9,]+\s", result.stdout)]
        self.assertTrue(values, result.stdout)
        return values

    def test_runs_and_answers(self):
        expected = self.losses([])
        for processor, engine in PROCESSORS.items():
            with self.subTest(processor):
                emulator = [QEMU, "-cpu", processor]
                _, shown = self.smoke(processor, emulator)
                self.assertRegex(shown, rf"kernels for {engine}\b")
                for here, there in zip(expected, self.losses(emulator), strict=True):
                    self.assertLess(abs(here - there), TOLERANCE * max(1, abs(here)), processor)

    def test_kernels(self):
        for processor, engine in PROCESSORS.items():
            with self.subTest(processor):
                result = run(QEMU, "-cpu", processor, BUILD / "tests/test_kernels", "*every instruction set*")
                self.assertEqual(result.returncode, 0, result.stdout[-3000:] + result.stderr[-2000:])
                self.assertIn("All tests passed", result.stdout)

    def test_an_engine_that_does_not_run_here_is_named(self):
        result = run(QEMU, "-cpu", "Nehalem", BUILD / "mneme", "run", SOURCE / "configs/smoke/mqar_mag.ini", f"run.folder={self.folder}/x", MNEME_ISA="avx2")
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertRegex(result.stderr, r"MNEME_ISA = avx2: this processor does not run that engine; .*generic")


if __name__ == "__main__":
    unittest.main()
