"""Answering a question about counts: policy, price, ledger, and only then the rows.

With a ledger every answer carries Gaussian noise on the grid, charged before anything is counted:
one patient changes one cell by one, so the noise of the price (epsilon, delta) is its multiple of
sensitivity 1. Rounding to whole patients comes after the noise and costs nothing. The key of an
answer is the question's hash with its price: whoever asks again, in whatever run, gets the cells
that were stored. Without a ledger nothing is answered, unless the policy calls the rows a
demonstration: then small cells are withheld here, and the answer says that it has no noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from aegis.hospital.policy import Policy
from aegis.hospital.release import Account, fault_of_target
from aegis.hospital.site import Site
from aegis.messages import WITHHELD, Ask, Counts, Refusal, Reply
from aegis.privacy.accounting import GaussianRelease
from aegis.privacy.filters import Cap
from aegis.privacy.gaussian import gaussian_sigma
from aegis.privacy.noise import off_grid, on_grid
from aegis.tasks.question import Question, read_question
from aegis.tasks.topics import Topics

QUESTIONS = "questions"  # all questions of all runs are one account within the ledger
NO_LEDGER = "without a ledger to charge, only public demonstration data may be counted"

Noise = Callable[[float, int], NDArray[np.int64]]


def counted(
    request: Ask,
    site: Site,
    positive: str,
    policy: Policy,
    account: Account | None,
    noise: Noise,
) -> Reply:
    """The answer that leaves, or a refusal. ``positive`` is the task's word for label 1, ``noise``
    draws grid steps of a standard deviation. Raises ``BadInput`` for what is no question."""
    if (reason := policy.refuses()) is not None:
        return _refusal(request, site, reason)
    topics = Topics.of(site.schema, positive, site.train)
    question = read_question(request.question_json, topics)
    if (reason := policy.refuses(question.kind)) is not None:
        return _refusal(request, site, reason)
    rows = sum(len(part) for part in (site.train, site.validation, site.test))
    if account is None:
        if not policy.demonstration:
            return _refusal(request, site, NO_LEDGER)
        cells = withheld(_exact(question, site, topics), policy.minimum_cell)
        least = policy.minimum_cell
        return Counts(request.run, request.round, site.name, cells, rows, 0.0, least)
    epsilon, delta = request.epsilon, request.delta
    reason = policy.refuses_price(epsilon, delta) or fault_of_target(epsilon, delta, rows)
    if reason is not None:
        return _refusal(request, site, reason)
    sigma = gaussian_sigma(epsilon, delta)

    def compute() -> Reply:
        exact = _exact(question, site, topics)
        steps = on_grid(exact.ravel().astype(np.float64)) + noise(sigma, exact.size)
        cells = np.rint(off_grid(steps)).astype(np.int64).reshape(exact.shape)
        sd = math.sqrt(sigma**2 + 1 / 12)  # rounding spreads by another twelfth
        return Counts(QUESTIONS, 0, site.name, cells, rows, sd, policy.minimum_cell)

    reply = account.release(
        QUESTIONS,
        0,
        f"{question.sha256} at {epsilon!r}, {delta!r}",
        site.name,
        GaussianRelease(sigma),
        Cap(policy.epsilon_cap, policy.delta),
        compute,
    )
    return replace(reply, run=request.run, round=request.round)


def withheld(cells: NDArray[np.int64], minimum: int) -> NDArray[np.int64]:
    """Exact ``cells`` with those below ``minimum`` withheld. As all of them together may be known,
    the smallest others go too until ``minimum`` patients or more are behind what is withheld."""
    shown = cells >= minimum
    for at in np.argsort(cells, axis=None, kind="stable"):
        if shown.all() or cells[~shown].sum() >= minimum:
            break
        shown.flat[at] = False
    return np.where(shown, cells, WITHHELD)


def _exact(question: Question, site: Site, topics: Topics) -> NDArray[np.int64]:
    """Sensitive: what the rows hold, without noise."""
    parts = (site.train, site.validation, site.test)
    total = np.zeros(question.shape(topics), dtype=np.int64)
    for part in parts:
        if len(part):
            total += question.counts(part, topics)
    return total


def _refusal(request: Ask, site: Site, reason: str) -> Refusal:
    return Refusal(request.run, request.round, site.name, reason)
