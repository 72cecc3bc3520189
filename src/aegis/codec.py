"""Frozen values to bytes and back: for the journal, and for every road that leaves the process.

A value is written as one safetensors file: its arrays are the tensors, everything else is JSON in
the header, and each dataclass is named by its class. Reading builds only the classes it was given,
with exactly the fields they declare, so bytes from outside can make no other object and run no
code. A wrong or damaged file is a ``DataError``, never a half-built value.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np

from aegis.errors import DataError


def dumps(value: Any, salt: bytes = b"") -> bytes:
    """The bytes of a frozen value (dataclasses, tuples, mappings, numbers, text, arrays). A
    ``salt`` is written with them and not read: it keeps their hash from being guessed."""
    from safetensors.numpy import save

    arrays: dict[str, np.ndarray] = {}
    document = _plain(value, arrays)
    text = json.dumps(document, allow_nan=True, separators=(",", ":"))
    metadata = {"document": text, "salt": salt.hex()} if salt else {"document": text}
    return bytes(save(arrays or {"_": np.zeros(0)}, metadata=metadata))


def sha256(value: Any) -> bytes:
    """A digest (32 bytes) of a frozen value: equal for equal values, on whichever side."""
    arrays: dict[str, np.ndarray] = {}
    text = json.dumps(_plain(value, arrays), allow_nan=True, separators=(",", ":"))
    shapes = [[name, one.dtype.str, *one.shape] for name, one in arrays.items()]
    head = json.dumps([text, shapes]).encode()
    digest = hashlib.sha256(len(head).to_bytes(8, "big") + head)
    for one in arrays.values():
        digest.update(one.data)
    return digest.digest()


def loads(data: bytes, classes: Iterable[type]) -> Any:
    """The value that ``dumps`` wrote, built from ``classes`` only."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    known = {cls.__name__: cls for cls in classes}
    try:
        length = int.from_bytes(data[:8], "little")
        if length > len(data) - 8:
            raise ValueError(f"a header of {length} bytes")
        header = _json(data[8 : 8 + length])
        document = _json(header["__metadata__"]["document"])
        arrays = load(data)
        value = _built(document, arrays, known)
        if set(arrays) - {"_"}:
            raise ValueError(f"the tensor {min(arrays)!r:.40} belongs to nothing")
        return value
    except (SafetensorError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(
            f"these {len(data)} bytes are not a message of this version ({error})",
            way_out="Send it again, or update the older side",
        ) from error
    except (RecursionError, ArithmeticError, MemoryError) as error:
        raise DataError(
            f"these {len(data)} bytes are what no sender of ours writes ({type(error).__name__})",
            way_out="Ask its sender",
        ) from error


def _json(text: str | bytes) -> Any:
    """Where a name stands twice, two readers may take different values: refused."""
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


_AS_THEY_ARE = frozenset((type(None), bool, int, float, str))


@cache
def _fields(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls))


def _plain(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if type(value) in _AS_THEY_ARE:
        return value
    match value:
        case np.ndarray():
            name = str(len(arrays))
            arrays[name] = np.ascontiguousarray(value)
            return {"@array": name}
        case bytes():
            return {"@bytes": base64.b64encode(value).decode("ascii")}
        case np.integer() | np.floating() | np.bool_():
            return value.item()
        case tuple() | list():
            return [_plain(item, arrays) for item in value]
        case Mapping():
            return {"@map": [[_plain(k, arrays), _plain(v, arrays)] for k, v in value.items()]}
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            cls = type(value)
            fields = {name: _plain(getattr(value, name), arrays) for name in _fields(cls)}
            return {"@is": cls.__name__, **fields}
        case _:
            raise TypeError(f"{type(value).__name__} does not travel")


def _built(document: Any, arrays: dict[str, np.ndarray], known: Mapping[str, type]) -> Any:
    """``arrays`` are taken out as they are used: each belongs to one place."""
    match document:
        case list():
            return tuple(_built(item, arrays, known) for item in document)
        case {"@array": name, **rest} if not rest:
            return arrays.pop(name)
        case {"@bytes": str(text), **rest} if not rest:
            return base64.b64decode(text, validate=True)
        case {"@map": pairs, **rest} if not rest:
            return _once([(_built(k, arrays, known), _built(v, arrays, known)) for k, v in pairs])
        case {"@is": str(name), **rest}:
            cls = known[name]
            fields = {str(key): _built(value, arrays, known) for key, value in rest.items()}
            if set(_fields(cls)) != set(fields):
                raise ValueError(f"{name} has the fields {sorted(fields)}")
            return cls(**fields)
        case dict():
            raise ValueError("an unnamed object")
        case _:
            return document
