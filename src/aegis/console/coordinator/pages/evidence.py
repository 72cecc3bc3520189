"""Evidence badges: what was checked of a run, by whom, when, and how it is checked again.

A badge exists only where the run holds a record of the check, or of why it was not made; each names
that record. Nothing is a badge because it ought to be true. Badges link to their full text on the
privacy page (``Badge.path``); there each has its own anchor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from aegis.console.coordinator.api.withholding import as_seen
from aegis.console.coordinator.desk import Desk, Sight
from aegis.console.reading import NEVER, NOT_YET
from aegis.report.disclosure import attacked, has_noise
from aegis.report.fairness_page import verdict_tag
from aegis.report.wording import counted, mapping, number, sequence, significant

State = Literal["checked", "not_checked", "may_be_chance", "failed", "not_applicable"]
WORDS: Mapping[State, tuple[str, str]] = {
    "checked": ("ok", "Checked"),
    "not_checked": ("off", "Not checked"),
    "may_be_chance": ("warn", "Limit exceeded, may be chance"),
    "failed": ("bad", "Failed"),
    "not_applicable": ("off", "Not applicable"),
}
Records = Sequence[tuple[int, str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Badge:
    """``record`` is where in the run's result the evidence stands; ``when`` is ISO 8601 or empty;
    ``digest`` is what the check was of, hexadecimal or empty."""

    key: str
    short: str
    claim: str
    state: State
    what: str
    who: str
    when: str
    run: str
    round: int | None
    digest: str
    command: str
    record: str

    @property
    def kind(self) -> str:
        return WORDS[self.state][0]

    @property
    def word(self) -> str:
        return WORDS[self.state][1]

    @property
    def label(self) -> str:
        """On the badge itself."""
        return f"{self.short}: {self.word.lower()}"

    @property
    def path(self) -> str:
        return f"/privacy?run={quote(self.run)}#evidence-{self.key}"


def badges_of(desk: Desk, sight: Sight, run: str) -> tuple[Badge, ...]:
    """The badges of a run, as this person may see them. Raises ``NotFound``."""
    return badges(as_seen(desk.reading.document(run), sight), desk.reading.events(run))


def badges(document: Mapping[str, Any], records: Records = ()) -> tuple[Badge, ...]:
    """``document`` is a run's result, or what is known of it; ``records`` its stored events, from
    which the times come. A run that goes on has no badges yet."""
    found: list[Badge] = []
    for make in (_log, _sums, _ledgers, _audit, _fairness, _model):
        found += make(document, records)
    return tuple(found)


def _log(document: Mapping[str, Any], records: Records) -> Iterator[Badge]:
    log = mapping(document.get("audit_log"))
    if not log:
        why = _recorded(document, "audit_log")
        if why:
            yield _badge(
                document, "log", "Log", "The log of this run is whole", "not_checked", why,
                "nobody", "", "", "audit_log_reason",
            )  # fmt: skip
        return
    size, signed = int(log.get("size") or 0), int(log.get("checkpoints") or 0)
    bad = log.get("first_bad")
    what = (
        f"{size:,} entries, {counted(signed, 'checkpoint')}, every signature, the line of models "
        "and what the result says of it" + (f". First bad: {bad}" if bad else "")
    )
    who = (
        "the coordinator, when the run ended; the last checkpoint was cosigned by "
        f"{counted(int(log.get('witnesses') or 0), 'hospital')}"
    )
    state: State = "checked" if log.get("verified") is True else "failed"
    yield _badge(
        document, "log", "Log", "The log of this run is whole", state, what, who,
        _time(records, "ModelStored", "RunEnded"), str(log.get("root") or ""), "audit_log",
    )  # fmt: skip


def _sums(document: Mapping[str, Any], records: Records) -> Iterator[Badge]:
    """Whether each round's updates went into a sealed sum."""
    log = mapping(document.get("audit_log"))
    trust = document.get("trust")
    if not log or trust not in ("masked", "grouped", "open"):
        return
    claim = "The coordinator saw sums of updates only"
    command = f"aegis audit verify {document.get('run')}"
    if trust == "open":
        yield _badge(
            document, "sums", "Sealed sums", claim, "not_applicable",
            "this run was in open mode: the coordinator saw each hospital’s update", "the plan",
            _time(records, "RunStarted"), str(document.get("plan_sha256") or ""), "trust", command,
        )  # fmt: skip
        return
    closed = {event["round"] for _, _, event in records if event["event"] == "RoundClosed"}
    opened = [
        (time, event)
        for _, time, event in records
        if event["event"] == "SumOpened" and event["purpose"] == "train" and event["signatures"]
    ]
    if not closed or not opened:
        return
    missing = sorted(closed - {event["round"] for _, event in opened})
    whole = not missing and log.get("verified") is True
    each = sum(len(mapping(event["signatures"])) for _, event in opened)
    what = f"{counted(each, 'signed commitment')} of hospitals to what went into {len(opened)} sums"
    if missing:
        what += f"; rounds without one: {', '.join(map(str, missing[:5]))}"
    elif not whole:
        what += "; but the log that holds them does not hold"
    yield _badge(
        document, "sums", "Sealed sums", claim, "checked" if whole else "failed", what,
        "each hospital, for its own part; the coordinator for the log", opened[-1][0],
        str(opened[-1][1].get("roster_sha256") or ""), "audit_log", command,
    )  # fmt: skip


def _ledgers(document: Mapping[str, Any], records: Records) -> Iterator[Badge]:
    claim = "What each hospital spent follows from its own ledger"
    privacy, log = mapping(document.get("privacy")), mapping(document.get("audit_log"))
    if not has_noise(document):
        why = privacy.get("reason")
        if isinstance(why, str) and why and log:
            yield _badge(
                document, "ledgers", "Privacy spend", claim, "not_applicable", why, "the plan",
                _time(records, "RunStarted"), str(document.get("plan_sha256") or ""),
                "privacy.reason",
            )  # fmt: skip
        return
    heads = [mapping(one).get("ledger_head") for one in sequence(document.get("hospitals"))]
    kept = [mapping(head) for head in heads if head]
    spent = [event for _, _, event in records if event["event"] == "BudgetSpent"]
    if not log or not kept:
        return
    digest = str(kept[-1].get("sha256") or "")
    when = _time(records, "BudgetSpent")
    if document.get("transport") != "inprocess":
        yield _badge(
            document, "ledgers", "Privacy spend", claim, "not_checked",
            "the ledgers are the hospitals’ own; each told the coordinator how far it had come, "
            "and that is on record", "each hospital, for itself", when, digest,
            "hospitals[].ledger_head",
        )  # fmt: skip
        return
    state: State = "checked" if log.get("verified") is True else "failed"
    most = max((number(one.get("epsilon")) or 0.0 for one in spent), default=None)
    what = f"the chain of {counted(len(kept), 'ledger')}, and epsilon from the noise they record"
    if most is not None:
        what += f" (largest: {significant(most)})"
    yield _badge(
        document, "ledgers", "Privacy spend", claim, state, what,
        "the simulation, which has all ledgers at hand", when, digest, "hospitals[].ledger_head",
    )  # fmt: skip


def _audit(document: Mapping[str, Any], records: Records) -> Iterator[Badge]:
    claim = "Attacks cannot tell who was in the training"
    audit = mapping(document.get("membership_audit"))
    command = f"aegis audit membership {document.get('run')}"
    sha256 = str(document.get("model_sha256") or "")
    if not audit.get("verdict"):
        why = _recorded(document, "membership_audit")
        if why:
            yield _badge(
                document, "audit", "Attack test", claim, "not_checked", why, "nobody", "", sha256,
                "membership_audit_reason", command,
            )  # fmt: skip
        return
    states: Mapping[str, State] = {"safe": "checked", "vulnerable": "failed"}
    yield _badge(
        document, "audit", "Attack test", claim,
        states.get(str(audit["verdict"]), "not_checked"), attacked(document),
        "the simulation, with all rows at hand", _time(records, "MembershipAudited"), sha256,
        "membership_audit", command,
    )  # fmt: skip


def _fairness(document: Mapping[str, Any], records: Records) -> Iterator[Badge]:
    claim = "No limit of the plan on fairness is exceeded"
    found = mapping(document.get("fairness"))
    reason = found.get("reason") or _recorded(document, "fairness")
    sha256 = str(document.get("model_sha256") or "")
    command = f"aegis report {document.get('run')}"
    if isinstance(found.get("fair"), bool):
        states: Mapping[str, State] = {"ok": "checked", "warn": "may_be_chance", "bad": "failed"}
        state = states[verdict_tag(found)[0]]
        yield _badge(
            document, "fairness", "Fairness", claim, state, str(found.get("sentence") or ""),
            "the coordinator, from counts that hospitals released",
            _time(records, "FairnessAssessed"), sha256, "fairness", command,
        )  # fmt: skip
    elif isinstance(reason, str) and reason:
        yield _badge(
            document, "fairness", "Fairness", claim, "not_checked", reason, "nobody", "", sha256,
            "fairness.reason" if found else "fairness_reason", command,
        )  # fmt: skip


def _model(document: Mapping[str, Any], records: Records) -> Iterator[Badge]:
    """The line of models is part of the log's verification."""
    log, sha256 = mapping(document.get("audit_log")), str(document.get("model_sha256") or "")
    stored = [event for _, _, event in records if event["event"] == "ModelStored"]
    if not log or not sha256 or not stored:
        return
    same = stored[-1]["model_sha256"] == sha256
    state: State = "checked" if same and log.get("verified") is True else "failed"
    yield _badge(
        document, "model", "Model", "The stored model is the one these rounds came to", state,
        "each round starts from the model that the last one closed with, and the file has the hash "
        "that the log names", "the coordinator, when the run ended", _time(records, "ModelStored"),
        sha256, "model_sha256", f"aegis models verify {sha256[:12]}",
    )  # fmt: skip


def _badge(
    document: Mapping[str, Any],
    key: str,
    short: str,
    claim: str,
    state: State,
    what: str,
    who: str,
    when: str,
    digest: str,
    record: str,
    command: str = "",
) -> Badge:
    run = str(document.get("run"))
    found = document.get("chosen_round")
    again = command or f"aegis audit verify {run}"
    return Badge(
        key, short, claim, state, what.rstrip("."), who, when, run,
        found if isinstance(found, int) else None, digest, again, record,
    )  # fmt: skip


def _recorded(document: Mapping[str, Any], section: str) -> str:
    """Why a check was not made, where the result says so; a run that goes on has not said."""
    found = document.get(f"{section}_reason")
    return found if isinstance(found, str) and found not in (NOT_YET, NEVER) else ""


def _time(records: Records, *events: str) -> str:
    """When the last of the first kind that is there was recorded."""
    for event in events:
        times = [time for _, time, fields in records if fields["event"] == event]
        if times:
            return times[-1]
    return ""
