"""Sums come out exact whoever is lost on the way, or not at all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis import codec
from aegis.errors import BadInput, CheckFailed
from aegis.messages.stages import Masked, Unmask, Unmasked
from aegis.secagg import CLASSES, Encoding, Slot, combiner, opens, replayed, threshold
from aegis.secagg.sums import Aborted, Opening
from tests.secagg.sealed import STAGES, Federation, entropy_of, some_vectors, true_sum
from tests.secagg.trials import Trial


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**48))
def test_a_random_federation_sums_exactly_or_aborts_without_leaking(seed):
    trial = Trial(seed)
    trial.check(trial.play())


@pytest.mark.parametrize("stage", range(5))
@pytest.mark.parametrize("hospitals", [3, 4, 5, 8])
def test_as_many_as_may_be_lost_at_any_stage_and_not_one_more(hospitals, stage):
    to_spare = hospitals - threshold(hospitals)
    for losses in (to_spare, to_spare + 1):
        federation = Federation(hospitals)
        vectors = some_vectors(federation.names, 5, 1)
        lost = [[] for _ in STAGES]
        lost[stage] = federation.names[:losses]
        outcome = federation.run(vectors, lost)
        if losses > to_spare:
            assert isinstance(outcome, Aborted)
            assert f"{threshold(hospitals)} must have" in outcome.reason
        else:
            there = federation.names[losses:] if stage < 3 else federation.names
            assert outcome.survivors == tuple(there)
            assert np.array_equal(outcome.groups[0].vector, true_sum(vectors, there))


def test_an_abort_leaves_no_secret_with_t_of_its_shares():
    federation = Federation(8)
    outcome = federation.run(
        some_vectors(federation.names, 5, 1), [[], [], ["h000"], [], ["h001", "h002"]]
    )
    assert isinstance(outcome, Aborted)
    answers = [reply for _, reply in federation.told if isinstance(reply, Unmasked)]
    assert len(answers) == 5 == threshold(8) - 1


@pytest.mark.parametrize(
    ("n", "t"), [(3, 3), (4, 3), (5, 4), (8, 6), (16, 11), (50, 34), (100, 67)]
)
def test_thresholds_are_those_of_the_malicious_coordinator(n, t):
    assert threshold(n) == t


@pytest.mark.parametrize("n", [0, 1, 2, 129])
def test_federations_too_small_or_too_large_for_a_sealed_sum_are_refused(n):
    with pytest.raises(BadInput, match="it takes 3 to 128"):
        threshold(n)


def test_weighted_updates_and_their_weights_travel_in_one_vector():
    encoding = Encoding((Slot("update", 4, 2.0**10 * 8, 24), Slot("rows", 1, 2.0**10, 0)), 5)
    federation = Federation(5, options={"encoding": encoding})
    rng = np.random.default_rng(3)
    rows = rng.integers(10, 1000, 5)
    updates = np.rint(rng.normal(size=(5, 4)) * 2**20) / 2**20
    vectors = {
        name: encoding.encode({"update": u * n, "rows": np.array([n])})
        for name, u, n in zip(federation.names, updates, rows, strict=True)
    }
    opening = federation.run(vectors, [[], [], ["h002"], [], []])
    total = encoding.decode(opening.groups[0].vector)
    kept = [0, 1, 3, 4]
    assert total["rows"] == rows[kept].sum()
    assert np.array_equal(total["update"], (updates * rows[:, None])[kept].sum(0))


def test_every_state_survives_the_journal_and_none_keeps_one_hospitals_vector():
    federation = Federation(5)
    vectors = some_vectors(federation.names, 64, 9)
    written = []

    def kept(state):
        written.append(codec.dumps(state))
        return codec.loads(written[-1], CLASSES)

    opening = federation.run(vectors, [[], [], ["h001"], [], []], kept=kept)
    assert np.array_equal(opening.groups[0].vector, true_sum(vectors, opening.survivors))
    masked = [reply.vector for _, reply in federation.told if isinstance(reply, Masked)]
    assert len(masked) == 4
    for data in written:
        for vector in (*masked, *vectors.values()):
            assert vector[:8].tobytes() not in data
    assert [type(codec.loads(data, CLASSES)).__name__ for data in written] == [
        "Sharing",
        "Masking",
        "Confirming",
        "Unmasking",
        "Opening",
    ]


def test_the_same_request_again_gets_the_same_answer_byte_for_byte():
    federation = Federation(4)
    vectors = some_vectors(federation.names, 6, 2)
    twice = []

    def asked(stage, name, request):
        first, second = (federation.answer(name, request, vectors) for _ in range(2))
        twice.append(codec.dumps(first) == codec.dumps(second))
        return request

    opening = federation.run(vectors, asked=asked)
    assert isinstance(opening, Opening)
    assert len(twice) == 20
    assert all(twice)


def test_an_answer_stored_before_it_was_sent_is_given_again_after_a_restart():
    federation = Federation(4)
    vectors = some_vectors(federation.names, 6, 2)
    asked = {}

    def remember(stage, name, request):
        asked[stage, name] = request
        return request

    federation.run(vectors, asked=remember)
    one = federation.participants["h000"]
    request = asked["unmask", "h000"]
    assert isinstance(request, Unmask)
    again = replayed(one.answered, federation.context, request)
    assert codec.dumps(again) == codec.dumps(one.unmask(request))
    fewer = dict(list(request.confirmations.items())[:3])
    other = Unmask(**{**_fields(request), "confirmations": fewer})
    with pytest.raises(CheckFailed, match="second and different"):
        replayed(one.answered, federation.context, other)
    later = Federation(4, attempt=2).context
    with pytest.raises(CheckFailed):
        replayed(one.answered, later, request)


def _fields(message):
    return {name: getattr(message, name) for name in type(message).__slots__}


def test_nothing_is_stored_before_the_answer():
    assert Federation(3).participants["h000"].answered == b""


def test_what_was_handed_in_is_signed_and_can_be_opened_in_a_dispute():
    federation = Federation(4)
    vectors = some_vectors(federation.names, 6, 2)
    opening = federation.run(vectors)
    for name in federation.names:
        commitment = federation.participants[name].commitment
        assert opening.commitments[name] == (commitment.sha256, commitment.signature)
        assert opens(commitment, vectors[name], federation.context, name)
        changed = vectors[name].copy()
        changed[3] += np.uint64(1)
        assert not opens(commitment, changed, federation.context, name)
        assert not opens(commitment, vectors[name], Federation(4, attempt=2).context, name)


def test_secrets_are_gone_after_the_last_answer_and_never_shown():
    federation = Federation(3)
    federation.run(some_vectors(federation.names, 3, 1))
    one = federation.participants["h000"]
    assert one._secrets is None
    assert repr(one) == "Participant(h000, train round 1, attempt 1 of run)"
    assert repr(Federation(3).participants["h000"]._secrets) == "Secrets(...)"


def test_two_attempts_share_no_mask():
    vectors = {f"h{n:03}": np.zeros(100, np.uint64) for n in range(3)}
    seen = set()
    for attempt in (1, 2):
        federation = Federation(3, attempt=attempt, entropy=_same)
        federation.run(vectors)
        for _, reply in federation.told:
            if isinstance(reply, Masked):
                seen.update(reply.vector.tolist())
    assert len(seen) == 2 * 3 * 102


def _same(name):
    """Even with the same random bytes: the context is in every key."""
    return entropy_of(name)


def test_a_sum_beyond_what_the_checksum_holds_is_refused_at_the_start():
    wide = Encoding((Slot("wide", 1, 2.0**58, 0),), 8)
    with pytest.raises(BadInput, match="its checksum holds below"):
        Federation(4, options={"encoding": wide})
    few = Encoding((Slot("x", 1, 1.0, 8),), 3)
    with pytest.raises(BadInput, match="its encoding for 3"):
        Federation(4, options={"encoding": few})


@pytest.mark.parametrize(
    "vector",
    [
        np.zeros((2, 2), np.uint64),
        np.zeros(0, np.uint64),
        np.zeros(4, np.int64),
        np.zeros(4),
        np.zeros(4, np.uint16),
    ],
)
def test_a_vector_that_is_not_of_the_ring_is_refused(vector):
    federation = Federation(3)
    shares = {}

    def asked(stage, name, request):
        if stage == "mask":
            shares[name] = request.shares
        return request

    federation.run(some_vectors(federation.names, 3, 1), [[], [], ["h000"], [], []], asked=asked)
    one = federation.participants["h000"]
    with pytest.raises(BadInput):
        one.mask(vector, {})


def test_requests_name_everybody_who_is_asked():
    federation = Federation(4)
    state = combiner.begin(federation.context, federation.roster, length=2)
    asked = combiner.requests(state)
    assert set(asked) == set(federation.names)
    assert {request.hospitals for request in asked.values()} == {tuple(federation.names)}
