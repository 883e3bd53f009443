"""kill -9 at random moments: what was killed goes on as if it had never stopped, outputs are old or new, and nothing is left behind."""
import random
import re
import signal
import time
import unittest

from harness import CONFIG, RUN, SCALE, SOURCE, SWEEP, ReliabilityTest, thorough


class Kills(ReliabilityTest):
    def killed_until_done(self, kills, seconds, *command):
        """Gives the command again and again, killed after up to `seconds`, `kills` times; then to its end."""
        for _ in range(kills):
            process = self.start(*command)
            try:
                process.wait(timeout=random.uniform(0, seconds))
            except Exception:
                process.kill()
            process.communicate()
        return self.mneme(*command, timeout=300)

    def run_in(self, folder):
        return ["run", CONFIG, *RUN, f"run.folder={folder}"]

    def seconds_of(self, *command):
        begin = time.monotonic()
        self.mneme(*command)
        return time.monotonic() - begin

    def test_run(self):
        seconds = self.seconds_of(*self.run_in("whole"))
        whole = self.by_name("whole")
        done = 0
        while done < 3 * SCALE:
            kills = min(6, 3 * SCALE - done)
            self.killed_until_done(kills, seconds, *self.run_in(f"killed{done}"))
            self.assertEqual(self.by_name(f"killed{done}"), whole)
            done += kills
        self.assert_nothing_left()

    @thorough
    def test_sweep(self):
        sweep = self.write("tried.ini", SWEEP)
        seconds = self.seconds_of("sweep", sweep, "--jobs", 2, "run.folder=whole")
        whole = self.by_name("whole")
        self.assertEqual(len(whole), 8)
        done = 0
        while done < 1 * SCALE:
            kills = min(4, 1 * SCALE - done)
            command = ["sweep", sweep, "--jobs", 2, f"run.folder=killed{done}"]
            self.killed_until_done(kills, seconds, *command)
            # Its runs may have been left to end by themselves; the next launch waits for them.
            self.assertEqual(self.by_name(f"killed{done}"), whole)
            done += kills
        self.assert_nothing_left()

    def outputs(self, names):
        """But for the time that a page says it was made."""
        return [re.sub(rb"\d\d:\d\d:\d\dZ", b"", (self.folder / "out" / name).read_bytes()) for name in names]

    def test_table_and_report(self):
        self.mneme(*self.run_in("runs"))
        for command, files in ((["table", "runs", "--rows", "seed", "--output", "out/table"], ["table.md", "table.h5"]),
                               (["report", "runs", "--rows", "seed", "--output", "out/page.html"], ["page.html"])):
            seconds = self.seconds_of(*command)
            whole = self.outputs(files)
            for _ in range(SCALE):
                process = self.start(*command)
                time.sleep(random.uniform(0, seconds))
                self.stop(process, signal.SIGKILL)
                self.assertEqual(self.outputs(files), whole)
            self.mneme(*command)
            self.assertEqual(self.outputs(files), whole)
        self.assert_nothing_left()

    def test_stream(self):
        for name in ("train.txt", "book.txt"):
            self.write(name, (SOURCE / "docs/config.md").read_text())
        self.mneme("run", SOURCE / "configs/needle_mag.ini", "model.width=16", "model.window=8", "task.length=100", "eval.lengths=100",
                   "eval.samples=2", "train.steps=3", "train.warmup=1", "train.batch=2", "train.batch_tokens=0",
                   "task.needle.train_text=train.txt", "task.needle.test_text=book.txt")
        before = {path: path.read_bytes() for path in self.run_folder().rglob("*") if path.is_file()}
        command = ["stream", self.run_folder(), "--tokens", 9000, "--distances", 64, "--output", "out/stream.h5"]
        seconds = self.seconds_of(*command)
        for _ in range(SCALE):
            process = self.start(*command)
            time.sleep(random.uniform(0, seconds))
            self.stop(process, signal.SIGKILL)
            self.mneme("inspect", "out/stream.h5")
        self.mneme(*command)
        self.assertEqual({path: path.read_bytes() for path in self.run_folder().rglob("*") if path.is_file()}, before)
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
