"""Figures that a plug-in makes itself, of rows held out: only a simulation has all of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from aegis.errors import BadInput
from aegis.simulation.document import Finished, as_used
from aegis.tasks.task import find_task


def own_figures(finished: Finished) -> dict[str, Any]:
    """What ``evaluate.py`` says, by name; null with a reason where it fails, nothing for tasks that
    have no figures of their own."""
    judge = getattr(find_task(finished.study.plan.task), "evaluate", None)
    if judge is None:
        return {}
    used, sites = as_used(finished), finished.sites
    scored = [name for name, site in sites.items() if len(site.test)]
    if not scored:
        return {"own_figures": None, "own_figures_reason": "no row was held out"}
    logits = np.concatenate([used[name].logits(sites[name].test) for name in scored])
    labels = np.concatenate([sites[name].test.labels for name in scored])
    try:
        found = judge(labels, _chances(np.asarray(logits, dtype=np.float64)))
    except BadInput as error:
        return {"own_figures": None, "own_figures_reason": str(error)}
    except Exception as error:
        what = f"evaluate.py fails: {type(error).__name__}: {error}"
        return {"own_figures": None, "own_figures_reason": what}
    return {"own_figures": {n: v if math.isfinite(v) else None for n, v in found.items()}}


def _chances(logits: Any) -> Any:
    """(n,) of the positive class, or (n, classes)."""
    if logits.ndim == 1:
        return 0.5 + 0.5 * np.tanh(logits / 2)
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)
