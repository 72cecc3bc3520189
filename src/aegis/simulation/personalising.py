"""The shared model, fitted to one hospital afterwards: what that hospital could use for itself.

Logistic regression of two classes gets site effects (``aegis.training.site_effects``). A network,
and whatever tells more classes apart, trains on, from the shared weights, for as many passes as
four-fold cross-validation on the hospital's own training rows finds best; no pass at all is one of
the choices. Both use the hospital's own rows only and both may leave the shared model as it is. The
fitted model holds facts about these rows that no noise covers, so it stays in the hospital.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import AegisError
from aegis.evaluation.classes import log_losses
from aegis.hospital.site import Site
from aegis.messages import Vector
from aegis.simulation.comparison import Fitted, Predict
from aegis.tasks.bounded import read_preparation
from aegis.tasks.models import Model
from aegis.tasks.networks import Network
from aegis.tasks.task import Rows
from aegis.training import trainer_for
from aegis.training.site_effects import evidence, likeliest, site_effects
from aegis.training.trainer import Job, Settings

PASSES = (0, 1, 2, 4, 8)
FOLDS, LEAST = 4, 20
MOST_SLOPES = 200
"""Of more columns (an image has a thousand) only the intercept is a hospital's own."""


@dataclass(frozen=True)
class Personal:
    """``method`` is ``site effects`` or ``fine-tuning``; ``how`` says how far the model moved."""

    method: str
    how: str
    moved: bool
    logits: Predict


def personalised(shared: Fitted, site: Site, learning_rate: float, round: int) -> Personal:
    """The shared model as it is best for this hospital. ``learning_rate`` and ``round`` are those a
    next round would have; only networks use them."""
    model = shared.study.model(shared.preparation)
    several, network = model.outputs > 1, isinstance(model, Network)
    if several and network:
        return Personal("fine-tuning", "as shared", False, shared.logits)
    if not several and (network or not model.hidden):
        return _with_site_effects(shared, model, site)
    return _trained_on(shared, model, site, learning_rate, round)


def _with_site_effects(shared: Fitted, model: Model, site: Site) -> Personal:
    prepared = read_preparation(shared.preparation)
    design = prepared.apply(site.train)
    logits, labels = model.logits(shared.weights, design), site.train.labels
    sloped = design.shape[1] if design.shape[1] <= MOST_SLOPES else 0
    if isinstance(model, Network):  # to train it on takes as long as the rounds did
        sloped = 0
    strength = likeliest(evidence(design[:, :sloped], labels, logits))
    effects = site_effects(design[:, :sloped], labels, logits, strength)

    def own(rows: Rows) -> NDArray[np.floating]:
        there = prepared.apply(rows)
        return np.asarray(model.logits(shared.weights, there) + effects.on(there[:, :sloped]))

    intercept, slopes = strength
    how = "as shared"
    if intercept or slopes:
        parts = [f"intercept sd {intercept:g}"] if intercept else []
        how = ", ".join(parts + ([f"slopes sd {slopes:g}"] if slopes else []))
    return Personal("site effects", how, any(strength), own)


def _trained_on(
    shared: Fitted, model: Model, site: Site, learning_rate: float, round: int
) -> Personal:
    design = np.ascontiguousarray(
        read_preparation(shared.preparation).apply(site.train), dtype=model.dtype
    )
    training = shared.study.plan.training

    def tuned(index: NDArray[np.intp], passes: int) -> Vector:
        if not passes:
            return shared.weights
        settings = Settings(
            optimizer=training.optimizer,
            batch_size=training.batch_size,
            local_epochs=passes,
            momentum=training.momentum,
            weight_decay=training.weight_decay,
            l2=training.l2,
            class_weights=training.class_weights or (),
            measure_loss=False,
        )
        job = Job(
            hospital=site.name,
            seed=shared.study.plan.seed,
            round=round,
            model=model,
            weights=shared.weights,
            design=design[index],
            labels=site.train.labels[index],
            learning_rate=learning_rate,
            total_examples=len(index),
            settings=settings,
        )
        moved: Vector = shared.weights + trainer_for(model).train(job).vector
        return moved

    passes = _best_passes(model, design, site.train.labels, tuned)
    weights = tuned(np.arange(len(site.train)), passes)
    how = f"{passes} more pass{'es' if passes > 1 else ''}" if passes else "as shared"
    fitted = Fitted(shared.study, shared.preparation, weights)
    return Personal("fine-tuning", how, passes > 0, fitted.logits)


def _best_passes(
    model: Model,
    design: NDArray[np.floating],
    labels: NDArray[np.int64],
    tuned: Callable[[NDArray[np.intp], int], Vector],
) -> int:
    """The number of passes with the least log-loss on rows left out of them; of equals the fewest,
    and none where there are too few rows to leave any out."""
    rows = len(labels)
    if rows < LEAST:
        return 0
    fold = np.random.default_rng(0).permutation(rows) % FOLDS
    losses = np.zeros(len(PASSES))
    for left_out in range(FOLDS):
        rest, out = np.flatnonzero(fold != left_out), fold == left_out
        for number, passes in enumerate(PASSES):
            try:
                logits = model.logits(tuned(rest, passes), design[out]).astype(np.float64)
            except AegisError:
                losses[number] = np.inf
                continue
            loss = float(log_losses(logits, labels[out]).sum())
            losses[number] += loss if np.isfinite(loss) else np.inf
    return PASSES[int(losses.argmin())]


def describe_personal(own: Personal, shared: Fitted, site: Site) -> dict[str, Any]:
    """For the result: how the model was fitted to the hospital, and what that does to the log-loss
    of its test patients (below zero is better)."""
    row: dict[str, Any] = {"method": own.method, "how": own.how, "moved": own.moved}
    if len(site.test):
        before, after = _losses(shared.logits, site.test), _losses(own.logits, site.test)
        change = after - before
        reach = 1.959964 * float(change.std()) / np.sqrt(len(change))
        middle = float(change.mean())
        row["log_loss"] = {
            "federated": float(before.mean()),
            "tuned": float(after.mean()),
            "difference": middle,
            "ci95": [middle - reach, middle + reach],
        }
    return row


def _losses(predict: Predict, rows: Rows) -> NDArray[np.float64]:
    return log_losses(predict(rows), rows.labels)
