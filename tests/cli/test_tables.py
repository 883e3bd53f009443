"""mneme table on the results that are committed: their files stay readable, and what stands beside them is what the program prints."""
import csv
import io
import re
import subprocess
import sys
import unittest

from support import SMOKE, SOURCE, USAGE, ProgramTest, h5py_or_skip

TABLES = SOURCE / "results/tables"
MODES = ["--rows", "gradient,memory.refresh", "--no-costs"]
PRINTED = {"quickstart_needle": ["--columns", "length"], "quickstart_rewrite": ["--columns", "setting"], "long_needle": ["--columns", "length"],
           "long_rewrite": ["--columns", "setting"], "long_mqar": ["--columns", "length,pairs"], "long_induction": ["--columns", "length"],
           "gradient_modes_rewrite": ["--columns", "setting", *MODES], "gradient_modes_mqar": ["--columns", "length,pairs", *MODES]}


class Tables(ProgramTest):
    def table(self, name, *arguments, **options):
        return self.mneme("table", TABLES / f"{name}.h5", *PRINTED[name], *arguments, **options)

    def test_committed_tables_are_what_is_printed(self):
        for name in PRINTED:
            with self.subTest(name):
                text = (TABLES / f"{name}.md").read_text()
                self.assertEqual(self.table(name, "--title", re.match(r"\*\*(.*)\*\*", text)[1]).out, text)

    def test_readme_shows_the_same_numbers(self):
        readme = (SOURCE / "README.md").read_text()
        for name in ("quickstart_needle", "quickstart_rewrite"):
            for line in (TABLES / f"{name}.md").read_text().splitlines():
                if line.startswith("|"):
                    self.assertIn(line + "\n", readme)

    def test_differences_in_every_format(self):
        h5py = h5py_or_skip()
        against = ["--against", "full_nope"]
        text = self.table("long_needle", *against, "--output", "t").out
        self.assertRegex(text, r"(?m)^Difference to full_nope, seed by seed: .* corrected for 20 comparisons")
        self.assertRegex(text, r"(?m)^\| window \| 5 \| \*\*-99\.8 ± 0\.\d, p 0\.0079\*\* \|")  # the least p of five seeds
        self.assertRegex(text, r"(?m)^\| mag_mlp \| 5 .*\| -0\.6 ± \d\.\d, p 1 \|$")
        self.assertRegex(text, r"² Fewer than 512 rows\.|¹ Fewer than 512 rows\.")
        self.assertIn("instruction set not recorded, 1 thread", text)
        self.assertIn("\\textbf{", self.table("long_needle", "--where", "arm=full_nope|window", *against, "--format", "tex").out)
        rows = list(csv.DictReader(io.StringIO(self.table("long_needle", *against, "--format", "csv").out)))
        differences = [row for row in rows if row["kind"] == "minus full_nope"]
        self.assertEqual(len(differences), 20)
        with h5py.File(self.folder / "t.h5") as file:
            table = file["table"]
            self.assertEqual(table.attrs["against"], "full_nope")
            names = table["rows"].asstr()[:], table["columns"].asstr()[:]
            for row, stored in zip(differences, table["differences"]):
                self.assertEqual((row["arm"], row["length"]), (names[0][stored["row"]], names[1][stored["column"]]))
                for name in ("n", "mean", "half_width", "p", "p_rows", "p_holm"):
                    self.assertAlmostEqual(float(row[name]), stored[name], places=5)
        self.assertEqual(self.mneme("table", "t.h5", *PRINTED["long_needle"], *against).out + self.written("t"), text)

    @staticmethod
    def written(name):
        return f"\nwritten: {name}.md and the runs it is made from, {name}.h5\n"

    def test_steps_of_equal_time(self):
        h5py_or_skip()
        script = [sys.executable, SOURCE / "experiments/scripts/equal_time.py", TABLES / "quickstart_rewrite.h5", "--arm"]
        out = subprocess.run([*script, "full_nope", "--like", "mag_linear"], text=True, capture_output=True, check=True, timeout=60).stdout
        steps = re.search(r"(?m)^\[case\.task\.rewrite\.arm\.full_nope_time\]\ntrain\.steps = (\d+)  # 400 x 1\.60: ", out)
        self.assertAlmostEqual(int(steps[1]), 400 * 31.6 / 20.0, delta=15)  # means of the table; the script has medians
        wrong = subprocess.run([*script, "full_nop", "--like", "mag_linear"], text=True, capture_output=True, timeout=60)
        self.assertEqual(wrong.returncode, USAGE)
        self.assertIn("no finished run of full_nop on rewrite", wrong.stderr)

    def test_rows_drawn_for_every_seed(self):
        run = ["run", SMOKE / "mqar_transformer.ini", "eval.per_seed=true"]
        for seed in (1, 2):
            self.mneme(*run, f"run.seed={seed}")
        text = self.mneme("table", "--rows", "model.kind").out
        self.assertRegex(text, r"(?m)^\| rows per seed \|  \| 16")
        self.assertNotIn("The same rows", text)
        self.write("rows.jsonl", '{"tokens": [1, 2, 3, 4], "targets": [-1, -1, -1, 1]}\n' * 40)
        files = [f"task.file.{split}=rows.jsonl" for split in ("train", "test")]
        self.assertIn("eval.per_seed", self.mneme(*run, "task.kind=file", *files, expect=USAGE).err)

    def test_wrong_options(self):
        for arguments, why in ((["--target", "1e-3x"], "--target = 1e-3x: not a number"), (["--target", "0,9"], "not a number"), (["--target", "inf"], "not a number"),
                               (["--split", "tset"], "--split tset: .* test or of validation"), (["--split", ""], "--split :"), (["--where", ""], "--where is empty"),
                               (["--columns", ""], "--columns is empty"), (["--where", "length=9"], "nothing that was measured is left.*length is 256, ")):
            with self.subTest(arguments):
                self.assertRegex(self.table("long_needle", *arguments, expect=USAGE).err, why)

    def test_a_wrong_row_is_answered_with_the_nearest(self):
        for wrong in ("full_nop", "arm=full_nop"):
            self.assertIn("full_nope", self.table("long_needle", "--against", wrong, expect=USAGE).err)
        self.assertIn("several such rows", self.table("gradient_modes_mqar", "--against", "gradient=refresh", expect=USAGE).err)
        self.assertIn("Difference to refresh,1", self.table("gradient_modes_mqar", "--against", "refresh,1").out)


if __name__ == "__main__":
    unittest.main()
