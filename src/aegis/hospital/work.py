"""What a hospital agreed to, and the requests it admitted: values between gate and answer."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from aegis.hospital.grouping import Counting, Grouped
from aegis.hospital.mechanisms import Mechanism
from aegis.messages import Evaluate, Train, Vector
from aegis.messages.stages import Mask
from aegis.plan import Plan
from aegis.privacy.filters import Cap
from aegis.tasks.models import Model, network
from aegis.training.trainer import Job, Settings


@dataclass(frozen=True)
class Agreed:
    """A plan this hospital agreed to, and what of it every round needs, worked out once."""

    plan: Plan
    sha256: str
    settings: Settings
    models: dict[str, Model] = field(default_factory=dict)

    @property
    def budget(self) -> Cap:
        """What this run may spend here."""
        return Cap(self.plan.privacy.epsilon_budget, self.plan.privacy.delta)

    @classmethod
    def to(cls, plan: Plan) -> Agreed:
        training = plan.training
        settings = Settings(
            solver=training.solver,
            optimizer=training.optimizer,
            batch_size=training.batch_size,
            local_epochs=training.local_epochs,
            local_steps=training.local_steps,
            momentum=training.momentum,
            weight_decay=training.weight_decay,
            proximal_mu=training.proximal_mu,
            l2=training.l2,
            class_weights=training.class_weights or (),
            measure_loss=False,
            local_odds=training.local_odds,
        )
        return cls(plan, plan.sha256, settings)

    def model(self, preparation: str) -> Model:
        if preparation not in self.models:
            self.models[preparation] = network(self.plan.model, preparation)
        return self.models[preparation]


@dataclass(frozen=True)
class Work:
    """An admitted request for training, with the job it became, the mechanism that was charged for
    it where the plan is private, and the sealed sum that it is for."""

    request: Train
    job: Job
    control: Vector | None = None
    mechanism: Mechanism | None = None
    stage: Mask | None = None


@dataclass(frozen=True)
class Scoring:
    """An admitted request for scores, with the rows it is about."""

    request: Evaluate
    model: Model
    design: NDArray[np.floating]
    labels: NDArray[np.int64]
    counting: Counting | None = None
    stage: Mask | None = None

    def grouped(self, logits: NDArray[np.floating]) -> Grouped | None:
        """The counts by group of patients, where they were asked for."""
        return None if self.counting is None else self.counting.counted(logits, self.labels)
