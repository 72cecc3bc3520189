"""Heart disease at four real centres: Cleveland, Hungary, Switzerland and Long Beach VA.

The centres truly differ: disease in 36 to 94 of 100 patients, other ages, other shares of men, and
whole columns that a centre never filled in. A question mark is a missing value, and so is a
cholesterol or a blood pressure of 0; disease is ``num`` above 0.

``heart`` takes all 13 variables and leaves filling-in and encoding to the statistics round.
``fed_heart_disease`` is the benchmark of that name from FLamby (du Terrail et al. 2022): 740 rows,
13 inputs made without slope, ca and thal, a published split per centre, kept as it is so that
results can be compared with published ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.tasks import centres, lookalike
from aegis.tasks.centres import AT, CREDITS, SOURCES
from aegis.tasks.sources import Source
from aegis.tasks.task import Column, DataOptions, Dataset, Rows, Schema

AGE = Column("age", "number", "age", "years", 30, 80)
SEX = Column("sex", "flag", "male", low=0, high=1)
PRESSURE = Column("trestbps", "number", "resting blood pressure on admission", "mmHg", 90, 180)
CHOLESTEROL = Column("chol", "number", "serum cholesterol", "mg/dl", 100, 350, may_miss=True)
SUGAR = Column("fbs", "flag", "fasting blood sugar above 120 mg/dl", low=0, high=1)
HEART_RATE = Column("thalach", "number", "highest heart rate in exercise", "1/min", 80, 200)
ANGINA = Column("exang", "flag", "angina in exercise", low=0, high=1)
DEPRESSION = Column("oldpeak", "number", "ST depression by exercise", "mm", 0, 4)
VESSELS = Column(
    "ca", "number", "major vessels coloured by fluoroscopy", low=0, high=3, may_miss=True
)

# What the files write for each category, the reference first.
CODES: Mapping[str, Mapping[str, int]] = {
    "cp": {"typical angina": 1, "atypical angina": 2, "non-anginal pain": 3, "asymptomatic": 4},
    "restecg": {"normal": 0, "ST-T abnormality": 1, "left ventricular hypertrophy": 2},
    "slope": {"upsloping": 1, "flat": 2, "downsloping": 3},
    "thal": {"normal": 3, "fixed defect": 6, "reversible defect": 7},
}


def _category(name: str, description: str, may_miss: bool = False) -> Column:
    words = tuple(CODES[name])
    return Column(name, "category", description, categories=words, may_miss=may_miss)


PAIN = _category("cp", "chest pain")
RESTING_ECG = _category("restecg", "resting electrocardiogram")
SLOPE = _category("slope", "slope of the ST segment at peak exercise", True)
THALLIUM = _category("thal", "thallium scan", True)

SCHEMA = Schema(
    (
        AGE, SEX, PAIN, PRESSURE, CHOLESTEROL, SUGAR, RESTING_ECG, HEART_RATE, ANGINA, DEPRESSION,
        SLOPE, VESSELS, THALLIUM,
    )
)  # fmt: skip
ZERO_IS_MISSING = ("trestbps", "chol")

# FLamby's inputs in FLamby's order: the codes that become 0/1 columns come last.
PLAIN = (AGE, SEX, PRESSURE, CHOLESTEROL, SUGAR, HEART_RATE, ANGINA, DEPRESSION)
CODED = tuple((name, code) for name in ("cp", "restecg") for code in [*CODES[name].values()][1:])
BENCHMARK_SCHEMA = Schema(
    (
        *(Column(c.name, "number", c.description, c.unit, c.low, c.high) for c in PLAIN),
        *(Column(f"{n}_{code}", "number", f"{n} is {code}", low=0, high=1) for n, code in CODED),
    )
)


@dataclass(frozen=True)
class Heart:
    """All 13 variables as the centres wrote them down."""

    name: str = "heart"
    title: str = "Heart disease, four centres"
    positive: str = "heart disease"
    schema: Schema = SCHEMA
    credits: str = CREDITS
    sources: tuple[Source, ...] = tuple(SOURCES.values())

    @property
    def preset(self) -> Mapping[str, Any]:
        """Newton solves the pooled ridge regression; l2 = 1/.3 is scikit-learn's C = .3."""
        return {
            "federated": {"num_clients": 4, "num_rounds": 10, "partition": {"by": "site"}},
            "model": {"name": "logistic", "init": "zeros"},
            "training": {"solver": "newton", "l2": 1 / 0.3, "tolerance": 1e-8},
            "fairness": {"attributes": ["sex", "age"]},
        }

    def load(self, options: DataOptions) -> Dataset:
        """``rows: complete`` gives the 740 rows with FLamby's split per centre as ``held_out``;
        ``all`` gives all 920 rows and no split. ``sites`` takes some of the centres."""
        return _dataset(self.name, options, _as_written)


@dataclass(frozen=True)
class FedHeartDisease:
    """FLamby's protocol: chol 0 stays a value, every input is a number, and each centre
    standardises by itself."""

    name: str = "fed_heart_disease"
    title: str = "Fed-Heart-Disease, FLamby's protocol"
    positive: str = "heart disease"
    schema: Schema = BENCHMARK_SCHEMA
    credits: str = (
        f"{CREDITS}. Protocol: du Terrail et al. (2022), FLamby: Datasets and Benchmarks for "
        "Cross-Silo Federated Learning in Realistic Healthcare Settings"
    )
    sources: tuple[Source, ...] = tuple(SOURCES.values())

    @property
    def preset(self) -> Mapping[str, Any]:
        return {
            "data": {"standardize": "site"},
            "federated": {
                "num_clients": 4,
                "num_rounds": 15,
                "quorum": "all",
                "partition": {"by": "site"},
            },
            "model": {"name": "logistic", "init": "uniform"},
            "training": {
                "solver": "sgd",
                "local_steps": 100,
                "batch_size": 4,
                "learning_rate": 0.001,
            },
        }

    def load(self, options: DataOptions) -> Dataset:
        """The 740 complete rows with the published split; the protocol knows no others."""
        if options.rows != "complete":
            raise DataError(
                f"fed_heart_disease cannot take data.rows: {options.rows}",
                "its protocol has the 740 complete rows",
                "For all 920 use task: heart",
            )
        return _dataset(self.name, options, _as_benchmark)


def _dataset(
    task: str,
    options: DataOptions,
    inputs: Callable[[NDArray[np.float64]], Mapping[str, NDArray[Any]]],
) -> Dataset:
    if options.path is not None:
        raise DataError(
            f"{task} reads the four UCI files, not {options.path}",
            way_out="For your own file use task: table",
        )
    names = centres.chosen(options.sites)
    if options.synthetic:
        tables = [lookalike.heart_table(name, options.seed) for name in names]
    else:
        tables = [centres.read(options.directory, name) for name in names]
    held_out = None
    if options.rows == "complete":
        tables = [centres.complete(table) for table in tables]
        splits = [centres.published_split(centres.diseased(table)) for table in tables]
        held_out = np.concatenate(splits)
    table = np.concatenate(tables)
    attributes = {
        "age": table[:, AT["age"]].copy(),
        "sex": np.where(table[:, AT["sex"]] == 1, "male", "female"),
    }
    return Dataset(
        Rows(inputs(table), centres.diseased(table), attributes),
        source=f"{lookalike.LABEL} (seed {options.seed})" if options.synthetic else CREDITS,
        sites=np.repeat(np.array(names), [len(t) for t in tables]),
        held_out=held_out,
        synthetic=options.synthetic,
    )


def _as_written(table: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    for column in SCHEMA.columns:
        values = table[:, AT[column.name]].copy()
        if column.kind == "category":
            words = np.full(len(values), "", dtype="<U28")
            for word, code in CODES[column.name].items():
                words[values == code] = word
            found[column.name] = words
        else:
            if column.name in ZERO_IS_MISSING:
                values[values == 0] = np.nan
            found[column.name] = values
    return found


def _as_benchmark(table: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {c.name: table[:, AT[c.name]].copy() for c in PLAIN}
    for name, code in CODED:
        found[f"{name}_{code}"] = (table[:, AT[name]] == code).astype(np.float64)
    return found


heart = Heart()
fed_heart_disease = FedHeartDisease()
