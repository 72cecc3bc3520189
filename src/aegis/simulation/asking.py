"""A question to all simulated hospitals: their ledgers, what it came to, and the log of it.

Unlike the ledgers of a run these stay: ``results/queries/TASK/ledgers/HOSPITAL.db`` under the data
root is the one account of all questions about a task, so that asking again and again spends one
budget. Each question, answered or not, is a line in ``logs/queries.jsonl``, without any count.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from aegis.coordinator.questions import Answered, ask_all
from aegis.errors import BadInput, DataError, RunAborted
from aegis.hospital.ledger import Ledger
from aegis.hospital.node import Node
from aegis.hospital.policy import Policy
from aegis.hospital.release import Account, site_sha256
from aegis.hospital.site import Site
from aegis.plan import Plan
from aegis.plan.own_data import positive
from aegis.privacy.accounting import composed
from aegis.privacy.filters import Cap
from aegis.simulation.accounts import PUBLIC
from aegis.simulation.local import Federation
from aegis.simulation.seals import simulated_keys, simulated_seals
from aegis.store.home import Home
from aegis.tasks.question import Question, question
from aegis.tasks.task import find_task
from aegis.tasks.topics import Topics
from aegis.transport.transport import InProcess

EPSILON, DELTA = 0.1, 1e-5


def ask(
    plan: Plan,
    wanted: Question,
    *,
    epsilon: float = EPSILON,
    delta: float = DELTA,
    without_noise: bool = False,
    home: Path | None = None,
    data_directory: Path | None = None,
) -> dict[str, Any]:
    """The answer of the plan's hospitals, as one document that JSON can hold.

    ``epsilon`` and ``delta`` are the price at each hospital. ``without_noise`` asks hospitals that
    keep no ledger: only bundled demonstration data are counted so. Raises ``BadInput`` for an
    unsound question before anything is written or charged, ``RunAborted`` where no hospital
    answers (the budget is spent, the policy refuses).
    """
    _check_price(epsilon, delta)
    federation = Federation.of(plan, data_directory or _data_directory())
    task, dataset = find_task(plan.task), federation.dataset
    topics = Topics.of(federation.study.schema, positive(plan), dataset.rows)
    asked = question(topics, wanted.kind, wanted.columns, wanted.bins, wanted.where)
    published = dataset.schema is None and not getattr(task, "sources", ())
    bundled = published or dataset.synthetic
    policy = replace(PUBLIC, demonstration=bundled, scores="noisy")
    root = (Home(home) if home is not None else Home.from_environment()).prepare()
    folder = root.results("queries") / plan.task / "ledgers"
    with _accounts({} if without_noise else federation.sites, folder, policy) as accounts:
        seals = simulated_seals(simulated_keys(federation.sites), plan.seed)
        nodes = {
            name: Node(site, account=accounts.get(name), policy=policy, seal=seals[name])
            for name, site in federation.sites.items()
        }
        before = {name: len(account.ledger.events()) for name, account in accounts.items()}
        road, run = InProcess(nodes), f"questions-{plan.task}"
        answered = ask_all(federation.study, road, run, asked, topics, epsilon, delta)
        hospitals = [
            _hospital(name, answered, accounts.get(name), before.get(name, 0), epsilon)
            for name in nodes
        ]
    _log(root, plan, asked, answered, None if without_noise else epsilon, delta)
    if not answered.cells:
        raise _nobody(answered)
    return {
        "status": "answered",
        "task": plan.task,
        "title": task.title,
        "source": dataset.source,
        "synthetic": dataset.synthetic,
        "plan_sha256": plan.sha256,
        "question": json.loads(asked.to_json()),
        "question_sha256": asked.sha256,
        "sentence": asked.sentence,
        **_table(asked, topics, answered),
        "hospitals": hospitals,
        "privacy": _privacy(answered, epsilon, delta),
    }


def _table(asked: Question, topics: Topics, answered: Answered) -> dict[str, Any]:
    axes = asked.axes(topics)
    rows = []
    for at, cell in zip(np.ndindex(asked.shape(topics)), answered.cells, strict=True):
        labels = [axis.labels[i] for axis, i in zip(axes, at, strict=False)] or ["patients"]
        shown = f"fewer than {answered.minimum_cell}" if not cell.withheld_by else "withheld"
        if cell.count is not None:
            shown = f"{cell.count}" if not cell.withheld_by else f"at least {cell.count}"
        exact = answered.noise_sd == 0
        interval = None if cell.interval is None or exact else list(cell.interval)
        row = {"labels": labels, "count": cell.count, "shown": shown, "ci95": interval}
        rows.append(row | {"withheld_by": cell.withheld_by})
    return {
        "axes": [{"name": a.name, "title": a.title, "labels": list(a.labels)} for a in axes],
        "cells": rows,
        "noise_sd": answered.noise_sd,
        "minimum_cell": answered.minimum_cell,
    }


def _privacy(answered: Answered, epsilon: float, delta: float) -> dict[str, Any]:
    if answered.bare:
        return {
            "private": False,
            "label": "NOT PRIVATE: exact counts of public demonstration data",
            "epsilon": None,
            "delta": None,
            "coordinator_sees": "each hospital's exact cells, those below the minimum withheld",
        }
    return {
        "private": True,
        "label": "Gaussian noise from the operating system's randomness at each hospital",
        "epsilon": epsilon,
        "delta": delta,
        "unit": "one patient's row at one hospital",
        "neighbouring": "add or remove one",
        "assumption": "no patient is at two hospitals, so the price of one is the price of all",
        "accountant": "exact for this question; rdp for what is spent",
        "coordinator_sees": "each hospital's cells, noise included",
    }


def _hospital(
    name: str, answered: Answered, account: Account | None, before: int, epsilon: float
) -> dict[str, Any]:
    """``charged`` is 0 for a question that had its answer already."""
    row: dict[str, Any] = {"name": name, "status": "answered"}
    if name in answered.refused:
        row = {"name": name, "status": "refused", "reason": answered.refused[name]}
    if account is not None:
        events, cap = account.ledger.events(), account.cap
        row["charged"] = epsilon if len(events) > before else 0.0
        row["spent"] = cap.spent(composed(events))
        row["cap"] = cap.epsilon
    return row


@contextmanager
def _accounts(
    sites: Mapping[str, Site], folder: Path, policy: Policy
) -> Iterator[dict[str, Account]]:
    accounts: dict[str, Account] = {}
    cap = Cap(policy.epsilon_cap, policy.delta)
    try:
        for name, site in sites.items():
            accounts[name] = Account(_ledger(folder / f"{name}.db", site), cap)
        yield accounts
    finally:
        for account in accounts.values():
            account.ledger.close()


def _ledger(path: Path, site: Site) -> Ledger:
    """For all rows of the hospital, in whichever order they were dealt into parts."""
    try:
        return Ledger.open(path, site_sha256([site.train, site.validation, site.test]))
    except DataError as error:
        if "belongs to the data" not in error.value:
            raise
        raise DataError(
            f"the privacy ledger {path} was begun for other rows of {site.name}",
            "questions about a task are charged to the rows that its first one was about",
            "Ask with the same hospitals, seed and data settings as before, or set AEGIS_HOME to "
            "another folder",
        ) from error


def _log(
    home: Home,
    plan: Plan,
    asked: Question,
    answered: Answered,
    epsilon: float | None,
    delta: float,
) -> None:
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "task": plan.task,
        "plan_sha256": plan.sha256,
        "question": json.loads(asked.to_json()),
        "question_sha256": asked.sha256,
        "epsilon": epsilon,
        "delta": None if epsilon is None else delta,
        "answered": [*answered.noisy, *answered.bare],
        "refused": dict(answered.refused),
    }
    path = home.root / "logs" / "queries.jsonl"
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(line, separators=(",", ":")) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _nobody(answered: Answered) -> RunAborted:
    reasons = list(dict.fromkeys(answered.refused.values()))
    spent = any("have spent" in reason or "has spent" in reason for reason in reasons)
    old = "Questions that were answered before keep their answers, at the same price"
    return RunAborted(
        f"none of {len(answered.refused)} hospitals answered: {'; '.join(reasons[:3])}",
        way_out=old if spent else "",
    )


def _check_price(epsilon: float, delta: float) -> None:
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise BadInput(f"epsilon must be finite and above 0, got {epsilon}", way_out="Try 0.1")
    if not 0 < delta <= DELTA:
        raise BadInput(f"delta must be above 0 and at most {DELTA:g}, got {delta}")


def _data_directory() -> Path | None:
    value = os.environ.get("AEGIS_DATA_DIR")
    return Path(value) if value else None
