"""Does it fail someone? Groups of patients and hospitals, the worst served first, and who gains.

What was not compared says why, and which key of the plan would compare it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from aegis.console.coordinator.desk import Desk, Sight, desk_of, picked
from aegis.console.coordinator.of_run import OfRun, of_run
from aegis.console.people.rights import Person, Right, may
from aegis.console.reading import NOT_YET
from aegis.console.window.rendering import render
from aegis.report.benefit_page import (
    benefit_sentence,
    outside_sentence,
    outside_table,
    personal_table,
)
from aegis.report.drawings import gain_rows
from aegis.report.fairness_page import COLUMNS, MEASURES, fairness_part
from aegis.report.hospital_tables import comparison_table, hospital_table
from aegis.report.tables import Table, shown_hospitals
from aegis.report.wording import FEWER, NBSP, mapping, number, sequence

router = APIRouter()


@dataclass(frozen=True)
class WayOut:
    """Something that was not compared: why, and the plan's keys (or option) that would do it."""

    what: str
    why: str
    keys: str


@router.get("/fairness", include_in_schema=False)
def page(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    found = content(desk_of(request), Sight.of(person), picked(request))
    return render(request, "coordinator/fairness.html", **found)


def content(desk: Desk, sight: Sight, run: str | None) -> dict[str, Any]:
    of = of_run(desk, sight, run)
    if of is None:
        return {"of": None}
    seen, document = of.seen, of.document
    return {
        "of": of,
        "headline": headline(of),
        "fairness": fairness_part(seen),
        "columns": COLUMNS,
        "violations": violation_table(seen),
        "withheld": _withheld(seen),
        "not_compared": not_compared(of),
        "gains": gain_rows(seen),
        "benefit": benefit_sentence(document if sight.only is None else seen),
        "comparison": comparison_table(seen),
        "no_comparison": _reason(document, "comparison", "no own model was trained"),
        "shown": shown_hospitals(seen)[1],
        "personal": personal_table(seen),
        "no_fairness": _reason(document, "fairness", "it was not assessed in this run"),
        "no_outside": _reason(document, "leave_one_out", "no hospital was left out on trial"),
        "outside_said": outside_sentence(document),
        "outside": outside_table(seen),
        "hospitals": _without(hospital_table(seen), ("Sensitivity", "Specificity")),
    }


def _reason(document: Mapping[str, Any], section: str, otherwise: str) -> str:
    return str(document.get(f"{section}_reason") or otherwise)


def headline(of: OfRun) -> str:
    """The verdict, for somebody who reads no further."""
    fairness = mapping(of.seen.get("fairness"))
    if of.goes_on:
        return "Whether it serves everybody alike is known when the run has ended."
    if not fairness or fairness.get("fair") is None:
        return "Whether it serves everybody alike was not compared."
    broken = len(sequence(fairness.get("violations")))
    if not broken:
        return "No limit of the plan is exceeded between groups or hospitals."
    chance = all(
        mapping(one).get("may_be_chance") is True for one in sequence(fairness.get("violations"))
    )
    many = f"{broken} limits of the plan are" if broken > 1 else "A limit of the plan is"
    return f"{many} exceeded{', which may be chance' if chance else ''}."


def violation_table(seen: Mapping[str, Any]) -> Table | None:
    """What went beyond the plan's thresholds; nothing where nothing did."""
    fairness = mapping(seen.get("fairness"))
    titles = {
        str(mapping(one).get("attribute")): str(mapping(one).get("title"))
        for one in sequence(fairness.get("attributes"))
    }
    rows = [_violation(mapping(one), titles) for one in sequence(fairness.get("violations"))]
    if not rows:
        return None
    return Table(
        "Beyond the plan’s limits",
        (
            ("By", False),
            ("What", False),
            ("Found", True),
            ("The plan’s limit", True),
            ("Between", False),
            ("May be chance", False),
        ),
        tuple(rows),
    )


def _violation(one: Mapping[str, Any], titles: Mapping[str, str]) -> tuple[str, ...]:
    measure = str(one.get("measure"))
    spread = measure == "hospital_variance"

    def figure(value: Any) -> str:
        found = number(value)
        if found is None:
            return "not recorded"
        return f"variance {found:.4f}" if spread else f"{100 * found:.1f}{NBSP}points"

    chance = one.get("may_be_chance")
    return (
        titles.get(str(one.get("attribute")), "Hospital"),
        "Spread of accuracy between hospitals" if spread else MEASURES.get(measure, measure),
        figure(one.get("value")),
        figure(one.get("threshold")),
        " and ".join(str(end) for end in sequence(one.get("between"))) or "all hospitals",
        "not tested" if chance is None else "yes" if chance else "no",
    )


def _withheld(seen: Mapping[str, Any]) -> str:
    """Which groups have no figures of their own."""
    fairness = mapping(seen.get("fairness"))
    found = []
    for one in map(mapping, sequence(fairness.get("attributes"))):
        names = [
            str(mapping(group).get("group"))
            for group in sequence(one.get("groups"))
            if mapping(group).get("withheld")
        ]
        if names:
            found.append(f"{str(one.get('title')).lower()}: {', '.join(names)}")
    if not found:
        return ""
    return (
        f"Withheld, for {FEWER} test patients or because it would give such a group away: "
        f"{'; '.join(found)}."
    )


def _without(table: Table, columns: tuple[str, ...]) -> Table:
    """Rates among the ill or the well stand with the groups, where few of them are withheld."""
    kept = [at for at, label in enumerate(table.labels) if label not in columns]
    rows = tuple(tuple(row[at] for at in kept) for row in table.rows)
    return replace(table, columns=tuple(table.columns[at] for at in kept), rows=rows)


def not_compared(of: OfRun) -> list[WayOut]:
    """What this run did not compare, each with what would."""
    document, found = of.document, []
    waits = NOT_YET if of.goes_on else ""
    fairness = mapping(document.get("fairness"))
    if not fairness or fairness.get("fair") is None:
        reason = fairness.get("reason") or document.get("fairness_reason") or "it was not assessed"
        found.append(
            WayOut(
                "Groups",
                waits or str(reason),
                "fairness.attributes: [sex, age], and hospitals whose policy releases counts by "
                "group",
            )
        )
    for one in map(mapping, sequence(fairness.get("attributes"))):
        if not sequence(one.get("groups")):
            found.append(
                WayOut(
                    str(one.get("title")),
                    str(one.get("reason") or "it was not measured"),
                    (
                        "scores of single hospitals, which each hospital’s policy allows or not"
                        if one.get("attribute") == "hospital"
                        else "a column of that kind in the hospitals’ data, and fairness.attributes"
                    ),
                )
            )
    if not mapping(document.get("comparison")):
        found.append(
            WayOut(
                "Own models against the shared one",
                waits or _reason(document, "comparison", "no own model was trained"),
                "aegis run compares simulated hospitals by itself; any other hospital trains alone "
                "at its own console",
            )
        )
    if not mapping(document.get("leave_one_out")) and not of.goes_on:
        found.append(
            WayOut(
                "Hospitals that took no part",
                _reason(document, "leave_one_out", "no hospital was left out on trial"),
                "federated.evaluate_only names hospitals that only score; aegis run "
                "--leave-one-out leaves each out in turn",
            )
        )
    return found
