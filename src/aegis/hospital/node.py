"""The node: one hospital's only door. Every road ends in ``answer``.

``admit`` puts a request before the gate (policy, the agreed plan, what was asked before)
and turns it into work or into an answer; ``finish`` turns the trained vector into the reply that
leaves: noised, stored and sealed where the plan says so. ``answer`` is admit, train, finish. A
simulator admits many nodes, trains them as one stack and finishes each, so that no path leaves out
a gate. Whatever goes wrong inside becomes a ``Refusal`` that says why without a patient's value.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aegis.errors import AegisError, DataError
from aegis.evaluation.histogram import score
from aegis.hospital.counting import counted
from aegis.hospital.decisions import Decisions
from aegis.hospital.gate import Gate
from aegis.hospital.grouping import Grouped, scores_of
from aegis.hospital.inspection import starting_model
from aegis.hospital.learning import Learning
from aegis.hospital.mechanisms import fault_of, first_charge
from aegis.hospital.policy import Closed, Policy
from aegis.hospital.policy_file import PolicyFile
from aegis.hospital.release import Account, fault_of_target
from aegis.hospital.scoring import released_scores, settled
from aegis.hospital.sealing import Seal, SealedSums
from aegis.hospital.site import Designs, Memory, Site, VolatileMemory
from aegis.hospital.witness import LogWitness
from aegis.hospital.work import Agreed, Scoring, Work
from aegis.messages import (
    Ask,
    Enrolled,
    Evaluate,
    Invite,
    Refusal,
    Reply,
    Request,
    Scores,
    Settle,
    Settled,
    Statistics,
    Tally,
    Train,
    Update,
    Witness,
)
from aegis.messages.stages import Advertise, Confirm, Mask, Opened, Share, Stage, Unmask
from aegis.plan import Plan
from aegis.plan.classes import fault_of_classes
from aegis.plan.own_data import positive as positive_of
from aegis.privacy.accounting import event_json
from aegis.privacy.budget import Advice
from aegis.privacy.noise import SystemNoise
from aegis.training.engines import engine_trainer, fault_of_engine
from aegis.training.trainer import Trained, Trainer

log = logging.getLogger("aegis")

REFUSED = (AegisError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Node:
    """``policy`` is what the hospital allows; without one it takes part in nothing. ``decisions``
    is where people approve plans, where the policy asks for a person, and what keeps it known
    through a restart what was asked. ``approve`` may have one more say on a plan: it returns a
    reason to refuse, or nothing.
    ``features`` is a folder of this hospital's own, where what its images become is kept.
    ``watch``, once it is set, holds the model of each round against the coordinator's log.
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
        self._approve = approve
        self._learning = Learning(
            site, memory or VolatileMemory(), Designs(site, features), self._noise, advised
        )
        self._runs: dict[str, Agreed] = {}
        self._seal = seal
        self._sums = None if seal is None else SealedSums(site.name, seal)
        self.watch: LogWitness | None = None

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
                    return self.finish(work, self.trainer(work).train(work.job))
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

    def trainer(self, work: Work) -> Trainer:
        """What this hospital trains with."""
        return engine_trainer(self.site.engine, work.job.model, work.job.private is not None)

    def finish(self, work: Work, trained: Trained) -> Reply:
        try:
            return self._sealed(work.stage, self._learning.update(work, trained, self._account()))
        except REFUSED as error:
            return self.refusal(work.request, error)

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
            plan = self._runs[scoring.request.run].plan
            noisy = self.policy.scores == "noisy"
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
                left=self._gate.left(plan, scoring.request),
                first=first_charge(plan, len(self.site.train)) if noisy else None,
                groups_due=bool(plan.fairness.attributes),
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
                return self._question(request)
            case Evaluate():
                return self._question(request)
            case Mask():
                return self._masking(request)
            case Advertise() | Share() | Confirm() | Unmask() | Opened():
                plan = self._agreed(request).plan
                return self._sealing().answer(plan, self.site.schema.sha256, request)
            case Witness():
                if self.watch is None:
                    raise DataError("this hospital keeps no watch over the coordinator's log")
                return self.watch.cosign(request)
            case Settle():
                return self._settled(request)

    def _settled(self, request: Settle) -> Settled:
        """What the run was charged. The coordinator asks when the run's end is on its disk, and
        for nothing after it that was stored: those answers go."""
        self._agreed(request)
        if self.account is None:
            return Settled(request.run, request.round, self.name)
        run, ledger = request.run, self.account.ledger
        events, scored = (
            tuple(map(event_json, ledger.events(name))) for name in (run, scores_of(run))
        )
        head = ledger.head()
        self.account.settled(run, scores_of(run))
        return Settled(run, request.round, self.name, events, head.rows, head.sha256, scored)

    def _question(self, request: Statistics | Train | Evaluate) -> Work | Scoring | Reply:
        agreed = self._agreed(request)
        match request:
            case Statistics():
                return self._learning.statistics(agreed, request, self._account())
            case Train():
                self._hold_against_the_log(agreed, request)
                return self._learning.work(agreed, request, self._account())
            case Evaluate():
                return self._learning.scoring(agreed, request)

    def _hold_against_the_log(self, agreed: Agreed, request: Train) -> None:
        """Raises where this is not the model that the round before ended with, by the log."""
        if self.watch is not None:
            sha256 = starting_model(request, agreed.model(request.preparation))
            self.watch.check_model(request.run, request.round, sha256)

    def _masking(self, stage: Mask) -> Work | Scoring | Reply:
        """The question inside the seal, admitted like any other; its answer leaves masked."""
        self._agreed(stage)
        kept = self._sealing().kept(stage)
        if kept is not None:
            return kept
        found = self._question(stage.inner)
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
        reason = reason or fault_of_engine(self.site.engine, plan)
        reason = reason or fault_of_classes(plan, self.site.schema)
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

    def _account(self) -> Account | None:
        """The ledger, with what account and policy both let it spend."""
        return None if self.account is None else self.account.within(self.policy.cap)

    def _counted(self, request: Ask) -> Reply:
        positive = positive_of(self._agreed(request).plan)
        noise = self._noise.gaussian_on_grid
        return counted(request, self.site, positive, self.policy, self._account(), noise)

    def _agreed(self, request: Ask | Statistics | Train | Evaluate | Stage | Settle) -> Agreed:
        agreed = self._runs.get(request.run)
        if agreed is None:
            raise DataError(f"this hospital was not invited to the run {request.run}")
        if agreed.sha256 != request.plan_sha256:
            raise DataError("the request names another plan than the one this hospital approved")
        return agreed

    def localised(self, received: str) -> str:
        """The preparation received, its numbers by this hospital's own mean and spread."""
        return self._learning.localised(received)


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
