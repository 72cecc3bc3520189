"""SYNTHETIC pictures, drawn by rule: fundus photographs and chest radiographs of nobody.

They let every step be tried without a patient, and say nothing about patients: an accuracy on them
is that of finding a circle in a circle, or a cloud in an ellipse. One number decides each drawing
(how wide the cup of the optic disc is, how dense the shadow in a lung), and it is drawn from two
bell curves that overlap by a stated amount, so the best possible AUC is known. Hospitals differ
in the tint and the gain of their cameras. Each file says in its own text that it is invented; a
folder of such files is labelled so wherever its results show.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput, DataError
from aegis.tasks.folders.raster import SYNTHETIC, encode, luminance, squared
from aegis.tasks.task import DataOptions, Dataset, Picture, Rows, Schema

SITES = 4
PATIENTS = 80
DRAWN = 96
BETWEEN = 2.2
"""Deviations between the two bell curves."""
BEST_AUC = 0.5 * (1 + math.erf(BETWEEN / 2))

Plane = NDArray[np.float64]


@dataclass(frozen=True)
class Invented:
    """``picture`` is (96, 96, 3) or (96, 96)."""

    name: str
    picture: NDArray[np.uint8]
    ill: bool
    patient: str
    age: int
    sex: str


@dataclass(frozen=True)
class Look:
    """One kind of picture. ``draw`` takes the deciding number, from 0 to 1, a tint and a source."""

    what: str
    ill: str
    healthy: str
    views: int
    draw: Callable[[float, float, np.random.Generator], NDArray[np.uint8]]

    @property
    def label(self) -> str:
        return f"{SYNTHETIC} {self.what}, drawn by rule; no patient is behind any of them"


def _plane() -> tuple[Plane, Plane]:
    steps = (np.arange(DRAWN) + 0.5) / DRAWN * 2 - 1
    across, down = np.meshgrid(steps, steps)
    return across, down


def _inside(across: Plane, down: Plane, wide: float, high: float, soft: float = 0.04) -> Plane:
    """1 within an ellipse around the middle, 0 outside, with a soft edge."""
    radius = np.hypot(across / wide, down / high)
    return np.asarray(1 / (1 + np.exp(np.clip((radius - 1) / soft, -60, 60))))


def fundus(cup: float, tint: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(96, 96, 3) an optic disc with vessels; ``cup`` is the cup's share of the disc's width."""
    across, down = _plane()
    x, y = rng.normal(0, 0.08, 2)
    size = rng.normal(0.42, 0.03)
    disc = _inside(across - x, down - y, 0.94 * size, size)
    hollow = _inside(across - x, down - y, 0.94 * size * cup, size * cup, 0.1)
    light = 1 - 0.3 * (across**2 + down**2) + rng.normal(0, 0.04)
    vessel = np.zeros_like(across)
    along = np.linspace(0, 1.3, 40)
    for turn in np.arange(6) * math.pi / 3 + rng.normal(0, 0.25, 6):
        bend = rng.normal(0, 0.35)
        path_x = x + along * np.cos(turn + bend * along)
        path_y = y + along * np.sin(turn + bend * along)
        near = np.full(across.shape, np.inf)
        for at_x, at_y in zip(path_x, path_y, strict=True):
            near = np.minimum(near, (across - at_x) ** 2 + (down - at_y) ** 2)
        vessel = np.maximum(vessel, np.exp(-near / 0.0012))
    colours = []
    for base, lift in ((0.62 + tint, 0.2), (0.30, 0.32), (0.15 - tint / 2, 0.22)):
        plane = base * light * (1 - 0.45 * vessel) + lift * (disc + 0.8 * hollow)
        colours.append(plane + rng.normal(0, 0.02, plane.shape))
    return _bytes(np.stack(colours, axis=2))


def chest(shadow: float, tint: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(96, 96) two lungs behind ribs; ``shadow`` is how dense a cloud lies in one of them."""
    across, down = _plane()
    lean, wide, high = rng.normal(0, 0.03), rng.normal(0.36, 0.02), rng.normal(0.7, 0.04)
    lungs = sum(_inside(across - side * 0.45 - lean, down, wide, high, 0.06) for side in (-1, 1))
    heart = _inside(across - 0.12 - lean, down - 0.35, 0.3, 0.38, 0.1)
    ribs = 0.06 * np.cos(18 * (down + 0.25 * across**2 + rng.normal(0, 0.1)))
    side, low = rng.choice([-1.0, 1.0]), rng.uniform(-0.2, 0.5)
    cloud = np.exp(-((across - side * 0.45 - lean) ** 2 + (down - low) ** 2) / 0.06)
    grey = 0.72 + tint - 0.5 * lungs + 0.35 * heart + ribs + 0.45 * shadow * cloud * lungs
    return _bytes(grey + rng.normal(0, 0.03, grey.shape))


def _bytes(picture: Plane) -> NDArray[np.uint8]:
    return np.asarray(np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8))


LOOKS: Mapping[str, Look] = {
    "glaucoma": Look("fundus photographs", "glaucoma", "normal", 2, fundus),
    "pneumonia": Look("chest radiographs", "PNEUMONIA", "NORMAL", 1, chest),
}


def draw(task: str, hospital: int, patients: int, seed: int) -> Iterator[Invented]:
    """The pictures of one hospital, counted from 0; the same seed draws the same ones."""
    look = LOOKS[task]
    text = f"aegis/{task}/v1|{seed}|{hospital}"
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
    rng = np.random.Generator(np.random.Philox(key=key))
    tint, share = rng.normal(0, 0.03), rng.uniform(0.35, 0.6)
    for number in range(patients):
        ill = bool(rng.random() < share) if number > 1 else number == 1
        deciding = 0.4 + 0.1 * BETWEEN * ill + rng.normal(0, 0.1)
        age = int(np.clip(rng.normal(58 + 6 * ill, 11), 18, 95))
        sex = "female" if rng.random() < 0.5 else "male"
        patient = f"H{hospital + 1}P{number + 1:04d}"
        views = int(rng.integers(1, look.views + 1))
        for view in range(views):
            seen = float(np.clip(deciding, 0.05, 0.95))
            picture = look.draw(seen, tint, rng)
            yield Invented(f"{patient}_{view + 1}.png", picture, ill, patient, age, sex)


def invented(task: str, options: DataOptions, side: int) -> Dataset:
    """Four hospitals of such pictures in memory."""
    if options.path is not None:
        raise DataError("data.path and data.synthetic exclude each other", way_out="Drop one")
    side = options.pixels or side
    sites = {f"hospital_{number + 1}": number for number in range(SITES)}
    for site in options.sites or ():
        if site not in sites:
            raise DataError(f"data.sites names {site}", f"there are {', '.join(sites)}")
    drawn = [
        (site, one)
        for site, number in sites.items()
        if options.sites is None or site in options.sites
        for one in draw(task, number, PATIENTS, options.seed)
    ]
    pictures = [one.picture for _, one in drawn]
    greys = [luminance(each) if each.ndim == 3 else each for each in pictures]
    return Dataset(
        Rows(
            np.stack([squared(grey, side) for grey in greys]),
            np.array([one.ill for _, one in drawn], dtype=np.int64),
            {
                "age": np.array([one.age for _, one in drawn], dtype=np.float64),
                "sex": np.array([one.sex for _, one in drawn], dtype=np.str_),
            },
        ),
        source=f"{LOOKS[task].label} (seed {options.seed}; the best possible AUC is about "
        f"{BEST_AUC:.2f}; nothing here is a clinical result)",
        sites=np.array([site for site, _ in drawn], dtype=np.str_),
        synthetic=True,
        schema=Schema(image=Picture(side, side)),
        groups=np.array([one.patient for _, one in drawn], dtype=np.str_),
    )


def write_pictures(
    task: str, folder: Path, hospitals: int, patients: int, seed: int
) -> tuple[list[Path], int]:
    """A folder for each hospital with ``labels.csv`` and its pictures, and a README beside them.
    Answers the tables and the number of pictures. Raises ``DataError`` where they cannot be
    written."""
    if task not in LOOKS:
        raise BadInput(
            f"there are no invented pictures for {task}", f"there are {', '.join(LOOKS)}"
        )
    look, tables, count = LOOKS[task], [], 0
    try:
        for number in range(hospitals):
            place = folder / f"hospital_{number + 1}"
            (place / "images").mkdir(parents=True, exist_ok=True)
            lines = ["image,diagnosis,patient_id,age,sex"]
            for one in draw(task, number, patients, seed):
                (place / "images" / one.name).write_bytes(encode(one.picture, look.label))
                label = look.ill if one.ill else look.healthy
                lines.append(f"images/{one.name},{label},{one.patient},{one.age},{one.sex}")
            count += len(lines) - 1
            tables.append(place / "labels.csv")
            tables[-1].write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
        (folder / "README.txt").write_text(_readme(look, task, patients, seed), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error.strerror})") from error
    return tables, count


def _readme(look: Look, task: str, patients: int, seed: int) -> str:
    return f"""{look.label}

One folder per hospital, {patients} invented patients each, drawn with seed {seed} (aegis data
sample {task}). labels.csv: image, diagnosis ({look.ill} or {look.healthy}), patient_id, age, sex.
One number decides each drawing. The numbers of the ill lie {BETWEEN} deviations above those of the
healthy, so that no model can have an AUC above {BEST_AUC:.2f} on average. No figure made from these
pictures is a clinical result.
"""
