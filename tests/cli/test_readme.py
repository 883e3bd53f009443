"""The commands of README.md, in their order, on a small text and with a few steps: what the page says works."""
import re
import shlex
import unittest

from support import SOURCE, ProgramTest, h5py_or_skip

SMALL = ["task.needle.train_text=book.txt", "task.needle.test_text=other.txt", "eval.lengths=256", "eval.samples=2"]
FEW_STEPS = ["train.steps=3", "train.warmup=1"]
EXTRA = {"run": SMALL + FEW_STEPS, "sweep": ["--dry-run", *SMALL, *FEW_STEPS],
         "stream": ["--tokens", "5000"]}


def commands():
    for line in (SOURCE / "README.md").read_text().splitlines():
        match = re.match(r"    build/release/mneme (.*?)(\s+#.*)?$", line)
        if match:
            yield shlex.split(match[1])


class Readme(ProgramTest):
    def test_every_command_works(self):
        h5py = h5py_or_skip()
        for name in ("configs", "experiments"):
            (self.folder / name).symlink_to(SOURCE / name)
        for name in ("book.txt", "other.txt"):
            (self.folder / name).write_text((SOURCE / "docs/config.md").read_text() * 40)
        with h5py.File(self.folder / "rows.h5", "w") as file:
            file["tokens"] = [[65, 66, 67, 68]]
        seen = set()
        for arguments in commands():
            runs = sorted((self.folder / "results/runs").glob("*/run.h5"))
            arguments = [a.replace("results/runs/RUN", str(runs[0].parent)) if "RUN" in a else a for a in arguments]
            with self.subTest(" ".join(arguments)):
                self.mneme(*arguments, *EXTRA.get(arguments[0], []), timeout=120)
            seen.add(arguments[0])
        self.assertGreaterEqual(seen, {"run", "sweep", "table", "report", "eval", "predict", "stream", "show", "options", "doctor"})

    def test_every_file_it_links_to_is_there(self):
        for page in [SOURCE / "README.md", *(SOURCE / "docs").glob("*.md"), SOURCE / "memory/README.md", SOURCE / "results/README.md"]:
            for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
                with self.subTest(f"{page.name}: {target}"):
                    self.assertTrue((page.parent / target).exists())


if __name__ == "__main__":
    unittest.main()
