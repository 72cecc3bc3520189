"""Wisconsin breast cancer (diagnostic): thirty measures of cell nuclei, one row per patient.

The table comes with scikit-learn, so it is there without a network. It is read as a file, without
importing scikit-learn, whose start costs more than a whole federation on these data. scikit-learn
writes 0 for malignant; here 1 is malignant, so that "positive" means what a clinician means.
The data have no sites, no age and no sex: hospitals are made by label or at random.

With ``data.pixels`` the task is about a folder of own images instead, malignant against benign.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from aegis.errors import DataError
from aegis.tasks.task import Column, DataOptions, Dataset, Rows, Schema

# (measure, what it is, public ranges of its mean, its standard error, its worst value);
# lengths are in the units of the digitised image
_Range = tuple[float, float]
_MEASURES: tuple[tuple[str, str, tuple[_Range, _Range, _Range]], ...] = (
    ("radius", "distance from centre to edge", ((5, 30), (0, 3), (5, 40))),
    ("texture", "spread of the grey values", ((5, 40), (0, 5), (10, 50))),
    ("perimeter", "length of the edge", ((30, 190), (0, 20), (30, 250))),
    ("area", "area inside the edge", ((80, 2800), (0, 500), (80, 5000))),
    ("smoothness", "local change of the radius", ((0.05, 0.2), (0, 0.03), (0.05, 0.25))),
    ("compactness", "perimeter^2 / area - 1", ((0, 0.4), (0, 0.15), (0, 1))),
    ("concavity", "depth of the edge's dents", ((0, 0.5), (0, 0.4), (0, 1.2))),
    ("concave points", "share of the edge that is dented", ((0, 0.25), (0, 0.05), (0, 0.3))),
    ("symmetry", "difference of opposite radii", ((0.1, 0.3), (0, 0.08), (0.1, 0.7))),
    ("fractal dimension", "coastline of the edge", ((0.05, 0.1), (0, 0.03), (0.05, 0.2))),
)
_SUMMARIES = (
    ("mean {}", "mean over the nuclei"),
    ("{} error", "standard error over the nuclei"),
    ("worst {}", "mean of the three largest nuclei"),
)


SCHEMA = Schema(
    tuple(
        Column(
            name=pattern.format(measure),
            kind="number",
            description=f"{meaning}; {summary}",
            low=float(ranges[which][0]),
            high=float(ranges[which][1]),
        )
        for which, (pattern, summary) in enumerate(_SUMMARIES)
        for measure, meaning, ranges in _MEASURES
    )
)


@dataclass(frozen=True)
class BreastCancer:
    """569 patients, 212 with a malignant mass."""

    name: str = "breast_cancer"
    title: str = "Breast cancer, Wisconsin diagnostic"
    positive: str = "malignant"
    schema: Schema = SCHEMA
    bundled: bool = True
    takes_images: bool = True

    @property
    def credits(self) -> str:
        return (
            "Wolberg, Mangasarian, Street and Street (1993), Breast Cancer Wisconsin (Diagnostic), "
            "UCI Machine Learning Repository, doi:10.24432/C5DW2B, CC BY 4.0; "
            "the copy that comes with scikit-learn"
        )

    @property
    def preset(self) -> Mapping[str, Any]:
        """Newton solves the pooled ridge regression in about ten rounds. l2 = 2 (scikit-learn's
        C = .5) is where accuracy and AUC of a ten-fold cross-validation of the pooled table are
        best; anything from 1 to 5 is within .003."""
        return {
            "federated": {
                "num_clients": 5,
                "num_rounds": 12,
                "partition": {"by": "dirichlet", "alpha": 1.0},
            },
            "model": {"name": "logistic", "init": "zeros"},
            "training": {"solver": "newton", "l2": 2.0, "tolerance": 1e-8},
        }

    def load(self, options: DataOptions) -> Dataset:
        """All 569 rows, in the order of the file; with ``data.pixels`` the pictures of a folder."""
        if options.pixels is not None:
            return _pictures(self.name, options, options.pixels)
        _refuse(options)
        path = _bundled()
        with path.open(encoding="ascii") as file:
            header = file.readline().strip()
            table = np.loadtxt(file, delimiter=",", ndmin=2)
        if header != "569,30,malignant,benign" or table.shape != (569, len(SCHEMA.columns) + 1):
            raise DataError(
                f"{path} begins with {header!r} and holds a table of {table.shape}",
                "it should hold 569 rows of 30 measures and a label, 0 for malignant",
                "Install scikit-learn anew",
            )
        inputs = {column.name: table[:, j] for j, column in enumerate(SCHEMA.columns)}
        labels = (table[:, -1] == 0).astype(np.int64)
        return Dataset(Rows(inputs, labels), source=self.credits)


def _pictures(task: str, options: DataOptions, side: int) -> Dataset:
    from aegis.tasks.folders.gathering import Reading
    from aegis.tasks.folders.images import folder_of
    from aegis.tasks.folders.meanings import HEALTHY, Words

    ill = frozenset({"malignant", "cancer", "positive"})
    return folder_of(task, options, Reading(Words(ill, HEALTHY | {"benign"})), side)


def _refuse(options: DataOptions) -> None:
    if options.synthetic:
        raise DataError(
            "breast_cancer has no synthetic look-alike",
            "its real data come with scikit-learn",
            "Leave data.synthetic out",
        )
    if options.sites is not None:
        raise DataError(
            f"breast_cancer has no sites, so data.sites {list(options.sites)} picks nothing",
            way_out="Leave data.sites out; hospitals are made by federated.partition",
        )
    if options.path is not None:
        raise DataError(
            f"breast_cancer reads its own table, not {options.path}",
            way_out="For your own table use task: table; for images set data.pixels: 64",
        )


def _bundled() -> Path:
    spec = find_spec("sklearn")
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in places:
        path = Path(place, "datasets", "data", "breast_cancer.csv")
        if path.is_file():
            return path
    raise DataError(
        "the Wisconsin table was not found",
        "it comes with scikit-learn",
        "Install it with: pip install scikit-learn",
    )


breast_cancer = BreastCancer()
