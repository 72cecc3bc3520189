"""A coordinator that tells hospitals different things, or goes back to a sum it has opened."""

from dataclasses import replace

import numpy as np
import pytest

from aegis.hospital.answers import Question, SqliteAnswers, VolatileAnswers
from aegis.hospital.node import Node
from aegis.hospital.policy import Policy
from aegis.hospital.sealing import Seal
from aegis.hospital.site import Site
from aegis.identity.keys import SigningKey
from aegis.identity.roster import Roster
from aegis.messages import Absence, Invite, Refusal, Statistics, Train
from aegis.messages.stages import Advertise, Confirm, Share, Unmask
from aegis.plan import Plan
from aegis.plan.sums import context, layout, least_survivors, question_sha256
from aegis.secagg import Aborted, Opening, begin, combiner
from aegis.tasks.models import network
from aegis.tasks.preparation import Preparation, tally, with_vocabulary
from tests.hospital.test_forbidden import PLAN, RUN, SCHEMA, WORDS, rows

NAMES = ("a", "b", "c", "d")
PLAIN = {
    **PLAN,
    "trust": "masked",
    "secure_aggregation.enabled": True,
    "federated.num_clients": 4,
    "privacy.mechanism": "none",
}


class Federation:
    """Four hospitals of one masked plan without noise, and what a coordinator needs to lie."""

    def __init__(self, answers=lambda name: VolatileAnswers()):
        self.plan = Plan(**PLAIN)
        keys = {name: SigningKey.generate() for name in NAMES}
        self.roster = Roster(tuple((name, key.public.raw) for name, key in keys.items()))
        policy = Policy(
            tasks=("breast_cancer",), mechanisms=("none",), approval="automatic", scores="summed"
        )
        self.nodes = {}
        for seed, name in enumerate(NAMES):
            site = Site(name, SCHEMA, *(rows(n, 10 * seed + n, SCHEMA) for n in (60, 30, 40)))
            seal = Seal(keys[name], self.roster, answers(name))
            self.nodes[name] = Node(site, policy=policy, seal=seal)
            self.nodes[name].answer(Invite(RUN, self.plan.sha256, self.plan.to_json()))
        schema = with_vocabulary(SCHEMA, WORDS)
        sums = tally(schema, rows(60, 0, SCHEMA))
        self.preparation = Preparation.from_tally(schema, sums).to_json()
        self.size = network(self.plan.model, self.preparation).size

    def train(self, value=0.0, round=1):
        weights = np.full(self.size, value)
        return Train(RUN, self.plan.sha256, round, weights, 0.5, 240, 4, self.preparation)

    def sums(self):
        return Statistics(RUN, self.plan.sha256, WORDS, 240, 4)

    def begun(self, question, size, attempt=0, purpose="train", told=None):
        digest = question_sha256(told or question)
        schema = next(iter(self.nodes.values())).site.schema.sha256
        about = RUN, question.round, attempt, purpose, self.roster
        where = context(*about, self.plan.sha256, schema, {}, digest)
        length = layout(purpose, self.plan, size).encoding.size
        least = least_survivors(self.plan, len(NAMES))
        return begin(where, self.roster, length=length, least=least, question=digest)

    def opened(self, state, asked, silent=(), told=lambda name, request: request):
        """``asked`` by hospital is the question inside; ``silent`` never mask."""
        self.reasons = []
        while not isinstance(state, Aborted | Opening):
            late = not isinstance(state, combiner.Advertising | combiner.Sharing)
            answers = {}
            for name, request in combiner.requests(state, asked).items():
                if late and name in silent:
                    answers[name] = Absence(name, "silent")
                    continue
                answers[name] = self.nodes[name].answer(told(name, request))
                if isinstance(answers[name], Refusal):
                    self.reasons.append(answers[name].reason)
            state = combiner.step(state, answers)
        return state

    def tallied(self, attempt=0, silent=()):
        """The opened sums of the statistics round, without its checksum."""
        asked = self.sums()
        state = self.begun(asked, self.length, attempt, "statistics")
        return self.opened(state, dict.fromkeys(NAMES, asked), silent)

    @property
    def length(self):
        return tally(with_vocabulary(SCHEMA, WORDS), rows(60, 0, SCHEMA)).size


@pytest.fixture
def federation():
    return Federation()


def contribution(federation):
    size = federation.size
    newton = federation.plan.training.solver == "newton"
    return size + size * (size + 1) // 2 if newton else size


def test_hospitals_that_are_asked_the_same_open_their_sum(federation):
    asked = federation.train()
    state = federation.begun(asked, contribution(federation))
    assert isinstance(federation.opened(state, dict.fromkeys(NAMES, asked)), Opening)
    assert not federation.reasons


def test_one_hospital_is_not_sent_another_model_than_the_rest(federation):
    """With the others' updates known beforehand (a model that teaches nothing), the sum would be
    the one hospital's own update."""
    honest, dead = federation.train(), federation.train(1e6)
    asked = dict.fromkeys(NAMES, dead) | {"a": honest}
    for told in (honest, dead):
        fresh = Federation()
        state = fresh.begun(honest, contribution(fresh), told=told)
        found = fresh.opened(state, asked)
        assert isinstance(found, Aborted) or found.survivors == NAMES[1:]
        assert any("not the one that this sum was begun for" in why for why in fresh.reasons)


def test_hospitals_that_were_told_of_different_questions_find_no_common_keys(federation):
    honest, dead = federation.train(), federation.train(1e6)
    asked = dict.fromkeys(NAMES, dead) | {"a": honest}

    def told(name, request):
        if isinstance(request, Advertise):
            return replace(request, question=question_sha256(asked[name]))
        return request

    state = federation.begun(dead, contribution(federation))
    found = federation.opened(state, asked, told=told)
    assert found.survivors == NAMES[1:]
    assert dict(found.blamed)["a"] == "keys that its pinned identity did not sign"
    # Nor does the one that was told apart take the keys of the others.
    shown = combiner.requests(federation.begun(dead, contribution(federation)))
    keys = tuple(federation.nodes[name].answer(shown[name]) for name in NAMES[1:])
    own = federation.nodes["a"].answer(replace(shown["a"], question=question_sha256(honest)))
    reply = federation.nodes["a"].answer(Share(*_about(federation), (own, *keys)))
    assert "its pinned identity did not sign" in reply.reason


def test_an_attempt_does_not_change_its_question(federation):
    first, second = federation.train(), federation.train(0.5)
    size = contribution(federation)
    asking = combiner.requests(federation.begun(first, size))["a"]
    assert not isinstance(federation.nodes["a"].answer(asking), Refusal)
    reply = federation.nodes["a"].answer(replace(asking, question=question_sha256(second)))
    assert "already" in reply.reason


def test_counts_beside_the_model_are_part_of_the_question(federation):
    asked = federation.train()
    other = replace(asked, total_examples=239)
    state = federation.begun(asked, contribution(federation))
    found = federation.opened(state, dict.fromkeys(NAMES, asked) | {"a": other, "b": other})
    assert isinstance(found, Aborted)


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_a_later_round_does_not_make_a_hospital_forget_over_whom_it_opened_a_sum(kind, tmp_path):
    """All, then all but one, and the difference is that one's own sums."""
    keep = (
        (lambda name: SqliteAnswers(tmp_path / f"{name}.db"))
        if kind == "disk"
        else lambda name: VolatileAnswers()
    )
    federation = Federation(keep)
    assert isinstance(federation.tallied(), Opening)
    for name in NAMES:  # a later round, as far as answers go
        about = RUN, federation.plan.sha256, 1, 0, "evaluate"
        asked = Advertise(*about, NAMES, question=bytes(32))
        assert not isinstance(federation.nodes[name].answer(asked), Refusal)
    found = federation.tallied(attempt=1, silent=("d",))
    assert isinstance(found, Aborted)
    assert any("opened over other hospitals" in reason for reason in federation.reasons)


def test_long_answers_of_earlier_rounds_go_and_what_was_opened_stays(tmp_path):
    for answers in (VolatileAnswers(), SqliteAnswers(tmp_path / "answers.db")):
        for stage in ("begun", "mask", "opened", "unmask"):
            answers.keep(Question("run", 1, "train", 0, stage), stage.encode())
        answers.keep(Question("run", 2, "train", 0, "begun"), b"")
        kept = [answers.kept(Question("run", 1, "train", 0, s)) for s in ("mask", "unmask")]
        assert kept == [None, None]
        assert answers.opened("run", 1, "train") == b"opened"
        assert answers.kept(Question("run", 1, "train", 0, "begun")) == b"begun"
        answers.close()


def _about(federation):
    return RUN, federation.plan.sha256, 1, 0, "train"


def test_nothing_is_confirmed_or_unmasked_for_a_sum_that_was_never_joined(federation):
    for request in (
        Confirm(*_about(federation), NAMES),
        Unmask(*_about(federation), {}),
    ):
        assert "no part in attempt 0" in federation.nodes["a"].answer(request).reason


def test_a_hospital_that_found_a_false_sum_stays_out_of_the_run_through_a_restart(tmp_path):
    federation = Federation(lambda name: SqliteAnswers(tmp_path / f"{name}.db"))
    asked = federation.train()
    state = federation.begun(asked, contribution(federation))
    found = federation.opened(state, dict.fromkeys(NAMES, asked))
    shown = combiner.requests(found)["a"]
    false = shown.total.copy()
    false[0] += np.uint64(1)
    answer = federation.nodes["a"].answer(replace(shown, total=false))
    assert answer.fault
    again = Federation(lambda name: SqliteAnswers(tmp_path / f"{name}.db"))
    reply = again.nodes["a"].answer(
        combiner.requests(again.begun(again.train(round=2), contribution(again)))["a"]
    )
    assert "takes no part in the run any more" in reply.reason
    reply = again.nodes["b"].answer(
        combiner.requests(again.begun(again.train(round=2), contribution(again)))["b"]
    )
    assert not isinstance(reply, Refusal)
