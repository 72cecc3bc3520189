"""A run made again from its experiment file, and the two beside each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aegis.events import Listener
from aegis.plan import Plan
from aegis.store.experiments import Experiment, differences
from aegis.store.home import Home

CLOSE = 1e-12


@dataclass(frozen=True)
class Again:
    """A run beside the experiment it was made from. ``reproduced`` is None where noise was in it:
    noise is drawn anew, so weights and metrics cannot be the same."""

    before: Experiment
    after: Experiment

    @property
    def reproduced(self) -> bool | None:
        if self.before.noisy:
            return None
        return self.same_model and not self.apart

    @property
    def same_model(self) -> bool:
        return self.before.model_sha256 == self.after.model_sha256

    @property
    def apart(self) -> dict[str, tuple[Any, Any]]:
        """Metrics that differ: before and after."""
        names = [name for name in self.before.metrics if name != "ci95"]
        pairs = {name: (self.before.metrics[name], self.after.metrics.get(name)) for name in names}
        return {name: pair for name, pair in pairs.items() if not _same(*pair)}

    @property
    def inside(self) -> bool | None:
        """Whether the new accuracy lies in the old one's 95 % interval."""
        span = (self.before.metrics.get("ci95") or {}).get("accuracy")
        found = self.after.metrics.get("accuracy")
        return None if not span or found is None else span[0] <= found <= span[1]

    def as_json(self) -> dict[str, Any]:
        return {
            "before": self.before.run,
            "after": self.after.run,
            "reproduced": self.reproduced,
            "same_model": self.same_model,
            "noise": self.before.noisy,
            "accuracy_inside_interval": self.inside,
            "differs": {name: list(pair) for name, pair in self.apart.items()},
            **{
                key: value
                for key, value in differences([self.before, self.after]).items()
                if key in ("environment", "metrics", "model_sha256", "epsilon")
            },
        }


def rerun(
    experiment: Experiment,
    *,
    home: Path | None = None,
    data_directory: Path | None = None,
    listeners: Sequence[Listener] = (),
    told: Callable[[str], None] = lambda text: None,
) -> Again:
    """Make a run again from its file, without comparison and attack. Raises ``BadInput`` where its
    data are not here."""
    from aegis.simulation.local import run
    from aegis.store.experiments import read

    done = run(
        Plan.from_json(experiment.plan_json),
        home=home,
        data_directory=data_directory,
        compare=False,
        audit=False,
        listeners=listeners,
        told=told,
    )
    root = Home(home) if home is not None else Home.from_environment()
    return Again(experiment, read(root.experiments / f"experiment_{done.run}.json"))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) <= CLOSE * max(1.0, abs(one))
    return bool(one == other)
