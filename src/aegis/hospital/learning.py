"""From an admitted request to rows, and from what was trained on them to the reply.

``Node`` decides whether; here stands how: the sums of the statistics round, the job that a request
for training becomes, what it is charged, the noise on what comes out, and the rows that are scored.
Under the noise rule a reply is made, charged and stored in one step; else training lies in between,
so that a stack of hospitals can do it together.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from aegis.errors import DataError
from aegis.hospital.grouping import Counting
from aegis.hospital.mechanisms import STATISTICS, TRAIN, charged, protected
from aegis.hospital.private import noisy_gradient, noisy_statistics
from aegis.hospital.release import Account
from aegis.hospital.site import Designs, Memory, Site
from aegis.hospital.work import Agreed, Scoring, Work
from aegis.messages import Evaluate, Refusal, Reply, Statistics, Tally, Train, Update
from aegis.plan import Plan
from aegis.plan.schedule import follows_noise_rule, schedule
from aegis.privacy.budget import Action, Advice
from aegis.privacy.dpgd import change
from aegis.privacy.dpsgd import DpSgd
from aegis.privacy.noise import SystemNoise
from aegis.tasks.bounded import Bounded, read_preparation
from aegis.tasks.groups import groupings
from aegis.tasks.image_features import ImageFeatures
from aegis.tasks.pixels import Pixels
from aegis.tasks.preparation import Preparation, tally, vocabulary, with_vocabulary
from aegis.training.engines import engine_gradient
from aegis.training.trainer import Job, Trained

log = logging.getLogger("aegis")


class Learning:
    """``account`` is the hospital's ledger as far as its policy lets it be spent, None where there
    is none; then what must be charged is not done."""

    def __init__(
        self,
        site: Site,
        memory: Memory,
        designs: Designs,
        noise: SystemNoise,
        advised: Callable[[str, int, Advice], None] | None,
    ) -> None:
        self._site, self._memory, self._designs, self._noise = site, memory, designs, noise
        self._own: dict[str, str] = {}
        self._advised = advised or self._log_advice
        self._last_advice: dict[str, Action] = {}

    def statistics(self, agreed: Agreed, request: Statistics, account: Account | None) -> Reply:
        if follows_noise_rule(agreed.plan):
            return self._private_statistics(agreed, request, accountable(account))
        if agreed.plan.privacy.enabled:
            raise DataError(
                "exact statistics are not covered by any epsilon",
                "a private plan scales by public ranges",
                "Set data.standardize: none",
            )
        site, rows = self._site, self._site.train
        if request.vocabulary is None:
            words = vocabulary(site.schema, rows)
            return Tally(request.run, request.round, self._site.name, np.zeros(0), len(rows), words)
        sums = tally(with_vocabulary(site.schema, request.vocabulary), rows)
        return Tally(request.run, request.round, self._site.name, sums, len(rows))

    def work(self, agreed: Agreed, request: Train, account: Account | None) -> Work | Reply:
        if follows_noise_rule(agreed.plan):
            return self._private_step(agreed, request, accountable(account))
        private = agreed.plan.privacy.enabled
        if private:
            kept = accountable(account).kept(request.run, request.round, TRAIN)
            if kept is not None:
                return kept
        preparation = self._preparation(agreed.plan, request.preparation)
        model = agreed.model(preparation)
        if request.weights.shape != (model.size,):
            raise DataError(
                f"the weights received are {request.weights.shape}", f"the plan's are {model.size}"
            )
        own = correction = None
        if request.control is not None:
            own = self._memory.recall(request.run, request.round, self._site.name)
            own = np.zeros_like(request.control) if own is None else own
            correction = request.control - own
        job = Job(
            hospital=self._site.name,
            seed=agreed.plan.seed,
            round=request.round,
            model=model,
            weights=request.weights,
            design=self._designs.of("train", preparation, model.dtype),
            labels=self._site.train.labels,
            learning_rate=request.learning_rate,
            total_examples=request.total_examples,
            settings=agreed.settings,
            correction=correction,
            odds=_odds(preparation),
        )
        work = Work(request, job, own)
        return self._charged(agreed.plan, work, accountable(account)) if private else work

    def _charged(self, plan: Plan, work: Work, account: Account) -> Work | Refusal:
        """The work with its mechanism, or why there is no room for it."""
        run, round = work.request.run, work.request.round

        def hear(advice: Advice) -> None:
            if self._last_advice.get(run, Action.CONTINUE) is not advice.action:
                self._last_advice[run] = advice.action
                self._advised(run, round, advice)

        rows = len(work.job.labels)
        found = charged(plan, work.request, self._site.name, rows, account, hear)
        if isinstance(found, Refusal):
            return found
        job = replace(work.job, private=found if isinstance(found, DpSgd) else None)
        return replace(work, job=job, mechanism=found)

    def scoring(self, agreed: Agreed, request: Evaluate) -> Scoring:
        preparation = self._preparation(agreed.plan, request.preparation)
        model = agreed.model(preparation)
        design = self._designs.of(request.part, preparation, model.dtype)
        rows, counting = self._site.part(request.part), None
        if request.groups:
            asked = groupings(self._site.schema, agreed.plan.fairness.attributes)
            counting = Counting.of(asked, rows)
        return Scoring(request, model, design, rows.labels, counting)

    def _private_statistics(self, agreed: Agreed, request: Statistics, account: Account) -> Reply:
        rows = self._site.train
        prepared = Bounded.of(self._site.schema)
        features = len(prepared.features)
        planned = schedule(agreed.plan, request.total_examples, request.hospitals, features)
        event = planned.statistics_event
        if event is None:
            raise DataError("the plan's noise rule has no statistics round")

        def compute() -> Reply:
            noise = self._noise.gaussian_on_grid
            sums = noisy_statistics(prepared, rows, planned, request.hospitals, noise)
            return Tally(request.run, request.round, self._site.name, sums, len(rows))

        return account.release(
            request.run, request.round, STATISTICS, self._site.name, event, agreed.budget, compute
        )

    def _private_step(self, agreed: Agreed, request: Train, account: Account) -> Reply:
        rows = self._site.train
        if not isinstance(read_preparation(request.preparation), Bounded | ImageFeatures):
            raise DataError("private training needs a preparation with public bounds")
        design = self._designs.of("train", request.preparation, np.dtype(np.float64))
        planned = schedule(agreed.plan, request.total_examples, request.hospitals, design.shape[1])

        def compute() -> Reply:
            total = noisy_gradient(
                np.asarray(design, dtype=np.float64),
                rows.labels,
                request.weights,
                planned,
                request.hospitals,
                self._noise.gaussian_on_grid,
                engine_gradient(self._site.engine),
            )
            # In a sealed sum the noise stays on its grid; the step is taken on the sum.
            sealed = agreed.plan.trust != "open"
            vector = total if sealed else change(total, request.learning_rate, len(rows))
            return Update(request.run, request.round, self._site.name, vector, len(rows))

        event = planned.round_event
        return account.release(
            request.run, request.round, TRAIN, self._site.name, event, agreed.budget, compute
        )

    def update(self, work: Work, trained: Trained, account: Account | None) -> Reply:
        """The reply that what was trained comes to, noised and stored where it was charged."""
        request, mechanism = work.request, work.mechanism
        change = None
        if mechanism is not None:
            trained = replace(trained, vector=protected(mechanism, trained, self._noise))
        if request.control is not None and work.control is not None and trained.steps:
            # Option II of Karimireddy et al. 2020: c_i+ = c_i - c - change / (steps * rate).
            change = -request.control - trained.vector / (trained.steps * request.learning_rate)
            self._memory.keep(request.run, request.round, self._site.name, work.control + change)
        reply = Update(
            request.run,
            request.round,
            self._site.name,
            trained.vector,
            len(work.job.labels),
            control=change,
        )
        return reply if mechanism is None else accountable(account).store(TRAIN, reply)

    def localised(self, received: str) -> str:
        """The preparation received, its numbers by this hospital's own mean and spread."""
        if received not in self._own:
            prepared = Preparation.from_json(received)
            schema = with_vocabulary(self._site.schema, prepared.vocabulary)
            own = prepared.recentred(schema, tally(schema, self._site.train))
            self._own[received] = own.to_json()
        return self._own[received]

    def _preparation(self, plan: Plan, received: str) -> str:
        own = plan.data.standardize == "site" and self._site.schema.image is None
        return self.localised(received) if own else received

    def _log_advice(self, run: str, round: int, advice: Advice) -> None:
        grave = advice.noise_multiplier is None or advice.action is Action.INCREASE_NOISE
        level = logging.WARNING if grave else logging.INFO
        log.log(level, "%s, %s round %d: %s", self._site.name, run, round, advice.reason)


def _odds(preparation: str) -> float | None:
    """The log-odds of illness among all hospitals' patients, where the preparation tells them."""
    prepared = read_preparation(preparation) if preparation else None
    return prepared.odds if isinstance(prepared, Pixels) else None


def accountable(account: Account | None) -> Account:
    if account is None:
        raise DataError("the plan is private and this hospital has no privacy ledger")
    return account
