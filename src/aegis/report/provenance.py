"""Where a run comes from, how to repeat it, how far its figures reach, and what the words mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aegis.report.disclosure import has_noise
from aegis.report.verdict import hospitals_in, test_patients, training_patients
from aegis.report.wording import (
    NBSP,
    SMALL,
    counted,
    interval,
    interval_of,
    mapping,
    number,
    percent,
    seconds,
    sequence,
)

NOT_RECORDED = "n/a: not recorded"


def origins(result: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """(what, value, whether it is a hash or a name to be set in a fixed-width face)."""
    data = mapping(result.get("data"))
    rows = number(data.get("rows"))
    source = str(data.get("source") or NOT_RECORDED)
    licence = str(data.get("licence") or data.get("credits") or NOT_RECORDED)
    found = [
        ("Run", _text(result, "run"), True),
        ("Status", _status(result), False),
        ("Data", source + ("" if rows is None else f"; {counted(round(rows), 'row')}"), False),
    ]
    if licence not in (NOT_RECORDED, source):
        found.append(("Licence and credits", licence, False))
    elif licence == NOT_RECORDED:
        found.append(("Licence", NOT_RECORDED, False))
    return [
        *found,
        (
            "How rows were divided",
            str(mapping(result.get("partition")).get("by") or NOT_RECORDED),
            False,
        ),
        ("Model", _joined(result, "model", "solver"), False),
        ("Aggregation", _text(result, "rule"), False),
        ("Road", _text(result, "transport"), False),
        ("Seed", _text(result, "seed"), False),
        ("Time", seconds(result.get("seconds")), False),
        ("Plan, SHA-256", _text(result, "plan_sha256"), True),
        ("Model, SHA-256", _text(result, "model_sha256"), True),
        *_log(result),
        ("Versions", _versions(result), False),
    ]


def _log(result: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """What an auditor needs to know of the log, to compare it with the one he verifies."""
    log = mapping(result.get("audit_log"))
    size, signed = number(log.get("size")), number(log.get("checkpoints"))
    if size is None:
        return []
    held = "verified" if log.get("verified") is True else "NOT verified"
    text = f"{round(size):,} entries, {held}"
    witnesses = number(log.get("witnesses"))
    if signed and witnesses is not None:
        who = counted(round(witnesses), "hospital")
        text += f"; {counted(round(signed), 'checkpoint')}, the last cosigned by {who}"
    found = [("Audit log", text, False), ("Audit log, root", str(log.get("root")), True)]
    if log.get("coordinator"):
        found.append(("Audit log, coordinator's key", str(log["coordinator"]), True))
    return found


def repeating(result: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """Commands, and what to expect of them."""
    files = mapping(result.get("files"))
    plan = files.get("plan")
    run = str(result.get("run") or "RUN")
    commands = (
        f"aegis run {plan if isinstance(plan, str) and plan else 'PLAN.yaml'}",
        f"aegis models verify {run}",
        *((f"aegis audit verify {run}",) if mapping(result.get("audit_log")) else ()),
        f"aegis report {run} --html report.html",
    )
    if has_noise(result):
        return commands, (
            "The noise is secret and drawn anew, so a second run gives another model of the same "
            "quality, not the same one."
        )
    return commands, (
        "The plan must have the SHA-256 above. Nothing in it is random beyond its seed: with the "
        "same data, plan and versions the model has the SHA-256 above again."
    )


def sureness(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How far the figures reach: (what, sentence)."""
    found = [("Patients", _patients(result)), ("Interval", _interval(result))]
    seed = result.get("seed")
    with_seed = "" if seed is None else f" (seed {seed})"
    found.append(
        (
            "One division",
            f"The rows were divided into training and test once{with_seed}. "
            "Another division may move every figure; the interval does not cover that.",
        )
    )
    simplest = _simplest(result)
    if simplest:
        found.append(("The simplest rule", simplest))
    chosen, rounds = number(result.get("chosen_round")), number(result.get("rounds"))
    if chosen is not None and rounds is not None and chosen != rounds:
        found.append(
            (
                "Which round",
                f"The shared model is the one after round {chosen:.0f} of {rounds:.0f}.",
            )
        )
    return found


def glossary(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    words = [
        ("Shared model", "The one model that all hospitals train together by sending model "
         "updates, not rows, to a coordinator."),
        ("Own model", "The same kind of model, trained by one hospital on its own rows only."),
        ("Coordinator", "The computer that sends the model out, adds up what comes back, and "
         "starts the next round."),
        ("Round", "The model goes out, every hospital asked trains it on its own rows, the "
         "updates come back and are combined."),
        ("Accuracy", "Of all test patients, the share for whom the model was right."),
        ("Sensitivity", "Of the patients with the condition, the share that the model found."),
        ("Specificity", "Of the patients without the condition, the share that the model called "
         "healthy."),
        ("AUC", "Area under the receiver operating characteristic curve: how often a patient with "
         "the condition gets a higher score than one without. 0.5 is guessing, 1 is perfect."),
        ("Log-loss", "How far the predicted probabilities are from what happened. Lower is "
         f"better; always saying 50{NBSP}% gives 0.693."),
        (f"95{NBSP}% interval", "A range made so that, over many repetitions with other patients "
         "of the same kind, 95 in 100 such ranges hold the true figure."),
        ("Point", "One percentage point: from 80 to 81 in 100 is one point."),
    ]  # fmt: skip
    if sequence(result.get("odds_ratios")):
        words.append(
            ("Odds ratio", "How many times higher the odds of the condition are for one step of "
             "the feature, the others held still. 1 is no association."),
        )  # fmt: skip
    if has_noise(result):
        words += [
            ("Epsilon", "The largest privacy loss that the noise allows. Smaller is safer."),
            ("Delta", "The chance that the bound by epsilon does not hold."),
        ]
    return words


def _patients(result: Mapping[str, Any]) -> str:
    tested, trained = test_patients(result), training_patients(result)
    if tested is None:
        return "This result does not say how many patients were tested."
    sizes = [number(mapping(h).get("test_examples")) for h in sequence(result.get("hospitals"))]
    known = [n for n in sizes if n is not None]
    text = f"{counted(tested, 'test patient')} in {counted(hospitals_in(result), 'hospital')}"
    if len(known) > 1:
        least = f"fewer than {SMALL}" if min(known) < SMALL else f"{min(known):,.0f}"
        text += f", from {least} to {max(known):,.0f} each"
    if trained is not None:
        text += f"; trained on {trained:,} others"
    return f"{text}. Small hospitals move much by chance."


def _interval(result: Mapping[str, Any]) -> str:
    pair = interval_of(result.get("global"), "accuracy")
    if pair is None:
        return "No interval was computed for the accuracy, so its chance error is unknown."
    return (
        f"With other patients of the same kind the accuracy would move by chance; its "
        f"95{NBSP}% interval is {interval(pair)}. A difference between models counts as clear only "
        "where its own paired interval leaves out zero."
    )


def _simplest(result: Mapping[str, Any]) -> str:
    """What calling everybody by the hospital's more common outcome would be worth."""
    hospitals = [mapping(h) for h in sequence(mapping(result.get("partition")).get("hospitals"))]
    right = total = 0.0
    for hospital in hospitals:
        share, n = number(hospital.get("positive_share")), number(hospital.get("test"))
        if share is None or n is None:
            return ""
        right += n * max(share, 1 - share)
        total += n
    if not total:
        return ""
    return (
        "Calling every patient by the more common outcome of the hospital, without looking, would "
        f"be right for about {percent(right / total)} of the {total:,.0f} test patients."
    )


def _text(result: Mapping[str, Any], key: str) -> str:
    value = result.get(key)
    return NOT_RECORDED if value is None or value == "" else str(value)


def _status(result: Mapping[str, Any]) -> str:
    reason = result.get("reason")
    status = _text(result, "status")
    return f"{status} ({reason})" if isinstance(reason, str) and reason else status


def _joined(result: Mapping[str, Any], *keys: str) -> str:
    found = [str(result[key]) for key in keys if result.get(key)]
    return ", ".join(found) if found else NOT_RECORDED


def _versions(result: Mapping[str, Any]) -> str:
    given = dict(mapping(result.get("versions")))
    if result.get("aegis"):
        given = {"aegis": result["aegis"], **given}
    return ", ".join(f"{name} {version}" for name, version in given.items()) or NOT_RECORDED
