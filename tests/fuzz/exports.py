"""An exported audit log as an auditor gets it from a coordinator he does not trust.

What was changed gets its digests back, the ledgers' chains among them, so that it is the contents
that are looked at; and half of the cases end before the run did, as a coordinator may claim.
Epsilon is recounted by Renyi divergence alone: by its distribution it rightly takes seconds.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

from aegis.hospital.chain import Row
from aegis.plan import load_plan
from aegis.simulation import local
from aegis.simulation.evidence import gathered
from aegis.simulation.evidence_file import exported, imported
from aegis.store.audit_log import canonical
from aegis.store.home import Home
from aegis.store.merkle import leaf_hash
from aegis.store.published import renyi_only
from aegis.store.verification import verify
from tests.fuzz.harness import Harness, replay, scratch
from tests.fuzz.mutations import changed, of_bytes, of_words, one_of

PLAN = {
    "task": "breast_cancer",
    "trust": "masked",
    "federated.num_clients": "3",
    "federated.num_rounds": "2",
    "privacy.enabled": "true",
    "privacy.mechanism": "distributed",
    "training.solver": "gradient",
    "training.learning_rate": "null",
}


@cache
def seeds() -> list[bytes]:
    home = scratch() / "home"
    done = local.run(load_plan(None, PLAN).plan, home=home, compare=False, audit=False)
    return [exported(gathered(Home(home), done.document["run"]))]


def of_evidence(rng: Random, data: bytes, seeds: Any) -> bytes:
    """An entry, a ledger's row, the result, or anything else, and all digests made anew."""
    try:
        document = json.loads(data)
        body = document["evidence"]
        match rng.randrange(5):
            case 0:
                at = rng.randrange(len(body["entries"]))
                fields = changed(rng, json.loads(body["entries"][at]))
                body["entries"][at] = canonical(fields).decode()
            case 1:
                rows = body["ledgers"][rng.choice(sorted(body["ledgers"]))]
                row = rng.choice([row for row in rows if row[2] == "reserved"])
                row[6] = json.dumps(_event(rng, json.loads(row[6])))
            case 2:
                result = json.loads(body["result"])
                body["result"] = json.dumps(changed(rng, result))
            case 3:
                key = rng.choice(sorted(body))
                body[key] = changed(rng, body[key])
            case _:
                document = changed(rng, document)
        if rng.random() < 0.5:
            ended = [e for e in body["entries"] if '"RunEnded"' in e]
            end = body["entries"].index(ended[0]) if ended else len(body["entries"])
            spent = [json.loads(e) for e in body["entries"][end:] if '"BudgetSpent"' in e]
            for number, fields in enumerate(spent, end + 1):
                body["entries"][number - 1] = canonical({**fields, "number": number}).decode()
            del body["entries"][end + len(spent) :]
        return whole(document)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return of_bytes(rng, data, seeds)


def _event(rng: Random, event: Any) -> Any:
    """What a ledger charges, of other kinds and sizes."""
    kinds = (
        {"event": "GaussianRelease", "sigma_over_sensitivity": 1.0, "count": 1},
        {"event": "PoissonGaussian", "noise_multiplier": 1.0, "sampling_rate": 0.5, "steps": 10},
        {"event": "LaplaceRelease", "scale_over_sensitivity": 1.0, "count": 1},
    )
    made = dict(rng.choice((event, *kinds)))
    for _ in range(rng.randint(1, 2)):
        key = rng.choice(sorted(made))
        made[key] = rng.choice(
            (1e-6, 1e-5, 1e-3, 0.01, 1e9, 1e300, 1, 10**6, 10**12, 10**400, -1, None, "x", True)
        )
    return made


def whole(document: Any) -> bytes:
    """With leaves, chains and the file's digest as they would be."""
    body = document["evidence"]
    body["leaves"] = [leaf_hash(entry.encode()).hex() for entry in body["entries"]]
    for rows in body["ledgers"].values():
        previous = ""
        for row in rows:
            row[-1] = replace(Row(*row), sha256="").chained(previous)
            previous = row[-1]
    document["sha256"] = hashlib.sha256(canonical(body)).hexdigest()
    return canonical(document) + b"\n"


def take(data: bytes) -> object:
    return verify(imported(data), {"coordinator": "ab12"}, renyi_only).as_json()


HARNESS = Harness(
    "exports", take, seeds, one_of(of_evidence, of_evidence, of_evidence, of_words, of_bytes)
)

if __name__ == "__main__":
    replay(HARNESS)
