"""Ten thousand damaged envelopes: none taken, none that crashes, no memory kept; and what an
envelope costs."""

import random
import resource
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aegis import codec
from aegis.errors import EnvelopeRefused
from aegis.messages import Update
from aegis.transport.envelope import Expected
from aegis.transport.schemas import Array, Schema, misfit
from tests.transport.parties import REFUSAL, UPDATE, Parties, update
from tests.transport.test_envelope import ROUND, forged, mutated, sent

CASES = 10_000


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.fixture
def parties():
    with tempfile.TemporaryDirectory() as folder:
        made = Parties(Path(folder))
        yield made
        made.close()


def handed_in(parties, data, expected):
    """(taken, reason or kind of crash, seconds)"""
    began = time.perf_counter()
    try:
        _, message = parties["desk"].unseal(data, expected)
    except EnvelopeRefused as error:
        return None, error.reason, time.perf_counter() - began
    return message, "taken", time.perf_counter() - began


@pytest.mark.prove
def test_ten_thousand_mutations_on_the_road_are_all_refused(parties, measured):
    def how():
        whole, rng, counts, slowest = sent(parties), random.Random(16), {}, 0.0
        handed_in(parties, mutated(whole, rng), ROUND)
        before = peak_mib()
        for _ in range(CASES):
            _, reason, seconds = handed_in(parties, mutated(whole, rng), ROUND)
            counts[reason] = counts.get(reason, 0) + 1
            slowest = max(slowest, seconds)
        growth = peak_mib() - before
        return {"reasons": counts, "growth_mib": growth, "slowest_ms": 1e3 * slowest}

    found = measured("road", how)
    print(f"\n{found}")
    assert sum(found["reasons"].values()) == CASES
    assert "taken" not in found["reasons"]
    assert found["growth_mib"] < 50
    assert found["slowest_ms"] < 1000


@pytest.mark.prove
def test_ten_thousand_mutated_bodies_from_a_dishonest_hospital_do_no_harm(parties, measured):
    """Rightly signed and sealed, so only the body's own checks are left. What is still taken has
    the agreed form: other numbers, as a liar could have sent anyway."""

    def how():
        body, rng, counts, slowest = codec.dumps(update()), random.Random(16), {}, 0.0
        before = peak_mib()
        for _ in range(CASES):
            data = forged(parties, payload=mutated(body, rng))
            message, reason, seconds = handed_in(parties, data, ROUND)
            assert message is None or misfit(message, UPDATE) is None
            counts[reason] = counts.get(reason, 0) + 1
            slowest = max(slowest, seconds)
        growth = peak_mib() - before
        return {"reasons": counts, "growth_mib": growth, "slowest_ms": 1e3 * slowest}

    found = measured("bodies", how)
    print(f"\n{found}")
    assert sum(found["reasons"].values()) == CASES
    assert set(found["reasons"]) <= {"taken", "body", "mismatch"}
    assert found["growth_mib"] < 50
    assert found["slowest_ms"] < 1000


@pytest.mark.prove
@pytest.mark.parametrize("size", [31, 11_181_642])
def test_what_an_envelope_costs(parties, measured, size):
    """Beside writing and reading the same message bare. 11,181,642 is ResNet-18."""

    def how():
        form = Schema.of(
            Update, vector=Array(("float32",), (size,)), control=Array(("float32",), (size,))
        )
        expected = replace(ROUND, schemas=(form, REFUSAL))
        message = update(vector=np.random.default_rng(0).normal(size=size).astype(np.float32))
        assert isinstance(expected, Expected)
        sealing, opening, bare = [], [], []
        for _ in range(20 if size < 1000 else 5):
            began = time.perf_counter()
            data = parties["mercy"].seal(message, "desk", (form,))
            sealed = time.perf_counter()
            parties["desk"].unseal(data, expected)
            opened = time.perf_counter()
            codec.loads(codec.dumps(message), (Update,))
            sealing.append(sealed - began)
            opening.append(opened - sealed)
            bare.append(time.perf_counter() - opened)
        middle = statistics.median
        return {
            "bytes_more": len(data) - len(codec.dumps(message)),
            "seal_ms": 1e3 * middle(sealing),
            "unseal_ms": 1e3 * middle(opening),
            "bare_ms": 1e3 * middle(bare),
        }

    found = measured(f"cost of {size}", how)
    print(f"\n{size} numbers: {found}")
    assert found["bytes_more"] < 1000
    assert found["seal_ms"] + found["unseal_ms"] < 2000
