"""An installed Mneme, and a lab that builds on it: the sample lab's memory and task are built, run, swept and tabled; a plug-in that
does not fit is refused with its cause; what `mneme new` writes is built, holds every property and trains, and so does the example; a
memory that is broken is found out. MNEME_BUILD: the build folder to install from."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MNEME_BUILD", SOURCE / "build/release")).resolve()


class InstalledMneme(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(prefix="mneme-install-")
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = pathlib.Path(temporary.name)
        cls.prefix = cls.folder / "prefix"
        cls.command("cmake", "--install", BUILD, "--prefix", cls.prefix)
        cls.program = cls.prefix / "bin/mneme"
        cls.lab = cls.folder / "lab"
        shutil.copytree(SOURCE / "tests/sample_lab", cls.lab)
        cls.command("cmake", "-S", cls.lab, "-B", cls.lab / "build", f"-DCMAKE_PREFIX_PATH={cls.prefix}", "-DCMAKE_BUILD_TYPE=Release")
        cls.command("cmake", "--build", cls.lab / "build", "--parallel", "2")
        cls.plugin = cls.lab / "build/lab.so"

    @classmethod
    def command(cls, *words, cwd=None):
        variables = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        result = subprocess.run([str(word) for word in words], capture_output=True, text=True, cwd=cwd, env=variables)
        if result.returncode:
            raise AssertionError(f"{words}: exit {result.returncode}\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}")
        return result.stdout

    def mneme(self, *words, expect=0, **environment):
        variables = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", **environment}
        result = subprocess.run([str(self.program), *map(str, words)], cwd=self.work, env=variables, capture_output=True, text=True, timeout=120)
        self.assertEqual(result.returncode, expect, f"{words}: {result.stdout[-1500:]}\n{result.stderr[-1500:]}")
        return result

    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp(dir=self.folder))

    def conformance(self, *words, expect=0):
        variables = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        result = subprocess.run([str(self.prefix / "bin/mneme_conformance"), *map(str, words)], cwd=self.work, env=variables, capture_output=True, text=True)
        self.assertEqual(result.returncode, expect, f"{words}: {result.stdout[-3000:]}\n{result.stderr[-1500:]}")
        return result.stdout if expect != 2 else result.stderr

    def refused(self, plugin, pattern):
        result = self.mneme("run", self.lab / "lab.ini", "--plugin", plugin, expect=2)
        self.assertRegex(result.stderr, pattern)
        self.assertEqual(len([line for line in result.stderr.splitlines() if line.startswith("mneme: ")]), 1, result.stderr)
        self.assertFalse(list(self.work.iterdir()), "nothing is written")

    def test_a_memory_and_a_task_from_outside_run_are_swept_and_tabled(self):
        self.assertRegex(self.mneme("list", "--plugin", self.plugin).stdout, r"sticky +a delta rule that can hold")
        self.assertIn("memory.sticky.keep", self.mneme("options", "memory.sticky", "--plugin", self.plugin).stdout)
        self.mneme("sweep", self.lab / "sweep.ini", "--plugin", self.plugin, "--quiet")
        table = self.mneme("table", self.lab / "sweep.ini", "--rows", "memory.sticky.keep", "--columns", "length", MNEME_PLUGINS=str(self.plugin)).stdout
        self.assertRegex(table, r"0\.5.*\n?.*0\.9|0\.9")
        run = next((self.work / "results/runs").glob("lab-*/config.ini")).parent
        self.assertIn(f"plugins = {self.plugin}", (run / "config.ini").read_text())
        shown = self.mneme("inspect", run).stdout
        self.assertRegex(shown, r"lab\.so:[0-9a-f]{8}")
        self.assertEqual(len(list((self.work / "results/runs").glob("lab-*/run.h5"))), 4)
        # the stored config names the plug-in, so nothing else has to
        self.assertRegex(self.mneme("eval", run, "eval.lengths=48").stdout, r"(?m)^ +48 ")
        accuracy = [float(x) for x in re.findall(r"24 +64 +([0-9.]+) %", shown)]
        self.assertGreater(max(accuracy, default=0), 12.5, "above chance")

    def test_a_stored_config_whose_plug_in_is_gone_says_so(self):
        moved = self.work / "gone.so"
        shutil.copy(self.plugin, moved)
        self.mneme("run", self.lab / "lab.ini", "train.steps=2", "train.warmup=1", f"run.plugins={moved}", "--quiet")
        moved.unlink()
        run = next((self.work / "results/runs").iterdir())
        self.assertRegex(self.mneme("eval", run, expect=2).stderr, r"run\.plugins = .*gone\.so: plug-in .*: there is no such file")

    def test_without_the_plug_in_its_kinds_are_unknown(self):
        self.assertRegex(self.mneme("run", self.lab / "lab.ini", expect=2).stderr, r"memory\.kind = sticky: unknown choice")

    def test_what_is_no_plug_in_is_refused(self):
        text = self.folder / "text.so"
        text.write_text("words")
        self.refused(self.folder / "absent.so", r"absent\.so: there is no such file")
        self.refused(text, r"text\.so: is no shared library")
        self.refused(self.prefix / "lib/libmneme.so", r"is a shared library, but no plug-in")

    def test_a_plug_in_of_another_version_is_refused_before_its_code_runs(self):
        other = self.folder / "other.so"
        data = self.plugin.read_bytes()
        other.write_bytes(re.sub(rb"MNEME-PLUGIN-BUILT-FOR\{Mneme \d", b"MNEME-PLUGIN-BUILT-FOR{Mneme 9", data))
        self.refused(other, r"was built for Mneme 9.*, this is Mneme \d.*build it again")

    def test_a_plug_in_that_throws_or_takes_a_name_is_refused(self):
        self.refused(self.lab / "build/throws.so", r"failed while it was registered: the lab's licence has run out")
        self.refused(self.lab / "build/clash.so", r"two plug-ins are called 'linear': rename one")

    def test_a_rebuild_takes_seconds(self):
        (self.lab / "sticky.cpp").touch()
        start = time.monotonic()
        self.command("cmake", "--build", self.lab / "build", "--target", "lab")
        self.assertLess(time.monotonic() - start, 60, "20 s on an idle machine")

    def test_what_new_writes_builds_without_warnings_conforms_and_trains(self):
        asked = {"lin": ("memory", "--linear"), "net": ("memory", "--network"), "lop": ("memory", "--loop"), "blk": ("block",), "tsk": ("task",)}
        for name, words in asked.items():
            shown = self.mneme("new", words[0], name, *words[1:]).stdout
            self.assertIn(f"cd {name} && cmake -B build", shown)

        def whole_way(name):
            folder = self.work / name
            self.assertEqual(sorted(path.name for path in folder.iterdir()), sorted([f"{name}.cpp", f"{name}.ini", "CMakeLists.txt", "README.md"]))
            for path in folder.iterdir():
                self.assertNotRegex(path.read_text(), "my_rule|MyRule|KIND|OPTIONS", path)
            self.command("cmake", "-S", folder, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={self.prefix}", "-DCMAKE_CXX_FLAGS=-Werror")
            self.command("cmake", "--build", folder / "build")
            self.command("ctest", "--test-dir", folder / "build", "--output-on-failure")
            self.command(self.program, "run", f"{name}.ini", "--quiet", cwd=folder)
            self.assertTrue(next((folder / "results/runs").glob("*/run.h5"), None), name)
            losses = [float(x) for x in re.findall(r'"type":"train".*"loss":([0-9.]+)', next((folder / "results/runs").glob("*/metrics.jsonl")).read_text())]
            self.assertLess(losses[-1], 0.8 * losses[0], f"{name} trains")

        with ThreadPoolExecutor(2) as pool:
            for _ in pool.map(whole_way, asked):
                pass

    def test_new_refuses_what_it_cannot_name(self):
        (self.work / "there").mkdir()
        for words, pattern in ((("memory", "there"), "there is there already"), (("memory", "linear"), "a memory 'linear' already"),
                               (("block", "mag"), "a block 'mag' already"), (("task", "mqar"), "a task 'mqar' already"),
                               (("memory", "My-Rule"), "'My-Rule' is no name for a memory"), (("memory", "2nd"), "is no name"), (("memory", "a/b"), "is no name"),
                               (("memory", ""), "is no name"), (("memory", "test"), "a name that CMake or Mneme needs"), (("memory",), "needs a kind and a name"),
                               (("memroy", "x"), "did you mean 'memory'"), (("task", "x", "--loop"), "--loop is for a memory"),
                               (("memory", "x", "--loop", "--network"), "choose one")):
            result = self.mneme("new", *words, expect=2)
            self.assertRegex(result.stderr, pattern)
            self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
            self.assertEqual([path.name for path in self.work.iterdir()], ["there"], words)
        self.assertRegex(self.mneme("new", "memory", "sticky", "--plugin", self.plugin, expect=2).stderr, "a memory 'sticky' already")

    def test_the_lab_and_the_minimal_memory_conform(self):
        build = self.work / "examples"
        self.command("cmake", "-S", SOURCE / "examples", "-B", build, f"-DCMAKE_PREFIX_PATH={self.prefix}", "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror")
        self.command("cmake", "--build", build)
        with ThreadPoolExecutor(2) as pool:
            both = list(pool.map(self.conformance, ["--plugin"] * 2, [self.plugin, build / "minimal_memory.so"]))
        self.assertRegex(both[0], r"(?s)memory sticky: .*task last_word: .*with mag/sticky/further.*all properties hold")
        self.assertRegex(both[0], r"left out by its own rules: lmm/sticky/groups of 4 by attention.*memory\.group memory\.kind = sticky does not read it")
        self.assertRegex(both[0], r"left out by its own rules: lmm/sticky/three plain layers.*memory\.sticky\.depth is no option of it")
        self.assertRegex(both[1], r"(?s)with lmm/minimal/start = learned\n.*all properties hold")

    def test_broken_memories_are_found_out_in_words(self):
        broken = self.lab / "build/broken.so"
        with ThreadPoolExecutor(2) as pool:
            future, split, detach = pool.map(lambda kind: self.conformance("--plugin", broken, kind, expect=1), ["broken_future", "memory.broken_split", "broken_detach"])
        self.assertRegex(future, r"BROKEN .*later tokens and other rows leave every bit unchanged\n +a token sees its own row, up to itself.*mean.*\n +lmm/broken_future")
        self.assertRegex(split, r"BROKEN .*any split into calls gives the same logits")
        self.assertRegex(detach, r"ok .*any split into calls gives the same logits")
        self.assertRegex(detach, r"BROKEN .*gradients do not depend on the split\n.*no detach\(\)")
        self.assertRegex(detach, r"\d+ of the properties do not hold\n$")

    def test_conformance_refuses_what_it_cannot_run(self):
        self.assertRegex(self.conformance(expect=2), "which plug-in")
        self.assertRegex(self.conformance("--plugin", self.plugin, "stick", expect=2), r"no kind 'stick' \(memory.sticky, task.last_word\); did you mean 'sticky'")
        self.assertRegex(self.conformance("--plugin", self.plugin, "memory.sticky.kep=1", expect=2), "sticky.kep: there is no such option; there are keep")
        self.assertRegex(self.conformance("--plugin", self.plugin, "sticky", "memory.group=3", expect=2), "its own rules refuse sticky")
        for setting, message in (("task.last_word.wrods=3", r"task\.last_word\.wrods.*did you mean.*words"), ("task.last_word.words=1", r"1 is out of range"),
                                 ("task.lenght=24", r"task\.lenght.*did you mean"), ("eval.sampels=3", r"eval\.sampels.*did you mean"),
                                 ("memory.linear.init=random", "no memory 'linear' is tested"), ("task.mqar.keys=3", "no task 'mqar' is tested")):
            with self.subTest(setting):
                error = self.conformance("--plugin", self.plugin, setting, expect=2)
                self.assertRegex(error, message)
                self.assertEqual(len(error.strip().splitlines()), 1, error)
        self.assertRegex(self.conformance("--plugin", self.plugin, "sticky", "task.length=24", expect=2), "no task to test that could read it")
        self.assertRegex(self.conformance("--plugin", self.folder / "absent.so", expect=2), "there is no such file")


if __name__ == "__main__":
    unittest.main()
