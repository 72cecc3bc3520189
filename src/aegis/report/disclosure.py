"""What a run gave away, in plain words: to the coordinator, to whoever holds the model, and how
far that is bounded. Nothing is claimed that the result does not hold evidence for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from aegis.report.wording import NBSP, counted, mapping, number, sequence, significant

LOUD_EPSILON = 5.0

_SEEN = {
    "open": "The coordinator saw each hospital’s update. An update is no patient row, but it can "
    "give away facts about the rows it was made from.",
    "masked": "The coordinator saw only the sum of the updates of each round, not the update of "
    "any one hospital.",
    "grouped": "The coordinator saw one sum per random group of hospitals, not the update of any "
    "one hospital.",
}


def disclosures(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Pairs of (question, answer), the answers in whole sentences."""
    found = [
        ("What did the coordinator see?", coordinator_saw(result)),
        ("What can somebody do who holds the model?", _holding(result)),
    ]
    per_hospital = _per_hospital(result)
    if per_hospital:
        found.append(("What did each hospital spend?", per_hospital))
    found.append(("Was the model attacked to test this?", attacked(result)))
    found.append(("Can the history of this run be checked?", logged(result)))
    if result.get("transport") == "inprocess":
        found.append(
            (
                "Were the hospitals apart?",
                "No. They were simulated on one machine, so this run shows how well the method "
                "works, not that rows stayed where they were.",
            )
        )
    return found


def coordinator_saw(result: Mapping[str, Any]) -> str:
    trust = str(result.get("trust") or "")
    if trust == "open" and has_noise(result):
        return "The coordinator saw each hospital’s update, with that hospital’s noise in it."
    return _SEEN.get(trust, "This result does not say what the coordinator saw.")


def has_noise(result: Mapping[str, Any]) -> bool:
    return mechanism(result) not in ("", "none")


def mechanism(result: Mapping[str, Any]) -> str:
    """The name of the privacy mechanism; empty where the result does not say."""
    return str(mapping(result.get("privacy")).get("mechanism") or "")


def epsilon(result: Mapping[str, Any]) -> float | None:
    """The largest total over the hospitals, else the run's own figure."""
    spent = [number(mapping(h).get("epsilon")) for h in sequence(result.get("hospitals"))]
    known = [value for value in spent if value is not None]
    return max(known) if known else number(mapping(result.get("privacy")).get("epsilon"))


def right_guesses(epsilon: float) -> int:
    """Of 100 guesses whether one record was used, how many the bound lets be right (rounded up;
    e^eps / (1 + e^eps), delta near 0)."""
    return math.ceil(round(100 / (1 + math.exp(-epsilon)), 6))


def _holding(result: Mapping[str, Any]) -> str:
    if not mechanism(result):
        return (
            "This result does not say whether noise was added. Take it for a run without "
            "differential privacy: nothing bounds what attacks on the model can learn."
        )
    if not has_noise(result):
        return (
            "No differential privacy was used in this run. Anyone who holds the model can run "
            "attacks that try to tell whether a given patient was in the training data, and "
            "nothing in this run bounds how well they do."
        )
    privacy = mapping(result.get("privacy"))
    spent = epsilon(result)
    if spent is None:
        return "Noise was added, but this result holds no epsilon, so nothing is promised."
    delta = number(privacy.get("delta"))
    unit = str(privacy.get("unit") or "a unit that was not recorded")
    relation = str(privacy.get("neighbouring") or "neighbouring relation not recorded")
    said = "not recorded" if delta is None else significant(delta, 2)
    first = (
        f"Total epsilon {significant(spent)}, delta {said}, per {unit}, {relation} "
        f"(accountant: {privacy.get('accountant') or 'not recorded'})."
    )
    uncovered = "; ".join(str(text) for text in sequence(privacy.get("not_covered")))
    beyond = f" Not covered: {uncovered}." if uncovered else ""
    if spent >= LOUD_EPSILON:
        return f"{first} This bound alone promises little; see the attack tests.{beyond}"
    return (
        f"{first} Somebody who sees the model and guesses whether one given record was used is "
        f"right in at most {right_guesses(spent)} of 100 cases, against 50 of 100 by tossing a "
        f"coin.{beyond}"
    )


def _per_hospital(result: Mapping[str, Any]) -> str:
    if not has_noise(result):
        return ""
    spent = [
        f"{mapping(h).get('name')}:{NBSP}{significant(value)}"
        for h in sequence(result.get("hospitals"))
        if (value := number(mapping(h).get("epsilon"))) is not None
    ]
    if not spent:
        return ""
    more = f" and {len(spent) - 50} more" if len(spent) > 50 else ""
    return (
        f"Epsilon, total: {'; '.join(spent[:50])}{more}. Figures about single hospitals on this "
        "page come from held-out patients and are not covered by epsilon."
    )


def attacked(result: Mapping[str, Any]) -> str:
    """What the membership audit found, or why there is none."""
    audit = mapping(result.get("membership_audit"))
    outcome = audit.get("verdict")
    if not outcome:
        reason = result.get("membership_audit_reason")
        return (
            f"No: {reason}."
            if isinstance(reason, str) and reason
            else ("No membership-inference attack is part of this result.")
        )
    attacks = mapping(audit.get("membership_inference_attack"))
    found = [
        (value, name)
        for name, one in attacks.items()
        if (value := number(mapping(one).get("auc"))) is not None
    ]
    best = max(found, default=None)
    figure = ""
    if best is not None:
        figure = f" The strongest of {len(found)} attacks reached AUC {best[0]:.3f} (.500 guesses)."
    words = {
        "safe": "Six kinds of attack tried to tell training patients from others and failed, while "
        "a twin that overfits was caught by the same means.",
        "vulnerable": "The model gives away who was in its training.",
        "inconclusive": "The attacks cannot tell.",
    }
    told = words.get(str(outcome), f"The audit says: {outcome}.")
    return f"{told}{figure}"


def logged(result: Mapping[str, Any]) -> str:
    """Whether there is a log of the run, and whether it holds."""
    log = mapping(result.get("audit_log"))
    size = number(log.get("size"))
    if size is None:
        reason = result.get("audit_log_reason")
        return (
            f"No: {reason}."
            if isinstance(reason, str) and reason
            else ("No audit log is part of this result.")
        )
    word = "was checked and holds" if log.get("verified") is True else "has NOT been verified"
    text = f"The audit log of {round(size):,} entries {word} (root {log.get('root')})."
    if log.get("first_bad"):
        text += f" First bad entry: {log['first_bad']}."
    return text + _watched(log)


def _watched(log: Mapping[str, Any]) -> str:
    signed, witnesses = number(log.get("checkpoints")), number(log.get("witnesses"))
    if not signed or witnesses is None:
        return ""
    who = counted(round(witnesses), "hospital")
    reason = f" ({log['witnesses_reason']})" if log.get("witnesses_reason") else ""
    return f" {counted(round(signed), 'checkpoint')} signed; {who} cosigned the last{reason}."
