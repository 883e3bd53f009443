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

    @unittest.skipUnless(shutil.which("dpkg-deb"), "get-books.sh says that it needs dpkg-deb")
    def test_kinds_whose_packages_are_missing_are_named_and_left_out(self):
        package = self.folder / "package"
        (package / "DEBIAN").mkdir(parents=True)
        (package / "DEBIAN/control").write_text("Package: fortunes-de\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n")
        (package / "usr/share/games/fortunes/de").mkdir(parents=True)
        (package / "usr/share/games/fortunes/de/zitate").write_text("Ein Wort über vieles.\n%\n" * 5000, encoding="utf-8")
        (package / "usr/share/games/fortunes/de/zitate.dat").write_bytes(bytes(999))
        (self.folder / "debs").mkdir()
        subprocess.run(["dpkg-deb", "--build", "--root-owner-group", package, self.folder / "debs/fortunes-de_1_all.deb"], check=True,
                       capture_output=True, timeout=60)
        result = self.script(SOURCE / "scripts/get-books.sh", "--kinds", "data/kinds", MNEME_BOOKS_DEBS="debs")
        self.assertEqual(result.returncode, 0, result)
        self.assertIn("no file fortunes-ru_*.deb in debs", result.stderr)
        self.assertIn("russian_sayings.txt is left out: it needs Debian's fortunes-ru", result.stderr)
        kinds = self.folder / "data/kinds"
        self.assertTrue((kinds / "german_sayings.txt").read_text(encoding="utf-8").startswith("Ein Wort über vieles.\n\nEin Wort"))
        self.assertFalse((kinds / "russian_sayings.txt").exists())
        sources = (kinds / "SOURCES.md").read_text(encoding="utf-8")
        self.assertIn("| german_sayings.txt |", sources)
        self.assertIn("| russian_sayings.txt | left out | needs Debian's fortunes-ru |", sources)
        again = self.script(SOURCE / "scripts/get-books.sh", "--kinds", "data/kinds", MNEME_BOOKS_DEBS="none")
        self.assertEqual(again.returncode, 0, again)
        self.assertIn("data/kinds is complete", again.stderr)
        self.assertIn("russian_sayings.txt", again.stderr)
        (kinds / "german_sayings.txt").write_text("changed", encoding="utf-8")
        again = self.script(SOURCE / "scripts/get-books.sh", "--kinds", "data/kinds", MNEME_BOOKS_DEBS="none")
        self.assertEqual(again.returncode, 1, again)

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
