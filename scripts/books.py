#!/usr/bin/env python3
"""Plain texts from unpacked Debian packages; called by get-books.sh.

    books.py books|kinds UNPACKED FOLDER PACKAGE=VERSION…     write the texts and FOLDER/SOURCES.md
    books.py check books|kinds FOLDER                         exit 0 when every text is there, unchanged; kinds that were left out
                                                              when the folder was made are named, not missed

Jane Austen's novels are R character vectors (a .rdb file: big-endian u32 size, zlib stream, again and again; the .rdx
file names them). The others are SWORD modules: zlib blocks, by an index of little-endian u32 (offset, packed size,
unpacked size), of OSIS markup.
"""
import hashlib
import html
import os
import platform
import re
import struct
import sys
import sysconfig
import textwrap
import zlib
from pathlib import Path

NOVELS = {
    "emma": "emma", "mansfieldpark": "mansfield_park", "northangerabbey": "northanger_abbey",
    "persuasion": "persuasion", "prideprejudice": "pride_and_prejudice", "sensesensibility": "sense_and_sensibility",
}
SWORD = {
    "king_james_bible": ("sword-text-kjv", "texts/ztext/engKJV2006eb", "bz"),
    "world_english_bible": ("sword-text-web", "texts/ztext/engWEB2015eb", "bz"),
    "treasury_of_david": ("sword-comm-tdavid", "comments/zcom/tdavid", "cz"),
}
AUSTEN = "r-cran-janeaustenr"
FORTUNES = {"english_sayings": ("fortunes", "fortunes-min"), "german_sayings": ("fortunes-de",), "russian_sayings": ("fortunes-ru",)}
SPANISH = ("sword-text-sparv", "texts/ztext/spaRV1909eb", "bz")
PYTHON = Path(sysconfig.get_path("stdlib"))
LICENCES = Path("/usr/share/common-licenses")
LEFT_OUT = "left out"
LEAST = 100_000  # bytes of a text; less is a damaged package
COUNT = {"books": len(NOVELS) + len(SWORD), "kinds": len(FORTUNES) + 3}


class RReader:
    """As much of R's serialization (XDR form) as lists and vectors of strings and integers need."""

    def __init__(self, data):
        assert data[:2] == b"X\n", "not R's XDR format"
        self.data, self.at, self.symbols = data, 2, []
        version, _, _ = self.ints(3)
        if version >= 3:
            self.take(self.ints(1)[0])  # native encoding

    def take(self, count):
        self.at += count
        return self.data[self.at - count:self.at]

    def ints(self, count):
        return struct.unpack(f">{count}i", self.take(4 * count))

    def item(self):
        flags = self.ints(1)[0]
        kind, has_attributes, has_tag = flags & 255, flags >> 9 & 1, flags >> 10 & 1
        if kind == 254:  # NULL
            return None
        if kind == 255:  # a symbol seen before
            return self.symbols[(flags >> 8) - 1]
        if kind == 1:
            self.symbols.append(self.item())
            return self.symbols[-1]
        if kind == 2:  # pairlist → dict
            if has_attributes:
                self.item()
            tag = self.item() if has_tag else ""
            return {tag: self.item(), **(self.item() or {})}
        if kind == 9:
            size = self.ints(1)[0]
            text = self.take(max(size, 0))
            return text.decode("latin-1" if flags >> 12 & 4 else "utf-8")
        readers = {10: self.ints, 13: self.ints, 16: self.items, 19: self.items}
        if kind not in readers:
            raise ValueError(f"R type {kind} is not expected here")
        value = readers[kind](self.ints(1)[0])
        names = (self.item() if has_attributes else {}).get("names")
        return dict(zip(names, value)) if names else list(value)

    def items(self, count):
        return [self.item() for _ in range(count)]


def novels(unpacked):
    base = next(unpacked.rglob("janeaustenr/data/Rdata.rdx"))
    index = RReader(zlib.decompress(base.read_bytes(), 47)).item()["variables"]
    data = base.with_suffix(".rdb").read_bytes()
    for name, file in NOVELS.items():
        offset, size = index[name]
        yield f"austen/{file}.txt", "\n".join(RReader(zlib.decompress(data[offset + 4:offset + size])).item())


def plain(osis):
    """OSIS markup → paragraphs, lines of at most 72 characters."""
    text = re.sub(r'<note\b.*?</note>|<div type="x-milestone"[^>]*>|<l eID[^>]*>|\\nd ', "", osis, flags=re.S)
    text = re.sub(r'</?title\b[^>]*>|<(div|chapter|lg)\b[^>]*>|<lb type="x-p"/>|¶', "\n\n", text)
    text = re.sub(r"<(l|lb|item)\b[^>]*>", "\n", text)
    text = html.unescape(re.sub(r"<[^>]*>", "", text))
    text = re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", " ", text)
    lines = []
    for paragraph in re.split(r"\s*\n\s*\n\s*", text):
        for line in paragraph.split("\n"):
            line = re.sub(r" +([,.;:?!])", r"\1", " ".join(line.split()))
            lines += textwrap.wrap(line, 72, break_long_words=False, break_on_hyphens=False)
        if lines and lines[-1]:
            lines.append("")
    return "\n".join(lines)


def module(unpacked, path, letters):
    folder = unpacked / "usr/share/sword/modules" / path
    blocks = []
    for part in ("ot", "nt"):
        index = (folder / f"{part}.{letters}s").read_bytes()
        data = (folder / f"{part}.{letters}z").read_bytes()
        for offset, packed, size in struct.iter_unpack("<3I", index):
            block = zlib.decompress(data[offset:offset + packed]) if packed else b""
            if len(block) != size:
                raise ValueError(f"{folder}: a block has {len(block)} bytes, its index says {size}")
            blocks.append(plain(block.decode("utf-8")))
    return "\n\n".join(block.strip() for block in blocks if block.strip())


def sayings(unpacked):
    """Fortune files: entries between lines of one '%'; names that end in .dat are their indices."""
    folder = unpacked / "usr/share/games/fortunes"
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and path.suffix != ".dat")
    entries = re.split(r"^%.*\n", "\n%\n".join(readable(path) for path in files), flags=re.M)
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", "\n\n".join(entry.strip() for entry in entries if entry.strip()))


def readable(path):
    data = path.read_bytes()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def python_source():
    skip = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "lib2to3"}
    files = sorted(path for path in PYTHON.rglob("*.py") if not skip & set(path.relative_to(PYTHON).parts))
    return "\n\n".join(readable(path) for path in files)


def licences():
    return "\n\n".join(readable(path) for path in sorted(LICENCES.iterdir()) if path.is_file() and not path.is_symlink())


def books_of(unpacked, versions):
    for file, text in novels(unpacked):
        yield file, text, AUSTEN
    for name, (package, path, letters) in SWORD.items():
        yield f"{name}.txt", module(unpacked, path, letters), package


def kinds_of(unpacked, versions):
    """What there is, and None with what it needs for what there is not; the packages of each kind lie in folders of their own names."""
    for name, packages in FORTUNES.items():
        there = all(package in versions for package in packages)
        text = "\n\n".join(sayings(unpacked / package) for package in packages) if there else None
        yield f"{name}.txt", text, packages[0] if there else "Debian's " + " and ".join(packages)
    there = SPANISH[0] in versions
    yield "spanish_bible.txt", module(unpacked / SPANISH[0], *SPANISH[1:]) if there else None, SPANISH[0] if there else "Debian's " + SPANISH[0]
    versions["this machine's Python"] = platform.python_version()
    there = len(source := python_source()) > LEAST
    yield ("python.txt", source, "this machine's Python") if there else (
        "python.txt", None, f"Python's standard library in {PYTHON} (apt-get install libpython3-stdlib)")
    versions["this machine's base-files"] = "as installed"
    there = LICENCES.is_dir() and len(text := licences()) > LEAST
    yield ("licences.txt", text, "this machine's base-files") if there else (
        "licences.txt", None, f"the licences in {LICENCES} (Debian's base-files)")


def make(what, unpacked, folder, versions):
    title = {"books": "Books, all in the public domain", "kinds": "Texts of several kinds, each under the licence in its package's usr/share/doc"}
    origin = {"books": "Debian packages", "kinds": "Debian packages and from what this machine has"}
    sources = [f"# {title[what]}, made by scripts/get-books.sh from {origin[what]}", "",
               "| file | bytes | package | version | sha256 |", "|---|---:|---|---|---|"]
    for file, text, package in {"books": books_of, "kinds": kinds_of}[what](unpacked, versions):
        if text is None:
            sources.append(f"| {file} | {LEFT_OUT} | needs {package} | – | – |")
            print(f"  {file} is left out: it needs {package}")
            continue
        data = (text.strip() + "\n").encode("utf-8")
        if len(data) < LEAST:
            raise ValueError(f"{file}: only {len(data)} bytes came out of {package} {versions[package]}")
        write(folder / file, data)
        digest = hashlib.sha256(data).hexdigest()
        sources.append(f"| {file} | {len(data)} | {package} | {versions[package]} | {digest} |")
        print(f"  {file}: {len(data) / 1e6:.1f} MB")
    write(folder / "SOURCES.md", ("\n".join(sources) + "\n").encode())  # last: it says that all are there


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def check(what, folder):
    try:
        rows = [line.strip("| ").split(" | ") for line in (folder / "SOURCES.md").read_text(encoding="utf-8").splitlines()[4:]]
        left_out = [row[0] for row in rows if row[1] == LEFT_OUT]
        good = [row[1] == LEFT_OUT or hashlib.sha256((folder / row[0]).read_bytes()).hexdigest() == row[4] for row in rows]
    except (OSError, IndexError):
        return False
    if len(good) != COUNT[what] or not all(good):
        return False
    if left_out:
        print(f"  left out when it was made: {', '.join(left_out)}; to try them again, delete {folder / 'SOURCES.md'}", file=sys.stderr)
    return True


def main(arguments):
    if len(arguments) == 3 and arguments[0] == "check" and arguments[1] in COUNT:
        return 0 if check(arguments[1], Path(arguments[2])) else 1
    if len(arguments) >= 3 and arguments[0] in COUNT:
        make(arguments[0], Path(arguments[1]), Path(arguments[2]), dict(pair.split("=", 1) for pair in arguments[3:]))
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
