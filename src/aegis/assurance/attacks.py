"""Membership attacks: from what a model says about a patient, was that patient in its training?

Every attack is a frozen value that gives each candidate a score, higher where membership is more
likely. ``threshold`` and ``loss_based`` look at the model alone; the others compare it with
reference models, trained by the same recipe on rows of which the attacker knows who was in:

    threshold   confidence in whatever the model predicts          Salem et al., NDSS 2019
    loss_based  loss on the true label                             Yeom et al., CSF 2018
    calibrated  place of the loss among models without the patient Ye et al., CCS 2022 (Attack R)
    shadow      a classifier learnt on the reference models        Shokri et al., S&P 2017
    lira        likelihood ratio of two Gaussians                  Carlini et al., S&P 2022
    rmia        likelihood ratio against other patients            Zarifzadeh et al., ICML 2024

All work on the log-odds of the true label (the margin): the loss is log(1 + exp(-margin)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aegis.assurance.patients import Floats
from aegis.errors import BadInput

FEW_REFERENCES = 64  # below, one variance for all patients is better than one each (Carlini)


@dataclass(frozen=True)
class Answers:
    """What one model says about n candidates: the log-odds ``margin`` of the true label and
    ``confidence``, the largest class probability; all (n,)."""

    margin: Floats
    confidence: Floats
    labels: NDArray[np.int64]
    hospitals: NDArray[Any]

    @property
    def probability(self) -> Floats:
        return _sigmoid(self.margin)

    @property
    def loss(self) -> Floats:
        return np.asarray(np.logaddexp(0.0, -self.margin))


@dataclass(frozen=True)
class References:
    """``margin`` (models, n) on the same candidates; ``kept`` (models, n) is true where the
    candidate was in that model's training."""

    margin: Floats
    kept: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.margin)

    def mean(self, values: Floats, kept: bool) -> Floats:
        """Mean (n,) of ``values`` (models, n) over the models with, or without, each candidate.

        Where chance left a candidate without such a model, the other models stand in, moved by
        what lies between the two kinds on average, but not beyond what any of them said.
        """
        sides = {}
        for side in (kept, not kept):
            chosen = self.kept if side else ~self.kept
            count = chosen.sum(0)
            total = (values * chosen).sum(0)
            sides[side] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        gap = sides[kept] - sides[not kept]
        if np.isnan(gap).all():
            raise BadInput(
                f"{len(self)} reference models never differ in whom they were trained on",
                "an attack needs models with and without a candidate",
                "Train more reference models",
            )
        instead = np.clip(sides[not kept] + np.nanmean(gap), values.min(0), values.max(0))
        return np.where(np.isnan(sides[kept]), instead, sides[kept])


class Attack(Protocol):
    @property
    def name(self) -> str: ...
    def scores(self, target: Answers, references: References) -> Floats:
        """One score per candidate, higher for likelier members."""
        ...


def read(
    logits: NDArray[Any], labels: NDArray[np.int64], hospitals: NDArray[Any] | None = None
) -> Answers:
    """``Answers`` from one model's logits, (n,) for two classes or (n, classes).

    Raises ``BadInput`` where a logit is no number or a label has none.
    """
    z = np.asarray(logits, dtype=np.float64)
    if z.ndim == 2 and z.shape[1] == 1:
        z = z[:, 0]
    n = len(labels)
    if z.ndim not in (1, 2) or len(z) != n:
        raise BadInput(f"logits of shape {z.shape} do not fit {n} candidates", "one row each")
    if not np.isfinite(z).all():
        raise BadInput(
            f"the model answers {int((~np.isfinite(z)).sum())} times with something that is no "
            "finite number",
            "an attack needs a logit for every candidate",
            "Check whether its training diverged",
        )
    classes = 2 if z.ndim == 1 else z.shape[1]
    if n and not (labels.min() >= 0 and labels.max() < classes):
        raise BadInput(f"labels reach from {labels.min()} to {labels.max()}", f"0 to {classes - 1}")
    where = np.zeros(n, dtype=np.int64) if hospitals is None else hospitals
    if z.ndim == 1:
        return Answers((2 * labels - 1) * z, _sigmoid(np.abs(z)), labels, where)
    own = np.take_along_axis(z, labels[:, None], axis=1)
    others = np.where(np.arange(classes) == labels[:, None], -np.inf, z)
    margin = own[:, 0] - np.logaddexp.reduce(others, axis=1)
    confidence = np.exp(z.max(1) - np.logaddexp.reduce(z, axis=1))
    return Answers(margin, confidence, labels, where)


@dataclass(frozen=True)
class Threshold:
    """Needs no label: a model is surer of what it has seen."""

    name: str = "threshold"

    def scores(self, target: Answers, references: References) -> Floats:
        return target.confidence


@dataclass(frozen=True)
class LossBased:
    name: str = "loss_based"

    def scores(self, target: Answers, references: References) -> Floats:
        return -target.loss


@dataclass(frozen=True)
class Calibrated:
    """The share of models trained without a candidate that fit it worse than the target does.

    A handful of models gives few steps, so each is smoothed with a logistic kernel of Silverman's
    width.
    """

    name: str = "calibrated"

    def scores(self, target: Answers, references: References) -> Floats:
        count = (~references.kept).sum(0)
        centre = references.mean(references.margin, kept=False)
        away = references.margin - centre
        spread = np.sqrt(np.mean(references.mean(away**2, kept=False)))
        width = np.maximum(spread, 1e-12) * np.maximum(count, 1) ** -0.2
        return references.mean(_sigmoid((target.margin - references.margin) / width), kept=False)


@dataclass(frozen=True)
class Shadow:
    """A logistic regression, separate for each class, tells members of the reference models from
    the others by margin and squared margin, and is then asked about the target."""

    name: str = "shadow"
    most_rows: int = 20_000

    def scores(self, target: Answers, references: References) -> Floats:
        centre, scale = references.margin.mean(), max(float(references.margin.std()), 1e-12)
        found = np.zeros(len(target.margin))
        rng = np.random.default_rng(0)
        for label in np.unique(target.labels):
            own = target.labels == label
            shown = _features((references.margin[:, own].ravel() - centre) / scale)
            members = references.kept[:, own].ravel()
            if len(members) > self.most_rows:
                some = rng.choice(len(members), self.most_rows, replace=False)
                shown, members = shown[some], members[some]
            weights = _logistic(shown, members)
            found[own] = _features((target.margin[own] - centre) / scale) @ weights
        return found


@dataclass(frozen=True)
class Lira:
    """``online`` weighs models with against models without the candidate; offline asks only how
    unlikely the margin is for a model without it."""

    online: bool = True

    @property
    def name(self) -> str:
        return "lira" if self.online else "lira_offline"

    def scores(self, target: Answers, references: References) -> Floats:
        out_centre, out_spread = self._gaussian(references, kept=False)
        z_out = (target.margin - out_centre) / out_spread
        if not self.online:
            return z_out
        in_centre, in_spread = self._gaussian(references, kept=True)
        z_in = (target.margin - in_centre) / in_spread
        return np.asarray(0.5 * (z_out**2 - z_in**2) + np.log(out_spread / in_spread))

    def _gaussian(self, references: References, kept: bool) -> tuple[Floats, Floats]:
        centre = references.mean(references.margin, kept)
        variance = references.mean((references.margin - centre) ** 2, kept)
        if len(references) < FEW_REFERENCES:
            chosen = references.kept if kept else ~references.kept
            count = chosen.sum(0)
            pooled = (variance * count).sum() / max(int((count - 1).sum()), 1)
            variance = np.full_like(variance, pooled)
        return centre, np.sqrt(np.maximum(variance, 1e-24))


@dataclass(frozen=True)
class Rmia:
    """p(label | target) / p(label), where the mean over reference models stands for p(label), is
    compared with that of the other candidates of the same hospital: the score is the share of them
    it exceeds by the factor ``gamma``.

    Offline, models without the candidate give p = ((1 + a) p_out + 1 - a) / 2. The default
    ``gamma`` 1 ranks all candidates; a larger one ties those of a model that hardly leaks, and an
    AUC of .5 would then say nothing.
    """

    online: bool = True
    gamma: float = 1.0
    a: float = 0.3

    @property
    def name(self) -> str:
        return "rmia" if self.online else "rmia_offline"

    def scores(self, target: Answers, references: References) -> Floats:
        said = _sigmoid(references.margin)
        out = references.mean(said, kept=False)
        if self.online:
            expected = (out + references.mean(said, kept=True)) / 2
        else:
            expected = ((1 + self.a) * out + 1 - self.a) / 2
        ratio = target.probability / np.maximum(expected, 1e-300)
        found = np.empty_like(ratio)
        for hospital in np.unique(target.hospitals):
            own = target.hospitals == hospital
            others = np.sort(ratio[own])
            found[own] = np.searchsorted(others, ratio[own] / self.gamma, side="right") / own.sum()
        return found


ATTACKS: tuple[Attack, ...] = (
    Threshold(),
    LossBased(),
    Calibrated(),
    Shadow(),
    Lira(),
    Rmia(),
)


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0.0, -x)))


def _features(margin: Floats) -> Floats:
    bounded = np.clip(margin, -6, 6)
    return np.stack([np.ones_like(bounded), bounded, bounded**2], axis=1)


def _logistic(shown: Floats, members: NDArray[np.bool_]) -> Floats:
    """Newton steps of a lightly penalised logistic regression."""
    weights = np.zeros(shown.shape[1])
    for _ in range(12):
        p = _sigmoid(shown @ weights)
        slope = shown.T @ (p - members) + 1e-2 * weights
        bend = (shown * (p * (1 - p))[:, None]).T @ shown + 1e-2 * np.eye(len(weights))
        step = np.linalg.solve(bend, slope)
        weights = weights - step
        if np.abs(step).max() < 1e-8:
            break
    return weights
