"""Two people of the console promote a model, on top of the store's own rule."""

from __future__ import annotations

import numpy as np
import pytest

from aegis.console.people.book import Book
from aegis.console.people.promoting import confirm_model, payload, propose_model
from aegis.console.people.rights import THIS_MACHINE, Person, Role
from aegis.console.people.two_persons import LIFETIME_S, Proposals
from aegis.errors import BadInput, CheckFailed
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.store.promotion import Gate, Promotions
from aegis.store.promotion import Person as Named
from aegis.store.registry import Registry
from aegis.tasks.models import Perceptron

ANA = Person("ana", frozenset({Role.RESEARCHER}))
BEN = Person("ben", frozenset({Role.PRIVACY_OFFICER}))
OPEN, SHUT = [Gate("files", True, "whole")], [Gate("fairness", False, "one group is failed")]


class Table:
    def __init__(self, folder, clock) -> None:
        self.told: list[object] = []
        self.book = Book(folder, clock)
        self.proposals = Proposals(self.book, self.told.append)
        home = Home(folder).prepare()
        self.journal = Journal(home.database)
        registry = Registry(home, self.journal)
        for number in range(2):
            registry.save(f"run-{number}", "heart", Perceptron(4), np.arange(5.0) + number, {})
        self.promotions = Promotions(self.journal, registry)
        self.first, self.second = registry.versions()

    def propose(self, version, person, checks=OPEN):
        return propose_model(
            self.proposals, self.promotions, version, person, "better at north", checks
        )

    def confirm(self, one, version, person, checks=OPEN, seen=None):
        return confirm_model(
            self.proposals, self.promotions, one.number, version, person, seen or one.sha256,
            checks, self.told.append,
        )  # fmt: skip


@pytest.fixture
def table(tmp_path, clock):
    found = Table(tmp_path, clock)
    yield found
    found.book.close()
    found.journal.close()


def test_two_people_promote_and_both_logs_hear_of_it(table):
    one = table.propose(table.first, ANA)
    assert one.payload == payload(table.promotions, table.first)
    act = table.confirm(one, table.first, BEN)
    assert (act.kind, act.person, act.who) == ("promoted", "ben", "ben (by name only)")
    assert table.promotions.in_use("heart") == table.first
    assert [type(event).__name__ for event in table.told] == [
        "ConfigChanged", "ConfigChanged", "ModelPromoted",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "person", [ANA, THIS_MACHINE, Person("vera", frozenset({Role.VIEWER}))], ids=lambda p: p.name
)
def test_nobody_else_is_the_second_person(table, person):
    one = table.propose(table.first, ANA)
    with pytest.raises(CheckFailed):
        table.confirm(one, table.first, person)
    assert table.promotions.in_use("heart") is None


def test_another_model_or_another_predecessor_is_not_what_was_proposed(table):
    one = table.propose(table.first, ANA)
    with pytest.raises(CheckFailed, match="not what would be done"):
        table.confirm(one, table.second, BEN)
    other = table.propose(table.second, BEN)
    table.confirm(other, table.second, ANA)
    with pytest.raises(CheckFailed, match="not what would be done"):
        table.confirm(one, table.first, BEN)
    assert table.promotions.in_use("heart") == table.second


def test_a_shut_gate_stops_the_first_and_the_second(table):
    with pytest.raises(CheckFailed, match="one group is failed"):
        table.propose(table.first, ANA, SHUT)
    assert table.proposals.waiting() == []
    one = table.propose(table.first, ANA)
    with pytest.raises(CheckFailed, match="one group is failed"):
        table.confirm(one, table.first, BEN, SHUT)
    assert table.promotions.in_use("heart") is None
    assert table.proposals.find(one.number).state == "failed"


def test_after_a_day_the_first_proposes_anew_and_the_second_cannot_promote_by_proposing(
    table, clock
):
    one = table.propose(table.first, ANA)
    clock.now += LIFETIME_S
    with pytest.raises(BadInput, match="expired"):
        table.confirm(one, table.first, BEN)
    with pytest.raises(BadInput, match="ana has proposed v1 already"):
        table.propose(table.first, BEN)
    assert table.promotions.in_use("heart") is None
    table.confirm(table.propose(table.first, ANA), table.first, BEN)
    assert table.promotions.in_use("heart") == table.first


def test_two_who_propose_at_once_do_not_promote_by_chance(table, monkeypatch):
    """The second looked before the first had written."""
    monkeypatch.setattr(Promotions, "proposal", _none_once(Promotions.proposal))
    table.promotions.promote(table.first, Named("ana"), "", OPEN, table.told.append)
    monkeypatch.setattr(Promotions, "proposal", _none_once(Promotions.proposal))
    with pytest.raises(CheckFailed, match="alone"):
        table.propose(table.first, BEN)
    assert table.promotions.in_use("heart") is None
    assert table.proposals.waiting() == []


def _none_once(real):
    asked: list[int] = []

    def proposal(self, version):
        asked.append(1)
        return None if len(asked) == 1 else real(self, version)

    return proposal
