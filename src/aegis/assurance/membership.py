"""The membership audit of a model: who was in its training, as far as an attacker can tell.

    rows -> released model + reference models of the same recipe -> attacks -> intervals -> verdict

Reference models are trained on other draws of the same rows, at each hospital with as many left
out as it held out, so a reference model is what the released one might have been. Each is also
attacked with the help of the others: the mean over them shows how much the recipe leaks, with a
much closer interval than one model can. The released model is attacked, and then compared with
them. A twin that overfits goes the same way, as positive control.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from aegis.assurance.attacks import ATTACKS, Answers, Attack, References, Rmia, read
from aegis.assurance.canaries import CanaryAudit
from aegis.assurance.control import MOST_ROWS, overfit_twin, with_wrong_labels
from aegis.assurance.intervals import (
    FALSE_ALARMS,
    Rate,
    auc,
    balanced_accuracy,
    true_positive_rate,
)
from aegis.assurance.patients import (
    Fit,
    FitMany,
    Floats,
    Patients,
    Predict,
    Progress,
    below,
    one_by_one,
)
from aegis.assurance.verdict import ODD, Control, Finding, Verdict, decide, odds
from aegis.errors import BadInput

FALSE_POSITIVES = (0.01, 0.001)
FEWEST = 10  # members, and non-members, below which no audit is made
LEAST_LEFT_OUT = 0.15  # of a hospital's rows, so that enough reference models are without each
FEWEST_REFERENCES = 16


@dataclass(frozen=True)
class Declared:
    """What the training of the audited model declares about its noise."""

    epsilon: float
    delta: float


@dataclass(frozen=True)
class Audit:
    """What was found. ``left_out`` names hospitals that have only members or only held-out rows:
    they are in the training, but nobody there can be compared. ``odd`` is how rare the released
    model is among its recipe's (a p-value)."""

    findings: tuple[Finding, ...]
    control: Control | None
    odd: float
    members: int
    nonmembers: int
    hospitals: int
    left_out: tuple[str, ...]
    references: int
    privacy: Declared | None = None
    canaries: CanaryAudit | None = None

    @property
    def verdict(self) -> Verdict:
        return decide(self.findings, self.control, self.canaries)

    def with_canaries(self, canaries: CanaryAudit) -> Audit:
        return replace(self, canaries=canaries)

    def __getitem__(self, attack: str) -> Finding:
        return {finding.attack: finding for finding in self.findings}[attack]


def audit(
    fit: Fit,
    members: Patients,
    nonmembers: Patients,
    *,
    target: Predict | None = None,
    fit_many: FitMany | None = None,
    control: Fit | None = overfit_twin,
    attacks: Sequence[Attack] = ATTACKS,
    references: int = 32,
    control_references: int = 16,
    privacy: Declared | None = None,
    seed: int = 0,
    told: Progress = lambda done, total: None,
) -> Audit:
    """Attack ``target``, the model trained on ``members``.

    ``nonmembers`` are rows that were held out at random, and each is compared with members of its
    own hospital only. ``fit`` repeats the recipe of the target, noise included; ``fit_many`` the
    same for a stack, where there is a faster way; without ``target`` one is trained on ``members``.
    Trains ``references`` models and, with a control, ``control_references`` + 1 twins on at most
    1000 rows. Raises ``BadInput`` where too few patients can be compared.
    """
    if min(references, control_references) < FEWEST_REFERENCES:
        raise BadInput(
            f"{references} reference models and {control_references} for the control",
            f"each needs at least {FEWEST_REFERENCES}",
        )
    left_out = _comparable(members, nonmembers)
    rows = below(members, nonmembers)
    inside = np.arange(len(rows)) < len(members)
    own = target is None
    total = references + own + (0 if control is None else control_references + 1)
    if target is None:
        target = fit(members, seed)
        told(1, total)
    many = fit_many or one_by_one(fit, told, int(own), total)
    released = target(rows.design)
    games = _played(many, rows, inside, released, references, seed + 1)
    told(references + own, total)
    found, odd = _findings(games, attacks)
    caught = None
    if control is not None:
        caught = _control(control, rows, inside, control_references, seed, told, total)
    here = ~np.isin(rows.hospitals, list(left_out))
    return Audit(
        findings=found,
        control=caught,
        odd=odd,
        members=int((here & inside).sum()),
        nonmembers=int((here & ~inside).sum()),
        hospitals=len(np.unique(rows.hospitals[here])),
        left_out=tuple(str(name) for name in left_out),
        references=references,
        privacy=privacy,
    )


def assignments(
    hospitals: NDArray[Any], inside: NDArray[np.bool_], models: int, seed: int
) -> NDArray[np.bool_]:
    """Which rows each reference model is trained on, (models, n).

    At each hospital a model leaves out as many rows as were held out there, drawn anew for each
    model and apart from the others. (Shares that are dealt out evenly would not do: a model could
    then be told from its complement, whatever it was trained on.)
    """
    rng = np.random.default_rng(seed)
    kept = np.ones((models, len(hospitals)), dtype=bool)
    for hospital in np.unique(hospitals):
        here = np.flatnonzero(hospitals == hospital)
        without = min(_left_out(inside[here]), len(here) - 1)
        for model in range(models):
            kept[model, rng.choice(here, without, replace=False)] = False
    return kept


def _left_out(inside: NDArray[np.bool_]) -> int:
    return max(int((~inside).sum()), round(LEAST_LEFT_OUT * len(inside)))


def _alike(rows: Patients, inside: NDArray[np.bool_]) -> bool:
    """Is the released model one of its reference models' kind, with as many rows left out?"""
    sides = [inside[rows.hospitals == hospital] for hospital in np.unique(rows.hospitals)]
    return all(_left_out(side) == int((~side).sum()) for side in sides)


@dataclass(frozen=True)
class _Games:
    """The released model (row 0) and its reference models, asked about the same rows."""

    margin: Floats
    confidence: Floats
    kept: NDArray[np.bool_]
    rows: Patients

    def scores(self, attack: Attack, model: int) -> Floats:
        """``attack`` on one model with the help of all reference models but itself."""
        others = np.arange(1, len(self.margin))
        others = others[others != model]
        answers = Answers(
            self.margin[model], self.confidence[model], self.rows.labels, self.rows.hospitals
        )
        return attack.scores(answers, References(self.margin[others], self.kept[others]))


def _played(
    many: FitMany,
    rows: Patients,
    inside: NDArray[np.bool_],
    released: NDArray[Any],
    references: int,
    seed: int,
) -> _Games:
    kept = assignments(rows.hospitals, inside, references, seed)
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(references)]
    said = many(rows, kept, seeds)
    answers = [read(one, rows.labels) for one in (released, *said)]
    return _Games(
        np.stack([one.margin for one in answers]),
        np.stack([one.confidence for one in answers]),
        np.concatenate([inside[None], kept]),
        rows,
    )


def _findings(games: _Games, attacks: Sequence[Attack]) -> tuple[tuple[Finding, ...], float]:
    hospitals, inside = games.rows.hospitals, games.kept[0]
    numbers = range(len(games.margin))
    found, areas = [], []
    for attack in attacks:
        scores = np.stack([games.scores(attack, number) for number in numbers])
        areas.append([auc(scores[n], games.kept[n], hospitals).value for n in numbers])
        found.append(
            Finding(
                attack=attack.name,
                accuracy=balanced_accuracy(scores[0], inside, hospitals),
                auc=auc(scores[0], inside, hospitals),
                rates=_rates(scores[0], inside, hospitals),
                recipe=auc(scores[1:], games.kept[1:], hospitals),
                recipe_rates=_rates(scores[1:], games.kept[1:], hospitals),
            )
        )
    table = np.array(areas).T
    odd = odds(table[0].tolist(), table[1:].tolist())
    tellable = 1 / len(games.margin) <= ODD and _alike(games.rows, inside)
    judge: Literal["model", "recipe"] = "recipe" if tellable and odd > ODD else "model"
    return tuple(replace(finding, judged_by=judge) for finding in found), odd


def _rates(scores: Floats, members: NDArray[np.bool_], hospitals: NDArray[Any]) -> tuple[Rate, ...]:
    """At 1 % and 0.1 % false positives, and where neither can be shown at the least that can."""
    found = [true_positive_rate(scores, members, hospitals, rate) for rate in FALSE_POSITIVES]
    if found[0].found is None and found[0].nonmembers > FALSE_ALARMS:
        least = FALSE_ALARMS / found[0].nonmembers
        found.append(true_positive_rate(scores, members, hospitals, least))
    return tuple(found)


def _control(
    twin: Fit,
    rows: Patients,
    inside: NDArray[np.bool_],
    references: int,
    seed: int,
    told: Progress,
    total: int,
) -> Control:
    some = np.arange(len(rows))
    if len(rows) > MOST_ROWS:
        some = np.sort(np.random.default_rng(seed).choice(len(rows), MOST_ROWS, replace=False))
    known, trained = with_wrong_labels(rows.take(some), seed), inside[some]
    released = twin(known.take(trained), seed)(known.design)
    done = total - references
    told(done, total)
    games = _played(
        one_by_one(twin, told, done, total), known, trained, released, references, seed + 2
    )
    return Control(auc(games.scores(Rmia(), 0), trained, known.hospitals))


def _comparable(members: Patients, nonmembers: Patients) -> NDArray[Any]:
    """The hospitals of which nobody can be compared."""
    both = np.intersect1d(members.hospitals, nonmembers.hospitals)
    compared = [int(np.isin(side.hospitals, both).sum()) for side in (members, nonmembers)]
    if min(compared) < FEWEST:
        raise BadInput(
            f"{compared[0]} members and {compared[1]} held-out patients can be compared within "
            f"{len(both)} hospitals",
            f"an audit needs at least {FEWEST} of each",
            "Hold out rows at each hospital (data.test_fraction)",
        )
    every = np.union1d(members.hospitals, nonmembers.hospitals)
    return np.setdiff1d(every, both)
