"""What each hospital spent of its privacy budget, as far as the coordinator knows it.

A hospital's ledger is its own and counts over all runs; the coordinator has what each run put on
record of it. Over several runs it can only add: by basic composition the sum bounds what one record
is exposed to, and the ledger knows a smaller figure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from aegis.console.coordinator.desk import Desk, Sight
from aegis.console.coordinator.records import log_checks, logbook
from aegis.report.disclosure import LOUD_EPSILON, has_noise, right_guesses
from aegis.report.tables import Table
from aegis.report.wording import counted, mapping, number, sequence, significant
from aegis.store.home import Home
from aegis.store.journal import Journal

LITTLE = 0.2
SAME = 1e-9
BOUNDS = (0.5, 1.0, 2.0, 3.0, 4.0)


@dataclass(frozen=True)
class Budget:
    """One bar. Shares are in per cent of the cap; ``total`` is over ``runs`` runs of the task."""

    hospital: str
    spent: float
    cap: float
    spent_share: float
    said: str
    kind: str
    word: str
    total: float
    runs: int
    delta: float
    reserved: float = 0.0
    reserved_share: float = 0.0
    fault: str = ""


@dataclass(frozen=True)
class Charge:
    """A run's last word on one hospital's ledger."""

    run: str
    epsilon: float
    delta: float
    rows: int
    sha256: str
    transport: str


def charges(journal: Journal, task: str) -> dict[str, list[Charge]]:
    """By hospital, oldest first, over all runs of ``task``."""
    found: dict[str, list[Charge]] = {}
    for run in reversed(journal.runs()):
        if journal.row(run).get("task") != task:
            continue
        transport = str(journal.run(run).options.get("transport") or "inprocess")
        for _, _, event in journal.events(run):
            if event["event"] == "BudgetSpent":
                found.setdefault(event["hospital"], []).append(
                    Charge(
                        run,
                        event["epsilon"],
                        event["delta"],
                        event["ledger_rows"],
                        event["ledger_sha256"],
                        transport,
                    )
                )
    return found


def budgets(desk: Desk, document: Mapping[str, Any], sight: Sight) -> list[Budget]:
    """A bar for each hospital that this person may see, the largest spend first; none for a run
    without noise, or before its end."""
    if not has_noise(document):
        return []
    cap = number(mapping(document.get("privacy")).get("budget"))
    run = str(document.get("run"))
    with desk.reading.journal() as journal:
        known = charges(journal, str(document.get("task")))
    looked = log_checks.checked(desk, logbook.log_name(run))
    broken = {
        str(fault.where).removeprefix("ledger of ").split(",")[0]: fault.what
        for fault in (looked.found.faults if looked else ())
        if str(fault.where).startswith("ledger of ")
    }
    found = []
    for one in map(mapping, sequence(document.get("hospitals"))):
        name, spent = str(one.get("name")), number(one.get("epsilon"))
        if spent is None or cap is None or not sight.sees(name):
            continue
        fault = broken.get(name) or disagreement(one, known.get(name, ()), run)
        found.append(_bar(name, spent, cap, known.get(name, ()), fault))
    return sorted(found, key=lambda bar: (not bar.fault, -bar.spent, bar.hospital))


def _bar(name: str, spent: float, cap: float, charged: Sequence[Charge], fault: str) -> Budget:
    left = max(0.0, cap - spent)
    said = f"{significant(left)} left in this run"
    kind, word = "ok", "Within budget"
    if spent > cap + SAME * max(1.0, cap):
        said = f"{significant(spent - cap)} more than the plan allowed"
        kind, word = "bad", "Above the plan"
    elif left <= SAME * max(1.0, cap):
        said = "all that the plan allowed this run, and no more"
        kind, word = "ok", "Spent as planned"
    elif left <= LITTLE * cap:
        kind, word = "warn", "Little left"
    if fault:
        said, kind, word = fault, "bad", "Ledger and copy disagree"
    total = sum(one.epsilon for one in charged)
    delta = sum(one.delta for one in charged)
    runs = len({one.run for one in charged})
    share = min(100.0, 100.0 * spent / cap) if cap else 100.0
    return Budget(name, spent, cap, share, said, kind, word, total, runs, delta, fault=fault)


def disagreement(hospital: Mapping[str, Any], charged: Sequence[Charge], run: str) -> str:
    """Where the result, the log and the runs before do not say the same of a ledger; or empty."""
    own = [one for one in charged if one.run == run]
    head = mapping(hospital.get("ledger_head"))
    spent = number(hospital.get("epsilon"))
    if not own:
        return "" if not head else "the log does not say what this hospital’s ledger came to"
    last = own[-1]
    if spent is None or abs(spent - last.epsilon) > SAME * max(1.0, last.epsilon):
        return f"the result says epsilon {spent}, the log {last.epsilon}"
    if head and (head.get("rows"), head.get("sha256")) != (last.rows, last.sha256):
        return "the result names another state of the ledger than the log"
    before = [one for one in charged if one.transport != "inprocess"]
    for earlier, later in pairwise(before):
        if later.rows < earlier.rows:
            return (
                f"its ledger had {counted(earlier.rows, 'row')} after {earlier.run} and "
                f"{later.rows:,} after {later.run}: a ledger only grows"
            )
    return ""


def bound_table(spent: float | None) -> Table:
    """What an epsilon promises, with this run's own among the usual ones."""
    values = sorted({*BOUNDS, *([spent] if spent is not None and spent < LOUD_EPSILON else [])})
    rows = [
        (
            f"{significant(value)}{', this run' if spent is not None and value == spent else ''}",
            f"at most {right_guesses(value)} in 100",
        )
        for value in values
    ]
    this = ", this run" if spent is not None and spent >= LOUD_EPSILON else ""
    rows.append(
        (f"{LOUD_EPSILON:g} or more{this}", "this bound alone promises little; see the attacks")
    )
    return Table(
        "Guesses that are right, whether one record was used",
        (("Epsilon", False), ("Right guesses", False)),
        tuple(rows),
        "By tossing a coin 50 in 100 are right. The bound is e^epsilon / (1 + e^epsilon), with "
        "delta near 0, whoever guesses and whatever else they know.",
    )


def questions(home: Home, sight: Sight, most: int = 50) -> tuple[int, list[dict[str, Any]]]:
    """How many questions were asked, and the last ones. Whoever belongs to one hospital hears of
    no other one's answers."""
    path = home.root / "logs" / "queries.jsonl"
    try:
        written = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0, []
    found = []
    for line in reversed(written[-most:]):
        try:
            one = json.loads(line)
            answered, refused = list(one["answered"]), dict(one["refused"])
            found.append(
                {
                    "broken": False,
                    "time": one["time"],
                    "task": one["task"],
                    "asked": _asked(one["question"]),
                    "sha256": one["question_sha256"],
                    "epsilon": one["epsilon"],
                    "delta": one["delta"],
                    "answered": len(answered),
                    "refused": (
                        [f"{name}: {why}" for name, why in refused.items() if sight.sees(name)]
                    ),
                    "refusals": len(refused),
                }
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            found.append({"time": "", "broken": True})
    return len(written), found


def _asked(question: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in question.items() if value not in (None, []))
