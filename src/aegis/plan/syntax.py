"""YAML as a plan needs it: sections, lists and plain values, each with its line.

Nothing is built from a file but text, numbers, true, false, null and lists. Numbers and switches
are read as YAML 1.2 writes them, so ``1e-5`` is a number, and ``no``, ``1:30`` and ``010`` are not
a switch, an hour and an eight. Twice the same key, aliases and tags of any kind are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from aegis.errors import PlanError
from aegis.plan.layers import Layer, Said
from aegis.shallow import Shallow

MOST_CHARACTERS = 50_000
_INTEGER = re.compile(r"[-+]?[0-9]{1,40}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **{
        f"{sign}.{inf}": float(f"{sign}inf")
        for sign in ("", "+", "-")
        for inf in ("inf", "Inf", "INF")
    },
}
_PLAIN_TAGS = {
    f"tag:yaml.org,2002:{name}"
    for name in ("null", "bool", "int", "float", "str", "timestamp", "seq", "map", "merge", "value")
}


def scalar(text: str) -> Any:
    """The value of one unquoted word."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def read_yaml(text: str, source: str) -> tuple[Layer, dict[str, str]]:
    """The dotted keys of a plan file, each with its line, and the faults found on the way.

    Raises ``PlanError`` where the text as a whole is no plan.
    """
    node = _compose(text, source)
    if node is None:
        return {}, {}
    if node.id != "mapping":
        raise PlanError(f"{source} holds {_kind(node)}, but a plan is a mapping of keys to values")
    layer: Layer = {}
    faults: dict[str, str] = {}
    try:
        for path, found in _leaves(node, "", source, set()):
            if isinstance(found, str):
                faults[path] = found
            elif path in layer:
                faults[path] = _twice(path, layer[path].origin, found.origin)
            else:
                layer[path] = found
    except RecursionError as error:
        raise PlanError(f"{source} is nested too deeply for a plan") from error
    return layer, faults


def read_value(text: str, source: str) -> Any:
    """A value given on the command line: a word, or a list in brackets."""
    node = _compose(text, source)
    if node is None:
        return None
    if node.id == "mapping":
        raise PlanError(f"{source} is a section; set its keys one by one")
    return _value(node, source, set())


@cache
def _loader() -> type:
    """Made once, and PyYAML imported where a file is read only."""
    import yaml

    class Loader(Shallow, yaml.SafeLoader):
        pass

    return Loader


def _compose(text: str, source: str) -> Any:
    import yaml

    if len(text) > MOST_CHARACTERS:
        raise PlanError(
            f"{source} has {len(text)} characters; a plan has {MOST_CHARACTERS} at most"
        )
    try:
        return yaml.compose(text, Loader=_loader())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f" line {mark.line + 1}" if mark else ""
        if (
            mark
            and mark.buffer is not None
            and mark.buffer[mark.pointer : mark.pointer + 1] == "\t"
        ):
            raise PlanError(f"{source}{line} has a tab; YAML indents with spaces only") from error
        raise PlanError(f"{source}{line} is not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        reason = str(error).splitlines()[0]
        raise PlanError(f"{source} is not YAML: {reason}") from error
    except RecursionError as error:
        raise PlanError(f"{source} is nested too deeply for a plan") from error


def _leaves(node: Any, above: str, source: str, seen: set[int]) -> Iterator[tuple[str, Said | str]]:
    """(dotted key, what is said there or what is wrong with it), in the order of the file."""
    lines: dict[str, str] = {}
    for name, value in node.value:
        where = f"file {source} line {name.start_mark.line + 1}"
        if name.id != "scalar":
            line = where.removeprefix("file ")
            yield above, f"{line} has {_kind(name)} as a key; keys are words"
            continue
        path = f"{above}{name.value}"
        if path in lines:
            yield path, _twice(path, lines[path], where)
            continue
        lines[path] = where
        try:
            if value.id == "mapping":
                _once(value, source, seen)
                yield from _leaves(value, f"{path}.", source, seen)
            else:
                yield path, Said(_value(value, source, seen), where)
        except PlanError as error:
            yield path, str(error)


def _twice(path: str, first: str, second: str) -> str:
    return f"{path} is said twice ({first} and {second.rsplit(' ', 1)[-1]})"


def _value(node: Any, source: str, seen: set[int]) -> Any:
    _once(node, source, seen)
    match node.id:
        case "scalar":
            return node.value if node.style is not None else scalar(node.value)
        case "sequence":
            return tuple(_value(item, source, seen) for item in node.value)
        case _:
            line = node.start_mark.line + 1
            raise PlanError(f"{source} line {line} has a section inside a list")


def _once(node: Any, source: str, seen: set[int]) -> None:
    line = node.start_mark.line + 1
    if id(node) in seen:
        raise PlanError(f"{source} line {line} is used again by an alias; write the value out")
    seen.add(id(node))
    if node.tag not in _PLAIN_TAGS:
        raise PlanError(f"{source} line {line} has the tag {node.tag}, which a plan has no use for")


def _kind(node: Any) -> str:
    return {"mapping": "a section", "sequence": "a list"}.get(node.id, "a single value")
