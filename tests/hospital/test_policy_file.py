"""A policy counts when the hospital signed the very bytes of it; else the hospital is closed."""

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aegis.errors import DataError
from aegis.events import HospitalJoined
from aegis.hospital.decisions import Decisions
from aegis.hospital.node import Node
from aegis.hospital.policy import Closed, Policy
from aegis.hospital.policy_file import (
    MOST_BYTES,
    PolicyFile,
    parse_policy,
    read_policy,
    sign_policy,
    signature_path,
)
from aegis.hospital.site import VolatileMemory
from aegis.identity.keys import SigningKey
from aegis.messages import Ask, Enrolled, Evaluate, Invite, Refusal, Statistics, Train
from aegis.plan import load_plan
from aegis.simulation.accounts import PUBLIC
from aegis.simulation.federation import Federation
from aegis.simulation.stacked import StackedHospitals
from aegis.store.journal import Forgetful
from aegis.wiring import federate
from tests.hospital.test_forbidden import Scene

SAMPLE = Path(__file__).parents[2] / "config" / "policy.toml"
KEY = SigningKey.from_raw(bytes(range(32)))
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SHORT = b'version = 1\nhospital = "north"\ntasks = ["heart"]\n'


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "policy.toml"
    found.write_bytes(SAMPLE.read_bytes())
    sign_policy(found, "north", KEY, NOON)
    return found


def current(path, key=KEY, hospital="north", remembered=None):
    return PolicyFile(path, hospital, key.public, remembered).current()


def test_the_sample_loads_and_says_what_stands_in_it(path):
    policy = read_policy(path, "north", KEY.public)
    assert policy.tasks == ("breast_cancer", "heart")
    assert (policy.epsilon_total, policy.minimum_rows, policy.scores) == (4.0, 50, "summed")
    assert policy.approval == "person"
    assert current(path) == policy


def test_the_sample_names_every_key():
    text = SAMPLE.read_text(encoding="utf-8")
    for field in fields(Policy):
        assert f"\n{field.name} = " in text, field.name


def test_what_a_file_does_not_say_is_strict():
    policy = parse_policy(SHORT, "policy.toml", "north")
    assert policy == replace(Policy(), tasks=("heart",))
    assert policy.trust == ("masked", "grouped")
    assert "none" not in policy.mechanisms
    assert policy.queries == "refused"


def test_a_missing_file_closes_the_hospital(tmp_path):
    found = current(tmp_path / "policy.toml")
    assert isinstance(found, Closed)
    assert "there is no policy at" in found.reason


def test_an_unsigned_file_closes_the_hospital(path):
    signature_path(path).unlink()
    assert "is not signed" in current(path).reason


def test_a_file_that_was_edited_after_it_was_signed_closes_the_hospital(path):
    standing = PolicyFile(path, "north", KEY.public)
    assert isinstance(standing.current(), Policy)
    path.write_bytes(path.read_bytes().replace(b"epsilon_total = 4.0", b"epsilon_total = 40.0"))
    assert "was changed after it was signed on 2026-11-22" in standing.current().reason
    sign_policy(path, "north", KEY)
    assert standing.current().epsilon_total == 40.0


def test_a_comment_is_part_of_what_is_signed(path):
    path.write_bytes(path.read_bytes() + b"# nothing\n")
    assert "was changed after it was signed" in current(path).reason


def test_somebody_elses_signature_closes_the_hospital(path):
    stranger = SigningKey.generate()
    sign_policy(path, "north", stranger)
    found = current(path)
    assert f"signed by the key {stranger.public.fingerprint}" in found.reason
    assert f"only this hospital's own counts, {KEY.public.fingerprint}" in found.reason


def test_a_signature_that_claims_the_right_key_is_false(path):
    sign_policy(path, "north", SigningKey.generate())
    forged = json.loads(signature_path(path).read_text())
    signature_path(path).write_text(json.dumps({**forged, "key": KEY.public.hex}))
    assert "is false" in current(path).reason


def test_another_hospitals_policy_is_not_this_ones(path):
    assert "hospital is 'north', and this is 'south'" in current(path, hospital="south").reason


def test_another_version_is_not_read(path):
    path.write_bytes(path.read_bytes().replace(b"version = 1 ", b"version = 2 "))
    with pytest.raises(DataError, match="it has the version 2, and this program reads version 1"):
        sign_policy(path, "north", KEY)
    signed = json.loads(signature_path(path).read_text())
    signature_path(path).write_text(json.dumps({**signed, "version": 2}))
    assert "by version 2 of this program's format" in current(path).reason


def test_an_older_policy_cannot_be_put_back(path, tmp_path):
    decisions = Decisions(tmp_path / "decisions.db")
    old = path.read_bytes(), signature_path(path).read_bytes()
    assert isinstance(current(path, remembered=decisions), Policy)
    path.write_bytes(path.read_bytes().replace(b"epsilon_total = 4.0", b"epsilon_total = 2.0"))
    sign_policy(path, "north", KEY, NOON + timedelta(days=1))
    assert current(path, remembered=decisions).epsilon_total == 2.0
    path.write_bytes(old[0])
    signature_path(path).write_bytes(old[1])
    assert "an older one may allow more" in current(path, remembered=decisions).reason
    decisions.close()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"version = 1\nhospital = ", "is not TOML"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"#" * (MOST_BYTES + 1), f"a policy has {MOST_BYTES} at most"),
        (b'version = 1\nhospital = "north"\n', "tasks is missing"),
        (b'hospital = "north"\ntasks = []\n', "it has no version"),
        (SHORT + b"epsilon_totl = 1\n", "epsilon_totl is not a key; did you mean epsilon_total?"),
        (SHORT + b"epsilon_total = -1\n", "epsilon_total must be 0.0001 or more, got -1"),
        (SHORT + b"epsilon_total = nan\n", "epsilon_total must be 0.0001 or more, got nan"),
        (SHORT + b"epsilon_total = " + b"9" * 400 + b"\n", "epsilon_total must be 0.0001 or more"),
        (SHORT + b"epsilon_total = " + b"9" * 5000 + b"\n", "is not TOML"),
        (SHORT + b"epsilon_total = true\n", "got True"),
        (SHORT + b'epsilon_total = "4"\n', "got '4'"),
        (SHORT + b"delta = 0.1\n", "at most 1e-5, got 0.1"),
        (SHORT + b"minimum_hospitals = 2\n", "minimum_hospitals must be 3 or more, got 2"),
        (SHORT + b'trust = "masked"\n', "trust must be a list of words, got 'masked'"),
        (SHORT + b'trust = ["blind"]\n', "trust are open, masked, grouped, got 'blind'"),
        (SHORT + b'scores = "all"\n', "scores must be shared, noisy, summed or withheld"),
        (SHORT + b'plans = ["12ab"]\n', "plans must be a list of plans' SHA-256"),
        (SHORT + b'approval = "robot"\n', "approval must be person or automatic"),
        (SHORT + b"[trust]\nmasked = true\n", "trust must be a list of words"),
        (SHORT.replace(b'["heart"]', b'["any", "heart"]'), "or any alone"),
        (SHORT + SHORT, "is not TOML"),
    ],
)
def test_an_unsound_file_is_refused_and_never_signed(tmp_path, text, says):
    path = tmp_path / "policy.toml"
    path.write_bytes(text)
    with pytest.raises(DataError) as caught:
        sign_policy(path, "north", KEY)
    assert says in str(caught.value)
    assert not signature_path(path).exists()


def test_every_fault_is_told_at_once():
    with pytest.raises(DataError) as caught:
        parse_policy(b"delta = 1\nqueries = 3\nfoo = 1\n", "policy.toml", "north")
    for part in ("delta", "queries", "foo is not a key", "no version", "tasks is missing"):
        assert part in str(caught.value)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_one_changed_byte_of_file_or_signature_closes_the_hospital(path, data):
    file = data.draw(st.sampled_from([path, signature_path(path)]))
    whole = file.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[at]))
    changed = bytearray(whole)
    changed[at] = other
    file.write_bytes(bytes(changed))
    found = current(path)
    file.write_bytes(whole)
    if file == path:
        assert isinstance(found, Closed)
    else:  # white space and the case of digits may change; what is signed may not
        assert isinstance(found, Closed) or found == current(path)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=300))
def test_a_signature_of_any_bytes_closes_the_hospital(path, data):
    signature_path(path).write_bytes(data)
    assert isinstance(current(path), Closed)


def test_a_closed_hospital_answers_nothing_whatever_it_is_asked(tmp_path):
    scene = Scene(tmp_path)
    file = tmp_path / "policy.toml"
    file.write_bytes(SHORT.replace(b"north", b"here"))
    node = Node(scene.site, policy=PolicyFile(file, "here", KEY.public), account=None)
    asked = [scene.invite(), scene.count(), scene.sums(), scene.train(), scene.score()]
    assert {type(one) for one in asked} == {Invite, Ask, Statistics, Train, Evaluate}
    for request in asked:
        reply = node.answer(request)
        assert isinstance(reply, Refusal)
        assert "is not signed; without its signature this hospital takes part" in reply.reason
    scene.close()


def test_a_policy_that_changes_in_the_middle_of_a_run_counts_at_once(tmp_path):
    scene = Scene(tmp_path)
    file, key = tmp_path / "policy.toml", SigningKey.generate()
    text = SHORT.replace(b"north", b"here").replace(b"heart", b"breast_cancer")
    open_too = b'approval = "automatic"\ntrust = ["open"]\nmechanisms = ["none"]\n'
    file.write_bytes(text + open_too)
    signed = sign_policy(file, "here", key)
    node = Node(scene.site, policy=PolicyFile(file, "here", key.public))
    enrolled = node.answer(scene.invite())
    assert isinstance(enrolled, Enrolled)
    assert enrolled.policy_sha256 == signed.sha256
    assert not isinstance(node.answer(scene.train(1)), Refusal)
    file.write_bytes(text)
    assert "was changed after it was signed" in node.answer(scene.train(2)).reason
    sign_policy(file, "here", key)
    assert "trust: open is not enough" in node.answer(scene.train(2)).reason
    scene.close()


def test_a_plan_that_the_policy_names_needs_nobody_else(tmp_path):
    scene = Scene(tmp_path, approved=0)
    policy = replace(scene.node.policy, plans=(scene.plan.sha256,))
    enrolled = Node(scene.site, policy=policy).answer(scene.invite())
    assert isinstance(enrolled, Enrolled)
    assert enrolled.approval == "policy"
    other = Node(scene.site, policy=scene.node.policy)
    assert "there is no record of approvals" in other.answer(scene.invite()).reason
    scene.close()


def test_simulated_hospitals_approve_by_themselves_and_the_log_says_so():
    keys = {"task": "breast_cancer", "trust": "open", "privacy.enabled": "false"}
    federation = Federation.of(load_plan(None, keys).plan, None)
    nodes, told = federation.nodes(VolatileMemory()), []
    federate(federation.study, "run", StackedHospitals(nodes), Forgetful(), [told.append])
    joined = [event for event in told if isinstance(event, HospitalJoined)]
    assert len(joined) == 5
    assert {event.approval for event in joined} == {"automatic"}
    assert {event.policy_sha256 for event in joined} == {PUBLIC.sha256}
