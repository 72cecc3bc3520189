"""What people at a hospital did: signed, chained, checked by the public key alone."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from aegis.errors import BadInput, CheckFailed
from aegis.identity.keys import SigningKey
from aegis.operations.hospital.acts import Acts


@pytest.fixture
def acts(tmp_path):
    found = Acts(tmp_path)
    yield found
    found.close()


KEY = SigningKey.generate()


def test_each_act_names_the_one_before_and_is_signed(acts):
    first = acts.record(KEY, "ana", "approved a plan", "ab" * 32, "for one run")
    second = acts.record(KEY, "ben", "signed a policy")
    assert (first.number, second.number) == (1, 2)
    assert second.before == first.sha256
    assert acts.check(KEY.public) == 2
    assert [one.who for one in acts.all()] == ["ben", "ana"]
    with pytest.raises(CheckFailed, match="row 1"):
        acts.check(SigningKey.generate().public)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE acts SET said='something else' WHERE number=2",
        "UPDATE acts SET who='eve' WHERE number=2",
        "UPDATE acts SET signature='zz' WHERE number=2",
        "DELETE FROM acts WHERE number=2",
        "DELETE FROM acts WHERE number=1",
    ],
)
def test_a_row_that_was_changed_or_taken_away_is_named(acts, change):
    for number in range(3):
        acts.record(KEY, "ana", f"act {number}")
    db = sqlite3.connect(acts.path)
    db.execute(change)
    db.commit()
    db.close()
    with pytest.raises(CheckFailed, match=r"row [12] "):
        acts.check(KEY.public)


def test_two_processes_write_one_chain(acts, tmp_path):
    other = Acts(tmp_path)

    def write(one):
        for number in range(10):
            one.record(KEY, "ana", f"act {number}")

    threads = [threading.Thread(target=write, args=(one,)) for one in (acts, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert acts.check(KEY.public) == 20


def test_nobody_does_nothing(acts):
    with pytest.raises(BadInput, match="name"):
        acts.record(KEY, " ", "approved a plan")
    assert acts.all() == []
