"""A session ends when it should, belongs to one browser, and its cookie has every flag."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.console.people.rights import Role
from aegis.console.people.sessions import (
    ABSOLUTE_S,
    IDLE_S,
    MOST_EACH,
    Sessions,
    csrf_fits,
    csrf_of,
)
from tests.console.people.conftest import FROM_HERE, PASSWORD, browser, came, sign_in


def test_a_session_ends_after_half_an_hour_without_a_deed(door, clock):
    session = door.sessions.open("ana")
    for _ in range(3):
        clock.now += IDLE_S - 1
        assert door.sessions.find(session).person == "ana"
    clock.now += IDLE_S
    assert door.sessions.find(session) is None
    clock.now -= IDLE_S  # a clock set back brings nothing back
    assert door.sessions.find(session) is None


def test_a_page_that_asks_for_news_keeps_no_session_alive(door, clock):
    session = door.sessions.open("ana")
    for _ in range(int(IDLE_S // 60) - 1):
        clock.now += 60
        assert door.sessions.find(session, deed=False) is not None
    clock.now += 60
    assert door.sessions.find(session, deed=False) is None


def test_a_session_ends_after_twelve_hours_in_any_case(door, clock):
    session = door.sessions.open("ana")
    began = clock.now
    while clock.now - began < ABSOLUTE_S - 600:
        clock.now += 600
        assert door.sessions.find(session) is not None
    clock.now += 600
    assert door.sessions.find(session) is None


@pytest.mark.parametrize("given_id", ["", "x", "A" * 43, "A" * 44, "'; --", "\u00fc" * 43])
def test_an_id_that_was_not_given_out_is_nobodys(door, given_id):
    door.sessions.open("ana")
    assert door.sessions.find(given_id) is None


def test_a_person_has_a_bounded_number_of_sessions(door, clock):
    made = []
    for _ in range(MOST_EACH + 3):
        clock.now += 1
        made.append(door.sessions.open("ana"))
    other = door.sessions.open("ben")
    alive = [session for session in made if door.sessions.find(session)]
    assert alive == made[3:]
    assert door.sessions.find(other) is not None


def test_a_key_from_the_list_ends_a_session_of_its_person_only(door):
    session = door.sessions.open("ana")
    (shown,) = door.sessions.of("ana")
    assert door.sessions.find(shown.key) is None  # it opens nothing
    assert door.sessions.end("ben", shown.key) == 0
    assert door.sessions.find(session) is not None
    assert door.sessions.end("ana", shown.key) == 1
    assert door.sessions.find(session) is None


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_csrf_token_fits_its_own_session_only(one, other):
    assert csrf_fits(one.hex(), csrf_of(one.hex()))
    assert csrf_fits(one.hex(), csrf_of(other.hex())) == (one == other)
    assert not csrf_fits(one.hex(), "")
    assert csrf_of(one.hex()) != one.hex()


def test_the_cookie_has_every_flag_and_no_port_shares_it(door):
    came(door, "ana")
    client = browser(door)
    answer = client.post("/login", data={"name": "ana", "password": PASSWORD}, headers=FROM_HERE)
    flags = answer.headers["set-cookie"].split("; ")
    assert flags[0].startswith("__Host-aegis=")
    assert set(flags[1:]) == {"Path=/", "Secure", "HttpOnly", "SameSite=Strict"}
    assert len(flags[0].partition("=")[2]) == 43
    assert Sessions(door.accounts.book, "St. Bride's").cookie == "__Host-aegis-st-bride-s"


def test_a_session_that_was_planted_before_the_login_is_not_the_one_after(door):
    came(door, "ana")
    came(door, "mallory")
    planted = door.sessions.open("mallory")
    client = browser(door)
    client.cookies.set(door.sessions.cookie, planted, "console.test")
    sign_in(client, "ana")
    assert door.sessions.find(planted) is None
    assert client.get("/").json()["name"] == "ana"
    thief = browser(door)
    thief.cookies.set(door.sessions.cookie, planted, "console.test")
    assert thief.get("/").status_code == 303


def test_logging_out_ends_the_session_here_and_everywhere(door):
    came(door, "ana", Role.RESEARCHER)
    here, there = browser(door), browser(door)
    token, other = sign_in(here, "ana"), sign_in(there, "ana")
    kept = here.cookies[door.sessions.cookie]
    gone = here.post("/logout", data={"csrf": token}, headers=FROM_HERE)
    assert gone.headers["set-cookie"].startswith("__Host-aegis=; Path=/; Secure;")
    here.cookies.set(door.sessions.cookie, kept, "console.test")
    assert here.get("/").status_code == 303
    given = door.tokens.login("ana")
    token = sign_in(here, "ana")
    answer = there.post("/account/sessions/end-all", data={"csrf": other}, headers=FROM_HERE)
    assert answer.status_code == 303
    assert here.get("/").status_code == 303
    head = {"Authorization": f"Bearer {given.access}"}
    assert there.get("/", headers=head).status_code == 401


def test_a_poll_is_no_deed_and_a_click_is(door, clock):
    came(door, "ana")
    client = browser(door)
    sign_in(client, "ana")
    poll, click = {"Sec-Fetch-Mode": "cors"}, {"Sec-Fetch-Mode": "navigate"}
    clock.now += IDLE_S - 60
    assert client.get("/", headers=click).status_code == 200
    clock.now += IDLE_S - 60
    assert client.get("/", headers=poll).status_code == 200
    clock.now += 61
    assert client.get("/", headers=click).status_code == 303
