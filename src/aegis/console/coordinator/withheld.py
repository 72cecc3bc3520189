"""A run's document as one person may read it: figures of other hospitals are not in it.

What holds for all hospitals together stays. A hospital's own person finds the own hospital in every
list and nobody else; where a sentence names the two ends of a gap, the others are "another
hospital". Whoever sees all hospitals gets the document itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from aegis.console.coordinator.desk import Sight
from aegis.report.wording import mapping, sequence

WITHHELD = "shown to that hospital and the coordinator’s people only"
ANOTHER = "another hospital"
# Where hospitals are listed, and under which key each is named.
_LISTS = (
    ("comparison", "name"),
    ("leave_one_out", "name"),
    ("partition", "hospital"),
    ("detection", "hospital"),
)
_ENDS = ("highest", "lowest")
_Hide: TypeAlias = Callable[[str], str]


def seen_by(document: Mapping[str, Any], sight: Sight) -> Mapping[str, Any]:
    if sight.only is None:
        return document
    hide = _hiding(document, sight)
    found: dict[str, Any] = dict(document)
    found["hospitals"] = _kept(document.get("hospitals"), "name", sight)
    found["history"] = [_round(mapping(one), sight) for one in sequence(document.get("history"))]
    for section, key in _LISTS:
        if mapping(document.get(section)):
            part = dict(mapping(document[section]))
            part["hospitals"] = _kept(part.get("hospitals"), key, sight)
            if isinstance(part.get("sentence"), str):
                part["sentence"] = hide(part["sentence"])
            found[section] = part
    if mapping(document.get("fairness")):
        found["fairness"] = _fairness(mapping(document["fairness"]), sight, hide)
    if mapping(document.get("usefulness")):
        found["usefulness"] = _usefulness(mapping(document["usefulness"]), sight)
    if mapping(document.get("table_one")):
        found["table_one"] = _table_one(mapping(document["table_one"]), sight)
    engines = mapping(document.get("engines"))
    found["engines"] = {name: engine for name, engine in engines.items() if sight.sees(str(name))}
    return found


def _kept(hospitals: Any, key: str, sight: Sight) -> list[Any]:
    return [one for one in sequence(hospitals) if sight.sees(str(mapping(one).get(key)))]


def _hiding(document: Mapping[str, Any], sight: Sight) -> _Hide:
    """A function that hides the names of the others in a text."""
    names = [str(mapping(one).get("name")) for one in sequence(document.get("hospitals"))]
    hidden = sorted((name for name in names if not sight.sees(name)), key=len, reverse=True)
    if not hidden:
        return lambda text: text
    named = "|".join(re.escape(name) for name in hidden)
    pattern = re.compile(rf"(?<!\w)(?:{named})(?!\w)")
    return lambda text: pattern.sub(ANOTHER, text)


def _round(closed: Mapping[str, Any], sight: Sight) -> dict[str, Any]:
    own = {n: one for n, one in mapping(closed.get("hospitals")).items() if sight.sees(str(n))}
    lists = {
        key: [name for name in sequence(closed.get(key)) if sight.sees(str(name))]
        for key in ("flagged", "set_aside")
    }
    return {
        **closed,
        **lists,
        "hospitals": own,
        "flags": _kept(closed.get("flags"), "hospital", sight),
    }


def _fairness(found: Mapping[str, Any], sight: Sight, hide: _Hide) -> dict[str, Any]:
    attributes = []
    for one in map(mapping, sequence(found.get("attributes"))):
        if one.get("attribute") != "hospital":
            attributes.append(one)
            continue
        measures = {
            name: gap and {**gap, **{end: hide(str(gap[end])) for end in _ENDS if end in gap}}
            for name, gap in mapping(one.get("measures")).items()
        }
        groups = _kept(one.get("groups"), "group", sight)
        attributes.append({**one, "groups": groups, "measures": measures})
    within = [
        {**mapping(one), "hospitals": _kept(mapping(one).get("hospitals"), "hospital", sight)}
        for one in sequence(found.get("within_hospitals"))
    ]
    broken = []
    for one in map(mapping, sequence(found.get("violations"))):
        ends = [hide(str(end)) for end in sequence(one.get("between"))]
        broken.append({**one, "between": ends or None})
    return {
        **found,
        "sentence": hide(str(found.get("sentence") or "")),
        "attributes": attributes,
        "within_hospitals": within,
        "violations": broken,
    }


def _usefulness(found: Mapping[str, Any], sight: Sight) -> dict[str, Any]:
    calibration = dict(mapping(found.get("calibration")))
    calibration["hospitals"] = _kept(calibration.get("hospitals"), "name", sight)
    return {**found, "calibration": calibration}


def _table_one(found: Mapping[str, Any], sight: Sight) -> dict[str, Any]:
    names = sequence(found.get("hospitals"))
    kept = [at for at, name in enumerate(names) if sight.sees(str(name))]
    rows = []
    for row in map(mapping, sequence(found.get("rows"))):
        cells = sequence(row.get("by_hospital"))
        rows.append({**row, "by_hospital": [cells[at] for at in kept if at < len(cells)]})
    return {**found, "hospitals": [names[at] for at in kept], "rows": rows}
