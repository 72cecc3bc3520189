"""The nearest legal plan that runs in this version, and what was changed to get there.

Faults are mended one after the other, each by a way out that leaves alone what somebody wrote,
where there is one, else by its first. What follows from other keys follows anew after each edit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from textwrap import wrap
from typing import Any

from aegis.errors import PlanError
from aegis.plan.faults import Edit, Fault
from aegis.plan.later import NOT_YET, Later
from aegis.plan.layers import defaults, nest
from aegis.plan.plan import Plan
from aegis.plan.reading import Loaded
from aegis.plan.sentences import show
from aegis.plan.soundness import find_faults
from aegis.plan.syntax import scalar

MOST_EDITS = 200


def suggest(loaded: Loaded, later: Sequence[Later] = NOT_YET) -> tuple[Plan, list[str]]:
    """A plan that passes ``check_plan``, and one sentence for each edit; none for a sound plan."""
    plan, edits, _ = _mended(loaded, later)
    return plan, edits


def suggested_yaml(loaded: Loaded, later: Sequence[Later] = NOT_YET) -> str:
    """A plan file with what was written, the edits made, and the edits as comments on top."""
    _, edits, said = _mended(loaded, later)
    source = _plain(show(loaded.source)) if loaded.source else "what was asked for"
    lines = [f"# The nearest plan to {source} that runs in this version."]
    lines.append("# Changed:" if edits else "# Nothing had to be changed.")
    for edit in edits:
        lines += wrap(_plain(edit), 98, initial_indent="#   - ", subsequent_indent="#     ")
    ordered = {path: said[path] for path in defaults() if path in said}
    return "\n".join([*lines, "", *_written(nest(ordered), 0)]) + "\n"


def _plain(text: str) -> str:
    """Fit for a comment: what is not printable may end a line of YAML, and is written out."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _mended(loaded: Loaded, later: Sequence[Later]) -> tuple[Plan, list[str], dict[str, Any]]:
    plan, said = loaded.plan, dict(loaded.said)
    edits: list[str] = []
    while faults := find_faults(plan, later):
        fault = faults[0]
        if not fault.edits or len(edits) == MOST_EDITS:
            raise PlanError(*(other.sentence(said) for other in faults))
        edit = _gentlest(fault, said)
        said |= edit.changes
        after = Plan(**said)
        edits.append(_sentence(plan, after, edit, fault))
        plan = after
    return plan, edits, said


def _gentlest(fault: Fault, said: Collection[str]) -> Edit:
    untouched = (edit for edit in fault.edits if not any(key in said for key in edit.changes))
    return next(untouched, fault.edits[0])


def _sentence(before: Plan, after: Plan, edit: Edit, fault: Fault) -> str:
    old, new = before.values, after.values
    changed = [
        f"{key}: {show(old[key])} -> {show(new[key])}"
        for key in edit.changes
        if old[key] != new[key]
    ]
    note = f" ({edit.note})" if edit.note else ""
    return f"{', '.join(changed)}{note}, because {fault.problem}"


def _written(nested: Mapping[str, Any], depth: int) -> list[str]:
    lines: list[str] = []
    for name, value in nested.items():
        if isinstance(value, Mapping):
            lines += [f"{'  ' * depth}{name}:", *_written(value, depth + 1)]
        else:
            lines.append(f"{'  ' * depth}{name}: {_literal(value)}")
    return lines


def _literal(value: Any) -> str:
    match value:
        case list() | tuple():
            return f"[{', '.join(_literal(item) for item in value)}]"
        case str():
            plain = value.replace("_", "").replace("-", "").isalnum() and value.isascii()
            if plain and value[0].isalpha() and scalar(value) == value:
                return value
            import yaml

            quoted: str = yaml.safe_dump(value, default_style='"', width=1_000_000)
            return quoted.strip()
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case _:
            return repr(value)
