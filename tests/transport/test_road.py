from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from aegis.errors import RoadClosed
from aegis.hospital.serving import Serving
from aegis.identity.identity import Identity
from aegis.identity.membership import Membership
from aegis.messages import Absence, Enrolled, Invite, Refusal
from aegis.simulation.sealed_road import Counting, Remembering
from aegis.transport.carrier import Queues
from aegis.transport.forms import replies_to
from aegis.transport.road import Road
from aegis.transport.sealed import Party

NAMES = ("east", "north", "west")
INVITE = Invite("run-1", "0" * 64, "{}")


class Node:
    """Enrols in every run, and counts how often it was asked."""

    def __init__(self, name: str) -> None:
        self.name, self.asked, self.seconds, self.listed = name, 0, 0.0, ""

    def answer(self, request):
        self.asked += 1
        self.listed = getattr(request, "members", "")
        time.sleep(self.seconds)
        if request.plan_json == "broken":
            raise RuntimeError("a patient's value: 4711")
        return Enrolled(request.run, request.round, self.name, 10, 5, "1" * 64)


class Federation:
    def __init__(self) -> None:
        self.identities = {n: Identity.generate(n) for n in ("coordinator", *NAMES)}
        members = Membership("test")
        for name, identity in self.identities.items():
            role = "coordinator" if name == "coordinator" else "hospital"
            members = members.admitted(identity.public, role)
        self.members = members
        self.queues, self.stop, self.closing = Queues(), threading.Event(), threading.Event()
        self.nodes = {name: Node(name) for name in NAMES}
        self.threads: list[threading.Thread] = []
        self.refused: list[str] = []
        self.road = Road(
            self.party("coordinator"),
            self.queues,
            lambda: NAMES,
            listed=lambda: "the list",
            refused=lambda party, error: self.refused.append(error.reason),
            closing=self.closing,
        )

    def party(self, name: str, identity: Identity | None = None) -> Party:
        found = identity or self.identities[name]
        return Party(found, self.members, Remembering(), Counting())

    def serve(self, *names: str, party: Party | None = None) -> None:
        for name in names:
            serving = Serving(
                self.nodes[name],
                party or self.party(name),
                self.queues.line(name),
                "coordinator",
                replies_to,
            )
            serving.once(0.0)  # it is there from now on
            thread = threading.Thread(target=self._run, args=(serving,), daemon=True)
            thread.start()
            self.threads.append(thread)

    def _run(self, serving: Serving) -> None:
        while not self.stop.is_set():
            serving.once(0.05)


@pytest.fixture
def federation():
    found = Federation()
    yield found
    found.stop.set()
    for thread in found.threads:
        thread.join(5)


def ask(federation, deadline_s=5.0, names=NAMES, request=INVITE):
    return federation.road.ask(dict.fromkeys(names, request), deadline_s)


def test_everybody_who_is_there_answers_and_hears_the_list_of_members(federation):
    federation.serve(*NAMES)
    answers = ask(federation)
    assert {name: answer.hospital for name, answer in answers.items()} == {n: n for n in NAMES}
    assert {node.listed for node in federation.nodes.values()} == {"the list"}
    assert federation.road.hospitals() == NAMES


def test_the_dead_cost_one_deadline_and_not_one_for_each_question(federation):
    federation.serve("east", "north")
    begun = time.monotonic()
    first = ask(federation, 0.6)
    assert isinstance(first["west"], Absence)
    assert time.monotonic() - begun >= 0.6
    begun = time.monotonic()
    second = ask(federation, 30.0)
    assert time.monotonic() - begun < 5
    assert isinstance(second["west"], Absence)
    assert isinstance(second["east"], Enrolled)


def test_who_comes_back_before_the_deadline_is_asked(federation):
    federation.serve("east", "north")
    timer = threading.Timer(0.5, federation.serve, ("west",))
    timer.start()
    answers = ask(federation, 10.0)
    assert all(isinstance(answer, Enrolled) for answer in answers.values())


def test_who_was_lost_is_asked_again_once_it_is_there(federation):
    federation.serve("east", "north")
    ask(federation, 0.3)
    federation.serve("west")
    assert isinstance(ask(federation)["west"], Enrolled)


def test_a_question_that_is_asked_again_is_answered_without_work(federation):
    federation.serve(*NAMES)
    first, second = ask(federation), ask(federation)
    assert first == second
    assert {node.asked for node in federation.nodes.values()} == {1}


def test_a_lost_question_is_sent_again(federation):
    federation.serve(*NAMES)
    sent, lost = federation.queues.send, []

    def losing(hospital, data):
        if hospital == "north" and not lost:
            lost.append(data)
        else:
            sent(hospital, data)

    federation.queues.send = losing
    answers = ask(federation, 10.0)
    assert lost
    assert isinstance(answers["north"], Enrolled)


def test_a_stranger_who_speaks_for_a_hospital_is_refused_and_the_waiting_goes_on(federation):
    stranger = Identity.generate("west")
    federation.serve("east", "north")
    federation.serve("west", party=federation.party("west", stranger))
    answers = ask(federation, 1.0)
    assert isinstance(answers["west"], Absence)
    assert isinstance(answers["east"], Enrolled)


def test_the_courier_cannot_exchange_two_hospitals_answers(federation):
    federation.serve(*NAMES)
    bring = federation.queues._bring
    names = {"east": "west", "west": "east"}
    federation.queues._bring = lambda hospital, data: bring(names.get(hospital, hospital), data)
    answers = ask(federation, 1.0)
    assert isinstance(answers["east"], Absence)
    assert isinstance(answers["north"], Enrolled)


def test_noise_on_the_road_stops_nobody(federation):
    federation.serve(*NAMES)
    for data in (b"", b"AEGS", b"\0" * 100_000):
        federation.queues._bring("north", data)
        federation.queues.send("north", data)
    assert all(isinstance(answer, Enrolled) for answer in ask(federation).values())


def test_a_node_that_fails_refuses_without_saying_a_value_and_lives_on(federation):
    federation.serve(*NAMES)
    broken = replace(INVITE, plan_json="broken", run="run-2")
    answers = ask(federation, request=broken)
    assert all(isinstance(answer, Refusal) for answer in answers.values())
    assert "4711" not in str(answers)
    assert all(isinstance(answer, Enrolled) for answer in ask(federation).values())


def test_an_answer_that_comes_too_late_answers_nothing(federation):
    federation.serve(*NAMES)
    federation.nodes["west"].seconds = 0.8
    assert isinstance(ask(federation, 0.3)["west"], Absence)
    time.sleep(1.0)
    federation.nodes["west"].seconds = 0.0
    later = replace(INVITE, run="run-2")
    assert ask(federation, request=later)["west"].run == "run-2"


def test_a_process_that_ends_leaves_the_question_open(federation):
    federation.serve("east")
    timer = threading.Timer(0.3, federation.closing.set)
    timer.start()
    with pytest.raises(RoadClosed):
        ask(federation, 20.0)
