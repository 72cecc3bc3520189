"""A plan's run with some of its hospitals dishonest, beside the same run with all of them honest.

Every rule asked for gets both runs on the same rows. The models are judged on all hospitals' true
test rows, the dishonest ones' included: what a liar says about a model is not asked. Nothing is
stored but the result; a poisoned model never reaches the registry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from aegis.aggregation.conditions import largest_f
from aegis.errors import BadInput, RunAborted
from aegis.evaluation.metrics import metrics
from aegis.events import Event, HospitalFlagged, ReplyQuarantined
from aegis.hospital.site import Site, VolatileMemory
from aegis.plan import Plan, check_plan
from aegis.plan.guards import OWN_KEYS
from aegis.simulation.attacks import Attack, DishonestRoad, Scene, drawn, trigger_for
from aegis.simulation.attacks.road import generator
from aegis.simulation.comparison import Fitted, pooled_site
from aegis.simulation.local import Federation
from aegis.simulation.stacked import StackedHospitals
from aegis.states import Terminated
from aegis.store.journal import Forgetful
from aegis.tasks.task import find_task
from aegis.transport.transport import Transport
from aegis.wiring import federate

MASKED = (
    "The plan is masked: the coordinator sees only the sum, so no rule can look at single updates "
    "and nobody can be flagged. A dishonest hospital shifts the mean; only gates on the sum (it is "
    "finite, its length is bounded) stand in its way. Shown are open runs: under fedavg the mean "
    "is what the sealed sum opens to; every other rule needs trust: open."
)
UNNOISED = "The plan's noise, which only exists inside the sealed sum, was left out."


@dataclass(frozen=True)
class Outcome:
    """How one run ended: ``measured`` is None where it was aborted, and ``reason`` says why."""

    measured: dict[str, float | None] | None
    reason: str
    triggered: float | None
    flagged: dict[str, int]
    quarantined: dict[str, int]


def attacked(
    plan: Plan,
    attack: Attack,
    byzantine: int,
    *,
    rules: Sequence[str] = (),
    data_directory: Path | None = None,
    told: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Both runs for each rule (default: the plan's own), as one document.

    ``byzantine`` hospitals, drawn by the plan's seed, follow ``attack``. Raises ``BadInput`` where
    there is no honest majority, or where a rule is not made for so many; ``PlanError`` where the
    plan with that rule is unsound.
    """
    idle = set(plan.federated.evaluate_only)
    trainers = plan.federated.num_clients - len(idle)
    if byzantine < 1 or 2 * byzantine >= trainers:
        most = (trainers - 1) // 2
        raise BadInput(
            f"--byzantine {byzantine} of {trainers} hospitals that train",
            f"it must be 1 to {most}: the honest must be the majority"
            if most
            else "an honest majority needs at least 3 hospitals",
            f"Add --set federated.num_clients={max(2 * byzantine + 1, 3) + len(idle)}",
        )
    if plan.effective_trust == "grouped":
        raise BadInput(
            "sums of groups are not attacked in a simulation yet",
            way_out="Add --set trust=open to see what the rule does with single updates",
        )
    plans = {name: under(plan, name, byzantine) for name in rules or (plan.rule,)}
    federation = Federation.of(next(iter(plans.values())), data_directory)
    names = tuple(name for name in federation.sites if name not in idle)
    dishonest = drawn(names, byzantine, plan.seed)
    scene = scene_of(federation, attack)
    found = []
    for name, edited in plans.items():
        ours = replace(federation, study=replace(federation.study, plan=edited))
        told(f"{name}: all hospitals honest")
        clean = run_once(ours, scene)
        told(f"{name}: {attack.name} by {', '.join(dishonest)}")
        spoiled = run_once(ours, scene, attack, dishonest)
        found.append(_row(name, edited.asked, clean, spoiled, dishonest))
    return {
        "attack": attack.name,
        "says": attack.says,
        "paper": attack.paper,
        "adaptive": attack.adaptive,
        "byzantine": byzantine,
        "dishonest": list(dishonest),
        "task": plan.task,
        "positive": find_task(plan.task).positive,
        "synthetic": federation.dataset.synthetic,
        "seed": plan.seed,
        "trust": plan.effective_trust,
        "note": _note(plan),
        "hospitals": len(federation.sites),
        "test_examples": sum(len(site.test) for site in federation.sites.values()),
        "trigger": [list(cell) for cell in scene.trigger.cells] if scene.trigger else None,
        "rules": found,
    }


def under(plan: Plan, rule: str, byzantine: int) -> Plan:
    """The open plan with this rule, made for so many dishonest hospitals, and detection where this
    plan can have it. Raises ``PlanError`` where that is unsound."""
    changes: dict[str, Any] = {"trust": "open", "secure_aggregation.enabled": False}
    if plan.privacy.enabled and plan.privacy.mechanism == "distributed":
        changes["privacy.enabled"] = False
    guarded = rule != "fedavg"
    changes |= {
        "robust_aggregation.enabled": True,
        "robust_aggregation.method": rule,
        "robust_aggregation.num_byzantine": byzantine if guarded and rule != "foolsgold" else None,
        "robust_aggregation.enable_detection": guarded or plan.effective_trust == "open",
    }
    if rule != plan.rule:
        changes |= dict.fromkeys(OWN_KEYS)
    edited = plan.edited(changes)
    try:
        check_plan(edited)
    except BadInput:
        edited = edited.edited({"robust_aggregation.enable_detection": False})
        check_plan(edited)
    return edited


def scene_of(federation: Federation, attack: Attack) -> Scene:
    """What there is to attack: two classes, the healthy one as target, a trigger if one is used."""
    if attack.name != "backdoor":
        return Scene()
    site = next(iter(federation.sites.values()))
    return Scene(trigger=trigger_for(site.schema, site.train))


def run_once(
    federation: Federation,
    scene: Scene,
    attack: Attack | None = None,
    dishonest: Sequence[str] = (),
) -> Outcome:
    """One federation from its start to its end, with nothing stored."""
    if attack is not None and federation.study.plan.effective_trust != "open":
        raise BadInput("updates in a sealed sum cannot be forged on the road", "trust must be open")
    study, seed = federation.study, federation.study.plan.seed
    sites = federation.sites
    if attack is not None and attack.poison is not None:
        sites = {
            name: _poisoned(site, attack, scene, seed) if name in dishonest else site
            for name, site in sites.items()
        }
    flagged: Counter[str] = Counter()
    quarantined: Counter[str] = Counter()

    def hear(event: Event) -> None:
        match event:
            case HospitalFlagged():
                flagged[event.hospital] += 1
            case ReplyQuarantined():
                quarantined[event.hospital] += 1
            case _:
                pass

    with TemporaryDirectory() as folder:
        nodes = replace(federation, sites=sites).nodes(VolatileMemory(), Path(folder))
        road: Transport = StackedHospitals(nodes)
        if attack is not None:
            road = DishonestRoad(road, attack, dishonest, study.rule, seed)
        try:
            final = federate(study, "attack", road, Forgetful(), (hear,))
        except RunAborted as error:
            return Outcome(None, str(error), None, dict(flagged), dict(quarantined))
        finally:
            for node in nodes.values():
                if node.account is not None:
                    node.account.ledger.close()
    total = np.add.reduce(list(final.histograms.values()))
    losses = [loss for loss in final.losses.values() if loss is not None]
    measured = metrics(total, sum(losses) if len(losses) == len(final.losses) else None)
    triggered = _triggered(federation, scene, final)
    return Outcome(measured, "", triggered, dict(flagged), dict(quarantined))


def _poisoned(site: Site, attack: Attack, scene: Scene, seed: int) -> Site:
    assert attack.poison is not None
    rows = attack.poison(site.train, scene, generator(seed, "rows", site.name))
    return replace(site, train=rows)


def _triggered(federation: Federation, scene: Scene, final: Terminated) -> float | None:
    """The trigger's success rate: the share of held-out patients of another class whom the model
    gives the target's label once they carry the trigger."""
    if scene.trigger is None:
        return None
    test = pooled_site(federation.sites).test
    others = test.take(test.labels != scene.target)
    if not len(others):
        return None
    fitted = Fitted(federation.study, final.progress.preparation, final.progress.weights)
    called = fitted.logits(scene.trigger.on(others)) >= 0
    return float(np.mean(called == (scene.target == 1)))


def _row(
    name: str, asked: int, clean: Outcome, spoiled: Outcome, dishonest: Sequence[str]
) -> dict[str, Any]:
    return {
        "rule": name,
        "withstands": largest_f(name, asked),
        "clean": clean.measured,
        "clean_reason": clean.reason,
        "attacked": spoiled.measured,
        "attacked_reason": spoiled.reason,
        "trigger": None
        if clean.triggered is None
        else {"clean": clean.triggered, "attacked": spoiled.triggered},
        "flagged": _named(spoiled.flagged, dishonest),
        "flagged_clean": _named(clean.flagged, ()),
        "quarantined": _named(spoiled.quarantined, dishonest),
    }


def _named(counts: dict[str, int], dishonest: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"hospital": name, "rounds": counts[name], "dishonest": name in dishonest}
        for name in sorted(counts)
    ]


def _note(plan: Plan) -> str:
    if plan.effective_trust == "open":
        return ""
    distributed = plan.privacy.enabled and plan.privacy.mechanism == "distributed"
    return f"{MASKED} {UNNOISED}" if distributed else MASKED
