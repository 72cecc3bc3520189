"""One hospital behind its door: which node answers which run, through every restart.

A run has one plan for good. Its node is built when the invitation comes, from this hospital's own
rows as the plan divides them, and again after a restart from the plan that was kept. All nodes
share what is the hospital's and not a run's: the ledger, the decisions of its people, what it
answered inside sealed sums, what it saw of the coordinator's log.

The policy is asked before a single row is read.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from aegis import codec
from aegis.errors import AegisError, DataError
from aegis.hospital.answers import SqliteAnswers
from aegis.hospital.decisions import Decisions
from aegis.hospital.ledger import Ledger
from aegis.hospital.node import Node
from aegis.hospital.policy import Closed, Policy
from aegis.hospital.policy_file import PolicyFile
from aegis.hospital.release import Account
from aegis.hospital.sealing import Seal
from aegis.hospital.site import SqliteMemory
from aegis.hospital.terms import fault_of_plan
from aegis.hospital.witness import LogWitness, SqliteSightings
from aegis.identity.identity import Identity
from aegis.messages import Invite, Refusal, Reply, Request
from aegis.operations.hospital.federation import Federation
from aegis.operations.hospital.folder import HospitalFolder
from aegis.operations.hospital.rows import data_sha256, site
from aegis.plan import Plan
from aegis.privacy.filters import Cap
from aegis.transport.forms import Forms, replies_to

log = logging.getLogger("aegis")

NODES = 3  # runs whose rows are held ready at once
UNLIMITED = 1000.0  # epsilon of an account whose policy sets no limit of its own


class Hospital:
    """``folder`` has been made by ``init`` and has joined ``federation``."""

    def __init__(self, folder: HospitalFolder, identity: Identity, federation: Federation) -> None:
        self.folder, self.identity, self.federation = folder, identity, federation
        self.registered = folder.registered
        self.decisions = Decisions(folder.decisions)
        key = identity.signing
        self.policy = PolicyFile(folder.policy, folder.name, key.public, self.decisions)
        self._answers = SqliteAnswers(folder.root / "answers.db")
        self._memory = SqliteMemory(folder.root / "memory.db")
        self._seen = SqliteSightings(folder.root / "seen.db")
        self._watch = LogWitness(folder.name, key, federation.coordinator.signing, self._seen)
        self._account: Account | None = None
        self._nodes: OrderedDict[tuple[str, str], Node] = OrderedDict()  # by run and plan

    @property
    def name(self) -> str:
        return self.folder.name

    def answer(self, request: Request) -> Reply:
        try:
            return self._node(request).answer(request)
        except AegisError as error:
            return Refusal(request.run, request.round, self.name, str(error))

    def replies(self, request: Any) -> Forms:
        """The forms in which a request may be answered."""
        plan = self._plan(request.run)
        return replies_to(request, newton=plan is not None and plan.training.solver == "newton")

    def account(self) -> Account:
        """The ledger of the registered data. Raises ``DataError`` where it cannot be used."""
        if self._account is None:
            standing = self.policy.current()
            cap = standing.cap if isinstance(standing, Policy) else None
            known = self.decisions.ledger_head(self.folder.ledger.name)
            digest = data_sha256(self.registered)
            try:
                ledger = Ledger.open(self.folder.ledger, digest, known)
            except AegisError as error:
                # It names the rows by their hash, and this error's words travel: whoever knew all
                # rows but one could try that one out.
                log.error("the privacy ledger of %s cannot be used: %s", self.name, error)
                raise DataError(
                    "this hospital's privacy ledger cannot be used", "its own log says why"
                ) from error
            seen = partial(self.decisions.saw_ledger, self.folder.ledger.name)
            delta = standing.delta if isinstance(standing, Policy) else 1e-5
            self._account = Account(ledger, cap or Cap(UNLIMITED, delta), seen)
        return self._account

    def close(self) -> None:
        for part in (self._answers, self._memory, self._seen, self.decisions):
            part.close()
        if self._account is not None:
            self._account.ledger.close()

    def _node(self, request: Request) -> Node:
        if isinstance(request, Invite):
            return self._invited(request)
        node = self._nodes.get((request.run, request.plan_sha256))
        if node is not None:
            self._nodes.move_to_end((request.run, request.plan_sha256))
            return node
        plan = self._plan(request.run)
        if plan is None:
            raise DataError(f"this hospital was not invited to the run {request.run}")
        if plan.sha256 != request.plan_sha256:
            raise DataError("the request names another plan than the one this hospital approved")
        node = self._built(request.run, plan)
        readmitted = node.answer(Invite(request.run, plan.sha256, plan.to_json()))
        if isinstance(readmitted, Refusal):
            raise DataError(readmitted.reason)
        log.info("%s goes on with the run %s", self.name, request.run)
        return node

    def _invited(self, request: Invite) -> Node:
        if request.members:
            self.federation.update(request.members)
        plan = Plan.from_json(request.plan_json)
        standing = self.policy.current()
        if isinstance(standing, Closed):
            raise DataError(standing.reason)
        fault = fault_of_plan(standing, plan)
        if fault is not None:
            raise DataError(fault)
        # Rows are dealt by this very plan: one that nobody let in must not deal them for another.
        node = self._nodes.get((request.run, plan.sha256)) or self._built(request.run, plan)
        self.decisions.keep_plan(plan.sha256, plan.to_json())
        return node

    def _registered_anew(self) -> None:
        """Data may be registered while this process serves; runs that began keep theirs."""
        now = self.folder.registered
        if now != self.registered:
            self.registered, self._account = now, None

    def _built(self, run: str, plan: Plan) -> Node:
        self._registered_anew()
        digest = hashlib.sha256(self.registered.text().encode()).hexdigest()
        if self.decisions.claim(run, f"data {plan.sha256}", digest) != digest:
            raise DataError(
                "this hospital has registered other data since this run began",
                "a run learns from one set of rows",
            )
        standing = self.policy.current()
        least = standing.minimum_hospitals if isinstance(standing, Policy) else 3
        seal = Seal(self.identity.signing, self.federation.roster, self._answers, least)
        node = Node(
            site(self.name, self.registered, plan),
            self._memory,
            account=self.account(),
            policy=self.policy,
            seal=seal,
            decisions=self.decisions,
            features=self.folder.root / "features",
        )
        node.watch = self._watch
        self._nodes[run, plan.sha256] = node
        while len(self._nodes) > NODES:
            self._nodes.popitem(last=False)
        return node

    def _plan(self, run: Any) -> Plan | None:
        if not isinstance(run, str):
            return None
        kept = self.decisions.plan_of(run)
        return None if kept is None else Plan.from_json(kept)


def record(folder: HospitalFolder) -> Callable[[Request, Reply | None], None]:
    """Writes one line for everything that leaves; no values, only what kind of thing and why."""

    def heard(request: Request, reply: Reply | None) -> None:
        if reply is None:
            return
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "run": request.run,
            "round": request.round,
            "asked": type(request).__name__,
            "sent": type(reply).__name__,
            "bytes": len(codec.dumps(reply)),
        }
        if isinstance(reply, Refusal):
            line["reason"] = reply.reason
        with folder.sent.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    return heard
