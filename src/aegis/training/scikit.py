"""A hospital whose model is scikit-learn's: the same exact path through another library.

``SGDClassifier`` with the log-loss is the model. For ``gradient`` and ``newton`` its predicted
chances at the received weights give the sums (the mean of these over hospitals, weighted by their
rows, is the pooled one); for ``sgd`` it takes the house's shuffled rows one by one, as it does, so
a plan needs ``batch_size: 1`` and plain steps. What the library has no way for is refused when the
plan is proposed, not done in silence by something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from aegis.errors import BadInput
from aegis.plan import Plan
from aegis.training.linear import LinearTrainer
from aegis.training.threads import one_thread
from aegis.training.trainer import Job, Settings, Trained, batches


class ScikitTrainer:
    """For logistic regression of two classes."""

    def train_many(self, jobs: Sequence[Job]) -> list[Trained]:
        return [self.train(job) for job in jobs]

    def train(self, job: Job) -> Trained:
        for fault in _faults(job.settings, bool(job.perceptron.hidden), job.perceptron.outputs):
            raise BadInput(fault, "scikit-learn's hospital has no way for it")
        if not len(job.labels):
            return LinearTrainer().train(job)
        with one_thread():
            return _stepped(job) if job.settings.solver == "sgd" else _summed(job)


def fault_of_training(plan: Plan) -> str | None:
    """Why a hospital cannot follow this plan with scikit-learn, or nothing. Private plans are not
    its business: their steps are the house's own."""
    if plan.privacy.enabled:
        return None
    training = plan.training
    settings = Settings(
        solver=training.solver,
        optimizer=training.optimizer,
        batch_size=training.batch_size,
        momentum=training.momentum,
        weight_decay=training.weight_decay,
        proximal_mu=training.proximal_mu,
    )
    network = plan.model.name != "logistic" or bool(plan.model.hidden)
    scaffold = plan.server.optimizer == "scaffold" and training.solver == "sgd"
    outputs = 1 if plan.model.num_classes == 2 else plan.model.num_classes
    faults = list(_faults(settings, network, outputs))
    if scaffold:
        faults.append("server.optimizer: scaffold corrects single steps")
    if not faults:
        return None
    return (
        f"this hospital trains with scikit-learn, which has no way for {faults[0]}; it follows "
        "plans for logistic regression by training.solver newton or gradient, or sgd with "
        "batch_size: 1 and plain steps"
    )


def _faults(settings: Settings, network: bool, outputs: int) -> Iterator[str]:
    if network:
        yield "hidden layers"
    if outputs > 1:
        yield f"{outputs} classes in one exact sum"
    if settings.solver != "sgd":
        return
    if settings.batch_size != 1:
        yield f"training.batch_size: {settings.batch_size}"
    if settings.optimizer != "sgd":
        yield f"training.optimizer: {settings.optimizer}"
    for name in ("momentum", "weight_decay", "proximal_mu"):
        if getattr(settings, name):
            yield f"training.{name}"


def _summed(job: Job) -> Trained:
    """Mean gradient and curvature with their share of the ridge, from scikit-learn's chances."""
    model = _model(job)
    design = np.asarray(job.design, dtype=np.float64)
    chance = model.predict_proba(design)[:, 1]
    size, count = job.model.size, len(job.labels)
    wide = np.hstack([design, np.ones((count, 1))])
    gradient = wide.T @ ((chance - job.labels) / count)
    ridge = job.settings.l2 / max(job.total_examples, 1)
    gradient[:-1] += ridge * np.asarray(job.weights, dtype=np.float64)[:-1]
    logits = model.decision_function(design)
    wrong = np.where(job.labels == 1, -logits, logits)
    loss = float(np.logaddexp(0, wrong).mean())
    if job.settings.solver == "gradient":
        gradient += job.settings.weight_decay * job.weights
        if job.correction is not None:
            gradient += job.correction
        return Trained(-job.learning_rate * gradient, 1, loss)
    steep = wide * np.sqrt(chance * (1 - chance) / count)[:, None]
    hessian = steep.T @ steep
    slopes = np.arange(size - 1)
    hessian[slopes, slopes] += ridge
    return Trained(np.concatenate([gradient, hessian[np.triu_indices(size)]]), 1, loss)


def _stepped(job: Job) -> Trained:
    if job.correction is not None:
        raise BadInput("a correction of single steps", "scikit-learn's hospital has no way for it")
    rows = np.concatenate(batches(job))
    loss = _summed(replace(job, settings=replace(job.settings, solver="newton"))).loss
    model = _model(job)
    model.partial_fit(np.asarray(job.design, dtype=np.float64)[rows], job.labels[rows])
    end = np.append(model.coef_[0], model.intercept_)
    return Trained(end - job.weights, len(rows), loss)


def _model(job: Job) -> Any:
    """scikit-learn's model at the weights received."""
    from sklearn.linear_model import SGDClassifier

    ridge = job.settings.l2 / max(job.total_examples, 1)
    model = SGDClassifier(
        loss="log_loss",
        penalty="l2",
        alpha=max(ridge, 1e-300),
        learning_rate="constant",
        eta0=job.learning_rate or 1e-300,
        shuffle=False,
    )
    nowhere = np.zeros((1, job.perceptron.inputs))
    model.partial_fit(nowhere, [0], classes=[0, 1])  # lays the model out; then it is overwritten
    model.coef_[:] = job.weights[:-1]
    model.intercept_[:] = job.weights[-1:]
    return model
