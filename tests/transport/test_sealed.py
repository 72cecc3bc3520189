"""A federation over sealed envelopes: the same model, and a courier who learns nothing."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from aegis.errors import EnvelopeRefused
from aegis.hospital.site import VolatileMemory
from aegis.messages import Absence, Refusal, Train, Update
from aegis.plan import load_plan
from aegis.simulation.federation import Federation
from aegis.simulation.sealed_road import sealed_road
from aegis.simulation.stacked import StackedHospitals
from aegis.store.journal import Forgetful
from aegis.transport.sealed import Capture, SealedInProcess
from aegis.transport.transport import InProcess
from aegis.wiring import federate
from tests.transport.parties import NOW, Parties, train, update


class Hospital:
    """Answers every request with one update."""

    def __init__(self, name, spoil=lambda reply: reply):
        self.name, self.spoil, self.heard = name, spoil, []

    def answer(self, request):
        self.heard.append(request)
        return self.spoil(update(self.name, request.run, request.round))


@pytest.fixture
def parties(tmp_path):
    made = Parties(tmp_path)
    yield made
    made.close()


def road(parties, courier=None, told=None, **nodes):
    hospitals = {name: parties[name] for name in ("mercy", "other")}
    found = {"mercy": Hospital("mercy"), "other": Hospital("other"), **nodes}
    hear = None if told is None else lambda by, error: told.append((by, error.reason, error.sender))
    inside = InProcess(found)
    return found, SealedInProcess(inside, parties["desk"], hospitals, courier, refused=hear)


def ask(way, round=3):
    return way.ask({name: train(round=round) for name in ("mercy", "other")}, None)


def test_requests_and_replies_cross_the_road_in_envelopes_only(parties):
    courier = Capture()
    nodes, way = road(parties, courier)
    answers = ask(way)
    assert all(type(answers[name]) is Update for name in nodes)
    (heard,) = nodes["mercy"].heard
    assert type(heard) is Train
    assert np.array_equal(heard.weights, train().weights)
    assert [(src, dst) for src, dst, _ in courier.seen] == [
        ("desk", "mercy"),
        ("desk", "other"),
        ("mercy", "desk"),
        ("other", "desk"),
    ]
    for _, _, data in courier.seen:
        assert data.startswith(b"AEGS")
        assert train().weights.tobytes() not in data
        assert update().vector.tobytes() not in data
    assert way.hospitals() == ("mercy", "other")


class Meddling(Capture):
    """Does something to every envelope from ``src``; ``what`` gives what arrives."""

    def __init__(self, src, what):
        super().__init__()
        self.src, self.what = src, what

    def carry(self, src, dst, data):
        super().carry(src, dst, data)
        return self.what(data, self) if src == self.src else (data,)


def flipped(data, courier):
    return (data[:-1] + bytes([data[-1] ^ 1]),)


@pytest.mark.parametrize(
    ("src", "what", "told", "answered"),
    [
        ("mercy", flipped, ("desk", "signature", None), False),
        ("desk", flipped, ("mercy", "signature", None), False),
        ("mercy", lambda data, _: (), None, False),
        ("desk", lambda data, _: (), None, False),
        ("mercy", lambda data, _: (data, data, data), None, True),
        ("desk", lambda data, _: (data, data), None, True),
        ("mercy", lambda data, _: (b"", data), ("desk", "truncated", None), True),
        ("mercy", lambda data, courier: (courier.seen[0][2],), ("desk", "recipient", None), False),
        ("mercy", lambda data, _: (bytes(2**28),), ("desk", "too_large", None), False),
    ],
)
def test_whatever_the_courier_does_is_noticed_or_does_not_matter(
    parties, src, what, told, answered
):
    heard = []
    nodes, way = road(parties, Meddling(src, what), heard)
    answers = ask(way)
    assert (type(answers["mercy"]) is Update) == answered
    assert isinstance(answers["mercy"], Update | Absence)
    assert type(answers["other"]) is Update or src == "desk"
    assert told is None or heard[0] == told
    assert len(nodes["mercy"].heard) <= 1


def test_yesterdays_envelopes_are_refused_today(parties):
    old, heard = Capture(), []
    _, way = road(parties, old)
    ask(way, round=3)
    recorded = next(data for src, dst, data in old.seen if (src, dst) == ("mercy", "desk"))
    _, way = road(parties, Meddling("mercy", lambda data, _: (recorded, data)), heard)
    assert type(ask(way, round=4)["mercy"]) is Update
    assert heard == [("desk", "unexpected", "mercy")]
    heard.clear()
    assert type(ask(way, round=3)["mercy"]) is Update
    assert heard == [("desk", "replayed", "mercy")]


def test_a_hospital_is_revoked_between_two_messages(parties):
    _, way = road(parties)
    assert type(ask(way)["mercy"]) is Update
    members = parties.directory.membership
    parties.directory.membership = members.revoked_member("mercy", "laptop stolen", int(NOW))
    answers = ask(way, round=4)
    assert answers["mercy"] == Absence("mercy", "nothing is sent to mercy: laptop stolen")
    assert type(answers["other"]) is Update


def test_a_hospital_revoked_while_it_computes_is_not_counted(parties):
    class Late(Hospital):
        def answer(self, request):
            members = parties.directory.membership
            parties.directory.membership = members.revoked_member("mercy", "stolen", int(NOW))
            return super().answer(request)

    heard = []
    _, way = road(parties, None, heard, mercy=Late("mercy"))
    answers = ask(way)
    assert heard == [("desk", "revoked", "mercy")]
    assert "its answer was refused: mercy: the key of mercy was revoked" in answers["mercy"].reason


@pytest.mark.parametrize(
    "spoil",
    [
        lambda reply: replace(reply, vector=np.full(5, np.nan, np.float32)),
        lambda reply: replace(reply, examples="many"),
        lambda reply: train(),
    ],
)
def test_an_answer_that_may_not_be_sent_becomes_a_refusal_with_its_reason(parties, spoil):
    _, way = road(parties, mercy=Hospital("mercy", spoil))
    answers = ask(way)
    assert type(answers["mercy"]) is Refusal
    assert answers["mercy"].reason


def test_an_answer_in_another_hospitals_name_is_laid_at_its_door(parties):
    heard = []
    liar = Hospital("mercy", lambda reply: replace(reply, hospital="other"))
    _, way = road(parties, None, heard, mercy=liar)
    assert type(ask(way)["mercy"]) is Absence
    assert heard == [("desk", "mismatch", "mercy")]


def test_without_a_listener_refusals_are_logged(parties, caplog):
    _, way = road(parties, Meddling("mercy", flipped))
    with caplog.at_level(logging.WARNING, "aegis"):
        ask(way)
    assert "desk refused an envelope (signature)" in caplog.text


def test_a_hospital_that_is_not_there_is_absent(parties):
    _, way = road(parties)
    assert way.ask({"nobody": train()}, None) == {
        "nobody": Absence("nobody", "no such hospital on this road")
    }


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize(("trust", "hybrid"), [("open", False), ("masked", False), ("open", True)])
def test_a_federation_ends_with_the_same_model_as_on_a_plain_road(trust, hybrid, stacked):
    keys = {"task": "breast_cancer", "federated.num_rounds": "2", "federated.num_clients": "3"}
    plan = load_plan(None, {**keys, "trust": trust, "privacy.enabled": "false"}).plan
    federation = Federation.of(plan, None)
    plain = InProcess(federation.nodes(VolatileMemory()))
    wanted = federate(federation.study, "run", plain, Forgetful()).progress.weights
    courier = Capture()

    def told(by, error: EnvelopeRefused):
        raise AssertionError(f"{by}: {error}")

    nodes = federation.nodes(VolatileMemory())
    inside = StackedHospitals(nodes) if stacked else None
    way = sealed_road(plan, nodes, courier, inside=inside, hybrid=hybrid, refused=told)
    done = federate(federation.study, "run", way, Forgetful())
    assert np.array_equal(done.progress.weights, wanted)
    assert len(courier.seen) >= 2 * 3 * (1 + 1 + 2)
    assert not any(wanted.tobytes() in data for _, _, data in courier.seen)
