"""How would a hospital fare that never took part? Each one in turn is left out of the training.

For each hospital the whole federation is run again without it, statistics round and all, and the
model is scored on every row that it holds: none of them had any part in it. On its test rows that
model stands beside the shared one, which knew its training rows; the paired difference is what
taking part was worth to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from aegis.assurance.benefit import Right, paired, share
from aegis.errors import BadInput, RunAborted
from aegis.evaluation.classes import called
from aegis.evaluation.histogram import score
from aegis.evaluation.intervals import interval
from aegis.evaluation.metrics import metrics
from aegis.hospital.node import Node
from aegis.hospital.site import Site, VolatileMemory
from aegis.plan import Plan
from aegis.report.result import mean_metrics
from aegis.simulation.comparison import Fitted
from aegis.simulation.stacked import StackedHospitals
from aegis.store.journal import Forgetful
from aegis.tasks.task import below
from aegis.wiring import federate

if TYPE_CHECKING:
    from aegis.simulation.federation import Federation

MOST_HOSPITALS = 50


def leave_one_out(
    federation: Federation,
    shared: Mapping[str, Fitted],
    told: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """The result's ``leave_one_out``: ``hospitals`` and the unweighted ``mean`` of their figures;
    null, with ``leave_one_out_reason``, where it cannot be made. ``shared`` is the federated model
    as each hospital uses it."""
    trained = [name for name, site in federation.sites.items() if len(site.train)]
    why = _why_not(federation.study.plan, len(trained))
    if why is not None:
        return {"leave_one_out": None, "leave_one_out_reason": why}
    rows = []
    for name in trained:
        told(f"training without {name}")
        rows.append(_without(federation, name, shared[name]))
    figures = [row["outside"] for row in rows]
    return {"leave_one_out": {"hospitals": rows, "mean": mean_metrics(figures)}}


def _why_not(plan: Plan, hospitals: int) -> str | None:
    least = 2 if plan.trust == "open" else 4
    if hospitals < least:
        return f"leaving one of {hospitals} out leaves too few for trust: {plan.trust}"
    if hospitals > MOST_HOSPITALS:
        return f"made for up to {MOST_HOSPITALS} hospitals"
    return None


def _without(federation: Federation, name: str, shared: Fitted) -> dict[str, Any]:
    site = federation.sites[name]
    everything = below([site.train, site.validation, site.test])
    row: dict[str, Any] = {"name": name, "examples": len(everything), "outside": None}
    try:
        fitted = trained_without(federation, name)
    except (RunAborted, BadInput) as error:
        return row | {"reason": str(error)}
    histogram, loss = score(fitted.logits(everything), everything.labels)
    found: dict[str, Any] = dict(metrics(histogram, loss))
    found["ci95"] = {
        metric: pair
        for metric in ("accuracy", "auc")
        if found[metric] is not None and (pair := interval([histogram], metric)) is not None
    }
    row["outside"] = found
    if len(site.test):
        inside, outside = _right(shared, site), _right(fitted, site)
        row["test_examples"] = len(site.test)
        row["on_test"] = {
            "outside": share(outside),
            "inside": share(inside),
            "difference": paired(inside, outside),
        }
    return row


def trained_without(federation: Federation, name: str) -> Fitted:
    """The model that the other hospitals make, as the one left out would use it: scaled by its own
    rows where the plan scales by site. Raises ``RunAborted`` where they make none."""
    others = {other: site for other, site in federation.sites.items() if other != name}
    study = replace(federation.study, plan=_smaller(federation.study.plan, len(others)))
    rest = replace(federation, study=study, sites=others)
    with TemporaryDirectory() as folder, ExitStack() as closing:
        nodes = rest.nodes(VolatileMemory(), Path(folder))
        for node in nodes.values():
            if node.account is not None:
                closing.callback(node.account.ledger.close)
        final = federate(study, f"without-{name}", StackedHospitals(nodes), Forgetful())
    preparation = final.progress.preparation
    if study.plan.data.standardize == "site":
        preparation = Node(federation.sites[name]).localised(preparation)
    return Fitted(study, preparation, final.progress.weights)


def _smaller(plan: Plan, hospitals: int) -> Plan:
    """The plan for fewer hospitals, scored only as often as it decides on scores."""
    quorum = plan.federated.quorum
    changes: dict[str, Any] = {
        "federated.num_clients": hospitals,
        "federated.quorum": min(quorum, hospitals) if isinstance(quorum, int) else quorum,
    }
    decides = plan.evaluation.patience is not None or plan.training.schedule == "plateau"
    if plan.evaluation.keep == "last" and not decides:
        changes["evaluation.every"] = 0
    return plan.edited(changes)


def _right(fitted: Fitted, site: Site) -> Right:
    right: Right = called(fitted.logits(site.test)) == site.test.labels
    return right
