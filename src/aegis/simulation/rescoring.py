"""A stored model is loaded again and scored on the held-out rows it was scored on: its card must
say the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from aegis.errors import CheckFailed
from aegis.evaluation.histogram import score
from aegis.hospital.node import Node
from aegis.report.result import summed_metrics
from aegis.simulation.local import stored
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.store.registry import Registry

CLOSE = 1e-9


def rescore(name: str, home: Path | None = None) -> dict[str, Any]:
    """The metrics of a stored version on all hospitals' held-out rows, as its card has them. Raises
    ``CheckFailed`` where they are others, or where the card has none to compare with."""
    run, sha256, federation, fitted, _ = stored(name, home)
    histograms, losses = [], []
    for site in federation.sites.values():
        if not len(site.test):
            continue
        used = fitted
        if federation.study.plan.data.standardize == "site" and site.schema.image is None:
            used = replace(fitted, preparation=Node(site).localised(fitted.preparation))
        histogram, loss = score(used.logits(site.test), site.test.labels)
        histograms.append(histogram)
        losses.append(loss)
    found: dict[str, Any] = dict(summed_metrics(histograms, losses))
    said = _card(name, home).get("metrics")
    if not said:
        raise CheckFailed(f"the card of {sha256[:12]} ({run}) says no metrics to compare with")
    apart = [
        f"{key} was {said.get(key)}, is {value}"
        for key, value in found.items()
        if not _same(said.get(key), value)
    ]
    if apart:
        raise CheckFailed(
            f"version {sha256[:12]} of {run} does not score as its card says: {'; '.join(apart)}",
            "the same rows and weights give the same metrics",
            "If scores were released with noise this is expected; else look for changed data",
        )
    return found


def _card(name: str, home: Path | None) -> dict[str, Any]:
    root = Home(home) if home is not None else Home.from_environment()
    journal = Journal.reading(root.database)
    try:
        return Registry(root, journal).find(name).card
    finally:
        journal.close()


def _same(said: Any, found: Any) -> bool:
    if isinstance(said, int | float) and isinstance(found, int | float):
        return abs(said - found) <= CLOSE * max(1.0, abs(found))
    return bool(said == found)
