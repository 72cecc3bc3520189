"""The ``.toml`` file that stands for a table: a database's query, or a FHIR export."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache

from aegis.tasks.tables.described import read_described
from tests.fuzz import fhir
from tests.fuzz.harness import Harness, in_file, replay, scratch
from tests.fuzz.mutations import text

SEEDS = [
    b'kind = "sqlite"\ndatabase = "beds.db"\nquery = "SELECT age, sex FROM beds WHERE age > 1"\n'
    b"timeout_s = 0.5\n",
    b'kind = "fhir"\npatients = "patients.ndjson"\nobservations = ["observations.ndjson"]\n'
    b'conditions = []\nas_of = 2024-12-31\ntake = "mean"\n[columns.glucose]\ncode = "2345-7"\n'
    b'unit = "mg/dL"\nalso = {"mmol/L" = 18.016}\n[columns.dead]\npatient = "deceased"\n'
    b'[columns.diabetes]\ncondition = ["E11*"]\nbounds = true\n',
    b'kind = "spark"\nsource = "beds.csv"\n',
]


@cache
def seeds() -> list[bytes]:
    with closing(sqlite3.connect(scratch() / "beds.db")) as made:
        made.execute("CREATE TABLE IF NOT EXISTS beds (age, sex)")
        made.executemany("INSERT INTO beds VALUES (?, ?)", [(40, "m"), (50.5, None), ("x", "f")])
        made.commit()
    patients, observations, _ = fhir.parts(fhir.seeds()[0])
    in_file(patients, "patients.ndjson")
    in_file(observations, "observations.ndjson")
    return SEEDS


def take(data: bytes) -> object:
    seeds()
    return read_described(in_file(data, "described.toml"))


HARNESS = Harness("descriptions", take, seeds, text)

if __name__ == "__main__":
    replay(HARNESS)
