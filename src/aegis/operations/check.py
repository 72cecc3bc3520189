"""One thing that ``aegis doctor`` looked at: what it found, and what to do where it is not well."""

from __future__ import annotations

from typing import NamedTuple


class Check(NamedTuple):
    """``way_out`` of one that is well is a remark."""

    name: str
    ok: bool
    found: str
    way_out: str = ""
