"""What a request holds, looked at before anything is done with it: kinds, shapes, finite numbers.

A number that is not finite, or a preparation that divides by nought, can make the answer depend on
single rows in ways that no noise covers: even a refusal would then tell something. So whatever a
coordinator may choose freely is looked at here, where no patient is in sight.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from aegis.errors import AegisError
from aegis.messages import Ask, Evaluate, Invite, Request, Settle, Statistics, Train, Witness
from aegis.messages.stages import (
    Advertise,
    Advertised,
    Confirm,
    Mask,
    Opened,
    Share,
    Stage,
    Unmask,
)
from aegis.tasks.bounded import Bounded, read_preparation
from aegis.tasks.image_features import ImageFeatures
from aegis.tasks.models import Model, model_sha256
from aegis.tasks.pixels import Pixels
from aegis.tasks.task import Schema

LARGEST = 1e12
LEAST_SCALE = 1e-12
LEAST_DEVIATION = 1e-6
MOST_TEXT = 1_000_000
LARGEST_LIST = 2**22
MOST_ROUNDS = 2**31
MOST_WORDS, LONGEST_WORD = 10_000, 200
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,99}")
_RESERVED = ("questions",)  # accounts of the ledger that are no run's
_SCORES = " scores"


def fault_of_name(run: Any) -> str | None:
    """Why this is no name of a run, or nothing: some names are accounts of the ledger."""
    if not isinstance(run, str) or not _RUN.fullmatch(run):
        return "the run has no name of up to 100 letters, digits, dots, dashes and spaces"
    if run in _RESERVED or run.endswith(_SCORES):
        return f"a run cannot be called {run}: the ledger keeps that name for itself"
    return None


def _fault_of_kinds(request: Request) -> str | None:
    """Which field is not of the kind it should be, or nothing."""
    wrong = [name for name, good in _kinds(request) if not good]
    return f"the {wrong[0]} in this request is not of its kind" if wrong else None


def _kinds(request: Request) -> list[tuple[str, bool]]:
    found = [
        ("plan hash", isinstance(request.plan_sha256, str)),
        ("round", _whole(request.round)),
    ]
    match request:
        case Invite():
            text = request.plan_json
            found.append(("plan", isinstance(text, str) and len(text) <= MOST_TEXT))
            listed = request.members
            found.append(
                ("list of members", isinstance(listed, str) and len(listed) <= LARGEST_LIST)
            )
        case Ask():
            found += [
                ("question", isinstance(request.question_json, str)),
                ("epsilon", _number(request.epsilon)),
                ("delta", _number(request.delta)),
            ]
        case Statistics():
            found += [
                ("vocabulary", request.vocabulary is None or _words(request.vocabulary)),
                ("number of examples", _whole(request.total_examples)),
                ("number of hospitals", _whole(request.hospitals)),
            ]
        case Train():
            found += [
                ("learning rate", _number(request.learning_rate)),
                ("number of examples", _whole(request.total_examples)),
                ("number of hospitals", _whole(request.hospitals)),
                ("preparation", _text(request.preparation)),
                ("weights", _vector(request.weights)),
                ("control variate", request.control is None or _vector(request.control)),
            ]
        case Evaluate():
            found += [
                ("part", isinstance(request.part, str)),
                ("wish for groups", isinstance(request.groups, bool)),
                ("preparation", _text(request.preparation)),
                ("weights", _vector(request.weights)),
            ]
        case Settle():
            pass
        case Witness():
            found += [
                ("checkpoint", _text(request.checkpoint)),
                ("size", _whole(request.since) and _whole(request.number)),
                ("proof", _hashes(request.consistency) and _hashes(request.inclusion)),
                ("entry", isinstance(request.closed, bytes)),
            ]
        case _:
            found += [
                ("round", _whole(request.round) and 0 <= request.round < MOST_ROUNDS),
                ("attempt", _whole(request.attempt) and 0 <= request.attempt < MOST_ROUNDS),
                ("purpose", isinstance(request.purpose, str)),
                *_of_stage(request),
            ]
    return found


def _of_stage(stage: Stage) -> list[tuple[str, bool]]:
    match stage:
        case Advertise():
            return [
                ("list of hospitals", _names(stage.hospitals)),
                ("list of anchors", _bytes_by_name(stage.anchors)),
                ("digest of the question", isinstance(stage.question, bytes)),
            ]
        case Share():
            keys = stage.advertised
            good = isinstance(keys, tuple) and all(isinstance(one, Advertised) for one in keys)
            return [("list of keys", good)]
        case Mask():
            good = isinstance(stage.inner, Statistics | Train | Evaluate)
            return [("question inside", good), ("list of shares", _bytes_by_name(stage.shares))]
        case Confirm():
            return [("list of hospitals", _names(stage.survivors))]
        case Unmask():
            return [("list of signatures", _bytes_by_name(stage.confirmations))]
        case Opened():
            total = stage.total
            good = isinstance(total, np.ndarray) and total.ndim == 1 and total.dtype.kind == "u"
            return [("opened sum", good), ("list of hospitals", _names(stage.survivors))]


@dataclass(frozen=True)
class Contents:
    """``malformed`` is what keeps a request from being one, ``fault`` what is wrong with its
    numbers; ``digest`` names what it asks, where it sends weights."""

    malformed: str | None
    fault: str | None = None
    digest: str = ""


_last: tuple[Request, Contents] | None = None


def inspected(request: Request) -> Contents:
    """All hospitals of one process are asked with one and the same value, so the last one is
    remembered."""
    global _last
    last = _last
    if last is not None and last[0] is request:
        return last[1]
    found = Contents(fault_of_name(request.run) or _fault_of_kinds(request))
    if found.malformed is None and isinstance(request, Train | Evaluate):
        found = _contents(request)
    _last = request, found
    return found


_hashed: tuple[Train, Model, str] | None = None


def starting_model(request: Train, model: Model) -> str:
    """The hash of the model that a request starts from; the last one is remembered, as above."""
    global _hashed
    last = _hashed
    if last is not None and last[0] is request and last[1] == model:
        return last[2]
    found = model_sha256(model, request.weights)
    _hashed = request, model, found
    return found


def _contents(request: Train | Evaluate) -> Contents:
    digest = hashlib.blake2b(digest_size=16)
    rate = request.learning_rate if isinstance(request, Train) else 0.0
    control = request.control if isinstance(request, Train) else None
    head = f"{type(request).__name__}|{rate!r}|{control is None}|{request.weights.dtype.str}|"
    digest.update(f"{head}{len(request.preparation)}|{request.preparation}".encode())
    fault = None
    for what, vector in (("weights", request.weights), ("control variate", control)):
        if vector is not None:
            digest.update(np.ascontiguousarray(vector).tobytes())
            fault = fault or _fault_of_vector(what, vector)
    return Contents(None, fault, digest.hexdigest())


def _fault_of_vector(what: str, vector: Any) -> str | None:
    exact = np.asarray(vector, dtype=np.float64)
    if not np.isfinite(exact).all():
        return f"the {what} hold a number that is not finite"
    largest = float(np.abs(exact).max(initial=0.0))
    if largest > LARGEST:
        return f"the {what} hold the number {largest:.3g}, above {LARGEST:.0e}"
    return None


@lru_cache(maxsize=16)
def fault_of_preparation(schema: Schema, text: str) -> str | None:
    """Why this preparation does not belong to a table of this kind, or nothing."""
    try:
        prepared = read_preparation(text)
    except AegisError as error:
        return str(error)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return "the preparation in this request cannot be read"
    if schema.image is not None or isinstance(prepared, ImageFeatures | Pixels):
        if isinstance(prepared, Pixels) and prepared.image == schema.image:
            return None
        if schema.image is not None and prepared == ImageFeatures.of(schema.image):
            return None
        return "the preparation is not that of this hospital's images"
    if isinstance(prepared, Bounded):
        return _fault_of_bounds(schema, prepared)
    if len(prepared.features) > MOST_WORDS:
        return f"the preparation makes {len(prepared.features)} columns of a table"
    return next(filter(None, (_fault_of_feature(schema, f) for f in prepared.features)), None)


def _fault_of_bounds(schema: Schema, prepared: Bounded) -> str | None:
    def public(columns: Any) -> list[tuple[Any, ...]]:
        return [(c.name, c.kind, c.low, c.high, c.categories, c.may_miss) for c in columns]

    if public(prepared.columns) != public(schema.columns):
        return "the preparation has other bounds than those of this hospital's table"
    means, deviations = prepared.means, prepared.deviations
    if len(means) != len(deviations) or (means and len(means) != len(prepared.features)):
        return "the preparation has not one mean and one deviation for each column"
    good = all(_finite(mean) and abs(mean) <= LARGEST for mean in means)
    if not good or not all(_finite(sd) and sd >= LEAST_DEVIATION for sd in deviations):
        return "the preparation holds a mean or a deviation that no column has"
    return None


def _fault_of_feature(schema: Schema, feature: Any) -> str | None:
    if feature.column not in schema.names:
        return "the preparation is about a column that this hospital's table does not have"
    of_words = schema[feature.column].kind == "category"
    if not isinstance(feature.name, str) or not isinstance(feature.missing, bool):
        return "the preparation in this request cannot be read"
    if feature.category is not None:
        good = of_words and isinstance(feature.category, str) and not feature.missing
        return None if good else "the preparation asks a column for words that it does not hold"
    if feature.missing:
        return None
    if of_words:
        return "the preparation asks a column of words for numbers"
    known = _finite(feature.centre) and _finite(feature.scale)
    if not known or abs(feature.centre) > LARGEST or abs(feature.scale) < LEAST_SCALE:
        return "the preparation scales a column by what is no number, or by nought"
    return None


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(value: Any) -> bool:
    return _number(value) and abs(value) < math.inf


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MOST_TEXT


def _hashes(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(h, bytes) and len(h) == 32 for h in value)


def _names(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(name, str) for name in value)


def _bytes_by_name(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    return all(isinstance(k, str) and isinstance(v, bytes) for k, v in value.items())


def _vector(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind == "f"


def _words(vocabulary: Any) -> bool:
    if not isinstance(vocabulary, Mapping):
        return False
    lists = list(vocabulary.values())
    if not all(isinstance(words, tuple) for words in lists):
        return False
    every = [*vocabulary, *(word for words in lists for word in words)]
    good = all(isinstance(word, str) and len(word) <= LONGEST_WORD for word in every)
    return good and len(every) <= MOST_WORDS
