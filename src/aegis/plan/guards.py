"""Protections at odds: trust mode, server optimizers, privacy. Rules against dishonest hospitals
have a module of their own."""

from __future__ import annotations

from collections.abc import Iterator

from aegis.aggregation.conditions import GROUP
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
    logistic = logistic and plan.model.num_classes == 2
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
            (Edit({"training.solver": "gradient" if logistic else "sgd"}), NO_PRIVACY),
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
