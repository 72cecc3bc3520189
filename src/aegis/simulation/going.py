"""A run that has a name and a journal goes on: from the state it is in to its result and its files.

What it opened for itself (engines, memories, ledgers) is closed, however its rounds end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aegis.events import Listener
from aegis.hospital.node import Node
from aegis.hospital.site import Memory, SqliteMemory, VolatileMemory
from aegis.messages import Invite
from aegis.plan import Plan
from aegis.report.files import write_files, write_result
from aegis.simulation.accounts import check_charges
from aegis.simulation.audit_trail import AuditTrail
from aegis.simulation.document import Finished, as_used, document
from aegis.simulation.engines import engines_used
from aegis.simulation.federation import Federation
from aegis.simulation.leaving_out import leave_one_out as left_out
from aegis.simulation.own_figures import own_figures
from aegis.simulation.stacked import StackedHospitals
from aegis.states import Idle, StartingPoint, State, Terminated
from aegis.store.experiments import recorded
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.store.registry import Registry
from aegis.training.engines import close_engines
from aegis.transport.transport import Transport
from aegis.wiring import federate

Told = Callable[[str], None]
Roads = Callable[[Plan, Mapping[str, Node]], Transport]


@dataclass(frozen=True)
class RunResult:
    """What a run came to. ``document`` is the whole result, as in ``result.json``."""

    document: dict[str, Any]

    @property
    def run(self) -> str:
        return str(self.document["run"])

    @property
    def accuracy(self) -> float:
        """Of the final shared model on all hospitals' held-out rows together."""
        return float(self.document["global"]["accuracy"])

    @property
    def model_sha256(self) -> str:
        return str(self.document["model_sha256"])

    @property
    def files(self) -> dict[str, str]:
        return dict(self.document["files"])


@dataclass(frozen=True)
class Options:
    """What a run needs besides its plan, kept in the journal so that it can be resumed."""

    data_directory: str | None = None
    out: str | None = None
    compare: bool = True
    files: bool = True
    audit: bool = True
    leave_one_out: bool = False
    engines: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Going:
    federation: Federation
    home: Home
    journal: Journal
    name: str
    options: Options
    listeners: Sequence[Listener]
    told: Told
    road: Roads | None = None

    def on(self, state: State, start: StartingPoint | None) -> RunResult:
        plan, names = self.federation.study.plan, tuple(self.federation.sites)
        with (
            recorded(self.home, self.journal, self.name, events=self.options.files) as ended,
            AuditTrail.begin(self.home, self.journal, self.name, plan, names) as trail,
        ):
            result = self._on(trail, state, start)
            ended(result.document)
            return result

    def _on(self, trail: AuditTrail, state: State, start: StartingPoint | None) -> RunResult:
        study = self.federation.study
        memory: Memory = VolatileMemory()
        if study.plan.server.optimizer == "scaffold":
            memory = SqliteMemory(self.home.results(self.name) / "hospitals.db")
        nodes: dict[str, Node] = {}
        try:
            nodes = self.federation.nodes(
                memory, self.home.results(self.name), self.home.root / "features"
            )
            for name, watch in trail.watching.items():
                nodes[name].watch = watch
            accounts = {
                name: node.account for name, node in nodes.items() if node.account is not None
            }
            final = state
            if not isinstance(state, Idle):
                events = (fields for _, _, fields in self.journal.events(self.name))
                check_charges(self.name, study.plan, state, events, accounts)
            if not isinstance(final, Terminated):
                if not isinstance(state, Idle):
                    self._readmit(nodes)
                road = self.road(study.plan, nodes) if self.road else StackedHospitals(nodes)
                final = federate(
                    study,
                    self.name,
                    road,
                    self.journal,
                    [*trail.listeners, *self.listeners],
                    resume_from=state,
                    start=start,
                    stages_last=False,
                    again=f"go on with: aegis run --resume {self.name}",
                )
            releases = {name: a.ledger.events(self.name) for name, a in accounts.items()}
            heads = {name: a.ledger.head() for name, a in accounts.items()}
            used = engines_used(self.federation.sites)
        finally:
            close_engines()
            memory.close()
            for node in nodes.values():
                if node.account is not None:
                    node.account.ledger.close()
        parent = start.model_sha256 if start is not None else study.plan.model.start
        registry = Registry(self.home, self.journal)
        finished = Finished(
            study, self.federation.dataset, self.federation.sites, final, parent, releases
        )
        found = document(
            finished,
            registry,
            self.journal.events(self.name),
            comparing=self.options.compare,
            auditing=self.options.audit,
            told=self.told,
            checkpoint=trail.checkpoint,
        )
        if self.options.leave_one_out:
            found |= left_out(self.federation, as_used(finished), self.told)
        for hospital in found["hospitals"]:
            head = heads.get(hospital["name"])
            # A copy outside the ledger: a file cut short is found by it.
            hospital["ledger_head"] = None if head is None else asdict(head)
        found |= used | own_figures(finished)
        found |= trail.finish(found, releases, study.plan.model.start is not None)
        out = Path(self.options.out) if self.options.out else self.home.results(self.name)
        if self.options.files:
            write_files(found, study.plan, out)
        else:
            write_result(found, out)
        trail.seal(out / "result.json")
        return RunResult(found)

    def _readmit(self, nodes: Mapping[str, Node]) -> None:
        """Nodes of this process are as new after a restart: they are invited again."""
        plan = self.federation.study.plan
        for node in nodes.values():
            node.answer(Invite(self.name, plan.sha256, plan.to_json()))
