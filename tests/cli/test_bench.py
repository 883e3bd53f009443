"""mneme bench: a table on stdout, the same rows as JSON and HDF5."""
import json
import unittest

from support import FAILED, USAGE, ProgramTest

SHAPES = "mlp:refresh:2x64x16x2,mlp:exact_last:2x64x16,mlp:sweeps2:2x64x16,linear:exact:2x64x16"


class Bench(ProgramTest):
    def test_memory_compares_the_kernels(self):
        result = self.mneme("bench", "memory", "--shapes", SHAPES, "--repeats", 1, "--json", "m.json", "--output", "m")
        self.assertIn("percent_of_peak", result.out)
        self.assertIn("GF/s", result.out)
        stored = json.loads((self.folder / "m.json").read_text())
        self.assertIn("processor", stored["machine"])
        rows = stored["rows"]
        self.assertEqual(len(rows), (4 * 3 - 1) * 2)  # shapes and kernels (the token loop has no sweeps), passes
        self.assertEqual({row["kernel"] for row in rows}, {"reference", "chunked", "fused"})
        for row in rows:
            # operations per second and per token belong together, by the formulas of docs/performance.md
            P, D, r, C = 2 * row["expansion"] * row["width"] ** 2, row["width"], row["expansion"], row["refresh"]
            flops = {"refresh": 11 * P + 4 * C * D * (1 + r) + 2 * C * C, "exact_last": 13 * P + 8 * C * D * (1 + r) + 4 * C * C,
                     "sweeps2": 15 * P + C * D * (10 + 8 * r) + 4 * C * C + 2 * (4 * P + C * D * (4 + 6 * r)),
                     "exact": 12 * D * D + 8 * C * D + 2 * C * C}[row["gradient"]]
            passes = 3 if row["pass"] == "forward+backward" else 1
            expected = flops * passes * row["heads"] * row["tokens"] / (row["ms"] * 1e6)
            self.assertAlmostEqual(row["gflops"] / expected, 1, places=6)
        markdown = (self.folder / "m.md").read_text()
        self.assertEqual(len([line for line in markdown.splitlines() if line.startswith("|")]), 2 + len(rows))
        self.assertIn("processor: ", markdown)
        again = self.mneme("inspect", "m.h5").out
        self.assertIn("mneme bench memory", again)
        self.assertIn("mneme inspect", self.mneme("table", "m.h5", expect=FAILED).err)
        self.assertIn(result.out.strip(), again)
        try:
            import h5py
        except ImportError:
            return
        with h5py.File(self.folder / "m.h5") as file:
            self.assertEqual(list(file["rows/tokens"][:]), [row["tokens"] for row in rows])
            self.assertEqual([k.decode() for k in file["rows/kernel"][:]], [row["kernel"] for row in rows])

    def test_model_measures_every_kind_of_block(self):
        kinds = [line.split()[0] for line in self.mneme("list", "models").out.splitlines() if line.startswith("  ")]
        out = self.mneme("bench", "model", "--shapes", "64", "--repeats", 1, "--threads", 1, "--quiet").out
        for kind in kinds:
            self.assertRegex(out, rf"(?m)^{kind}\b")

    def test_mistakes_are_named(self):
        for arguments, message in ((["cpu"], "knows memory"), (["memory", "--shapes", "mlp:16x64"], "KIND:GRADIENT"),
                                   (["memory", "--kernels", "fusd"], "fused"), (["model", "--shapes", "long"], "lengths")):
            self.assertIn(message, self.mneme("bench", *arguments, expect=USAGE).err)


if __name__ == "__main__":
    unittest.main()
