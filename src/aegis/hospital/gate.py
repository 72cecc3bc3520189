"""The gate: what a request must be before a hospital does anything for it.

Every request is held against three things: the hospital's policy as it stands now, the plan that
was agreed for the run, and what was asked before. A coordinator may skip the invitation, change the
plan, ask for more rounds than planned, ask one round twice with other weights, or take two nearly
equal sums in order to subtract them; whatever it does, a question of a run has one wording, and
only that one is answered. A fault is a sentence; nothing is charged or trained for it.

``sealed`` says that the request came inside a sealed sum, so that its answer leaves masked.
"""

from __future__ import annotations

from aegis.errors import AegisError
from aegis.hospital.earlier import Earlier, SumsAsked, VolatileEarlier
from aegis.hospital.inspection import fault_of_preparation, inspected
from aegis.hospital.policy import Closed, Policy
from aegis.hospital.site import Site
from aegis.hospital.terms import fault_of_plan, fault_of_rows, fault_of_sum
from aegis.messages import Ask, Evaluate, Invite, Request, Settle, Statistics, Train, Witness
from aegis.messages.stages import Advertise, Confirm, Mask, Opened, Share, Unmask
from aegis.plan import Plan
from aegis.plan.plan import chooses_by_scores, counts_are_fixed
from aegis.plan.schedule import follows_noise_rule, schedule
from aegis.tasks.bounded import public_preparation
from aegis.tasks.models import network

_SLACK = 1 + 1e-9
_ENDED, _PLAN = "ended", "plan"
_PREPARATIONS = 8  # judged and remembered


class Gate:
    def __init__(self, site: Site, earlier: Earlier | None = None) -> None:
        self._site = site
        self._earlier = earlier or VolatileEarlier()
        self._sums = SumsAsked(self._earlier)
        self._judged: dict[str, tuple[Policy, str | None]] = {}
        self._prepared: dict[tuple[str, str], tuple[str | None, int]] = {}

    def begun(self, run: str, sha256: str) -> None:
        """The hospital takes part in this run, which has this plan for good."""
        self._earlier.claim(run, _PLAN, sha256)

    def fault(
        self,
        policy: Policy | Closed,
        plan: Plan | None,
        sha256: str,
        request: Request,
        sealed: bool = False,
    ) -> str | None:
        """Why this request is refused, or nothing. ``plan`` and its hash are what was agreed for
        the request's run, None where nothing was."""
        if isinstance(policy, Closed):
            return policy.reason
        malformed = inspected(request).malformed
        if malformed is not None:
            return malformed
        if isinstance(request, Invite):
            return self._invitation(policy, request)
        if plan is None:
            return f"this hospital was not invited to the run {request.run}"
        if sha256 != request.plan_sha256:
            return "the request names another plan than the one this hospital approved"
        unfit = self._of_plan(policy, plan, sha256)
        if unfit is not None:
            return unfit
        match request:
            case Ask():
                return None  # the policy's price and the ledger speak where it is counted
            case Statistics():
                return self._statistics(plan, request, sealed)
            case Train():
                return self._training(plan, request, sealed)
            case Evaluate():
                return self._scoring(policy, plan, request, sealed)
            case Mask(inner=inner):
                if (inner.run, inner.round) != (request.run, request.round):
                    return "the question inside belongs to another round than the seal around it"
                fault = _outside(plan) or self._sums.noise_shares(plan, request)
                fault = fault or self.fault(policy, plan, sha256, inner, True)
                return fault or self._sums.inside(request)
            case Advertise(hospitals=there):
                fault = _outside(plan) or fault_of_sum(policy, len(there))
                return fault or self._sums.among(request)
            case Confirm(survivors=there):
                fault = _outside(plan) or fault_of_sum(policy, len(there))
                return fault or self._sums.survivors(plan, request)
            case Unmask():
                return _outside(plan) or self._sums.opening(request)
            case Share() | Opened():
                return _outside(plan)
            case Witness() | Settle():
                return None  # they ask nothing of a patient

    def _invitation(self, policy: Policy, request: Invite) -> str | None:
        before = self._earlier.recall(request.run, _PLAN)
        if before is not None and before != request.plan_sha256:
            return f"the run {request.run} began with another plan, and a run has one"
        if request.round != 0:
            return f"an invitation stands before the first round, not in round {request.round}"
        plan = Plan.from_json(request.plan_json)
        if plan.sha256 != request.plan_sha256:
            return "the plan in this invitation does not have the hash it claims"
        return self._of_plan(policy, plan, request.plan_sha256)

    def _of_plan(self, policy: Policy, plan: Plan, sha256: str) -> str | None:
        judged = self._judged.get(sha256)
        if judged is None or judged[0] is not policy:
            fault = fault_of_plan(policy, plan) or fault_of_rows(policy, len(self._site.train))
            judged = self._judged[sha256] = (policy, fault)
        return judged[1]

    def _statistics(self, plan: Plan, request: Statistics, sealed: bool) -> str | None:
        site, words = self._site, request.vocabulary
        if request.round != 0:
            return f"statistics are told once, in round 0, not in round {request.round}"
        if self._earlier.recall(request.run, "train") is not None:
            return "statistics are told before the training begins, not after"
        private = follows_noise_rule(plan)
        # Of images only how many there are, and how many of the ill.
        odds = plan.training.local_odds and site.schema.image is not None
        if site.schema.image is not None and not odds:
            return "images have no statistics round: their features follow from no patient"
        if not private and plan.data.standardize == "none" and not odds:
            return "the plan has no statistics round: data.standardize is none"
        open_columns = {
            c.name for c in site.schema.columns if c.kind == "category" and not c.categories
        }
        if words is None and open_columns and not private:
            return None  # words that enough patients share; the same whoever asks
        if words is None:
            return "the schema of this plan leaves no words to be asked for"
        if plan.trust != "open" and not sealed:
            return _bare(plan, "statistics")
        strange = sorted(set(words) - open_columns)
        if strange:
            return f"the words of {strange[0]} are not open: the schema fixes them"
        if private and (fault := self._hospitals(plan, request)) is not None:
            return fault
        named = repr(sorted((name, tuple(listed)) for name, listed in words.items()))
        layout = f"{named}|{request.total_examples}|{request.hospitals}"
        if self._earlier.claim(request.run, "statistics", layout) != layout:
            return (
                "this hospital told its statistics in another layout: the difference of two could "
                "be one patient"
            )
        return None

    def _training(self, plan: Plan, request: Train, sealed: bool) -> str | None:
        if plan.trust != "open" and not sealed:
            return _bare(plan, "updates")
        if (request.control is not None) != (plan.server.optimizer == "scaffold"):
            there = "has none" if request.control is not None else "needs them"
            return f"control variates belong to scaffold, and this request {there}"
        fault = self._hospitals(plan, request) or self._asked(plan, request)
        if fault is not None:
            return fault
        rounds, rate = self._planned(plan, request)
        if not 1 <= request.round <= rounds:
            return f"round {request.round} is not among the {rounds} rounds of the plan"
        if not 0 < request.learning_rate <= rate * _SLACK:
            return (
                f"a learning rate of {request.learning_rate:g} is not the plan's, which begins "
                f"with {rate:g}"
            )
        at = f"{request.total_examples}|{request.hospitals}"
        if self._earlier.claim(request.run, "train", at) != at and counts_are_fixed(plan):
            return "the hospitals of this run, or their patients, were counted otherwise before"
        return self._once(request.run, f"train {request.round}", inspected(request).digest)

    def _scoring(self, policy: Policy, plan: Plan, request: Evaluate, sealed: bool) -> str | None:
        if request.part not in ("validation", "test"):
            return f"models are scored on held-out rows, not on {request.part!r}"
        if policy.scores == "summed" and not sealed:
            return "this hospital's policy lets scores out inside a sealed sum only"
        fault = self._asked(plan, request)
        if fault is not None:
            return fault
        rounds = plan.federated.num_rounds or self._recalled_rounds(plan, request.run)
        if not 0 <= request.round <= rounds:
            return f"round {request.round} is not among the {rounds} rounds of the plan"
        digest = inspected(request).digest
        if request.groups:
            if request.part != "test":
                return f"groups of patients are counted among test rows, not {request.part} rows"
            once = f"{request.round} {digest}"
            if self._earlier.claim(request.run, "groups", once) != once:
                return "groups of patients are counted for one model of a run, the final one"
        fault = self._once(request.run, f"score {request.part} {request.round}", digest)
        if fault is None and _final(plan, request, rounds):
            self._earlier.claim(request.run, _ENDED, str(request.round))
        return fault

    def _asked(self, plan: Plan, request: Train | Evaluate) -> str | None:
        """The weights, and the preparation: one for the whole run, of this hospital's table."""
        text = request.preparation
        at = request.plan_sha256, text
        if at not in self._prepared:
            while len(self._prepared) >= _PREPARATIONS:  # whoever asks may send many
                self._prepared.pop(next(iter(self._prepared)))
            self._prepared[at] = self._inputs(plan, text)
        fault, size = self._prepared[at]
        if fault is not None:
            return fault
        if request.weights.shape != (size,):
            return f"the weights received are {request.weights.shape}; the plan's are {size}"
        control = request.control if isinstance(request, Train) else None
        if control is not None and control.shape != (size,):
            return f"the control variates are {control.shape}; the plan's are {size}"
        fault = inspected(request).fault
        if fault is not None:
            return fault
        if self._earlier.claim(request.run, "preparation", text) != text:
            return "the preparation is another than before: a run has one"
        return None

    def _inputs(self, plan: Plan, text: str) -> tuple[str | None, int]:
        """What is wrong with this preparation, and how many weights it makes."""
        fault = fault_of_preparation(self._site.schema, text)
        if fault is not None:
            return fault, 0
        try:
            return None, network(plan.model, text).size
        except AegisError as error:
            return str(error), 0

    def _hospitals(self, plan: Plan, request: Train | Statistics) -> str | None:
        """The counts that noise and rounds follow from: no more than the plan has."""
        most, own = plan.federated.num_clients, len(self._site.train)
        if not 1 <= request.hospitals <= most:
            return f"{request.hospitals} hospitals are not the 1 to {most} of the plan"
        if request.total_examples < own:
            return f"{request.total_examples} patients in all are fewer than are here, {own}"
        return None

    def _planned(self, plan: Plan, request: Train) -> tuple[int, float]:
        """The number of rounds, and the largest learning rate."""
        rounds, rate = plan.federated.num_rounds, plan.training.learning_rate
        if rounds is not None and rate is not None:
            return rounds, rate
        features = len(public_preparation(self._site.schema, True).features)
        found = schedule(plan, request.total_examples, request.hospitals, features)
        return found.rounds, found.learning_rate

    def left(self, plan: Plan, request: Evaluate) -> int:
        """How many rounds the plan still has after this question; none where it asks about groups
        of patients, as the last one does."""
        rounds = plan.federated.num_rounds or self._recalled_rounds(plan, request.run)
        return 0 if request.groups else max(0, rounds - request.round)

    def _recalled_rounds(self, plan: Plan, run: str) -> int:
        """Where the noise rule decides, it needs the counts that came with the training."""
        at = self._earlier.recall(run, "train")
        if at is None:
            return 0
        examples, hospitals = map(int, at.split("|"))
        features = len(public_preparation(self._site.schema, True).features)
        return schedule(plan, examples, hospitals, features).rounds

    def _once(self, run: str, question: str, digest: str) -> str | None:
        ended = self._earlier.recall(run, _ENDED)
        if ended is not None and self._earlier.recall(run, question) is None:
            return f"this run ended with the scores of round {ended}, and asks for nothing more"
        if self._earlier.claim(run, question, digest) != digest:
            return f"{question} was asked with other weights before, and has one answer"
        return None


def _bare(plan: Plan, what: str) -> str:
    return f"trust: {plan.trust} means that {what} leave this hospital inside a sealed sum only"


def _outside(plan: Plan) -> str | None:
    return "the plan has no sealed sum: trust is open" if plan.trust == "open" else None


def _final(plan: Plan, request: Evaluate, rounds: int) -> bool:
    """Whether no round of the plan ends with this question: then the run does."""
    if chooses_by_scores(plan):
        if request.part == "test":
            return True
    elif request.part == "validation":
        return True
    every, round = plan.evaluation.every, request.round
    return not (every > 0 and (round % every == 0 or round == rounds))
