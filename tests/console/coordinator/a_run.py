"""A run whose events somebody writes by hand, for pages that look at a run that is going on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from aegis.console.coordinator.desk import Desk
from aegis.events import Event, HospitalJoined, RoundAggregated, RoundClosed, RoundOpened
from aegis.identity.keys import SigningKey
from aegis.identity.membership import Membership
from aegis.messages import Enrolled
from aegis.plan import Plan, load_plan
from aegis.states import Collecting, Failed, Progress
from aegis.store.home import Home
from aegis.store.journal import Journal

SCORES = {"accuracy": 0.91, "auc": 0.95, "log_loss": 0.2, "examples": 40}


@dataclass(frozen=True)
class Connected:
    """Stands for a coordinator with members, some of whom are there."""

    members: Mapping[str, bool]
    run: str | None = None
    seen: float | None = 1_800_000_000.0
    error: str | None = None

    def state(self) -> dict[str, Any]:
        return {
            "state": "Idle",
            "run": self.run,
            "round": 0,
            "rounds": None,
            "road": "flower",
            "hospitals": [
                {"name": name, "present": here, "seen": self.seen}
                for name, here in self.members.items()
            ],
            "waiting_to_join": [],
            "error": None,
            "wanted": len(self.members),
            "command": None,
        }

    def failure(self, run: str) -> str | None:
        return self.error

    @property
    def office(self) -> Any:
        """One without members: tiles know them from ``state``."""
        registrar = SimpleNamespace(membership=Membership("somewhere"))
        identity = SimpleNamespace(signing=SigningKey.from_raw(bytes(32)))
        return SimpleNamespace(registrar=registrar, passphrase=None, identity=identity)


class ARun:
    """``members`` as a real federation's; without them it is a rehearsal of another process."""

    NAME = "20261122-100000-breast_cancer-abc123"

    def __init__(
        self,
        root: Path,
        names: Sequence[str],
        members: Mapping[str, bool] | None = None,
        **said: str,
    ) -> None:
        self.home = Home(root).prepare()
        self.names = tuple(names)
        wanted = {"task": "breast_cancer", "federated.num_clients": str(max(3, len(names)))}
        self.plan: Plan = load_plan(None, wanted | {"federated.num_rounds": "40"} | said).plan
        options = {} if members is None else {"transport": "flower"}
        with closing(Journal(self.home.database)) as journal:
            plan = self.plan
            journal.open_run(self.NAME, plan.task, plan.to_json(), plan.sha256, options)
        coordinator: Any = None if members is None else Connected(members, self.NAME)
        self.desk = Desk.of(self.home, coordinator)
        self.round = 0
        self.tell(*(self.joined(name) for name in names))

    def joined(self, name: str, examples: int = 163) -> Event:
        return HospitalJoined(self.NAME, name, examples, 40, "0" * 64, "automatic")

    def tell(self, *events: Event) -> None:
        with closing(Journal(self.home.database)) as journal:
            enrolled = tuple(Enrolled(self.NAME, 0, n, 163, 40, "0" * 64) for n in self.names)
            progress = Progress(self.NAME, self.round, enrolled, "{}", np.zeros(3), 0.1, 40)
            journal.save(self.NAME, Collecting(progress, self.names), list(events))

    def fails(self, reason: str) -> None:
        with closing(Journal(self.home.database)) as journal:
            journal.save(self.NAME, Failed(self.NAME, reason), [])

    def opens(self, *asked: str) -> None:
        names = asked or self.names
        event = RoundOpened(self.NAME, self.round + 1, 1, tuple(names), "0" * 64, 0.1)
        self.tell(event)

    def closes(self, absent: Sequence[str] = (), scores: Mapping[str, Any] | None = None) -> None:
        self.round += 1
        used = tuple(name for name in self.names if name not in absent)
        own = dict.fromkeys(used, SCORES) if scores is None else scores
        self.tell(
            RoundAggregated(self.NAME, self.round, "fedavg", used, 1000, 0.1),
            RoundClosed(self.NAME, self.round, "1" * 64, SCORES, own, tuple(absent)),
        )
