"""Private descent over the federation: the reference's result and the ledger's truth."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aegis import Plan, run
from aegis.errors import PlanError, RunAborted
from aegis.evaluation.metrics import metrics
from aegis.events import HospitalAbsent
from aegis.hospital.node import Node
from aegis.hospital.site import VolatileMemory
from aegis.messages import Refusal, Train, Update
from aegis.plan import load_plan
from aegis.plan.schedule import schedule
from aegis.privacy.accounting import epsilon_pld
from aegis.privacy.dpgd import INTERCEPT, dpgd
from aegis.privacy.filters import Cap
from aegis.privacy.gaussian import gaussian_sigma
from aegis.privacy.noise import SystemNoise
from aegis.report.result import result_of
from aegis.report.summary import summary_lines
from aegis.simulation.accounts import PUBLIC, simulated_account
from aegis.simulation.federation import Federation
from aegis.simulation.stacked import StackedHospitals
from aegis.store.journal import Forgetful
from aegis.tasks.bounded import Bounded
from aegis.tasks.task import DataOptions, find_task
from aegis.wiring import federate

KEYS = {"task": "breast_cancer", "privacy.epsilon_budget": "1.0", "evaluation.every": "0"}
OPEN = {"trust": "open", "privacy.mechanism": "dp_sgd"}


@pytest.fixture
def silence(monkeypatch):
    monkeypatch.setattr(
        SystemNoise, "gaussian_on_grid", lambda self, sd, shape: np.zeros(shape, np.int64)
    )


class Private:
    """A private federation with its nodes; closes the ledgers it opened."""

    def __init__(self, folder, dataset=None, **keys):
        plan = load_plan(None, {**KEYS, **keys}).plan
        if dataset is None:
            self.federation = Federation.of(plan, None)
        else:
            self.federation = Federation.dealt(plan, dataset)
        self.nodes = self.federation.nodes(VolatileMemory(), folder)
        self.road = StackedHospitals(self.nodes)
        self.told = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for node in self.nodes.values():
            if node.account is not None:
                node.account.ledger.close()

    def run(self):
        study = self.federation.study
        return federate(study, "run", self.road, Forgetful(), [self.told.append])


def test_without_noise_the_federation_is_the_reference(tmp_path, silence):
    with Private(tmp_path) as private:
        final = private.run()
        sites = private.federation.sites.values()
        prepared = Bounded.of(private.federation.study.schema)
        rows = sum(len(site.train) for site in sites)
        planned = schedule(
            private.federation.study.plan, rows, len(private.nodes), len(prepared.features)
        )
    reference = dpgd(
        [prepared.mapped(site.train) for site in sites],
        [site.train.labels for site in sites],
        planned,
        lambda sd, size: np.zeros(size, np.int64),
    )
    ours = np.append(final.progress.weights[:-1], final.progress.weights[-1] / INTERCEPT)
    assert np.abs(ours - reference.weights).max() < 1e-9
    assert final.progress.rounds == planned.rounds
    assert planned.statistics


def test_who_holds_which_patient_does_not_matter(tmp_path, silence):
    dataset = find_task("breast_cancer").load(DataOptions())
    rows, weights = len(dataset.rows), []
    held_out = np.arange(rows) % 5 == 0
    for number in (1, 2):
        sites = np.random.default_rng(number).choice(["a", "b", "c", "d", "e"], rows)
        dealt = replace(dataset, sites=sites, held_out=held_out)
        keys = {"federated.partition.by": "site"}
        with Private(tmp_path / str(number), dealt, **keys) as private:
            weights.append(private.run().progress.weights)
    assert np.abs(weights[0] - weights[1]).max() < 1e-9


def test_two_runs_with_one_seed_have_different_noise(tmp_path):
    models = []
    for number in (1, 2):
        with Private(tmp_path / str(number)) as private:
            models.append(private.run().progress.weights)
    assert np.abs(models[0] - models[1]).max() > 1e-3


def test_the_ledger_holds_every_release_and_they_cost_the_budget(tmp_path):
    with Private(tmp_path) as private:
        final = private.run()
        for node in private.nodes.values():
            events = node.account.ledger.events("run")
            assert len(events) == final.progress.rounds + 1
            assert epsilon_pld(events, 1e-5) <= 1.0 * (1 + 1e-4)
            assert epsilon_pld(events, 1e-5) > 0.99
            assert node.account.ledger.verify()


def test_an_exhausted_hospital_sends_nothing_and_the_others_go_on(tmp_path):
    sent = []

    class Watching(StackedHospitals):
        def ask(self, requests, deadline_s):
            answers = super().ask(requests, deadline_s)
            sent.extend((requests[name], answer) for name, answer in answers.items())
            return answers

    with Private(tmp_path, **OPEN, **{"federated.quorum": "3"}) as private:
        poor = "hospital_02"
        node = private.nodes[poor]
        node.account = replace(node.account, cap=Cap(0.5, 1e-5))
        private.road = Watching(private.nodes)
        final = private.run()
        spent = node.account.ledger.spent(1e-5)
        updates = [a for r, a in sent if isinstance(a, Update) and a.hospital == poor]
        refusals = [a for r, a in sent if isinstance(a, Refusal) and a.hospital == poor]
        last = max(update.round for update in updates)
        asked = [r.round for r, a in sent if isinstance(r, Train) and a.hospital == poor]
    assert spent.enforced <= 0.5 * (1 + 1e-9)
    assert refusals
    assert max(asked) > last
    assert not [
        a for r, a in sent if isinstance(a, Update) and a.hospital == poor and a.round > last
    ]
    assert final.status == "completed"
    assert any(isinstance(e, HospitalAbsent) and e.hospital == poor for e in private.told)


def test_when_all_budgets_are_spent_the_run_aborts_and_says_why(tmp_path):
    with Private(tmp_path) as private:
        for node in private.nodes.values():
            node.account = replace(node.account, cap=Cap(0.3, 1e-5))
        with pytest.raises(RunAborted, match="epsilon"):
            private.run()


def test_a_repeated_question_gets_the_same_bytes(tmp_path):
    with Private(tmp_path) as private:
        asked = []

        class Keeping(StackedHospitals):
            def ask(self, requests, deadline_s):
                answers = super().ask(requests, deadline_s)
                asked.extend((requests[n], a) for n, a in answers.items() if isinstance(a, Update))
                return answers

        private.road = Keeping(private.nodes)
        private.run()
        for request, answer in asked[:10]:
            again = private.nodes[answer.hospital].answer(request)
            assert np.array_equal(again.vector, answer.vector)


def test_a_hospital_without_a_ledger_does_not_take_part(tmp_path):
    with Private(tmp_path, **{"federated.quorum": "3"}) as private:
        site = next(iter(private.federation.sites.values()))
        private.nodes[site.name].account.ledger.close()
        private.nodes[site.name] = Node(site, policy=PUBLIC)
        private.road = StackedHospitals(private.nodes)
        private.run()
        absent = [e for e in private.told if isinstance(e, HospitalAbsent)]
    assert {e.hospital for e in absent} == {site.name}
    assert "ledger" in absent[0].reason


def test_a_delta_too_large_for_a_hospital_is_refused_by_it(tmp_path):
    with (
        Private(tmp_path, **{"privacy.delta": "0.01"}) as private,
        pytest.raises(RunAborted, match="joined"),
    ):
        private.run()
    assert any("delta" in e.reason for e in private.told if isinstance(e, HospitalAbsent))


def test_a_ledger_of_other_data_is_refused(tmp_path):
    from aegis.errors import DataError

    with Private(tmp_path) as private:
        sites = list(private.federation.sites.values())
        plan = private.federation.study.plan
    first = simulated_account(replace(sites[0], name="same"), plan, tmp_path / "x")
    first.ledger.close()
    with pytest.raises(DataError):
        simulated_account(replace(sites[1], name="same"), plan, tmp_path / "x")


def test_a_private_result_says_what_was_spent_and_what_was_not_covered(tmp_path):
    plan = Plan(task="breast_cancer", privacy={"epsilon_budget": 1.0})
    result = run(plan, home=tmp_path, audit=False)
    document = result.document
    assert document["privacy"]["mechanism"] == "dp_sgd"
    assert document["privacy"]["epsilon"] == pytest.approx(1.0, rel=1e-3)
    assert document["privacy"]["epsilon_rdp"] > document["privacy"]["epsilon"]
    assert all(h["epsilon"] == pytest.approx(1.0, rel=1e-3) for h in document["hospitals"])
    assert document["odds_ratios"] is None
    text = Path(result.files["privacy_statement"]).read_text(encoding="utf-8")
    assert "Total epsilon 1" in text
    assert "held-out patients" in text


@pytest.mark.parametrize(
    "wrong",
    [
        {"epsilon_budget": -1.0},
        {"epsilon_budget": float("nan")},
        {"epsilon_budget": 1.0, "max_grad_norm": -1.0},
        {"epsilon_budget": 1.0, "noise_multiplier": 0.0},
        {"epsilon_budget": 1.0, "delta": 1.0},
    ],
)
def test_bad_privacy_settings_are_refused(wrong, tmp_path):
    with pytest.raises(PlanError):
        run(Plan(task="breast_cancer", privacy={"enabled": True, **wrong}), home=tmp_path)
    assert not list(tmp_path.iterdir())


def _scored(folder, policy, **keys):
    with Private(folder, **keys) as private:
        study = private.federation.study
        for name, node in list(private.nodes.items()):
            private.nodes[name] = Node(node.site, account=node.account, policy=policy)
        private.road = StackedHospitals(private.nodes)
        final = private.run()
        events = [node.account.ledger.events("run scores") for node in private.nodes.values()]
        return study, final, events, private.told


def test_a_hospitals_own_data_share_noisy_charged_counts_only(tmp_path):
    _, final, events, _ = _scored(
        tmp_path, replace(PUBLIC, scores="noisy", score_epsilon=0.5), **OPEN
    )
    held_out = {h.hospital: h.held_out for h in final.progress.hospitals}
    for name, histogram in final.histograms.items():
        assert np.count_nonzero(histogram.sum(axis=0)) <= 2
        assert histogram.sum() == held_out[name]  # told at enrolment; noise invents no patients
        assert final.losses[name] is None
        assert final.noise[name] == pytest.approx(gaussian_sigma(0.5, PUBLIC.delta))
    assert all(len(charged) == 1 for charged in events)
    found = metrics(np.add.reduce(list(final.histograms.values())), None)
    assert found["accuracy"] is not None
    assert found["log_loss"] is None


def test_noise_in_scores_is_in_the_interval_and_in_words(tmp_path):
    wide = {}
    for scores in ("shared", "noisy"):
        policy = replace(PUBLIC, scores=scores, score_epsilon=0.5)
        study, final, events, _ = _scored(tmp_path / scores, policy, **OPEN)
        scored = dict(zip(final.histograms, events, strict=True)) if scores == "noisy" else None
        rest = {"transport": "flower", "model_sha256": "", "releases": {}, "scored": scored}
        result = result_of(study, final, [], **rest)
        low, high = result["global"]["ci95"]["accuracy"]
        wide[scores] = high - low
        said = dict(summary_lines(result))
        assert ("Noise in the scores" in said) == (scores == "noisy")
        assert ("about " in said["Shared model"]) == (scores == "noisy")
        spent = [text for text in result["privacy"]["not_covered"] if "spent epsilon 0.5" in text]
        assert len(spent) == (scores == "noisy")
    assert wide["noisy"] > 2 * wide["shared"]


def test_training_goes_before_scores_where_the_data_have_no_room_for_both(tmp_path):
    said = {"privacy.epsilon_budget": 1.0, "evaluation.every": 1, **OPEN}
    with Private(tmp_path, **said) as private:
        for name, node in list(private.nodes.items()):
            account = replace(node.account, cap=Cap(1.1, 1e-5))
            policy = replace(PUBLIC, scores="noisy", score_epsilon=0.1)
            private.nodes[name] = Node(node.site, account=account, policy=policy)
        private.road = StackedHospitals(private.nodes)
        final = private.run()
        assert final.reason == "all planned rounds are done"
        refused = [e for e in private.told if isinstance(e, HospitalAbsent)]
        assert refused
        assert all("kept for the rounds that are left" in e.reason for e in refused)
        for node in private.nodes.values():
            assert 1.0 < epsilon_pld(node.account.ledger.events(), 1e-5) < 1.101
        assert len(final.histograms) == len(private.nodes)  # the last one is paid for


def test_a_plan_for_all_that_the_data_may_ever_spend_is_finished(tmp_path):
    """As with the strict policy that a hospital begins with, and an epsilon of 1."""
    with Private(tmp_path, **{"privacy.epsilon_budget": 1.0, **OPEN}) as private:
        for name, node in list(private.nodes.items()):
            account = replace(node.account, cap=Cap(1.0, 1e-5))
            policy = replace(PUBLIC, scores="noisy")
            private.nodes[name] = Node(node.site, account=account, policy=policy)
        private.road = StackedHospitals(private.nodes)
        final = private.run()
        assert final.reason == "all planned rounds are done"
        assert final.histograms == {}
        refused = [e.reason for e in private.told if isinstance(e, HospitalAbsent)]
        assert all("these data have spent epsilon 1 of 1" in reason for reason in refused)


def test_withheld_scores_leave_a_model_without_figures_and_a_reason(tmp_path):
    study, final, events, told = _scored(tmp_path, replace(PUBLIC, scores="withheld"), **OPEN)
    assert final.histograms == {}
    assert all(not charged for charged in events)
    result = result_of(study, final, [], transport="inprocess", model_sha256="", releases={})
    assert result["global"]["accuracy"] is None
    assert "released" in result["global_reason"]
    assert any("policy" in e.reason for e in told if isinstance(e, HospitalAbsent))
