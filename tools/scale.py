"""The tables and the picture of docs/scale.md: python -m tools.scale

They come from benchmarks/results (scale, scaling, soak) and stand between comments of the page.
What lies beyond is worked out here from the largest sizes measured; the page says that it is paper.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aegis.bench.scale import AXES, LINES, QUANTITIES, curve_of
from aegis.bench.scale_picture import picture
from tools.tables import table

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scale.md"
PICTURE = ROOT / "docs" / "scale.png"
RESULTS = ROOT / "benchmarks" / "results"
FAR = (10**4, 10**5, 10**6)
MODEL = 10**6  # parameters of the model on paper
LINE_S = 10e9 / 8  # bytes a second of a line of 10 Gbit
LEAF = 100  # hospitals of one masked sum
NEIGHBOURS = 100  # of a sparse graph, for hundreds and for millions alike

SOAK = {
    "sure": "open, waits for all eight in every round",
    "private": "local noise, a ledger at each hospital, five are enough",
    "masked": "sealed sums, waits for all eight",
}
LARGE = {
    "dp_sgd": "open, DP-SGD",
    "local_update": "open, noise on the update",
    "masked": "sealed sums, a tenth lost in every round",
    "masked_private": "sealed sums of DP-SGD updates",
}


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def size(bytes_: float) -> str:
    """In the unit that suits."""
    for unit in ("bytes", "kB", "MB", "GB", "TB", "PB"):
        if bytes_ < 1000 or unit == "PB":
            return f"{figure(bytes_)} {unit}"
        bytes_ /= 1000
    raise AssertionError


def span(seconds: float) -> str:
    for unit, worth in (
        ("years", 86400.0 * 365),
        ("days", 86400.0),
        ("hours", 3600.0),
        ("min", 60.0),
        ("s", 1.0),
    ):
        if seconds >= 2 * worth:
            return f"{figure(seconds / worth)} {unit}"
    return f"{figure(1000 * seconds)} ms"


def _exponents(curves: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for line, title in LINES.items():
        for name in ("round_s", "grown_mb"):
            cells = []
            for axis in AXES:
                curve = curve_of(curves, axis, line)
                power = None if curve is None else curve["exponents"].get(name)
                cells.append("" if power is None else f"{power:.2f}")
            rows.append((title, QUANTITIES[name], *cells))
    return table(("", "of", *(f"over {axis}" for axis in AXES)), rows)


def _ends(curves: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for axis in AXES:
        for line, title in LINES.items():
            curve = curve_of(curves, axis, line)
            if curve is None:
                continue
            for point in (curve["points"][0], curve["points"][-1]):
                rows.append(
                    (
                        f"{point[axis]:,} {axis}",
                        title,
                        f"{figure(1e3 * point['round_s'])} ms",
                        f"{figure(point['peak_mb'])} MB",
                    )
                )
    return table(("Size", "", "One round", "Peak memory of the process"), rows)


def _sums(points: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            f"{p['hospitals']}",
            f"{figure(1e3 * p['hospital_s'])} ms",
            f"{figure(1e3 * p['coordinator_s'])} ms",
            size(p["to_hospital_bytes"]),
            size(p["from_hospital_bytes"]),
            size(p["to_coordinator_bytes"]),
        )
        for p in points
    ]
    heads = ("Hospitals", "One hospital", "Coordinator", "To one hospital", "From one hospital")
    return table((*heads, "All to the coordinator"), rows)


def _large(found: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (
            f"{one['hospitals']:,}",
            LARGE[kind],
            f"{one['round_s']:.1f} s",
            f"{one['cpu_s']:.0f} s",
            f"{one['peak_mb']:.0f} MB",
            f"{one['disk_mb']:.0f} MB",
        )
        for kind, one in found.items()
    ]
    return table(("Hospitals", "", "A round", "The whole run, CPU", "Peak memory", "On disk"), rows)


def _soak(found: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (
            SOAK[kind],
            f"{one['rounds']:,}",
            f"{one['deaths']} ({one['restarts']})",
            f"{one['mib_per_100_rounds']:.2f} ({one['resident_mib_per_100_rounds']:.2f}) MiB",
            f"{one['more_handles']:g}, {one['more_threads']:g}",
            f"{one['slower']:.2f}",
            f"{one['disk_kib'] / 1024:.0f} MiB",
            {True: "the same", None: "has noise"}.get(one["same_model"], "ANOTHER"),
        )
        for kind, one in found.items()
    ]
    return table(
        (
            "",
            "Rounds",
            "Deaths (of the coordinator)",
            "Memory in use (resident) per 100 rounds",
            "More descriptors, threads",
            "CPU of a round, the last over the third tenth",
            "Files of all nine",
            "Model beside a run without faults",
        ),
        rows,
    )


def _paper(curves: Sequence[Mapping[str, Any]]) -> str:
    """Three ways to a million, from the largest sizes measured."""
    sums = curve_of(curves, "hospitals", "one")
    open_ = curve_of(curves, "hospitals", "open")
    assert sums is not None
    assert open_ is not None
    last, opened = sums["points"][-1], open_["points"][-1]
    at = last["hospitals"]
    # Beside its vector, a hospital sends and gets something for each other hospital.
    vector = 8 * last["parameters"]
    pair = (last["to_coordinator_bytes"] - at * vector) / at**2
    key_s = last["hospital_s"] / at
    each_s = opened["round_s"] / opened["hospitals"]
    mask_s = _mask_s()
    line = opened["log_bytes"] / opened["rounds_done"] / opened["hospitals"]
    rows = []
    for n in FAR:
        leaves, levels = math.ceil(n / LEAF), math.ceil(math.log(n, LEAF) - 1e-9)
        rows += [
            (
                f"{n:,}",
                "open",
                size(4.0 * MODEL),
                size(4.0 * MODEL * n),
                span(4.0 * MODEL * n / LINE_S),
                span(each_s * n),
                size(line * n),
            ),
            (
                "",
                "masked, complete graph",
                size(8.0 * MODEL + pair * n),
                size(8.0 * MODEL * n + pair * n * n),
                span((8.0 * MODEL * n + pair * n * n) / LINE_S),
                f"{span(key_s * n)} at each hospital, {span(mask_s * _lost(n, n))} after losses",
                size(line * n),
            ),
            (
                "",
                f"masked, {NEIGHBOURS} neighbours",
                size(8.0 * MODEL + pair * NEIGHBOURS),
                size((8.0 * MODEL + pair * NEIGHBOURS) * n),
                span((8.0 * MODEL + pair * NEIGHBOURS) * n / LINE_S),
                f"{span(key_s * NEIGHBOURS)} at each hospital, "
                f"{span(mask_s * _lost(n, NEIGHBOURS))} after losses",
                size(line * n),
            ),
            (
                "",
                f"masked, a tree of {leaves:,} sums of {LEAF}, {levels} levels",
                size(8.0 * MODEL + pair * LEAF),
                size((8.0 * MODEL + pair * LEAF) * LEAF),
                span(levels * (8.0 * MODEL + pair * LEAF) * LEAF / LINE_S),
                f"{span(key_s * LEAF)} at each hospital, "
                f"{span(mask_s * _lost(LEAF, LEAF))} after losses",
                size(line * LEAF),
            ),
        ]
    heads = (
        "Participants",
        "How",
        "One sends, a round",
        "A coordinator receives",
        "On a line of 10 Gbit",
        "Arithmetic",
        "One coordinator's log, a round",
    )
    return table(heads, rows)


def _lost(participants: int, neighbours: int) -> float:
    """Masks to make again where a tenth is lost: each survivor's own, and those with the lost."""
    return 0.9 * participants * (1 + 0.1 * neighbours)


def _mask_s() -> float:
    """Seconds for one mask of ``MODEL`` numbers at the coordinator, as ``aegis bench secagg`` has
    it."""
    one = max(read("secagg")["sizes"], key=lambda one: one["hospitals"] * one["numbers"])
    masks = (one["hospitals"] - one["lost"]) * (1 + one["lost"])
    took = one["contenders"]["ring64"]["coordinator"]["median_s"]
    return float(took / masks * MODEL / one["numbers"])


def _proved(name: str, part: str, drawn: Callable[[Mapping[str, Any]], str]) -> str:
    """What a proof wrote down, where it has run."""
    if not (RESULTS / f"{name}.json").exists():
        return f"Not measured here yet: `make prove PART={part}`."
    return drawn(read(name)["found"])


def blocks() -> dict[str, str]:
    """What stands between the comments of each name."""
    grown = read("scale")
    curves, cores = grown["curves"], grown["machine"]["cores"]
    sums = curve_of(curves, "hospitals", "one")
    assert sums is not None
    powers = sums["exponents"]
    return {
        "machine": f"Measured on one machine of {cores} cores that was also doing other things. "
        "Times say little; exponents and slopes say what becomes of them. 1 is proportional, 2 is "
        "every pair.",
        "exponents": _exponents(curves),
        "ends": _ends(curves),
        "sums": f"{_sums(sums['points'])}\n\n{sums['points'][0]['parameters']:,} parameters. "
        f"Exponents of the seconds over the last decade: one hospital {powers['hospital_s']:.2f}, "
        f"coordinator {powers['coordinator_s']:.2f}.",
        "large": _proved("scaling", "scale", _large),
        "soak": _proved("soak", "soak", _soak),
        "paper": _paper(curves),
    }


def page() -> str:
    """The page as it stands, with what was measured between its comments."""
    text = PAGE.read_text(encoding="utf-8")
    for name, block in blocks().items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise SystemExit(f"docs/scale.md has no {begin} ... {end}")
        text = f"{before}{begin}\n\n{block}\n\n{end}{after}"
    return text


def main(argv: list[str] | None = None) -> int:
    reader = argparse.ArgumentParser(description="Write docs/scale.md and docs/scale.png.")
    reader.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    check = reader.parse_args(argv).check
    text = page()
    stale = PAGE.read_text(encoding="utf-8") != text
    if not check:
        PAGE.write_text(text, encoding="utf-8")
        picture(read("scale"), PICTURE)
    print(f"docs/scale.md is {'stale' if check and stale else 'as measured'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
