"""A study as the coordinator knows it, and how a step that cannot go on is told."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from aegis.aggregation.rules import Rule, rule
from aegis.aggregation.server import ServerOptimizer, server_optimizer
from aegis.coordinator import closing
from aegis.events import (
    Event,
    HospitalAbsent,
    ReplyQuarantined,
)
from aegis.messages import (
    Enrolled,
    Vector,
)
from aegis.plan import Plan
from aegis.plan.schedule import follows_noise_rule, schedule
from aegis.privacy.dpgd import DpGdSchedule
from aegis.states import CHECK_HOSPITALS, Failed, Progress, State
from aegis.tasks.bounded import public_preparation
from aegis.tasks.groups import Grouping, groupings
from aegis.tasks.models import Model, network
from aegis.tasks.task import Schema


@dataclass(frozen=True)
class Study:
    """What the coordinator knows for a whole run: the plan and the task's public schema."""

    plan: Plan
    schema: Schema

    @cached_property
    def rule(self) -> Rule:
        plan, robust = self.plan, self.plan.robust_aggregation
        return rule(
            plan.rule,
            f=plan.byzantine,
            trim_ratio=robust.trim_ratio,
            multi_krum_k=robust.multi_krum_k,
            seed=plan.seed,
        )

    @cached_property
    def optimizer(self) -> ServerOptimizer:
        server = self.plan.server
        return server_optimizer(
            server.optimizer,
            solver=self.plan.training.solver,
            learning_rate=server.learning_rate,
            momentum=server.momentum,
            beta1=server.beta1,
            beta2=server.beta2,
            tau=server.tau,
        )

    @cached_property
    def sha256(self) -> str:
        return self.plan.sha256

    @cached_property
    def model(self) -> Callable[[str], Model]:
        """The plan's network for a preparation."""
        return cache(lambda preparation: network(self.plan.model, preparation))

    @cached_property
    def private(self) -> bool:
        """Whether rounds, step and noise follow from the noise-level rule."""
        return follows_noise_rule(self.plan)

    def schedule(self, hospitals: Sequence[Enrolled]) -> DpGdSchedule:
        features = len(public_preparation(self.schema, True).features)
        examples = sum(hospital.examples for hospital in hospitals)
        return schedule(self.plan, examples, len(hospitals), features)

    @cached_property
    def groupings(self) -> tuple[Grouping, ...]:
        """The groups of patients between which the plan asks for fairness."""
        return groupings(self.schema, self.plan.fairness.attributes)

    @cached_property
    def open_words(self) -> bool:
        """Whether a category has no public list, so that words must be asked for first."""
        return any(c.kind == "category" and not c.categories for c in self.schema.columns)

    def contribution(self, model: Model) -> Vector:
        """A vector of the length and type that a hospital's update must have."""
        size = model.size
        if self.plan.training.solver == "newton":
            size += size * (size + 1) // 2
        return np.zeros(size, dtype=model.dtype)

    def quorum(self, asked: int, enrolled: int) -> int:
        """How many of ``asked`` must answer: the plan's quorum, in proportion when fewer than all
        enrolled hospitals are asked."""
        return max(1, math.ceil(self.plan.quorum(enrolled) * asked / max(enrolled, 1) - 1e-9))


@dataclass(frozen=True)
class Step:
    state: State
    events: tuple[Event, ...] = ()


def nothing_to_learn_from(run: str, events: list[Event]) -> Step:
    lost = Failed(run, "no hospital holds a row to train on", "Check the hospitals' data sets")
    return Step(lost, (*events, closing.aborted(run, lost.reason)))


def failed(
    run: str,
    where: str,
    got: int,
    needed: int,
    events: list[Event],
    progress: Progress | None = None,
) -> Step:
    why = {
        event.hospital: event.reason
        for event in events
        if isinstance(event, HospitalAbsent | ReplyQuarantined)
    }
    reasons = "; ".join(f"{name}: {reason}" for name, reason in list(why.items())[:5])
    answered = "no hospital" if got == 0 else f"{got} hospital{'s' if got > 1 else ''}"
    reason = f"{answered} gave a usable answer in {where}, the quorum is {needed} ({reasons})"
    return Step(
        Failed(run, reason, CHECK_HOSPITALS, progress), (*events, closing.aborted(run, reason))
    )
