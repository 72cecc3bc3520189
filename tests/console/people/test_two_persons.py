"""One proposes, another confirms exactly that, once, within a day, and it is on record first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.console.people.book import Book
from aegis.console.people.rights import THIS_MACHINE, Person, Right, Role
from aegis.console.people.two_persons import (
    LARGEST_PAYLOAD,
    LIFETIME_S,
    MOST_OPEN,
    NEEDS,
    Kind,
    Proposals,
)
from aegis.errors import BadInput, CheckFailed
from aegis.events import ConfigChanged

ANA = Person("ana", frozenset({Role.PRIVACY_OFFICER}))
BEN = Person("ben", frozenset({Role.PRIVACY_OFFICER}))
RITA = Person("rita", frozenset({Role.RESEARCHER}))
VERA = Person("vera", frozenset({Role.VIEWER}))
ASKED = {"hospital": "north", "epsilon": 6.0, "before": 4.0}


@pytest.fixture
def told() -> list[ConfigChanged]:
    return []


@pytest.fixture
def proposals(tmp_path, clock, told):
    book = Book(tmp_path, clock)
    yield Proposals(book, told.append)
    book.close()


def proposed(proposals, kind=Kind.RAISE_BUDGET, payload=ASKED, person=ANA):
    return proposals.propose(kind, payload, person, "two more rounds")


def test_another_person_confirms_and_it_is_done_once(proposals, told):
    one = proposed(proposals)
    done: list[int] = []
    proposals.confirm(one.number, BEN, one.sha256, ASKED, lambda p: done.append(p.number))
    assert done == [one.number]
    with pytest.raises(BadInput, match="done already"):
        proposals.confirm(one.number, BEN, one.sha256, ASKED, lambda p: done.append(p.number))
    assert done == [one.number]
    assert proposals.find(one.number).second == "ben"
    assert [event.what for event in told] == [
        "raise_budget: proposed by ana: two more rounds",
        "raise_budget: proposed by ana, confirmed by ben: two more rounds",
    ]
    assert {event.after_sha256 for event in told} == {one.sha256}


NOT_ALLOWED = [
    (ANA, "ana proposed this"),
    (RITA, "may not 'budget'"),
    (VERA, "may not 'budget'"),
    (THIS_MACHINE, "nobody in particular"),
]


@pytest.mark.parametrize(("person", "why"), NOT_ALLOWED, ids=lambda one: getattr(one, "name", ""))
def test_nobody_else_confirms(proposals, told, person, why):
    one = proposed(proposals)
    with pytest.raises(CheckFailed, match=why):
        proposals.confirm(one.number, person, one.sha256, ASKED, _never)
    assert proposals.find(one.number).state == "open"
    assert len(told) == 1


@pytest.mark.parametrize("person", [VERA, RITA, THIS_MACHINE], ids=lambda one: one.name)
def test_nobody_without_the_right_proposes(proposals, told, person):
    with pytest.raises(CheckFailed):
        proposed(proposals, person=person)
    assert told == []
    assert proposals.waiting() == []


def test_what_changed_since_it_was_proposed_is_not_confirmed(proposals):
    one = proposed(proposals)
    for seen, now in (
        (one.sha256, ASKED | {"epsilon": 60.0}),
        (one.sha256, ASKED | {"before": 5.0}),
        (one.sha256[:-1] + "0", ASKED),
        ("", ASKED),
    ):
        with pytest.raises(CheckFailed, match="not what would be done"):
            proposals.confirm(one.number, BEN, seen, now, _never)


def test_a_day_later_it_is_too_late(proposals, clock):
    one = proposed(proposals)
    clock.now += LIFETIME_S
    assert proposals.waiting() == []
    with pytest.raises(BadInput, match="expired"):
        proposals.confirm(one.number, BEN, one.sha256, ASKED, _never)
    assert proposed(proposals).number != one.number


def test_a_refused_or_withdrawn_proposal_is_over(proposals, told):
    refused, withdrawn = proposed(proposals), proposed(proposals, payload={"x": 1})
    assert proposals.refuse(refused.number, BEN, "not now").state == "refused"
    assert proposals.refuse(withdrawn.number, ANA).state == "withdrawn"
    with pytest.raises(BadInput, match="refused already"):
        proposals.confirm(refused.number, BEN, refused.sha256, ASKED, _never)
    with pytest.raises(CheckFailed):
        proposals.refuse(proposed(proposals).number, VERA)
    assert "refused by ben: not now" in told[2].what


def test_without_an_entry_in_the_log_nothing_holds(tmp_path):
    def full(event: ConfigChanged) -> None:
        raise OSError("no space left")

    book, said = Book(tmp_path), []
    proposals = Proposals(book, full)
    with pytest.raises(OSError, match="no space"):
        proposed(proposals)
    assert proposals.waiting() == []
    one = proposed(Proposals(book, said.append))
    with pytest.raises(OSError, match="no space"):
        proposals.confirm(one.number, BEN, one.sha256, ASKED, _never)
    assert proposals.find(one.number).state == "open"
    book.close()


def test_an_act_that_fails_uses_the_proposal_up_and_says_why(proposals, told):
    one = proposed(proposals)

    def fails(proposal: object) -> None:
        raise CheckFailed("a gate is shut")

    with pytest.raises(CheckFailed, match="gate is shut"):
        proposals.confirm(one.number, BEN, one.sha256, ASKED, fails)
    found = proposals.find(one.number)
    assert (found.state, found.outcome) == ("failed", "a gate is shut")
    assert told[-1].what.endswith("failed")
    assert proposals.waiting() == []


def test_proposals_outlive_the_process(tmp_path, told):
    book = Book(tmp_path)
    one = proposed(Proposals(book, told.append))
    book.close()
    again = Book(tmp_path)
    found = Proposals(again, told.append)
    assert found.waiting() == [one]
    assert found.confirm(one.number, BEN, one.sha256, ASKED, lambda p: p.payload) == ASKED
    again.close()


@pytest.mark.parametrize("reason", ["", "  \n ", "x" * 501])
def test_a_proposal_needs_its_reason(proposals, reason):
    with pytest.raises(BadInput, match="reason"):
        proposals.propose(Kind.LEAVE_MASKED, {}, ANA, reason)


def test_the_same_is_not_proposed_twice_and_they_are_bounded(proposals):
    proposed(proposals)
    with pytest.raises(BadInput, match="proposed already"):
        proposed(proposals, person=BEN, payload=dict(reversed(ASKED.items())))
    for number in range(MOST_OPEN - 1):
        proposed(proposals, payload={"number": number})
    with pytest.raises(BadInput, match="wait already"):
        proposed(proposals, payload={"number": -1})
    with pytest.raises(BadInput, match="at most"):
        proposed(proposals, payload={"text": "x" * LARGEST_PAYLOAD})
    with pytest.raises(BadInput, match="no JSON"):
        proposed(proposals, payload={"epsilon": float("nan")})


@pytest.mark.parametrize("kind", list(Kind))
def test_each_kind_needs_a_right_that_two_roles_or_people_can_have(kind):
    assert NEEDS[kind] in (Right.BUDGET, Right.PROMOTE)


@given(
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=5),
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=5),
)
def test_two_payloads_have_one_digest_only_where_they_are_equal(one, other):
    from aegis.console.people.two_persons import _canonical

    assert (_canonical(one)[1] == _canonical(other)[1]) == (one == other)


def _never(proposal: object) -> None:
    raise AssertionError("this must not be done")


def test_who_lost_the_right_since_is_no_first_person_any_more(door):
    """A proposal does not outlive the account, or the role, that it was made with."""
    first = Person("ana", frozenset({Role.PRIVACY_OFFICER}))
    changes = (
        lambda: door.accounts.set_roles("ana", {Role.VIEWER}, "test"),
        lambda: door.accounts.disable("ana", "test"),
    )
    for number, change in enumerate(changes):
        if door.accounts.find("ana") is None:
            door.accounts.add("ana", {Role.PRIVACY_OFFICER}, "test")
        door.accounts.set_roles("ana", {Role.PRIVACY_OFFICER}, "test")
        payload = ASKED | {"epsilon": 7.0 + number}
        one = door.proposals.propose(Kind.RAISE_BUDGET, payload, first, "two more rounds")
        change()
        done: list[int] = []
        with pytest.raises(CheckFailed, match="may not any more"):
            door.proposals.confirm(
                one.number, BEN, one.sha256, payload, lambda p, to=done: to.append(p.number)
            )
        assert not done
        assert door.proposals.find(one.number).state == "open"
