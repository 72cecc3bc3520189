"""Glaucoma in fundus photographs: a hospital's own, in folders or with a table of labels.

The project has no photographs: those that exist are for research only, or lie behind a form. Two
published collections are read as they come, RIM-ONE DL (a folder for each class within a training
and a test set) and HYGD of PhysioNet (``Labels.csv`` with patients; GON+ and GON-). Without either,
``data.synthetic`` draws look-alikes that are labelled so, and on which no result is a clinical one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aegis.tasks.folders.gathering import Reading
from aegis.tasks.folders.images import folder_of, recipe
from aegis.tasks.folders.lookalikes import invented
from aegis.tasks.folders.meanings import HEALTHY, Words
from aegis.tasks.task import DataOptions, Dataset, Picture, Schema

SIDE = 32
READING = Reading(
    Words(
        ill=frozenset({"glaucoma", "glaucomatous", "gon+", "rg", "positive", "yes", "1", "true"}),
        healthy=HEALTHY | {"gon-", "nonglaucoma", "noglaucoma", "notglaucoma", "nrg"},
    )
)


@dataclass(frozen=True)
class Glaucoma:
    """Photographs of ``data.pixels`` each way, 64 where the plan is silent."""

    name: str = "glaucoma"
    title: str = "Glaucoma in fundus photographs"
    positive: str = "glaucoma"
    schema: Schema = Schema(image=Picture(SIDE, SIDE))  # noqa: RUF009  a frozen value
    credits: str = "your own files, in a folder that data.path names, or SYNTHETIC look-alikes"
    unit: str = "photograph (a patient may have several)"

    @property
    def preset(self) -> Mapping[str, Any]:
        return recipe({"by": "iid"})

    def load(self, options: DataOptions) -> Dataset:
        """Raises ``DataError`` with the names of files that cannot be used, and why."""
        if options.synthetic:
            return invented(self.name, options, SIDE)
        return folder_of(self.name, options, READING, SIDE)


glaucoma = Glaucoma()
