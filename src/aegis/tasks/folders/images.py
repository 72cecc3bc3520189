"""The task ``images``: any hospital's pictures in folders, their classes told apart.

Which class of two means disease is the plan's to say (``data.positive``), unless the other one is
called normal, healthy or the like; more classes are all learned where the plan names none. Other
tasks read their folders the same way (``folder_of``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aegis.errors import DataError
from aegis.tasks.folders.gathering import Reading, read_folder
from aegis.tasks.folders.lookalikes import LOOKS
from aegis.tasks.task import DataOptions, Dataset, Picture, Schema

SIDE = 64
TRY = dict.fromkeys(LOOKS, ", or set data.synthetic: true for SYNTHETIC look-alikes")


def recipe(by: Mapping[str, Any], rows: str = "complete") -> Mapping[str, Any]:
    """Logistic regression on fixed features, solved by Newton in about ten rounds. l2 = .1 is best
    of .003 to 3 by the AUC of the published validation images of PneumoniaMNIST."""
    return {
        "data": {"standardize": "none", "rows": rows},
        "federated": {"num_clients": 4, "num_rounds": 14, "partition": by},
        "model": {"name": "logistic", "init": "zeros"},
        "training": {"solver": "newton", "l2": 0.1, "tolerance": 1e-8},
    }


@dataclass(frozen=True)
class OwnImages:
    """Pictures of ``data.pixels`` each way, 64 where the plan is silent."""

    name: str = "images"
    title: str = "A hospital's own images"
    positive: str = "the positive class"
    schema: Schema = Schema(image=Picture(SIDE, SIDE))  # noqa: RUF009  a frozen value
    credits: str = "your own files, in a folder that data.path names"
    unit: str = "picture"
    several: bool = True

    @property
    def preset(self) -> Mapping[str, Any]:
        return recipe({"by": "iid"})

    def load(self, options: DataOptions) -> Dataset:
        """Raises ``DataError`` with the names of files that cannot be used, and why."""
        if options.synthetic:
            raise DataError(
                "images of your own have no synthetic look-alike",
                way_out="Leave data.synthetic out; task glaucoma has one",
            )
        return folder_of(self.name, options, Reading(several=True), SIDE)


def folder_of(task: str, options: DataOptions, reading: Reading, side: int) -> Dataset:
    """The pictures in ``data.path``, which must be there, ``data.pixels`` or ``side`` each way."""
    if options.path is None:
        raise DataError(
            f"{task} needs a folder of images",
            "data.path names one, with a folder for each class or with labels.csv",
            f"Start with: aegis data check FOLDER{TRY.get(task, '')}",
        )
    return read_folder(options, reading, options.pixels or side)


images = OwnImages()
