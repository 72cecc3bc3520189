"""Asked for counts, a hospital looks at its policy, the price, the ledger; then at its rows."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis import codec
from aegis.errors import BadInput
from aegis.hospital.counting import NO_LEDGER, withheld
from aegis.hospital.ledger import Ledger
from aegis.hospital.node import Node
from aegis.hospital.policy import LEAST_EPSILON, Policy
from aegis.hospital.release import KEPT, Account, rows_sha256
from aegis.hospital.site import Site
from aegis.messages import WITHHELD, Ask, Counts, Invite, Refusal
from aegis.plan import Plan
from aegis.privacy.accounting import GaussianRelease
from aegis.privacy.filters import Cap
from aegis.privacy.gaussian import gaussian_sigma
from aegis.privacy.noise import SystemNoise
from aegis.simulation.accounts import PUBLIC
from aegis.tasks.question import question
from aegis.tasks.task import Rows, find_task
from aegis.tasks.topics import Topics

PLAN = Plan(**{"task": "heart", "trust": "open", "secure_aggregation.enabled": False})
SCHEMA = find_task("heart").schema
TOPICS = Topics(SCHEMA, find_task("heart").positive, {"sex": "words"})
ALLOWED = replace(PUBLIC, demonstration=False, scores="noisy")
HISTOGRAM = question(TOPICS, "histogram", ["cp"])
COUNT = question(TOPICS, "count", where="age >= 60 and sex = female")


def _rows(n, seed):
    rng = np.random.default_rng(seed)
    inputs = {
        c.name: (
            rng.choice([*c.categories, ""], n)
            if c.kind == "category"
            else rng.uniform(30, 80, n).round()
        )
        for c in SCHEMA.columns
    }
    inputs["sex"] = rng.integers(0, 2, n).astype(float)
    words = np.where(inputs["sex"] == 1, "male", "female")
    return Rows(inputs, rng.integers(0, 2, n), {"sex": words})


SITE = Site("north", SCHEMA, _rows(150, 1), _rows(40, 2), _rows(60, 3))


class Silent(SystemNoise):
    """NOT PRIVATE: noise that is none, to see what is under it."""

    def gaussian_on_grid(self, sd, shape):
        return np.zeros(shape, np.int64)


@pytest.fixture
def ledger(tmp_path):
    opened = Ledger.open(tmp_path / "north.db", rows_sha256(SITE.train))
    yield opened
    opened.close()


def _node(ledger=None, policy=ALLOWED, noise=None, epsilon=1.0):
    account = None if ledger is None else Account(ledger, Cap(epsilon, 1e-5))
    node = Node(SITE, account=account, policy=policy)
    if noise is not None:
        node._noise = noise
    node.answer(Invite("run", PLAN.sha256, PLAN.to_json()))
    return node


def _ask(asked=HISTOGRAM, epsilon=0.1, delta=1e-5, run="run", text=None):
    return Ask(run, PLAN.sha256, text or asked.to_json(), epsilon, delta)


def _exact(asked):
    return sum(asked.counts(part, TOPICS) for part in (SITE.train, SITE.validation, SITE.test))


@pytest.mark.parametrize("asked", [HISTOGRAM, COUNT, question(TOPICS, "crosstab", ["cp", "sex"])])
def test_without_its_noise_the_answer_is_the_count_of_all_rows(ledger, asked):
    reply = _node(ledger, noise=Silent()).answer(_ask(asked))
    assert isinstance(reply, Counts)
    assert np.array_equal(reply.cells, _exact(asked))
    assert reply.examples == 250
    assert reply.cells.dtype == np.int64


def test_the_noise_is_that_of_the_price(tmp_path):
    sigma = gaussian_sigma(0.5, 1e-5)
    errors = []
    for trial in range(300):
        opened = Ledger.open(tmp_path / f"{trial}.db", rows_sha256(SITE.train))
        reply = _node(opened).answer(_ask(epsilon=0.5))
        opened.close()
        assert reply.noise_sd == pytest.approx(math.hypot(sigma, 12**-0.5))
        errors.append(reply.cells - _exact(HISTOGRAM))
    spread = np.concatenate(errors)
    n = len(spread)
    assert abs(spread.mean()) < 4 * sigma / math.sqrt(n)
    assert abs(spread.std() / sigma - 1) < 4 / math.sqrt(2 * n)


def test_a_question_is_charged_with_its_noise_before_anything_is_counted(ledger, monkeypatch):
    def counting(self, rows, topics):
        charged.append([row.kind for row in ledger.rows()])
        return real(self, rows, topics)

    charged = []
    real = type(HISTOGRAM).counts
    monkeypatch.setattr(type(HISTOGRAM), "counts", counting)
    _node(ledger).answer(_ask())
    assert charged[0] == ["opened", "reserved"]
    reserved = ledger.rows()[1]
    assert HISTOGRAM.sha256 in reserved.purpose
    assert ledger.events() == [GaussianRelease(gaussian_sigma(0.1, 1e-5))]


def test_the_same_question_has_the_same_bytes_and_costs_nothing_again(ledger):
    first = _node(ledger).answer(_ask())
    again = _node(ledger).answer(_ask())
    assert codec.dumps(first) == codec.dumps(again)
    assert len(ledger.events()) == 1
    node = _node(ledger)
    node.answer(Invite("another run", PLAN.sha256, PLAN.to_json()))
    elsewhere = node.answer(_ask(run="another run"))
    assert elsewhere.run == "another run"
    assert np.array_equal(elsewhere.cells, first.cells)
    assert len(ledger.events()) == 1


def test_another_price_is_another_release(ledger):
    first, second = (_node(ledger).answer(_ask(epsilon=epsilon)) for epsilon in (0.1, 0.2))
    assert len(ledger.events()) == 2
    assert first.noise_sd > second.noise_sd


def test_an_exhausted_hospital_abstains_and_keeps_its_old_answers(ledger):
    node, answers = _node(ledger, epsilon=0.3), []
    for age in range(60):
        asked = question(TOPICS, "count", where=f"age > {age}")
        answers.append(node.answer(_ask(asked)))
    given = [reply for reply in answers if isinstance(reply, Counts)]
    assert 1 < len(given) < 20
    assert all(isinstance(reply, Refusal) for reply in answers[len(given) :])
    assert "have spent" in answers[-1].reason
    assert len(ledger.events()) == len(given)
    first = question(TOPICS, "count", where="age > 0")
    assert np.array_equal(node.answer(_ask(first)).cells, given[0].cells)


def test_the_policy_caps_what_all_questions_together_spend(ledger):
    node = _node(ledger, replace(ALLOWED, epsilon_cap=0.12), epsilon=5.0)
    assert isinstance(node.answer(_ask()), Counts)
    refused = node.answer(_ask(COUNT))
    assert isinstance(refused, Refusal)
    assert "of 0.12" in refused.reason


@pytest.mark.parametrize(
    ("policy", "asking", "says"),
    [
        (replace(ALLOWED, queries="refused"), _ask(), "answers no questions"),
        (replace(ALLOWED, kinds=("count",)), _ask(), "answers no histogram questions"),
        (ALLOWED, _ask(epsilon=0.6), "above 0.5"),
        (ALLOWED, _ask(epsilon=math.nan), "got nan"),
        (ALLOWED, _ask(epsilon=math.inf), "got inf"),
        (ALLOWED, _ask(epsilon=0.0), "got 0"),
        (ALLOWED, _ask(epsilon=-1.0), "got -1"),
        (ALLOWED, _ask(delta=1e-4), "delta 0.0001"),
        (ALLOWED, _ask(delta=0.0), "delta 0"),
        (ALLOWED, _ask(delta=math.nan), "delta nan"),
        (ALLOWED, _ask(text="{}"), "cannot be read"),
        (ALLOWED, _ask(text=COUNT.to_json().replace("age", "agee")), "Did you mean age?"),
        (ALLOWED, _ask(run="unknown"), "not invited"),
    ],
)
def test_what_the_policy_does_not_allow_is_refused_and_not_charged(ledger, policy, asking, says):
    refused = _node(ledger, policy).answer(asking)
    assert isinstance(refused, Refusal)
    assert says in refused.reason
    assert ledger.events() == []


def test_a_node_without_a_policy_answers_nothing(ledger):
    node = Node(SITE, account=Account(ledger, Cap(1.0, 1e-5)))
    for request in (Invite("run", PLAN.sha256, PLAN.to_json()), _ask()):
        assert "has no policy" in node.answer(request).reason


def test_without_a_ledger_nothing_is_counted():
    assert _node(None).answer(_ask()).reason == NO_LEDGER


def test_public_rows_may_be_counted_without_noise_but_small_cells_stay():
    demonstration = replace(ALLOWED, demonstration=True)
    reply = _node(None, demonstration).answer(_ask())
    exact = _exact(HISTOGRAM)
    assert reply.noise_sd == 0
    assert np.array_equal(reply.cells, exact)
    few = question(TOPICS, "count", where="age > 78 and sex = female")
    assert 0 < _exact(few)[0] < 10
    assert _node(None, demonstration).answer(_ask(few)).cells.tolist() == [WITHHELD]


def test_a_ledger_means_noise_even_for_public_rows(ledger):
    reply = _node(ledger, replace(ALLOWED, demonstration=True)).answer(_ask())
    assert reply.noise_sd > 0
    assert len(ledger.events()) == 1


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.integers(10, 20))
@settings(max_examples=200, deadline=None)
def test_a_small_cell_never_leaves_nor_follows_from_the_total(counts, minimum):
    cells = np.array(counts)
    left = withheld(cells, minimum)
    hidden = left == WITHHELD
    assert (left[~hidden] >= minimum).all()
    assert np.array_equal(left[~hidden], cells[~hidden])
    assert hidden[cells < minimum].all()
    if hidden.any() and not hidden.all():
        assert cells[hidden].sum() >= minimum
        assert hidden.sum() > 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"queries": "maybe"}, "allowed or refused"),
        ({"kinds": ("mean",)}, "got 'mean'"),
        ({"minimum_cell": 3}, "10 or more"),
        ({"minimum_cell": True}, "10 or more"),
        ({"epsilon_cap": math.inf}, "epsilon_cap"),
        ({"per_question_epsilon_max": math.nan}, "per_question_epsilon_max"),
        ({"epsilon_cap": 0.0}, f"{LEAST_EPSILON:g} or more"),
        ({"delta": 0.5}, "at most 1e-5"),
    ],
)
def test_an_unsound_policy_is_refused(wrong, says):
    with pytest.raises(BadInput, match=says):
        Policy(**wrong)


def test_the_smallest_price_still_has_a_noise_that_can_be_drawn(ledger):
    reply = _node(ledger).answer(_ask(epsilon=LEAST_EPSILON, delta=1e-300))
    assert isinstance(reply, Counts), reply


def test_policies_that_differ_have_other_hashes():
    changed = replace(ALLOWED, minimum_cell=20)
    assert len({Policy().sha256, ALLOWED.sha256, changed.sha256}) == 3


def test_counts_survive_the_road(ledger):
    reply = _node(ledger).answer(_ask())
    back = codec.loads(codec.dumps(reply), KEPT)
    assert np.array_equal(back.cells, reply.cells)
    assert replace(back, cells=None) == replace(reply, cells=None)
