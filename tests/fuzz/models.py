"""A model file from somebody else, loaded and asked for predictions.

The card inside gets its digest back, so that the card's contents are looked at.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from functools import cache
from random import Random
from typing import Any

import numpy as np

from aegis.store.exporting import as_table, with_card
from aegis.store.predictor import DIGEST, EMBEDDED, ModelWarning, load
from aegis.tasks.bounded import Bounded
from tests.fuzz.codecs import closed, of_header, opened
from tests.fuzz.harness import Harness, in_file, replay
from tests.fuzz.mutations import changed, of_bytes, one_of
from tests.store.test_predictor import SCHEMA, made

PATIENTS = b"Age;SEX;pain;ca;note\n63,5;yes;typical;;x\n41;no;none;2;y\n"


@cache
def seeds() -> list[bytes]:
    bounded = Bounded.of(SCHEMA)
    found = [made(), made((4,)), made(outputs=3), made(preparation=bounded)]
    return [with_card(model, weights, json.dumps(card)) for _, model, weights, card in found]


def of_card(rng: Random, data: bytes, seeds: Any) -> bytes:
    try:
        header, rest = opened(data)
        card = json.loads(header["__metadata__"][EMBEDDED])
        if rng.random() < 0.3:
            card["preparation"] = json.dumps(changed(rng, json.loads(card["preparation"])))
        elif rng.random() < 0.4:
            card["model"] = changed(rng, card["model"])
        else:
            card = changed(rng, card)
        text = json.dumps(card)
    except (ValueError, LookupError, TypeError, RecursionError):
        return of_bytes(rng, data, seeds)
    header["__metadata__"][EMBEDDED] = text
    header["__metadata__"][DIGEST] = hashlib.sha256(text.encode()).hexdigest()
    return closed(header, rest)


def take(data: bytes) -> object:
    table = in_file(PATIENTS, "patients.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        model = load(in_file(data, "model.safetensors"))
        found = model.predict_proba(table)
        return repr(model), as_table(model, found), np.isfinite(found).all()


HARNESS = Harness("models", take, seeds, one_of(of_card, of_card, of_header, of_bytes))

if __name__ == "__main__":
    replay(HARNESS)
