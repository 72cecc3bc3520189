"""The log of a process: lines for people, or with AEGIS_LOG=json an object a line for a collector.

Collected lines leave the machine, so they hold only what cannot be a patient's: the sentence as it
stands in our code, its gaps filled with counts, with names that this federation gave (runs,
hospitals) and with kinds of errors. Everything else is withheld, above all what an exception says,
for it may quote a value. Lines for people stay on the machine and are whole.
"""

from __future__ import annotations

import builtins
import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from aegis import errors, states
from aegis.errors import BadInput
from aegis.events import Event, Listener, as_json
from aegis.store.home import setting

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
WITHHELD = "[withheld]"
_GAP = re.compile(r"%(?:\([a-z_]+\))?[-#0 +]*\d*(?:\.\d+)?[a-zA-Z%]")
_METRIC = re.compile(r"[a-z][a-z0-9_]{0,40}")
_DIGEST = re.compile(r"[0-9a-f]{16,128}")
_VOCABULARY = (  # fields whose words are ours, in messages and events
    *("event", "task", "trust", "rule", "status", "part", "purpose", "detector", "verdict"),
    *("asked", "sent", "road"),
)
_FIRST = ("time", "level", "event", "run", "round", "hospital")
_KINDS = {
    name
    for room in (builtins, errors, states)
    for name, value in vars(room).items()
    if isinstance(value, type)
}
_known: set[str] = set()
_log = logging.getLogger("aegis")


def as_objects() -> bool:
    """Whether AEGIS_LOG asks for JSON. Raises ``BadInput`` for another word than json or text."""
    said = setting("AEGIS_LOG").lower() or "text"
    if said not in ("json", "text"):
        raise BadInput(f"AEGIS_LOG is {said!r}", "it is json or text")
    return said == "json"


def start(stream: TextIO | None = None, names: Iterable[str] = ()) -> None:
    """Begin this process's log on stderr. ``names`` are a federation's, and may be shown. Raises
    ``BadInput`` where LOG_LEVEL is no level."""
    objects = as_objects()
    level = setting("LOG_LEVEL").upper() or ("INFO" if objects else "WARNING")
    if level not in LEVELS:
        raise BadInput(f"LOG_LEVEL is {level!r}", f"it is one of {', '.join(LEVELS)}")
    know(*names)
    _log.setLevel(level)
    if not objects:
        logging.basicConfig(level=logging.WARNING, stream=stream or sys.stderr)
        return
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Objects())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _fallen
    threading.excepthook = lambda said: _fallen(said.exc_type, said.exc_value, said.exc_traceback)


def know(*names: str) -> None:
    """Names of runs and hospitals: public words of the federation."""
    _known.update(name for name in names if name)


def listeners() -> list[Listener]:
    """Who writes events to the log: somebody where it is JSON, nobody else."""
    return [happened] if as_objects() else []


def happened(event: Event) -> None:
    """An event with what of it may be collected."""
    said(as_json(event))


def said(fields: Mapping[str, Any]) -> None:
    """An event as plain values, of this process or of a federation."""
    for name in ("run", "hospital"):
        if isinstance(fields.get(name), str):
            know(fields[name])
    if fields.get("event") == "RosterFixed":
        know(*fields["hospitals"])
    _log.info("%s", str(fields.get("event")), extra={"fields": collected(fields)})


def collected(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers, digests, known names and our own words; ``withheld`` names what is left out."""
    found, left = {}, []
    for name, value in fields.items():
        if name in _VOCABULARY and isinstance(value, str):
            kept: Any = value
        elif name == "metrics":
            kept = _scores(value)
        elif name == "hospitals" and isinstance(value, Mapping):
            rows = {one: _scores(scores) for one, scores in value.items() if one in _known}
            kept = _NOT if _NOT in rows.values() or len(rows) < len(value) else rows
        else:
            kept = _kept(value)
        if kept is _NOT:
            left.append(name)
        elif kept not in (None, "", [], {}):
            found[name] = kept
    if left:
        found["withheld"] = left
    return found


_NOT = object()


def _scores(value: Any) -> Any:
    """Numbers under the names that our code gives them; those of a RoundClosed have no others."""
    if not isinstance(value, Mapping):
        return _NOT
    names = all(isinstance(name, str) and _METRIC.fullmatch(name) for name in value)
    numbers = all(one is None or isinstance(one, int | float) for one in value.values())
    return dict(value) if names and numbers else _NOT


def _kept(value: Any) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            fine = not value or value in _known or value in _KINDS or _DIGEST.fullmatch(value)
            return value if fine else _NOT
        case Mapping():
            pairs = [(_kept(key), _kept(one)) for key, one in value.items()]
            return _NOT if any(_NOT in pair for pair in pairs) else dict(pairs)
        case list() | tuple():
            items = [_kept(one) for one in value]
            return _NOT if _NOT in items else items
        case _:
            return _NOT


class Objects(logging.Formatter):
    """One JSON object for each record."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        found: dict[str, Any] = {"time": time, "level": record.levelname}
        ours = record.name == "aegis" or record.name.startswith("aegis.")
        fields = getattr(record, "fields", None)
        if ours and isinstance(fields, dict):
            found |= fields
        else:
            found["event"] = filled(record) if ours else record.name
            found["where"] = f"{record.module}:{record.lineno}"
            args = record.args if ours and isinstance(record.args, tuple) else ()
            names = [one for one in args if isinstance(one, str) and one in _known]
            for name in names:
                found.setdefault("run" if re.match(r"\d{8}-\d{6}-", name) else "hospital", name)
        if record.exc_info and record.exc_info[1] is not None:
            found["errors"] = chain(record.exc_info[1])
        ordered = {name: found[name] for name in _FIRST if name in found} | found
        return json.dumps(ordered, default=lambda value: WITHHELD)


def filled(record: logging.LogRecord) -> str:
    """The sentence of a record with what may be collected in its gaps."""
    args = record.args if isinstance(record.args, tuple) else ()
    waiting = iter(args)

    def fill(gap: re.Match[str]) -> str:
        if gap.group() == "%%":
            return "%"
        value = next(waiting, _NOT)
        if isinstance(value, BaseException):
            return f"[{type(value).__name__}]"
        whole = isinstance(value, bool | int)
        kept = _kept(value) if whole or isinstance(value, str) else _NOT
        return WITHHELD if kept is _NOT else str(kept)

    return _GAP.sub(fill, record.msg) if isinstance(record.msg, str) else type(record.msg).__name__


def chain(error: BaseException | None) -> list[dict[str, Any]]:
    """What failed, outermost first: the kind of each error and where it was raised. Never what it
    says."""
    found: list[dict[str, Any]] = []
    while error is not None and len(found) < 10:
        frames = traceback.extract_tb(error.__traceback__)[-5:]
        where = [f"{_short(one.filename)}:{one.lineno} {one.name}" for one in frames]
        found.append({"error": type(error).__name__, "where": where})
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return found


def refused(error: BaseException, code: int) -> str:
    """The line for a command that ends with an error."""
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    said = {"time": time, "level": "ERROR", "event": "the command ended", "exit_code": code}
    return json.dumps(said | {"errors": chain(error)})


def _short(path: str) -> str:
    return "/".join(re.split(r"[\\/]", path)[-3:])


def _fallen(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    if issubclass(kind, SystemExit | KeyboardInterrupt):
        return
    _log.critical("unforeseen", exc_info=(kind, error or kind(), trace))
