"""The documentation as a reader meets it: pages, and the boxes in them that are to be typed.

A box counts where the line above it is one of

    <!-- run -->           type it; it must succeed        <!-- run exit 2 -->   and end with 2
    <!-- file NAME -->     save it under this name          <!-- expect -->       each line came out
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aegis.cli.app import run_command

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BESIDE = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
_BOX = re.compile(
    r"^(?:<!-- (?P<mark>[^>]*?) -->\n)?```(?P<kind>\w*)[^\n]*\n(?P<body>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Box:
    mark: str
    kind: str
    lines: tuple[str, ...]


def pages() -> list[Path]:
    """All that a reader is meant to read: decisions and generated pages included."""
    return [*(ROOT / name for name in BESIDE), *sorted(DOCS.rglob("*.md"))]


def boxes(page: Path) -> Iterator[Box]:
    for found in _BOX.finditer(page.read_text(encoding="utf-8")):
        yield Box(found["mark"] or "", found["kind"], tuple(found["body"].rstrip().split("\n")))


def joined(lines: tuple[str, ...]) -> Iterator[str]:
    """Commands, with lines that end in a backslash put together; comments left out."""
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).split("\n"):
        words = re.sub(r"(^|\s)#.*$", "", line).strip()
        if words:
            yield words


def typed(command: str, folder: Path) -> tuple[int, str]:
    """Exit code and what was said. A plain ``aegis ...`` runs in this process, which saves the
    loading of libraries; anything else goes to a shell."""
    if command.startswith("aegis ") and not re.search(r"[|<>;&*$]", command):
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = run_command(shlex.split(command)[1:])
        return code, said.getvalue()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def holds(said: str, line: str) -> bool:
    """Whether a line of the page came out, however it was wrapped; ``...`` stands for anything."""
    parts = [re.escape(squeezed(part)) for part in squeezed(line).strip().split("...")]
    return re.search(".*?".join(parts), squeezed(said)) is not None


def follow(page: Path, folder: Path) -> list[str]:
    """Type a page into ``folder``; every command that was run. Raises ``AssertionError`` where the
    page is not true."""
    ran: list[str] = []
    said = ""
    for box in boxes(page):
        kind, _, rest = box.mark.partition(" ")
        if kind == "file":
            (folder / rest).write_text("\n".join(box.lines) + "\n", encoding="utf-8")
        elif kind == "run":
            said = ""
            for command in joined(box.lines):
                code, words = typed(command, folder)
                said += words
                expected = int(rest.removeprefix("exit ") or 0)
                assert code == expected, f"{page.name}: {command} ended with {code}\n{words}"
                assert "Traceback" not in words
                ran.append(command)
        elif kind == "expect":
            for line in box.lines:
                assert holds(said, line), f"{page.name} shows: {line}\nbut it said:\n{said}"
    return ran
