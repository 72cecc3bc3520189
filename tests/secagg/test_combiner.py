"""A hospital that answers wrongly is named and left out, and the others' sum still comes out."""

from dataclasses import replace

import numpy as np
import pytest

from aegis.errors import CheckFailed
from aegis.messages.learning import Refusal
from aegis.messages.stages import Advertised, Checked, Confirmed, Masked, Shared, Unmasked
from aegis.secagg import combiner, threshold
from aegis.secagg.sums import Aborted, Opening
from tests.secagg.sealed import STAGES, Federation, some_vectors, true_sum

LIAR = "h002"


def run(hospitals, stage, lie, liars=(LIAR,)):
    federation = Federation(hospitals)
    vectors = some_vectors(federation.names, 9, 3)

    def said(at, name, reply):
        return lie(reply) if at == stage and name in liars else reply

    return vectors, federation.run(vectors, said=said)


def first_of(mapping, change):
    name = sorted(mapping)[0]
    return {**mapping, name: change(mapping[name])}


WRONG = {
    "keys for another attempt": ("advertise", lambda r: replace(r, attempt=2), "another question"),
    "keys as somebody else": (
        "advertise",
        lambda r: replace(r, hospital="h007"),
        "another question",
    ),
    "a short key": ("advertise", lambda r: replace(r, mask_key=b"short"), "do not have 32 bytes"),
    "a forged signature": ("advertise", lambda r: replace(r, signature=bytes(64)), "did not sign"),
    "an empty signature": ("advertise", lambda r: replace(r, signature=b""), "did not sign"),
    "another message": (
        "advertise",
        lambda r: Confirmed(r.run, r.round, r.attempt, r.purpose, r.hospital, b""),
        "Confirmed where Advertised was due",
    ),
    "a refusal": (
        "advertise",
        lambda r: Refusal(r.run, r.round, r.hospital, "not today"),
        "not today",
    ),
    "no parcels": ("share", lambda r: replace(r, shares={}), "one for each peer"),
    "a parcel too many": (
        "share",
        lambda r: replace(r, shares={**r.shares, "x": b""}),
        "for each peer",
    ),
    "a cut parcel": (
        "share",
        lambda r: replace(r, shares=first_of(r.shares, lambda s: s[1:])),
        "bytes",
    ),
    "a short digest": ("share", lambda r: replace(r, seed_sha256=b""), "one for each peer"),
    "a short vector": ("mask", lambda r: replace(r, vector=r.vector[1:]), r"\(10,\) uint64"),
    "a vector of floats": ("mask", lambda r: replace(r, vector=r.vector.astype(float)), "float64"),
    "a vector of another ring": (
        "mask",
        lambda r: replace(r, vector=r.vector.astype(np.uint32)),
        "uint32",
    ),
    "a table": ("mask", lambda r: replace(r, vector=r.vector.reshape(1, -1)), r"\(1, 11\)"),
    "no commitment": ("mask", lambda r: replace(r, commitment=b""), "did not sign"),
    "another commitment": ("mask", lambda r: replace(r, commitment=bytes(32)), "did not sign"),
    "a forged confirmation": ("confirm", lambda r: replace(r, signature=bytes(64)), "this list"),
    "too few shares": ("unmask", lambda r: replace(r, self_shares={}), "others than those"),
    "a short share": (
        "unmask",
        lambda r: replace(r, self_shares=first_of(r.self_shares, lambda s: s[1:])),
        "66 bytes",
    ),
    "a wrong share": (
        "unmask",
        lambda r: replace(r, self_shares=first_of(r.self_shares, lambda s: bytes(65) + b"\1")),
        "does not fit those of the others",
    ),
    "a share beyond the field": (
        "unmask",
        lambda r: replace(r, self_shares=first_of(r.self_shares, lambda s: b"\xff" * 66)),
        "does not fit those of the others",
    ),
}


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_a_wrong_answer_is_attributed_and_treated_as_a_loss(case):
    stage, lie, sentence = WRONG[case]
    vectors, outcome = run(8, stage, lie)
    assert isinstance(outcome, Opening)
    assert [name for name, _ in outcome.blamed] == [LIAR]
    import re

    assert re.search(sentence, outcome.blamed[0][1])
    assert (LIAR in outcome.survivors) == (stage in ("confirm", "unmask"))
    total = outcome.groups[0].vector
    assert np.array_equal(total, true_sum(vectors, outcome.survivors))


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_wrong_answers_of_more_than_may_be_lost_abort_and_name_them_all(case):
    stage, lie, _ = WRONG[case]
    liars = [f"h{n:03}" for n in range(8 - threshold(8) + 1)]
    _, outcome = run(8, stage, lie, liars)
    if case in ("a wrong share", "a share beyond the field"):
        # Three lies about one secret of eight are too many to tell who lies.
        assert isinstance(outcome, Aborted)
        assert "do not fit together" in outcome.reason
    else:
        assert isinstance(outcome, Aborted)
        assert [name for name, _ in outcome.blamed] == liars
        assert "6 must have" in outcome.reason


def test_a_wrong_share_of_a_lost_hospitals_key_is_named_too():
    federation = Federation(8)
    vectors = some_vectors(federation.names, 9, 3)

    def said(at, name, reply):
        if at == "unmask" and name == LIAR:
            return replace(reply, mask_shares=first_of(reply.mask_shares, lambda s: bytes(66)))
        return reply

    outcome = federation.run(vectors, [[], [], ["h007"], [], []], said=said)
    assert dict(outcome.blamed) == {
        LIAR: "a share of h007's secret that does not fit those of the others"
    }
    assert np.array_equal(outcome.groups[0].vector, true_sum(vectors, federation.names[:7]))


def test_without_a_share_to_spare_a_wrong_one_aborts_and_nothing_wrong_is_published():
    _, outcome = run(3, *WRONG["a wrong share"][:2])
    assert isinstance(outcome, Aborted)
    assert outcome.reason == "the shares of h000's secret do not fit together"


def test_a_stolen_public_key_counts_against_whoever_repeats_it():
    """The coordinator checks what hospitals would refuse, so that one thief cannot stop a round."""
    federation = Federation(4)
    first = federation.participants["h000"].advertise()
    thief = federation.participants["h001"]
    own = thief.advertise()
    from aegis.secagg import DOMAIN, checks

    text = checks.advertised_text(
        federation.context, "h001", own.encryption_key, first.mask_key, own.reveal
    )
    stolen = replace(
        own, mask_key=first.mask_key, signature=federation.keys["h001"].sign(DOMAIN, text)
    )
    state = combiner.begin(federation.context, federation.roster, length=2)
    answers = {name: one.advertise() for name, one in federation.participants.items()}
    state = combiner.step(state, {**answers, "h001": stolen})
    assert [one.hospital for one in state.advertised] == ["h000", "h002", "h003"]
    assert state.blamed == (("h001", "a public key that is listed twice"),)


def test_answers_of_hospitals_that_were_not_asked_count_for_nothing():
    federation = Federation(4)
    state = combiner.begin(federation.context, federation.roster, length=2)
    answers = {name: one.advertise() for name, one in federation.participants.items()}
    state = combiner.step(state, {**answers, "h999": replace(answers["h000"], hospital="h999")})
    assert len(state.advertised) == 4
    assert not state.blamed


def test_a_parcel_that_does_not_open_makes_its_receiver_refuse_and_say_whose_it_was():
    federation = Federation(4)

    def said(at, name, reply):
        if at == "share" and name == LIAR:
            return replace(reply, shares=first_of(reply.shares, lambda s: bytes(len(s))))
        return reply

    vectors = some_vectors(federation.names, 9, 3)
    outcome = federation.run(vectors, said=said)
    assert outcome.survivors == ("h001", "h002", "h003")
    assert [name for name, _ in outcome.blamed] == ["h000"]
    assert f"the shares that came as {LIAR}'s" in outcome.blamed[0][1]


def test_silence_is_no_blame():
    federation = Federation(5)
    outcome = federation.run(some_vectors(federation.names, 3, 3), [[], ["h000"], [], [], []])
    assert not outcome.blamed


def test_a_coordinator_cannot_begin_with_another_roster_or_a_low_threshold():
    federation, other = Federation(4), Federation(5)
    with pytest.raises(CheckFailed, match="another roster"):
        combiner.begin(federation.context, other.roster, length=2)
    with pytest.raises(CheckFailed, match="a threshold of 2"):
        combiner.begin(federation.context, federation.roster, length=2, least=2)


def test_a_higher_threshold_by_plan_holds_on_both_sides():
    federation = Federation(5, options={"least": 5})
    outcome = federation.run(some_vectors(federation.names, 3, 3), [[], [], ["h000"], [], []])
    assert outcome == Aborted("4 of 5 hospitals handed in a masked vector, 5 must have (not: h000)")


def test_every_stage_has_its_reply():
    federation = Federation(3)
    opening = federation.run(some_vectors(federation.names, 3, 3))
    kinds = [Advertised, Shared, Masked, Confirmed, Unmasked]
    told = [type(reply) for _, reply in federation.told]
    assert told == [kind for kind in kinds for _ in range(3)]
    assert len(kinds) == len(STAGES)
    replies = federation.checked(opening)
    assert {type(reply) for reply in replies.values()} == {Checked}
    assert combiner.doubts(opening, replies) == ()
