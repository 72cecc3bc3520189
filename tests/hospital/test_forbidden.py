"""What a malicious coordinator may try, one row each, and the sentence it gets from the hospital.

A row is a scene, what the hospital is asked before (all of it allowed, all of it answered), the one
request that must be refused, and a part of the sentence. Add a row to ``ROWS``; a row of another
room can call ``refused`` with a scene of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from aegis.hospital import node as door
from aegis.hospital.answers import VolatileAnswers
from aegis.hospital.decisions import Decisions
from aegis.hospital.ledger import Ledger
from aegis.hospital.node import Node
from aegis.hospital.policy import Policy
from aegis.hospital.release import Account, rows_sha256
from aegis.hospital.sealing import Seal
from aegis.hospital.site import Site
from aegis.identity.keys import SigningKey
from aegis.identity.roster import Roster
from aegis.messages import Ask, Evaluate, Invite, Refusal, Request, Statistics, Train
from aegis.messages.stages import Advertise, Mask, Opened
from aegis.plan import Plan
from aegis.privacy.filters import Cap
from aegis.tasks.bounded import Bounded
from aegis.tasks.models import network
from aegis.tasks.preparation import Feature, Preparation, tally, with_vocabulary
from aegis.tasks.question import Question
from aegis.tasks.task import Column, Rows, Schema

ROWS_HERE, RUN, SENTINEL = 90, "run", 0.123456789
WORDS = {"ward": ("north", "south")}
NAMES = ("here", "there", "yonder", "hill", "dale")
SCHEMA = Schema(
    (
        Column("age", "number", "age", low=-1, high=1),
        Column("weight", "number", "weight", low=-1, high=1, may_miss=True),
        Column("smoker", "flag", "smoker"),
        Column("sex", "category", "sex", categories=("female", "male")),
        Column("ward", "category", "ward"),
    )
)
PUBLIC_SCHEMA = Schema(SCHEMA.columns[:4])
PLAN: dict[str, Any] = {
    "task": "breast_cancer",
    "trust": "open",
    "secure_aggregation.enabled": False,
    "data.standardize": "federated",
    "model.name": "logistic",
    "training.solver": "sgd",
    "training.learning_rate": 0.5,
    "federated.num_rounds": 5,
    "federated.num_clients": 5,
    "privacy.enabled": False,
    "privacy.mechanism": "none",
    "evaluation.every": 2,
}
NOISY = {
    "training.solver": "gradient",
    "privacy.enabled": True,
    "privacy.mechanism": "dp_sgd",
    "privacy.epsilon_budget": 1.0,
    "federated.num_rounds": None,
    "training.learning_rate": None,
    "privacy.max_grad_norm": None,
    "evaluation.every": 0,
}
MASKED = {**NOISY, "trust": "masked", "secure_aggregation.enabled": True} | {
    "privacy.mechanism": "distributed"
}
POLICY = Policy(
    tasks=("breast_cancer",),
    trust=("open", "masked"),
    mechanisms=("none", "dp_sgd", "local_update", "distributed"),
    queries="allowed",
    kinds=("count", "histogram"),
    scores="shared",
)


def rows(count, seed, schema=SCHEMA):
    rng = np.random.default_rng(seed)
    inputs = {
        "age": rng.uniform(-1, 1, count),
        "weight": rng.uniform(-1, 1, count),
        "smoker": rng.integers(0, 2, count).astype(float),
        "sex": rng.choice(["female", "male"], count),
        "ward": rng.choice(["north", "south"], count),
    }
    inputs["age"][3] = SENTINEL
    inputs["weight"][::7] = np.nan
    return Rows({name: inputs[name] for name in schema.names}, rng.integers(0, 2, count))


@dataclass
class Scene:
    """One hospital with ledger, policy and approvals, and one plan that a person approved."""

    folder: Any
    keys: dict[str, Any] = field(default_factory=dict)
    changed: dict[str, Any] = field(default_factory=dict)
    approved: int = 1

    def __post_init__(self):
        self.plan = Plan(**{**PLAN, **self.keys})
        noisy = self.plan.privacy.enabled
        self.schema = PUBLIC_SCHEMA if noisy else SCHEMA
        parts = [rows(n, seed, self.schema) for seed, n in enumerate((ROWS_HERE, 30, 40))]
        self.site = Site("here", self.schema, *parts)
        self.ledger = Ledger.open(self.folder / "ledger.db", rows_sha256(parts[0]))
        self.decisions = Decisions(self.folder / "decisions.db")
        keys = {name: SigningKey.generate() for name in NAMES}
        roster = Roster(tuple((name, key.public.raw) for name, key in keys.items()))
        self.node = Node(
            self.site,
            account=Account(self.ledger, Cap(4.0, 1e-5)),
            policy=replace(POLICY, **self.changed),
            decisions=self.decisions,
            seal=Seal(keys["here"], roster, VolatileAnswers()),
        )
        if self.approved:
            self.decisions.refuses("an earlier run", self.plan)
            self.decisions.approve(self.plan.sha256, "Dr Ada", self.approved)
        schema = with_vocabulary(SCHEMA, WORDS)
        sums = tally(schema, rows(ROWS_HERE, 0))
        self.preparation = (
            Bounded.of(self.schema) if noisy else Preparation.from_tally(schema, sums)
        ).to_json()

    def close(self):
        self.ledger.close()
        self.decisions.close()

    def invite(self, plan=None, run=RUN, **changes):
        plan = plan or self.plan
        return replace(Invite(run, plan.sha256, plan.to_json()), **changes)

    def train(self, round=1, **changes):
        size = network(self.plan.model, self.preparation).size
        sha, start = self.plan.sha256, np.full(size, 0.01 * round)
        rate = 0.5 if self.plan.training.learning_rate else 1e-3
        asked = Train(RUN, sha, round, start, rate, 5 * ROWS_HERE, 5, self.preparation)
        return replace(asked, **changes)

    def score(self, round=2, **changes):
        weights = self.train(round).weights
        asked = Evaluate(RUN, self.plan.sha256, round, weights, "test", self.preparation)
        return replace(asked, **changes)

    def sums(self, **changes):
        words = {} if self.plan.privacy.enabled else WORDS
        asked = Statistics(RUN, self.plan.sha256, words, 5 * ROWS_HERE, 5)
        return replace(asked, **changes)

    def count(self, **changes):
        text = Question("count").to_json()
        return replace(Ask(RUN, self.plan.sha256, text, 0.1, 1e-5), **changes)

    def other(self, **keys):
        """The plan with some keys changed, approved too."""
        plan = Plan(**{**PLAN, **self.keys, **keys})
        self.decisions.refuses("another run", plan)
        self.decisions.approve(plan.sha256, "Dr Ada")
        return plan

    def prepared(self, **changes):
        """The preparation with its first feature changed."""
        first, *rest = Preparation.from_json(self.preparation).features
        return Preparation((replace(first, **changes), *rest)).to_json()

    def bounded(self, means, deviations):
        width = len(Bounded.of(self.schema).features)
        prepared = Bounded.of(self.schema)
        return prepared.standardised(np.full(width, means), np.full(width, deviations)).to_json()

    def changed_weights(self, round=1, value=0.5):
        return self.train(round).weights + value


Asking = Callable[[Scene], Request]


@dataclass(frozen=True)
class Row:
    """``before`` is asked first and answered; ``asked`` is refused with ``says``."""

    tries: str
    asked: Asking
    says: str
    before: tuple[Asking, ...] = (Scene.invite,)
    keys: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    approved: int = 1


def refused(node: Node, ledger: Ledger, request: Request, says: str) -> None:
    """The request is refused with this sentence; nothing was charged, and nobody's value told."""
    before = ledger.rows()
    reply = node.answer(request)
    assert isinstance(reply, Refusal), reply
    assert says in reply.reason, reply.reason
    assert "unforeseen" not in reply.reason
    assert str(SENTINEL) not in reply.reason
    assert ledger.rows() == before


def first(scene):
    return scene.train(1)


def told(scene):
    return scene.sums()


INVITATIONS = [
    Row(
        "a task that this hospital does not take part in",
        lambda s: s.invite(s.other(task="heart")),
        "the task heart is not among those of this hospital's policy: breast_cancer",
        (),
    ),
    Row(
        "a plan whose hash is another's",
        lambda s: s.invite(plan_sha256="0" * 64),
        "does not have the hash it claims",
        (),
    ),
    Row("no plan at all", lambda s: s.invite(plan_json="[1, 2]"), "no plan in JSON", ()),
    Row("a plan that is a number", lambda s: s.invite(plan_json=5), "the plan in this request", ()),
    Row(
        "to see each update, where a sum is asked for",
        Scene.invite,
        "trust: open is not enough for this hospital's policy, which asks for masked",
        (),
        policy={"trust": ("masked",)},
    ),
    Row(
        "to train without noise, where noise is asked for",
        Scene.invite,
        "privacy.mechanism: none is not enough",
        (),
        policy={"mechanisms": ("dp_sgd", "distributed")},
    ),
    Row(
        "to say dp_sgd and leave privacy off",
        lambda s: s.invite(s.other(**{"privacy.mechanism": "dp_sgd"})),
        "privacy.mechanism: none is not enough",
        (),
        policy={"mechanisms": ("dp_sgd",)},
    ),
    Row(
        "a budget above what one run may spend",
        Scene.invite,
        "privacy.epsilon_budget: 1 is above 0.5",
        (),
        keys=NOISY,
        policy={"epsilon_per_run": 0.5},
    ),
    Row(
        "a delta that lets a patient be told apart",
        lambda s: s.invite(s.other(**{"privacy.delta": 0.001})),
        "privacy.delta: 0.001 is above 1e-05",
        (),
        keys=NOISY,
    ),
    Row(
        "only a share of the noise, and to see each update",
        lambda s: s.invite(s.other(**{"privacy.mechanism": "distributed"})),
        "hides each hospital's small noise in the masked sum, but trust is open",
        (),
        keys=NOISY,
    ),
    Row(
        "a private plan that sums training rows exactly",
        lambda s: s.invite(
            s.other(
                **{
                    "training.solver": "sgd",
                    "training.learning_rate": 0.1,
                    "federated.num_rounds": 3,
                    "privacy.max_grad_norm": 1.0,
                }
            )
        ),
        "sends exact sums of training rows",
        (),
        keys=NOISY,
    ),
    Row(
        "a masked plan whose masks are switched off",
        lambda s: s.invite(s.other(**{"secure_aggregation.use_masking": False})),
        "secure_aggregation.use_masking is false",
        (),
        keys=MASKED,
    ),
    Row(
        "a sum that may be opened over too few",
        Scene.invite,
        "a sum over 4 hospitals; this hospital's policy asks for 5",
        (),
        keys=MASKED,
        policy={"minimum_hospitals": 5},
    ),
    Row(
        "a signature under each part of a sum, where none is given",
        Scene.invite,
        "signs for nothing that it puts into a sum",
        (),
        keys=MASKED,
        policy={"commitments": False},
    ),
    Row(
        "a hospital with too few patients",
        Scene.invite,
        "asks for 500 training rows or more",
        (),
        policy={"minimum_rows": 500},
    ),
    Row(
        "a plan that nobody approved", Scene.invite, "waits for a person's approval", (), {}, {}, 0
    ),
    Row(
        "a plan that a person refused",
        lambda s: (s.decisions.refuse(s.plan.sha256, "Dr Bob", "no ethics vote"), s.invite())[1],
        "Dr Bob at this hospital refused the plan",
        (),
    ),
    Row(
        "an approved plan a second time",
        lambda s: s.invite(run="run 2"),
        "was approved for one run, and that is used (run)",
    ),
    Row(
        "another approved plan in the same run",
        lambda s: s.invite(s.other(seed=99)),
        "the run run began with another plan",
    ),
    Row(
        "a run that is called like the account of questions",
        lambda s: s.invite(run="questions"),
        "the ledger keeps that name for itself",
        (),
    ),
    Row(
        "a run that is called like the account of another run's scores",
        lambda s: s.invite(run="run scores"),
        "the ledger keeps that name for itself",
        (),
    ),
    Row("a run without a name", lambda s: s.invite(run="../x"), "the run has no name", ()),
    Row("a run that is a list", lambda s: s.invite(run=["run"]), "the run has no name", ()),
    Row("an invitation in the middle", lambda s: s.invite(round=3), "before the first round", ()),
]
TRAINING = [
    Row("training without an invitation", first, "was not invited to the run run", ()),
    Row(
        "training in a run that was refused",
        first,
        "was not invited to the run run",
        (),
        approved=0,
    ),
    Row(
        "to train by another plan",
        lambda s: s.train(plan_sha256=s.other(seed=99).sha256),
        "names another plan than the one this hospital approved",
    ),
    Row("a round before the first", lambda s: s.train(0), "round 0 is not among the 5 rounds"),
    Row("a round below nought", lambda s: s.train(-7), "round -7 is not among"),
    Row("a round beyond the plan", lambda s: s.train(6), "round 6 is not among the 5 rounds"),
    Row(
        "a round beyond the noise rule's",
        lambda s: s.train(500),
        "round 500 is not among",
        keys=NOISY,
    ),
    Row("half a round", lambda s: s.train(round=1.5), "the round in this request"),
    Row(
        "weights that are no numbers",
        lambda s: s.train(weights=s.changed_weights() * np.nan),
        "the weights hold a number that is not finite",
    ),
    Row(
        "one infinite weight, which picks out the rows that are nought there",
        lambda s: s.train(weights=np.where(np.arange(6) == 2, np.inf, 0.0)),
        "the weights hold a number that is not finite",
        keys=NOISY,
    ),
    Row(
        "weights that overflow for some rows only",
        lambda s: s.train(weights=s.train().weights * 1e300),
        "above 1e+12",
        keys=NOISY,
    ),
    Row(
        "weights of another model",
        lambda s: s.train(weights=np.zeros(3)),
        "the weights received are (3,); the plan's are 7",
    ),
    Row(
        "weights of whole numbers",
        lambda s: s.train(weights=np.zeros(7, np.int64)),
        "the weights in this request",
    ),
    Row("weights as a table", lambda s: s.train(weights=np.zeros((1, 7))), "the weights in this"),
    Row("no weights", lambda s: s.train(weights=None), "the weights in this request"),
    Row(
        "a step so long that one gradient stands in it",
        lambda s: s.train(learning_rate=1e9),
        "a learning rate of 1e+09 is not the plan's, which begins with 0.5",
    ),
    Row("a step that is no number", lambda s: s.train(learning_rate=np.nan), "rate of nan"),
    Row("a step backwards", lambda s: s.train(learning_rate=-0.5), "rate of -0.5"),
    Row("a step that is text", lambda s: s.train(learning_rate="1"), "the learning rate in this"),
    Row(
        "one round twice, from other weights",
        lambda s: s.train(weights=s.changed_weights()),
        "train 1 was asked with other weights before, and has one answer",
        (Scene.invite, first),
    ),
    Row(
        "one private round twice, from other weights",
        lambda s: s.train(weights=s.changed_weights()),
        "train 1 was asked with other weights before, and has one answer",
        (Scene.invite, first),
        keys=NOISY,
    ),
    Row(
        "one round twice, with another step",
        lambda s: s.train(learning_rate=0.25),
        "has one answer",
        (Scene.invite, first),
    ),
    Row(
        "another preparation in the middle of a run",
        lambda s: s.train(2, preparation=s.prepared(centre=0.7)),
        "the preparation is another than before",
        (Scene.invite, first),
    ),
    Row(
        "a preparation that divides by nought",
        lambda s: s.train(preparation=s.prepared(scale=0.0)),
        "by nought",
    ),
    Row(
        "a preparation centred on one patient, infinitely fine",
        lambda s: s.train(preparation=s.prepared(centre=SENTINEL, scale=1e-300)),
        "by nought",
    ),
    Row(
        "a preparation that is no number",
        lambda s: s.train(preparation=s.prepared(centre=float("nan"))),
        "by what is no number",
    ),
    Row(
        "a column that is not in the table",
        lambda s: s.train(preparation=s.prepared(column="name")),
        "a column that this hospital's table does not have",
    ),
    Row(
        "words of a column of numbers",
        lambda s: s.train(preparation=s.prepared(category=str(SENTINEL))),
        "asks a column for words that it does not hold",
    ),
    Row(
        "numbers of a column of words",
        lambda s: s.train(preparation=Preparation((Feature("ward", "ward"),)).to_json()),
        "asks a column of words for numbers",
    ),
    Row("no preparation", lambda s: s.train(preparation="{}"), "cannot be read"),
    Row(
        "deviations of nought, where a refusal tells who stands on the mean",
        lambda s: s.train(preparation=s.bounded(SENTINEL, 0.0)),
        "a mean or a deviation that no column has",
        keys=NOISY,
    ),
    Row(
        "bounds drawn around one patient",
        lambda s: s.train(
            preparation=s.preparation.replace('"age","number",-1,1', '"age","number",0.12,0.13')
        ),
        "other bounds than those of this hospital's table",
        keys=NOISY,
    ),
    Row(
        "private training on columns without bounds",
        lambda s: s.train(preparation=Preparation(tuple(Bounded.of(s.schema).features)).to_json()),
        "needs a preparation with public bounds",
        keys=NOISY,
    ),
    Row(
        "control variates that the plan does not have",
        lambda s: s.train(control=np.zeros(7)),
        "control variates belong to scaffold, and this request has none",
    ),
    Row(
        "more hospitals to share the noise than the plan has",
        lambda s: s.train(hospitals=1000, total_examples=90_000),
        "1000 hospitals are not the 1 to 5 of the plan",
        keys=NOISY,
    ),
    Row(
        "fewer patients in all than are here",
        lambda s: s.train(total_examples=10),
        "10 patients in all are fewer than are here, 90",
        keys=NOISY,
    ),
    Row(
        "other counts in the next round, for more rounds or less noise",
        lambda s: s.train(2, total_examples=50_000),
        "were counted otherwise before",
        (Scene.invite, first),
        keys=NOISY,
    ),
    Row(
        "to go on training after the final scores",
        lambda s: s.train(4),
        "this run ended with the scores of round 3",
        (Scene.invite, first, lambda s: s.score(3)),
    ),
    Row(
        "one hospital's update, where the plan says masked",
        first,
        "updates leave this hospital inside a sealed sum only",
        keys=MASKED,
    ),
    Row(
        "a sealed sum where the plan has none",
        lambda s: Mask(RUN, s.plan.sha256, 1, 1, "train", s.train(), {}),
        "the plan has no sealed sum",
    ),
    Row(
        "a sum over this hospital and one other",
        lambda s: Advertise(RUN, s.plan.sha256, 1, 1, "train", NAMES[:2]),
        "a sum over 2 hospitals; this hospital's policy asks for 3",
        keys=MASKED,
    ),
    Row(
        "noise shared out among more hospitals than are in the sum",
        lambda s: Mask(RUN, s.plan.sha256, 1, 1, "train", s.train(), {}),
        "noise shared out among 5 hospitals hides nobody in a sum over 4",
        (Scene.invite, lambda s: Advertise(RUN, s.plan.sha256, 1, 1, "train", NAMES[:4])),
        keys=MASKED,
    ),
    Row(
        "the end of a sum that never began",
        lambda s: Opened(RUN, s.plan.sha256, 1, 1, "train", np.zeros(3, np.uint64), NAMES),
        "has no part in attempt 1 of round 1",
        keys=MASKED,
    ),
]
STATISTICS = [
    Row(
        "two sums whose difference is one patient",
        lambda s: s.sums(vocabulary={"ward": ("north",)}),
        "told its statistics in another layout",
        (Scene.invite, told),
    ),
    Row(
        "words of its own for a column that has public ones",
        lambda s: s.sums(vocabulary={**WORDS, "sex": ("female",)}),
        "the words of sex are not open",
    ),
    Row(
        "to count a column of numbers value by value",
        lambda s: s.sums(vocabulary={"age": (str(SENTINEL),)}),
        "the words of age are not open",
    ),
    Row(
        "sums of training rows in the middle of the training",
        told,
        "before the training begins, not after",
        (Scene.invite, first),
    ),
    Row("statistics of another round", lambda s: s.sums(round=2), "in round 0, not in round 2"),
    Row(
        "statistics that the plan has no use for",
        told,
        "the plan has no statistics round",
        keys={"data.standardize": "none"},
    ),
    Row("a vocabulary that is a number", lambda s: s.sums(vocabulary=7), "the vocabulary in this"),
    Row(
        "ten thousand words and one",
        lambda s: s.sums(vocabulary={"ward": tuple(map(str, range(10_001)))}),
        "the vocabulary in this request",
    ),
    Row(
        "words, which leave bare, to get sums that carry only a share of the noise",
        lambda s: s.sums(vocabulary=None),
        "leaves no words to be asked for",
        keys=MASKED,
    ),
    Row(
        "words, where the schema names them all",
        lambda s: s.sums(vocabulary=None),
        "leaves no words to be asked for",
        keys=NOISY,
    ),
    Row(
        "one run's question in another run's sum",
        lambda s: Mask(RUN, s.plan.sha256, 0, 1, "statistics", s.sums(run="run 2"), {}),
        "the question inside belongs to another round",
        (Scene.invite, lambda s: Advertise(RUN, s.plan.sha256, 0, 1, "statistics", NAMES)),
        keys=MASKED,
    ),
    Row(
        "another hospital's statistics with them, as one sum of two",
        lambda s: Advertise(RUN, s.plan.sha256, 0, 1, "statistics", ("here", "there")),
        "a sum over 2 hospitals",
        keys=MASKED,
    ),
    Row(
        "one hospital's statistics, where the plan says masked",
        told,
        "statistics leave this hospital inside a sealed sum only",
        keys=MASKED,
    ),
]
SCORING = [
    Row(
        "scores of the training rows",
        lambda s: s.score(part="train"),
        "models are scored on held-out rows, not on 'train'",
    ),
    Row(
        "the same rows again with crafted weights, to read off the labels",
        lambda s: s.score(weights=s.changed_weights()),
        "score test 2 was asked with other weights before",
        (Scene.invite, Scene.score),
    ),
    Row(
        "a second final model, to read off the labels",
        lambda s: s.score(4),
        "this run ended with the scores of round 3",
        (Scene.invite, lambda s: s.score(3)),
    ),
    Row("scores beyond the plan", lambda s: s.score(6), "round 6 is not among the 5 rounds"),
    Row(
        "scores of a model without a finite weight",
        lambda s: s.score(weights=s.train().weights * np.inf),
        "the weights hold a number that is not finite",
    ),
    Row(
        "to count groups for a second model",
        lambda s: s.score(4, groups=True),
        "counted for one model of a run, the final one",
        (Scene.invite, lambda s: s.score(2, groups=True)),
    ),
    Row(
        "to count groups on other rows",
        lambda s: s.score(groups=True, part="validation"),
        "counted among test rows",
    ),
    Row(
        "one hospital's scores, where only sums leave",
        Scene.score,
        "lets scores out inside a sealed sum only",
        policy={"scores": "summed"},
    ),
    Row(
        "scores, where none leave",
        Scene.score,
        "withheld by this hospital's policy",
        policy={"scores": "withheld"},
    ),
    Row(
        "exact scores of a handful of patients",
        Scene.score,
        "fewer than 50 held-out rows",
        policy={"minimum_cell": 50},
    ),
]
QUESTIONS = [
    Row(
        "a question that costs more than one may",
        lambda s: s.count(epsilon=0.9),
        "epsilon 0.9 is above 0.5",
    ),
    Row("a question for nothing", lambda s: s.count(epsilon=0.0), "costs an epsilon of 0.0001"),
    Row("a question with NaN noise", lambda s: s.count(epsilon=np.nan), "got nan"),
    Row("a question whose price is text", lambda s: s.count(epsilon="0.1"), "the epsilon in this"),
    Row("a question with a loose delta", lambda s: s.count(delta=0.5), "delta 0.5 is not within"),
    Row(
        "a kind of question that is not answered",
        lambda s: s.count(question_json=Question("crosstab", ("sex", "smoker")).to_json()),
        "answers no crosstab questions",
    ),
    Row(
        "questions, where none are answered",
        Scene.count,
        "answers no questions",
        policy={"queries": "refused"},
    ),
    Row(
        "one question too many",
        lambda s: s.count(epsilon=0.2),
        "have spent epsilon",
        (Scene.invite, Scene.count),
        policy={"epsilon_total": 0.12},
    ),
    Row("no question", lambda s: s.count(question_json="{"), "cannot be read"),
]
ROWS = [*INVITATIONS, *TRAINING, *STATISTICS, *SCORING, *QUESTIONS]


@pytest.mark.parametrize("row", ROWS, ids=[row.tries for row in ROWS])
def test_a_forbidden_request_is_refused_at_the_hospital(tmp_path, monkeypatch, row):
    scene = Scene(tmp_path, row.keys, row.policy, row.approved)
    try:
        for asking in row.before:
            reply = scene.node.answer(asking(scene))
            assert not isinstance(reply, Refusal), reply.reason
        request = row.asked(scene)
        monkeypatch.setattr(door, "engine_trainer", lambda *_: pytest.fail("it trained for this"))
        refused(scene.node, scene.ledger, request, row.says)
    finally:
        scene.close()


@pytest.mark.parametrize("keys", [{}, NOISY], ids=["plain", "private"])
def test_an_honest_run_is_answered_from_end_to_end_and_again(tmp_path, keys):
    scene = Scene(tmp_path, keys)
    try:
        asked = [scene.invite(), scene.count(), scene.sums()]
        asked += [scene.train(round) for round in (1, 2, 3)]
        asked += [scene.score(5)]
        if not keys:
            asked.insert(2, scene.sums(vocabulary=None))
            asked.insert(6, scene.score(2))
        for request in [*asked, *asked[4:]]:
            if isinstance(request, Statistics) and scene.node._gate._earlier.recall(RUN, "train"):
                continue
            reply = scene.node.answer(request)
            statistics_are_not_worth_it = isinstance(request, Statistics) and bool(keys)
            assert statistics_are_not_worth_it or not isinstance(reply, Refusal), reply
    finally:
        scene.close()


def test_a_restart_does_not_make_a_hospital_forget_what_it_answered(tmp_path):
    scene = Scene(tmp_path)
    try:
        for request in (scene.invite(), scene.train(1)):
            assert not isinstance(scene.node.answer(request), Refusal)
        again = Node(scene.site, policy=scene.node.policy, decisions=scene.decisions)
        assert "not invited" in again.answer(scene.train(2)).reason
        assert not isinstance(again.answer(scene.invite()), Refusal)
        other = scene.train(weights=scene.changed_weights())
        assert "has one answer" in again.answer(other).reason
        assert not isinstance(again.answer(scene.train(1)), Refusal)
        assert "began with another plan" in again.answer(scene.invite(scene.other(seed=3))).reason
    finally:
        scene.close()


def test_there_are_forty_rows_and_no_two_are_alike():
    assert len({row.tries for row in ROWS}) == len(ROWS) >= 40
