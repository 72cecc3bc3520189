"""Fakes: hospitals that answer as they are told to, on a road without arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from aegis.coordinator.steps import Study
from aegis.evaluation.histogram import score
from aegis.messages import (
    Absence,
    Answer,
    Enrolled,
    Evaluate,
    Invite,
    Request,
    Scores,
    Statistics,
    Tally,
    Train,
    Update,
)
from aegis.plan import Plan
from aegis.tasks.preparation import Preparation
from aegis.tasks.task import Column, Schema

SCHEMA = Schema((Column("a", "number", "a number", low=0, high=1), Column("b", "flag", "a flag")))

TWO_COLUMNS = Preparation.from_public_ranges(SCHEMA).to_json()


def study(**plan: Any) -> Study:
    """Three hospitals, two columns, a few rounds; ``plan`` overrides sections."""
    document: dict[str, Any] = {
        "task": "breast_cancer",
        "trust": "open",
        "federated": {"num_clients": 3, "num_rounds": 3, "quorum": 2},
        "training": {"solver": "sgd", "learning_rate": 0.1},
        "model": {"name": "logistic"},
    }
    for section, values in plan.items():
        if isinstance(values, Mapping):
            document[section] = {**document.get(section, {}), **values}
        else:
            document[section] = values
    return Study(Plan(**document), SCHEMA)


@dataclass
class FakeHospitals:
    """``spoil`` may replace any honest answer, or return None to stay silent."""

    names: tuple[str, ...] = ("a", "b", "c")
    spoil: Callable[[str, Request, Answer], Answer | None] = lambda name, request, answer: answer
    asked: list[tuple[str, Request]] = field(default_factory=list)

    def hospitals(self) -> tuple[str, ...]:
        return self.names

    def ask(
        self, requests: Mapping[str, Request], deadline_s: float | None
    ) -> Mapping[str, Answer]:
        answers: dict[str, Answer] = {}
        for name, request in requests.items():
            self.asked.append((name, request))
            answer = self.spoil(name, request, self.honest(name, request))
            answers[name] = answer if answer is not None else Absence(name, "silent")
        return answers

    def honest(self, name: str, request: Request) -> Answer:
        number = self.names.index(name) + 1
        match request:
            case Invite():
                return Enrolled(request.run, request.round, name, 10 * number, 4, SCHEMA.sha256)
            case Statistics():
                rows = 10.0 * number
                sums = np.array([rows, rows / 2, 0, rows, rows * 2, rows * 5, 0, rows, 3, 3])
                return Tally(request.run, request.round, name, sums, 10 * number)
            case Train():
                vector = np.full_like(request.weights, 0.1 * number)
                return Update(request.run, request.round, name, vector, 10 * number)
            case Evaluate():
                logits = np.array([-1.0, -0.5, 0.5, 1.0]) * float(request.weights.sum() or 1)
                histogram, loss = score(logits, np.array([0, 0, 1, 1]))
                return Scores(request.run, request.round, name, histogram, loss, 4)


def spoiled(wanted: str, kind: type, **changes: Any) -> Callable[..., Answer | None]:
    """Change fields of what ``wanted`` answers to requests of ``kind``."""

    def spoil(name: str, request: Request, answer: Answer) -> Answer | None:
        if name == wanted and isinstance(request, kind):
            return replace(answer, **changes)
        return answer

    return spoil
