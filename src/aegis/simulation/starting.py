"""Starting from a model that exists: a version of the registry, or a file with its card beside it.

The model must fit the plan (same schema, same network); it brings the preparation it was trained
on, because weights mean nothing on inputs that were scaled otherwise.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from aegis.coordinator.steps import Study
from aegis.errors import BadInput
from aegis.messages import Vector
from aegis.states import StartingPoint
from aegis.store.registry import Registry
from aegis.tasks.models import from_description


def starting_point(study: Study, name: str, registry: Registry) -> StartingPoint:
    """The model that ``model.start`` names. Raises ``BadInput`` where it does not fit."""
    path = Path(name)
    if path.suffix == ".safetensors":
        sha256, card, weights = _from_file(path)
    else:
        version = registry.find(name)
        sha256, card, weights = version.sha256, version.card, registry.load(version)
    if card.get("schema_sha256") != study.schema.sha256:
        raise BadInput(
            f"the model {name} was trained for {card.get('task', 'another task')}",
            f"its columns are not those of {study.plan.task}",
            "Start from a model of the same task, or leave model.start out",
        )
    shape, wanted = card["model"], study.model(card["preparation"])
    if tuple(shape["hidden"]) != wanted.hidden:
        raise BadInput(
            f"the model {name} has hidden layers {shape['hidden']}",
            f"the plan asks for {list(wanted.hidden)}",
            "Set model.name and model.hidden to those of the model you start from",
        )
    if shape.get("outputs", 1) != wanted.outputs:
        raise BadInput(
            f"the model {name} tells {max(shape.get('outputs', 1), 2)} classes apart",
            f"the plan asks for {wanted.classes}",
            "Set model.num_classes to that of the model you start from",
        )
    return StartingPoint(sha256, card["preparation"], weights.astype(wanted.dtype))


def _from_file(path: Path) -> tuple[str, dict[str, Any], Vector]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    card_path = path.with_suffix(".json")
    try:
        data, card = path.read_bytes(), json.loads(card_path.read_text(encoding="utf-8"))
        shape = card["model"]
        model = from_description(shape)
        return hashlib.sha256(data).hexdigest(), card, model.flat(load(data))
    except OSError as error:
        raise BadInput(
            f"the model file {error.filename} cannot be read ({error.strerror})",
            "a model needs its card beside it, the same name ending in .json",
        ) from error
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} and its card are no model of ours ({error})") from error
