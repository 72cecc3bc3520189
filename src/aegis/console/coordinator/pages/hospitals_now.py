"""Each hospital as it stands now: a tile with its state, and what follows from it in a sentence.

Who is connected the coordinator knows; what became of a hospital in a run stands in the run's
events. What a hospital's policy does not let out is not here, and a person of one hospital sees
that hospital's tile only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aegis.console.coordinator.desk import Desk, Sight
from aegis.console.window.formats import score, utc
from aegis.plan import Plan
from aegis.report.withheld import kept_back
from aegis.report.wording import mapping, number, patients

STATES: dict[str, str] = {
    "": "All",
    "here": "Connected",
    "working": "Training or reported",
    "missing": "Missing, late or sitting out",
    "offline": "Offline",
    "flagged": "Flagged or set aside",
}
UNCOVERED = (
    "Scores of single hospitals are what each hospital’s policy releases; they are not covered by "
    "epsilon."
)
MOST_BARS = 16  # above, a tile says its budget in words: the page stays light


@dataclass(frozen=True)
class Budget:
    """In epsilon; shares in percent of the bar."""

    spent: float
    cap: float
    spent_share: float
    said: str
    reserved: float = 0.0
    reserved_share: float = 0.0


@dataclass(frozen=True)
class Tile:
    """``kind`` and ``word`` are its state's tag; ``groups`` the filters that it passes; ``seen`` in
    seconds since 1970, None where it is simulated or never was there."""

    name: str
    kind: str
    word: str
    said: str
    groups: frozenset[str]
    away: bool = False
    simulated: bool = False
    seen: float | None = None
    flags: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    budget: Budget | None = None


@dataclass(frozen=True)
class Hospitals:
    """``counts`` by filter; ``withheld`` says that others are not shown."""

    tiles: tuple[Tile, ...]
    counts: Mapping[str, int]
    total: int
    present: int
    scores: bool
    withheld: bool


@dataclass
class Course:
    """What a run's events say of its hospitals so far. ``missing`` and ``aside`` are those of the
    last round, with the reason."""

    joined: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    round: int = 0
    opened: str = ""
    attempt: int = 1
    open: bool = False
    asked: frozenset[str] = frozenset()
    used: frozenset[str] = frozenset()
    missing: dict[str, str] = field(default_factory=dict)
    aside: dict[str, str] = field(default_factory=dict)
    flagged: dict[str, tuple[int, str]] = field(default_factory=dict)
    scores: dict[str, tuple[int, Mapping[str, Any]]] = field(default_factory=dict)
    spent: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    closed: int = 0
    lost: int = 0
    ended: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, records: Iterable[tuple[int, str, Mapping[str, Any]]]) -> Course:
        found = cls()
        for _, time, event in records:
            found.take(time, event)
        return found

    def take(self, time: str, event: Mapping[str, Any]) -> None:
        match event["event"]:
            case "HospitalJoined":
                self.joined[event["hospital"]] = event
                self.missing.pop(event["hospital"], None)
            case "RoundOpened":
                self.round, self.attempt = event["round"], event["attempt"]
                self.opened, self.open = time, True
                self.asked, self.used = frozenset(event["asked"]), frozenset()
                self.missing, self.aside = {}, {}
            case "HospitalAbsent":
                self.missing[event["hospital"]] = event["reason"]
            case "ReplyQuarantined":
                self.aside[event["hospital"]] = event["reason"]
            case "RoundAggregated":
                self.used = frozenset(event["hospitals"])
            case "HospitalFlagged":
                why = event.get("reason") or event["detector"]
                for name in str(event["hospital"]).split(", "):
                    self.flagged[name] = (event["round"], why)
            case "RoundClosed":
                self.open, self.closed = False, self.closed + 1
                for name, metrics in event["hospitals"].items():
                    self.scores[name] = (event["round"], metrics)
            case "RoundRejected":
                self.lost += 1
            case "BudgetSpent":
                self.spent[event["hospital"]] = event
            case "RunEnded":
                self.open, self.ended = False, event
            case _:  # nothing that a tile shows
                pass

    @property
    def hospitals(self) -> list[str]:
        return list(dict.fromkeys([*self.joined, *self.missing]))


def course_of(desk: Desk, run: str | None) -> Course:
    return Course() if run is None else Course.of(desk.reading.events(run))


def hospitals_now(
    desk: Desk, sight: Sight, run: str | None, wanted: str = "", course: Course | None = None
) -> Hospitals:
    """Members, and whoever takes part in ``run``; ``wanted`` is one of ``STATES``."""
    course = course_of(desk, run) if course is None else course
    state = desk.state()
    members = {one["name"]: one for one in state["hospitals"]}
    plan = desk.reading.plan(run) if run is not None else None
    line = desk.reading.line(run) if run is not None else None
    over = line is None or line.over
    simulated = line is not None and line.transport == "inprocess"
    # A rehearsal's hospitals are shown while it goes on, or where there are no others.
    if simulated and members and state["run"] != run:
        names, course, plan, over, simulated = list(members), Course(), None, True, False
    elif simulated:
        names = course.hospitals
    else:
        names = list(dict.fromkeys([*members, *course.hospitals]))
    seen = [name for name in names if sight.sees(name)]
    bars = len(seen) <= MOST_BARS
    made = [_tile(name, members.get(name), course, plan, over, simulated, bars) for name in seen]
    counts = {group: sum(group in one.groups for one in made) for group in STATES}
    return Hospitals(
        tuple(one for one in made if wanted in one.groups),
        counts,
        len(names),
        sum(bool(one["present"]) for one in members.values()),
        any(name in course.scores for name in seen),
        len(seen) < len(names),
    )


def _tile(
    name: str,
    member: Mapping[str, Any] | None,
    course: Course,
    plan: Plan | None,
    over: bool,
    simulated: bool,
    bars: bool,
) -> Tile:
    here = simulated or bool(member and member["present"])
    away = not here
    kind, word, said, group = _state(name, here, simulated, member is None, course, plan, over)
    groups = {"", group} if group else {""}
    groups.add("offline" if away else "here")
    flags = []
    if name in course.flagged:
        at, _ = course.flagged[name]
        flags.append(f"Flagged in round {at}")
    if flags or name in course.aside:
        groups.add("flagged")
    budget, spent = _budget(name, course, plan)
    facts = [*_facts(name, course, away), *([] if bars and budget else spent)]
    return Tile(
        name,
        kind,
        word,
        said,
        frozenset(groups),
        away,
        simulated,
        None if member is None else member.get("seen"),
        tuple(flags),
        tuple(facts),
        budget if bars else None,
    )


def _state(
    name: str,
    here: bool,
    simulated: bool,
    stranger: bool,
    course: Course,
    plan: Plan | None,
    over: bool,
) -> tuple[str, str, str, str]:
    """(kind, word, sentence, filter)."""
    took_part = name in course.joined
    if over:
        past = _past(name, course)
        if simulated and took_part:
            return "ok", "Took part", past, ""
        if not here:
            word = "Not connected" if stranger else "Offline"
            return "off", word, past or "It takes part again once it connects.", ""
        return "ok", "Connected", past or "Ready for the next run.", ""
    if name in course.aside:
        why = _shortened(course.aside[name])
        said = f"Its answer of round {course.round} was set aside: {why}"
        return "bad", "Excluded", said, "missing"
    if not here:
        said = "Sits out until it connects again. Nothing is sent to it."
        return "off", "Offline", said, "missing" if took_part else ""
    if name in course.missing:
        return _missing(name, course)
    if not took_part:
        return "off", "Waiting", "Not in this run so far; it is asked when the run begins.", ""
    if name in course.used:
        said = f"Its part of round {course.round} is in the shared model."
        return "ok", "Reported", said, "working"
    if course.open and name in course.asked:
        return "info", "Training", _awaited(course, plan), "working"
    if course.open:
        return "off", "Waiting", f"Not asked in round {course.round}.", ""
    return "ok", "Ready", "Waits for the next round.", ""


def _missing(name: str, course: Course) -> tuple[str, str, str, str]:
    why = course.missing[name]
    said = f"Missing in round {course.round}: {_shortened(why)}"
    if "budget" in why or "epsilon" in why:
        plain = _shortened(why.removeprefix("refused: "))
        return "off", "Sits out", f"{plain[:1].upper()}{plain[1:]} Nothing is sent.", "missing"
    if why.startswith("refused"):
        return "warn", "Declined", said, "missing"
    return "warn", "Late", said, "missing"


def _awaited(course: Course, plan: Plan | None) -> str:
    if plan is None or not course.opened:
        return f"Trains for round {course.round}."
    until = datetime.fromisoformat(course.opened) + timedelta(seconds=plan.federated.deadline_s)
    return f"Trains for round {course.round}; it is awaited until {until:%H:%M:%S} UTC."


def _past(name: str, course: Course) -> str:
    if name not in course.joined:
        return "Took no part in the latest run." if course.ended else ""
    if name in course.missing and course.ended is not None:
        return f"Was missing at the end of the latest run: {_shortened(course.missing[name])}"
    return f"Took part in the latest run, {course.closed} rounds."


def _facts(name: str, course: Course, away: bool) -> list[tuple[str, str]]:
    found = []
    if name in course.scores:
        at, metrics = course.scores[name]
        sizes = {one: number(of.get("examples")) for one, (_, of) in course.scores.items()}
        why = kept_back(sizes).get(name)
        if why is not None:
            found.append(("Scores here", why.replace("n/a:", "withheld:")))
            metrics = {}
        last = ", last known" if away else ""
        for key, title in (("auc", "AUC here"), ("accuracy", "Accuracy here")):
            value = number(metrics.get(key))
            if value is not None:
                found.append((f"{title}{last}", f"{score(value)} after round {at}"))
    elif name in course.joined and course.closed:
        found.append(("Scores here", "not released"))
    if name in course.joined:
        found.append(("Patients (rounded)", rounded(course.joined[name]["examples"])))
    return found


def rounded(value: Any) -> str:
    """A number of patients to two figures, small ones hidden."""
    n = number(value)
    if n is None or n < 10:
        return patients(value)
    step = 10 ** max(1, len(str(int(n))) - 2)
    return f"about {round(n / step) * step:,.0f}"


def _budget(
    name: str, course: Course, plan: Plan | None
) -> tuple[Budget | None, list[tuple[str, str]]]:
    if plan is None or not plan.privacy.enabled or name not in course.joined:
        return None, []
    cap = plan.privacy.epsilon_budget
    told = course.spent.get(name)
    if told is None:
        return None, [("This run may spend", f"{cap:.2f} epsilon")]
    spent = float(told["epsilon"])
    share = min(100.0, 100 * spent / cap) if cap > 0 else 100.0
    left = max(0.0, cap - spent)
    said = f"{left:.2f} of this run left" if left >= 0.005 else "this run’s share is used up"
    return Budget(spent, cap, share, said), [("Spent in this run", f"{spent:.2f} epsilon")]


def _shortened(text: str) -> str:
    plain = "".join(one if one.isprintable() else " " for one in text)
    return (plain if len(plain) <= 160 else f"{plain[:157]}...").rstrip(".") + "."


@dataclass(frozen=True)
class PastRun:
    """One run as one hospital saw it."""

    run: str
    task: str
    started: str
    status: str
    patients: str
    rounds: str
    missing: int
    aside: int
    flagged: int
    spent: str


def history_of_hospital(desk: Desk, name: str, most: int = 20) -> tuple[PastRun, ...]:
    """The latest runs in which it took part or was asked to."""
    found = []
    for line in desk.reading.lines(most):
        events = [event for _, _, event in desk.reading.events(line.run)]
        joined = [e for e in _of(events, "HospitalJoined") if e["hospital"] == name]
        absent = [e for e in _of(events, "HospitalAbsent") if e["hospital"] == name]
        if not joined and not absent:
            continue
        closed = _of(events, "RoundClosed")
        here = sum(name not in one["absent"] for one in closed) if joined else 0
        spent = [e for e in _of(events, "BudgetSpent") if e["hospital"] == name]
        found.append(
            PastRun(
                line.run,
                line.task,
                utc(line.started),
                line.status,
                rounded(joined[-1]["examples"]) if joined else "not told",
                f"{here} of {len(closed)}",
                len(absent),
                sum(e["hospital"] == name for e in _of(events, "ReplyQuarantined")),
                sum(name in str(e["hospital"]).split(", ") for e in _of(events, "HospitalFlagged")),
                f"{spent[-1]['epsilon']:.2f} epsilon" if spent else "not charged",
            )
        )
    return tuple(found)


def _of(events: Sequence[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    return [mapping(event) for event in events if event["event"] == kind]
