"""The replay guard: once is once, over restarts, floods, threads and clocks that go back."""

import hashlib
import random
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.database import opened
from aegis.errors import BadInput, RunAborted
from aegis.store import replay
from aegis.store.replay import BLOCK, KEEP_AFTER_S, ReplayGuard, Sequence

NOW = 1_700_000_000


@dataclass(frozen=True)
class Stamp:
    src: str = "mercy"
    seq: int = 1
    run: str = "run"
    round: int = 1
    attempt: int = 0
    stage: str = "Update"
    expiry: int = NOW + 3600

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(repr(self).encode()).digest()


@pytest.fixture
def guard(tmp_path):
    made = ReplayGuard(tmp_path / "replay.db")
    yield made
    made.close()


def judged(guard, stamp, now=NOW):
    return guard.judge(stamp, stamp.digest, now)


def test_the_same_is_replayed_and_the_same_number_with_other_content_reused(guard, tmp_path):
    stamp = Stamp()
    assert judged(guard, stamp) == "new"
    again = ReplayGuard(tmp_path / "replay.db")
    for one in (guard, again):
        assert judged(one, stamp) == "replayed"
        for change in ({"run": "x"}, {"round": 2}, {"attempt": 1}, {"stage": "Scores"}):
            assert judged(one, replace(stamp, **change)) == "reused"
    assert judged(again, replace(stamp, src="other")) == "new"
    assert judged(again, replace(stamp, seq=0)) == "new"  # any order
    again.close()


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 40), st.integers(-900, 1200)),
        min_size=1,
        max_size=60,
    )
)
@settings(max_examples=200, deadline=None)
def test_nothing_is_ever_taken_twice_whatever_the_clock_does(steps):
    folder = TemporaryDirectory()
    with patch.object(replay, "opened", partial(opened, synced=False)):
        guard = ReplayGuard(Path(folder.name) / "seen.db")
    now, taken = NOW, set()
    for life, number, passing in steps:
        now += passing
        stamp = Stamp(seq=number, expiry=NOW + 300 * life)
        if judged(guard, stamp, now) == "new":
            assert stamp not in taken
            taken.add(stamp)
    guard.close()
    folder.cleanup()


def test_what_is_long_past_is_forgotten_and_refused_for_ever(guard):
    old = [Stamp(seq=i, expiry=NOW + i) for i in range(100)]
    assert all(judged(guard, stamp) == "new" for stamp in old)
    assert len(guard) == 100
    later = NOW + 99 + KEEP_AFTER_S + 1
    fresh = Stamp(seq=1000, expiry=later + 60)
    assert judged(guard, fresh, later) == "new"
    assert len(guard) == 1
    assert guard.floor == NOW + 99
    for stamp in old:  # the clock was set back
        assert judged(guard, stamp, NOW) == "forgotten"
    assert judged(guard, replace(old[0], seq=5000), NOW) == "forgotten"
    assert judged(guard, fresh, NOW) == "replayed"


def test_what_is_not_past_is_kept_however_many_come(guard, monkeypatch):
    monkeypatch.setattr(replay, "PRUNE_EVERY_S", 0)
    stamps = [Stamp(seq=i, expiry=NOW + 60) for i in range(80)]
    for at, stamp in enumerate(stamps):
        assert judged(guard, stamp, NOW + 8 * at) == "new"
    assert all(judged(guard, stamp, NOW + 640) == "replayed" for stamp in stamps)


def test_two_guards_on_one_file_take_each_envelope_once(tmp_path):
    guards = [ReplayGuard(tmp_path / "replay.db") for _ in range(2)]
    stamps = [Stamp(seq=i) for i in range(40)] * 4
    random.Random(1).shuffle(stamps)
    with ThreadPoolExecutor(4) as pool:
        verdicts = list(pool.map(lambda s: judged(guards[s.seq % 2], s), stamps))
        verdicts += list(pool.map(lambda s: judged(guards[1 - s.seq % 2], s), stamps))
    assert verdicts.count("new") == 40
    assert set(verdicts) == {"new", "replayed"}
    for guard in guards:
        guard.close()


def test_a_disk_that_takes_nothing_lets_nothing_through(tmp_path):
    guard = ReplayGuard(tmp_path / "replay.db")
    guard._db.execute("PRAGMA query_only=ON")
    with pytest.raises(RunAborted, match="cannot be written"):
        judged(guard, Stamp())
    guard._db.execute("PRAGMA query_only=OFF")
    assert judged(guard, Stamp()) == "new"
    guard.close()
    (tmp_path / "other.db").write_bytes(b"not a database" * 100)
    with pytest.raises(BadInput, match="cannot be opened"):
        ReplayGuard(tmp_path / "other.db")


class _Full:
    """A database whose disk is full when it commits: SQLite then has rolled back by itself."""

    def __init__(self, db):
        self._db = db

    def __getattr__(self, name):
        return getattr(self._db, name)

    def execute(self, statement, values=()):
        if statement == "COMMIT":
            self._db.execute("ROLLBACK")
            raise sqlite3.OperationalError("database or disk is full")
        return self._db.execute(statement, values)


def test_a_disk_that_is_full_is_said_to_be_full(tmp_path):
    guard = ReplayGuard(tmp_path / "replay.db")
    whole, guard._db = guard._db, _Full(guard._db)
    with pytest.raises(RunAborted, match="disk is full"):
        judged(guard, Stamp())
    guard._db = whole
    assert judged(guard, Stamp()) == "new"
    guard.close()


def test_numbers_only_grow_over_restarts_backups_and_clocks(tmp_path):
    path, now = tmp_path / "replay.db", [float(NOW)]
    given = []
    for step in (0, 0, 10, -86_400, 0, -86_400):
        now[0] += step
        sequence = Sequence(path, "mercy", lambda: now[0])
        given += [sequence.next() for _ in range(5)]
        sequence.close()
    assert given == sorted(set(given))
    assert given[-1] < 2**53
    path.unlink()  # everything lost, as from an old backup
    now[0] = NOW + 60.0
    restored = Sequence(path, "mercy", lambda: now[0])
    assert restored.next() > given[-1]
    restored.close()


def test_most_numbers_cost_no_write(tmp_path):
    sequence = Sequence(tmp_path / "replay.db", "mercy", lambda: float(NOW))
    first, changes = sequence.next(), sequence._db.total_changes
    assert [sequence.next() for _ in range(BLOCK - 1)] == list(range(first + 1, first + BLOCK))
    assert sequence._db.total_changes == changes
    assert sequence.next() == first + BLOCK
    assert sequence._db.total_changes == changes + 1
    sequence.close()


def test_two_senders_in_one_file_keep_their_own_numbers(tmp_path):
    names = ("mercy", "other", "mercy")
    ends = [Sequence(tmp_path / "replay.db", name, lambda: 0.0) for name in names]
    drawn = [end.next() for end in ends]
    assert drawn == [1, 1, 1 + BLOCK]  # two processes of one sender never share a number
    for end in ends:
        end.close()


def test_a_number_that_cannot_be_reserved_is_not_given_out(tmp_path):
    sequence = Sequence(tmp_path / "replay.db", "mercy", lambda: 0.0)
    blocker = sqlite3.connect(tmp_path / "replay.db", isolation_level=None)
    sequence._db.execute("PRAGMA busy_timeout=1")
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(RunAborted, match="reserved"):
        sequence.next()
    blocker.execute("ROLLBACK")
    blocker.close()
    assert sequence.next() == 1
    sequence.close()
