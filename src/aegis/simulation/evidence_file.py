"""Evidence read from a file (``aegis.store.exported`` writes it)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from aegis.errors import CheckFailed
from aegis.hospital.chain import Row
from aegis.store.audit_log import Entry, canonical
from aegis.store.evidence import Evidence, LedgerFile, Seal
from aegis.store.exported import FORMAT, exported

__all__ = ["FORMAT", "exported", "imported"]


def imported(data: bytes) -> Evidence:
    """The evidence in a file. Raises ``CheckFailed`` where it is none, or was damaged so that it
    cannot be read; what was changed in it otherwise is left to be verified."""
    try:
        document = json.loads(data)
        body = document["evidence"]
        whole = canonical(document) + b"\n" == data and document["format"] == FORMAT
        whole = whole and hashlib.sha256(canonical(body)).hexdigest() == document["sha256"]
        return Evidence(
            run=_text(body["run"]),
            entries=[
                Entry(number, text.encode(), bytes.fromhex(leaf))
                for number, (text, leaf) in enumerate(
                    zip(body["entries"], body["leaves"], strict=True), 1
                )
            ],
            checkpoints=[_text(note) for note in body["checkpoints"]],
            plan=_text_or_none(body["plan"]),
            card=_text_or_none(body["card"]),
            result=_text_or_none(body["result"]),
            model=None if body["model"] is None else base64.b64decode(body["model"], validate=True),
            ledgers=None if body["ledgers"] is None else _ledgers(body["ledgers"]),
            seen=None if body["seen"] is None else _seen(body["seen"]),
            seal=None if body["seal"] is None else _seal(body["seal"]),
            unreadable=() if whole else (("file", "it was changed after it was exported"),),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckFailed(
            f"this is no audit export, or it was damaged ({error})",
            way_out="Make one: aegis audit export RUN --out FILE",
        ) from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    value.encode()  # raises where it is none that can be hashed
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _number(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r:.40} is no number")
    return value


def _ledgers(body: Mapping[str, Any]) -> dict[str, LedgerFile]:
    return {name: LedgerFile([Row(*row) for row in rows]) for name, rows in body.items()}


def _seen(body: Mapping[str, Any]) -> dict[str, tuple[int, bytes]]:
    return {name: (_number(size), bytes.fromhex(root)) for name, (size, root) in body.items()}


def _seal(body: Mapping[str, Any]) -> Seal:
    return Seal(
        _number(body["number"]),
        body["entry"].encode(),
        tuple(bytes.fromhex(one) for one in body["proof"]),
        _text(body["checkpoint"]),
        tuple((after, signature) for after, signature in body["handovers"]),
    )
