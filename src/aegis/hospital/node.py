"""The node: one hospital's only door. Every road ends in ``answer``.

``admit`` checks a request (the run it was invited to, the plan it agreed to, later: envelope,
policy, ledger) and turns it into work or into an answer; ``finish`` turns the trained vector into
the reply that leaves (later: noise, mask, store, seal). ``answer`` is admit, train, finish. A
simulator admits many nodes, trains them as one stack and finishes each, so that no path leaves out
a gate. Whatever goes wrong inside becomes a ``Refusal`` that says why without a patient's value.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aegis.errors import AegisError, DataError
from aegis.evaluation.histogram import score
from aegis.hospital.counting import counted
from aegis.hospital.decisions import Decisions
from aegis.hospital.gate import Gate
from aegis.hospital.grouping import Counting, Grouped
from aegis.hospital.mechanisms import TRAIN, Mechanism, charged, fault_of, protected
from aegis.hospital.policy import Closed, Policy
from aegis.hospital.policy_file import PolicyFile
from aegis.hospital.private import noisy_gradient, noisy_statistics
from aegis.hospital.release import Account, fault_of_target
from aegis.hospital.scoring import released_scores, settled
from aegis.hospital.sealing import Seal, SealedSums
from aegis.hospital.site import Designs, Memory, Site, VolatileMemory
from aegis.messages import (
    Ask,
    Enrolled,
    Evaluate,
    Invite,
    Refusal,
    Reply,
    Request,
    Scores,
    Statistics,
    Tally,
    Train,
    Update,
    Vector,
)
from aegis.messages.stages import Advertise, Confirm, Mask, Opened, Share, Stage, Unmask
from aegis.plan import Plan
from aegis.plan.schedule import follows_noise_rule, schedule
from aegis.privacy.budget import Action, Advice
from aegis.privacy.dpgd import change
from aegis.privacy.dpsgd import DpSgd
from aegis.privacy.filters import Cap
from aegis.privacy.noise import SystemNoise
from aegis.tasks.bounded import Bounded, read_preparation
from aegis.tasks.groups import groupings
from aegis.tasks.image_features import ImageFeatures
from aegis.tasks.models import Perceptron, network
from aegis.tasks.preparation import Preparation, tally, vocabulary, with_vocabulary
from aegis.tasks.task import find_task
from aegis.training import trainer_for
from aegis.training.trainer import Job, Settings, Trained

log = logging.getLogger("aegis")

REFUSED = (AegisError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True)
class Agreed:
    """A plan this hospital agreed to, and what of it every round needs, worked out once."""

    plan: Plan
    sha256: str
    settings: Settings
    models: dict[str, Perceptron] = field(default_factory=dict)

    @property
    def budget(self) -> Cap:
        """What this run may spend here."""
        return Cap(self.plan.privacy.epsilon_budget, self.plan.privacy.delta)

    @classmethod
    def to(cls, plan: Plan) -> Agreed:
        training = plan.training
        settings = Settings(
            solver=training.solver,
            optimizer=training.optimizer,
            batch_size=training.batch_size,
            local_epochs=training.local_epochs,
            local_steps=training.local_steps,
            momentum=training.momentum,
            weight_decay=training.weight_decay,
            proximal_mu=training.proximal_mu,
            l2=training.l2,
            measure_loss=False,
        )
        return cls(plan, plan.sha256, settings)

    def model(self, preparation: str) -> Perceptron:
        if preparation not in self.models:
            self.models[preparation] = network(self.plan.model, preparation)
        return self.models[preparation]


@dataclass(frozen=True)
class Work:
    """An admitted request for training, with the job it became, the mechanism that was charged for
    it where the plan is private, and the sealed sum that it is for."""

    request: Train
    job: Job
    control: Vector | None = None
    mechanism: Mechanism | None = None
    stage: Mask | None = None


@dataclass(frozen=True)
class Scoring:
    """An admitted request for scores, with the rows it is about."""

    request: Evaluate
    model: Perceptron
    design: NDArray[np.floating]
    labels: NDArray[np.int64]
    counting: Counting | None = None
    stage: Mask | None = None

    def grouped(self, logits: NDArray[np.floating]) -> Grouped | None:
        """The counts by group of patients, where they were asked for."""
        return None if self.counting is None else self.counting.counted(logits, self.labels)


class Node:
    """``policy`` is what the hospital allows; without one it takes part in nothing. ``decisions``
    is where people approve plans, where the policy asks for a person, and what keeps it known
    through a restart what was asked. ``approve`` may have one more say on a plan: it returns a
    reason to refuse, or nothing.
    ``features`` is a folder of this hospital's own, where what its images become is kept.
    ``advised`` hears (run, round, advice) where a run's privacy budget asks for another action than
    in the round before; without it the log does."""

    def __init__(
        self,
        site: Site,
        memory: Memory | None = None,
        approve: Callable[[Plan], str | None] = lambda plan: None,
        account: Account | None = None,
        policy: Policy | PolicyFile | None = None,
        advised: Callable[[str, int, Advice], None] | None = None,
        seal: Seal | None = None,
        decisions: Decisions | None = None,
        features: Path | None = None,
    ) -> None:
        self.site = site
        self.account = account
        self._policy = policy
        self._decisions = decisions
        self._gate = Gate(site, decisions)
        self._noise = SystemNoise()
        self._memory = memory or VolatileMemory()
        self._approve = approve
        self._designs = Designs(site, features)
        self._runs: dict[str, Agreed] = {}
        self._own: dict[str, str] = {}
        self._advised = advised or self._log_advice
        self._last_advice: dict[str, Action] = {}
        self._seal = seal
        self._sums = None if seal is None else SealedSums(site.name, seal)

    @property
    def name(self) -> str:
        return self.site.name

    @property
    def policy(self) -> Policy:
        """As it stands now. Raises ``DataError`` where there is none that counts."""
        standing = self._standing()
        if isinstance(standing, Closed):
            raise DataError(standing.reason)
        return standing

    def _standing(self) -> Policy | Closed:
        match self._policy:
            case None:
                return Closed()
            case PolicyFile() as file:
                return file.current()
            case Policy() as policy:
                return policy

    def answer(self, request: Request) -> Reply:
        try:
            match self.admit(request):
                case Work() as work:
                    trainer = trainer_for(work.job.model, work.job.private is not None)
                    return self.finish(work, trainer.train(work.job))
                case Scoring() as scoring:
                    logits = scoring.model.logits(scoring.request.weights, scoring.design)
                    if self.policy.scores != "shared":
                        logits = settled(logits)
                    found = score(logits, scoring.labels)
                    return self.scored(scoring, *found, scoring.grouped(logits))
                case reply:
                    return reply
        except REFUSED as error:
            return self.refusal(request, error)

    def admit(self, request: Request) -> Work | Scoring | Reply:
        try:
            return self._admit(request)
        except REFUSED as error:
            return self.refusal(request, error)

    def refusal(self, request: Request, error: Exception) -> Refusal:
        return Refusal(request.run, request.round, self.name, _sentence(error))

    def finish(self, work: Work, trained: Trained) -> Reply:
        try:
            return self._finish(work, trained)
        except REFUSED as error:
            return self.refusal(work.request, error)

    def _finish(self, work: Work, trained: Trained) -> Reply:
        request, mechanism = work.request, work.mechanism
        change = None
        if mechanism is not None:
            trained = replace(trained, vector=protected(mechanism, trained, self._noise))
        if request.control is not None and work.control is not None and trained.steps:
            # Option II of Karimireddy et al. 2020: c_i+ = c_i - c - change / (steps * rate).
            change = -request.control - trained.vector / (trained.steps * request.learning_rate)
            self._memory.keep(request.run, request.round, self.name, work.control + change)
        reply = Update(
            request.run,
            request.round,
            self.name,
            trained.vector,
            len(work.job.labels),
            control=change,
        )
        stored = reply if mechanism is None else self._accountable().store(TRAIN, reply)
        return self._sealed(work.stage, stored)

    def scored(
        self,
        scoring: Scoring,
        histogram: NDArray[np.int64],
        loss_sum: float,
        groups: Grouped | None = None,
    ) -> Reply:
        """What the policy lets out of these scores."""
        noise = self._noise.gaussian_on_grid
        try:
            released = released_scores(
                scoring.request,
                self.name,
                histogram,
                loss_sum,
                self.policy,
                self._account(),
                noise,
                groups,
                sealed=scoring.stage is not None,
            )
            return self._sealed(scoring.stage, released)
        except REFUSED as error:
            return self.refusal(scoring.request, error)

    def _admit(self, request: Request) -> Work | Scoring | Reply:
        agreed = self._runs.get(request.run) if isinstance(request.run, str) else None
        plan, sha256 = (None, "") if agreed is None else (agreed.plan, agreed.sha256)
        fault = self._gate.fault(self._standing(), plan, sha256, request)
        if fault is not None:
            raise DataError(fault)
        match request:
            case Invite():
                return self._enrol(request)
            case Ask():
                return self._counted(request)
            case Statistics() | Train():
                self._refuse_bare(request)
                if isinstance(request, Train):
                    return self._work(request)
                return self._statistics(request)
            case Evaluate():
                return self._scoring(request)
            case Mask():
                return self._masking(request)
            case Advertise() | Share() | Confirm() | Unmask() | Opened():
                plan = self._agreed(request).plan
                return self._sealing().answer(plan, self.site.schema.sha256, request)

    def _masking(self, stage: Mask) -> Work | Scoring | Reply:
        """The question inside the seal, admitted like any other; its answer leaves masked."""
        self._agreed(stage)
        kept = self._sealing().kept(stage)
        if kept is not None:
            return kept
        match stage.inner:
            case Train():
                found: Work | Scoring | Reply = self._work(stage.inner)
            case Statistics():
                found = self._statistics(stage.inner)
            case Evaluate():
                found = self._scoring(stage.inner)
        match found:
            case Work() | Scoring():
                return replace(found, stage=stage)
            case reply:
                return self._sealed(stage, reply)

    def _sealed(self, stage: Mask | None, reply: Reply) -> Reply:
        if stage is None or not isinstance(reply, Update | Tally | Scores):
            return reply
        return self._sealing().masked(self._agreed(stage).plan, stage, reply)

    def _sealing(self) -> SealedSums:
        if self._sums is None:
            raise DataError("this hospital has no key and no roster for sealed sums")
        return self._sums

    def _refuse_bare(self, request: Train | Statistics) -> None:
        """Raises where the plan lets this leave in a sealed sum only. Words are no sum: they leave
        bare, each standing for the minimum cell of rows or more."""
        words = isinstance(request, Statistics) and request.vocabulary is None
        if self._agreed(request).plan.trust != "open" and not words:
            raise DataError("the plan lets this leave a hospital in a sealed sum only")

    def _enrol(self, request: Invite) -> Reply:
        plan = Plan.from_json(request.plan_json)
        if plan.sha256 != request.plan_sha256:
            raise DataError("the plan in this invitation does not have the hash it claims")
        reason = self._approve(plan) or self._privacy_fault(plan)
        if reason is not None:
            return Refusal(request.run, request.round, self.name, reason)
        if plan.trust != "open" and self._sums is None:
            reason = f"the plan is {plan.trust} and this hospital has no key for sealed sums"
            return Refusal(request.run, request.round, self.name, reason)
        reason = self._undecided(request.run, plan)
        if reason is not None:
            return Refusal(request.run, request.round, self.name, reason)
        self._gate.begun(request.run, request.plan_sha256)
        self._runs[request.run] = Agreed.to(plan)
        beacon = None if self._sums is None else self._sums.beacon(request.run, plan)
        return Enrolled(
            request.run,
            request.round,
            self.name,
            examples=len(self.site.train),
            held_out=len(self.site.test),
            schema_sha256=self.site.schema.sha256,
            policy_sha256=self.policy.sha256,
            approval=self._approval(plan),
            resources=self.site.resources,
            identity="" if self._seal is None else self._seal.key.public.hex,
            anchor=b"" if beacon is None else beacon.anchor,
            scores=self.policy.scores,
        )

    def _approval(self, plan: Plan) -> str:
        """Who lets this plan in: the policy's signature where it names the plan, a person
        otherwise, unless the policy leaves it to its own limits."""
        return "policy" if plan.sha256 in self.policy.plans else self.policy.approval

    def _undecided(self, run: str, plan: Plan) -> str | None:
        """Why nobody here has let this plan in, or nothing."""
        if self._approval(plan) != "person":
            return None
        if self._decisions is None:
            return "plans are approved by a person here, and there is no record of approvals"
        return self._decisions.refuses(run, plan)

    def _privacy_fault(self, plan: Plan) -> str | None:
        """Why this hospital cannot keep what the plan promises; then it does not take part."""
        if not plan.privacy.enabled:
            return None
        if self.account is None:
            return "the plan is private and this hospital has no privacy ledger"
        privacy = plan.privacy
        target = fault_of_target(privacy.epsilon_budget, privacy.delta, len(self.site.train))
        return target or fault_of(plan)

    def _private_statistics(self, agreed: Agreed, request: Statistics) -> Reply:
        account, rows = self._accountable(), self.site.train
        prepared = Bounded.of(self.site.schema)
        features = len(prepared.features)
        planned = schedule(agreed.plan, request.total_examples, request.hospitals, features)
        event = planned.statistics_event
        if event is None:
            raise DataError("the plan's noise rule has no statistics round")

        def compute() -> Reply:
            noise = self._noise.gaussian_on_grid
            sums = noisy_statistics(prepared, rows, planned, request.hospitals, noise)
            return Tally(request.run, request.round, self.name, sums, len(rows))

        return account.release(
            request.run, request.round, "statistics", self.name, event, agreed.budget, compute
        )

    def _private_step(self, agreed: Agreed, request: Train) -> Reply:
        account, rows = self._accountable(), self.site.train
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
            )
            # In a sealed sum the noise stays on its grid; the step is taken on the sum.
            sealed = agreed.plan.trust != "open"
            vector = total if sealed else change(total, request.learning_rate, len(rows))
            return Update(request.run, request.round, self.name, vector, len(rows))

        event = planned.round_event
        return account.release(
            request.run, request.round, "train", self.name, event, agreed.budget, compute
        )

    def _account(self) -> Account | None:
        """The ledger, with what account and policy both let it spend."""
        return None if self.account is None else self.account.within(self.policy.cap)

    def _accountable(self) -> Account:
        account = self._account()
        if account is None:
            raise DataError("the plan is private and this hospital has no privacy ledger")
        return account

    def _counted(self, request: Ask) -> Reply:
        positive = find_task(self._agreed(request).plan.task).positive
        noise = self._noise.gaussian_on_grid
        return counted(request, self.site, positive, self.policy, self._account(), noise)

    def _statistics(self, request: Statistics) -> Reply:
        agreed = self._agreed(request)
        if follows_noise_rule(agreed.plan):
            return self._private_statistics(agreed, request)
        if agreed.plan.privacy.enabled:
            raise DataError(
                "exact statistics are not covered by any epsilon",
                "a private plan scales by public ranges",
                "Set data.standardize: none",
            )
        site, rows = self.site, self.site.train
        if request.vocabulary is None:
            words = vocabulary(site.schema, rows)
            return Tally(request.run, request.round, self.name, np.zeros(0), len(rows), words)
        sums = tally(with_vocabulary(site.schema, request.vocabulary), rows)
        return Tally(request.run, request.round, self.name, sums, len(rows))

    def _work(self, request: Train) -> Work | Reply:
        agreed = self._agreed(request)
        if follows_noise_rule(agreed.plan):
            return self._private_step(agreed, request)
        private = agreed.plan.privacy.enabled
        if private:
            kept = self._accountable().kept(request.run, request.round, TRAIN)
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
            own = self._memory.recall(request.run, request.round, self.name)
            own = np.zeros_like(request.control) if own is None else own
            correction = request.control - own
        job = Job(
            hospital=self.name,
            seed=agreed.plan.seed,
            round=request.round,
            model=model,
            weights=request.weights,
            design=self._designs.of("train", preparation, model.dtype),
            labels=self.site.train.labels,
            learning_rate=request.learning_rate,
            total_examples=request.total_examples,
            settings=agreed.settings,
            correction=correction,
        )
        work = Work(request, job, own)
        return self._charged(agreed.plan, work) if private else work

    def _charged(self, plan: Plan, work: Work) -> Work | Refusal:
        """The work with its mechanism, or why there is no room for it."""
        run, round = work.request.run, work.request.round

        def hear(advice: Advice) -> None:
            if self._last_advice.get(run, Action.CONTINUE) is not advice.action:
                self._last_advice[run] = advice.action
                self._advised(run, round, advice)

        rows, account = len(work.job.labels), self._accountable()
        found = charged(plan, work.request, self.name, rows, account, hear)
        if isinstance(found, Refusal):
            return found
        job = replace(work.job, private=found if isinstance(found, DpSgd) else None)
        return replace(work, job=job, mechanism=found)

    def _scoring(self, request: Evaluate) -> Scoring:
        agreed = self._agreed(request)
        preparation = self._preparation(agreed.plan, request.preparation)
        model = agreed.model(preparation)
        design = self._designs.of(request.part, preparation, model.dtype)
        rows, counting = self.site.part(request.part), None
        if request.groups:
            asked = groupings(self.site.schema, agreed.plan.fairness.attributes)
            counting = Counting.of(asked, rows)
        return Scoring(request, model, design, rows.labels, counting)

    def _log_advice(self, run: str, round: int, advice: Advice) -> None:
        grave = advice.noise_multiplier is None or advice.action is Action.INCREASE_NOISE
        level = logging.WARNING if grave else logging.INFO
        log.log(level, "%s, %s round %d: %s", self.name, run, round, advice.reason)

    def _agreed(self, request: Ask | Statistics | Train | Evaluate | Stage) -> Agreed:
        agreed = self._runs.get(request.run)
        if agreed is None:
            raise DataError(f"this hospital was not invited to the run {request.run}")
        if agreed.sha256 != request.plan_sha256:
            raise DataError("the request names another plan than the one this hospital approved")
        return agreed

    def localised(self, received: str) -> str:
        """The preparation received, its numbers by this hospital's own mean and spread."""
        if received not in self._own:
            prepared = Preparation.from_json(received)
            schema = with_vocabulary(self.site.schema, prepared.vocabulary)
            own = prepared.recentred(schema, tally(schema, self.site.train))
            self._own[received] = own.to_json()
        return self._own[received]

    def _preparation(self, plan: Plan, received: str) -> str:
        own = plan.data.standardize == "site" and self.site.schema.image is None
        return self.localised(received) if own else received


def _sentence(error: Exception) -> str:
    """What a coordinator is told. The words of an error that nobody foresaw may hold a value of a
    row: its kind and its place have to do."""
    if isinstance(error, AegisError):
        return str(error)
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    where = f" at {Path(at.tb_frame.f_code.co_filename).name}:{at.tb_lineno}" if at else ""
    log.error("a request could not be answered: %s%s", type(error).__name__, where)
    return f"this request could not be answered: an unforeseen {type(error).__name__}{where}"
