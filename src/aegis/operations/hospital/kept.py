"""One model with what belongs to it, in one private file: a safetensors file with a JSON document.

Console pages and the serving loop read these files side by side in one process; safetensors reads
a header as JSON. (NumPy's own format parses its header as Python, which two threads of CPython 3.11
must not do at once: "AST constructor recursion depth mismatch".)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.identity.keyfile import write_private

SUFFIX = ".safetensors"


def keep(path: Path, document: Mapping[str, Any], weights: NDArray[np.floating]) -> None:
    """Whole or not at all; readable by this hospital's account only."""
    from safetensors.numpy import save

    text = json.dumps(document, allow_nan=False)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = save({"weights": np.ascontiguousarray(weights)}, metadata={"document": text})
    write_private(path, bytes(data), replace=True)


def document_of(path: Path) -> dict[str, Any]:
    """Raises ``DataError`` where the file is absent or damaged."""
    return _read(path)[0]


def weights_of(path: Path) -> NDArray[np.floating]:
    """Raises ``DataError`` where the file is absent or damaged."""
    return _read(path)[1]


def _read(path: Path) -> tuple[dict[str, Any], NDArray[np.floating]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            said = json.loads((file.metadata() or {})["document"])
            weights: NDArray[np.floating] = file.get_tensor("weights")
    except (SafetensorError, OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path} cannot be read as a model ({error})") from error
    if not isinstance(said, dict):
        raise DataError(f"{path} cannot be read as a model (its document is no object)")
    return said, weights
