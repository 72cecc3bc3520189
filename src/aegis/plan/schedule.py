"""The noise-level rule for a plan: everything about a private run that public numbers decide.

Coordinator and hospital each work it out for themselves, from the plan, the number of hospitals and
of their training rows; what a hospital charges and adds never comes from a message.
"""

from __future__ import annotations

from dataclasses import replace

from aegis.plan.own_data import of_images
from aegis.plan.plan import Plan, follows_noise_rule, noises_steps, noises_updates
from aegis.privacy.dpgd import IMAGES, TABLES, DpGdSchedule, noise_multiplicity, plan_rounds


def schedule(plan: Plan, examples: int, hospitals: int, features: int) -> DpGdSchedule:
    """``examples`` counts all hospitals' training rows, ``features`` columns without intercept.

    A number that the plan gives (rounds, learning rate, clip, noise multiplier) stands; null
    follows from the rule. Budget and noise multiplier together may then not fit: the hospital's
    ledger says no in time.
    """
    privacy = plan.privacy
    multiplicity: float = hospitals
    if privacy.mechanism == "distributed":
        multiplicity = noise_multiplicity(hospitals, plan.quorum(hospitals), privacy.colluding)
    images = of_images(plan)
    statistics = None if plan.data.standardize == "federated" and not images else False
    found = plan_rounds(
        examples,
        features,
        multiplicity,
        privacy.epsilon_budget,
        privacy.delta,
        statistics,
        IMAGES if images else TABLES,
    )
    rounds = plan.federated.num_rounds or found.rounds
    clip = privacy.max_grad_norm or found.clip
    travel = found.learning_rate * found.clip * found.rounds
    noise = clip * rounds**0.5 / found.mu_gradients
    if privacy.noise_multiplier is not None:
        noise = privacy.noise_multiplier * clip
    rate = plan.training.learning_rate or travel / (clip * rounds)
    return replace(found, rounds=rounds, clip=clip, learning_rate=rate, noise_sd=noise)


def sampled_steps(plan: Plan, rows: int) -> tuple[float, int]:
    """DP-SGD of one round at a hospital with so many training rows: the chance with which each row
    joins a batch, and how many batches there are."""
    training = plan.training
    steps = training.local_steps or training.local_epochs * -(-rows // training.batch_size)
    return min(1.0, training.batch_size / rows), steps


__all__ = ["follows_noise_rule", "noises_steps", "noises_updates", "sampled_steps", "schedule"]
