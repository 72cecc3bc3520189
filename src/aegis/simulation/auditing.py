"""The membership audit of a simulated run: can somebody who holds the model tell who trained it?

Members are each hospital's training rows, non-members its held-out rows. Reference models repeat
the run's own recipe on other divisions of the same patients, noise included: the federation itself
without files, or, for private descent, the same steps and the same noise in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.assurance.membership import Audit, Declared, audit
from aegis.assurance.patients import Patients, Predict
from aegis.coordinator.steps import Study
from aegis.errors import BadInput
from aegis.hospital.ledger import Ledger
from aegis.hospital.node import Node
from aegis.hospital.private import noisy_gradient
from aegis.hospital.release import Account
from aegis.hospital.site import Site
from aegis.messages import Vector
from aegis.plan import Plan
from aegis.plan.own_data import of_images
from aegis.plan.schedule import follows_noise_rule, schedule
from aegis.privacy.dpgd import average_after, change
from aegis.privacy.filters import Cap
from aegis.privacy.noise import SystemNoise
from aegis.simulation.accounts import LOOSER, PUBLIC
from aegis.simulation.comparison import Fitted
from aegis.simulation.stacked import StackedHospitals
from aegis.states import StartingPoint
from aegis.store.home import Home
from aegis.store.journal import Forgetful, Journal
from aegis.store.registry import Registry
from aegis.tasks.bounded import read_preparation
from aegis.tasks.networks import NETWORKS
from aegis.tasks.task import Rows
from aegis.wiring import federate

MOST_HOSPITALS = 100


def why_not(plan: Plan, hospitals: int) -> str | None:
    """Why such a run is not audited, or nothing."""
    if hospitals > MOST_HOSPITALS:
        return f"the audit is made for up to {MOST_HOSPITALS} hospitals"
    if (
        plan.privacy.enabled
        and not follows_noise_rule(plan)
        and plan.privacy.noise_multiplier is None
    ):
        return "the audit would have to calibrate the noise of each reference model anew"
    if plan.data.standardize == "site":
        return "the audit needs one preparation for all hospitals"
    if plan.model.name in NETWORKS:
        return "the audit would train dozens of networks of convolutions, which takes hours"
    if of_images(plan):
        return "the audit would fit dozens of models of a thousand columns, which takes minutes"
    return None


def latest_audited(home: Home) -> str | None:
    """The last run with a model that can be audited, or nothing."""
    if not home.database.exists():
        return None
    journal = Journal(home.database)
    try:
        for version in reversed(Registry(home, journal).versions()):
            plan = Plan.from_json(journal.run(version.run).plan_json)
            if why_not(plan, plan.federated.num_clients or 0) is None:
                return version.run
        return None
    finally:
        journal.close()


def audit_run(
    sites: Mapping[str, Site],
    fitted: Fitted,
    privacy: Mapping[str, Any],
    told: Callable[[int, int], None] = lambda done, total: None,
) -> Audit:
    """Attack the run's final model. ``privacy`` is the result's section, for what was declared.

    Raises ``BadInput`` where too few patients can be compared.
    """
    plan = fitted.study.plan
    prepared = read_preparation(fitted.preparation)

    def patients(part: str) -> Patients:
        rows = [(name, getattr(site, part)) for name, site in sites.items()]
        return Patients(
            np.concatenate([prepared.apply(one) for _, one in rows]),
            np.concatenate([one.labels for _, one in rows]),
            np.concatenate([np.full(len(one), name) for name, one in rows]),
        )

    declared = None
    if privacy.get("epsilon"):
        declared = Declared(float(privacy["epsilon"]), float(privacy["delta"]))
    fit = _private_fit(fitted) if follows_noise_rule(plan) else _federated_fit(fitted)
    model = fitted.study.model(fitted.preparation)

    def target(design: NDArray[Any]) -> NDArray[Any]:
        return model.logits(fitted.weights, design)

    members, nonmembers = patients("train"), patients("test")
    return audit(
        fit, members, nonmembers, target=target, privacy=declared, seed=plan.seed, told=told
    )


def _federated_fit(fitted: Fitted) -> Callable[[Patients, int], Predict]:
    """The same federation on other rows, from the same start, without files."""
    study = Study(_quiet(fitted.study.plan), fitted.study.schema)
    model = study.model(fitted.preparation)
    kind = study.plan.model.init or ("uniform" if model.hidden else "zeros")

    # Full-batch sums do not care who adds them, so one hospital with all rows is the same recipe.
    sums = study.rule.needs == "sum"
    exact = sums and study.plan.training.solver in ("newton", "gradient")

    def fit(patients: Patients, seed: int) -> Predict:
        if exact:
            everyone = np.full(len(patients), "everyone")
            patients = Patients(patients.design, patients.labels, everyone)
        start = StartingPoint("", fitted.preparation, model.initial(seed, kind))
        with TemporaryDirectory() as folder, ExitStack() as opened:
            nodes = {
                str(name): _node(str(name), patients, study, Path(folder), opened)
                for name in np.unique(patients.hospitals)
            }
            road = StackedHospitals(nodes)
            final = federate(study, "audit", road, Forgetful(), start=start)
        weights = final.progress.weights
        return _predict(fitted, weights)

    return fit


def _private_fit(fitted: Fitted) -> Callable[[Patients, int], Predict]:
    """Private descent with all its noise, in one place: sums do not care who adds them."""
    plan = fitted.study.plan

    def fit(patients: Patients, seed: int) -> Predict:
        hospitals = len(np.unique(patients.hospitals))
        features = patients.design.shape[1]
        planned = schedule(plan, len(patients), hospitals, features)
        noise = SystemNoise().gaussian_on_grid
        weights = average = np.zeros(features + 1)
        for number in range(1, planned.rounds + 1):
            total = noisy_gradient(
                patients.design,
                patients.labels,
                weights,
                planned,
                1,  # one release carries what all hospitals' shares add up to
                noise,
            )
            weights = weights + change(total, planned.learning_rate, len(patients))
            average = average_after(average, weights, number)
        return _predict(fitted, average)

    return fit


def _node(name: str, patients: Patients, study: Study, folder: Path, opened: ExitStack) -> Node:
    """A hospital of a repetition, with an account to throw away where the plan is private."""
    account = None
    if study.plan.privacy.enabled:
        ledger = Ledger.open(folder / f"{name}.db", "a repetition for the audit")
        opened.callback(ledger.close)
        privacy = study.plan.privacy
        account = Account(ledger, Cap(LOOSER * privacy.epsilon_budget, privacy.delta))
    site = _site(name, patients, study)
    return Node(site, account=account, policy=replace(PUBLIC, scores="withheld"))


def _site(name: str, patients: Patients, study: Study) -> Site:
    mine = patients.hospitals == name
    rows = Rows(patients.design[mine], patients.labels[mine])
    return Site(name, study.schema, rows, rows.take(np.arange(0)), rows)


def _predict(fitted: Fitted, weights: Vector) -> Predict:
    model = fitted.study.model(fitted.preparation)
    return lambda design: model.logits(weights, design)


def _quiet(plan: Plan) -> Plan:
    """The plan for a repetition: nothing scored in between, and whoever is there will do."""
    if plan.evaluation.keep == "best" or plan.evaluation.patience is not None:
        raise BadInput("the audit cannot repeat a run that chose its round on validation rows")
    changes: dict[str, Any] = {"evaluation.every": 0, "federated.quorum": 1}
    if plan.trust == "masked":  # a sum is a sum, hidden or not
        changes |= {"trust": "open", "secure_aggregation.enabled": False}
    if plan.rule != "fedavg":
        changes["robust_aggregation.num_byzantine"] = plan.byzantine
    changes["robust_aggregation.enable_detection"] = False
    return plan.edited(changes)
