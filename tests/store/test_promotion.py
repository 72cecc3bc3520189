"""A version is used when its checks hold and two persons said so; nothing overrides a check."""

import numpy as np
import pytest

from aegis.errors import BadInput, CheckFailed
from aegis.identity.keys import SigningKey
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.store.promotion import Person, Promotions, gates
from aegis.store.registry import Registry
from aegis.tasks.models import Perceptron

CARD = {
    "preparation": "[]",
    "membership_audit": {"verdict": "safe", "passed": True, "reason": "no attack won"},
    "fairness": {"fair": True, "sentence": "No limit is exceeded."},
}
ANA, BEN = Person("ana", SigningKey.generate()), Person("ben", SigningKey.generate())


@pytest.fixture
def registry(tmp_path):
    home = Home(tmp_path).prepare()
    journal = Journal(home.database)
    yield Registry(home, journal)
    journal.close()


@pytest.fixture
def table(registry):
    """Promotions, versions v1 to v3, and what the log was told."""
    for number in range(3):
        registry.save(f"run-{number}", "heart", Perceptron(4), np.arange(5.0) + number, CARD)
    return Promotions(registry.journal, registry), registry.versions(), []


def _promote(table, version, person, reason="better", faults=()):
    promotions, _, told = table
    checks = gates(promotions.registry, version, faults)
    return promotions.promote(version, person, reason, checks, told.append)


def test_two_persons_promote_and_the_log_hears_of_it_once(table):
    promotions, (first, *_), told = table
    assert _promote(table, first, ANA).kind == "proposed"
    assert promotions.in_use("heart") is None
    assert told == []
    assert _promote(table, first, BEN).kind == "promoted"
    assert promotions.in_use("heart") == first
    (event,) = told
    assert (event.model_sha256, event.before) == (first.sha256, "")
    assert "proposed by ana" in event.reason
    assert "promoted by ben" in event.reason
    assert all(act.signed for act in promotions.acts())


@pytest.mark.parametrize(
    "second", [ANA, Person("anna", ANA.key), Person("ana"), Person("ana", BEN.key)]
)
def test_one_person_does_not_count_twice(table, second):
    _, (first, *_), told = table
    _promote(table, first, ANA)
    with pytest.raises(BadInput, match="another person must promote"):
        _promote(table, first, second)
    assert told == []


def test_a_proposal_is_for_one_version_and_ends_with_the_next_promotion(table):
    promotions, (first, second, _), _ = table
    _promote(table, first, ANA)
    assert _promote(table, second, BEN).kind == "proposed"
    assert _promote(table, second, ANA).kind == "promoted"
    assert _promote(table, first, BEN).kind == "proposed"
    assert promotions.in_use("heart") == second
    with pytest.raises(BadInput, match="in use for heart already"):
        _promote(table, second, BEN)


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"membership_audit": {"verdict": "vulnerable", "passed": False, "reason": "AUC .8"}},
         "membership audit: vulnerable: AUC .8"),
        ({"membership_audit": {"verdict": None, "passed": None, "reason": "not asked for"}},
         "membership audit: not made: not asked for"),
        ({"membership_audit": None}, "membership audit: not made"),
        ({"fairness": {"fair": False, "sentence": "The gap is 20 points."}}, "The gap is 20"),
        ({"fairness": {"fair": None, "reason": "no two groups"}}, "fairness: no two groups"),
        ({"fairness": None}, "fairness: nothing was compared"),
    ],
)  # fmt: skip
def test_a_gate_that_is_shut_is_the_reason(registry, card, said):
    registry.save("run", "heart", Perceptron(4), np.arange(5.0), CARD | card)
    version = registry.find("run")
    checks = gates(registry, version, [])
    with pytest.raises(CheckFailed, match=said):
        Promotions(registry.journal, registry).promote(version, ANA, "", checks, print)
    assert Promotions(registry.journal, registry).acts() == []


def test_a_damaged_file_or_log_shuts_the_gate_also_for_the_second_person(table):
    promotions, (first, *_), _ = table
    _promote(table, first, ANA)
    with pytest.raises(CheckFailed, match="audit log: entry 3: changed"):
        _promote(table, first, BEN, faults=["entry 3: changed"])
    promotions.registry.path(first.sha256).unlink()
    with pytest.raises(CheckFailed, match="cannot be read"):
        _promote(table, first, BEN)


def test_a_forged_proposal_is_found_out(table, registry):
    _, (first, *_), _ = table
    key = SigningKey.generate()
    row = ("proposed", "heart", first.number, first.sha256, "ana", key.public.hex, "00" * 64)
    registry.journal.add_promotion(*row, "better")
    with pytest.raises(CheckFailed, match="does not carry that person's signature"):
        _promote(table, first, BEN)


def test_a_rollback_goes_back_one_step_at_a_time(table):
    promotions, versions, told = table
    for version in versions:
        _promote(table, version, ANA)
        _promote(table, version, BEN)
    for wanted in (versions[1], versions[0]):
        with pytest.raises(BadInput, match="needs its reason"):
            promotions.roll_back("heart", ANA, " ", told.append)
        promotions.roll_back("heart", ANA, "drift", told.append)
        assert promotions.in_use("heart") == wanted
        assert told[-1].model_sha256 == wanted.sha256
    with pytest.raises(BadInput, match="no version of heart was in use before"):
        promotions.roll_back("heart", ANA, "drift", told.append)
    assert told[-1].before == versions[1].sha256


def test_a_rollback_to_a_damaged_version_is_refused(table):
    promotions, versions, told = table
    for version in versions[:2]:
        _promote(table, version, ANA)
        _promote(table, version, BEN)
    promotions.registry.path(versions[0].sha256).write_bytes(b"x")
    with pytest.raises(CheckFailed, match="changed or damaged"):
        promotions.roll_back("heart", ANA, "drift", told.append)
    assert promotions.in_use("heart") == versions[1]


def test_a_log_that_cannot_be_written_means_no_promotion(table):
    promotions, (first, *_), _ = table
    _promote(table, first, ANA)

    def failing(event):
        raise CheckFailed("the log cannot be written")

    with pytest.raises(CheckFailed, match="the log cannot"):
        promotions.promote(first, BEN, "", gates(promotions.registry, first, []), failing)
    assert promotions.in_use("heart") is None
