"""Aegis: hospitals train one diagnostic model together, and no patient row leaves any of them.

    from aegis import Plan, load, run
    result = run(Plan(task="breast_cancer", seed=16))
    load(result.files["model"]).predict_proba("patients.csv")

Importing this package loads the standard library only; each name below is loaded on first use.
Aegis is not medical software and has not been independently audited.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aegis.version import __version__ as __version__

if TYPE_CHECKING:
    from aegis.errors import AegisError as AegisError
    from aegis.plan import Plan as Plan
    from aegis.simulation.local import run as run
    from aegis.store.predictor import load as load

__all__ = ["AegisError", "Plan", "__version__", "load", "run"]

_HOMES = {
    "AegisError": "aegis.errors",
    "Plan": "aegis.plan",
    "load": "aegis.store.predictor",
    "run": "aegis.simulation.local",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'aegis' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
