"""A question to all simulated hospitals: their ledgers, what it came to, and the log of it.

Unlike the ledgers of a run these stay: ``results/queries/TASK/ledgers/HOSPITAL.db`` under the data
root is the one account of all questions about a task, so that asking again and again spends one
budget. Each question, answered or not, is a line in ``logs/queries.jsonl``, without any count.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from aegis.coordinator.questions import Answered, ask_all
from aegis.errors import DataError
from aegis.hospital.ledger import Ledger
from aegis.hospital.node import Node
from aegis.hospital.policy import Policy
from aegis.hospital.release import Account, site_sha256
from aegis.hospital.site import Site
from aegis.plan import Plan
from aegis.plan.own_data import positive
from aegis.privacy.filters import Cap
from aegis.report.answers import DELTA, EPSILON, answered_document, check_price
from aegis.simulation.accounts import PUBLIC
from aegis.simulation.federation import Federation
from aegis.simulation.seals import simulated_keys, simulated_seals
from aegis.store.home import Home
from aegis.store.questions import note_question
from aegis.tasks.question import Question, question
from aegis.tasks.task import find_task
from aegis.tasks.topics import Topics
from aegis.transport.transport import InProcess


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
    check_price(epsilon, delta)
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
    names = [*answered.noisy, *answered.bare]
    about = (plan.task, plan.sha256, json.loads(asked.to_json()), asked.sha256)
    note_question(root, *about, None if without_noise else epsilon, delta, names, answered.refused)
    found = answered_document(
        plan.task, task.title, plan.sha256, asked, topics, answered, epsilon, delta
    )
    extra = {"source": dataset.source, "synthetic": dataset.synthetic, "hospitals": hospitals}
    return found | extra


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
        row["spent"] = cap.cost(events)
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


def _data_directory() -> Path | None:
    value = os.environ.get("AEGIS_DATA_DIR")
    return Path(value) if value else None
