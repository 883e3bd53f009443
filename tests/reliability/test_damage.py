"""Damaged files, of every kind that a result depends on: what is read is as it was written, or the program names the file and fails. Never
another number."""
import random
import shutil
import signal
import unittest

from harness import CONFIG, RUN, SCALE, ReliabilityTest, results
from support import FAILED, OK, RESUMABLE, USAGE

try:
    import h5py
except ImportError:
    h5py = None

DAMAGES = 100 * SCALE if SCALE >= 4 else 20


def damaged(whole):
    """As disks and copies do it: a bit, a few bytes, a block that was never written, a cut, a block of another place."""
    place = random.randrange(len(whole))
    count = min(len(whole) - place, 1 << random.randrange(13))
    source = random.randrange(len(whole) - count + 1)
    kind = random.randrange(5)
    if kind == 0:
        return whole[:place] + bytes([whole[place] ^ (1 << random.randrange(8))]) + whole[place + 1:]
    if kind == 1:
        changed = bytearray(whole)
        for _ in range(8):
            changed[random.randrange(len(whole))] = random.randrange(256)
        return bytes(changed)
    return whole[:place] if kind == 2 else whole[:place] + (bytes(count) if kind == 3 else whole[source:source + count]) + whole[place + count:]


def files_of(folder, *but):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in but}


@unittest.skipUnless(h5py, "needs h5py")
class Damage(ReliabilityTest):
    def setUp(self):
        super().setUp()
        self.mneme("run", CONFIG, *RUN, "run.folder=done", "--quiet")
        self.done = next((self.folder / "done").iterdir())
        self.mneme("table", self.done, "--rows", "seed", "--output", "table")
        with h5py.File(self.folder / "rows.h5", "w") as file:
            file["tokens"] = [[1, 2, 3, 4, 5, 6, 7, 8]] * 2
        self.mneme("predict", self.done, "--input", "rows.h5", "--output", "answers.h5", "--save-memory", "memory.safetensors")
        self.half = self.folder / "half" / self.done.name
        self.go_on = ["run", CONFIG, *RUN, "run.folder=half", "--quiet"]
        process = self.start(*self.go_on)
        self.wait_for(lambda: list(self.half.glob("checkpoint/step-*/trainer.json")), "a checkpoint")
        self.assertEqual(self.stop(process, signal.SIGTERM).status, RESUMABLE)

    def printed(self, *command):
        return lambda: self.either(*command)

    def answers(self, *more):
        def of_rows():
            (self.folder / "answers.h5").unlink(missing_ok=True)
            self.either("predict", self.done, "--input", "rows.h5", "--output", "answers.h5", "--logits", *more)
            with h5py.File(self.folder / "answers.h5") as file:
                return file["logits"][...].tobytes()
        return of_rows

    def resumed(self):
        """What the half run becomes; its folder stays as it is. Where it refuses to go on, it does once the damaged file is put back."""
        whole = files_of(self.half)
        try:
            self.either(*self.go_on)
            return results(self.half)
        except Damage.Refused:
            if random.random() < 0.2:
                file, data = self.undamaged
                file.write_bytes(data)
                self.mneme(*self.go_on)
                self.assertEqual(results(self.half), results(self.done), "it goes on with the file put back")
            raise
        finally:
            shutil.rmtree(self.half)
            for path, data in whole.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)

    class Refused(Exception):
        pass

    def either(self, *command):
        """What is printed; Refused where that is a failure as it should be."""
        process = self.start(*command)
        out, err = process.communicate(timeout=60)
        if process.returncode == OK:
            return out
        self.assertIn(process.returncode, (FAILED, USAGE), err)
        self.assertNotRegex(err, r"Exception raised from|frame #|terminate called|Aborted")
        raise Damage.Refused(err)

    def test_no_damage_changes_a_result_in_silence(self):
        reads = [([self.done / "run.h5"], self.printed("inspect", self.done / "run.h5")),
                 ([self.folder / "table.h5"], self.printed("table", "table.h5", "--rows", "seed")),
                 ([self.folder / "memory.safetensors"], self.answers("--memory", "memory.safetensors")),
                 ([self.done / "config.ini", *files_of(self.done / "checkpoint", "optimizer.safetensors")], self.answers()),
                 (list(files_of(self.half, "log.txt", "lock")), self.resumed)]
        expected = [read() for _, read in reads]
        self.assertEqual(expected[-1], results(self.done))
        found = 0
        for i in range(DAMAGES):
            files, read = reads[i % len(reads)]
            file = random.choice(files)
            whole = file.read_bytes()
            changed = damaged(whole)
            file.write_bytes(changed)
            self.undamaged = file, whole
            with self.subTest(file=file.relative_to(self.folder), changed=changed if len(changed) < 20000 else len(changed)):
                try:
                    self.assertEqual(read(), expected[i % len(reads)])
                except Damage.Refused as message:
                    found += 1
                    self.assertIn(file.name, str(message))
            file.write_bytes(whole)
        self.assertGreater(found, DAMAGES / 2, "most damage is found: what is not changes nothing")
        print(f"\n{DAMAGES} damaged files: {found} refused, the others read as they were written", flush=True)


if __name__ == "__main__":
    unittest.main()
