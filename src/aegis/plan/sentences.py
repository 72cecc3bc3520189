"""Faults in words: which key, what it needs, what it got, and which key may have been meant."""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import ValidationError

from aegis.plan.keys import Keys
from aegis.plan.layers import Layer, defaults, nest, sections

_BOUNDS = (
    ("exclusiveMinimum", "above"),
    ("minimum", "at least"),
    ("exclusiveMaximum", "below"),
    ("maximum", "at most"),
)
_KINDS = {
    "integer": ("a whole number", "whole numbers"),
    "number": ("a number", "numbers"),
    "string": ("text", "texts"),
    "boolean": ("true or false", "true or false"),
    "null": ("null", "null"),
}


@cache
def _schema() -> dict[str, Any]:
    return Keys.model_json_schema()


def schema_of(path: str) -> dict[str, Any]:
    """The JSON schema of one key."""
    place = _schema()
    for name in path.split("."):
        place = place["properties"][name]
        if "$ref" in place:
            place = _schema()["$defs"][place["$ref"].rsplit("/", 1)[1]]
    return place


def show(value: Any) -> str:
    """A value as a plan writes it, cut where it is long."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case list() | tuple():
            text = f"[{', '.join(map(_item, value))}]"
        case Mapping():
            return "a section"
        case float():
            text = repr(value)
        case _:
            text = str(value)
            text = text if text.isprintable() and text else repr(text)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _item(value: Any) -> str:
    """A plan knows no list in a list; whoever writes one may nest it without end."""
    return "a list" if isinstance(value, list | tuple) else show(value)


def need(schema: Mapping[str, Any], many: bool = False) -> str:
    """What a key takes: "a number above 0 and at most 1", "one of a, b, c"."""
    if "anyOf" in schema:
        return " or ".join(need(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return f"one of {', '.join(show(choice) for choice in schema['enum'])}"
    if "const" in schema:
        return show(schema["const"])
    if schema["type"] == "array":
        least = schema.get("minItems", 0)
        return f"a list of {need(schema['items'], many=True)}{', not empty' if least else ''}"
    kind, bounds = _KINDS[schema["type"]][many], _bounds(schema)
    return f"{kind} {'of ' if bounds.startswith('at') else ''}{bounds}".strip()


def _bounds(schema: Mapping[str, Any]) -> str:
    said = [f"{word} {show(schema[name])}" for name, word in _BOUNDS if name in schema]
    return " and ".join(said)


def value_fault(path: str, value: Any) -> str:
    """The sentence for a value that its key does not take."""
    schema = schema_of(path)
    got = "text " + repr(value) if _looks_like_number(value) else show(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and not abs(value) < math.inf:
        return f"{path} must be {need(schema)}, and finite, got {show(value)}"
    whole = schema.get("type") == "integer"
    if (
        number
        and "anyOf" not in schema
        and _bounds(schema)
        and not (whole and isinstance(value, float))
    ):
        return f"{path} must be {_crossed(schema, value)}, got {got}"
    sentence = f"{path} must be {need(schema)}, got {got}"
    near = get_close_matches(str(value), schema.get("enum", ()), 1, 0.6)
    return f"{sentence}; did you mean {near[0]}?" if near else sentence


def _crossed(schema: Mapping[str, Any], value: float) -> str:
    """The bound that a number crossed; for a share the whole range."""
    highest = schema.get("maximum", schema.get("exclusiveMaximum", math.inf))
    if highest <= 1:
        return _bounds(schema)
    upper = ("maximum", "exclusiveMaximum")
    low = value < highest
    return _bounds({k: v for k, v in schema.items() if (k in upper) is not low})


def _looks_like_number(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True


def unknown_key(path: str) -> str:
    """The sentence for a key that does not exist, with the one that may have been meant."""
    known = list(defaults())
    written = show(path)
    leaf = path.rsplit(".", 1)[-1]
    same = [name for name in known if name.rsplit(".", 1)[-1] == leaf]
    near = same if 0 < len(same) <= 2 else get_close_matches(path, known, 1, 0.6)
    if not near:
        twins = {name.rsplit(".", 1)[-1]: name for name in known}
        near = [twins[match] for match in get_close_matches(leaf, twins, 1, 0.7)]
    if not near:
        return f"{written} is not a key; aegis plan explain lists them all"
    return f"{written} is not a key; did you mean {' or '.join(near)}?"


def value_faults(values: Layer) -> dict[str, str]:
    """One sentence for each key that is unknown or has a value it does not take."""
    faults: dict[str, str] = {}
    known: dict[str, Any] = {}
    for path, said in values.items():
        if path in defaults():
            known[path] = said.value
        elif path in sections():
            faults[path] = f"{path} must be a section of keys, got {show(said.value)}"
        else:
            faults[path] = unknown_key(path)
    try:
        Keys.model_validate(nest(known))
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_context=False, include_input=False):
            path = _key_of(problem["loc"])
            faults[path] = value_fault(path, known[path])
    return {
        path: f"{sentence} ({values[path].origin})" if values[path].origin else sentence
        for path, sentence in faults.items()
    }


def _key_of(location: tuple[int | str, ...]) -> str:
    names = [str(part) for part in location]
    return next(
        path
        for length in range(len(names), 0, -1)
        if (path := ".".join(names[:length])) in defaults()
    )
