"""What the coordinator and its relay say to each other over a loopback socket.

    kind 1 byte │ node 8 bytes │ length 8 bytes │ body

The relay opens the connection with the token that it was given in a file only this user can read.
"""

from __future__ import annotations

import socket
import struct
from enum import IntEnum

_HEAD = struct.Struct(">BQQ")
TOKEN_BYTES = 32
LARGEST_FRAME = 2**30


class Kind(IntEnum):
    SEND = 1  # down: the body for this node
    LOOK = 2  # down: the reply to the message with this id has arrived at the SuperLink
    SENT = 3  # up: the SuperLink holds the body for this node
    REPLY = 4  # up: the body from this node


Frame = tuple[Kind, int, bytes]


def write(to: socket.socket, kind: Kind, node: int, body: bytes = b"") -> None:
    """Raises ``OSError``. Only one thread at a time may write."""
    to.sendall(_HEAD.pack(kind, node, len(body)))
    if body:
        to.sendall(body)


def read(of: socket.socket) -> Frame | None:
    """The next frame, or None at the end of the connection. Raises ``OSError``, and
    ``ValueError`` for bytes that are no frame."""
    head = exactly(of, _HEAD.size)
    if head is None:
        return None
    kind, node, length = _HEAD.unpack(head)
    if length > LARGEST_FRAME:
        raise ValueError(f"a frame of {length} bytes")
    body = exactly(of, length)
    return None if body is None else (Kind(kind), node, body)


def exactly(of: socket.socket, length: int) -> bytes | None:
    found = bytearray(length)
    view, at = memoryview(found), 0
    while at < length:
        got = of.recv_into(view[at:])
        if got == 0:
            return None
        at += got
    return bytes(found)
