"""Symptoms: which of 41 conditions goes with a list of symptoms.

The public table is invented: 4,920 lists made from some rules, of which 304 differ. Whoever splits
it as it stands tests on lists that were trained on and finds 100 %. So each list counts once,
before anything is split, and what was left out is said wherever the data are named. Even so each of
the 304 is one symptom away from another of its condition and two or more from any of the others:
the nearest neighbour is right for all of them, and so is any model that has seen all conditions.
What can be learned here is what sharing does for hospitals that have not. The same holds
for a hospital's own file (``data.path``: a CSV, a JSONL, or a folder with one file per hospital); a
list that two hospitals hold is kept at the first, as it would otherwise be trained at one and
tested at the other.

Without a file, ``synthetic: true`` draws lists from rules of our own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aegis.errors import DataError
from aegis.tasks.sources import Source, located
from aegis.tasks.symptoms_reading import Lists, read_lists
from aegis.tasks.symptoms_words import CONDITIONS, SYMPTOMS
from aegis.tasks.task import Column, DataOptions, Dataset, Rows, Schema

SCHEMA = Schema(
    tuple(Column(name, "flag", name.replace("_", " ")) for name in SYMPTOMS),
    classes=CONDITIONS,
)
_COMMIT = "e4194028a436f6e9beed56bea6f424018734a651"
SOURCE = Source(
    dataset="symptoms",
    name="Training.csv",
    url=f"https://raw.githubusercontent.com/itachi9604/healthcare-chatbot/{_COMMIT}/Data/Training.csv",
    sha256="cc00c869b702c0c90eef3c1fb4d0b54f16965f8def2dec7e1bf91d0b76480ac3",
    bytes=1370414,
    licence="not stated by the publisher: do not pass on",
    citation="Disease Symptom Prediction (itachi9604): symptom lists made from rules, no patients",
)
EASY = (
    "each distinct list is one symptom away from another of its condition, so 100 % is what this "
    "table allows and says nothing of patients"
)
SITES, SITE_ROWS = 5, 300


@dataclass(frozen=True)
class Symptoms:
    """304 lists in the public table, whatever hospitals bring otherwise; 41 conditions."""

    name: str = "symptoms"
    title: str = "Symptoms: which of 41 conditions"
    positive: str = "one of 41 conditions"
    schema: Schema = SCHEMA
    credits: str = f"{SOURCE.citation}. Licence: {SOURCE.licence}"
    sources: tuple[Source, ...] = (SOURCE,)
    unit: str = "list of symptoms"

    @property
    def preset(self) -> Mapping[str, Any]:
        """Multinomial logistic regression; every symptom is there or not, so nothing is scaled."""
        return {
            "data": {"standardize": "none"},
            "federated": {
                "num_clients": 4,
                "num_rounds": 60,
                "partition": {"by": "dirichlet", "alpha": 1.0},
            },
            "model": {"name": "logistic", "num_classes": len(CONDITIONS), "init": "zeros"},
            "training": {
                "solver": "sgd",
                "batch_size": 16,
                "local_epochs": 1,
                "learning_rate": 0.1,
                "l2": 1.0,
            },
        }

    def load(self, options: DataOptions) -> Dataset:
        """Each list once; ``sites`` takes some hospitals' files, by name."""
        tables = _tables(options)
        if options.sites is not None:
            unknown = sorted(set(options.sites) - set(tables))
            if unknown:
                raise DataError(
                    f"data.sites names {', '.join(unknown)}", f"there are {', '.join(tables)}"
                )
            tables = {name: tables[name] for name in tables if name in options.sites}
        every = _below(list(tables.values()))
        sites = np.repeat(np.array(list(tables)), [len(one) for one in tables.values()])
        kept = every.distinct()
        lists = every.take(kept)
        attributes: dict[str, Any] = {}
        if (~np.isnan(lists.age)).any():
            attributes["age"] = lists.age
        if (lists.sex != "").any():
            attributes["sex"] = lists.sex
        present = lists.present.astype(np.float64)
        inputs = {name: present[:, j].copy() for j, name in enumerate(SYMPTOMS)}
        return Dataset(
            Rows(inputs, lists.labels, attributes),
            source=f"{_origin(options)}; {_counted(len(every), len(lists))}",
            sites=sites[kept] if len(tables) > 1 else None,
            synthetic=options.synthetic or options.path is None,
        )


def _counted(rows: int, distinct: int) -> str:
    return (
        f"{distinct:,} distinct lists of {rows:,}: {rows - distinct:,} repeats were left out "
        "before any split"
    )


def _tables(options: DataOptions) -> dict[str, Lists]:
    if options.synthetic:
        if options.path is not None:
            raise DataError("data.path and data.synthetic exclude each other", way_out="Drop one")
        return {f"hospital_{n + 1}": invented(n, SITE_ROWS, options.seed) for n in range(SITES)}
    path = options.path
    if path is None:
        way_out = "For invented lists set data.synthetic: true"
        return {"public": read_lists(located(options.directory, SOURCE, way_out))}
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in (".csv", ".jsonl"))
    if not files:
        raise DataError(f"{path} holds no .csv and no .jsonl file")
    found: dict[str, Lists] = {}
    for file in files:
        if file.stem in found:
            raise DataError(f"{path} holds {file.stem} twice", "a hospital has one file")
        found[file.stem] = read_lists(file)
    return found


def invented(hospital: int, rows: int, seed: int) -> Lists:
    """Lists of one hospital, counted from 0: each condition has five to nine symptoms of its own,
    of which a list names most, and one in fifty other symptoms by chance. Hospitals see conditions
    with different frequency. The same seed gives the same lists."""
    rules = _drawn(f"rules|{seed}")
    typical = np.zeros((len(CONDITIONS), len(SYMPTOMS)), dtype=np.bool_)
    for line in typical:
        line[rules.choice(len(SYMPTOMS), rules.integers(5, 10), replace=False)] = True
    rng = _drawn(f"lists|{seed}|{hospital}")
    shares = rng.dirichlet(np.full(len(CONDITIONS), 2.0))
    labels = rng.choice(len(CONDITIONS), rows, p=shares).astype(np.int64)
    chance = np.where(typical[labels], 0.8, 0.02)
    present = rng.random(chance.shape) < chance
    nothing = np.full(rows, np.nan), np.full(rows, "", dtype="<U6")
    return Lists(present, labels, *nothing)


def _drawn(text: str) -> np.random.Generator:
    whole = f"aegis/symptoms/v1|{text}".encode()
    key = int.from_bytes(hashlib.blake2b(whole, digest_size=16).digest(), "big")
    return np.random.Generator(np.random.Philox(key=key))


def _below(tables: list[Lists]) -> Lists:
    return Lists(
        np.concatenate([one.present for one in tables]),
        np.concatenate([one.labels for one in tables]),
        np.concatenate([one.age for one in tables]),
        np.concatenate([one.sex for one in tables]),
    )


def _origin(options: DataOptions) -> str:
    if options.synthetic:
        return f"SYNTHETIC symptom lists by rules drawn anew (seed {options.seed})"
    if options.path is None:
        return f"SYNTHETIC {SOURCE.citation}; {EASY}"
    return f"{Path(options.path).name}, the hospital's own lists"


symptoms = Symptoms()
