"""The robust rules of Flower and of ByzFL, called as their own strategies call them.

Flower has two sets: functions over lists of arrays, and the strategies of its message interface
over records, which measure distances another way. Both are here where they differ. ByzFL's package
asks for data sets and image models when it is imported; only its arithmetic is taken.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Work = Callable[[], Any]
MOST_IN_PAIRS = 20  # rows for which Flower's pairwise distances are waited for


def flower(matrix: NDArray[np.float32], f: int, trim: int) -> Mapping[str, Work]:
    """``flwr.server.strategy.aggregate`` on rows of equal weight."""
    from flwr.server.strategy import aggregate as strategies

    rows = [([row], 1) for row in matrix]
    share = (trim + 0.5) / len(matrix)
    found: dict[str, Work] = {
        "fedavg": lambda: strategies.aggregate(rows)[0],
        "median": lambda: strategies.aggregate_median(rows)[0],
        "trimmed_mean": lambda: strategies.aggregate_trimmed_avg(rows, share)[0],
    }
    if len(matrix) <= MOST_IN_PAIRS:
        keep = len(matrix) - f
        found |= {
            "krum": lambda: strategies.aggregate_krum(rows, f, 0)[0],
            "multi_krum": lambda: strategies.aggregate_krum(rows, f, keep)[0],
            # It takes rows out of the list that it is handed.
            "bulyan": lambda: strategies.aggregate_bulyan(
                list(rows), f, strategies.aggregate_krum, to_keep=0
            )[0],
        }
    return found


def flower_messages(matrix: NDArray[np.float32], f: int, trim: int) -> Mapping[str, Work]:
    """What the Krum and Bulyan strategies of ``flwr.serverapp.strategy`` do with the replies."""
    from flwr.app import ArrayRecord, RecordDict
    from flwr.serverapp.strategy import bulyan, multikrum

    replies = [RecordDict({"arrays": ArrayRecord([row])}) for row in matrix]

    def arrays(chosen: list[Any]) -> list[list[NDArray[Any]]]:
        return [reply["arrays"].to_numpy_ndarrays(keep_input=True) for reply in chosen]

    def krum() -> Any:
        return arrays(multikrum.select_multikrum(replies, f, 1))[0][0]

    def multi_krum() -> Any:
        chosen = arrays(multikrum.select_multikrum(replies, f, len(matrix) - f))
        return sum(one[0] for one in chosen) / len(chosen)

    def iterated() -> Any:
        theta = len(matrix) - 2 * f
        chosen = arrays(multikrum.select_multikrum(replies, f, theta))
        middle = [np.median(layer, axis=0) for layer in zip(*chosen, strict=True)]
        return bulyan.aggregate_n_closest_weights(middle, chosen, theta - 2 * f)[0]

    return {"krum": krum, "multi_krum": multi_krum, "bulyan": iterated}


def byzfl(matrix: NDArray[np.float32], f: int, trim: int) -> Mapping[str, Work]:
    rules = byzfl_rules()
    keep = {
        "fedavg": rules.Average(),
        "median": rules.Median(),
        "trimmed_mean": rules.TrMean(f=trim),
        "krum": rules.Krum(f=f),
        "multi_krum": rules.MultiKrum(f=f),
    }

    def of(rule: Any) -> Work:
        return lambda: rule(matrix)

    return {name: of(rule) for name, rule in keep.items()}


def byzfl_rules() -> Any:
    """ByzFL's module of rules, without the rest of the package."""
    found = find_spec("byzfl")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("byzfl")
    door = types.ModuleType("byzfl")
    door.__path__ = [str(Path(found.origin).parent)]
    sys.modules["byzfl"] = door
    return importlib.import_module("byzfl.aggregators.aggregators")
