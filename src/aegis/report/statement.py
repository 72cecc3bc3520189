"""The privacy statement that is stored with every model: one page, and the same as JSON.

It says what was protected, against whom, by how much, under which assumptions, and what was not.
Nothing in it is claimed that the run does not show.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aegis.report.disclosure import attacked, coordinator_saw, has_noise, right_guesses
from aegis.report.html import policy, style_and_page
from aegis.report.wording import DISCLAIMER, mapping, number, sequence, significant, task_title

RECORDS = {
    "dp_sgd": "Each hospital clipped what a single patient record can add to a sum of gradients, "
    "and added noise to every sum before it left.",
    "distributed": "Each hospital clipped what a single patient record can add and added its share "
    "of the noise; the shares add up inside the masked sum.",
    "local_update": "Each hospital clipped its whole update and added noise to it before it left.",
}


def statement(result: Mapping[str, Any]) -> dict[str, Any]:
    """The statement of a result, as plain values."""
    privacy = mapping(result.get("privacy"))
    noise = has_noise(result)
    hospitals = [
        {"hospital": str(h.get("name")), "epsilon": h.get("epsilon")}
        for h in map(mapping, sequence(result.get("hospitals")))
    ]
    return {
        "model_sha256": result.get("model_sha256"),
        "run": result.get("run"),
        "task": task_title(result),
        "protected": noise,
        "summary": _summary(privacy, noise),
        "mechanism": privacy.get("mechanism"),
        "how": RECORDS.get(str(privacy.get("mechanism")), "No noise was added anywhere."),
        "epsilon": privacy.get("epsilon"),
        "epsilon_rdp": privacy.get("epsilon_rdp"),
        "budget": privacy.get("budget"),
        "delta": privacy.get("delta"),
        "unit": privacy.get("unit"),
        "neighbouring": privacy.get("neighbouring"),
        "accountant": privacy.get("accountant"),
        "hospitals": hospitals,
        "against": _against(result, noise),
        "assumptions": _assumptions(privacy, noise),
        "not_protected": _not_protected(result, privacy, noise),
        "tested": attacked(result),
        "disclaimer": DISCLAIMER,
    }


def statement_html(found: Mapping[str, Any]) -> str:
    """The statement as one page that opens offline."""
    style, render = style_and_page("statement.html")
    return render(policy=policy(style), **found)


def _summary(privacy: Mapping[str, Any], noise: bool) -> str:
    spent, delta = number(privacy.get("epsilon")), number(privacy.get("delta"))
    if not noise:
        return "This model carries no differential privacy guarantee."
    if spent is None or delta is None:
        return "Noise was added, but no epsilon was recorded, so nothing is promised."
    return (
        f"Total epsilon {significant(spent)} at delta {significant(delta, 2)}, per "
        f"{privacy.get('unit')} ({privacy.get('neighbouring')}): whoever guesses from the model "
        f"whether one given record was used is right in at most {right_guesses(spent)} of 100 "
        "cases, against 50 by tossing a coin."
    )


def _against(result: Mapping[str, Any], noise: bool) -> list[str]:
    seen = coordinator_saw(result)
    if not noise:
        return ["Nobody. Rows were not pooled; that is all.", seen]
    return [
        "Anyone who holds the model, and anyone who saw every message of the run.",
        seen,
    ]


def _assumptions(privacy: Mapping[str, Any], noise: bool) -> list[str]:
    if not noise:
        return []
    return [
        f"{privacy.get('assumes') or 'No patient is in two hospitals'!s}.",
        "One patient is one record.",
        "Each hospital's node ran this software unchanged, with the operating system's entropy.",
        "Column ranges, the number of rows and everything in the plan are public.",
    ]


def _not_protected(result: Mapping[str, Any], privacy: Mapping[str, Any], noise: bool) -> list[str]:
    found = [str(text) for text in sequence(privacy.get("not_covered"))]
    if not noise:
        found = ["membership of a patient in the training data", "facts learned from updates"]
    if result.get("transport") == "inprocess":
        found.append("separation of hospitals: they were simulated on one machine")
    return found
