"""What people at a hospital decided, and what it answered: kept on disk, never taken back.

A plan that nobody here has decided on waits as a proposal. A person approves it by name, for a
number of runs (one, unless they say more), or refuses it with a reason. A run belongs to the plan
it began with. What a run asked is noted by its digest, so that a restart does not make a hospital
forget that a question has had its answer; and how far each ledger was, so that an older copy of it
is found out.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from aegis.database import opened
from aegis.errors import BadInput, DataError
from aegis.hospital.chain import Head
from aegis.plan import Plan

Status: TypeAlias = Literal["pending", "approved", "refused"]

MOST_WAITING = 100
MOST_NAME = 80
_MARK = 0x41656C32
_SCHEMA = (
    f"PRAGMA application_id={_MARK}",
    """CREATE TABLE proposals (
    plan TEXT PRIMARY KEY, json TEXT NOT NULL, asked TEXT NOT NULL, status TEXT NOT NULL,
    by TEXT NOT NULL, decided TEXT NOT NULL, reason TEXT NOT NULL, runs INTEGER NOT NULL)""",
    "CREATE TABLE runs (run TEXT PRIMARY KEY, plan TEXT NOT NULL, begun TEXT NOT NULL)",
    """CREATE TABLE answers (
    run TEXT NOT NULL, question TEXT NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (run, question))""",
    "CREATE TABLE ledgers (ledger TEXT PRIMARY KEY, rows INTEGER NOT NULL, sha256 TEXT NOT NULL)",
    "CREATE TABLE policies (sha256 TEXT NOT NULL, signed TEXT PRIMARY KEY, seen TEXT NOT NULL)",
)

_PLANS = "CREATE TABLE IF NOT EXISTS plans (plan TEXT PRIMARY KEY, json TEXT NOT NULL)"


@dataclass(frozen=True)
class Proposal:
    """``runs`` is how many runs an approval is for, ``begun`` those it was used for."""

    plan_sha256: str
    plan_json: str
    asked: str
    status: Status
    by: str
    decided: str
    reason: str
    runs: int
    begun: tuple[str, ...]

    @property
    def plan(self) -> Plan:
        return Plan.from_json(self.plan_json)


class Decisions:
    """One open file. Several processes may hold it; each change is one synced transaction."""

    def __init__(self, path: Path) -> None:
        """Raises ``DataError`` where the file cannot be used."""
        self.path = path
        self._lock = threading.RLock()
        try:
            self._db = opened(path, threads=True)
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error
        with self._change():
            (mark,) = self._all("PRAGMA application_id")[0]
            (tables,) = self._all("SELECT COUNT(*) FROM sqlite_master")[0]
            if tables and mark != _MARK:
                raise DataError(
                    f"{path} is a database, but holds no hospital's decisions",
                    way_out="Choose another file",
                )
            for statement in () if tables else _SCHEMA:
                self._db.execute(statement)
            self._db.execute(_PLANS)

    def refuses(self, run: str, plan: Plan) -> str | None:
        """Why this run may not begin (yet), or nothing: then it has begun. A plan that is new
        becomes a proposal."""
        sha256 = plan.sha256
        name = sha256[:12]
        with self._change():
            began = self._all("SELECT plan FROM runs WHERE run=?", (run,))
            if began:
                return None if began[0][0] == sha256 else f"the run {run} began with another plan"
            found = self._find(sha256)
            if found is None:
                waiting = "SELECT COUNT(*) FROM proposals WHERE status='pending'"
                if self._all(waiting)[0][0] >= MOST_WAITING:
                    return f"{MOST_WAITING} plans wait for a person at this hospital already"
                row = (sha256, plan.to_json(), _now(), "pending", "", "", "", 0)
                self._db.execute("INSERT INTO proposals VALUES (?,?,?,?,?,?,?,?)", row)
                return self._waits(name)
            if found.status == "pending":
                return self._waits(name)
            if found.status == "refused":
                return f"{found.by} at this hospital refused the plan {name}: {found.reason}"
            if len(found.begun) >= found.runs:
                runs = "one run" if found.runs == 1 else f"{found.runs} runs"
                return (
                    f"the plan {name} was approved for {runs}, and that is used "
                    f"({', '.join(found.begun[-3:])}); a person at this hospital may approve more"
                )
            self._db.execute("INSERT INTO runs VALUES (?,?,?)", (run, sha256, _now()))
        return None

    def approve(self, plan: str, by: str, runs: int = 1) -> Proposal:
        """``plan`` is the hash of a proposal, or the first 8 digits or more; ``runs`` how many
        more runs it may be used for. Raises ``BadInput``."""
        if isinstance(runs, bool) or not isinstance(runs, int) or not 1 <= runs <= 1000:
            raise BadInput(f"an approval is for 1 to 1000 runs, got {runs!r}")
        return self._decide(plan, "approved", by, "", runs)

    def refuse(self, plan: str, by: str, reason: str) -> Proposal:
        """As ``approve``; runs that have begun are stopped by the policy or the node, not here."""
        if not reason.strip():
            raise BadInput("a refusal says why", way_out="Give a reason")
        return self._decide(plan, "refused", by, reason.strip(), 0)

    def proposals(self, status: Status | None = None) -> list[Proposal]:
        """All of them, or those that stand so, the oldest first."""
        if status is not None and status not in get_args(Status):
            raise BadInput(f"a proposal is {' or '.join(get_args(Status))}, got {status!r}")
        query = "SELECT plan FROM proposals WHERE status=? OR ? ORDER BY asked, plan"
        plans = self._all(query, (status, status is None))
        return [found for (plan,) in plans if (found := self._find(plan)) is not None]

    def keep_plan(self, sha256: str, plan_json: str) -> None:
        """Keep the plan of a run that has begun, for the time after a restart."""
        with self._change():
            self._db.execute("INSERT OR IGNORE INTO plans VALUES (?,?)", (sha256, plan_json))

    def plan_of(self, run: str) -> str | None:
        """The plan, as JSON, that this run began with here."""
        found = self._all(
            "SELECT json FROM answers JOIN plans ON plans.plan = answers.digest"
            " WHERE run=? AND question='plan'",
            (run,),
        )
        return str(found[0][0]) if found else None

    def claim(self, run: str, question: str, digest: str) -> str:
        """The digest that stands for this question: this one, or the one that was there before."""
        with self._change():
            self._db.execute(
                "INSERT OR IGNORE INTO answers VALUES (?,?,?)", (run, question, digest)
            )
            return str(self.recall(run, question))

    def recall(self, run: str, question: str) -> str | None:
        found = self._all("SELECT digest FROM answers WHERE run=? AND question=?", (run, question))
        return str(found[0][0]) if found else None

    def policy_signed(self) -> str:
        """When the latest policy that counted here was signed, or nothing."""
        return str(self._all("SELECT COALESCE(MAX(signed), '') FROM policies")[0][0])

    def saw_policy(self, sha256: str, signed: str) -> None:
        with self._change():
            row = (sha256, signed, _now())
            self._db.execute("INSERT OR IGNORE INTO policies VALUES (?,?,?)", row)

    def ledger_head(self, ledger: str) -> Head | None:
        """How far the ledger of this name was when it was last charged: the ``witness`` to open it
        with, so that a copy from before is found out."""
        found = self._all("SELECT rows, sha256 FROM ledgers WHERE ledger=?", (ledger,))
        return Head(*found[0]) if found else None

    def saw_ledger(self, ledger: str, head: Head) -> None:
        with self._change():
            self._db.execute(
                "INSERT INTO ledgers VALUES (?,?,?) ON CONFLICT (ledger) DO UPDATE SET "
                "rows=excluded.rows, sha256=excluded.sha256 WHERE excluded.rows > rows",
                (ledger, head.rows, head.sha256),
            )

    def close(self) -> None:
        self._db.close()

    def _decide(self, plan: str, status: Status, by: str, reason: str, more: int) -> Proposal:
        person = by.strip()
        if not person or len(person) > MOST_NAME or not person.isprintable():
            raise BadInput(
                "a decision has the name of the person who made it",
                f"1 to {MOST_NAME} characters, got {by!r}",
            )
        prefix = plan.strip().lower()
        if len(prefix) < 8 or not set(prefix) <= set("0123456789abcdef"):
            raise BadInput(
                f"{plan!r} names no plan", "a plan is named by 8 digits of its hash or more"
            )
        with self._change():
            found = self._all(
                "SELECT plan FROM proposals WHERE substr(plan, 1, ?)=?", (len(prefix), prefix)
            )
            if len(found) != 1:
                raise BadInput(
                    f"{'no proposal' if not found else f'{len(found)} proposals'} {prefix}",
                    way_out=f"See: aegis hospital approve --hospital {self._hospital}",
                )
            sha256 = found[0][0]
            before = self._find(sha256)
            assert before is not None
            runs = len(before.begun) + more
            self._db.execute(
                "UPDATE proposals SET status=?, by=?, decided=?, reason=?, runs=? WHERE plan=?",
                (status, person, _now(), reason, runs, sha256),
            )
            after = self._find(sha256)
            assert after is not None
        return after

    def _find(self, sha256: str) -> Proposal | None:
        rows = self._all("SELECT * FROM proposals WHERE plan=?", (sha256,))
        begun = self._all("SELECT run FROM runs WHERE plan=? ORDER BY begun, run", (sha256,))
        runs = tuple(str(run) for (run,) in begun)
        return Proposal(*(*rows[0], runs)) if rows else None

    @contextmanager
    def _change(self) -> Iterator[None]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise self._unusable(error) from error

    def _all(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self._lock:
            try:
                return self._db.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise self._unusable(error) from error

    @property
    def _hospital(self) -> str:
        """Its name as a command takes it: that of the folder among the hospitals of one home."""
        folder = self.path.absolute().parent
        return folder.name if folder.parent.name == "hospitals" else "NAME"

    def _waits(self, name: str) -> str:
        return (
            f"the plan {name} waits for a person's approval at this hospital "
            f"(aegis hospital approve {name} --hospital {self._hospital} --by PERSON)"
        )

    def _unusable(self, error: Exception) -> DataError:
        return DataError(
            f"{self.path} cannot be used for this hospital's decisions ({error})",
            "what was decided must be on disk before it counts",
            "Check the disk, or restore the file from a backup",
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
