from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.events import RoundAggregated, RoundClosed, RoundOpened, RunEnded, RunStarted
from aegis.transport.xmpp.machines import COORDINATOR, HOSPITAL, Happening, heard, passed

MACHINES = {"hospital": HOSPITAL, "coordinator": COORDINATOR}
HAPPENINGS = Happening.__args__


def walked(machine, *happenings):
    state, way = machine.initial, [machine.initial]
    for happening in happenings:
        state = machine.after(state, happening) or state
        if state != way[-1]:
            way.append(state)
    return way


def test_both_machines_have_s4s_states():
    assert set(HOSPITAL.states) == {
        "Init", "Idle", "Ready", "Computing", "Reporting", "Waiting", "Failed",
    }  # fmt: skip
    assert set(COORDINATOR.states) == {
        "Idle", "Init", "Registration", "RoundSetup", "Aggregating", "Broadcasting", "Terminated",
    }  # fmt: skip


@pytest.mark.parametrize("machine", MACHINES.values(), ids=list(MACHINES))
def test_every_state_can_be_reached_and_left(machine):
    reached, new = {machine.initial}, {machine.initial}
    while new:
        new = {target for source, target in machine.transitions() if source in new} - reached
        reached |= new
    assert reached == set(machine.states)
    assert {source for source, _ in machine.transitions()} == set(machine.states)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(MACHINES)), st.lists(st.sampled_from(HAPPENINGS), max_size=30))
def test_no_happenings_lead_anywhere_but_along_the_table(which, happenings):
    machine = MACHINES[which]
    allowed = set(machine.transitions())
    way = walked(machine, *happenings)
    assert all(pair in allowed for pair in pairwise(way))


def test_a_hospital_walks_a_round_and_is_ready_for_the_next():
    way = walked(HOSPITAL, "connected", "met", "asked", "answered", "sent", "asked", "answered")
    assert way == [
        "Init", "Idle", "Ready", "Computing", "Reporting", "Waiting", "Computing", "Reporting",
    ]  # fmt: skip


def test_a_cut_does_not_end_work_that_has_begun():
    assert walked(HOSPITAL, "connected", "met", "asked", "lost", "connected", "answered")[-1] == (
        "Reporting"
    )
    assert walked(HOSPITAL, "connected", "met", "lost")[-1] == "Init"


def test_a_refused_hospital_fails_and_comes_back_when_it_is_let_in():
    assert walked(HOSPITAL, "refused", "connected") == ["Init", "Failed", "Idle"]


def test_messages_alone_lead_the_coordinator_through_a_run():
    kinds = ("JOIN", "JOIN", "ROUND_START", "MODEL_UPDATE", "GLOBAL_UPDATE", "ROUND_START")
    way = walked(COORDINATOR, *(one for kind in kinds for one in passed(kind)))
    assert way == [
        "Idle", "Init", "Registration", "RoundSetup", "Aggregating", "Broadcasting", "RoundSetup",
    ]  # fmt: skip


def test_the_houses_events_end_a_run_and_begin_the_next():
    run = [
        RunStarted("r", "t", "0", 1, 1, "open"),
        RoundOpened("r", 1, 1, ("a",), "0", 0.1),
        RoundAggregated("r", 1, "fedavg", ("a",), 3, 0.1),
        RoundClosed("r", 1, "0", {}),
        RunEnded("r", "completed", "", 1, 1, "0"),
    ]
    once = ["Init", "Registration", "RoundSetup", "Aggregating", "Broadcasting", "Terminated"]
    happenings = [one for event in run for one in heard(event)]
    assert walked(COORDINATOR, *happenings, *happenings) == [
        "Idle", *once, "Idle", *once, "Idle",
    ]  # fmt: skip
