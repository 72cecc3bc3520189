"""``aegis bench secagg``: what a sealed sum costs one hospital and the coordinator, beside Flower.

One round over the complete graph in which a tenth of the hospitals is lost after sharing: all that
one hospital computes (keys, shares, encoding, masks, confirmation, unmasking, checksum) and all
that the coordinator computes, without a road between them. Ours, in both rings, and the functions
of Flower's SecAgg take turns in one process with one thread; beside them the floor, AES-256 making
as many bytes as there are masks. Seconds are the CPU's: nothing here waits, and the machine may be
shared. Before that a small round of both must give the same mean.
Flower's masks come from a 32-bit seed and nobody signs; ours do the whole of ``aegis.secagg``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from time import monotonic, process_time
from typing import Any, TypeAlias

import numpy as np

from aegis.bench.engine import machine
from aegis.bench.sealed import Round, floor, lost_of
from aegis.errors import CheckFailed

Sides: TypeAlias = tuple[Callable[[], object], Callable[[], object]]
"""What one hospital does, and what the coordinator does."""

SIDES = ("hospital", "coordinator")
CASES = {50: 1_000_000, 8: 11_181_642, 100: 100_000}  # numbers by hospitals; ResNet-18 has 11181642
USUAL = 1_000_000
TITLES = {
    "ring64": "Aegis, 64-bit ring",
    "ring32": "Aegis, 32-bit ring",
    "floor64": "AES-256 alone, 64-bit",
    "floor32": "AES-256 alone, 32-bit",
    "flower": "Flower's SecAgg functions",
}
BESIDE_FLOWER = (50, 8)  # at 100 its shares alone take minutes
LEAST_OVER_FLOWER = {"ring64": 3.0, "ring32": 6.0}
MOST_OVER_FLOOR = 2.0
LONGEST = {(8, "hospital"): 2.0, (8, "coordinator"): 3.0, (100, "coordinator"): 3.0}  # seconds
AGREEMENT = 1e-4


def secagg(
    hospitals: Sequence[int] = (50, 8, 100),
    repeats: int = 3,
    seconds: float = 600.0,
    told: Callable[[str], None] = lambda text: None,
    contenders: Callable[[int, int], Mapping[str, Sides]] | None = None,
) -> dict[str, Any]:
    """Measures every size in ``repeats`` turns, as long as ``seconds`` allow (at least one).
    ``contenders(hospitals, numbers)`` replaces them. The answer is made for JSON; raises
    ``CheckFailed`` where Flower's mean is not ours."""
    began = monotonic()
    sizes = []
    for size in hospitals:
        numbers = CASES.get(size, USUAL)
        told(f"{size} hospitals, {numbers} numbers: preparing the other hospitals' messages")
        sides = (contenders or contenders_of)(size, numbers)
        taken: dict[str, dict[str, list[float]]] = {n: {s: [] for s in SIDES} for n in sides}
        for turn in range(repeats):
            if turn and monotonic() - began > seconds:
                told(f"{size} hospitals: stopped after {turn} of {repeats} turns, for time")
                break
            for name, both in sides.items():
                told(f"{size} hospitals, turn {turn + 1} of {repeats}: {TITLES[name]}")
                for side, work in zip(SIDES, both, strict=True):
                    taken[name][side].append(_seconds(work))
        sizes.append(_summary(size, numbers, taken))
    absent = {} if find_spec("flwr") else {"flower": "not installed: flwr"}
    document = {
        "what": "one sealed sum, side by side",
        "problem": "one sum of float32 updates over a complete graph, a tenth of the hospitals "
        "lost after sharing, thresholds of floor(2n/3)+1, no network",
        "machine": machine(),
        "sizes": sizes,
        "absent": absent,
        "seconds": round(monotonic() - began, 1),
    }
    return {**document, "targets": [target for one in sizes for target in _targets(one)]}


def contenders_of(hospitals: int, numbers: int) -> dict[str, Sides]:
    """Flower only where it is installed, and checked."""
    lost = lost_of(hospitals)
    kept = hospitals - lost
    found: dict[str, Sides] = {}
    for bits in (64, 32):
        mine = Round(hospitals, numbers, 64 if bits == 64 else 32)
        found[f"ring{bits}"] = mine.hospital, mine.coordinator
        each = numbers * bits // 8
        one, all_of_them = hospitals * each, kept * (1 + lost) * each
        found[f"floor{bits}"] = _making(one), _making(all_of_them)
    if find_spec("flwr") is not None and hospitals in BESIDE_FLOWER:
        from aegis.bench.peers.flower_secagg import Theirs

        check_agreement()
        theirs = Theirs(hospitals, numbers, lost)
        found["flower"] = theirs.client, theirs.server
    return found


def check_agreement() -> float:
    """How far the mean of a small round of Flower's is from ours, in any number."""
    from aegis.bench.peers.flower_secagg import mean

    hospitals, numbers = 5, 200
    small = Round(hospitals, numbers, 64)
    kept = small.names[: hospitals - lost_of(hospitals)]
    ours = small.coordinator() / len(kept)
    theirs = mean([small.updates[name] for name in small.names], len(kept))
    apart = float(np.abs(ours - theirs).max())
    if not apart <= AGREEMENT:
        raise CheckFailed(
            f"the mean that Flower opens is {apart:.1e} away from ours",
            f"at most {AGREEMENT:.0e} is its rounding",
        )
    return apart


def _making(size: int) -> Callable[[], object]:
    return lambda: floor(size)


def _seconds(work: Callable[[], object]) -> float:
    before = process_time()
    work()
    return process_time() - before


def _summary(
    size: int, numbers: int, taken: Mapping[str, Mapping[str, Sequence[float]]]
) -> dict[str, Any]:
    def median(name: str, side: str) -> float:
        return float(np.median(taken[name][side]))

    return {
        "hospitals": size,
        "numbers": numbers,
        "lost": lost_of(size),
        "contenders": {
            name: {
                side: {"median_s": median(name, side), "min_s": min(sides[side])} for side in SIDES
            }
            for name, sides in taken.items()
        },
        "turns": min(len(times) for sides in taken.values() for times in sides.values()),
        "over_floor": {
            f"ring{bits}": {s: median(f"ring{bits}", s) / median(f"floor{bits}", s) for s in SIDES}
            for bits in (64, 32)
            if f"ring{bits}" in taken and f"floor{bits}" in taken
        },
        "faster": {
            ring: {side: median("flower", side) / median(ring, side) for side in SIDES}
            for ring in ("ring64", "ring32")
            if "flower" in taken and ring in taken
        },
    }


def _targets(one: Mapping[str, Any]) -> list[dict[str, Any]]:
    size, numbers, found = one["hospitals"], one["numbers"], []

    def target(what: str, value: float, wanted: float, more: bool) -> None:
        met = value >= wanted if more else value <= wanted
        about = f"{what}, {size} hospitals, {numbers} numbers"
        found.append({"what": about, "value": value, "target": wanted, "met": met})

    for ring, faster in one["faster"].items() if size == 50 else ():
        for side in SIDES:
            what = f"times faster than Flower's for the {side}, {TITLES[ring]}"
            target(what, faster[side], LEAST_OVER_FLOWER[ring], more=True)
    if size == 50 and "ring64" in one["over_floor"]:
        for side in SIDES:
            times = one["over_floor"]["ring64"][side]
            target(
                f"times AES alone for the {side}, {TITLES['ring64']}", times, MOST_OVER_FLOOR, False
            )
    for side in SIDES:
        if (size, side) in LONGEST and "ring64" in one["contenders"]:
            took = one["contenders"]["ring64"][side]["median_s"]
            target(f"seconds for the {side}, {TITLES['ring64']}", took, LONGEST[size, side], False)
    return found


def table(document: Mapping[str, Any]) -> str:
    """Times, ratios and targets of ``secagg``'s answer, as Markdown."""
    host = document["machine"]
    load = "unknown" if host["load"] is None else f"{host['load']:.1f}"
    versions = ", ".join(f"{name} {number}" for name, number in host["versions"].items())
    lines = [
        "# Secure aggregation benchmark",
        "",
        f"{document['problem']}. Seconds of CPU time, one thread each, load {load} at the "
        f"end, Python {host['python']}, {versions}. Contenders took turns in one process; quote "
        "the ratios.",
        "",
        "| hospitals (lost) | numbers | contender | hospital, s: median (min) | coordinator, s: "
        "median (min) | Flower's over ours (both sides) | ours over AES (both sides) |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in document["sizes"]:
        for name, took in one["contenders"].items():
            cells = [f"{took[s]['median_s']:.3f} ({took[s]['min_s']:.3f})" for s in SIDES]
            ratios = [
                ", ".join(f"{kind[name][side]:.2f}" for side in SIDES) if name in kind else ""
                for kind in (one["faster"], one["over_floor"])
            ]
            start = f"| {one['hospitals']} ({one['lost']}) | {one['numbers']} | {TITLES[name]} | "
            lines.append(start + " | ".join((*cells, *ratios)) + " |")
    lines += ["", "| target | measured | wanted | |", "|---|---|---|---|"]
    for target in document["targets"]:
        met = "met" if target["met"] else "MISSED"
        lines.append(f"| {target['what']} | {target['value']:.2f} | {target['target']} | {met} |")
    lines += ["", *(f"{TITLES[n]}: {why}." for n, why in document["absent"].items())]
    return "\n".join(lines).rstrip() + "\n"
