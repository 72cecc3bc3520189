"""Answers inside sealed sums, kept before they leave: a question asked again gets the same bytes.

What opens a sum (keys, seeds) is never written; a hospital that restarts in the middle of an
attempt can repeat what it answered and refuses the rest of it.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple, Protocol

from aegis.database import opened
from aegis.errors import BadInput

_LONG = ("mask", "unmask")


class Question(NamedTuple):
    """Which stage of which attempt at which sum."""

    run: str
    round: int
    purpose: str
    attempt: int
    stage: str


class Answers(Protocol):
    def keep(self, question: Question, answer: bytes) -> None:
        """Durable when this returns. The long answers of earlier rounds of the run may go; that
        they were begun, and over whom they were opened, stays."""
        ...

    def kept(self, question: Question) -> bytes | None: ...

    def opened(self, run: str, round: int, purpose: str) -> bytes | None:
        """The survivors of an earlier attempt that this hospital helped to open."""
        ...

    def close(self) -> None: ...


class VolatileAnswers:
    """Lost with the process, as simulated hospitals are."""

    def __init__(self) -> None:
        self._kept: dict[Question, bytes] = {}

    def keep(self, question: Question, answer: bytes) -> None:
        for old in [q for q in self._kept if q.stage in _LONG]:
            if old.run != question.run or old.round >= question.round:
                continue
            del self._kept[old]
        self._kept[question] = answer

    def kept(self, question: Question) -> bytes | None:
        return self._kept.get(question)

    def opened(self, run: str, round: int, purpose: str) -> bytes | None:
        return next(
            (
                answer
                for q, answer in self._kept.items()
                if (q.run, q.round, q.purpose, q.stage) == (run, round, purpose, "opened")
            ),
            None,
        )

    def close(self) -> None:
        self._kept.clear()


class SqliteAnswers:
    """One file, synced before an answer leaves."""

    def __init__(self, path: Path) -> None:
        try:
            self._db = opened(path)
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS answers (run TEXT, round INTEGER, purpose TEXT,"
                " attempt INTEGER, stage TEXT, answer BLOB,"
                " PRIMARY KEY (run, round, purpose, attempt, stage)) WITHOUT ROWID"
            )
        except (OSError, sqlite3.Error) as error:
            raise BadInput(f"the file {path} cannot be opened ({error})") from error

    def keep(self, question: Question, answer: bytes) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(
            f"DELETE FROM answers WHERE run=? AND round<? AND stage IN {_LONG}",  # noqa: S608
            (question.run, question.round),
        )
        self._db.execute("INSERT OR REPLACE INTO answers VALUES (?,?,?,?,?,?)", (*question, answer))
        self._db.execute("COMMIT")

    def kept(self, question: Question) -> bytes | None:
        row = self._db.execute(
            "SELECT answer FROM answers WHERE run=? AND round=? AND purpose=? AND attempt=?"
            " AND stage=?",
            question,
        ).fetchone()
        return None if row is None else bytes(row[0])

    def opened(self, run: str, round: int, purpose: str) -> bytes | None:
        row = self._db.execute(
            "SELECT answer FROM answers WHERE run=? AND round=? AND purpose=? AND stage='opened'",
            (run, round, purpose),
        ).fetchone()
        return None if row is None else bytes(row[0])

    def close(self) -> None:
        self._db.close()
