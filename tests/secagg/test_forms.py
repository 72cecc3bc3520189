"""Whatever a message holds, the answer is a refusal or a blame, never a crash."""

import random
from dataclasses import fields, replace

import numpy as np
import pytest

from aegis.errors import CheckFailed
from aegis.messages.learning import Refusal
from aegis.messages.stages import Checked, Mask, StageReply
from aegis.secagg import combiner
from aegis.secagg.sums import Aborted, Opening
from tests.secagg.sealed import STAGES, Federation, some_vectors

JUNK = [
    None,
    -1,
    2**80,
    1.5,
    True,
    "",
    "\ud800",
    "h001",
    b"",
    bytes(32),
    bytes(66),
    (),
    ("h000", "h000"),
    ("\udfff",),
    (None, 3),
    {},
    {"h001": b""},
    {"h001": None},
    {3: b"x"},
    {"\ud800": b""},
    np.zeros(0),
    np.zeros((2, 3), np.uint64),
    np.zeros(11, ">u8"),
    np.array(["a", "b"]),
]


def mutated(message, rng):
    """One field, or a field of what is listed in it, holds something else."""
    names = [field.name for field in fields(message) if field.name != "inner"]
    name = rng.choice(names)
    value = getattr(message, name)
    if name == "advertised" and rng.random() < 0.7:
        at = rng.randrange(len(value))
        inside = mutated(value[at], rng)
        return replace(message, advertised=(*value[:at], inside, *value[at + 1 :]))
    if isinstance(value, dict) and value and rng.random() < 0.7:
        key = rng.choice(sorted(value))
        return replace(message, **{name: {**value, key: rng.choice(JUNK)}})
    return replace(message, **{name: rng.choice(JUNK)})


@pytest.mark.parametrize("stage", STAGES)
def test_no_malformed_request_crashes_a_hospital_or_gets_an_answer(stage):
    for seed in range(16):
        rng = random.Random(f"{stage} {seed}")
        federation = Federation(4)
        vectors = some_vectors(federation.names, 9, seed)
        outcomes = []

        def asked(
            at, name, request, federation=federation, vectors=vectors, rng=rng, kept=outcomes
        ):
            if at == stage and name == "h002" and at != "advertise":
                wrong = mutated(request, rng)
                while _same(wrong, request):
                    wrong = mutated(request, rng)
                if isinstance(request, Mask) and wrong.shares is request.shares:
                    return request  # the node looks at the rest
                kept.append(federation.answer(name, wrong, vectors))
            return request

        outcome = federation.run(vectors, asked=asked)
        assert isinstance(outcome, Opening)
        assert all(isinstance(reply, Refusal) for reply in outcomes if not _harmless(reply))


def _same(a, b):
    return repr(a) == repr(b)


def _harmless(reply):
    """An unmask whose only change is a confirmation too many, or one of three that went missing."""
    return type(reply).__name__ == "Unmasked"


@pytest.mark.parametrize("stage", STAGES)
def test_no_malformed_answer_crashes_the_coordinator(stage):
    for seed in range(16):
        rng = random.Random(f"{stage} {seed}")
        federation = Federation(4)
        vectors = some_vectors(federation.names, 9, seed)

        def said(at, name, reply, rng=rng):
            if at == stage and name == "h002" and isinstance(reply, StageReply):
                return mutated(reply, rng)
            return reply

        outcome = federation.run(vectors, said=said)
        assert isinstance(outcome, Opening | Aborted)
        if isinstance(outcome, Opening):
            total = sum(vectors[name] for name in outcome.survivors)
            assert np.array_equal(outcome.groups[0].vector, total)


@pytest.mark.parametrize("key", [bytes(32), b"\1" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"])
def test_a_key_with_which_nothing_is_secret_counts_against_its_hospital(key):
    """Else one hospital could make all others refuse."""
    from aegis.secagg import DOMAIN, checks

    federation = Federation(4)

    def said(stage, name, reply):
        if stage != "advertise" or name != "h002":
            return reply
        keys = reply.encryption_key, key
        text = checks.advertised_text(federation.context, name, *keys, reply.reveal)
        signature = federation.keys[name].sign(DOMAIN, text)
        return replace(reply, mask_key=key, signature=signature)

    outcome = federation.run(some_vectors(federation.names, 4, 1), said=said)
    assert outcome.blamed == (("h002", "a public key with which nothing is secret"),)
    assert outcome.survivors == ("h000", "h001", "h003")


def test_shares_that_are_not_bytes_by_hospital_are_refused():
    federation = Federation(3)
    one = federation.participants["h000"]
    federation.run(some_vectors(federation.names, 4, 1), [[], [], ["h000"], [], []])
    for wrong in (None, (), {"h001": None}, {3: b""}, {"\ud800": b""}):
        with pytest.raises(CheckFailed, match="not bytes by hospital"):
            one.mask(np.zeros(4, np.uint64), wrong)


def test_a_doubt_is_heard_from_the_hospital_itself_about_this_sum_only():
    federation = Federation(3)
    opening = federation.run(some_vectors(federation.names, 4, 1))
    doubt = Checked("run", 1, 1, "train", "h000", "x" * 1000)
    assert combiner.doubts(opening, {"h000": doubt}) == (("h000", "x" * 500),)
    for wrong in (
        replace(doubt, hospital="h001"),
        replace(doubt, attempt=2),
        replace(doubt, fault=None),
        replace(doubt, fault=""),
    ):
        assert combiner.doubts(opening, {"h000": wrong}) == ()
    assert combiner.doubts(opening, {"h999": replace(doubt, hospital="h999")}) == ()
