"""Pneumonia in chest radiographs of children: PneumoniaMNIST, 28 x 28 pixels.

The images come from one centre, without age, sex or patient numbers: hospitals are made by label or
at random, and one child's images may lie at two hospitals. The published test images are of other
patients, and ill in 62 of 100 rather than 74: every hospital keeps its share of them for testing,
however hospitals are made. The published validation images join the training with
``rows: all``; eight of them are in it already.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aegis.errors import DataError
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
SCHEMA = Schema(image=Picture(28, 28))


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
        """Logistic regression on fixed features, solved by Newton in about ten rounds. l2 = .1 is
        best of .003 to 3 by the AUC of the published validation images."""
        return {
            "data": {"standardize": "none"},
            "federated": {
                "num_clients": 4,
                "num_rounds": 14,
                "partition": {"by": "dirichlet", "alpha": 0.5},
            },
            "model": {"name": "logistic", "init": "zeros"},
            "training": {"solver": "newton", "l2": 0.1, "tolerance": 1e-8},
        }

    def load(self, options: DataOptions) -> Dataset:
        """Training images first, then the published test images, which ``held_out`` marks."""
        if options.synthetic:
            raise DataError(
                "pneumonia has no synthetic look-alike", way_out="Leave data.synthetic out"
            )
        if options.sites is not None:
            raise DataError(
                f"pneumonia has no sites, so data.sites {list(options.sites)} picks nothing",
                way_out="Leave data.sites out; hospitals are made by federated.partition",
            )
        path = options.path or _located(options.directory)
        names = ["train", "val", "test"] if options.rows == "all" else ["train", "test"]
        parts = read_npz(path, names, Picture(28, 28))
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
        )


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
