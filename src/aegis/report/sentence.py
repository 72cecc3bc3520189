"""The results sentence of the README, from a result: one number with its interval, and the two
references it must be read against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aegis.report.gains import measure, own_together
from aegis.report.verdict import hospitals_in, test_patients
from aegis.report.wording import (
    NBSP,
    absent,
    counted,
    interval,
    mapping,
    number,
    percent,
    task_title,
)


def results_sentence(result: Mapping[str, Any]) -> str:
    """Plain text with plain spaces, fit for Markdown; SYNTHETIC data are named as such."""
    overall = measure(result.get("global"))
    tested = test_patients(result)
    if overall is None or tested is None:
        why = absent(result.get("global"), "accuracy")
        return f"Our federated learning approach reached no accuracy ({why})."
    sure = (
        f"95 % interval {interval(overall.interval)}"
        if overall.interval
        else "no interval computed"
    )
    text = (
        f"Our federated learning approach reached {percent(overall.value)} accuracy ({sure}) on "
        f"{counted(tested, 'held-out patient')} of {counted(hospitals_in(result), 'hospital')}"
        f"{_references(result)}. {_setting(result)}."
    )
    return text.replace(NBSP, " ")


def _references(result: Mapping[str, Any]) -> str:
    together, own = own_together(result), measure(result.get("mean_local"))
    pooled = measure(result.get("pooled"))
    parts = []
    if together is not None:
        parts.append(f"{percent(together[0] / together[1])} for the hospitals' own models")
    elif own is not None:
        parts.append(f"{percent(own.value)} for the hospitals' own models on average")
    if pooled is not None:
        parts.append(f"{percent(pooled.value)} for one model trained on all rows in one place")
    return f", against {' and '.join(parts)}" if parts else ""


def _setting(result: Mapping[str, Any]) -> str:
    rounds, seed = number(result.get("rounds")), result.get("seed")
    title = task_title(result)
    if mapping(result.get("data")).get("synthetic") is True:
        title += ", SYNTHETIC data"
    parts = [title]
    if rounds is not None:
        parts.append(counted(round(rounds), "round"))
    if seed is not None:
        parts.append(f"seed {seed}")
    return "Setting: " + ", ".join(parts)
