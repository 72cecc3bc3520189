"""One plan run once for each value of a key, or for each pair of values of two.

Every plan is read and checked before the first run begins. Each run is an experiment of its own;
one that cannot be made is in the table with its reason. The sweep's file is written after every
run, so what was done is kept whatever happens.
"""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from aegis.errors import AegisError, BadInput, PlanError
from aegis.events import Event
from aegis.plan import Plan
from aegis.store.home import Home, write_whole

FORMAT = "aegis-sweep/1"
MOST_RUNS = 200
MOST_KEYS = 2


class Watching(Protocol):
    """Is shown how far a sweep has come."""

    def begin(self, number: int, of: int, name: str, rounds: int) -> None: ...
    def __call__(self, event: Event) -> None: ...


@dataclass(frozen=True)
class Sweep:
    """``values`` holds each key's values as they were written."""

    task: str
    values: Mapping[str, Sequence[str]]
    plans: Sequence[tuple[Mapping[str, str], Plan]]
    name: str = field(
        default_factory=lambda: f"sweep_{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    )


def asked(said: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """``KEY=A,B,C`` of the command line, lists in brackets kept whole. Raises ``BadInput``."""
    found: dict[str, tuple[str, ...]] = {}
    for one in said:
        key, equals, text = one.partition("=")
        values = tuple(value.strip() for value in _split(text))
        if not equals or not key.strip() or not all(values):
            raise BadInput(
                f"--sweep {one} names no values",
                way_out="Write --sweep privacy.epsilon_budget=0.5,1,2,4,8",
            )
        if key.strip() in found:
            raise BadInput(f"--sweep names {key.strip()} twice", "once, with all its values")
        if len(set(values)) < len(values):
            raise BadInput(f"--sweep {one} names a value twice")
        found[key.strip()] = values
    if len(found) > MOST_KEYS:
        raise BadInput(f"--sweep of {len(found)} keys", f"at most {MOST_KEYS} can be shown")
    runs = 1
    for values in found.values():
        runs *= len(values)
    if runs > MOST_RUNS:
        raise BadInput(f"this sweep is {runs} runs", f"at most {MOST_RUNS} are made at once")
    return found


def planned(
    values: Mapping[str, Sequence[str]], read: Callable[[Mapping[str, str]], Plan]
) -> Sweep:
    """All plans of a sweep; ``read`` makes one from the keys it is given. Raises ``PlanError`` with
    the faults of every one that is unsound."""
    plans: list[tuple[Mapping[str, str], Plan]] = []
    faults: dict[str, list[str]] = {}
    for point in itertools.product(*values.values()):
        keys = dict(zip(values, point, strict=True))
        try:
            plans.append((keys, read(keys)))
        except PlanError as error:
            for fault in error.faults:
                faults.setdefault(fault, []).append(_said(keys))
    if faults:
        told = (f"{where[0]}: {fault}{_more(len(where) - 1)}" for fault, where in faults.items())
        raise PlanError(*told)
    return Sweep(plans[0][1].task, dict(values), plans)


def swept(sweep: Sweep, watching: Watching, *, home: Path | None = None) -> dict[str, Any]:
    """Run them all and return the sweep's document, which lies in ``experiments/`` as well."""
    from aegis.simulation.local import run

    root = (Home(home) if home is not None else Home.from_environment()).prepare()
    path = root.experiments / f"{sweep.name}.json"
    document: dict[str, Any] = {
        "format": FORMAT,
        "sweep": sweep.name,
        "task": sweep.task,
        "keys": {key: list(values) for key, values in sweep.values.items()},
        "runs": [],
        "files": {"sweep": str(path)},
    }
    for number, (keys, plan) in enumerate(sweep.plans, 1):
        watching.begin(number, len(sweep.plans), _said(keys), plan.federated.num_rounds or 0)
        row: dict[str, Any] = {"keys": dict(keys), "plan_sha256": plan.sha256}
        try:
            done = run(
                plan, home=home, compare=False, files=False, audit=False, listeners=[watching]
            ).document
        except AegisError as error:
            row |= {"run": None, "status": "failed", "reason": str(error)}
        else:
            row |= {
                "run": done["run"],
                "status": done["status"],
                "rounds": done["rounds"],
                "seconds": done["seconds"],
                "model_sha256": done["model_sha256"],
                "epsilon": done["privacy"]["epsilon"],
                "hospitals": len(done["hospitals"]),
                "synthetic": done["data"]["synthetic"],
                "global": done["global"],
            }
        document["runs"].append(row)
        text = json.dumps(document, indent=1, allow_nan=False)
        write_whole(path, text.encode())
        document = json.loads(text)
    return document


def _said(keys: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in keys.items())


def _more(others: int) -> str:
    return f" (and {others} more)" if others else ""


def _split(text: str) -> list[str]:
    """At commas outside of brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts
