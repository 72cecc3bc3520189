"""Protections at odds: trust mode, rules against dishonest hospitals, server optimizers, privacy.

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
from aegis.plan.layers import BY_NOISE_RULE, defaults
from aegis.plan.plan import Plan, follows_noise_rule, noises_steps, noises_updates
from aegis.plan.sentences import show

OPEN = Edit(
    {"trust": "open", "secure_aggregation.enabled": False},
    "the coordinator then sees each hospital's update",
)
NO_PRIVACY = Edit({"privacy.enabled": False}, "the model then carries no privacy guarantee")
NO_RULE = {"robust_aggregation.method": "fedavg", "robust_aggregation.enable_detection": False}
OWN_KEYS = ("robust_aggregation.trim_ratio", "robust_aggregation.multi_krum_k")


def trust(plan: Plan) -> Iterator[Fault]:
    trust, secure, n = plan.trust, plan.secure_aggregation, plan.federated.num_clients
    if secure.enabled != (trust != "open"):
        agreeing = Edit({"secure_aggregation.enabled": trust != "open"})
        other = OPEN if trust != "open" else Edit({"trust": "masked"})
        yield Fault(
            ("trust", "secure_aggregation.enabled"),
            f"trust: {trust} and secure_aggregation.enabled: {show(secure.enabled)} disagree",
            (agreeing, other),
        )
    if trust == "open":
        return
    if not secure.use_masking:
        yield Fault(
            ("trust", "secure_aggregation.use_masking"),
            f"trust: {trust} hides updates by masks, and secure_aggregation.use_masking is false",
            (Edit({"secure_aggregation.use_masking": True}), OPEN),
        )
    if n < GROUP:
        yield Fault(
            ("trust", "federated.num_clients"),
            f"trust: {trust} needs at least {GROUP} hospitals, got {n}: of a sum of two, each "
            "hospital knows the other's part",
            (Edit({"federated.num_clients": GROUP}), OPEN),
        )
    quorum = plan.federated.quorum
    if isinstance(quorum, int) and quorum < GROUP:
        yield Fault(
            ("trust", "federated.quorum"),
            f"trust: {trust} needs a quorum of at least {GROUP}, got {quorum}",
            (Edit({"federated.quorum": None}, "two thirds of the hospitals"), OPEN),
        )


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


def server(plan: Plan) -> Iterator[Fault]:
    optimizer, training = plan.server.optimizer, plan.training
    plain = Edit({"server.optimizer": "fedavg"})
    key = "server.optimizer"
    if optimizer == "cyclic" and plan.trust != "open":
        yield Fault(
            (key, "trust"),
            f"{key}: cyclic hands the model from one hospital to the next, so there is no sum for "
            f"trust: {plan.trust} to hide it in",
            (plain, OPEN),
        )
    rule = plan.rule
    watched = plan.robust_aggregation.enabled and plan.robust_aggregation.enable_detection
    if optimizer in ("cyclic", "scaffold") and (rule != "fedavg" or watched):
        reason = {
            "cyclic": "leaves one update in each round and nothing to compare it with",
            "scaffold": "carries control variates that no rule guards",
        }[optimizer]
        problem = f"{key}: {optimizer} {reason}, so robust_aggregation cannot protect it"
        yield Fault((key, *NO_RULE), problem, (plain, Edit(NO_RULE)))
    if optimizer == "scaffold":
        wanted = {"training.solver": "sgd", "training.optimizer": "sgd", "training.momentum": 0.0}
        wrong = {k: v for k, v in wanted.items() if plan.values[k] != v}
        if wrong and training.solver != "newton":
            got = ", ".join(f"{name}: {show(plan.values[name])}" for name in wrong)
            problem = f"{key}: scaffold corrects plain sgd steps, got {got}"
            yield Fault((key, *wrong), problem, (plain, Edit(wrong)))


def privacy(plan: Plan) -> Iterator[Fault]:
    privacy, optimizer = plan.privacy, plan.server.optimizer
    if not privacy.enabled:
        return
    mechanism = privacy.mechanism
    logistic = plan.model.name == "logistic" and not (plan.model.hidden or plan.model.dropout)
    dp_sgd = Edit({"privacy.mechanism": "dp_sgd"})
    if mechanism == "none":
        yield Fault(
            ("privacy.enabled", "privacy.mechanism"),
            "privacy.enabled: true with privacy.mechanism: none would add no noise",
            (dp_sgd, NO_PRIVACY),
        )
    if mechanism == "distributed" and plan.trust != "masked":
        yield Fault(
            ("privacy.mechanism", "trust"),
            f"privacy.mechanism: distributed hides each hospital's small noise in the masked sum, "
            f"but trust is {plan.trust}",
            (dp_sgd, Edit({"trust": "masked", "secure_aggregation.enabled": True})),
        )
    if mechanism == "distributed" and plan.training.solver == "sgd":
        yield Fault(
            ("privacy.mechanism", "training.solver"),
            "privacy.mechanism: distributed shares out the noise of one full gradient, and "
            "training.solver is sgd",
            (dp_sgd, *([Edit({"training.solver": "gradient"})] if logistic else [])),
        )
    if privacy.noise == "laplace" and mechanism in ("dp_sgd", "distributed"):
        yield Fault(
            ("privacy.noise", "privacy.mechanism"),
            f"privacy.noise: laplace is for privacy.mechanism: local_update, got {mechanism}",
            (Edit({"privacy.noise": "gaussian"}), Edit({"privacy.mechanism": "local_update"})),
        )
    if privacy.noise_multiplier == 0:
        yield Fault(
            ("privacy.enabled", "privacy.noise_multiplier"),
            "privacy.noise_multiplier must be above 0 while privacy is on, got 0",
            (Edit({"privacy.noise_multiplier": None}, "then follows from the budget"), NO_PRIVACY),
        )
    if plan.training.solver == "newton":
        yield Fault(
            ("privacy.enabled", "training.solver"),
            "training.solver: newton has no private form here, and privacy.enabled is true",
            (Edit({"training.solver": "gradient"}), NO_PRIVACY),
        )
    if optimizer == "scaffold" and mechanism in ("local_update", "distributed"):
        yield Fault(
            ("privacy.mechanism", "server.optimizer"),
            f"server.optimizer: scaffold sends control variates to which privacy.mechanism: "
            f"{mechanism} adds no noise",
            (Edit({"server.optimizer": "fedavg"}), dp_sgd),
        )


def statistics(plan: Plan) -> Iterator[Fault]:
    """Sums over rows, and scaling by them, that the mechanism's noise does not cover."""
    scaling, mechanism = plan.data.standardize, plan.privacy.mechanism
    exact = "sends exact sums of training rows"
    if noises_steps(plan) and scaling == "site":
        exact = "lets one record move every other record of its hospital"
    elif scaling != "federated" or not (noises_steps(plan) or noises_updates(plan)):
        return
    yield Fault(
        ("privacy.mechanism", "data.standardize"),
        f"data.standardize: {scaling} {exact}, which the noise of privacy.mechanism: {mechanism} "
        "does not cover",
        (Edit({"data.standardize": "none"}, "columns are scaled by public ranges"), NO_PRIVACY),
    )


def noise_rule(plan: Plan) -> Iterator[Fault]:
    """Null where the noise rule does not decide, and what its rounds cannot be mixed with."""
    if not follows_noise_rule(plan):
        for path in BY_NOISE_RULE:
            if plan.values[path] is None:
                value = defaults()[path]
                problem = f"{path}: null lets the noise rule decide, and this plan does not use it"
                yield Fault((path,), problem, (Edit({path: value}),))
        return
    wanted = {
        "server.optimizer": "fedavg",
        "server.learning_rate": 1.0,
        "federated.selection": "all",
        "federated.fraction_fit": 1.0,
        "training.l2": 0.0,
        "training.tolerance": None,
        "training.schedule": "constant",
        "training.learning_rate_decay": 1.0,
        "evaluation.keep": "last",
        "evaluation.patience": None,
        "evaluation.gate": None,
    }
    if plan.data.standardize == "site":
        wanted["data.standardize"] = "federated"
    wrong = {k: v for k, v in wanted.items() if plan.values.get(k, v) != v}
    if wrong:
        got = ", ".join(f"{key}: {show(plan.values[key])}" for key in wrong)
        problem = f"private full-batch descent is planned to its end beforehand, got {got}"
        yield Fault(("training.solver", *wrong), problem, (Edit(wrong), NO_PRIVACY))
