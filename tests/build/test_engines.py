"""Nothing compiled for a higher instruction set is shared or runs by itself: a linker keeps any one of several equal inline functions,
and an AVX-512 one in a program that an older processor runs kills it.

MNEME_ENGINES: object files of the engines, separated by ';'. MNEME_PROGRAMS: what is linked of them.
"""
import os
import re
import subprocess
import unittest

WIDE = re.compile(r"%[yz]mm|\{%k[0-7]\}|\t(?:v[a-z0-9]+)\s")  # AVX and later: registers, masks, instructions with the VEX prefix


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, errors="replace").stdout


def split(name):
    return [part for part in os.environ[name].split(";") if part]


def symbols(file):
    """(type letter, demangled name) of everything the file defines."""
    for line in output("nm", "-C", "--defined-only", file).splitlines():
        _, kind, name = line.split(" ", 2)
        yield kind, name


def functions_with_wide_code(file):
    name, found = None, set()
    with subprocess.Popen(["objdump", "-d", "--no-show-raw-insn", file], stdout=subprocess.PIPE, text=True, errors="replace") as process:
        for line in process.stdout:
            if line.endswith(">:\n"):
                name = line.split("<", 1)[1][:-3]
            elif name not in found and WIDE.search(line):
                found.add(name)
    return found


class Engines(unittest.TestCase):
    def test_an_engine_gives_the_linker_its_table_and_nothing_else(self):
        for file in split("MNEME_ENGINES"):
            with self.subTest(file):
                shared = [(kind, name) for kind, name in symbols(file) if kind.isupper() or kind in "uvw"]
                self.assertEqual(len(shared), 1, shared)
                kind, name = shared[0]
                self.assertRegex(name, r"^mneme::kernels::engine_[a-z0-9]+$")
                self.assertIn(kind, "DR", "the table is constant data: no code makes it")

    def test_no_code_of_an_engine_runs_by_itself(self):
        for file in split("MNEME_ENGINES"):
            sections = output("objdump", "-h", file)
            self.assertNotRegex(sections, r"\.init_array|\.ctors|\.preinit_array", file)
            self.assertFalse([name for kind, name in symbols(file) if kind == "i"], "indirect functions are chosen while loading")

    def test_in_the_programs_all_wide_code_is_local_to_an_engine(self):
        mangled = set()
        for file in split("MNEME_ENGINES"):
            mangled |= {line.split(" ", 2)[2] for line in output("nm", "--defined-only", file).splitlines()}
        for program in split("MNEME_PROGRAMS"):
            with self.subTest(program):
                wide = functions_with_wide_code(program)
                self.assertFalse(wide - mangled, "these functions use AVX and stand outside the engines")
                if os.uname().machine == "x86_64":
                    self.assertTrue(wide, "the program holds engines")


if __name__ == "__main__":
    unittest.main()
