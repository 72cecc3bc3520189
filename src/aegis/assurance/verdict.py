"""From measured attacks to a verdict: safe, vulnerable or inconclusive.

A low AUC proves nothing by itself: the attack may be weak or the held-out patients few. So three
things count besides it. A positive control, a twin trained to overfit, must be caught, or the
verdict is "inconclusive". Grades follow the upper end of the interval, never the estimate. And
where reference models show how much the recipe leaks, that closer estimate bounds the grade,
provided that the audited model is not oddly worse than they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from aegis.assurance.canaries import CanaryAudit
from aegis.assurance.intervals import Estimate, Rate

GRADES: tuple[tuple[float, str], ...] = ((0.55, "A"), (0.60, "B"), (0.70, "C"), (0.80, "D"))
WORDS = {"A": "Excellent", "B": "Good", "C": "Fair", "D": "Poor", "F": "Fail"}
VULNERABLE = 0.60
CONTROL = 0.65
ODD = 0.05  # a model whose attacks are this rare among its recipe's models is judged on its own

Outcome: TypeAlias = Literal["safe", "vulnerable", "inconclusive"]


def grade(upper: float) -> str:
    """A to .55, B to .60, C to .70, D to .80, else F; ``upper`` is the upper bound of
    max(AUC, 1 - AUC)."""
    return next((letter for limit, letter in GRADES if upper <= limit), "F")


def is_vulnerable(auc: float) -> bool:
    """Above .60, whichever way round the attack is used."""
    return max(auc, 1 - auc) > VULNERABLE


@dataclass(frozen=True)
class Finding:
    """One attack. ``auc`` is on the audited model, ``recipe`` the mean over the reference models,
    each attacked with the help of the others; ``judged_by`` says which of the two bounds the
    grade. ``rates`` are of the audited model, ``recipe_rates`` of the reference models."""

    attack: str
    accuracy: float
    auc: Estimate
    rates: tuple[Rate, ...]
    recipe: Estimate | None = None
    recipe_rates: tuple[Rate, ...] = ()
    judged_by: Literal["model", "recipe"] = "model"

    @property
    def judged(self) -> Estimate:
        return self.recipe if self.judged_by == "recipe" and self.recipe else self.auc

    @property
    def bound(self) -> float:
        return self.judged.folded_high

    @property
    def grade(self) -> str:
        return grade(self.bound)

    @property
    def vulnerable(self) -> bool:
        return is_vulnerable(self.auc.value)

    @property
    def leak_found(self) -> bool:
        """A leak above the border that chance does not explain, in the model or its recipe."""
        seen = (self.auc,) if self.recipe is None else (self.auc, self.recipe)
        return any(is_vulnerable(one.value) and one.beyond_chance for one in seen)


@dataclass(frozen=True)
class Control:
    """The RMIA attack on a twin that was trained to overfit."""

    auc: Estimate

    @property
    def caught(self) -> bool:
        return self.auc.value >= CONTROL and self.auc.low > 0.5


@dataclass(frozen=True)
class Verdict:
    outcome: Outcome
    reason: str
    way_out: str = ""

    @property
    def passed(self) -> bool:
        """What gates may rely on: only a safe model passes."""
        return self.outcome == "safe"


def odds(model: Sequence[float], recipe: Sequence[Sequence[float]]) -> float:
    """How rare the audited model is among those of its recipe: a permutation p-value.

    ``model`` has the AUC of each attack, ``recipe`` one such row per reference model; what counts
    is the attack that does best, whichever way round.
    """

    def worst(aucs: Sequence[float]) -> float:
        return max(max(auc, 1 - auc) for auc in aucs)

    at_least = sum(worst(one) >= worst(model) for one in recipe)
    return (1 + at_least) / (1 + len(recipe))


def decide(
    findings: Sequence[Finding], control: Control | None, canaries: CanaryAudit | None = None
) -> Verdict:
    """The verdict on a model.

    A leak that was found stands, even where the control was missed: the control guards against a
    false "safe" only.
    """
    if canaries is not None and canaries.refuted:
        return Verdict(
            "vulnerable",
            f"the canaries show an epsilon of at least {canaries.lower_bound:.2f}, but "
            f"{canaries.declared:g} was declared",
            "Look for noise that was not added, a wrong scale or a missing clip, and train anew",
        )
    found = [finding for finding in findings if finding.leak_found]
    if found:
        worst = max(found, key=_worst)
        return Verdict(
            "vulnerable",
            f"the {worst.attack} attack tells members from other patients with an AUC of "
            f"{_worst(worst):.2f}",
            "Train with noise or more of it (differential privacy at a small epsilon), for fewer "
            "rounds, or a smaller model",
        )
    if control is None:
        return Verdict(
            "inconclusive",
            "no positive control was run, so attacks that find nothing say nothing",
            "Run the audit with its overfit twin",
        )
    if not control.caught:
        return Verdict(
            "inconclusive",
            f"the positive control was missed (RMIA AUC {control.auc.value:.2f}, needs "
            f"{CONTROL:.2f} with an interval above 0.50): these attacks could not have seen a leak",
            "Give the audit more patients or more reference models",
        )
    bound = max(finding.bound for finding in findings)
    if bound > VULNERABLE:
        widest = max(findings, key=lambda finding: finding.bound)
        return Verdict(
            "inconclusive",
            f"the interval of the {widest.attack} attack reaches {bound:.2f}, above the border of "
            f"{VULNERABLE:.2f}",
            "Hold out more patients or train more reference models",
        )
    return Verdict(
        "safe", f"no attack did better than {bound:.2f} at the upper end of its interval"
    )


def _worst(finding: Finding) -> float:
    seen = (finding.auc,) if finding.recipe is None else (finding.auc, finding.recipe)
    return max(one.folded for one in seen if is_vulnerable(one.value) and one.beyond_chance)
