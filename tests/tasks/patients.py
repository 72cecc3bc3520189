"""Invented patients, in every kind of column that can be asked about."""

import numpy as np

from aegis.tasks.task import Column, Rows, Schema
from aegis.tasks.topics import Topics

SCHEMA = Schema(
    (
        Column("age", "number", "age", "years", 30, 80),
        Column("sex", "flag", "male"),
        Column("cp", "category", "pain", categories=("typical angina", "none", "not known")),
        Column("mean radius", "number", "radius", low=0, high=1),
        Column("weight", "number", "weight"),
        Column("ward", "category", "ward"),
    )
)
TOPICS = Topics(SCHEMA, "heart disease", {"sex": "words", "region": "words", "height": "number"})


def _rows(n=300, seed=0):
    rng = np.random.default_rng(seed)
    age = rng.integers(20, 95, n).astype(float)
    age[rng.random(n) < 0.1] = np.nan
    sex = rng.integers(0, 2, n).astype(float)
    inputs = {
        "age": age,
        "sex": sex,
        "cp": rng.choice(["typical angina", "none", "not known", ""], n),
        "mean radius": rng.random(n),
        "weight": rng.normal(70, 10, n),
        "ward": rng.choice(["A", "B"], n),
    }
    attributes = {
        "sex": np.where(sex == 1, "male", "female"),
        "region": rng.choice(["north", "south"], n),
        "height": rng.normal(170, 10, n),
    }
    return Rows(inputs, rng.integers(0, 2, n), attributes)


ROWS = _rows()
