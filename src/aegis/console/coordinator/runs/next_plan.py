"""The plan of the next run, as people are preparing it: what was said, and what follows from it.

Only what was said is kept (AEGIS_HOME/console-plan.yaml); presets, consequences and defaults follow
from it anew each time, as they do for a plan file. A fault names its key, so that a form can show
it beside its field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from aegis.errors import AegisError, PlanError
from aegis.plan import Plan, check_plan, find_faults
from aegis.plan.layers import Said, defaults, effective, flatten, nest, silent
from aegis.plan.sentences import schema_of, unknown_key, value_faults
from aegis.plan.syntax import read_value, read_yaml
from aegis.store.home import Home, write_whole

FILE = "console-plan.yaml"
MOST_TEXT = 20_000

Faults = tuple[tuple[str, str], ...]
"""(dotted key, sentence); the key is empty where the fault belongs to none."""


class Unsound(PlanError):
    """``found`` says for each fault which key it belongs to."""

    def __init__(self, found: Faults) -> None:
        self.found = found
        super().__init__(*(sentence for _, sentence in found))

    def __reduce__(self) -> tuple[type[Unsound], tuple[Faults]]:  # type: ignore[override]
        return type(self), (self.found,)


@dataclass(frozen=True)
class Draft:
    """``said`` by dotted key; in ``plan`` a key with a faulty value has its default. ``origins``
    says of each key where its value comes from."""

    said: Mapping[str, Any]
    plan: Plan
    origins: Mapping[str, str]
    faults: Faults = ()

    def sound(self) -> Plan:
        """Raises ``Unsound``."""
        if self.faults:
            raise Unsound(self.faults)
        check_plan(self.plan)
        return self.plan


def drafted(said: Mapping[str, Any], wrong: Mapping[str, str] | None = None) -> Draft:
    """What follows from what was said; ``wrong`` are faults found while it was read."""
    bad = dict(wrong or {})
    flat = {key: value for key, value in flatten(said) if not silent(key, value)}
    layer = {key: Said(value, "said here") for key, value in flat.items()}
    try:
        values = effective(layer)
    except AegisError as error:
        return Draft(flat, Plan(), {}, (("task", str(error)),))
    here = value_faults({key: Said(one.value, "") for key, one in values.items()})
    bad = {**here, **bad}
    kept = {
        key: Said(default, "default") if key in bad else values[key]
        for key, default in defaults().items()
    }
    plan = Plan(**{key: one.value for key, one in kept.items()})
    unsound = [
        (_field(fault.keys, flat), fault.sentence(flat.keys()))
        for fault in find_faults(plan)
        if bad.keys().isdisjoint(fault.keys)
    ]
    origins = {key: one.origin for key, one in kept.items()}
    return Draft(flat, plan, origins, (*bad.items(), *unsound))


def _field(keys: tuple[str, ...], said: Mapping[str, Any]) -> str:
    """Of the keys of a fault, the first that somebody said."""
    return next((key for key in keys if key in said), keys[0] if keys else "")


def read_text(key: str, text: str) -> Any:
    """What a field of a form says. Raises ``PlanError``."""
    kinds = kinds_of(key)
    text = text.strip()
    if len(text) > MOST_TEXT:
        raise PlanError(f"{key} has {len(text)} characters; {MOST_TEXT} at most")
    if "array" in kinds:
        return [_item(key, part) for part in text.split(",") if part.strip()] or None
    if not text:
        return None
    if kinds <= {"string", "null"}:
        return text
    return read_value(text, key)


def _item(key: str, text: str) -> Any:
    text = text.strip()
    words = "string" in items_of(key)
    return text if words else read_value(text, key)


@cache
def kinds_of(key: str) -> frozenset[str]:
    """The JSON types that a key takes."""
    schema = schema_of(key)
    return frozenset(str(one.get("type", "string")) for one in schema.get("anyOf", [schema]) if one)


@cache
def items_of(key: str) -> frozenset[str]:
    schema = schema_of(key)
    lists = [one for one in schema.get("anyOf", [schema]) if one.get("type") == "array"]
    return frozenset(str(one.get("items", {}).get("type", "string")) for one in lists)


def from_yaml(text: str) -> Draft:
    """A plan as it was pasted. Raises ``PlanError`` where it is no YAML at all."""
    layer, wrong = read_yaml(text, "plan")
    unknown = {key: unknown_key(key) for key in layer if key not in defaults()}
    said = {key: one.value for key, one in layer.items() if key not in unknown}
    return drafted(said, {**wrong, **unknown})


@cache
def _dumper() -> type:
    """Quotes what would not come back as it was: PyYAML folds the rarer ends of lines."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = None if value.isprintable() else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return Dumper


def as_yaml(said: Mapping[str, Any]) -> str:
    """What was said as a plan file."""
    import yaml

    ordered = {key: said[key] for key in defaults() if key in said}
    plain = {key: list(v) if isinstance(v, tuple) else v for key, v in ordered.items()}
    if not plain:
        return ""
    found: str = yaml.dump(nest(plain), Dumper=_dumper(), sort_keys=False, allow_unicode=True)
    return found


def path_of(home: Home) -> Path:
    return home.root / FILE


def kept(home: Home) -> Draft:
    """The plan that was prepared here, else the usual one. A file that cannot be used counts as
    none."""
    path = path_of(home)
    if not path.exists():
        return drafted({})
    try:
        found = from_yaml(path.read_text(encoding="utf-8"))
    except (PlanError, OSError, UnicodeError):
        return drafted({})
    return found if not found.faults else drafted({})


def keep(home: Home, draft: Draft, person: str) -> None:
    draft.sound()
    name = "".join(letter if letter.isprintable() else "?" for letter in person)
    head = f"# The plan of the next run, prepared at the console by {name[:100]}.\n"
    write_whole(path_of(home), (head + as_yaml(draft.said)).encode())


def forget(home: Home) -> None:
    path_of(home).unlink(missing_ok=True)
