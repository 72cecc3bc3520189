"""A stored model, ready to predict: raw patients in, probabilities out, in three lines.

    import aegis
    model = aegis.load("model.safetensors")
    model.predict_proba("patients.csv")

A predictor is a classifier as scikit-learn knows it (``predict``, ``predict_proba``,
``decision_function``, ``classes_``), made from one safetensors file that carries its card. Nothing
is unpickled: a file can hold numbers and words, never code. The preparation of the training (means,
categories, missing values) is part of it, so rows go in as they are in the hospital's table.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import AegisError, BadInput, CheckFailed, DataError
from aegis.store.foreign_cards import column, sound
from aegis.store.patients import Patients, Remark, patients
from aegis.store.registry import shape_of
from aegis.tasks.bounded import Prepared, read_preparation
from aegis.tasks.models import Model, Perceptron, model_bytes
from aegis.tasks.preparation import MINIMUM_CELL, Preparation, tally, with_vocabulary
from aegis.tasks.task import Picture, Rows, Schema

EMBEDDED, DIGEST = "aegis_card", "aegis_card_sha256"
LARGEST_HEADER = 64 << 20


class ModelWarning(UserWarning):
    """What should be known of a prediction: values outside the model's range, values filled in."""


@dataclass(frozen=True)
class Predictor:
    """``sha256`` names the weights as the registry and the audit log know them; ``card`` is the
    model card. Probabilities are those of class 1, ``positive``."""

    sha256: str
    card: Mapping[str, Any]
    schema: Schema
    preparation: Prepared
    model: Model
    weights: NDArray[np.floating]
    local: bool = True
    threshold: float = 0.5

    _estimator_type = "classifier"

    @property
    def task(self) -> str:
        return str(self.card.get("task"))

    @property
    def positive(self) -> str:
        return str(self.card.get("positive"))

    @property
    def classes_(self) -> NDArray[np.int64]:
        return np.arange(max(2, self._outputs), dtype=np.int64)

    @property
    def feature_names_in_(self) -> NDArray[np.object_]:
        return np.array(self.schema.names, dtype=object)

    @property
    def n_features_in_(self) -> int:
        return len(self.schema.names)

    def predict(self, rows: Any) -> NDArray[np.int64]:
        """(n,) classes: 1 where the probability is at least ``threshold``. ``rows`` is the path of
        a CSV, a list of dicts, a mapping of columns or a data frame, with raw values; images come
        as an array (n, height, width). Raises ``DataError`` for what cannot be understood, warns
        (``ModelWarning``) of what should be known."""
        found = self.predict_proba(rows)
        if found.shape[1] > 2:
            return np.asarray(found.argmax(axis=1), dtype=np.int64)
        return np.asarray(found[:, 1] >= self.threshold, dtype=np.int64)

    def predict_proba(self, rows: Any) -> NDArray[np.float64]:
        """(n, classes) probabilities."""
        given = self.read(rows)
        if given.remarks:
            said = "; ".join(str(remark) for remark in given.remarks[:3])
            more = len(given.remarks) - 3
            said += f"; and {more} more columns" if more > 0 else ""
            warnings.warn(said, ModelWarning, stacklevel=2)
        return self.probabilities(given)

    def decision_function(self, rows: Any) -> NDArray[np.float64]:
        """(n,) logits."""
        return self._logits(self.read(rows).rows)

    def read(self, rows: Any) -> Patients:
        """The rows as the model takes them, with remarks. Raises ``DataError``."""
        return patients(rows, self.schema)

    def check(self, rows: Any) -> tuple[Remark, ...]:
        """What should be known of these rows before their predictions are believed."""
        return self.read(rows).remarks

    def probabilities(self, given: Patients) -> NDArray[np.float64]:
        logits = self._logits(given.rows)
        if logits.ndim == 1:
            logits = np.stack([np.zeros_like(logits), logits], axis=1)
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
        return shares

    def prepared(self, rows: Any) -> NDArray[np.float64]:
        """(n, d) the numbers that go into the network: standardised, encoded, filled in."""
        return self._design(self.read(rows).rows)

    def localised(self, rows: Any) -> Predictor:
        """The same model with numbers standardised by these rows, the hospital's own: how a model
        of ``data.standardize: site`` is used."""
        if not isinstance(self.preparation, Preparation):
            raise BadInput("this model does not standardise by a hospital's own rows")
        given = self.read(rows)
        if len(given.rows) < MINIMUM_CELL:
            raise DataError(
                f"{len(given.rows)} rows are too few to standardise by",
                f"at least {MINIMUM_CELL} are needed",
            )
        schema = with_vocabulary(self.schema, self.preparation.vocabulary)
        own = self.preparation.recentred(schema, tally(schema, given.rows))
        return replace(self, preparation=own, local=True)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"threshold": self.threshold}

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(multi_class=self._outputs > 2),
            input_tags=InputTags(categorical=True, string=True, allow_nan=True),
            requires_fit=False,
        )

    @property
    def _outputs(self) -> int:
        return self.model.outputs

    def _design(self, rows: Rows) -> NDArray[np.float64]:
        if not self.local:
            raise BadInput(
                "this model standardises by each hospital's own rows (data.standardize: site)",
                "it needs a table of your hospital to standardise by",
                "Use model.localised(rows), or: aegis models predict --by-own-rows TABLE.csv",
            )
        return self.preparation.apply(rows)

    def _logits(self, rows: Rows) -> NDArray[np.float64]:
        logits = self.model.logits(self.weights, self._design(rows))
        return np.asarray(logits, dtype=np.float64)

    def __repr__(self) -> str:
        return f"Predictor({self.task}, {self.sha256[:12]}, {len(self.schema.names)} columns)"


def load(name: str | Path, *, home: Path | None = None) -> Predictor:
    """The model in an exported or stored file, or a version of the registry by number, hash or run.

    A file carries its card, or has it beside it (the same name ending in .json). Raises
    ``BadInput`` where there is no such model, ``CheckFailed`` where its bytes are not those that
    its card names.
    """
    path = Path(name)
    if path.suffix == ".safetensors" or path.is_file():
        return _from_file(path)
    from aegis.store.home import Home
    from aegis.store.journal import Journal
    from aegis.store.registry import Registry

    root = Home(home) if home is not None else Home.from_environment()
    if not root.database.exists():
        raise BadInput(
            f"{name} is no model file, and {root.root} holds no model yet",
            way_out="Name a .safetensors file, or set AEGIS_HOME to a data root",
        )
    journal = Journal.reading(root.database)
    try:
        registry = Registry(root, journal)
        version = registry.find(str(name))
        return loaded(registry.verified_bytes(version), version.card, version.sha256[:12])
    finally:
        journal.close()


def _from_file(path: Path) -> Predictor:
    try:
        data = path.read_bytes()
        card = embedded_card(data)
        if card is None:
            card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(
            f"the model file {error.filename} cannot be read ({error.strerror})",
            "a model carries its card, or has it beside it, the same name ending in .json",
        ) from error
    except (ValueError, RecursionError) as error:
        raise CheckFailed(
            f"{path} is no model file, or it is damaged ({error})",
            way_out="Export it again: aegis models export",
        ) from error
    return loaded(data, card, path.name)


def loaded(data: bytes, card: Mapping[str, Any], name: str) -> Predictor:
    """The predictor of these bytes. Raises ``CheckFailed`` unless they are the card's."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as read

    try:
        shape, schema = shape_of(dict(card)), schema_of(card)
        prepared = sound(read_preparation(card["preparation"]), schema)
        weights = shape.flat(read(data))
        site = (card.get("plan") or {}).get("data", {}).get("standardize") == "site"
        wanted = str(card["sha256"])
        unknown = {feature.column for feature in prepared.features} - set(schema.names)
        if unknown and schema.image is None:
            raise ValueError(f"its preparation names {min(unknown)}, its columns do not")
        if schema.classes and len(schema.classes) != shape.classes:
            raise ValueError(f"{len(schema.classes)} classes for {shape.classes} outputs")
        if isinstance(shape, Perceptron) and shape.inputs != len(prepared.features):
            raise ValueError(f"{len(prepared.features)} columns for {shape.inputs} inputs")
    except AegisError as error:
        raise CheckFailed(f"{name} does not fit its card ({error})") from error
    except (
        SafetensorError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
    ) as error:
        raise CheckFailed(
            f"{name} is no model file, or it is damaged ({error})",
            way_out="Export it again: aegis models export",
        ) from error
    found = hashlib.sha256(model_bytes(shape, weights)).hexdigest()
    if found != wanted:
        raise CheckFailed(
            f"the weights in {name} have the hash {found[:12]}",
            f"its card is that of {wanted[:12]}: one of them was changed or damaged",
            "Export it again: aegis models export",
        )
    local = not (site and isinstance(prepared, Preparation))
    return Predictor(wanted, card, schema, prepared, shape, weights, local)


def schema_of(card: Mapping[str, Any]) -> Schema:
    """The columns a card names; cards of older versions leave them to their task."""
    found = card.get("schema")
    if found is None:
        from aegis.tasks.task import find_task

        schema = find_task(card["task"]).schema
        if schema.sha256 != card["schema_sha256"]:
            raise DataError("an older version stored its card without the columns")
        return schema
    columns = tuple(
        column(**{**one, "categories": tuple(one["categories"])}) for one in found["columns"]
    )
    image = found.get("image")
    classes = tuple(found.get("classes") or ())
    return Schema(columns, None if image is None else Picture(**image), classes)


def embedded_card(data: bytes) -> dict[str, Any] | None:
    """The card inside a safetensors file, if it carries one. Raises ``ValueError`` for bytes that
    are no such file."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= length <= min(LARGEST_HEADER, len(data) - 8):
        raise ValueError("it has no safetensors header")
    header = json.loads(data[8 : 8 + length])
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    told = header.get("__metadata__") or {}
    said = told.get(EMBEDDED) if isinstance(told, dict) else None
    if said is None:
        return None
    if not isinstance(said, str) or hashlib.sha256(said.encode()).hexdigest() != told.get(DIGEST):
        raise ValueError("the card inside was changed")
    found: dict[str, Any] = json.loads(said)
    return found
