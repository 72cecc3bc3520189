"""One federation with some hospitals dishonest, from its start to its end, with nothing stored.

The model is judged on all hospitals' true test rows, the dishonest ones' included: what a liar says
about a model is not asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from aegis.errors import BadInput, RunAborted
from aegis.evaluation.classes import called
from aegis.evaluation.metrics import metrics
from aegis.evaluation.whole import together
from aegis.events import Event, HospitalFlagged, ReplyQuarantined
from aegis.hospital.site import Site, VolatileMemory
from aegis.simulation.attacks.attack import Attack
from aegis.simulation.attacks.poisoning import Scene, trigger_for
from aegis.simulation.attacks.road import DishonestRoad, generator
from aegis.simulation.comparison import Fitted, pooled_site
from aegis.simulation.federation import Federation
from aegis.simulation.stacked import StackedHospitals
from aegis.states import Terminated
from aegis.store.journal import Forgetful
from aegis.transport.transport import Transport
from aegis.wiring import federate


@dataclass(frozen=True)
class Outcome:
    """How one run ended: ``measured`` is None where it was aborted, and ``reason`` says why."""

    measured: dict[str, float | None] | None
    reason: str
    triggered: float | None
    flagged: dict[str, int]
    quarantined: dict[str, int]


def scene_of(federation: Federation, attack: Attack) -> Scene:
    """What there is to attack: the classes, the first one (healthy) as target, a trigger if one is
    used."""
    classes = federation.study.schema.label_count
    if attack.name != "backdoor":
        return Scene(classes)
    site = next(iter(federation.sites.values()))
    return Scene(classes, trigger=trigger_for(site.schema, site.train))


def run_once(
    federation: Federation,
    scene: Scene,
    attack: Attack | None = None,
    dishonest: Sequence[str] = (),
) -> Outcome:
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
    total = together(list(final.histograms.values()), bool(final.noise))
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
    said = called(fitted.logits(scene.trigger.on(others)))
    return float(np.mean(said == scene.target))
