"""The document of a simulated run: the coordinator's result, and what only a simulation knows.

A simulation holds all hospitals' rows, so it can also say what each hospital holds, what each would
have learned alone, and what a pooled fit would reach. On a real road these parts are absent, and
the result says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aegis.assurance.report import as_json, report
from aegis.coordinator.steps import Study
from aegis.errors import BadInput
from aegis.hospital.node import Node
from aegis.hospital.site import Site
from aegis.plan.own_data import positive
from aegis.privacy.accounting import Event
from aegis.report.card import model_card
from aegis.report.classes import classes_of
from aegis.report.odds_ratios import odds_of
from aegis.report.result import Record, result_of, scored_histograms
from aegis.report.table_one import table_one
from aegis.simulation.auditing import audit_run, why_not
from aegis.simulation.comparison import MOST_HOSPITALS, Fitted, compare
from aegis.simulation.holdings import HospitalRows, describe
from aegis.simulation.personalising import describe_personal, personalised
from aegis.states import Terminated
from aegis.store.registry import Registry
from aegis.tasks.models import model_sha256
from aegis.tasks.preparation import slots, tally
from aegis.tasks.task import Dataset, find_task
from aegis.version import __version__

NOTE = "Research use only. Not medical software. Not independently audited."
MOST_COLUMNS = 8


@dataclass(frozen=True)
class Finished:
    study: Study
    dataset: Dataset
    sites: Mapping[str, Site]
    final: Terminated
    parent: str | None = None
    releases: Mapping[str, Sequence[Event]] = field(default_factory=dict)


def document(
    finished: Finished,
    registry: Registry,
    records: Sequence[Record],
    *,
    comparing: bool,
    auditing: bool,
    told: Callable[[str], None],
    checkpoint: str | None = None,
) -> dict[str, Any]:
    """Compose the result and store the model with its card. ``records`` are the run's events,
    ``checkpoint`` the last signed note of its log."""
    study, final, dataset = finished.study, finished.final, finished.dataset
    task = find_task(study.plan.task)
    sha256 = _sha256(finished)
    found = result_of(
        study,
        final,
        records,
        transport="inprocess",
        model_sha256=sha256,
        releases=finished.releases,
    )
    found["aegis"] = __version__
    found["note"] = NOTE
    found["files"] = {"model": str(registry.path(sha256))}
    found["data"] = {
        "source": dataset.source,
        "synthetic": dataset.synthetic,
        "rows": len(dataset.rows),
        "credits": task.credits,
        "positive": "" if study.schema.classes else positive(study.plan),
        "classes": list(study.schema.classes),
        "row": dataset.unit or getattr(task, "unit", "patient record"),
    }
    if dataset.synthetic:  # nobody is behind a small class
        found |= classes_of(scored_histograms(final), study.schema.classes, minimum=1)
    found["partition"] = _partition(finished)
    found |= _table_one(finished) | odds_of(study.schema, final.progress)
    found |= _compared(finished, found, comparing, told)
    found |= _audited(finished, found, auditing, told)
    _store(finished, registry, found, checkpoint)
    return found


def _compared(
    finished: Finished, found: dict[str, Any], comparing: bool, told: Callable[[str], None]
) -> dict[str, Any]:
    if not comparing or len(finished.sites) > MOST_HOSPITALS:
        why = "not asked for" if not comparing else f"made for up to {MOST_HOSPITALS} hospitals"
        return {"comparison": None, "comparison_reason": why}
    used, progress = as_used(finished), finished.final.progress
    personal = {
        name: personalised(used[name], site, progress.learning_rate, progress.round + 1)
        for name, site in finished.sites.items()
    }
    tuned = {name: own.logits for name, own in personal.items()}
    compared = compare(_as_long(finished), finished.sites, used, told, tuned)
    for row in compared["comparison"]["hospitals"]:
        own, site = personal[row["name"]], finished.sites[row["name"]]
        row["personal"] = describe_personal(own, used[row["name"]], site)
    local = compared.pop("local")
    for hospital in found["hospitals"]:
        hospital["local"] = local.get(hospital["name"])
    return compared


def _as_long(finished: Finished) -> Study:
    """What models are compared by: after a stop they are trained for no more rounds than the
    federation had, so that like is compared with like."""
    study, final = finished.study, finished.final
    if final.status != "stopped" or study.plan.federated.num_rounds is None:
        return study
    rounds = max(1, final.progress.round)
    return Study(study.plan.edited({"federated.num_rounds": rounds}), study.schema)


def _audited(
    finished: Finished, found: dict[str, Any], auditing: bool, told: Callable[[str], None]
) -> dict[str, Any]:
    """The membership audit, and its text under ``text``."""
    why = why_not(finished.study.plan, len(finished.sites)) if auditing else "not asked for"
    if why is None:
        told("attacking the model")
        progress = finished.final.progress
        fitted = Fitted(_as_long(finished), progress.preparation, progress.weights)
        try:
            made = audit_run(finished.sites, fitted, found["privacy"])
        except BadInput as error:
            why = str(error)
        else:
            return {"membership_audit": {**as_json(made), "text": report(made)}}
    return {"membership_audit": None, "membership_audit_reason": why}


def _sha256(finished: Finished) -> str:
    progress = finished.final.progress
    return model_sha256(finished.study.model(progress.preparation), progress.weights)


def _store(
    finished: Finished, registry: Registry, found: Mapping[str, Any], checkpoint: str | None
) -> None:
    study, progress, plan = finished.study, finished.final.progress, finished.study.plan
    card = model_card(
        plan,
        study.schema,
        progress.preparation,
        found,
        positive=positive(plan),
        parent=finished.parent,
        checkpoint=checkpoint,
    )
    model = study.model(progress.preparation)
    registry.save(progress.run, plan.task, model, progress.weights, card)


def _partition(finished: Finished) -> dict[str, Any]:
    parts = {
        name: HospitalRows(site.train, site.validation, site.test)
        for name, site in finished.sites.items()
    }
    described = describe(parts, classes=finished.study.schema.label_count)
    return {"by": finished.study.plan.federated.partition.by, "hospitals": described}


def _table_one(finished: Finished) -> dict[str, Any]:
    """From the statistics round's sums; per hospital only where the coordinator saw them."""
    study, sums = finished.study, finished.final.progress.memory.get("statistics")
    if sums is None:
        return {"table_one": None, "table_one_reason": "this run had no statistics round"}
    if len(slots(study.schema)) != len(sums):
        return {"table_one": None, "table_one_reason": "its categories were found in the run"}
    outcome = positive(study.plan).capitalize()
    by_hospital = None
    if study.plan.effective_trust == "open" and len(finished.sites) <= MOST_COLUMNS:
        by_hospital = {
            name: tally(study.schema, site.train) for name, site in finished.sites.items()
        }
    return {"table_one": table_one(study.schema, sums, by_hospital, outcome=outcome)}


def as_used(finished: Finished) -> dict[str, Fitted]:
    """The shared model as each hospital uses it: with its own scaling where the plan says so."""
    study, progress = finished.study, finished.final.progress
    used = {}
    for name, site in finished.sites.items():
        preparation = progress.preparation
        if study.plan.data.standardize == "site":
            preparation = Node(site).localised(preparation)
        used[name] = Fitted(study, preparation, progress.weights)
    return used
