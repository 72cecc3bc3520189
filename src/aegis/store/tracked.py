"""What of a run is mirrored elsewhere, as numbers and words: its plan, and what its events say.

Of hospitals only what the events carry: what their policies released. Reasons in free words stay
here, for they may be a hospital's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from aegis.plan import Plan

_MOST_TEXT = 500


def parameters(plan: Plan, sha256: str) -> dict[str, str]:
    """The plan's keys as MLflow's parameters."""
    found = {key: _text(value) for key, value in plan.values.items()}
    return {"plan_sha256": sha256, **found}


def figures(event: Mapping[str, Any]) -> Iterator[tuple[str, float, int]]:
    """(name, value, round) of what an event says in numbers."""
    match event["event"]:
        case "RoundClosed":
            step = int(event["round"])
            yield from _numbers(event["metrics"], "", step)
            for hospital, metrics in event["hospitals"].items():
                yield from _numbers(metrics, f"hospital.{hospital}.", step)
            yield "absent", float(len(event["absent"])), step
            yield "learning_rate", float(event["learning_rate"]), step
        case "RoundAggregated":
            step = int(event["round"])
            yield from _numbers(
                {"change_norm": event["change_norm"], "hospitals": len(event["hospitals"])},
                "",
                step,
            )
        case "BudgetSpent":
            yield from _numbers({"epsilon": event["epsilon"]}, f"hospital.{event['hospital']}.", 0)
        case "MembershipAudited":
            yield from _numbers({"membership_auc": event["auc"]}, "", 0)
        case "FairnessAssessed":
            yield "fairness_violations", float(len(event["violations"])), 0
        case _:
            return


def words(event: Mapping[str, Any]) -> dict[str, str]:
    """What an event says in words, as MLflow's tags."""
    match event["event"]:
        case "RunEnded":
            found = {"aegis.status": event["status"]}  # the reason may be a hospital's own words
        case "ModelStored":
            found = {"aegis.model_sha256": event["model_sha256"], "aegis.parent": event["parent"]}
        case "MembershipAudited":
            found = {"aegis.membership_audit": event["verdict"]}
        case _:
            return {}
    return {name: _text(value) for name, value in found.items() if value}


def shown(uri: str) -> str:
    """The address for people and file names: never its password."""
    parts = urlsplit(uri)
    if parts.username is None and parts.password is None:
        return uri
    host = parts.hostname or ""
    place = f"{host}:{parts.port}" if parts.port else host
    return urlunsplit((parts.scheme, place, parts.path, parts.query, ""))


def _numbers(
    metrics: Mapping[str, Any], before: str, step: int
) -> Iterator[tuple[str, float, int]]:
    for name, value in metrics.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield before + name, float(value), step


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _MOST_TEXT else text[: _MOST_TEXT - 3] + "..."


def milliseconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1000)
