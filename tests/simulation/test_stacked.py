"""The road of stacked hospitals through a long run."""

from __future__ import annotations

from itertools import combinations

import pytest

from aegis.hospital.site import VolatileMemory
from aegis.messages import Evaluate, Scores
from aegis.plan import load_plan
from aegis.simulation.federation import Federation
from aegis.simulation.stacked import StackedHospitals
from aegis.store.journal import Forgetful
from aegis.wiring import federate


def test_rows_are_not_held_anew_for_every_set_of_hospitals_that_ever_scored():
    said = {"task": "breast_cancer", "federated.num_clients": "5", "trust": "open"}
    plan = load_plan(None, said).plan
    federation = Federation.of(plan, None)
    road = StackedHospitals(federation.nodes(VolatileMemory()))
    progress = federate(federation.study, "run", road, Forgetful()).progress
    scoring = Evaluate(
        "run", plan.sha256, progress.round, progress.weights, "test", progress.preparation
    )
    answers = {}
    for names in combinations(road.hospitals(), 3):
        found = road.ask(dict.fromkeys(names, scoring), None)
        for name, one in found.items():
            assert isinstance(one, Scores)
            assert one.loss_sum == pytest.approx(answers.setdefault(name, one).loss_sum)
    assert len(answers) == 5
    assert len(road._stacks) <= 2
