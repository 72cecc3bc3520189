"""What an entry of the log says, in a sentence, and what it proves and does not prove.

Every figure comes from the entry itself. A kind that is not known here, for a later version wrote
it, is named as it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aegis.report.wording import counted, mapping, number, percent, sequence, significant

Fields = Mapping[str, Any]
COORDINATOR = "coordinator"

KINDS: dict[str, str] = {
    "RosterFixed": "Keys fixed",
    "RunStarted": "Run started",
    "HospitalJoined": "Hospital joined",
    "StatisticsReleased": "Statistics released",
    "RoundOpened": "Round opened",
    "ReplyQuarantined": "Reply set aside",
    "HospitalAbsent": "Hospital missing",
    "SumOpened": "Sum opened",
    "RoundAggregated": "Updates combined",
    "RoundClosed": "Round closed",
    "RoundRejected": "Round rejected",
    "HospitalFlagged": "Update flagged",
    "WitnessRefused": "Witness refused",
    "RunEnded": "Run ended",
    "BudgetSpent": "Budget spent",
    "ModelStored": "Model stored",
    "MembershipAudited": "Model attacked",
    "FairnessAssessed": "Fairness assessed",
    "ModelPromoted": "Model promoted",
    "ConfigChanged": "Setting changed",
    "KeyChanged": "Key changed",
    "Exported": "Exported",
    "RunSealed": "Log closed",
}

_BY_HOSPITAL = {
    "HospitalJoined",
    "BudgetSpent",
}
_PROVES: dict[str, str] = {
    "RosterFixed": "which keys sign this log, since before anything was trained",
    "HospitalJoined": "how many patients the hospital said it had, and who let the plan in there",
    "SumOpened": "what each hospital signed that it handed in, by its digest",
    "RoundClosed": "which model the round came to, by its digest, and what scores were released",
    "BudgetSpent": "how far the hospital’s ledger had come, and the epsilon it stands for",
    "ModelStored": "which model and card the run ended with, by their digests",
    "MembershipAudited": "that the verdict was recorded before the log was closed",
    "ModelPromoted": "when the version came into use, instead of which, and by whom",
    "RunSealed": "how long the run’s log was at its end: nothing can be cut off it",
    "Exported": "that the file with this digest left the data root, and when",
}
_NOT: dict[str, str] = {
    "HospitalJoined": "that the numbers a hospital gave are true",
    "SumOpened": "that what a hospital handed in was computed from real patients",
    "RoundClosed": "that the scores are good, or that the hospitals’ rows were right",
    "BudgetSpent": "that the hospital’s software added the noise it should",
    "MembershipAudited": "that no other attack would succeed",
    "FairnessAssessed": "that groups which were not compared are treated alike",
    "ModelPromoted": "that the two names are two people, unless both signed with keys",
    "Exported": "who read the file afterwards",
}


def kind(fields: Fields) -> str:
    name = str(fields.get("event"))
    return KINDS.get(name, name)


def actor(fields: Fields) -> str:
    """Whose act it was."""
    if fields.get("event") in _BY_HOSPITAL | {"HospitalAbsent", "WitnessRefused"}:
        return str(fields.get("hospital"))
    if fields.get("event") == "KeyChanged" and fields.get("name"):
        return str(fields["name"])
    return COORDINATOR


def sentence(fields: Fields) -> str:
    say = _SENTENCES.get(str(fields.get("event")))
    try:
        return f"{kind(fields)}." if say is None else say(fields)
    except (KeyError, TypeError, ValueError, AttributeError):
        return f"{kind(fields)}: this entry lacks what its kind has."


def proves(fields: Fields) -> list[str]:
    name = str(fields.get("event"))
    found = [
        "that the coordinator put exactly these bytes on record, at this place in the log",
        "that nothing before it was changed, removed or moved since the checkpoint below",
    ]
    return [*found, *([_PROVES[name]] if name in _PROVES else [])]


def proves_not(fields: Fields) -> list[str]:
    name = str(fields.get("event"))
    found = [
        "that what it says is true: it is what the coordinator said at the time",
        "that its time is right to the second: it is the coordinator’s own clock",
    ]
    return [*found, *([_NOT[name]] if name in _NOT else [])]


def about(fields: Fields) -> str | None:
    """The one hospital that an entry is about."""
    found = fields.get("hospital")
    return found if isinstance(found, str) and found else None


def by_hospital(fields: Fields) -> bool:
    """Whether it holds figures of single hospitals beside the one it is about."""
    event = fields.get("event")
    return event != "RosterFixed" and bool(mapping(fields.get("hospitals")))


def _metrics(fields: Fields) -> str:
    found = mapping(fields.get("metrics"))
    said = []
    for key, word in (("accuracy", "accuracy"), ("auc", "AUC")):
        value = number(found.get(key))
        if value is not None:
            said.append(f"{word} {percent(value) if key == 'accuracy' else f'{value:.3f}'}")
    n = number(found.get("examples"))
    over = f" on {counted(round(n), 'patient')}" if n and said else ""
    return f": {', '.join(said)}{over}" if said else ", not scored"


def _closed(f: Fields) -> str:
    missing = len(sequence(f.get("absent")))
    gone = f"; {counted(missing, 'hospital')} missing" if missing else ""
    return f"Round {f['round']} closed{_metrics(f)}{gone}."


def _audited(f: Fields) -> str:
    auc = number(f.get("auc"))
    best = "" if auc is None else f" (strongest attack: AUC {auc:.3f})"
    return f"Attacks on the model’s membership ended as {f['verdict']}{best}."


def _promoted(f: Fields) -> str:
    before = f" instead of {f['before'][:12]}" if f["before"] else ""
    return f"Model {f['model_sha256'][:12]} is in use{before}: {f['reason']}"


def _spent(f: Fields) -> str:
    return (
        f"{f['hospital']} spent epsilon {significant(f['epsilon'])} (delta "
        f"{significant(f['delta'], 2)}) with {counted(f['releases'], 'release')}."
    )


def _fair(f: Fields) -> str:
    broken = [str(one).replace("_", " ") for one in f["violations"]]
    return (
        f"Limits of the plan exceeded: {', '.join(broken)}."
        if broken
        else "No limit of the plan on fairness was exceeded."
    )


def _joined(f: Fields) -> str:
    approved = f" Approved by: {f['approval']}." if f.get("approval") else ""
    return (
        f"{f['hospital']} joined with {counted(f['examples'], 'patient')} for training and "
        f"{f['held_out']:,} for testing.{approved}"
    )


_SENTENCES: dict[str, Callable[[Fields], str]] = {
    "RosterFixed": lambda f: (
        f"Keys fixed for the coordinator and {counted(len(f['hospitals']), 'hospital')}; "
        f"{counted(len(f['witnesses']), 'witness').replace('witnesss', 'witnesses')} asked."
    ),
    "RunStarted": lambda f: f"Run started for {f['task']}, {f['trust']} mode, seed {f['seed']}.",
    "HospitalJoined": _joined,
    "StatisticsReleased": lambda f: (
        f"Summed statistics of {counted(f['hospitals'], 'hospital')} and "
        f"{counted(f['examples'], 'patient')} released."
    ),
    "RoundOpened": lambda f: (
        f"Round {f['round']} opened, {counted(len(f['asked']), 'hospital')} asked"
        + (f" (attempt {f['attempt']})." if f["attempt"] > 1 else ".")
    ),
    "ReplyQuarantined": lambda f: (
        f"The reply of {f['hospital']} was set aside in round {f['round']}: {f['reason']}"
    ),
    "HospitalAbsent": lambda f: (
        f"{f['hospital']} gave no reply that counts in round {f['round']}: {f['reason']}"
    ),
    "SumOpened": lambda f: (
        f"A sealed sum ({f['purpose']}) over {counted(len(f['survivors']), 'hospital')} was opened "
        f"in round {f['round']}."
    ),
    "RoundAggregated": lambda f: (
        f"The updates of {counted(len(f['hospitals']), 'hospital')} became one by {f['rule']}; "
        f"the model moved by {significant(f['change_norm'])}."
    ),
    "RoundClosed": _closed,
    "RoundRejected": lambda f: (
        f"Round {f['round']} was rejected: log-loss {significant(f['log_loss'])} is above "
        f"{significant(f['limit'])}."
    ),
    "HospitalFlagged": lambda f: (
        f"The update of {f['hospital']} in round {f['round']} was unlike the others "
        f"({f['detector']}, {significant(f['score'])}): {f['reason']}"
    ),
    "WitnessRefused": lambda f: (
        f"{f['hospital']} did not cosign after round {f['round']}: {f['reason']}"
    ),
    "RunEnded": lambda f: (
        f"Run {f['status']} after {counted(f['rounds'], 'round')}: {f['reason']}."
    ),
    "BudgetSpent": _spent,
    "ModelStored": lambda f: f"Model {f['model_sha256'][:12]} stored with its card.",
    "MembershipAudited": _audited,
    "FairnessAssessed": _fair,
    "ModelPromoted": _promoted,
    "ConfigChanged": lambda f: f"Setting changed: {f['what']}",
    "KeyChanged": lambda f: f"The key of {f['name'] or 'the coordinator'} was handed on.",
    "Exported": lambda f: f"{f['what'].capitalize()} of {f['run']} exported.",
    "RunSealed": lambda f: f"The log of {f['run']} closed with {f['size']:,} entries.",
}
