"""A small OMOP common data model and a FHIR export of the same invented patients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

TABLES = (
    "CREATE TABLE person (person_id INTEGER PRIMARY KEY, gender_concept_id INTEGER,"
    " year_of_birth INTEGER)",
    "CREATE TABLE measurement (measurement_id INTEGER PRIMARY KEY, person_id INTEGER,"
    " measurement_concept_id INTEGER, measurement_date DATE, value_as_number NUMERIC(9, 2))",
    "CREATE TABLE condition_occurrence (condition_occurrence_id INTEGER PRIMARY KEY,"
    " person_id INTEGER, condition_concept_id INTEGER)",
)
PULSE, PRESSURE, GLUCOSE, DIABETES = 3027018, 3004249, 3004501, 201826


def patients(seed: int, count: int) -> list[dict[str, Any]]:
    """Invented: the higher the glucose, the likelier diabetes; each has an older pulse too."""
    draw = np.random.default_rng(seed)
    found = []
    for number in range(1, count + 1):
        glucose = round(float(draw.normal(110, 30)), 1)
        found.append(
            {
                "id": number,
                "sex": ("male", "female")[int(draw.integers(2))],
                "born": int(draw.integers(1930, 2000)),
                "glucose": glucose,
                "pulse": (int(draw.integers(50, 100)), int(draw.integers(50, 100))),
                "pressure": None if draw.random() < 0.2 else int(draw.integers(95, 180)),
                "diabetes": bool(draw.random() < 1 / (1 + np.exp(-(glucose - 120) / 10))),
            }
        )
    return found


def omop_rows(people: list[dict[str, Any]]) -> list[tuple[str, tuple[Any, ...]]]:
    """(table, row), for any database."""
    rows: list[tuple[str, tuple[Any, ...]]] = []
    measured = 0
    for one in people:
        rows.append(("person", (one["id"], 8507 if one["sex"] == "male" else 8532, one["born"])))
        values = [(GLUCOSE, "2024-05-02", one["glucose"])]
        values += [(PULSE, "2024-05-01", one["pulse"][0]), (PULSE, "2024-06-01", one["pulse"][1])]
        if one["pressure"] is not None:
            values.append((PRESSURE, "2024-05-02", one["pressure"]))
        for concept, day, value in values:
            measured += 1
            rows.append(("measurement", (measured, one["id"], concept, day, value)))
        if one["diabetes"]:
            rows.append(("condition_occurrence", (one["id"], one["id"], DIABETES)))
    return rows


def omop_in_sqlite(path: Path, people: list[dict[str, Any]]) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(path)) as opened:
        for table in TABLES:
            opened.execute(table)
        for table, row in omop_rows(people):
            opened.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
        opened.commit()


def coded(code: str, system: str = "http://loinc.org") -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def observation(who: int, code: str, value: float, unit: str, day: str, **more: Any) -> dict:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": coded(code),
        "subject": {"reference": f"Patient/{who}"},
        "effectiveDateTime": day,
        "valueQuantity": {"value": value, "code": unit, "system": "http://unitsofmeasure.org"},
        **more,
    }


def fhir_export(folder: Path, people: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    resources: dict[str, list[dict[str, Any]]] = {"Patient": [], "Observation": [], "Condition": []}
    for one in people:
        about = {"resourceType": "Patient", "id": str(one["id"]), "gender": one["sex"]}
        resources["Patient"].append(about | {"birthDate": f"{one['born']}-03-01"})
        seen = resources["Observation"]
        millimoles = one["id"] % 2 == 0
        value = one["glucose"] / 18.016 if millimoles else one["glucose"]
        unit = "mmol/L" if millimoles else "mg/dL"
        seen.append(observation(one["id"], "2345-7", value, unit, "2024-05-02"))
        seen.append(observation(one["id"], "8867-4", one["pulse"][1], "/min", "2024-06-01T10:00Z"))
        seen.append(observation(one["id"], "8867-4", one["pulse"][0], "/min", "2024-05"))
        if one["pressure"] is not None:
            panel = observation(one["id"], "85354-9", 0, "", "2024-05-02")
            del panel["valueQuantity"]
            part = {"code": coded("8480-6"), "valueQuantity": {"value": one["pressure"]}}
            part["valueQuantity"]["unit"] = "mm[Hg]"
            seen.append({**panel, "component": [part]})
        if one["diabetes"]:
            resources["Condition"].append(
                {
                    "resourceType": "Condition",
                    "code": coded("E11.9", "http://hl7.org/fhir/sid/icd-10"),
                    "subject": {"reference": f"Patient/{one['id']}"},
                }
            )
    for kind, found in resources.items():
        text = "".join(json.dumps(resource) + "\n" for resource in found)
        (folder / f"{kind}.ndjson").write_text(text)


FHIR = """
kind = "fhir"
patients = "export/Patient.ndjson"
observations = "export/Observation.ndjson"
conditions = ["export/Condition.ndjson"]
as_of = 2024-12-31

[columns.glucose]
code = "2345-7"
unit = "mg/dL"
also = {"mmol/L" = 18.016}

[columns.heart_rate]
code = "8867-4"
unit = "/min"

[columns.systolic_bp]
code = "8480-6"
unit = "mm[Hg]"

[columns.diabetes]
condition = "E11*"
"""
