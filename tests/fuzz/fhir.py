"""A FHIR export: one resource a line. A line goes to the file of its kind, as a hospital has it."""

from __future__ import annotations

import contextlib
import json
from datetime import date
from random import Random
from typing import Any

from aegis.errors import AegisError
from aegis.tasks.tables.assembling import assembled
from aegis.tasks.tables.choices import Choices
from aegis.tasks.tables.fhir import Export, Wanted, read_fhir
from tests.fuzz.harness import Harness, in_file, replay
from tests.fuzz.mutations import changed, of_bytes, of_lines, of_words, one_of

COLUMNS = (
    Wanted("glucose", ("2345-7",), unit="mg/dL", also={"mmol/L": 18.016}),
    Wanted("weight", ("29463-7",), take="mean"),
    Wanted("smokes", ("72166-2",), bounds=True),
    Wanted("diabetes", conditions=("E11*", "http://snomed.info/sct|44054006")),
    Wanted("dead", deceased=True),
)


def seeds() -> list[bytes]:
    found: list[dict[str, Any]] = []
    for n in range(3):
        found.append(
            {"resourceType": "Patient", "id": f"p{n}", "gender": ("male", "female", "other")[n],
             "birthDate": ("1950-02-01", "1961-07", "1999")[n], "deceasedBoolean": n == 1}
        )  # fmt: skip
        for code, value in (
            ("2345-7", {"valueQuantity": {"value": 5.5 + n, "unit": "mmol/L", "code": "mmol/L"}}),
            ("29463-7", {"valueQuantity": {"value": 70, "comparator": "<", "unit": "kg"}}),
            ("29463-7", {"valueInteger": 71}),
            ("72166-2", {"valueCodeableConcept": {"coding": [{"display": "never"}]}}),
            ("72166-2", {"component": [{"code": {"coding": [{"code": "1"}]}, "valueString": "x"}]}),
        ):
            found.append(
                {"resourceType": "Observation", "status": "final", "issued": "2024",
                 "subject": {"reference": f"Patient/p{n}/_history/1"},
                 "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
                 "effectiveDateTime": f"202{n}-03-04T05:06:07+01:00",
                 "effectivePeriod": {"start": "2020-01", "end": "2020-02-01"}, **value}
            )  # fmt: skip
        found.append(
            {"resourceType": "Condition", "subject": {"reference": f"p{n}"},
             "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "E11.9"}]},
             "verificationStatus": {"coding": [{"code": "confirmed"}]}}
        )  # fmt: skip
    return [b"".join(json.dumps(one).encode() + b"\n" for one in found)]


def of_resources(rng: Random, data: bytes, seeds: Any) -> bytes:
    """A few resources with other values."""
    lines = data.splitlines() or [b""]
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(lines))
        try:
            lines[at] = json.dumps(changed(rng, json.loads(lines[at]))).encode()
        except (ValueError, RecursionError):
            lines[at] = of_bytes(rng, lines[at], seeds)
    return b"\n".join(lines)


def parts(data: bytes) -> list[bytes]:
    kinds = (b"Patient", b"Observation", b"Condition")
    found: list[list[bytes]] = [[], [], []]
    for line in data.split(b"\n"):
        at = next((n for n, kind in enumerate(kinds) if b'"%b"' % kind in line), len(line) % 3)
        found[at].append(line)
    return [b"\n".join(lines) for lines in found]


def take(data: bytes) -> object:
    files = [(in_file(part, f"{n}.ndjson"),) for n, part in enumerate(parts(data))]
    for on in (None, date(2024, 12, 31)):
        table = read_fhir("export", Export(*files, COLUMNS, on), ())
        with contextlib.suppress(AegisError):
            assembled([table], Choices(), None, [])
    return table


HARNESS = Harness("fhir", take, seeds, one_of(of_resources, of_resources, of_words, of_lines))

if __name__ == "__main__":
    replay(HARNESS)
