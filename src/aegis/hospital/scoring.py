"""What leaves a hospital when it scores a model, as its policy says.

    shared     the whole histogram: for public demonstration data
    noisy      four counts (right and wrong, ill and well) with noise, charged to the ledger; of
               more classes what was right, among the first three and further down, for each class
               and in all
    summed     the whole histogram, inside a sealed sum only
    withheld   nothing

One held-out record stands in one of the four counts, so adding or removing it changes them by one:
sensitivity 1. Of more than two classes it stands in one count of its class and in one total:
sensitivity the root of 2.

Noisy counts leave signed: what is cut off at nought here would be a bias in every sum of hospitals
(``evaluation.whole``). They are only moved, all by as much: those of the test rows to add up to how
many there are, which the hospital told when it enrolled, those of classes to their totals, which
carry the least noise. That costs no privacy.

Training goes first: as long as rounds are left, noisy scores that the rest of the training would
lack are not given. A model that was not scored is worth more than one that was not finished. So do
the scores of the final model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError
from aegis.evaluation.classes import examples_of, from_judged, is_tableau, judged
from aegis.evaluation.histogram import WIDEST
from aegis.evaluation.whole import MOST_PER_ROW, from_kinds, kinds, rounded
from aegis.hospital.grouping import Grouped, noisy_groups, scores_of
from aegis.hospital.mechanisms import TRAIN
from aegis.hospital.policy import Policy
from aegis.hospital.release import Account, fault_of_target
from aegis.messages import Evaluate, Refusal, Reply, Scores
from aegis.privacy.accounting import Event, GaussianRelease
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
    first: Event | None = None,
    groups_due: bool = False,
) -> Reply:
    """The reply to a request for scores, from the exact histogram (2, bins) or tableau, and the
    exact counts by group where they were asked for. ``sealed``: it leaves inside a sealed sum.
    ``left`` is how many rounds of training are planned after this, ``first`` what one is charged
    where the run was not charged for any yet, ``groups_due`` whether the run ends with a question
    about groups of patients: a release of its own."""
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
    spread = math.sqrt(2) * sigma if is_tableau(histogram) else sigma
    if request.part == "test" and spread > MOST_PER_ROW * examples:
        reason = f"noise of {spread:.3g} patients would leave nothing to tell of {examples} rows"
        return Refusal(run, round, hospital, reason)

    def compute() -> Reply:
        told = examples if request.part == "test" else None
        if is_tableau(histogram):
            released = from_judged(_noisy_classes(judged(histogram), spread, noise, told))
        else:
            noisy = kinds(histogram) + off_grid(noise(sigma, 4))
            released = from_kinds(_moved(noisy, told))
        return Scores(run, round, hospital, released, None, examples_of(released), noise_sd=spread)

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
    if not _room_beside_training(account, request, left, event, first, groups_due):
        later = "rounds that are left" if left else "final model's scores"
        reason = f"what these data may still spend is kept for the {later}"
        return Refusal(run, round, hospital, reason)
    refusal = account.refused(own, round, request.part, hospital, event, budget)
    if refusal is not None:
        return Refusal(run, round, hospital, refusal.reason)
    reply = compute()
    account.store(request.part, reply, run=own)
    return grouped(reply)


def _room_beside_training(
    account: Account,
    request: Evaluate,
    left: int,
    event: GaussianRelease,
    first: Event | None,
    groups_due: bool,
) -> bool:
    """Whether the cap holds these scores, ``left`` more rounds that cost what the last one did in
    which this hospital trained, and the scores of the final model. Scores of test rows after which
    no round is left are the final model's: nothing is kept from them."""
    if request.groups or (left == 0 and request.part == "test"):
        return True
    trained = account.ledger.last_reserved(request.run, TRAIN) or first
    training = [] if trained is None else [trained] * left
    final = [event] * (1 + groups_due)
    return account.cap.holds([*account.ledger.events(), event, *training, *final])


def _noisy_classes(
    cells: NDArray[np.int64], spread: float, noise: Noise, told: int | None
) -> NDArray[np.int64]:
    """Counts (K, 3) with noise that agree with their totals, which had noise of their own."""
    exact = np.vstack([cells, cells.sum(axis=0)])
    noisy = exact + off_grid(noise(spread, exact.size)).reshape(exact.shape)
    totals = _moved(noisy[-1], told)
    columns = [_moved(noisy[:-1, at], int(total)) for at, total in enumerate(totals)]
    return np.stack(columns, axis=1)


def _moved(noisy: NDArray[np.float64], total: int | None) -> NDArray[np.int64]:
    """Whole numbers, signed: where there is a ``total``, all moved by as much to add up to it."""
    if total is None:
        return np.rint(noisy).astype(np.int64)
    return rounded(noisy - (noisy.sum() - total) / len(noisy), total)
