"""A model as MLflow serves it: a safetensors file that our own reader opens; no code, no pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Served:
    """What ``mlflow.pyfunc.load_model`` gives: rows in, classes out."""

    def __init__(self, path: str) -> None:
        from aegis.store.predictor import load

        self.predictor = load(path)

    def predict(self, rows: Any, params: Mapping[str, Any] | None = None) -> Any:
        return self.predictor.predict(rows)

    def predict_proba(self, rows: Any) -> Any:
        return self.predictor.predict_proba(rows)


def _load_pyfunc(path: str) -> Served:
    """MLflow calls this by name; the file holds numbers and words, no code."""
    return Served(path)
