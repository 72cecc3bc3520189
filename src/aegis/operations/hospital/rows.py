"""A hospital's own rows, divided as a plan says: the same division as in a simulation of it, but
that in a private plan each row tosses its own coin (``aegis.simulation.coins``).

What a plan decides is the seed, the fractions held out and which rows count; what it cannot decide
is which data are read: that stands in ``hospital.toml`` alone. Whatever goes wrong while reading
may quote a patient's value, so the coordinator is told no more than that it went wrong.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from aegis.errors import AegisError, DataError
from aegis.hospital.release import site_sha256
from aegis.hospital.site import Site
from aegis.operations.hospital.folder import Registered
from aegis.plan import Plan
from aegis.simulation.partition import partition
from aegis.tasks.task import DataOptions, Dataset, find_task
from aegis.training.engines import engine_named, spark_frames, standing_engine

log = logging.getLogger("aegis")


def site(name: str, registered: Registered, plan: Plan, by_coin: bool | None = None) -> Site:
    """Raises ``DataError`` in words that may leave the hospital. ``by_coin`` is for whom ``plan``
    is not the one that the rows are divided by."""
    if plan.task != registered.task:
        raise DataError(
            f"this hospital's data are for {registered.task}, the plan is for {plan.task}"
        )
    if registered.share:
        number, of = registered.numbered
        if number > (of or plan.federated.num_clients or 0):
            raise DataError(
                f"this hospital holds share {number} of public data",
                f"the plan divides them among {plan.federated.num_clients} hospitals",
                f"Set federated.num_clients={number} or more",
            )
    try:
        return _site(name, registered, plan, plan.privacy.enabled if by_coin is None else by_coin)
    except (AegisError, OSError, ValueError, ArithmeticError, LookupError) as error:
        log.error("the data of %s cannot be used for this plan: %s", name, error)
        raise DataError(
            "this hospital's data cannot be used for this plan", "its own log says why"
        ) from error


def data_sha256(registered: Registered, seed: int = 0) -> str:
    """A name for all rows that are registered, whatever a plan takes of them: the ledger's. A share
    of public data is named by itself, for which rows it is depends on the plan."""
    if registered.share:
        import hashlib

        return hashlib.sha256(f"{registered.task} {registered.share}".encode()).hexdigest()
    dataset = load(registered, "all", seed)
    return site_sha256([dataset.rows])


def load(registered: Registered, rows: str, seed: int, plan: Plan | None = None) -> Dataset:
    """What is registered, as the task reads it. Errors may quote values: for this hospital only."""
    return find_task(registered.task).load(
        DataOptions(
            directory=Path(registered.directory) if registered.directory else None,
            path=Path(registered.path) if registered.path else None,
            rows="all" if rows == "all" else "complete",
            sites=(registered.site,) if registered.site else None,
            seed=seed,
            synthetic=bool(plan and plan.data.synthetic and registered.demonstration),
            label=registered.label or (plan.data.label if plan else None),
            positive=registered.positive or (plan.data.positive if plan else None),
            group=registered.group or (plan.data.group if plan else None),
            pixels=plan.data.pixels if plan else None,
            frames=spark_frames,
        )
    )


def _site(name: str, registered: Registered, plan: Plan, by_coin: bool) -> Site:
    data, federated = plan.data, plan.federated
    dataset = load(registered, data.rows, plan.seed, plan)
    schema = dataset.schema or find_task(plan.task).schema
    fractions = (plan.seed, data.test_fraction, data.validation_fraction)
    if registered.share:
        number, of = registered.numbered
        kind = federated.partition
        parts = partition(dataset, of or federated.num_clients, kind.by, kind.alpha, *fractions)
        rows = list(parts.values())[number - 1]
    else:
        own = registered.site or name
        alone = replace(dataset, sites=np.full(len(dataset.rows), own))
        alpha = federated.partition.alpha
        rows = partition(alone, 1, "site", alpha, *fractions, by_coin=by_coin)[own]
    own_engine = registered.engine
    engine = engine_named(own_engine) if own_engine else standing_engine(os.environ)
    found = Site(name, schema, rows.train, rows.validation, rows.test, engine=engine)
    return found.scoring_only() if name in federated.evaluate_only else found
