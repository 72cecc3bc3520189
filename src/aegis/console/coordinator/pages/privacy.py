"""Privacy: what was spent, and what could leak?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from aegis.console.coordinator.desk import Desk, Sight, current, desk_of, picked
from aegis.console.coordinator.live import Parts, live
from aegis.console.coordinator.of_run import of_run
from aegis.console.coordinator.pages.budgets import SAME, bound_table, budgets, questions
from aegis.console.coordinator.pages.curves import Figure
from aegis.console.coordinator.pages.evidence import badges_of
from aegis.console.coordinator.pages.proposals import proposals_of
from aegis.console.people.rights import Person, Right, may
from aegis.console.reading import NEVER
from aegis.console.spending import Spending, spending_by_round
from aegis.console.window.rendering import fragment, render
from aegis.report.charts import Curve, Line, axis, rounds_axis, thinned
from aegis.report.disclosure import LOUD_EPSILON, disclosures, epsilon, has_noise
from aegis.report.statement import statement
from aegis.report.tables import Table
from aegis.report.wording import mapping, number, score, sequence, significant

router = APIRouter()
UNKNOWN: Mapping[str, Any] = dict.fromkeys(
    ("verdict", "passed", "interpretation", "members", "nonmembers", "hospitals",
     "reference_models", "text")
)  # fmt: skip
PARTS = ("privacy_status", "privacy_budgets", "privacy_spend")


@router.get("/privacy", include_in_schema=False)
def privacy(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    desk, run = desk_of(request), picked(request)
    found = content(desk, Sight.of(person), run)
    there = proposals_of(request)
    found["waiting"] = 0 if there is None else len(there.waiting())
    pinned = f"?run={run}" if request.query_params.get("run") else ""
    return render(request, "coordinator/privacy.html", live=f"/live/privacy{pinned}", **found)


@live("privacy")
def parts(desk: Desk, sight: Sight, run: str | None) -> Parts:
    found = content(desk, sight, run or current(desk))
    if found["of"] is None:
        return {}
    return {name: fragment(f"partials/{name}.html", **found) for name in PARTS}


def content(desk: Desk, sight: Sight, run: str | None) -> dict[str, Any]:
    of = of_run(desk, sight, run)
    total, asked = questions(desk.home, sight)
    shared = {"of": of, "questions": asked, "asked": total, "seen_all": sight.only is None}
    if of is None or run is None:
        return shared | {"bounds": bound_table(None)}
    bars = budgets(desk, of.document, sight)
    spent = epsilon(of.document) if has_noise(of.document) else None
    spending = spending_by_round(desk.reading.folder(run), run, desk.reading.plan(run), sight.sees)
    audit = {**UNKNOWN, **mapping(of.seen.get("membership_audit"))}
    return shared | {
        "headline": headline(of.document, spent),
        "noise": has_noise(of.document),
        "privacy": mapping(of.document.get("privacy")),
        "bars": bars,
        "no_bars": _no_bars(of.document, bars),
        "totals": any(bar.runs > 1 for bar in bars),
        "spend": spend_figure(spending),
        "disclosures": disclosures(of.seen),
        "statement": statement(of.seen),
        "audit": audit,
        "no_audit": str(
            of.document.get("membership_audit_reason") or "no attack is part of this result"
        ),
        "attacks": attack_table(audit),
        "control": control_sentence(audit),
        "badges": badges_of(desk, sight, run),
        "bounds": bound_table(spent),
        "loud": spent is not None and spent >= LOUD_EPSILON,
    }


def headline(document: Mapping[str, Any], spent: float | None) -> str:
    if not has_noise(document):
        return "No noise was added, so nothing bounds what the model gives away"
    privacy = mapping(document.get("privacy"))
    if spent is None and privacy.get("reason") == NEVER:
        return "Noise was added; the run ended before its cost was asked for"
    if spent is None:
        return "Noise is added; what it costs is known when the run has ended"
    cap = number(privacy.get("budget"))
    of = "" if cap is None else f" of {cap:.2f}"
    every = [number(mapping(one).get("epsilon")) for one in sequence(document.get("hospitals"))]
    alike = all(one is not None and abs(one - spent) < SAME for one in every)
    who = "Every hospital spent" if alike else "The hospital that spent most spent"
    return f"{who} epsilon {spent:.2f}{of}"


def _no_bars(document: Mapping[str, Any], bars: list[Any]) -> str:
    if bars:
        return ""
    privacy = mapping(document.get("privacy"))
    if not has_noise(document) or number(privacy.get("epsilon")) is None:
        return str(privacy.get("reason") or "this run charged no budget")
    return "no hospital’s spend is part of this result that you may see"


def spend_figure(spending: Spending) -> Figure:
    """Epsilon after each round, at the hospital that spent most."""
    title = "Epsilon spent, round by round"
    rounds = sorted(spending.epsilon)
    if not rounds:
        return Figure(title, None, None, spending.reason)
    way = [(float(one), spending.epsilon[one]) for one in rounds]
    shown = thinned(way)
    x, y = rounds_axis(way), axis([0.0, *(value for _, value in way)], floor=0.0)
    dots = tuple((x.at(at), round(100 - y.at(value), 2)) for at, value in shown)
    first = f"{rounds[0]}{', the statistics' if rounds[0] == 0 else ''}"
    finding = (
        f"Epsilon {significant(way[-1][1])} after round {rounds[-1]} at {spending.where} "
        f"({spending.how}); {significant(way[0][1])} after round {first}."
    )
    chart = Curve(
        "spend",
        title,
        finding,
        tuple((round(100 - at, 2), label) for at, label in y.labels(lambda v: f"{v:.3g}")),
        x.labels(lambda value: f"{value:.0f}"),
        (
            Line(
                "shared", "Epsilon", "M" + "L".join(f"{a:.2f} {b:.2f}" for a, b in dots), dots[-1:]
            ),
        ),
        "",
        len(shown),
        len(way),
    )
    kept = [way[i] for i in sorted({round(k * (len(way) - 1) / 11) for k in range(12)})]
    before = dict(zip(rounds, [0.0, *(value for _, value in way)], strict=False))
    table = Table(
        "What each round cost",
        (("Round", False), ("Epsilon so far", True), ("In this round", True), ("Noise", True)),
        tuple(
            (
                "0, the statistics" if at == 0 else f"{at:.0f}",
                f"{value:.4g}",
                f"{value - before[int(at)]:.3g}",
                f"{spending.noise[int(at)]:.3g}" if int(at) in spending.noise else "not recorded",
            )
            for at, value in kept
        ),
        "Noise is the multiplier of the sensitivity. Costs shrink from round to round because "
        "epsilons of noisy sums do not add up one to one."
        + ("" if len(kept) == len(way) else " Every round is in the CSV of the technical page."),
    )
    return Figure(title, chart, table)


def attack_table(audit: Mapping[str, Any]) -> Table | None:
    """Each attack with its interval; the grades stand in the audit's own text alone."""
    tried = mapping(audit.get("membership_inference_attack"))
    if not tried:
        return None

    def said(one: Mapping[str, Any], key: str) -> str:
        value, pair = number(one.get(key)), one.get(f"{key}_ci95")
        if value is None:
            return "n/a: not measured"
        if not isinstance(pair, list) or len(pair) != 2 or None in pair:
            return score(value)
        return f"{score(value)} ({score(pair[0])} to {score(pair[1])})"

    return Table(
        "How well each attack tells training patients from others: AUC with 95 % interval",
        (("Attack", False), ("On this model", True), ("On models trained the same way", True),
         ("Above 0.60", False)),
        tuple(
            (
                str(name).replace("_", " "),
                said(mapping(one), "auc"),
                said(mapping(one), "recipe_auc"),
                "yes" if mapping(one).get("vulnerable") else "no",
            )
            for name, one in tried.items()
        ),
        "0.5 is guessing, 1 is always right.",
    )  # fmt: skip


def control_sentence(audit: Mapping[str, Any]) -> str:
    """Whether the attacks work at all: what they find in a twin that overfits."""
    control = mapping(audit.get("positive_control"))
    auc, pair = number(control.get("auc")), control.get("auc_ci95")
    if auc is None:
        return "No positive control was run, so attacks that find nothing say nothing."
    sure = f" ({score(pair[0])} to {score(pair[1])})" if isinstance(pair, list) else ""
    caught = control.get("caught") is True
    return (
        f"Positive control: the same attack on a twin trained to overfit reached AUC {score(auc)}"
        f"{sure}, and {'at least' if caught else 'it needs'} {control.get('needs')}"
        f"{' was needed: the attacks work' if caught else ': they cannot be relied on'}."
    )
