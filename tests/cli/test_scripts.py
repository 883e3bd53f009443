"""The scripts around the program: what they leave behind when a download fails, and that the next launch goes on."""
import os
import shutil
import subprocess
import unittest

from support import SOURCE, ProgramTest


class Books(ProgramTest):
    def script(self, path, *arguments, **environment):
        return subprocess.run(["bash", path, *arguments], cwd=self.folder, text=True, capture_output=True, timeout=60,
                              env={**os.environ, **environment})

    @unittest.skipUnless(shutil.which("dpkg-deb"), "get-books.sh says that it needs dpkg-deb")
    def test_a_failed_download_leaves_no_folder(self):
        (self.folder / "debs").mkdir()
        for what in ("no packages", "a damaged package"):
            with self.subTest(what):
                if what == "a damaged package":
                    (self.folder / "debs/r-cran-janeaustenr_1_all.deb").write_text("cut")
                result = self.script(SOURCE / "scripts/get-books.sh", "data/books", MNEME_BOOKS_DEBS="debs")
                self.assertNotEqual(result.returncode, 0, result)
                self.assertEqual([path.name for path in (self.folder / "data").glob("*")], [])

    def test_quickstart_completes_books_that_a_failed_launch_left(self):
        """The script itself among stand-ins for what takes minutes."""
        for name, does in [("setup.sh", ""), ("get-books.sh", "echo called >>books.log; exit ${BOOKS:-0}")]:
            self.write(f"scripts/{name}", f"#!/usr/bin/env bash\n{does}\n").chmod(0o755)
        self.write("build/release/mneme", "#!/usr/bin/env bash\necho $1 >>mneme.log\n").chmod(0o755)
        shutil.copy(SOURCE / "scripts/quickstart.sh", self.folder / "scripts")
        (self.folder / "data/books").mkdir(parents=True)  # as an earlier launch left it
        self.assertNotEqual(self.script("scripts/quickstart.sh", BOOKS="1").returncode, 0)
        self.assertFalse((self.folder / "mneme.log").exists(), "nothing is trained without books")
        result = self.script("scripts/quickstart.sh")
        self.assertEqual(result.returncode, 0, result)
        self.assertEqual((self.folder / "books.log").read_text(), "called\ncalled\n")
        self.assertEqual((self.folder / "mneme.log").read_text().split(), ["sweep", "table", "table", "report"])
        result = self.script("scripts/quickstart.sh", "train.steps=5")
        self.assertEqual((result.returncode, result.stderr.count("train.steps=5")), (2, 1), "the tables are of the sweep as it is")

    def test_setup_names_a_libtorch_that_is_none_before_it_does_anything(self):
        result = self.script(SOURCE / "scripts/setup.sh", MNEME_LIBTORCH=str(self.folder))
        self.assertEqual(result.returncode, 1, result)
        self.assertIn("TorchConfig.cmake: name the folder", result.stderr)


if __name__ == "__main__":
    unittest.main()
