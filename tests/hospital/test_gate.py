"""What the hospital charges and does when a coordinator lies, and what its memory is good for."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aegis.hospital import node as door
from aegis.hospital.gate import Gate
from aegis.hospital.ledger import Ledger
from aegis.hospital.node import Node
from aegis.hospital.release import Account, rows_sha256, site_sha256
from aegis.hospital.site import Site
from aegis.messages import Evaluate, Invite, Refusal, Scores, Update
from aegis.messages.stages import Advertise, Confirm, Mask, Opened, Share, Unmask
from aegis.plan import Plan
from aegis.plan.schedule import schedule
from aegis.privacy.accounting import epsilon_gdp
from aegis.privacy.filters import Cap
from aegis.simulation.accounts import PUBLIC
from aegis.tasks.bounded import Bounded
from aegis.tasks.models import network
from aegis.tasks.task import Rows
from tests.hospital.test_forbidden import MASKED, NAMES, NOISY, PLAN, RUN, Scene, rows

NETWORK = {
    "model.name": "mlp",
    "training.learning_rate": 0.1,
    "data.standardize": "none",
    "model.init": "uniform",
}


@pytest.fixture
def scene(tmp_path):
    found = Scene(tmp_path, NOISY)
    yield found
    found.close()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.integers(90, 10**9), st.integers(1, 80)),
        min_size=1,
        max_size=8,
    )
)
def test_whatever_counts_a_coordinator_claims_noise_and_charge_are_one(tmp_path_factory, claims):
    """Even without the gate's memory (a new one for each request), the noise drawn is the noise
    charged, and the run stays within its budget."""
    folder = tmp_path_factory.mktemp("h")
    plan = Plan(**{**PLAN, **NOISY})
    public = Scene(folder, NOISY)
    public.close()
    here = public.site
    ledger = Ledger.open(folder / "own.db", rows_sha256(here.train))
    drawn = []
    for hospitals, examples, round in claims:
        node = Node(here, account=Account(ledger, Cap(10.0, 1e-5)), policy=PUBLIC)
        real = node._noise.gaussian_on_grid

        def watched(sd, shape, real=real):
            drawn.append(sd)
            return real(sd, shape)

        node._noise.gaussian_on_grid = watched
        node.answer(Invite(RUN, plan.sha256, plan.to_json()))
        before = len(ledger.events(RUN))
        asked = public.train(round, hospitals=hospitals, total_examples=examples)
        asked = replace(asked, learning_rate=1e-9)
        reply = node.answer(asked)
        if isinstance(reply, Update) and len(ledger.events(RUN)) > before:
            features = len(Bounded.of(here.schema).features)
            planned = schedule(plan, examples, hospitals, features)
            assert drawn[-1] == planned.noise_sd
            assert ledger.reserved(RUN, round, "train") == planned.round_event
            charged = planned.round_event.sigma_over_sensitivity * planned.clip
            assert charged == pytest.approx(drawn[-1], rel=1e-12)
    events = ledger.events(RUN)
    assert len(events) == len(drawn)
    assert epsilon_gdp(events, 1e-5) <= 1.0 * (1 + 1e-9)
    ledger.close()


def test_a_number_that_overflows_for_one_patient_tells_nothing(tmp_path):
    """Weights that send one row to infinity: whoever holds that row answers like everybody."""
    plan = Plan(**{**PLAN, **NETWORK})
    start = network(plan.model, (text := _public(tmp_path))).initial(1, "uniform")
    held = rows(40, 5)
    odd = rows(40, 5)
    odd.inputs["age"][0] = 1e38
    kinds = []
    for number, test in enumerate((held, odd)):
        site = Site("here", Scene(tmp_path / str(number)).schema, rows(90, 0), test, test)
        ledger = Ledger.open(tmp_path / f"{number}.db", "data")
        policy = replace(PUBLIC, scores="noisy", score_epsilon=0.5)
        node = Node(site, account=Account(ledger, Cap(5.0, 1e-5)), policy=policy)
        node.answer(Invite(RUN, plan.sha256, plan.to_json()))
        with np.errstate(all="ignore"):
            reply = node.answer(Evaluate(RUN, plan.sha256, 2, start * 1e9, "test", text))
        kinds.append(type(reply))
        assert not isinstance(reply, Refusal), reply.reason
        ledger.close()
    assert kinds == [Scores, Scores]


def _public(folder):
    from aegis.tasks.preparation import Preparation, tally, with_vocabulary
    from tests.hospital.test_forbidden import SCHEMA, WORDS

    schema = with_vocabulary(SCHEMA, WORDS)
    return Preparation.from_tally(schema, tally(schema, rows(90, 0))).to_json()


def test_an_error_that_nobody_foresaw_is_told_by_its_place_and_not_by_its_words(
    tmp_path, monkeypatch, caplog
):
    scene = Scene(tmp_path)
    scene.node.answer(scene.invite())

    class Fails:
        def train(self, job):
            raise KeyError(f"patient {job.design[3, 0]}")

    monkeypatch.setattr(door, "engine_trainer", lambda *_: Fails())
    reply = scene.node.answer(scene.train())
    assert isinstance(reply, Refusal)
    assert "an unforeseen KeyError at test_gate.py:" in reply.reason
    assert "patient" not in reply.reason + caplog.text
    scene.close()


def test_an_account_is_never_looser_than_the_policy(scene):
    account = Account(scene.ledger, Cap(4.0, 1e-5))
    assert account.within(None) is account
    assert account.within(Cap(9.0, 1e-6)).cap == Cap(4.0, 1e-6)
    assert account.within(Cap(0.5, 1e-5)).cap == Cap(0.5, 1e-5)


def test_the_policys_total_stops_a_run_in_the_middle(tmp_path):
    scene = Scene(tmp_path, NOISY, {"epsilon_total": 0.6})
    scene.node.answer(scene.invite())
    replies = [scene.node.answer(scene.train(round)) for round in range(1, 20)]
    sent = [reply for reply in replies if isinstance(reply, Update)]
    assert 0 < len(sent) < len(replies)
    assert "these data have spent epsilon" in replies[-1].reason
    assert epsilon_gdp(scene.ledger.events(), 1e-5) <= 0.6
    scene.close()


def test_a_delta_that_is_too_large_for_so_many_scored_patients_is_refused(tmp_path):
    many = Rows(rows(90, 0).inputs, rows(90, 0).labels)
    test = rows(11_000, 3)
    scene = Scene(tmp_path)
    site = Site("here", scene.schema, many, test, test)
    policy = replace(PUBLIC, scores="noisy")
    node = Node(site, account=Account(scene.ledger, Cap(5.0, 1e-5)), policy=policy)
    node.answer(scene.invite())
    reply = node.answer(scene.score())
    assert "for 11000 patients" in reply.reason
    assert scene.ledger.events() == []
    scene.close()


def test_all_rows_of_a_hospital_have_one_name_however_they_are_dealt():
    one, two, three = rows(50, 1), rows(20, 2), rows(10, 3)
    name = site_sha256([one, two, three])
    order = np.random.default_rng(0).permutation(50)
    assert site_sha256([three, one.take(order), two]) == name
    assert site_sha256([one.take(order[:30]), two, three, one.take(order[30:])]) == name
    assert site_sha256([one, two]) != name
    other = Rows(one.inputs, 1 - one.labels)
    assert site_sha256([other, two, three]) != name


def test_a_scored_model_is_not_summed_again_over_one_hospital_fewer(tmp_path):
    """Summed in its round and again as the final one: the difference would be one hospital's."""
    scene = Scene(tmp_path, {**MASKED, "evaluation.every": 1}, {"scores": "summed"})
    gate, plan = Gate(scene.site), scene.plan
    policy = scene.node.policy
    gate._earlier.claim(RUN, "train", f"{5 * 90}|5")

    def fault(request):
        return gate.fault(policy, plan, plan.sha256, request)

    def opened(purpose, there, inner):
        mask = Mask(RUN, plan.sha256, 3, 1, purpose, inner, {})
        confirm = Confirm(RUN, plan.sha256, 3, 1, purpose, there)
        unmask = Unmask(RUN, plan.sha256, 3, 1, purpose, {})
        return [fault(mask), fault(confirm)] + ([fault(unmask)] if there else [])

    inner = scene.score(3)
    assert opened("evaluate", NAMES, inner) == [None, None, None]
    assert "the difference of the two would be" in opened("final", NAMES[:4], inner)[1]
    assert opened("final", tuple(reversed(NAMES)), inner)[1] is None
    scene.close()


def test_validation_and_test_rows_may_be_summed_over_other_hospitals(tmp_path):
    keys = {"evaluation.every": 1, "evaluation.keep": "best", "data.validation_fraction": 0.2}
    scene = Scene(tmp_path, {**MASKED, **keys}, {"scores": "summed"})
    gate, plan = Gate(scene.site), scene.plan
    gate._earlier.claim(RUN, "train", f"{5 * 90}|5")
    for purpose, part, there in (("evaluate", "validation", NAMES), ("final", "test", NAMES[:4])):
        inner = scene.score(3, part=part)
        for stage in (
            Mask(RUN, plan.sha256, 3, 1, purpose, inner, {}),
            Confirm(RUN, plan.sha256, 3, 1, purpose, there),
            Unmask(RUN, plan.sha256, 3, 1, purpose, {}),
        ):
            assert gate.fault(scene.node.policy, plan, plan.sha256, stage) is None
    scene.close()


JUNK = [
    None, True, False, 0, -1, 2**70, 1.5, float("nan"), float("inf"), "", "x", "run", "questions",
    b"x", [], (), {}, [1], ("here",), {"ward": 3}, {"ward": ("north",)}, {3: ("x",)}, object(),
    np.zeros(7), np.zeros(7, np.float16), np.zeros((7, 1)), np.zeros(0), np.array(None, object),
    np.full(7, np.nan), np.zeros(7, complex), "[]", "{}", "[[]]", "[[1]]", '[["age"]]', "null",
    '[["age","age",0,1,null,false]]', '[["age","age","a",1,null,false]]', '{"bounded":[]}',
    '{"image":[1,2]}', '{"bounded":[[1]],"means":[],"deviations":[]}', "[" * 5000,
]  # fmt: skip


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_junk_in_any_field_is_answered_or_unforeseen(asked_junk, data):
    scene, requests = asked_junk
    request = data.draw(st.sampled_from(requests))
    name = data.draw(st.sampled_from([field.name for field in fields(request)]))
    value = data.draw(st.sampled_from(JUNK))
    reply = scene.node.answer(replace(request, **{name: value}))
    if isinstance(reply, Refusal):
        assert "unforeseen" not in reply.reason, (name, value, reply.reason)
    else:
        assert type(reply).__name__ in ANSWERS[type(request).__name__]


ANSWERS = {
    "Invite": ("Enrolled",),
    "Ask": ("Counts",),
    "Statistics": ("Tally",),
    "Train": ("Update",),
    "Evaluate": ("Scores",),
    "Advertise": ("Advertised",),
    "Mask": (),
    "Confirm": (),
    "Unmask": (),
    "Share": (),
    "Opened": (),
}


@pytest.fixture(params=[{}, NOISY, MASKED], ids=["plain", "private", "masked"])
def asked_junk(tmp_path, request):
    scene = Scene(tmp_path, request.param)
    assert not isinstance(scene.node.answer(scene.invite()), Refusal)
    sha = scene.plan.sha256
    at = (RUN, sha, 1, 1, "train")
    asked = [scene.invite(), scene.count(), scene.sums(), scene.train(), scene.score()]
    asked += [Advertise(*at, NAMES), Share(*at, ()), Mask(*at, scene.train(), {})]
    asked += [Confirm(*at, NAMES), Unmask(*at, {}), Opened(*at, np.zeros(3, np.uint64), NAMES)]
    yield scene, asked
    scene.close()
