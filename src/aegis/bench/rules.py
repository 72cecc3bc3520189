"""``aegis bench rules``: the robust rules beside those of Flower and ByzFL, on the same matrices.

Each matrix has a process of its own with one thread, in which all contenders take turns
(``aegis.bench.rules_course``). Flower's figure is the faster of its two sets of functions, but for
Bulyan that of the set which chooses by Krum again and again, as the paper and we do; its message
strategy chooses once. A ratio is of medians of processor seconds; quote the ratios, not the times.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any, TypeAlias

from aegis.bench.engine import ENVIRONMENT, machine
from aegis.bench.rules_course import AGREEMENT, NEEDS, OTHERS, RULES
from aegis.errors import CheckFailed

# Rows -> length, f. Twenty long rows are for the memory that ours take.
SIZES = {10: (1_000_000, 1), 100: (1_000_000, 20), 20: (10_000_000, 4)}
TITLES = {"aegis": "Aegis", "flower": "Flower", "flower messages": "Flower's", "byzfl": "ByzFL"}
LEAST = {
    (10, "median"): 8.0,
    (100, "median"): 5.0,
    (10, "krum"): 2.5,
    (100, "krum"): 2.5,
    (10, "bulyan"): 20.0,
}
READING = 0.5  # of the speed at which memory is read, for the mean
MOST_EXTRA_MB = 1200.0
CHOSEN_ONCE = (
    "Bulyan over Flower is over its function that chooses by Krum again and again, as the paper "
    "does (where that was waited for); its message strategy chooses once, by Multi-Krum."
)
MANY = 20_000_000  # numbers: beyond them half as many turns
LONGEST_S = 1800

Measure: TypeAlias = Callable[[int, int, int, int], dict[str, Any]]
"""(rows, length, f, turns) -> what one process measured."""


def rules(
    hospitals: Sequence[int] = (10, 100, 20),
    turns: int = 5,
    told: Callable[[str], None] = lambda text: None,
    measure: Measure | None = None,
) -> dict[str, Any]:
    """Measures every matrix; ``measure`` replaces the process. The answer is made for JSON; raises
    ``CheckFailed`` where a peer's mean, median or trimmed mean is not ours."""
    began = monotonic()
    sizes = []
    for rows in hospitals:
        length, f = SIZES.get(rows, (1_000_000, max(1, (rows - 3) // 4)))
        told(f"{rows} updates of {length} numbers")
        some = turns if rows * length <= MANY else max(1, turns // 2)
        sizes.append(_summary(rows, length, f, (measure or _run)(rows, length, f, some)))
    absent = {
        name: f"not installed: {NEEDS[name]}"
        for name in ("flower", "byzfl")
        if find_spec(NEEDS[name]) is None
    }
    return {
        "what": "robust rules, processor seconds side by side",
        "problem": "rows of independent normal float32 numbers",
        "machine": machine(),
        "sizes": sizes,
        "targets": [target for size in sizes for target in _targets(size)],
        "absent": absent,
        "seconds": round(monotonic() - began, 1),
    }


def _run(rows: int, length: int, f: int, turns: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="aegis-") as folder:
        out = Path(folder) / "out.json"
        numbers = [str(number) for number in (rows, length, f, turns)]
        try:
            ended = subprocess.run(  # noqa: S603, our own interpreter and module
                [sys.executable, "-m", "aegis.bench.rules_course", *numbers, str(out)],
                env={**os.environ, **ENVIRONMENT},
                capture_output=True,
                timeout=LONGEST_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CheckFailed(f"{rows} updates took more than {LONGEST_S} s") from error
        if ended.returncode or not out.exists():
            last = ended.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise CheckFailed(f"{rows} updates: {''.join(last) or 'the process ended early'}")
        found: dict[str, Any] = json.loads(out.read_text())
    return found


def _summary(rows: int, length: int, f: int, found: dict[str, Any]) -> dict[str, Any]:
    for name, gap in found["apart"].items():
        if not gap <= AGREEMENT:
            raise CheckFailed(f"{name} is {gap:.1e} away from ours", f"{AGREEMENT:.0e} is rounding")
    ms = {
        name: {rule: 1e3 * median(times) for rule, times in timed.items()}
        for name, timed in found["seconds"].items()
    }
    ratios: dict[str, dict[str, float]] = {}
    for rule, mine in ms["aegis"].items():
        timed = {name: all_[rule] / mine for name, all_ in ms.items() if rule in all_}
        flower = [timed[name] for name in ("flower", "flower messages") if name in timed]
        if rule == "bulyan" and "flower" in timed:
            flower = [timed["flower"]]
        ratios[rule] = {"flower": min(flower)} if flower else {}
        ratios[rule] |= {n: timed[n] for n in ("flower messages", "byzfl") if n in timed}
    extra = [value for value in found["extra_mb"].values() if value is not None]
    return {
        "rows": rows,
        "length": length,
        "f": f,
        "ms": ms,
        "ratios": ratios,
        "reading_ms": 1e3 * median(found["reading"]),
        "reading_gb_s": found["bytes"] / median(found["reading"]) / 1e9,
        "fedavg_of_reading": 1e3 * median(found["reading"]) / ms["aegis"]["fedavg"],
        "extra_mb": found["extra_mb"],
        "most_extra_mb": max(extra) if extra else None,
    }


def _targets(size: dict[str, Any]) -> list[dict[str, Any]]:
    rows, found = size["rows"], []
    for (wanted, rule), least in LEAST.items():
        ratio = size["ratios"].get(rule, {}).get("flower")
        if wanted == rows and ratio is not None:
            what = f"{rule} of {rows} over Flower"
            found.append({"what": what, "value": ratio, "target": least, "met": ratio >= least})
    share = size["fedavg_of_reading"]
    what = f"fedavg of {rows}, share of the speed of reading"
    found.append({"what": what, "value": share, "target": READING, "met": share >= READING})
    extra = size["most_extra_mb"]
    if extra is not None and size["length"] >= 10_000_000:
        what = f"extra memory for {rows} x {size['length']}, MB"
        met = extra < MOST_EXTRA_MB
        found.append({"what": what, "value": extra, "target": MOST_EXTRA_MB, "met": met})
    return found


def table(document: dict[str, Any]) -> str:
    """The measurement as Markdown."""
    made = document["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in made["versions"].items())
    lines = [
        "# Rules benchmark",
        "",
        f"{document['problem']}, one thread. {made['cores']} cores, load {_shown(made['load'])} at "
        f"the end, Python {made['python']}, {versions}. Times of a shared machine say little; the "
        "ratios are of contenders that took turns.",
        "",
    ]
    for size in document["sizes"]:
        names = [name for name in TITLES if name in size["ms"]]
        head = f"{size['rows']} x {size['length']}, f = {size['f']}; ms"
        heads = [TITLES[n] if n != "flower messages" else "Flower, messages" for n in names]
        lines += [f"| {head} | {' | '.join(heads)} | over Flower | over ByzFL |"]
        lines += ["|---" * (len(names) + 3) + "|"]
        for rule in (*RULES, *OTHERS):
            times = [_shown(size["ms"][name].get(rule)) for name in names]
            ratio = size["ratios"].get(rule, {})
            beside = [_shown(ratio.get("flower")), _shown(ratio.get("byzfl"))]
            lines.append(f"| {rule} | {' | '.join([*times, *beside])} |")
        lines += [
            "",
            f"Memory is read at {_shown(size['reading_gb_s'])} GB/s ({_shown(size['reading_ms'])} "
            f"ms); extra memory at most {_shown(size['most_extra_mb'])} MB.",
            "",
        ]
    lines += [CHOSEN_ONCE, "", "| target | measured | wanted | |", "|---|---|---|---|"]
    for one in document["targets"]:
        met = "met" if one["met"] else "MISSED"
        lines.append(
            f"| {one['what']} | {_shown(one['value'])} | {_shown(one['target'])} | {met} |"
        )
    lines += ["", *(f"{TITLES[name]}: {reason}." for name, reason in document["absent"].items())]
    return "\n".join(lines).rstrip() + "\n"


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
