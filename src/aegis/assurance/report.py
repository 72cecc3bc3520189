"""The audit in words: S1's report text, with an interpretation that follows from the result.

The first four lines of each block are S1's. An audit that found nothing is called good only where
its positive control was caught, and differential privacy is mentioned only where it was declared:
no attack can prove it, some can refute it.
"""

from __future__ import annotations

import textwrap
from typing import Any

from aegis.assurance.canaries import CanaryAudit
from aegis.assurance.intervals import Estimate, Rate
from aegis.assurance.membership import Audit
from aegis.assurance.verdict import CONTROL, VULNERABLE, WORDS, Control, Finding

RULE = "=" * 70
TITLE = "PRIVACY AUDIT REPORT - Membership Inference Attack Results"


def report(audit: Audit) -> str:
    """The whole report, with a line break at its end."""
    lines = [RULE, TITLE, RULE, ""]
    for finding in audit.findings:
        lines += [*_block(finding, audit), ""]
    if audit.control is not None:
        lines += [
            "--- POSITIVE CONTROL: a twin that overfits ---",
            _line("RMIA AUC-ROC", _between(audit.control.auc)),
            _line("Caught", f"{_yes(audit.control.caught)} (needs {CONTROL:.2f})"),
            "",
        ]
    if audit.canaries is not None:
        lines += [*_canaries(audit.canaries), ""]
    lines += [
        *textwrap.wrap(_compared(audit), 78),
        "",
        f"VERDICT: {audit.verdict.outcome.upper()}",
        "",
        *textwrap.wrap(
            "INTERPRETATION: " + " ".join(interpretation(audit)), 78, subsequent_indent=" " * 16
        ),
        RULE,
    ]
    return "\n".join(lines) + "\n"


def interpretation(audit: Audit) -> list[str]:
    """What the result means, in sentences; nothing that was not measured or declared."""
    verdict = audit.verdict
    if verdict.outcome == "vulnerable":
        found = [f"{_sentence(verdict.reason)}.", *_privacy_of_a_leak(audit)]
    elif verdict.outcome == "inconclusive":
        found = [
            f"This audit cannot tell: {verdict.reason}.",
            "Its figures must not be read as a sign of privacy.",
        ]
    else:
        found = [*_nothing_found(audit), *_privacy_of_a_safe_model(audit)]
    return [*found, f"{verdict.way_out}."] if verdict.way_out else found


def as_json(audit: Audit) -> dict[str, Any]:
    """The audit as plain values; what was not measured is null."""
    verdict, privacy = audit.verdict, audit.privacy
    declared = None if privacy is None else {"epsilon": privacy.epsilon, "delta": privacy.delta}
    return {
        "verdict": verdict.outcome,
        "passed": verdict.passed,
        "reason": verdict.reason,
        "way_out": verdict.way_out,
        "interpretation": interpretation(audit),
        "membership_inference_attack": {f.attack: _finding_json(f) for f in audit.findings},
        "positive_control": _control_json(audit.control),
        "canaries": _canaries_json(audit.canaries),
        "declared": declared,
        "members": audit.members,
        "nonmembers": audit.nonmembers,
        "hospitals": audit.hospitals,
        "hospitals_left_out": list(audit.left_out),
        "reference_models": audit.references,
        "p_value_model_like_recipe": audit.odd,
    }


def _block(finding: Finding, audit: Audit) -> list[str]:
    doubt = ", inconclusive" if audit.verdict.outcome == "inconclusive" else ""
    # The grade may be the recipe's while the model itself was attacked more easily.
    apart = finding.vulnerable and finding.bound <= VULNERABLE
    of_recipe, alone = (", of the recipe", ", this model by itself") if apart else ("", "")
    lines = [
        f"--- {finding.attack.upper()} Attack ---",
        _line("Accuracy", f"{finding.accuracy:.4f}"),
        _line("AUC-ROC", f"{finding.auc.value:.4f}"),
        _line("Privacy Grade", f"{finding.grade} ({WORDS[finding.grade]}){of_recipe}{doubt}"),
        _line("Is Vulnerable", f"{_yes(finding.vulnerable)}{alone}"),
        _line("95% interval", f"{finding.auc.low:.4f} to {finding.auc.high:.4f}"),
    ]
    if finding.recipe is not None:
        lines.append(_line("Recipe AUC-ROC", _between(finding.recipe)))
    lines.append(_line("Graded by", f"{finding.judged_by}, up to {finding.bound:.4f}"))
    again = {rate.false_positives: rate for rate in finding.recipe_rates}
    for rate in finding.rates:
        lines.append(_rate(rate, again.get(rate.false_positives), audit.references))
    return lines


def _rate(rate: Rate, recipe: Rate | None, references: int) -> str:
    label = f"TPR at {100 * rate.false_positives:.3g}% FPR"
    if rate.found is not None:
        return _line(label, _between(rate.found))
    if recipe is not None and recipe.found is not None:
        return _line(label, f"{_between(recipe.found)} over {references} recipe models")
    return _line(label, f"n/a (needs {rate.needs:,} held-out patients, has {rate.nonmembers:,})")


def _canaries(canaries: CanaryAudit) -> list[str]:
    declared = "none" if canaries.declared is None else f"{canaries.declared:g}"
    return [
        "--- CANARIES: made-up patients in one training run ---",
        _line(
            "Guesses right",
            f"{canaries.correct} of {canaries.guesses}, from {canaries.canaries:,} canaries",
        ),
        _line(
            "Epsilon at least",
            f"{canaries.lower_bound:.2f} with {100 * canaries.confidence:g}% confidence "
            f"(could show {canaries.ceiling:.2f})",
        ),
        _line("Epsilon declared", f"{declared} (delta {canaries.delta:g})"),
    ]


def _compared(audit: Audit) -> str:
    left = f" Not compared: {', '.join(audit.left_out)}." if audit.left_out else ""
    return (
        f"Compared: {audit.members:,} members with {audit.nonmembers:,} held-out patients, each "
        f"within their own of {audit.hospitals} hospital{'s' if audit.hospitals != 1 else ''}; "
        f"{audit.references} reference models.{left}"
    )


def _nothing_found(audit: Audit) -> list[str]:
    best = max(audit.findings, key=lambda finding: finding.judged.folded)
    beyond = [finding for finding in audit.findings if finding.judged.beyond_chance]
    if beyond:
        best = max(beyond, key=lambda finding: finding.judged.folded)
        told = (
            f"The best attack, {best.attack}, reaches an AUC of {best.judged.folded:.2f}: a little "
            f"better than random guessing, below the border of {VULNERABLE:.2f}."
        )
    else:
        told = "AUC ≈ 0.5 means the attacker is no better than random guessing."
    control = audit.control
    assert control is not None
    return [
        told,
        f"The same attacks did catch a twin that overfits (AUC {control.auc.value:.2f}), so a "
        "large leak would have been seen.",
    ]


def _privacy_of_a_safe_model(audit: Audit) -> list[str]:
    if audit.privacy is None:
        return [
            "No differential privacy was declared: this is what these attacks found, not a "
            "guarantee against others."
        ]
    found = [
        f"This is consistent with the declared differential privacy (epsilon "
        f"{audit.privacy.epsilon:g}, delta {audit.privacy.delta:g}); an audit can refute such a "
        "guarantee, never prove it."
    ]
    if audit.canaries is not None:
        found.append(
            f"Canaries in one training run show an epsilon of at least "
            f"{audit.canaries.lower_bound:.2f}, which does not contradict it."
        )
    return found


def _privacy_of_a_leak(audit: Audit) -> list[str]:
    if audit.canaries is not None and audit.canaries.refuted:
        return ["The training does not keep the privacy that it declares."]
    if audit.privacy is None:
        return ["No differential privacy was declared that could have prevented it."]
    return [
        f"Differential privacy was declared (epsilon {audit.privacy.epsilon:g}, delta "
        f"{audit.privacy.delta:g}) and did not prevent it: either that epsilon is too large, or "
        "the noise is not what was declared."
    ]


def _control_json(control: Control | None) -> dict[str, Any] | None:
    if control is None:
        return None
    return {**_estimate(control.auc, "auc"), "caught": control.caught, "needs": CONTROL}


def _canaries_json(canaries: CanaryAudit | None) -> dict[str, Any] | None:
    if canaries is None:
        return None
    return {
        "canaries": canaries.canaries,
        "guesses": canaries.guesses,
        "correct": canaries.correct,
        "epsilon_lower_bound": canaries.lower_bound,
        "ceiling": canaries.ceiling,
        "confidence": canaries.confidence,
        "delta": canaries.delta,
        "declared_epsilon": canaries.declared,
        "refuted": canaries.refuted,
    }


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "accuracy": finding.accuracy,
        **_estimate(finding.auc, "auc"),
        **_estimate(finding.recipe, "recipe_auc"),
        "judged_by": finding.judged_by,
        "bound": finding.bound,
        "grade": finding.grade,
        "grade_word": WORDS[finding.grade],
        "vulnerable": finding.vulnerable,
        "true_positive_rates": [_rate_json(rate) for rate in finding.rates],
        "recipe_true_positive_rates": [_rate_json(rate) for rate in finding.recipe_rates],
    }


def _rate_json(rate: Rate) -> dict[str, Any]:
    reason = None if rate.found else f"needs {rate.needs} held-out patients, has {rate.nonmembers}"
    return {
        "false_positive_rate": rate.false_positives,
        **_estimate(rate.found, "true_positive_rate"),
        "reason": reason,
    }


def _estimate(found: Estimate | None, name: str) -> dict[str, Any]:
    if found is None:
        return {name: None, f"{name}_ci95": None}
    return {name: found.value, f"{name}_ci95": [found.low, found.high]}


def _line(label: str, value: str) -> str:
    return f"  {label + ':':<19} {value}"


def _between(found: Estimate) -> str:
    return f"{found.value:.4f} ({found.low:.4f} to {found.high:.4f})"


def _yes(holds: bool) -> str:
    return "Yes" if holds else "No"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
