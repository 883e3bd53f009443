"""mneme predict: a trained model on anyone's own rows, in HDF5."""
import unittest

from support import FAILED, SMOKE, ProgramTest, h5py_or_skip

CONFIG = SMOKE / "mqar_mag.ini"


class Predict(ProgramTest):
    def setUp(self):
        super().setUp()
        self.h5py = h5py_or_skip()
        self.mneme("run", CONFIG)
        self.run = self.run_folder()

    def rows(self, name, count=5, length=70, dataset="tokens", top=64):
        import numpy
        tokens = numpy.random.default_rng(1).integers(0, top, (count, length))
        with self.h5py.File(self.folder / name, "w") as file:
            file[dataset] = tokens
        return tokens

    def read(self, name, dataset):
        with self.h5py.File(self.folder / name) as file:
            return file[dataset][...]

    def test_arg_max_is_that_of_the_logits(self):
        self.rows("x.h5")
        self.mneme("predict", self.run, "--input", "x.h5", "--output", "y.h5", "--logits")
        logits, best = self.read("y.h5", "logits"), self.read("y.h5", "argmax")
        self.assertEqual(best.shape, (5, 70))
        self.assertEqual(logits.shape, (5, 70, 64))
        self.assertTrue((logits.argmax(-1) == best).all())

    def test_last_positions_agree_with_whole_rows(self):
        self.rows("x.h5")
        self.mneme("predict", self.run, "--input", "x.h5", "--output", "all.h5")
        self.mneme("predict", self.run, "--input", "x.h5", "--output", "last.h5", "--last", 3)
        self.assertTrue((self.read("all.h5", "argmax")[:, -3:] == self.read("last.h5", "argmax")).all())

    def test_what_is_no_input(self):
        self.rows("other.h5", dataset="text")
        self.rows("big.h5", top=200)
        (self.folder / "text.h5").write_text("not HDF5")
        for name, why in [("nowhere.h5", "nowhere.h5"), ("other.h5", "tokens"), ("big.h5", "vocabulary (0 to 63)"),
                          ("text.h5", "text.h5")]:
            with self.subTest(name):
                before = sorted(self.folder.rglob("*"))
                result = self.mneme("predict", self.run, "--input", name, "--output", "y.h5", expect=FAILED)
                self.assertIn(why, result.err)
                self.assertEqual(sorted(self.folder.rglob("*")), before, "nothing half-written, under no name")


if __name__ == "__main__":
    unittest.main()
