"""Markdown tables whose cells cannot break them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def cell(text: str) -> str:
    """One line, without a bar; double back quotes become single ones."""
    return re.sub(r"\s+", " ", text.replace("``", "`").replace("|", " or ")).strip()


def code(text: str) -> str:
    return f"`{cell(text)}`" if text else ""


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    lines += [f"| {' | '.join(cell(value) for value in row)} |" for row in rows]
    return "\n".join(lines)


def prose(text: str) -> str:
    """A docstring as paragraphs."""
    parts = re.split(r"\n\s*\n", text.replace("``", "`").strip())
    return "\n\n".join(re.sub(r"\s+", " ", part).strip() for part in parts)
