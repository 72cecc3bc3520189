"""The coordinator's window under load, and the weight of its pages.

``polled``: 50 clients ask /api/data once a second while a federation of real processes trains.
``watched``: the same run with and without 200 open pages, turn by turn; what counts is the ratio of
the medians. ``pages``: what a browser loads, and when it shows something (``console_pages``). The
clients are a process of their own, on the same machine.
"""

from __future__ import annotations

import gzip
import http.client
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

from aegis.bench.console_pages import BUDGETS, pages
from aegis.bench.engine import machine
from aegis.console.together import Together, together
from aegis.plan import Plan, load_plan

POLLERS, READERS = 50, 200
POLLED_S, PAIRS, ROUNDS = 30.0, 3, 10
P99_MS, SLOWER = 50.0, 0.10
ROAD = "flower"
_PLAN = {
    "task": "breast_cancer",
    "federated.num_clients": "3",
    "training.solver": "gradient",
    "training.learning_rate": "2.0",
    "privacy.enabled": "false",
    "trust": "open",
}


def console(told: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """One document that JSON can hold."""
    began = monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="aegis-") as folder,
        together(_plan(ROUNDS), ROAD, home=Path(folder), told=told) as federation,
    ):
        told("a first run, for pages to show")
        federation.run(_plan(4), 300)
        shown = pages(federation.url, federation.token, told)
        frame = _frame(federation)
        polled = _polled(federation, told)
        watched = _watched(federation, told)
    return {
        "what": "the coordinator's window under load, and the weight of its pages",
        "road": ROAD,
        "hospitals": 3,
        "machine": machine(),
        "polled": polled,
        "watched": watched,
        "frame_gz": frame,
        "pages": shown,
        "targets": _targets(polled, watched, frame, shown),
        "seconds": round(monotonic() - began, 1),
    }


def _plan(rounds: int) -> Plan:
    return load_plan(None, _PLAN | {"federated.num_rounds": str(rounds)}).plan


@contextmanager
def _clients(federation: Together, pollers: int, readers: int) -> Iterator[dict[str, Any]]:
    """What they heard is in the value afterwards."""
    said = {
        "url": federation.url,
        "token": federation.token,
        "pollers": pollers,
        "readers": readers,
        "path": "/api/data",
        "stream": "/live/overview",
        "seconds": 600,
    }
    command = [sys.executable, "-m", "aegis.bench.console_clients"]
    process = subprocess.Popen(  # noqa: S603  (our own command)
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None  # noqa: PT018
    heard: dict[str, Any] = {}
    try:
        process.stdin.write(json.dumps(said) + "\n")
        process.stdin.flush()
        process.stdout.readline()
        yield heard
        process.stdin.close()
        heard |= json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(10)


def _polled(federation: Together, told: Callable[[str], None]) -> dict[str, Any]:
    told(f"{POLLERS} clients ask /api/data once a second for {POLLED_S:g} s of a run")
    coordinator = federation.coordinator
    run = coordinator.submit(_plan(100_000))
    while coordinator.state()["round"] < 1:
        sleep(0.1)
    before = coordinator.state()["round"]
    with _clients(federation, POLLERS, 0) as heard:
        sleep(POLLED_S)
    rounds = coordinator.state()["round"] - before
    coordinator.command(run, "stop")
    coordinator.wait(run, 120)
    found = sorted(1000 * one for one in heard["seconds"])
    return {
        "clients": POLLERS,
        "answers": len(found),
        "failed": heard["failed"],
        "rounds": rounds,
        "bytes": heard["bytes"],
        **{f"p{at}_ms": round(_quantile(found, at), 2) for at in (50, 95, 99)},
        "max_ms": round(found[-1], 2) if found else None,
    }


def _watched(federation: Together, told: Callable[[str], None]) -> dict[str, Any]:
    alone: list[float] = []
    seen: list[float] = []
    frames = streams = 0
    for pair in range(PAIRS):
        for watched in (pair % 2 == 0, pair % 2 == 1):
            told(f"pair {pair + 1} of {PAIRS}, {READERS if watched else 'no'} pages open")
            if watched:
                with _clients(federation, 0, READERS) as heard:
                    seen.append(_seconds(federation.run(_plan(ROUNDS), 600)))
                frames, streams = frames + heard["frames"], heard["streams"]
            else:
                alone.append(_seconds(federation.run(_plan(ROUNDS), 600)))
    return {
        "pages": READERS,
        "streams": streams,
        "rounds": ROUNDS,
        "alone_s": alone,
        "watched_s": seen,
        "slower": median(seen) / median(alone) - 1.0,
        "frames": frames,
    }


def _seconds(document: dict[str, Any]) -> float:
    """Of all rounds after the first, which waits for what is made once."""
    return float(sum(one["seconds"] for one in document["history"][1:]))


def _frame(federation: Together) -> int:
    """The bytes of one frame that redraws everything, packed."""
    connection = http.client.HTTPConnection(urlsplit(federation.url).netloc, timeout=20)
    headers = {"Authorization": f"Bearer {federation.token}"}
    connection.request("GET", "/live/overview", headers=headers)
    answer = connection.getresponse()
    found = b""
    while not found.endswith(b"\n\n"):
        found += answer.readline()
    connection.close()
    return len(gzip.compress(found))


def _quantile(ordered: list[float], percent: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0


def _targets(
    polled: dict[str, Any], watched: dict[str, Any], frame: int, shown: dict[str, Any]
) -> list[dict[str, Any]]:
    found = [
        _target("p99 of /api/data, ms", polled["p99_ms"], P99_MS),
        _target("requests that failed", polled["failed"], 0),
        _target(f"slower with {READERS} open pages", watched["slower"], SLOWER),
        _target("one frame of the stream, KB packed", frame / 1024, 5),
    ]
    for name, most in BUDGETS.items():
        values = {one["path"]: one[name] for one in shown["pages"] if one.get(name) is not None}
        if values:
            worst = max(values, key=lambda path: values[path] / limit(path, name, most))
            said = f"{name}, heaviest page ({worst})"
            found.append(_target(said, values[worst], limit(worst, name, most)))
    return found


def limit(path: str, name: str, most: float) -> float:
    """The explore charts may load more script."""
    return 45.0 if (path, name) == ("/technical", "js_kb") else most


def _target(what: str, value: float, wanted: float) -> dict[str, Any]:
    return {"what": what, "found": value, "wanted": wanted, "met": value <= wanted}


def table(document: dict[str, Any]) -> str:
    """The measurement as Markdown."""
    made, polled, watched = document["machine"], document["polled"], document["watched"]
    lines = [
        "# The coordinator's window",
        "",
        f"A federation of {document['hospitals']} hospitals, each a process of its own, over "
        f"{document['road']}. {made['cores']} cores shared by courier, coordinator, hospitals, "
        f"clients and browser; load {made['load']:.1f} at the end.",
        "",
        f"{polled['clients']} clients asked /api/data once a second ({polled['answers']} answers "
        f"of up to {polled['bytes'] / 1024:.0f} KB, during {polled['rounds']} rounds): median "
        f"{polled['p50_ms']:.1f} ms, 95 % {polled['p95_ms']:.1f} ms, 99 % "
        f"{polled['p99_ms']:.1f} ms.",
        "",
        f"{watched['rounds'] - 1} rounds took {median(watched['alone_s']):.2f} s alone and "
        f"{median(watched['watched_s']):.2f} s with {watched['streams']} open pages (medians of "
        f"{len(watched['alone_s'])} pairs; {watched['frames']:,} frames sent).",
        "",
        "| page | HTML KB | CSS KB | JS KB | requests | FCP ms | elements |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in document["pages"]["pages"]:
        lines.append(
            f"| {one['path']} | {one['html_kb']:.1f} | {_or(one['css_kb'])} | "
            f"{_or(one['js_kb'])} | {_or(one['requests'], 0)} | {_or(one['fcp_ms'], 0)} | "
            f"{_or(one['elements'], 0)} |"
        )
    lines += ["", "Sizes are packed (gzip). FCP: the median of three loads with an empty cache."]
    if document["pages"].get("absent"):
        lines += ["", f"Not measured: {document['pages']['absent']}"]
    lines += ["", "| target | found | wanted | |", "|---|---|---|---|"]
    for one in document["targets"]:
        met = "met" if one["met"] else "MISSED"
        lines.append(f"| {one['what']} | {one['found']:.3g} | {one['wanted']:g} | {met} |")
    return "\n".join(lines) + "\n"


def _or(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:.{digits}f}"
