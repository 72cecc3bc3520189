"""How a file writes its table: encoding, line ends, separator. Found by looking, never guessed.

One pass over the bytes answers what can be known without parsing: that it is text at all, which
encoding holds it (UTF-8 where every byte agrees, else Windows-1252, else Latin-1), how lines end.
The separator is the one under which the header and the first rows have the same number of cells.
Nothing is held in memory but one block, and limits come before anything is allocated.
"""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np

from aegis.errors import DataError

MOST_BYTES = 50 * 2**20
MOST_ROWS = 1_000_000
MOST_COLUMNS = 512
MOST_FIELD = 4096
MOST_LINE = MOST_COLUMNS * MOST_FIELD
BLOCK = 1 << 20
SAMPLE_ROWS = 100
SEPARATORS = {";": "semicolon", "\t": "tab", "|": "bar", ",": "comma"}

_MAGIC = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF": "a PDF",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x1f\x8b": "a gzip archive",
    b"PAR1": "a Parquet file without that ending",
}
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NOT_CP1252 = bytes((0x81, 0x8D, 0x8F, 0x90, 0x9D))
_TEXT_CONTROLS = b"\t\n\r\x0b\x0c\x1a\x1b"
_CONTROLS = bytes(code for code in range(32) if code not in _TEXT_CONTROLS)


@dataclass(frozen=True)
class Dialect:
    """``newline`` is LF, CRLF, CR or mixed; ``preamble`` counts lines above the header. Where rows
    come from no text file, ``told`` says from where."""

    encoding: str
    bom: bool
    newline: str
    separator: str = ","
    preamble: int = 0
    arff: bool = False
    told: str = ""

    def __str__(self) -> str:
        if self.told:
            return self.told
        named = "ARFF" if self.arff else f"separated by {SEPARATORS[self.separator]}"
        mark = " with a byte order mark" if self.bom else ""
        return f"{named}, {self.encoding}{mark}, lines end in {self.newline}"


def sniff(path: Path) -> Dialect:
    """The dialect of a file. Raises ``DataError`` for one that is too large, empty, binary, or
    has one column only."""
    found = _bytes(path)
    with opened(path, found) as file:
        first = file.readline(MOST_LINE)
        while first and (not first.strip() or first.lstrip().startswith("%")):
            first = file.readline(MOST_LINE)
    if first.lstrip().lower().startswith("@relation"):
        return Dialect(found.encoding, found.bom, found.newline, arff=True)
    if first.strip().strip('"').lower().startswith("sep=") and len(first.strip().strip('"')) == 5:
        separator = first.strip().strip('"')[4]
        if separator not in SEPARATORS:
            raise DataError(
                f"{path.name} says that its separator is {separator!r}",
                "a table is separated by comma, semicolon, tab or bar",
            )
        return Dialect(found.encoding, found.bom, found.newline, separator, preamble=1)
    return Dialect(found.encoding, found.bom, found.newline, _separator(path, found))


def opened(path: Path, dialect: Dialect) -> TextIO:
    """The file as text, line ends untouched."""
    encoding = "utf-8-sig" if dialect.encoding == "utf-8" else dialect.encoding
    return path.open(encoding=encoding, newline="")


def _bytes(path: Path) -> Dialect:
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise DataError(f"{path} is no file", "a table is one CSV or ARFF file")
        if size > MOST_BYTES:
            raise DataError(
                f"{path.name} has {size / 2**20:.1f} MiB",
                f"a table may have {MOST_BYTES // 2**20} MiB",
                "Split it, or leave out columns that nobody needs",
            )
        with path.open("rb") as file:
            return _look(path.name, iter(lambda: file.read(BLOCK), b""))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error


def _look(name: str, blocks: Iterator[bytes]) -> Dialect:
    utf8: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")()
    utf16 = codecs.getincrementaldecoder("utf-16")()
    ends: Counter[str] = Counter()
    head, last, windows, size, open_line = b"", b"", True, 0, 0
    for block in blocks:
        if not head:
            head = block[:16]
            _refuse_magic(name, head)
        size += len(block)
        wide = head.startswith(_UTF16)
        if wide:
            _decoded(name, utf16, block)
        elif block.translate(None, _CONTROLS) != block:
            at = next(i for i, byte in enumerate(block) if byte in _CONTROLS)
            raise DataError(
                f"{name} holds the byte {block[at]:#04x} at {size - len(block) + at}",
                "a table is text",
                "Save it as CSV from the program that made it",
            )
        whole = last + (block.translate(None, b"\0") if wide else block)
        pairs = whole.count(b"\r\n")
        ends["CRLF"] += pairs
        ends["LF"] += whole.count(b"\n") - pairs - (last == b"\n")
        ends["CR"] += whole.count(b"\r") - pairs - (last == b"\r")
        last = whole[-1:]
        open_line = _refuse_long(name, block, size - len(block), open_line)
        windows = windows and block.translate(None, _NOT_CP1252) == block
        if utf8 is not None:
            try:
                utf8.decode(block)
            except UnicodeDecodeError:
                utf8 = None
    if not size:
        raise DataError(f"{name} is empty", "a table has a header and rows")
    try:
        if utf8 is not None:
            utf8.decode(b"", final=True)
    except UnicodeDecodeError:
        utf8 = None
    used = [end for end, count in ends.items() if count > 0]
    newline = used[0] if len(used) == 1 else "mixed" if used else "LF"
    if head.startswith(_UTF16):
        _decoded(name, utf16, b"", final=True)
        return Dialect("utf-16", True, newline)
    if utf8 is not None:
        return Dialect("utf-8", head.startswith(codecs.BOM_UTF8), newline)
    return Dialect("cp1252" if windows else "latin-1", False, newline)


def _decoded(
    name: str, utf16: codecs.IncrementalDecoder, block: bytes, final: bool = False
) -> None:
    try:
        utf16.decode(block, final)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name} is not utf-16 throughout", "it begins as such a file", "Save it as UTF-8"
        ) from error


def _refuse_long(name: str, block: bytes, start: int, open_line: int) -> int:
    """Where the last line of this block begins; ``open_line`` is where the one before it did.
    Lines are measured before any is read as text, so that none fills the memory."""
    codes = np.frombuffer(block, dtype=np.uint8)
    stops = np.flatnonzero((codes == 10) | (codes == 13)) + start
    edges = np.concatenate([[open_line], stops, [start + len(block)]])
    longest = int(np.diff(edges).argmax())
    if edges[longest + 1] - edges[longest] > MOST_LINE:
        raise DataError(
            f"{name} has a line longer than {MOST_LINE} bytes, from byte {edges[longest]}",
            f"a row has {MOST_COLUMNS} cells of {MOST_FIELD} characters at most",
            "Check that lines end in LF, CRLF or CR",
        )
    return int(stops[-1]) if len(stops) else open_line


def _refuse_magic(name: str, head: bytes) -> None:
    if head.lstrip().startswith(b"{"):
        raise DataError(
            f"{name} holds JSON",
            "a table is a CSV, ARFF or Parquet file",
            "Describe FHIR resources in a .toml file (docs/own-data.md)",
        )
    if head.startswith(b"SQLite format 3"):
        raise DataError(
            f"{name} is an SQLite database",
            "a table is one query of it",
            "Write the query to a .toml file (docs/own-data.md)",
        )
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            raise DataError(
                f"{name} is {what}",
                "a table is a text file",
                "Save it as CSV from the program that made it",
            )


def _separator(path: Path, dialect: Dialect) -> str:
    """The candidate under which most rows are as wide as the header; more cells decide a tie."""
    with opened(path, dialect) as file:
        sample = list(islice(file, SAMPLE_ROWS))
    best, best_score = "", (0.0, 0)
    for separator in SEPARATORS:
        widths = _widths(sample, separator)
        if not widths or widths[0] < 2:
            continue
        wide = widths[0]
        score = (round(sum(width == wide for width in widths) / len(widths), 1), wide)
        if score > best_score:
            best, best_score = separator, score
    if not best:
        raise DataError(
            f"{path.name} has one column only",
            "the header of a table has two or more names, separated by comma, semicolon, tab or "
            "bar",
            "Save it as CSV from the program that made it",
        )
    return best


def _widths(sample: list[str], separator: str) -> list[int]:
    widths: list[int] = []
    try:
        for cells in csv.reader(sample, delimiter=separator):
            if any(cell.strip() for cell in cells):
                widths.append(len(cells))
    except csv.Error:
        pass
    return widths
