"""Tables as files that people open in a spreadsheet: CSV whose cells are never formulas.

A text cell that a spreadsheet would take for a formula gets an apostrophe before it (OWASP, CSV
injection). Numbers are written as numbers: a loss of -0.5 stays one.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from fastapi.responses import Response

_WIDE = "\uff1d\uff0b\uff0d\uff20"  # the same four, as East Asian spreadsheets take them
RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", *_WIDE)
_KINDS = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


def neutral(cell: Any) -> Any:
    """``cell`` as no spreadsheet runs it; None is an empty cell."""
    if cell is None:
        return ""
    if isinstance(cell, bool | int | float):
        return cell
    text = str(cell)
    return f"'{text}" if text.startswith(RISKY) else text


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([neutral(name) for name in columns])
    writer.writerows([neutral(cell) for cell in row] for row in rows)
    return text.getvalue()


def as_file(
    kind: str, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> Response:
    """The table as a download, ``kind`` csv or json (one object for each row)."""
    if kind == "csv":
        body = csv_text(columns, rows)
    else:
        kept = [dict(zip(columns, row, strict=True)) for row in rows]
        body = json.dumps(kept, indent=1, allow_nan=False)
    return download(body.encode(), f"{name}.{kind}", _KINDS[kind])


def download(body: bytes, name: str, kind: str) -> Response:
    """``body`` as a file that a browser keeps and never shows by itself."""
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    headers = {
        "Content-Disposition": f'attachment; filename="{safe}"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return Response(body, media_type=kind, headers=headers)
