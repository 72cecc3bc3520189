"""``aegis bench privacy``: what noise in every step costs, and how Opacus compares.

In one process the same hospitals are taken through one round of DP-SGD, turn and turn about: by the
stacked engine, by the same engine with its noise left out, by ordinary training, and by Opacus
hospital by hospital. All have one thread. Of each turn of three rounds the first is not counted, as
it finds the caches full of another's numbers. Before that one step without noise is made by ours
and by Opacus on all rows of each hospital; where they differ, the comparison is void.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from time import monotonic, perf_counter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.bench.engine import machine
from aegis.bench.problem import job, rows_of, start
from aegis.errors import CheckFailed
from aegis.messages import Vector
from aegis.privacy.dpsgd import ROUNDING_ROOM, DpSgd
from aegis.training.batched import StackedTrainer
from aegis.training.layout import Array, Part
from aegis.training.private import PrivateTrainer
from aegis.training.trainer import Job, Trainer

Round: TypeAlias = Callable[[Vector], object]

CLIP, MULTIPLIER = 1.0, 1.0
ROUNDS = 3  # in a turn
TITLES = {
    "private": "Aegis, DP-SGD",
    "silent": "the same without noise",
    "ordinary": "ordinary training",
    "opacus": "Opacus, hospital by hospital",
}
LEAST_OVER_OPACUS, MOST_OVER_SILENT = 25.0, 2.5
AGREEMENT = 1e-5


class _Silent(PrivateTrainer):
    """NOT PRIVATE: everything but the noise, for the comparison."""

    def _add_noise(self, part: Part, multipliers: list[float], unit: Array) -> None:
        part.gradient *= unit[:, None]


def private_job(number: int, round: int, weights: Vector, full: bool = False) -> Job:
    plain = job(number, round, weights)
    rows = len(plain.labels)
    if full:
        plain = replace(plain, settings=replace(plain.settings, batch_size=rows))
    size = plain.settings.batch_size
    return replace(plain, private=DpSgd(CLIP, MULTIPLIER, min(1.0, size / rows), -(-rows // size)))


def privacy(
    hospitals: Sequence[int] = (100,),
    repeats: int = 5,
    seconds: float = 300.0,
    told: Callable[[str], None] = lambda text: None,
    rounds: Callable[[int], Mapping[str, Round]] | None = None,
) -> dict[str, Any]:
    """Measures every size in ``repeats`` turns, as long as ``seconds`` allow (at least one).
    ``rounds`` replaces the contenders. The answer is made for JSON; raises ``CheckFailed`` where
    Opacus makes another step than ours."""
    began = monotonic()
    sizes = []
    for size in hospitals:
        contenders = (rounds or contenders_of)(size)
        taken: dict[str, list[float]] = {name: [] for name in contenders}
        for turn in range(repeats):
            if turn and monotonic() - began > seconds:
                told(f"{size} hospitals: stopped after {turn} of {repeats} turns, for time")
                break
            told(f"{size} hospitals, turn {turn + 1} of {repeats}")
            for name, contender in contenders.items():
                times = [_seconds(contender) for _ in range(ROUNDS)]
                taken[name] += times[1:]
        sizes.append(_summary(size, taken))
    absent = {} if find_spec("opacus") else {"opacus": "not installed: opacus"}
    document = {
        "what": "one round of DP-SGD, side by side",
        "problem": "13-64-32-16-1 network, 3521 parameters, 75-300 rows per hospital, one epoch, "
        "Poisson batches of 32 expected, clip 1, noise multiplier 1",
        "machine": machine(),
        "sizes": sizes,
        "absent": absent,
        "seconds": round(monotonic() - began, 1),
    }
    return {**document, "targets": [target for one in sizes for target in _targets(one)]}


def contenders_of(hospitals: int) -> dict[str, Round]:
    """Each takes weights through one round. Opacus only where it is installed, and checked."""

    def ours(trainer: Trainer, private: bool) -> Round:
        made = private_job if private else job
        return lambda weights: trainer.train_many([made(n, 1, weights) for n in range(hospitals)])

    found = {
        "private": ours(PrivateTrainer(), True),
        "silent": ours(_Silent(), True),
        "ordinary": ours(StackedTrainer(), False),
    }
    if find_spec("opacus") is not None:
        from aegis.bench.peers.opacus_hooks import hooked

        check_agreement(min(hospitals, 8))
        found["opacus"] = hooked(hospitals, CLIP, MULTIPLIER)
    return found


def check_agreement(hospitals: int) -> float:
    """How far one step without noise on all rows is from that of Opacus, in any weight."""
    from aegis.bench.peers.opacus_hooks import hooked

    weights = start()
    jobs = [private_job(number, 1, weights, full=True) for number in range(hospitals)]
    ours = np.stack([one.vector for one in _Silent().train_many(jobs)])
    theirs = hooked(hospitals, CLIP * (1 - ROUNDING_ROOM), 0.0, full=True)(weights) - weights
    apart = float(np.abs(ours - theirs).max())
    if not apart <= AGREEMENT:
        raise CheckFailed(
            f"without noise a step of Opacus is {apart:.1e} away from ours",
            f"at most {AGREEMENT:.0e} is rounding",
        )
    return apart


def _seconds(contender: Round) -> float:
    before = perf_counter()
    contender(start())
    return perf_counter() - before


def _summary(size: int, taken: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    steps = sum(-(-len(rows_of(number)[1]) // 32) for number in range(size))
    times: dict[str, NDArray[np.float64]] = {n: np.array(t) for n, t in taken.items()}
    ours = times["private"]
    return {
        "hospitals": size,
        "steps": steps,
        "contenders": {
            name: {
                "median_ms": float(np.median(one) * 1e3),
                "min_ms": float(one.min() * 1e3),
                "us_per_step": float(np.median(one) * 1e6 / steps),
                "rounds": len(one),
            }
            for name, one in times.items()
        },
        "ratios": {
            name: {
                "median": float(np.median(one) / np.median(ours)),
                "min": float(one.min() / ours.min()),
            }
            for name, one in times.items()
            if name != "private"
        },
    }


def _targets(one: dict[str, Any]) -> list[dict[str, Any]]:
    ratios, size = one["ratios"], one["hospitals"]
    cost = 1 / ratios["silent"]["median"]
    found = [
        {
            "what": f"{TITLES['private']} over {TITLES['silent']}, {size} hospitals",
            "value": cost,
            "target": MOST_OVER_SILENT,
            "met": cost <= MOST_OVER_SILENT,
        }
    ]
    if "opacus" in ratios:
        faster = ratios["opacus"]["median"]
        found.append(
            {
                "what": f"times faster than {TITLES['opacus']}, {size} hospitals",
                "value": faster,
                "target": LEAST_OVER_OPACUS,
                "met": faster >= LEAST_OVER_OPACUS,
            }
        )
    return found


def table(document: Mapping[str, Any]) -> str:
    """Times, ratios and targets of ``privacy``'s answer, as Markdown."""
    host = document["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in host["versions"].items())
    lines = [
        "# Privacy benchmark",
        "",
        f"{document['problem']}. {host['cores']} cores, one thread each, Python {host['python']}, "
        f"{versions}. Contenders took turns in one process; quote the ratios.",
        "",
        "| hospitals | contender | ms per round, median (min) | us per hospital and step | "
        "times ours |",
        "|---|---|---|---|---|",
    ]
    for one in document["sizes"]:
        for name, took in one["contenders"].items():
            ratio = one["ratios"].get(name, {"median": 1.0})["median"]
            lines.append(
                f"| {one['hospitals']} | {TITLES[name]} | {took['median_ms']:.1f} "
                f"({took['min_ms']:.1f}) | {took['us_per_step']:.0f} | {ratio:.2f} |"
            )
    lines += ["", "| target | measured | wanted | |", "|---|---|---|---|"]
    for target in document["targets"]:
        met = "met" if target["met"] else "MISSED"
        lines.append(f"| {target['what']} | {target['value']:.2f} | {target['target']} | {met} |")
    lines += ["", *(f"{TITLES[n]}: {why}." for n, why in document["absent"].items())]
    return "\n".join(lines).rstrip() + "\n"
