"""Buckets and waits: what is let by, who waits, and that nothing is remembered without bound."""

from __future__ import annotations

import http.client
import json

from hypothesis import given
from hypothesis import strategies as st

from aegis.console.listening import Listening
from aegis.console.people.door import Wait
from aegis.console.people.guard import Guard
from aegis.console.people.limits import (
    LOGINS,
    LONGEST_WAIT_S,
    MINUTE,
    REMEMBERED,
    Buckets,
    Logins,
    place,
)
from tests.console.people.conftest import PASSWORD, Clock, behind, browser, came


@given(st.lists(st.floats(0, 20), min_size=1, max_size=200), st.integers(1, 60))
def test_in_no_minute_pass_more_than_twice_what_is_allowed(pauses, a_minute):
    """A bucket holds a minute's worth, and a minute more flows in meanwhile."""
    clock = Clock(0.0)
    buckets = Buckets(clock)
    passed = []
    for pause in pauses:
        clock.now += pause
        if buckets.take(("ana",), a_minute) == 0:
            passed.append(clock.now)
    for began in passed:
        assert sum(began <= then < began + MINUTE for then in passed) <= 2 * a_minute


@given(st.integers(1, 600), st.integers(0, 50))
def test_after_the_wait_that_was_told_one_more_passes(a_minute, extra):
    clock = Clock(0.0)
    buckets = Buckets(clock)
    for _ in range(a_minute + extra):
        wait = buckets.take(("ana",), a_minute)
    if extra:
        assert wait > 0
        clock.now += wait + 1e-6
        assert buckets.take(("ana",), a_minute) == 0


def test_a_clock_that_goes_back_gives_nothing():
    clock = Clock(100.0)
    buckets = Buckets(clock)
    assert [buckets.take(("a",), 2) == 0 for _ in range(3)] == [True, True, False]
    clock.now = 0.0
    assert buckets.take(("a",), 2) > 0


def test_what_is_remembered_is_bounded():
    buckets, logins = Buckets(Clock(0.0)), Logins(Clock(0.0))
    for number in range(REMEMBERED + 100):
        buckets.take((str(number),), 10)
        logins.begin(str(number), "a")
    assert len(buckets) == REMEMBERED
    assert len(logins._tries) == REMEMBERED


def test_five_failures_are_free_and_then_each_doubles_the_wait():
    clock = Clock(0.0)
    logins = Logins(clock)
    assert [logins.begin("ana", "a") for _ in range(LOGINS)] == [0.0] * LOGINS
    waits = []
    for _ in range(8):
        wait = logins.begin("ana", "a")
        waits.append(wait)
        clock.now += wait
        assert logins.begin("ana", "a") == 0.0  # and it fails again
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    clock.now += 2 * LONGEST_WAIT_S + 1
    assert [logins.begin("ana", "a") for _ in range(LOGINS)] == [0.0] * LOGINS


def test_mistyping_now_and_then_never_locks_anybody():
    clock = Clock(0.0)
    logins = Logins(clock)
    for _ in range(100):
        assert logins.begin("ana", "a") == 0.0
        clock.now += MINUTE / (LOGINS - 2)
        logins.succeeded("ana", "a")
    for _ in range(100):
        assert logins.begin("ana", "a") == 0.0
        clock.now += MINUTE + 1


def test_whoever_guesses_from_elsewhere_does_not_lock_the_person_out(door):
    came(door, "ana")
    for _ in range(20):
        door.login("ana", "wrong wrong wrong", "", "203.0.113.9")
    assert isinstance(door.login("ana", PASSWORD, "", "203.0.113.9"), Wait)
    assert door.login("ana", PASSWORD, "", "192.0.2.1").name == "ana"


def test_guessing_at_many_names_from_one_address_runs_out_too(door):
    said = [door.login(f"person{i}", "wrong wrong wrong", "", "203.0.113.9") for i in range(40)]
    assert said[:30] == [None] * 30
    assert all(isinstance(one, Wait) for one in said[30:])


def test_names_that_cannot_be_names_are_counted_as_one(door):
    said = [door.login(f"no name {i}", "x", "", "203.0.113.9") for i in range(LOGINS + 1)]
    assert isinstance(said[-1], Wait)


def test_over_http_the_sixth_try_is_429_even_with_the_right_password(door):
    came(door, "ana")
    client = browser(door)
    form = {"name": "ana", "password": "wrong wrong wrong"}
    assert [client.post("/login", data=form).status_code for _ in range(LOGINS)] == [401] * LOGINS
    right = client.post("/login", data=form | {"password": PASSWORD})
    assert right.status_code == 429
    assert 1 <= int(right.headers["retry-after"]) <= 60
    script = client.post("/api/token", json={"name": "ana", "password": PASSWORD})
    assert (script.status_code, "retry-after" in script.headers) == (429, True)


def test_an_address_is_counted_as_one_customer():
    assert place("192.0.2.7") == "192.0.2.7"
    assert place("::ffff:192.0.2.7") == "192.0.2.7"
    assert place("2001:db8:1:2:3:4:5:6") == place("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    assert place("fe80::1%eth0") == "fe80::/64"
    assert place("testclient") == "testclient"
    assert place("") == "?"
    assert len(place("x" * 1000)) == 64


def test_a_client_does_not_say_itself_where_it_comes_from(door):
    """Over a real socket: a made-up address would be a fresh five tries."""
    came(door, "ana")
    body = json.dumps({"name": "ana", "password": "wrong wrong wrong"})
    codes = []
    with Listening(Guard(behind(door), door), "127.0.0.1", 0, None) as listening:
        for number in range(LOGINS + 1):
            line = http.client.HTTPConnection("127.0.0.1", listening.port, timeout=10)
            made_up = {"X-Forwarded-For": f"192.0.2.{number}", "Forwarded": f"for=192.0.2.{number}"}
            line.request("POST", "/api/token", body, made_up | {"Content-Type": "application/json"})
            codes.append(line.getresponse().status)
            line.close()
    assert codes == [401] * LOGINS + [429]
