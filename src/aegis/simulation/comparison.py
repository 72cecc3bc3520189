"""Was it worth it? The federated model beside each hospital alone and beside all rows pooled.

Alone and pooled are federations of one: the same plan, the same steps, the same solver, with one
hospital that holds its own rows or everybody's. Each hospital's own model prepares its inputs from
its own statistics, as it would have to. The pooled fit is what no federation may do; it is the
reference for what sharing models instead of rows costs. Where the plan is private, so are they,
each with the whole budget on an account of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.assurance.benefit import Right, benefit, sentence, summary, together
from aegis.coordinator.steps import Study
from aegis.errors import RunAborted
from aegis.evaluation.classes import called
from aegis.evaluation.histogram import score
from aegis.evaluation.metrics import metrics
from aegis.hospital.node import Node
from aegis.hospital.site import Site
from aegis.messages import Vector
from aegis.plan import Plan
from aegis.report.result import mean_metrics
from aegis.simulation.accounts import PUBLIC, simulated_account
from aegis.store.journal import Forgetful
from aegis.tasks.bounded import read_preparation
from aegis.tasks.task import Rows, below
from aegis.transport.transport import InProcess
from aegis.wiring import federate

MOST_HOSPITALS = 100
Predict: TypeAlias = Callable[[Rows], NDArray[np.floating]]
UNSEEN = replace(PUBLIC, scores="noisy")


@dataclass(frozen=True)
class Fitted:
    """A model and how it prepares rows."""

    study: Study
    preparation: str
    weights: Vector

    def logits(self, rows: Rows) -> NDArray[np.floating]:
        model = self.study.model(self.preparation)
        return model.logits(self.weights, read_preparation(self.preparation).apply(rows))


def lone_plan(plan: Plan) -> Plan:
    """The plan for a federation of one: same task, model, training and seed."""
    document = plan.model_dump(mode="json")
    document["federated"] |= {
        "num_clients": 1,
        "quorum": 1,
        "fraction_fit": 1.0,
        "selection": "all",
    }
    document["trust"] = "open"  # nothing leaves a federation of one
    document["secure_aggregation"]["enabled"] = document["robust_aggregation"]["enabled"] = False
    if document["privacy"]["mechanism"] == "distributed":
        document["privacy"]["mechanism"] = "dp_sgd"
    if document["server"]["optimizer"] in ("cyclic", "scaffold"):
        document["server"]["optimizer"] = "fedavg"
    if document["evaluation"]["every"] and document["evaluation"]["keep"] == "last":
        document["evaluation"]["every"] = 0
    return Plan.model_validate(document)


def fit_alone(study: Study, site: Site) -> Fitted:
    """The model that ``site`` makes of its own rows. Raises ``RunAborted`` where it makes none."""
    lone = replace(study, plan=lone_plan(study.plan))
    with TemporaryDirectory() as folder:
        account = None
        if study.plan.privacy.enabled:
            account = simulated_account(site, lone.plan, Path(folder))
        road = InProcess({site.name: Node(site, account=account, policy=UNSEEN)})
        try:
            final = federate(lone, f"alone-{site.name}", road, Forgetful())
        finally:
            if account is not None:
                account.ledger.close()
    preparation = final.progress.preparation
    if study.plan.data.standardize == "site":
        preparation = Node(site).localised(preparation)
    return Fitted(lone, preparation, final.progress.weights)


def pooled_site(sites: Mapping[str, Site]) -> Site:
    """One site with everybody's rows."""
    every = list(sites.values())
    return Site(
        "pooled",
        every[0].schema,
        below([site.train for site in every]),
        below([site.validation for site in every]),
        below([site.test for site in every]),
    )


def compare(
    study: Study,
    sites: Mapping[str, Site],
    shared: Mapping[str, Fitted],
    told: Callable[[str], None] = lambda text: None,
    tuned: Mapping[str, Predict] | None = None,
) -> dict[str, Any]:
    """What goes into the result: ``pooled``, ``local`` by hospital, ``mean_local``, ``comparison``.

    ``shared`` is the federated model as each hospital would use it, ``tuned`` the same fitted to
    the hospital afterwards. Each hospital's own model is judged on its own test rows, where its
    patients are the ones it knows, and on everybody's (``everywhere``), where a model has to
    travel.
    """
    everyone = pooled_site(sites)
    travelled = np.concatenate([_right(shared[name].logits, site) for name, site in sites.items()])
    alone: dict[str, Fitted] = {}
    for name, site in sites.items():
        told(f"training {name} alone")
        with suppress(RunAborted):
            alone[name] = fit_alone(study, site)
    told("training on all rows in one place")
    pooled: Fitted | None = None
    with suppress(RunAborted):
        pooled = fit_alone(study, everyone)
    local: dict[str, dict[str, Any] | None] = dict.fromkeys(sites)
    rows: list[dict[str, Any]] = []
    judged: list[Mapping[str, Right | None]] = []
    for number, (name, site) in enumerate(sites.items()):
        if name not in alone or not len(site.test):
            continue
        own = alone[name]
        local[name] = metrics(*score(own.logits(site.test), site.test.labels))
        models = {
            "alone": _right(own.logits, site),
            "federated": _right(shared[name].logits, site),
            "tuned": _right(tuned[name], site) if tuned and name in tuned else None,
            "pooled": None if pooled is None else _right(pooled.logits, site),
        }
        judged.append(models)
        away = {"alone": _right(own.logits, everyone), "federated": travelled}
        rows.append({"name": name, **benefit(models, number), "everywhere": benefit(away, number)})
    found, everywhere = together(judged), None
    if pooled is not None:
        everywhere = metrics(*score(pooled.logits(everyone.test), everyone.test.labels))
    return {
        "pooled": everywhere,
        "local": local,
        "mean_local": mean_metrics(list(local.values())),
        "comparison": {
            "hospitals": rows,
            "summary": summary(rows),
            "summary_everywhere": summary([row["everywhere"] for row in rows]),
            "together": found,
            "sentence": sentence(found),
        },
    }


def _right(predict: Predict, site: Site) -> Right:
    """For each test row of the site, whether the model says what is."""
    right: Right = called(predict(site.test)) == site.test.labels
    return right
