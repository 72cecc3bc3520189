"""What leaves a hospital when it scores a model, as its policy says.

    shared     the whole histogram: for public demonstration data
    noisy      four counts (right and wrong, ill and well) with noise, charged to the ledger; of
               more classes what was right, among the first three and further down, for each class
               and in all
    summed     the whole histogram, inside a sealed sum only
    withheld   nothing

One held-out record stands in one of the four counts, so adding or removing it changes them by one:
sensitivity 1. Noisy counts are made whole afterwards, which costs no privacy: those of the test
rows to add up to how many there are, which the hospital told when it enrolled; others are cut off
at nought.
Of more than two classes it stands in one count of its class and in one total: sensitivity the root
of 2. What all classes come to is then brought to the totals, which carry the least noise, so that
cutting off at nought makes no patients out of empty classes.

Training goes first: as long as rounds are left, noisy scores that the rest of the training would
lack are not given. A model that was not scored is worth more than one that was not finished.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.evaluation.classes import examples_of, from_judged, is_tableau, judged
from aegis.evaluation.histogram import BINS, HALF, WIDEST
from aegis.hospital.grouping import Grouped, noisy_groups, scores_of
from aegis.hospital.mechanisms import TRAIN
from aegis.hospital.policy import Policy
from aegis.hospital.release import Account, fault_of_target
from aegis.messages import Evaluate, Refusal, Reply, Scores
from aegis.privacy.accounting import GaussianRelease
from aegis.privacy.filters import Cap
from aegis.privacy.gaussian import gaussian_sigma
from aegis.privacy.noise import off_grid

Noise = Callable[[float, int], NDArray[np.int64]]


def settled(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Logits that can be counted whatever the weights were. To refuse because some are not finite
    would tell how many, without noise."""
    found: NDArray[np.floating] = np.nan_to_num(logits, nan=0.0, posinf=WIDEST, neginf=-WIDEST)
    return found


def released_scores(
    request: Evaluate,
    hospital: str,
    histogram: NDArray[np.int64],
    loss_sum: float,
    policy: Policy,
    account: Account | None,
    noise: Noise,
    groups: Grouped | None = None,
    sealed: bool = False,
    left: int = 0,
) -> Reply:
    """The reply to a request for scores, from the exact histogram (2, bins) or tableau, and the
    exact counts by group where they were asked for. ``sealed``: it leaves inside a sealed sum.
    ``left`` is how many rounds of training are planned after this."""
    run, round = request.run, request.round
    if policy.scores == "withheld":
        return Refusal(run, round, hospital, "withheld by this hospital's policy")
    if policy.scores == "summed" and not sealed:
        return Refusal(run, round, hospital, "this hospital's scores leave in a sealed sum only")
    if policy.scores == "noisy" and sealed:
        return Refusal(run, round, hospital, "this hospital's scores leave with noise only")
    examples = examples_of(histogram)
    if policy.scores == "shared" and not policy.demonstration and examples < policy.minimum_cell:
        reason = f"fewer than {policy.minimum_cell} held-out rows are scored in a sum or not at all"
        return Refusal(run, round, hospital, reason)
    if policy.scores in ("shared", "summed"):
        by_group = None if groups is None else groups.counts
        return Scores(run, round, hospital, histogram, loss_sum, examples, by_group)
    if account is None:
        raise DataError("this hospital releases noisy scores only, and has no privacy ledger")
    fault = fault_of_target(policy.score_epsilon, policy.delta, max(examples, 1))
    if fault is not None:
        return Refusal(run, round, hospital, fault)
    sigma = gaussian_sigma(policy.score_epsilon, policy.delta)

    def compute() -> Reply:
        if is_tableau(histogram):
            tableau = from_judged(_noisy_classes(judged(histogram), sigma, noise))
            spread = math.sqrt(2) * sigma
            return Scores(
                run, round, hospital, tableau, None, examples_of(tableau), noise_sd=spread
            )
        exact = np.add.reduceat(histogram, [0, HALF], axis=1).astype(float)
        noisy = exact + off_grid(noise(sigma, 4)).reshape(2, 2)
        if request.part == "test":
            counts = _adding_up(noisy.ravel(), examples).reshape(2, 2)
        else:
            counts = np.maximum(np.rint(noisy), 0).astype(np.int64)
        coarse = np.zeros((2, BINS), dtype=np.int64)
        coarse[:, HALF - 1], coarse[:, HALF] = counts[:, 0], counts[:, 1]
        return Scores(run, round, hospital, coarse, None, int(counts.sum()), noise_sd=sigma)

    def grouped(reply: Reply) -> Reply:
        if groups is None or not isinstance(reply, Scores):
            return reply
        return replace(reply, groups=noisy_groups(groups, reply, policy, account, noise))

    # Scores have a budget of their own: training may spend the run's to the last.
    budget = Cap(policy.epsilon_cap, policy.delta)
    own = scores_of(run)
    kept = account.kept(own, round, request.part)
    if kept is not None:
        return grouped(kept)
    event = GaussianRelease(sigma)
    if not _room_beside_training(account, run, round, left, event):
        reason = "what these data may still spend is kept for the rounds that are left"
        return Refusal(run, round, hospital, reason)
    refusal = account.refused(own, round, request.part, hospital, event, budget)
    if refusal is not None:
        return Refusal(run, round, hospital, refusal.reason)
    reply = compute()
    account.store(request.part, reply, run=own)
    return grouped(reply)


def _room_beside_training(
    account: Account, run: str, round: int, left: int, event: GaussianRelease
) -> bool:
    """Whether the cap holds these scores, ``left`` more rounds that cost what this one did, and the
    scores of the final model."""
    trained = account.ledger.reserved(run, round, TRAIN) if left > 0 else None
    if trained is None:
        return True
    return account.cap.holds([*account.ledger.events(), event, *[trained] * left, event])


def _noisy_classes(cells: NDArray[np.int64], sigma: float, noise: Noise) -> NDArray[np.int64]:
    """Counts (K, 3) and their totals (3,) with noise, made whole, at least nought, and agreeing."""
    exact = np.vstack([cells, cells.sum(axis=0)]).astype(float)
    noisy = exact + off_grid(noise(math.sqrt(2) * sigma, exact.size)).reshape(exact.shape)
    totals = np.maximum(np.rint(noisy[-1]), 0).astype(np.int64)
    columns = [_adding_up(noisy[:-1, at], int(totals[at])) for at in range(len(totals))]
    return np.stack(columns, axis=1)


def _adding_up(values: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """The nearest whole numbers of at least nought that add up to ``total``: the projection onto
    the simplex (Held, Wolfe and Crowder 1974), then largest remainders."""
    down = np.sort(values)[::-1]
    excess = (np.cumsum(down) - total) / np.arange(1, len(down) + 1)
    kept = int(np.flatnonzero(down - excess >= 0).max(initial=0))
    shares = np.maximum(values - excess[kept], 0)
    whole = np.floor(shares + 1e-9).astype(np.int64)
    rest = total - int(whole.sum())
    whole[np.argsort(whole - shares, kind="stable")[:rest]] += 1
    return np.asarray(whole)
