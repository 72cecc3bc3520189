"""The road of stacked hospitals through a long run."""

from __future__ import annotations

from itertools import combinations

import pytest

from aegis.hospital.site import VolatileMemory
from aegis.messages import Evaluate, Invite, Scores
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


def test_who_is_asked_about_another_model_scores_that_one():
    """As over a road that brings a request late."""
    plan = load_plan(None, {"task": "breast_cancer", "trust": "open"}).plan
    federation = Federation.of(plan, None)

    def road():
        nodes = federation.nodes(VolatileMemory())
        for node in nodes.values():
            node.answer(Invite("run", plan.sha256, plan.to_json()))
        return StackedHospitals(nodes)

    whole = StackedHospitals(federation.nodes(VolatileMemory()))
    progress = federate(federation.study, "run", whole, Forgetful()).progress
    rest = ("test", progress.preparation)
    late = Evaluate("run", plan.sha256, 1, progress.weights / 2, *rest)
    now = Evaluate("run", plan.sha256, 2, progress.weights, *rest)
    first, *others = whole.hospitals()
    asked = {first: late, **dict.fromkeys(others, now)}
    together = road().ask(asked, None)
    for name, request in asked.items():
        (alone,) = road().ask({name: request}, None).values()
        assert together[name].round == request.round
        assert together[name].loss_sum == pytest.approx(alone.loss_sum)
        assert (together[name].histogram == alone.histogram).all()
    assert together[first].loss_sum != pytest.approx(
        next(iter(road().ask({first: now}, None).values())).loss_sum
    )
