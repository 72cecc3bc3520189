"""Other data for a hospital that serves: from its next run on, never in the middle of one."""

from __future__ import annotations

import pytest

from aegis.errors import BadInput
from aegis.messages import Invite, Refusal
from aegis.operations.hospital.alone import (
    division,
    own_model,
    own_plan,
    plan_here,
    train_alone,
)
from aegis.operations.hospital.federation import Federation
from aegis.operations.hospital.folder import Registered, init, policy_text
from aegis.operations.hospital.hospital import Hospital
from aegis.operations.hospital.judging import judge_own
from aegis.operations.hospital.policies import for_public_data
from aegis.operations.hospital.uploads import register
from aegis.plan import load_plan
from aegis.tasks.vitals_sample import write_samples
from tests.operations.here import Here

PLAN = {"task": "vitals", "federated.num_clients": "3", "federated.num_rounds": "1"}


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return write_samples(tmp_path_factory.mktemp("vitals"), 2, 120, 16)[0]


def test_a_run_that_began_keeps_its_rows_and_the_next_takes_the_new_ones(tmp_path, samples):
    here = Here(tmp_path)
    with here.coordinator:
        folder = here.make("north", Registered("vitals", str(samples[0])))
        federation = Federation.load(folder.federation)
        plan = load_plan(None, PLAN).plan

        def invited(hospital, run):
            return hospital.answer(Invite(run, plan.sha256, plan.to_json()))

        hospital = Hospital(folder, folder.identity(), federation)
        assert not isinstance(invited(hospital, "first"), Refusal)
        register(folder, Registered("vitals", str(samples[1])))
        assert not isinstance(invited(hospital, "second"), Refusal)
        assert hospital.registered.path == str(samples[1])
        hospital.close()
        again = Hospital(folder, folder.identity(), federation)
        reply = invited(again, "first")
        assert isinstance(reply, Refusal)
        assert "registered other data" in reply.reason
        assert not isinstance(invited(again, "second"), Refusal)
        again.close()


def test_own_training_and_the_shared_plan_test_on_the_same_rows(tmp_path, samples):
    from aegis.operations.hospital.folder import HospitalFolder
    from aegis.operations.hospital.rows import site

    folder = HospitalFolder(tmp_path / "north", "north")
    data = Registered("vitals", str(samples[0]))
    init(folder, data, policy_text("north", for_public_data()))
    whole = {
        "data.validation_fraction": "0.0",
        "evaluation.keep": "last",
        "training.schedule": "constant",
    }
    for said in ({}, whole, {"seed": "3"}):
        plan = load_plan(None, PLAN | said).plan
        shared, own = site("north", data, plan), site("north", data, own_plan(plan))
        assert shared.test.labels.tolist() == own.test.labels.tolist()
        for name, values in shared.test.inputs.items():
            assert values.tolist() == own.test.inputs[name].tolist()
        assert len(own.validation) > 0
    assert own_plan(plan).training.schedule == "plateau"
    assert not own_plan(plan).privacy.enabled


def test_a_model_of_other_rows_is_not_judged(tmp_path, samples):
    from aegis.operations.hospital.folder import HospitalFolder

    folder = HospitalFolder(tmp_path / "north", "north")
    init(folder, Registered("vitals", str(samples[0])), policy_text("north", for_public_data()))
    train_alone(folder)
    own = own_model(folder)
    assert own is not None
    assert judge_own(folder, own).figures["examples"] == own.rows["test"]
    plan = plan_here(folder)
    assert division(folder, plan) != division(folder, plan.edited({"seed": 99}))
    register(folder, Registered("vitals", str(samples[1])))
    with pytest.raises(BadInput, match="another division"):
        judge_own(folder, own)
