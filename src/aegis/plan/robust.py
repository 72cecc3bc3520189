"""Rules against dishonest hospitals: what they must see, how many they need, what they can use.

How many updates a rule needs is said in ``aegis.aggregation.conditions``. In grouped mode a rule
sees one mean for each group of three.
"""

from __future__ import annotations

from collections.abc import Iterator

from aegis.aggregation.conditions import (
    FEWEST,
    GROUP,
    TRIMMING,
    largest_f,
    smallest,
    trimmed,
)
from aegis.plan.faults import Edit, Fault
from aegis.plan.guards import NO_RULE, OPEN
from aegis.plan.plan import Plan
from aegis.plan.sentences import show

OWN_KEYS = ("robust_aggregation.trim_ratio", "robust_aggregation.multi_krum_k")


def rules(plan: Plan) -> Iterator[Fault]:
    robust, trust, n = plan.robust_aggregation, plan.trust, plan.federated.num_clients
    if not robust.enabled:
        return
    rule, f = robust.method, robust.num_byzantine
    groups = Edit({"trust": "grouped", "federated.num_clients": max(n, 9)})
    if trust == "masked" and (rule != "fedavg" or robust.enable_detection):
        asked = [f"robust_aggregation.method: {rule}"] if rule != "fedavg" else []
        asked += ["robust_aggregation.enable_detection"] if robust.enable_detection else []
        changes = {key: value for key, value in NO_RULE.items() if plan.values[key] != value}
        yield Fault(
            ("trust", "secure_aggregation.enabled", *NO_RULE),
            f"{' and '.join(asked)} must look at each hospital's update, but trust: masked shows "
            "the coordinator only their sum",
            (Edit(changes), OPEN, groups),
        )
        return
    if rule == "fedavg":
        if f:
            yield Fault(
                ("robust_aggregation.method", "robust_aggregation.num_byzantine"),
                f"robust_aggregation.method: fedavg withstands no dishonest hospital, got f={f}",
                (
                    Edit({"robust_aggregation.num_byzantine": 0}),
                    Edit({"robust_aggregation.method": "median"}),
                ),
            )
        return
    yield from _unused(plan)
    if plan.training.solver == "newton":
        yield Fault(
            ("training.solver", "robust_aggregation.method"),
            f"training.solver: newton sends curvature, which robust_aggregation.method: {rule} "
            "cannot judge number by number",
            (Edit({"training.solver": "sgd"}), Edit(NO_RULE)),
        )
    size, n = (GROUP if trust == "grouped" else 1), plan.asked
    seen = n // size
    share = trimmed(seen, 0, robust.trim_ratio) if rule in TRIMMING else 0
    if 2 * share >= seen > 0 < share:
        yield Fault(
            ("robust_aggregation.trim_ratio", "federated.num_clients"),
            f"robust_aggregation.trim_ratio: {show(robust.trim_ratio)} would trim {share} of "
            f"{seen} updates at each end and leave none",
            (Edit({"robust_aggregation.trim_ratio": None}), Edit(NO_RULE)),
        )
        return
    wanted = max(plan.byzantine, 1) if f is None else f
    needed = size * smallest(rule, wanted)
    if n < needed:
        some = "" if n == plan.federated.num_clients else " in a round"
        yield Fault(
            (
                "trust",
                "robust_aggregation.method",
                "robust_aggregation.num_byzantine",
                "federated.num_clients",
            ),
            f"robust_aggregation.method: {rule} with f={wanted} needs at least {needed} hospitals"
            f"{some}{f', {GROUP} to a group' if size > 1 else ''}, got {n}",
            tuple(_for_small_numbers(plan, n, size, needed)),
        )
        return
    kept = robust.multi_krum_k
    if rule == "multi_krum" and kept is not None and kept > seen - wanted:
        yield Fault(
            ("robust_aggregation.multi_krum_k", "federated.num_clients"),
            f"robust_aggregation.multi_krum_k must be at most {seen - wanted}, the honest "
            f"among {seen} {'groups' if size > 1 else 'hospitals'}, got {kept}",
            (Edit({"robust_aggregation.multi_krum_k": None}),),
        )
    if rule in TRIMMING and not max(share, wanted):
        derived = {"robust_aggregation.num_byzantine": None}
        yield Fault(
            ("robust_aggregation.method", "robust_aggregation.num_byzantine"),
            f"robust_aggregation.method: {rule} with f=0 would trim nothing",
            (Edit(derived, "then follows from the number of hospitals"), Edit(NO_RULE)),
        )


def _unused(plan: Plan) -> Iterator[Fault]:
    """What was asked for and the rule has no use for."""
    robust = plan.robust_aggregation
    for key, rules in (("trim_ratio", TRIMMING), ("multi_krum_k", {"multi_krum"})):
        if getattr(robust, key) is not None and robust.method not in rules:
            path = f"robust_aggregation.{key}"
            yield Fault(
                (path, "robust_aggregation.method"),
                f"robust_aggregation.method: {robust.method} has no use for {path}",
                (Edit({path: None}),),
            )
    if robust.method == "foolsgold" and plan.trust == "grouped":
        yield Fault(
            ("robust_aggregation.method", "trust"),
            "robust_aggregation.method: foolsgold remembers each hospital, and trust: grouped "
            "shows new groups in every round",
            (Edit({"robust_aggregation.method": "median"}), OPEN),
        )


def detection(plan: Plan) -> Iterator[Fault]:
    robust = plan.robust_aggregation
    size = GROUP if plan.trust == "grouped" else 1
    if not robust.enabled or not robust.enable_detection or plan.trust == "masked":
        return
    if plan.asked < FEWEST * size:
        yield Fault(
            ("robust_aggregation.enable_detection", "federated.num_clients", "trust"),
            f"robust_aggregation.enable_detection compares each update with the others and needs "
            f"at least {FEWEST * size} hospitals{' in a round' if size == 1 else ''}, got "
            f"{plan.asked}",
            (Edit({"robust_aggregation.enable_detection": False}),),
        )


def _for_small_numbers(plan: Plan, n: int, size: int, needed: int) -> Iterator[Edit]:
    rule, f = plan.rule, plan.robust_aggregation.num_byzantine
    possible = largest_f(rule, n // size)
    if f is not None and 0 < possible < f:
        yield Edit({"robust_aggregation.num_byzantine": possible})
    if rule not in ("median", "trimmed_mean") and largest_f("median", n // size) >= (f or 1):
        unset = {key: None for key in OWN_KEYS if plan.values[key] is not None}
        yield Edit({"robust_aggregation.method": "median", **unset})
    if needed <= 1000:
        all_asked = {"federated.selection": "all", "federated.fraction_fit": 1.0}
        more = {k: v for k, v in all_asked.items() if plan.values[k] != v}
        alone = {"federated.evaluate_only": ()} if plan.federated.evaluate_only else {}
        count = max(needed, plan.federated.num_clients)
        yield Edit({"federated.num_clients": count, **more, **alone})
    if size > 1:
        yield OPEN
    yield Edit(NO_RULE, "no rule then guards against dishonest hospitals")
