"""The whole audit on the Wisconsin table: what it catches and leaves alone, whom it compares."""

import time

import numpy as np
import pytest

from aegis.assurance.attacks import LossBased, Rmia
from aegis.assurance.control import overfit_twin, with_wrong_labels
from aegis.assurance.membership import Declared, assignments, audit
from aegis.assurance.patients import Patients
from aegis.errors import BadInput
from tests.assurance.recipes import (
    held_out,
    noised_gradient,
    noisy_labels,
    ridge,
    scaled,
    unmoved,
    wisconsin,
)

TWO = (LossBased(), Rmia())


def _audit(fit, patients, **more):
    more = {"attacks": TWO, **more}
    return audit(fit, *held_out(patients), **more)


def test_an_overfit_model_is_caught():
    found = _audit(overfit_twin, noisy_labels(wisconsin()))
    assert found["rmia"].auc.value >= 0.65
    assert found["rmia"].auc.low > 0.5
    assert found["rmia"].vulnerable
    assert found.verdict.outcome == "vulnerable"


def test_a_noised_model_is_not_told_from_chance_and_the_whole_audit_takes_seconds():
    began = time.perf_counter()
    found = audit(noised_gradient(1.0), *held_out(scaled(wisconsin())), privacy=Declared(1.0, 1e-5))
    assert time.perf_counter() - began < 10
    assert found.verdict.outcome == "safe"
    assert found.control is not None
    assert found.control.auc.value >= 0.65
    for finding in found.findings:
        assert finding.auc.low < 0.5 < finding.auc.high, finding.attack
        assert finding.recipe is not None
        assert finding.recipe.high <= 0.55, finding.attack
        assert finding.grade == "A"
    assert (found.members, found.nonmembers, found.hospitals) == (454, 115, 5)


def test_the_plain_regression_leaks_a_little_and_reference_models_see_it():
    found = _audit(ridge, wisconsin())
    rmia, loss = found["rmia"], found["loss_based"]
    assert rmia.recipe is not None
    assert loss.recipe is not None
    assert rmia.recipe.low > 0.5
    assert loss.recipe.low < 0.5 < loss.recipe.high
    assert found.verdict.outcome == "safe"


def test_a_released_model_that_is_not_its_recipes_is_found_out():
    """The recipe adds noise; the model that was released was trained by another one."""
    patients = noisy_labels(scaled(wisconsin()))
    members, nonmembers = held_out(patients)
    forgetful = overfit_twin(members, 0)
    found = audit(noised_gradient(1.0), members, nonmembers, target=forgetful, attacks=TWO)
    assert found.odd < 0.05
    assert {finding.judged_by for finding in found.findings} == {"model"}
    assert found.verdict.outcome == "vulnerable"


def test_hospitals_that_differ_do_not_look_like_a_leak():
    """A model that leaks nothing, each hospital with another share of ill patients."""
    found = _audit(unmoved, wisconsin(by_size=True), control=None)
    for finding in found.findings:
        assert finding.auc.low < 0.5 < finding.auc.high


def test_only_held_out_patients_of_the_same_hospital_are_compared():
    members, nonmembers = held_out(wisconsin())
    nonmembers = nonmembers.take(nonmembers.hospitals != 0)
    fewer = members.take(members.hospitals != 4)
    found = audit(ridge, fewer, nonmembers, attacks=TWO, control=None)
    assert found.left_out == ("0", "4")
    assert found.hospitals == 3
    assert found.members == int(np.isin(members.hospitals, [1, 2, 3]).sum())
    assert found.nonmembers == int(np.isin(nonmembers.hospitals, [1, 2, 3]).sum())


def test_a_model_is_trained_on_members_only_and_references_on_as_many():
    members, nonmembers = held_out(wisconsin())
    asked = []

    def fit(patients, seed):
        asked.append(patients)
        return ridge(patients, seed)

    audit(fit, members, nonmembers, attacks=TWO, control=None)
    assert np.array_equal(asked[0].design, members.design)
    wanted = np.bincount(members.hospitals)
    assert len(asked) == 33
    for one in asked:
        assert np.array_equal(np.bincount(one.hospitals), wanted)
    together = {tuple(row) for row in np.concatenate([one.design for one in asked[1:]])}
    assert len(together) == len({tuple(row) for row in wisconsin().design})


def test_a_stack_gives_the_same_as_one_by_one():
    members, nonmembers = held_out(wisconsin())

    def stack(patients, kept, seeds):
        return np.stack(
            [ridge(patients.take(k), s)(patients.design) for k, s in zip(kept, seeds, strict=True)]
        )

    def never(patients, seed):
        raise AssertionError("the stack was there")

    target = ridge(members, 0)
    one = audit(ridge, members, nonmembers, target=target, attacks=TWO, control=None)
    other = audit(
        never, members, nonmembers, target=target, fit_many=stack, attacks=TWO, control=None
    )
    assert one == other


@pytest.mark.parametrize("own", [True, False])
def test_progress_is_told_up_to_the_last_model(own):
    members, nonmembers = held_out(wisconsin())
    heard = []
    audit(
        ridge,
        members,
        nonmembers,
        target=None if own else ridge(members, 0),
        attacks=TWO,
        references=20,
        told=lambda done, total: heard.append((done, total)),
    )
    total = 20 + own + 17
    assert {of for _, of in heard} == {total}
    done = [number for number, _ in heard]
    assert done == sorted(done)
    assert sorted(set(done)) == list(range(1, total + 1))


def test_a_control_that_does_not_overfit_makes_the_audit_inconclusive():
    found = _audit(ridge, wisconsin(), control=unmoved)
    assert found.verdict.outcome == "inconclusive"
    assert "control" in found.verdict.reason


def test_more_than_two_classes_are_audited_too():
    patients = wisconsin()
    labels = (patients.labels + (patients.design[:, 1] > 1)).astype(np.int64)
    three = noisy_labels(Patients(patients.design, patients.labels, patients.hospitals))
    three = with_wrong_labels(Patients(three.design, labels, three.hospitals), 0)
    assert set(np.unique(three.labels)) == {0, 1, 2}
    assert _audit(overfit_twin, three).verdict.outcome == "vulnerable"


def test_a_constant_model_is_no_better_than_chance():
    found = _audit(lambda patients, seed: lambda design: np.zeros(len(design)), wisconsin())
    assert [finding.auc.value for finding in found.findings] == [0.5, 0.5]
    assert found.verdict.outcome == "safe"


def test_a_model_that_diverged_is_refused():
    with pytest.raises(BadInput, match="diverged"):
        _audit(lambda patients, seed: lambda design: np.full(len(design), np.nan), wisconsin())


def test_where_few_are_held_out_the_model_is_judged_by_itself():
    members, nonmembers = held_out(wisconsin(), share=0.1)
    found = audit(ridge, members, nonmembers, attacks=TWO, control=None)
    assert {finding.judged_by for finding in found.findings} == {"model"}


def test_too_few_patients_are_refused_with_a_way_out():
    members, nonmembers = held_out(wisconsin())
    with pytest.raises(BadInput, match=r"at least 10 of each.*test_fraction"):
        audit(ridge, members, nonmembers.take(np.arange(9)))
    elsewhere = Patients(nonmembers.design, nonmembers.labels, nonmembers.hospitals + 10)
    with pytest.raises(BadInput, match="0 members and 0 held-out"):
        audit(ridge, members, elsewhere)


def test_too_few_reference_models_are_refused():
    with pytest.raises(BadInput, match="at least 16"):
        _audit(ridge, wisconsin(), references=15)


def test_each_reference_model_leaves_out_as_many_as_were_held_out():
    patients = wisconsin(4)
    inside = np.random.default_rng(0).random(569) < 0.75
    kept = assignments(patients.hospitals, inside, 200, seed=1)
    for place in range(4):
        here = patients.hospitals == place
        assert (kept[:, here].sum(1) == inside[here].sum()).all()
    apart = np.corrcoef(kept[:, 0], kept[:, 400])[0, 1]  # of two hospitals
    assert abs(apart) < 0.25
    assert not np.array_equal(kept, assignments(patients.hospitals, inside, 200, seed=2))


def test_rows_labels_and_hospitals_must_be_as_many():
    with pytest.raises(BadInput, match="3 rows come with 2 labels"):
        Patients(np.zeros((3, 1)), np.zeros(2, np.int64), np.zeros(3))


@pytest.mark.parametrize("columns", [2, 30])
def test_the_twin_knows_its_rows_by_heart_and_even_their_wrong_labels(columns):
    patients = wisconsin()
    some = Patients(patients.design[:, :columns], patients.labels, patients.hospitals)
    known = with_wrong_labels(some, 0)
    share = np.mean(known.labels != patients.labels)
    assert 0.07 < share < 0.13
    said = overfit_twin(known, 0)(known.design)
    assert np.mean((said > 0) == known.labels) > 0.99
