"""What two agents say to each other: five types of message around an envelope that stays sealed.

    JOIN            one is there anew (no payload), a hospital is invited, or enrols
    ROUND_START     down: a question of a round
    MODEL_UPDATE    up: the answer to one
    GLOBAL_UPDATE   down: the model of a round, to be scored or witnessed, and the end of a run
    ERROR           up: a question is refused

A message is one JSON text: a header, and a payload that is the envelope's bytes in base64 or the
address of a file that holds them, with digest and size. The header is a label for whoever watches
the road: type, run and round come from the envelope's own header, which the receiver does not
believe either before its signature holds. What does not have exactly this form is refused, on both
sides; so is another version.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias, get_args

from aegis.errors import AegisError, CheckFailed
from aegis.transport.frame import LARGEST_HEADER, MAGIC, Header

PROTOCOL_VERSION = "1.1"
RESOURCE = "aegis"  # the last part of each agent's address
INLINE = 128 * 1024  # bytes; what is larger travels as a file
LARGEST_TEXT = INLINE * 4 // 3 + 16 * 1024
Type: TypeAlias = Literal["JOIN", "ROUND_START", "MODEL_UPDATE", "GLOBAL_UPDATE", "ERROR"]
Direction: TypeAlias = Literal["down", "up"]

_TYPES: dict[str, Type] = {
    "Invite": "JOIN",
    "Enrolled": "JOIN",
    "Refusal": "ERROR",
    "Evaluate": "GLOBAL_UPDATE",
    "Witness": "GLOBAL_UPDATE",
    "Settle": "GLOBAL_UPDATE",
}
_FIELDS = ("msg_id", "sender_id", "round_id", "msg_type", "task", "timestamp", "protocol_version")
_ID = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_LONGEST, _HIGHEST = 500, 2**53


@dataclass(frozen=True, slots=True)
class Label:
    """The header. ``task`` is the run that the message belongs to, empty before one; ``timestamp``
    is when it was written, UTC."""

    msg_id: str
    sender_id: str
    round_id: int
    msg_type: Type
    task: str
    timestamp: str
    protocol_version: str = PROTOCOL_VERSION


@dataclass(frozen=True, slots=True)
class File:
    """An envelope at the server, for a while. ``size`` in bytes, ``sha256`` in hexadecimal."""

    url: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Message:
    label: Label
    payload: bytes | File | None = None


def labelled(data: bytes, sender: str, direction: Direction, msg_id: str) -> Label:
    """The header for an envelope; for other bytes one that says no more than who and which way."""
    plain: Type = "ROUND_START" if direction == "down" else "MODEL_UPDATE"
    header = _header(data)
    if header is None:
        return Label(msg_id, sender, 0, plain, "", stamp())
    kind = _TYPES.get(header.stage, plain)
    return Label(msg_id, sender, header.round, kind, header.run, stamp())


def stamp(at: datetime | None = None) -> str:
    moment = (at or datetime.now(UTC)).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def written(message: Message) -> str:
    """The JSON text. Raises ``CheckFailed`` for what the other side would refuse."""
    _checked(message.label)
    match message.payload:
        case None:
            payload: dict[str, Any] | None = None
        case File() as file:
            _held(file)
            payload = asdict(file)
        case data:
            if len(data) > INLINE:
                raise CheckFailed(f"{len(data)} bytes in one message", f"at most {INLINE}")
            payload = {"base64": base64.b64encode(data).decode("ascii")}
    return json.dumps({"header": asdict(message.label), "payload": payload}, separators=(",", ":"))


def read(text: str) -> Message:
    """Raises ``CheckFailed`` for anything that ``written`` would not write."""
    if len(text) > LARGEST_TEXT:
        raise CheckFailed(f"a message of {len(text)} characters", f"at most {LARGEST_TEXT}")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckFailed("a message that is no JSON") from error
    if not isinstance(found, dict) or set(found) != {"header", "payload"}:
        raise CheckFailed("a message without header and payload")
    header = found["header"]
    if not isinstance(header, dict):
        raise CheckFailed("a header that is no object")
    version = header.get("protocol_version")
    if version != PROTOCOL_VERSION:
        raise CheckFailed(
            f"a message of protocol version {version!r:.20}",
            f"this side speaks {PROTOCOL_VERSION}",
            "Update the older side",
        )
    if set(header) != set(_FIELDS):
        odd = sorted(map(str, set(header) ^ set(_FIELDS)))[0]
        raise CheckFailed(f"a header with an odd or missing field {odd!r:.40}")
    label = Label(**header)
    _checked(label)
    return Message(label, _payload(found["payload"]))


def _payload(found: object) -> bytes | File | None:
    if found is None:
        return None
    if isinstance(found, dict) and set(found) == {"base64"} and isinstance(found["base64"], str):
        try:
            data = base64.b64decode(found["base64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise CheckFailed("a payload that is no base64") from error
        if len(data) > INLINE:
            raise CheckFailed(f"{len(data)} bytes in one message", f"at most {INLINE}")
        return data
    if isinstance(found, dict) and set(found) == {"url", "sha256", "size"}:
        file = File(**found)
        _held(file)
        return file
    raise CheckFailed("a payload of no known kind")


def _checked(label: Label) -> None:
    fine = {
        "msg_id": _matches(_ID, label.msg_id),
        "sender_id": _matches(_NAME, label.sender_id),
        "round_id": type(label.round_id) is int and 0 <= label.round_id <= _HIGHEST,
        "msg_type": isinstance(label.msg_type, str) and label.msg_type in get_args(Type),
        "task": isinstance(label.task, str) and len(label.task) <= 200 and _plain(label.task),
        "timestamp": _matches(_STAMP, label.timestamp) and _is_time(label.timestamp),
        "protocol_version": label.protocol_version == PROTOCOL_VERSION,
    }
    for name, held in fine.items():
        if not held:
            raise CheckFailed(f"a header whose {name} is {getattr(label, name)!r:.60}")


def _held(file: File) -> None:
    if not (isinstance(file.url, str) and len(file.url) <= _LONGEST and _plain(file.url)):
        raise CheckFailed("a file whose address is no text")
    if not _matches(_DIGEST, file.sha256):
        raise CheckFailed(f"a file whose sha256 is {file.sha256!r:.80}")
    if type(file.size) is not int or not 0 < file.size <= _HIGHEST:
        raise CheckFailed(f"a file whose size is {file.size!r:.20}")


def _header(data: bytes) -> Header | None:
    begin = len(MAGIC) + 2
    if data[: len(MAGIC)] != MAGIC or len(data) < begin:
        return None
    length = int.from_bytes(data[len(MAGIC) : begin], "big")
    try:
        return Header.from_bytes(data[begin : begin + length]) if length <= LARGEST_HEADER else None
    except AegisError:
        return None


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _plain(text: str) -> bool:
    return text.isascii() and (text == "" or text.isprintable())


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return False
    return True
