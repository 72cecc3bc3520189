"""A witness believes the first checkpoint and from then on only what continues it."""

import sqlite3
from dataclasses import replace

import pytest

from aegis.errors import BadInput, CheckFailed
from aegis.events import HospitalJoined, RoundClosed
from aegis.hospital.witness import LogWitness, Seen, SqliteSightings, VolatileSightings
from aegis.identity.keys import SigningKey
from aegis.messages.witness import Witness
from aegis.store.audit_log import AuditLog
from aegis.store.checkpoint import origin
from aegis.store.note import WITNESS, Note, Verifier, parse_line, seconds_of

COORDINATOR, OWN = SigningKey.generate(), SigningKey.generate()


@pytest.fixture
def logs(tmp_path):
    """Two logs with the same beginning of four entries, then each its own."""
    pair = [AuditLog(tmp_path / name, lambda: "2026") for name in ("true", "forged")]
    for which, log in enumerate(pair):
        for number in range(10):
            log.append(HospitalJoined("run", f"{number} {which if number > 3 else ''}", 1, 1))
    yield pair
    for log in pair:
        log.close()


@pytest.fixture(params=["volatile", "sqlite"])
def sightings(request, tmp_path):
    if request.param == "volatile":
        yield VolatileSightings()
        return
    kept = SqliteSightings(tmp_path / "seen.db")
    yield kept
    kept.close()


@pytest.fixture
def witness(sightings):
    return LogWitness("St. Anna's", OWN, COORDINATOR.public, sightings, lambda: 1_700_000_000)


def asked(log, size, since=0, key=COORDINATOR, proof=None):
    """The question that the coordinator asks at ``size`` entries."""
    from aegis.store.checkpoint import Checkpoint
    from aegis.store.note import signed

    now = Checkpoint(origin("run"), size, log.root("run", size))
    note = signed(now.text, now.origin, key)
    found = log.consistency("run", since, size) if proof is None else proof
    return Witness("run", "plan", 3, str(note), since, found)


def test_it_cosigns_what_grows_and_its_signature_is_a_c2sp_cosignature(witness, logs, sightings):
    since = 0
    for size in (3, 4, 7, 10):
        request = asked(logs[0], size, since)
        found = witness.cosign(request)
        signature = parse_line(found.cosignature)
        verifier = Verifier("St.%20Anna%27s", OWN.public, WITNESS)
        assert verifier.accepts(Note.parse(request.checkpoint).text, signature)
        assert seconds_of(signature) == 1_700_000_000
        assert (found.size, found.hospital, found.round) == (size, "St. Anna's", 3)
        since = size
    assert sightings.last("St.%20Anna%27s", origin("run")) == Seen(
        10, logs[0].root("run"), 1_700_000_000
    )


def test_its_time_stands_still_where_its_clock_goes_back(logs):
    clock = iter([1_700_000_000, 1_699_999_999, 1_700_000_005])
    witness = LogWitness("h", OWN, COORDINATOR.public, clock=lambda: next(clock))
    found, since = [], 0
    for size in (3, 4, 7):
        signed = witness.cosign(asked(logs[0], size, since))
        found.append(seconds_of(parse_line(signed.cosignature)))
        since = size
    assert found == [1_700_000_000, 1_700_000_000, 1_700_000_005]


def test_the_same_checkpoint_may_be_cosigned_again(witness, logs):
    first = witness.cosign(asked(logs[0], 5))
    assert witness.cosign(asked(logs[0], 5, 5)).cosignature == first.cosignature


def test_a_fork_is_refused_and_both_roots_are_named(witness, logs, sightings):
    witness.cosign(asked(logs[0], 7))
    for size in (7, 8, 10):
        with pytest.raises(CheckFailed, match="forked or rewritten") as error:
            witness.cosign(asked(logs[1], size, 7))
        assert logs[0].root("run", 7).hex() in str(error.value)
        assert logs[1].root("run", size).hex() in str(error.value)
    with pytest.raises(CheckFailed, match="forked"):  # the true log's proof does not help
        witness.cosign(asked(logs[1], 10, 7, proof=logs[0].consistency("run", 7, 10)))
    assert witness.cosign(asked(logs[0], 10, 7)).size == 10


def test_a_rollback_is_refused_and_both_roots_are_named(witness, logs):
    witness.cosign(asked(logs[0], 8))
    with pytest.raises(CheckFailed, match="cut short or rolled back") as error:
        witness.cosign(asked(logs[0], 6, 6))
    assert logs[0].root("run", 8).hex() in str(error.value)
    assert logs[0].root("run", 6).hex() in str(error.value)


def test_a_proof_from_elsewhere_is_asked_for_again(witness, logs):
    witness.cosign(asked(logs[0], 6))
    found = witness.cosign(asked(logs[0], 9, 3))
    assert (found.cosignature, found.size) == ("", 6)
    assert witness.cosign(asked(logs[0], 9, 6)).cosignature


def test_only_the_pinned_coordinator_and_the_right_log_are_believed(witness, logs):
    with pytest.raises(CheckFailed, match="not signed by the coordinator"):
        witness.cosign(asked(logs[0], 5, key=SigningKey.generate()))
    request = asked(logs[0], 5)
    with pytest.raises(BadInput, match="asked about"):
        witness.cosign(Witness("other", "plan", 1, request.checkpoint))
    with pytest.raises((BadInput, CheckFailed)):
        witness.cosign(Witness("run", "plan", 1, request.checkpoint.replace("\n5\n", "\n6\n")))


def test_the_model_of_the_next_round_is_the_one_that_the_log_names(witness, logs):
    log = logs[0]
    log.append(RoundClosed("run", 1, "first", {}))
    log.append(RoundClosed("run", 2, "average", {}, next_sha256="second"))

    def shown(size, since, number, entry=None):
        request = asked(log, size, since)
        data = log.entries("run")[number - 1].data if entry is None else entry
        proof = log.inclusion("run", number, size)
        return replace(request, closed=data, number=number, inclusion=proof)

    witness.check_model("run", 1, "anything")
    witness.cosign(shown(11, 0, 11))
    witness.check_model("run", 2, "first")
    with pytest.raises(CheckFailed, match="by the log, round 1 ended with first"):
        witness.check_model("run", 2, "another")
    witness.cosign(shown(12, 11, 12))
    witness.check_model("run", 3, "second")
    with pytest.raises(CheckFailed, match="round 3 was to start from the model average"):
        witness.check_model("run", 3, "average")
    witness.check_model("other", 3, "average")
    true = log.entries("run")[11].data
    with pytest.raises(CheckFailed, match="not in the signed log"):
        witness.cosign(shown(12, 12, 12, true.replace(b"second", b"forged")))
    with pytest.raises(CheckFailed, match="closes no round"):
        witness.cosign(shown(12, 12, 3))


def test_the_time_of_a_log_stands_still_where_the_clock_was_set_back_and_the_process_anew(
    tmp_path, logs
):
    times = []
    for size, now in ((3, 2_000), (4, 1_000), (7, 3_000)):
        kept = SqliteSightings(tmp_path / "seen.db")
        witness = LogWitness("a", OWN, COORDINATOR.public, kept, lambda now=now: now)
        seen = kept.last("a", origin("run"))
        answer = witness.cosign(asked(logs[0], size, seen.size if seen else 0))
        times.append(seconds_of(parse_line(answer.cosignature)))
        kept.close()
    assert times == [2_000, 2_000, 3_000]


def test_a_file_from_before_times_were_kept_is_read(tmp_path, logs):
    path = tmp_path / "seen.db"
    with sqlite3.connect(path) as db:
        db.execute(
            "CREATE TABLE seen (witness TEXT, origin TEXT, size INTEGER, root BLOB,"
            " PRIMARY KEY (witness, origin))"
        )
        root = logs[0].root("run", 5)
        db.execute("INSERT INTO seen VALUES (?,?,?,?)", ("a", origin("run"), 5, root))
    db.close()
    kept = SqliteSightings(path)
    assert kept.last("a", origin("run")) == Seen(5, root)
    witness = LogWitness("a", OWN, COORDINATOR.public, kept, lambda: 7)
    assert witness.cosign(asked(logs[0], 8, 5)).size == 8
    assert kept.last("a", origin("run")) == Seen(8, logs[0].root("run", 8), 7)
    kept.close()


def test_what_was_seen_survives_the_process(tmp_path, logs):
    for size, log, good in ((6, logs[0], True), (9, logs[1], False), (9, logs[0], True)):
        kept = SqliteSightings(tmp_path / "seen.db")
        witness = LogWitness("a", OWN, COORDINATOR.public, kept)
        seen = kept.last("a", origin("run"))
        request = asked(log, size, seen.size if seen else 0)
        if good:
            assert witness.cosign(request).size == size
        else:
            with pytest.raises(CheckFailed):
                witness.cosign(request)
        kept.close()


def test_several_witnesses_of_one_process_write_once(tmp_path, logs):
    kept = SqliteSightings(tmp_path / "seen.db")
    with kept.together():
        for name in "abc":
            LogWitness(name, OWN, COORDINATOR.public, kept).cosign(asked(logs[0], 5))
    assert {name: seen.size for name, seen in kept.all(origin("run")).items()} == {
        "a": 5,
        "b": 5,
        "c": 5,
    }
    kept.close()
