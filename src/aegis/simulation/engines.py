"""What simulated hospitals train in: each hospital's own setting, beside the plan and not in it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from aegis.errors import BadInput
from aegis.hospital.site import Site
from aegis.plan import Plan
from aegis.training.engines import Engine, engine_named, fault_of_engine, standing_engine

ALL = "*"


def engines_said(words: Iterable[str]) -> dict[str, Engine]:
    """``spark`` is for all hospitals, ``cleveland=spark`` for one: by name, ``*`` for all."""
    found: dict[str, Engine] = {}
    for word in words:
        name, equals, engine = word.rpartition("=")
        found[name.strip() if equals else ALL] = engine_named(engine.strip())
    return found


def with_engines(
    sites: Mapping[str, Site], said: Mapping[str, str] | None, plan: Plan
) -> dict[str, Site]:
    """The sites with their engines; where nobody says, the environment does (``USE_SPARK``).
    Raises ``BadInput`` for a hospital that is not there and an engine that cannot do this plan."""
    chosen = {name: engine_named(engine) for name, engine in (said or {}).items()}
    standing = chosen.pop(ALL, None) or standing_engine(os.environ)
    for name in chosen:
        if name not in sites:
            raise BadInput(
                f"no hospital is called {name}", f"there are {', '.join(list(sites)[:8])}"
            )
    found = {name: replace(site, engine=chosen.get(name, standing)) for name, site in sites.items()}
    for engine in sorted({site.engine for site in found.values()}):
        fault = fault_of_engine(engine, plan)
        if fault is not None:
            raise BadInput(fault)
    return found


def engines_used(sites: Mapping[str, Site]) -> dict[str, Any]:
    """For the result: who trained in something else than the house's own engine, and what Spark's
    job log says of it."""
    found: dict[str, Any] = {
        "engines": {name: site.engine for name, site in sites.items() if site.engine != "numpy"}
    }
    if "spark" in found["engines"].values():
        from aegis.training.spark import spark_trainer

        done = spark_trainer().spark.done
        found["spark"] = {
            "jobs": sum(len(one.jobs) for one in done),
            "tasks": sum(one.tasks for one in done),
            "succeeded": all(one.succeeded for one in done),
        }
    return found
