"""What was spent, as a bar, a list and a line that only goes down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aegis.console.hospital.desk import HospitalDesk
from aegis.errors import AegisError
from aegis.hospital.chain import recorded
from aegis.privacy.accounting import event_from_json
from aegis.privacy.filters import enforced_epsilon
from aegis.report.charts import Axis, Curve, Line, axis
from aegis.report.tables import Table

MOST_STEPS = 400


@dataclass(frozen=True)
class Step:
    """After release ``number`` at ``time`` for ``run``, ``left`` of the cap was left."""

    number: int
    time: str
    run: str
    what: str
    spent: float
    left: float


def steps(desk: HospitalDesk) -> tuple[Step, ...]:
    """Every charge in order, by what the hospital enforces; empty without a cap or a ledger."""
    money = desk.money()
    cap, delta = money["epsilon_total"], money["delta"]
    if cap is None or not desk.folder.ledger.exists():
        return ()
    try:
        rows, _ = recorded(desk.folder.ledger)
    except AegisError:
        return ()
    found = []
    charged = [row for row in rows if row.kind == "reserved"]
    events = [event_from_json(row.detail) for row in charged]
    for number, row in enumerate(charged, 1):
        if len(charged) > MOST_STEPS and number % (len(charged) // MOST_STEPS + 1):
            continue
        spent = enforced_epsilon(events[:number], delta)
        what = f"{row.purpose}, round {row.round}"
        found.append(Step(number, row.time, row.run, what, spent, max(0.0, cap - spent)))
    return tuple(found)


def step_line(found: tuple[Step, ...], cap: float) -> Curve | None:
    """What is left after each release, as a staircase."""
    if not found:
        return None
    y = axis([0.0, cap], floor=0.0)
    last = found[-1].number
    x = Axis(0.0, float(max(1, last)), (0.0, float(last)))
    points = [(0.0, cap)]
    for step in found:
        points += [(float(step.number), points[-1][1]), (float(step.number), step.left)]
    path = "M" + "L".join(f"{x.at(at):.2f} {100 - y.at(left):.2f}" for at, left in points)
    end = (x.at(points[-1][0]), round(100 - y.at(points[-1][1]), 2))
    return Curve(
        "left",
        "Epsilon left after each release",
        f"{found[-1].left:.2f} of {cap:g} epsilon is left after {last:,} releases.",
        tuple((round(100 - at, 2), label) for at, label in y.labels(lambda value: f"{value:g}")),
        x.labels(lambda value: f"{value:.0f}"),
        (Line("shared", "Epsilon left", path, (end,)),),
        "",
        len(found),
        last,
    )


def step_table(found: tuple[Step, ...]) -> Table:
    rows = tuple(
        (
            f"{one.number:,}",
            one.time[:19].replace("T", " "),
            one.run,
            one.what,
            f"{one.spent:.3f}",
            f"{one.left:.3f}",
        )
        for one in found[-200:][::-1]
    )
    columns = (
        ("Release", False),
        ("Time (UTC)", False),
        ("Run", False),
        ("For", False),
        ("Spent in all (epsilon)", True),
        ("Left (epsilon)", True),
    )
    return Table("Every charge, the latest first", columns, rows)


def run_table(money: dict[str, Any]) -> Table:
    rows = tuple((one["run"], f"{one['epsilon']:.3f}") for one in money["runs"])
    note = "Runs add to less than their sum: what is spent is worked out over all releases."
    columns = (("Run", False), ("Spent (epsilon)", True))
    return Table("What each run spent", columns, rows, note if len(rows) > 1 else "")
