"""A plan's run with some of its hospitals dishonest, beside the same run with all of them honest.

Every rule asked for gets both runs on the same rows. Nothing is stored but the result; a poisoned
model never reaches the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aegis.aggregation.conditions import largest_f
from aegis.errors import BadInput
from aegis.plan import Plan, check_plan
from aegis.plan.own_data import positive
from aegis.plan.robust import OWN_KEYS
from aegis.simulation.attacks import Attack, drawn
from aegis.simulation.attacks.trial import Outcome, run_once, scene_of
from aegis.simulation.federation import Federation

MASKED = (
    "The plan is masked: the coordinator sees only the sum, so no rule can look at single updates "
    "and nobody can be flagged. A dishonest hospital shifts the mean; only gates on the sum (it is "
    "finite, its length is bounded) stand in its way. Shown are open runs: under fedavg the mean "
    "is what the sealed sum opens to; every other rule needs trust: open."
)
NOISED = (
    "The noise that hospitals share out inside the sealed sum is here added whole by each of them."
)


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
        raise BadInput(
            f"--byzantine {byzantine} of {trainers} hospitals that train",
            "it must be at least 1, and the honest must be the majority",
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
        "positive": positive(plan),
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
        changes["privacy.mechanism"] = "dp_sgd"
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


def _row(
    name: str, asked: int, clean: Outcome, spoiled: Outcome, dishonest: Sequence[str]
) -> dict[str, Any]:
    trigger = None
    if clean.triggered is not None:
        trigger = {"clean": clean.triggered, "attacked": spoiled.triggered}
    return {
        "rule": name,
        "withstands": largest_f(name, asked),
        "clean": clean.measured,
        "clean_reason": clean.reason,
        "attacked": spoiled.measured,
        "attacked_reason": spoiled.reason,
        "trigger": trigger,
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
    return f"{MASKED} {NOISED}" if distributed else MASKED
