"""What a message must look like: the digest that travels, and the fault that is named."""

import dataclasses
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import BadInput
from aegis.messages import Reply, Request, Scores, Tally, Train, Update
from aegis.messages.stages import Advertised, Mask, Masked, Share
from aegis.transport.schemas import SLACK, Array, Schema, misfit
from tests.transport.parties import UPDATE, train, update

KINDS = (*get_args(Request), *get_args(Reply))


@pytest.mark.parametrize("kind", KINDS)
def test_every_message_that_travels_has_a_schema_of_its_own(kind):
    digests = [Schema.of(other).sha256 for other in KINDS]
    assert digests.count(Schema.of(kind).sha256) == 1
    assert kind in Schema.of(kind).classes


def test_the_digest_tells_shapes_types_and_fields_apart():
    digests = {
        Schema.of(Update).sha256,
        UPDATE.sha256,
        Schema.of(Update, vector=Array(("float32",), (5,))).sha256,
        Schema.of(Update, vector=Array(("float32",), (6,))).sha256,
        Schema.of(Update, vector=Array(("float64",), (5,))).sha256,
        Schema.of(Update, vector=Array(("float32", "float64"), (None,))).sha256,
        Schema.of(Train).sha256,
    }
    assert len(digests) == 7
    fields = [(f.name, f.type, f) for f in dataclasses.fields(Update)]
    longer = dataclasses.make_dataclass("Update", [*fields, ("extra", "int", 0)], frozen=True)
    longer.__module__ = Update.__module__
    assert Schema.of(longer).sha256 not in digests


def test_the_digest_of_a_class_is_frozen_by_what_it_says():
    """Two processes, two versions of Python: one digest."""

    @dataclasses.dataclass(frozen=True)
    class Said:
        run: str
        numbers: tuple[int, ...]

    import hashlib

    text = "aegis/schema/v1\nSaid(run: str, numbers: list of int)"
    assert Schema.of(Said).sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_the_most_bytes_follow_from_the_shapes():
    assert UPDATE.limit == SLACK + 5 * 4 + 5 * 4
    assert Schema.of(Update).limit > 2**26
    ring = Schema.of(Masked, vector=Array(("uint64",), (1000,)))
    assert ring.limit == SLACK + 8000


def test_a_path_that_leads_to_no_array_is_refused():
    with pytest.raises(BadInput, match="no array run"):
        Schema.of(Update, run=Array(("float32",)))
    Schema.of(Mask, inner__weights=Array(("float64",), (7,)))


@given(st.integers(0, 12), st.sampled_from(["float32", "float64", "int64", "uint8", "bool"]))
@settings(max_examples=200)
def test_only_the_exact_length_and_type_fit(length, dtype):
    fault = misfit(update(vector=np.zeros(length, dtype)), UPDATE)
    assert (fault is None) == (length == 5 and dtype == "float32")


@pytest.mark.parametrize(
    ("message", "kind", "fault"),
    [
        (update(vector=[1.0]), Update, "Update.vector is list, expected is array of float32 or"),
        (update(vector=np.array([np.nan])), Update, "Update.vector holds a number that is not"),
        (update(control=3), Update, "Update.control is int, expected is array"),
        (update(metrics={"loss": "low"}), Update, "Update.metrics['loss'] is 'low'"),
        (update(metrics={7: 1.0}), Update, "a key of Update.metrics is int, expected is str"),
        (update(metrics=[]), Update, "Update.metrics is list, expected is mapping"),
        (update(round=2**60), Update, "Update.round is beyond 2^53"),
        (update(run=b"run"), Update, "Update.run is bytes, expected is str"),
        (train(), Update, "Update is Train, expected is Update"),
        (Scores("r", 1, "h", np.zeros((2, 3)), 0.5, 3), Scores, "Scores.histogram holds float64"),
        (
            Scores("r", 1, "h", np.zeros((2, 3), np.int64), float("inf"), 3),
            Scores,
            "Scores.loss_sum is not finite",
        ),
        (
            Tally("r", 0, "h", np.zeros(3), 3, {"sex": ("f", 1)}),
            Tally,
            "Tally.vocabulary['sex'][1] is int",
        ),
        (
            Masked("r", 1, 1, "training", "h", np.zeros(2, np.uint64)),
            Masked,
            "Masked.purpose is 'training', expected is 'statistics' or",
        ),
        (Masked("r", 1, 1, "train", "h", np.zeros(2)), Masked, "Masked.vector holds float64"),
        (
            Mask("r", "p", 1, 1, "train", update(), {}),
            Mask,
            "Mask.inner is Update, expected is Train or",
        ),
        (
            Mask("r", "p", 1, 1, "train", train(round="3"), {}),
            Mask,
            "Mask.inner.round is '3', expected is int",
        ),
        (
            Share(
                "r", "p", 1, 1, "train", (Advertised("r", 1, 1, "train", "h", b"", b"", "", b""),)
            ),
            Share,
            "Share.advertised[0].reveal is '', expected is bytes",
        ),
    ],
)
def test_the_fault_names_the_place_and_the_need(message, kind, fault):
    assert (misfit(message, Schema.of(kind)) or "").startswith(fault)


def test_what_is_right_fits():
    for message in (
        update(metrics={"loss": 1, "auc": 0.5}, control=np.zeros(5)),
        train(),
        Scores("r", 1, "h", np.zeros((2, 3), np.int64), None, 3),
        Tally("r", 0, "h", np.zeros(3), 3, {"sex": ("f", "m")}),
        Mask("r", "p", 1, 1, "train", train(), {"a": b"x"}),
        Masked("r", 1, 1, "train", "h", np.zeros(2, np.uint32)),
    ):
        assert misfit(message, Schema.of(type(message))) is None
    inner = Schema.of(Mask, inner__weights=Array(("float32",), (5,)))
    assert misfit(Mask("r", "p", 1, 1, "train", train(), {}), inner) is None
    wrong = Schema.of(Mask, inner__weights=Array(("float32",), (6,)))
    assert "expected is (6)" in misfit(Mask("r", "p", 1, 1, "train", train(), {}), wrong)
