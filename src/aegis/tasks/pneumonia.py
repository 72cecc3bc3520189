"""Pneumonia in chest radiographs of children: PneumoniaMNIST, 28 x 28 pixels, or own radiographs.

The images come from one centre, without age, sex or patient numbers: hospitals are made by label or
at random, and one child's images may lie at two hospitals. The published test images are of other
patients, and ill in 62 of 100 rather than 74: every hospital keeps its share of them for testing,
however hospitals are made. The published validation images join the training with
``rows: all``; eight of them are in it already.

``data.path`` may name a folder of radiographs instead, with a folder for each class (NORMAL,
PNEUMONIA) and the publisher's split above it, if there is one. The middle square of each is brought
to 28 x 28 too. Files of Kermany et al. carry a child's number in their names, which keeps a child's
radiographs together.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aegis.errors import DataError
from aegis.tasks.folders.gathering import Reading
from aegis.tasks.folders.images import folder_of, recipe
from aegis.tasks.folders.lookalikes import invented
from aegis.tasks.folders.meanings import Words
from aegis.tasks.images import read_npz
from aegis.tasks.task import DataOptions, Dataset, Picture, Rows, Schema

NAME = "pneumoniamnist"
FILE = f"{NAME}.npz"
URL = f"https://zenodo.org/records/10519652/files/{FILE}"
OFFICIAL_MD5 = "28209eda62fecd6e6a2d98b1501bb15f"
CREDITS = (
    "PneumoniaMNIST of MedMNIST v2 (Yang et al. 2023, Scientific Data 10:41; CC BY 4.0), from the "
    "radiographs of Kermany et al. (2018, Cell 172; CC BY 4.0)"
)
COUNTS = {"train": (4708, 3494), "val": (524, 389), "test": (624, 390)}
SIDE = 28
SCHEMA = Schema(image=Picture(SIDE, SIDE))
READING = Reading(
    Words(ill=frozenset({"pneumonia", "bacteria", "virus", "opacity", "lungopacity", "positive"})),
    patient=re.compile(r"^(person\d+|(NORMAL2-)?IM-\d+)"),
)


@dataclass(frozen=True)
class Pneumonia:
    """5,856 radiographs, 4,273 with pneumonia."""

    name: str = "pneumonia"
    title: str = "Pneumonia in chest radiographs, PneumoniaMNIST"
    positive: str = "pneumonia"
    schema: Schema = SCHEMA
    credits: str = CREDITS

    @property
    def preset(self) -> Mapping[str, Any]:
        return recipe({"by": "dirichlet", "alpha": 0.5})

    def load(self, options: DataOptions) -> Dataset:
        """Training images first, then the published test images, which ``held_out`` marks; the
        pictures of a folder in the order of their names."""
        if options.synthetic:
            return invented(self.name, options, SIDE)
        if options.path is not None and not options.path.is_file():
            return folder_of(self.name, options, READING, SIDE)
        if options.sites is not None:
            raise DataError(
                f"pneumonia has no sites, so data.sites {list(options.sites)} picks nothing",
                way_out="Leave data.sites out; hospitals are made by federated.partition",
            )
        for key, value in (("label", options.label), ("positive", options.positive)):
            if value is not None:
                raise DataError(
                    f"data.{key} {value} names nothing in {FILE}",
                    "its labels are known",
                    f"Leave data.{key} out, or name a folder of radiographs in data.path",
                )
        path = options.path or self.located(options.directory)
        side = options.pixels or SIDE
        names = ["train", "val", "test"] if options.rows == "all" else ["train", "test"]
        parts = read_npz(path, names, Picture(side, side))
        counts = [(len(labels), int(labels.sum())) for _, labels in parts]
        if counts != [COUNTS[name] for name in names]:
            raise DataError(
                f"{path} holds {counts} images and ill ones in {', '.join(names)}",
                f"the published file holds {[COUNTS[name] for name in names]}",
                f"Bring the original: {URL}",
            )
        labels = np.concatenate([labels for _, labels in parts])
        return Dataset(
            Rows(np.concatenate([images for images, _ in parts]), labels),
            source=_origin(path),
            held_out=np.arange(len(labels)) >= len(labels) - counts[-1][0],
            fixed_split=True,
            schema=Schema(image=Picture(side, side)),
        )

    def located(self, directory: Path | None) -> Path:
        """The published file. Raises ``DataError`` that says where it comes from."""
        return _located(directory)


def _located(directory: Path | None) -> Path:
    if directory is None:
        raise DataError(
            f"no data directory is set, so {FILE} cannot be read",
            f"it lies in a folder that AEGIS_DATA_DIR names, in {NAME} or by itself",
            f"Bring {URL} there, or name the file in data.path",
        )
    for path in (directory / NAME / FILE, directory / FILE):
        if path.is_file():
            return path
    raise DataError(
        f"{FILE} is neither in {directory / NAME} nor in {directory}",
        "pneumonia reads the radiographs from it",
        f"Bring {URL} there, or name the file in data.path",
    )


def _origin(path: Path) -> str:
    """The counts were checked; whether these are the published bytes is told, not asked for: the
    copies that go round hold the same images in another order."""
    with path.open("rb") as file:
        same = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    if same.hexdigest() == OFFICIAL_MD5:
        return CREDITS
    return f"{CREDITS}; a copy with the published counts but other bytes than the original"


pneumonia = Pneumonia()
