"""What leaves by the API for one hospital's people: a document that names no other hospital.

The document is first cut as the pages cut it (``withheld``). Then only sections that are known to
be about all hospitals together, or were cut, go out; and whatever still names another hospital in
them is taken out, so that a new section or sentence can leak nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aegis.console.coordinator.desk import Desk, Sight
from aegis.console.coordinator.withheld import WITHHELD, seen_by

KNOWN = frozenset(
    [
        "run",
        "status",
        "reason",
        "task",
        "plan_sha256",
        "model_sha256",
        "seed",
        "transport",
        "trust",
        "rule",
        "model",
        "solver",
        "class_weights",
        "rounds",
        "chosen_round",
        "seconds",
        "global",
        "global_reason",
        "mean_hospitals",
        "pooled",
        "mean_local",
        "hospitals",
        "history",
        "fairness",
        "fairness_reason",
        "usefulness",
        "usefulness_reason",
        "classes",
        "classes_reason",
        "imbalance",
        "privacy",
        "audit_log",
        "audit_log_reason",
        "aegis",
        "note",
        "data",
        "partition",
        "comparison",
        "comparison_reason",
        "odds_ratios",
        "odds_ratios_reason",
        "membership_audit",
        "membership_audit_reason",
        "table_one",
        "table_one_reason",
        "detection",
        "detection_reason",
        "leave_one_out",
    ]
)
_NAMED = ("name", "hospital", "group", "site")


def as_seen(document: Mapping[str, Any], sight: Sight) -> dict[str, Any]:
    """The document for whoever sees only ``sight``; itself for who sees all."""
    if sight.only is None:
        return dict(document)
    hidden = [name for name in hospitals_of(document) if not sight.sees(name)]
    kept = {key: value for key, value in seen_by(document, sight).items() if key in KNOWN}
    found: dict[str, Any] = without(kept, hidden)
    return found | {"withheld": WITHHELD}


def hospitals_of(document: Mapping[str, Any]) -> list[str]:
    """Every hospital that the document names as one, in order."""
    found = [str(one.get("name")) for one in document.get("hospitals") or ()]
    for one in document.get("history") or ():
        found += one.get("hospitals") or ()
        found += [*(one.get("absent") or ()), *(one.get("set_aside") or ())]
    return list(dict.fromkeys(found))


def hidden_from(desk: Desk, run: str | None, sight: Sight) -> frozenset[str]:
    """The hospitals, members or named by the run's events, that stay hidden from ``sight``."""
    if sight.only is None:
        return frozenset()
    names = {str(one["name"]) for one in desk.state()["hospitals"]}
    for _, _, event in desk.reading.events(run) if run is not None else ():
        names |= {str(event["hospital"])} if event.get("hospital") else set()
        for key in ("hospitals", "asked", "survivors", "absent", "witnesses", "commitments"):
            named = event.get(key)
            names |= {str(one) for one in named} if isinstance(named, list | dict) else set()
    return frozenset(name for name in names if not sight.sees(name))


def without(value: Any, hidden: Iterable[str]) -> Any:
    """``value`` with nothing in it that names one of ``hidden``: entries of theirs are left out, a
    sentence that speaks of one is replaced."""
    names = sorted(hidden, key=len, reverse=True)
    if not names:
        return value
    named = re.compile("|".join(rf"(?<!\w){re.escape(one)}(?!\w)" for one in names))
    return _without(value, named)


def _without(value: Any, named: re.Pattern[str]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _without(one, named)
            for key, one in value.items()
            if not named.search(str(key)) and not _about(one, named)
        }
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_without(one, named) for one in value if not _about(one, named)]
    return WITHHELD if isinstance(value, str) and named.search(value) else value


def _about(value: Any, named: re.Pattern[str]) -> bool:
    """Whether an entry of a list or mapping is one of those hospitals', or its bare name."""
    if isinstance(value, str):
        return named.fullmatch(value) is not None
    return isinstance(value, Mapping) and any(
        isinstance(value.get(key), str) and named.search(value[key]) for key in _NAMED
    )
