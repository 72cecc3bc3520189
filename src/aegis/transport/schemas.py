"""What a message must look like, said before it is read.

A schema is a message class with the shapes and number types that its arrays must have. Its digest
travels in the envelope's signed header: the receiver, who knows what he asked for, compares it
before he parses a byte of the body, and ``misfit`` then holds the body against it: exact fields,
exact types, shapes, finite numbers. Two sides whose message classes differ have different digests,
so an older version is recognised as such and never half understood.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from aegis.errors import BadInput

SLACK = 2**18  # for text, keys and signatures beside the arrays
UNBOUNDED = 2**26  # where an array's length is not known beforehand
INTEGERS = 2**53  # beyond it, other programs' JSON loses digits


@dataclass(frozen=True)
class Array:
    """``shape`` has None where any length will do, and is None where any shape will; ``most`` then
    limits the count of numbers."""

    dtypes: tuple[str, ...]
    shape: tuple[int | None, ...] | None = None
    most: int | None = None

    @classmethod
    def like(cls, array: np.ndarray) -> Array:
        return cls((array.dtype.name,), array.shape)

    @property
    def limit(self) -> int | None:
        """The most bytes such an array can have, if that is known."""
        count = self.most
        if self.shape is not None and None not in self.shape:
            count = math.prod(size for size in self.shape if size is not None)
        if count is None:
            return None
        return count * max(np.dtype(name).itemsize for name in self.dtypes)

    def misfit(self, array: np.ndarray) -> str | None:
        if array.dtype.name not in self.dtypes:
            return f"holds {array.dtype.name}, expected is {' or '.join(self.dtypes)}"
        if self.shape is not None and (
            len(self.shape) != array.ndim
            or any(
                want not in (None, got) for want, got in zip(self.shape, array.shape, strict=True)
            )
        ):
            wanted = ", ".join("any" if size is None else str(size) for size in self.shape)
            return f"has the shape {array.shape}, expected is ({wanted})"
        if self.most is not None and array.size > self.most:
            return f"holds {array.size} numbers, expected are at most {self.most}"
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            return "holds a number that is not finite"
        return None


@dataclass(frozen=True)
class Schema:
    """``arrays`` by path (``vector``, ``inner.weights``); one that is not named takes whatever its
    annotation allows."""

    kind: type
    arrays: Mapping[str, Array] = field(default_factory=dict)

    @classmethod
    def of(cls, kind: type, /, **arrays: Array) -> Schema:
        """Dots in a path are written as two underscores. Raises ``BadInput`` for a path that no
        array of the class has."""
        named = {path.replace("__", "."): array for path, array in arrays.items()}
        known = {path for path, _ in _arrays_of(kind)}
        if unknown := sorted(set(named) - known):
            raise BadInput(f"{kind.__name__} has no array {unknown[0]}", f"it has {sorted(known)}")
        return cls(kind, named)

    @property
    def name(self) -> str:
        return self.kind.__name__

    @property
    def _all(self) -> dict[str, Array]:
        return {**dict(_arrays_of(self.kind)), **self.arrays}

    @cached_property
    def sha256(self) -> str:
        lines = ["aegis/schema/v1", *(_described(kind) for kind in self.classes)]
        for path, array in sorted(self._all.items()):
            lines.append(f"{path} {'|'.join(array.dtypes)} {array.shape} {array.most}")
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @cached_property
    def classes(self) -> tuple[type, ...]:
        """All classes that a message of this kind may be built from."""
        return _classes_of(self.kind)

    @cached_property
    def limit(self) -> int:
        """The most bytes that a message of this kind can reasonably have."""
        most = [array.limit for array in self._all.values()]
        return SLACK + sum(UNBOUNDED if limit is None else limit for limit in most)


def misfit(message: object, schema: Schema) -> str | None:
    """Why this message is not what the schema says, or nothing."""
    return _misfit(message, _form(schema.kind), schema.name, "", schema.arrays)


@dataclass(frozen=True, slots=True)
class _Form:
    """An annotation taken apart once, as every message is held against it. At most one of
    ``united``, ``array``, ``literals``, ``parts`` and ``origin`` says anything; else it is a plain
    type."""

    hint: Any
    united: tuple[_Form, ...] = ()
    array: Array | None = None
    literals: tuple[Any, ...] = ()
    parts: tuple[tuple[str, _Form], ...] = ()
    origin: type | None = None
    inner: tuple[_Form, ...] = ()

    def takes(self, value: Any) -> bool:
        """By its outermost type alone."""
        if self.array is not None:
            return isinstance(value, np.ndarray)
        if self.united:
            return any(one.takes(value) for one in self.united)
        if self.literals:
            return any(type(value) is type(one) and value == one for one in self.literals)
        if self.origin is not None:
            return isinstance(value, self.origin)
        return type(value) is self.hint or (self.hint is float and type(value) is int)


@cache
def _form(hint: Any) -> _Form:
    if (array := _array(hint)) is not None:
        return _Form(hint, array=array)
    origin, args = get_origin(hint), get_args(hint)
    if _united(hint):
        return _Form(hint, united=tuple(map(_form, args)))
    if origin is Literal:
        return _Form(hint, literals=args)
    if origin is not None:
        return _Form(hint, origin=origin, inner=tuple(_form(one) for one in args if one is not ...))
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _Form(hint, parts=tuple((part, _form(one)) for part, one in _hints(hint).items()))
    return _Form(hint)


def _misfit(
    value: Any, form: _Form, name: str, path: str, arrays: Mapping[str, Array]
) -> str | None:
    """``name`` is for people, ``path`` for finding the array."""
    if form.united:
        form = next((one for one in form.united if one.takes(value)), form)
    if not form.takes(value):
        return f"{name} is {_shown(value)}, expected is {_text(form.hint)}"
    if form.array is not None:
        fault = arrays.get(path, form.array).misfit(value)
        return None if fault is None else f"{name} {fault}"
    if form.parts:
        for part, inner in form.parts:
            below = f"{path}.{part}" if path else part
            fault = _misfit(getattr(value, part), inner, f"{name}.{part}", below, arrays)
            if fault is not None:
                return fault
        return None
    if form.origin is tuple:
        (each,) = form.inner
        found = (_misfit(one, each, f"{name}[{i}]", path, arrays) for i, one in enumerate(value))
        return _first(found)
    if form.origin is not None:
        key_form, each = form.inner
        keys = (_misfit(key, key_form, f"a key of {name}", path, arrays) for key in value)
        items = value.items()
        inside = (_misfit(one, each, f"{name}[{key!r:.40}]", path, arrays) for key, one in items)
        return _first(keys) or _first(inside)
    if type(value) is float and not math.isfinite(value):
        return f"{name} is not finite"
    if type(value) is int and not -INTEGERS <= value <= INTEGERS:
        return f"{name} is beyond 2^53"
    return None


def _united(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType) and _array(hint) is None


@cache
def _array(hint: Any) -> Array | None:
    """What an annotation says of an array; nothing where it is no array."""
    if get_origin(hint) is np.ndarray:
        (scalar,) = get_args(get_args(hint)[1])
        wide = ("float32", "float64") if scalar is np.floating else (np.dtype(scalar).name,)
        return Array(wide)
    if get_origin(hint) in (Union, types.UnionType):
        parts = [_array(one) for one in get_args(hint)]
        if None not in parts:
            return Array(tuple(name for part in parts if part for name in part.dtypes))
    return None


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _inside(hint: Any) -> tuple[Any, ...]:
    """The annotations one step further in, classes left closed."""
    return () if _array(hint) is not None or get_origin(hint) is Literal else get_args(hint)


@cache
def _classes_of(kind: type) -> tuple[type, ...]:
    return tuple(dict.fromkeys(_classes(kind)))


def _classes(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        yield hint
        for inner in _hints(hint).values():
            yield from _classes(inner)
    for one in _inside(hint):
        yield from _classes(one)


@cache
def _arrays_of(kind: type) -> tuple[tuple[str, Array], ...]:
    return tuple(_arrays(kind))


def _arrays(hint: Any, path: str = "") -> Iterator[tuple[str, Array]]:
    if (array := _array(hint)) is not None:
        yield path, array
    elif isinstance(hint, type) and dataclasses.is_dataclass(hint):
        for part, inner in _hints(hint).items():
            yield from _arrays(inner, _below(path, part))
    else:
        for one in _inside(hint):
            yield from _arrays(one, path)


@cache
def _described(kind: type) -> str:
    parts = (f"{name}: {_text(hint)}" for name, hint in _hints(kind).items())
    return f"{kind.__name__}({', '.join(parts)})"


def _text(hint: Any) -> str:
    """An annotation in words that do not depend on the version of Python or NumPy."""
    origin, args = get_origin(hint), get_args(hint)
    if (array := _array(hint)) is not None:
        return f"array of {' or '.join(array.dtypes)}"
    if _united(hint):
        return " or ".join(_text(one) for one in args)
    if origin is Literal:
        return " or ".join(repr(one) for one in args)
    if origin is tuple:
        return f"list of {_text(args[0])}"
    if origin is not None:
        return f"mapping of {_text(args[0])} to {_text(args[1])}"
    return "None" if hint is type(None) else str(hint.__name__)


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) and len(value) < 40 else type(value).__name__


def _below(path: str, part: str) -> str:
    return f"{path}.{part}" if path else part


def _first(faults: Iterable[str | None]) -> str | None:
    return next((fault for fault in faults if fault is not None), None)
