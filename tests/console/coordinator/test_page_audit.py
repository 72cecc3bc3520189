"""The audit log's pages: complete, each entry provable by hand, and tampering named."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3

import pytest

from aegis.console.coordinator.app import coordinator_app
from aegis.console.coordinator.desk import Desk, Sight
from aegis.console.coordinator.pages import audit as page_audit
from aegis.console.coordinator.records import log_proofs, log_standing, logbook
from aegis.console.people.roles import Person, Role
from aegis.store.merkle import leaf_hash, node_hash
from aegis.store.verification import verify
from tests.console.asking import PEOPLE, Asking, belongs

AUDITOR = PEOPLE["auditor"]


@pytest.fixture(scope="session")
def desk(finished_home):
    return Desk.of(finished_home.home)


@pytest.fixture(scope="session")
def asking(desk):
    return Asking(coordinator_app(desk), AUDITOR)


def tampered(own_home, statement, *values):
    found = own_home()
    database = sqlite3.connect(found.home.audit_log)
    with database:
        database.execute(statement, values)
    database.close()
    return Desk.of(found.home), found.private


def head(desk, log):
    return page_audit.content(desk, Sight(), {"run": log})["said"]


def test_the_page_says_that_the_log_is_complete_and_who_checked_it(asking, finished_home):
    page = asking.get(f"/audit?run={finished_home.private}").text
    (title,) = re.findall("<h1>(.*?)</h1>", page)
    assert re.match(r"\d+ entries, complete; checked by 4 of 4 witnesses \d\d \w+ \d{4}", title)


def test_every_entry_is_listed_once_over_all_pages(desk, finished_home):
    log = finished_home.private
    total, first = logbook.rows(desk, Sight(), log)
    numbers = [row.number for row in first]
    for page in range(2, -(-total // logbook.PAGE) + 1):
        numbers += [row.number for row in logbook.rows(desk, Sight(), log, page=page)[1]]
    assert numbers == list(range(total, 0, -1))
    everything, _ = logbook.rows(desk, Sight(), logbook.ALL)
    assert everything == sum(log_standing.standing(desk, one).size for one in names(desk))


def names(desk):
    return [logbook.log_name(run) for run in logbook.logs(desk)]


def test_every_kind_of_entry_has_a_sentence_of_its_own(desk):
    _, rows = logbook.rows(desk, Sight(), logbook.ALL, size=10_000)
    assert {"Round closed", "Budget spent", "Log closed", "Sum opened"} <= {r.kind for r in rows}
    assert not [row for row in rows if "lacks" in row.sentence or row.bad]


def test_filters_leave_what_they_name(desk, finished_home):
    log = finished_home.private
    _, closed = logbook.rows(desk, Sight(), log, kind="RoundClosed")
    assert {row.kind for row in closed} == {"Round closed"}
    _, about = logbook.rows(desk, Sight(), log, kind="BudgetSpent", hospital="hospital_02")
    assert [row.actor for row in about] == ["hospital_02"]
    digest = desk.reading.document(log)["model_sha256"]
    assert logbook.rows(desk, Sight(), log, kind="ModelStored", text=digest.upper())[0] == 1
    assert logbook.rows(desk, Sight(), log, text="'; DROP TABLE entries; --") == (0, [])


def test_the_steps_of_a_proof_lead_by_hand_to_the_signed_root(desk, finished_home):
    for log in names(desk):
        size = log_standing.standing(desk, log).size
        for number in {1, 2, size // 2, size - 1, size}:
            found = log_proofs.proven(desk, Sight(), log, number)
            assert found.holds
            at = leaf_hash(found.text.encode())
            for step in found.steps:
                beside = bytes.fromhex(step.sibling)
                pair = (beside, at) if step.side == "left" else (at, beside)
                at = node_hash(*pair)
                assert at.hex() == step.result
            assert at.hex() == found.root


def test_an_entry_page_shows_bytes_path_checkpoint_and_what_it_does_not_prove(
    asking, desk, finished_home
):
    log = finished_home.private
    found = log_proofs.proven(desk, Sight(), log, 20)
    page = asking.get(f"/audit/{log}/20").text
    for text in (found.leaf, found.root, *(step.sibling for step in found.steps)):
        assert text in page
    assert "What it does not prove" in page
    assert f"aegis audit verify {log}" in page
    assert page.count("on its <strong>") == len(found.steps)
    assert asking.get(f"/audit/{log}/99999").status_code == 404
    assert asking.get("/audit/no-such-run/1").status_code == 404


def test_the_coordinators_own_log_has_no_witnesses_and_says_so(asking):
    page = asking.get("/audit?run=coordinator").text
    assert "The coordinator alone signs it" in page
    assert "This log has no witnesses" in asking.get("/audit/coordinator/1").text


def test_verify_now_shows_every_check_and_who_asked(own_home):
    found = own_home()
    asking = Asking(coordinator_app(Desk.of(found.home)), AUDITOR)
    answer = asking.post("/audit/verify", data={"run": found.private})
    assert answer.status_code == 303
    page = asking.get(answer.headers["location"].split("#")[0]).text
    assert f"Verified by {AUDITOR.name}" in page
    assert "Everything that was checked holds" in page
    assert page.count("Not checked") == 2  # what hospitals keep
    assert "Each round starts from the model of the last." in page


def test_a_changed_entry_is_named_by_its_number(own_home):
    desk, log = tampered(
        own_home,
        "UPDATE entries SET entry=CAST(replace(CAST(entry AS TEXT),'hospital','hospitax') AS BLOB)"
        " WHERE number=5",
    )
    said = head(desk, log)
    assert said["kind"] == "bad"
    assert "entry 5" in said["head"]
    asking = Asking(coordinator_app(desk), AUDITOR)
    page = asking.get(f"/audit?run={log}").text
    assert "must not be relied on" in page
    entry = asking.get(f"/audit/{log}/5").text
    assert "its bytes are not those that were entered" in entry
    assert "Nothing now" in entry
    assert "Proven" not in entry
    asking.post("/audit/verify", data={"run": log})
    assert "First bad: entry 5" in asking.get(f"/audit?run={log}").text


def test_an_entry_rewritten_with_its_hash_is_caught_by_the_checkpoint(own_home):
    found = own_home()
    database = sqlite3.connect(found.home.audit_log)
    log = found.private
    (entry,) = database.execute(
        "SELECT entry FROM entries WHERE run=? AND number=5", (log,)
    ).fetchone()
    other = entry.replace(b"hospital", b"hospitax")
    with database:
        database.execute(
            "UPDATE entries SET entry=?, leaf=? WHERE run=? AND number=5",
            (other, leaf_hash(other), log),
        )
    database.close()
    desk = Desk.of(found.home)
    assert "checkpoint 1 signs others" in head(desk, log)["head"]
    assert not log_proofs.proven(desk, Sight(), log, 5).holds


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM entries WHERE number=7", "entry 7"),
        ("DELETE FROM entries WHERE number>30", "the tail was cut off"),
        ("DELETE FROM checkpoints", "no checkpoint signs it"),
    ],
)
def test_a_log_that_lost_something_says_what(own_home, statement, said):
    desk, log = tampered(own_home, statement)
    found = head(desk, log)
    assert found["kind"] == "bad"
    assert said in found["head"]


def test_a_tail_cut_off_with_its_checkpoint_is_known_from_the_coordinators_own_log(own_home):
    found = own_home()
    size = log_standing.standing(Desk.of(found.home), found.private).size
    database = sqlite3.connect(found.home.audit_log)
    with database:
        database.execute(
            "DELETE FROM checkpoints WHERE run=? AND number="
            "(SELECT max(number) FROM checkpoints WHERE run=?)",
            (found.private, found.private),
        )
        (note,) = database.execute(
            "SELECT note FROM checkpoints WHERE run=? ORDER BY number DESC LIMIT 1",
            (found.private,),
        ).fetchone()
        kept = int(note.split("\n")[1])
        database.execute("DELETE FROM entries WHERE run=? AND number>?", (found.private, kept))
    database.close()
    assert f"it was closed with {size} entries" in head(Desk.of(found.home), found.private)["head"]


def test_a_file_that_is_no_log_is_said_and_no_error(own_home):
    found = own_home()
    for path in found.home.audit_log.parent.glob("audit.db*"):
        path.unlink()
    found.home.audit_log.write_bytes(b"nothing" * 1000)
    asking = Asking(coordinator_app(Desk.of(found.home)), AUDITOR)
    page = asking.get("/audit")
    assert page.status_code == 200
    assert "cannot be read" in page.text


def test_an_export_is_what_can_be_verified_elsewhere_and_is_on_record_first(own_home):
    from aegis.simulation.evidence_file import imported

    found = own_home()
    desk = Desk.of(found.home)
    asking = Asking(coordinator_app(desk), AUDITOR)
    answer = asking.post("/audit/export", data={"run": found.private})
    assert answer.headers["content-disposition"].startswith("attachment")
    assert verify(imported(answer.content)).holds
    sha256 = hashlib.sha256(answer.content).hexdigest()
    total, rows = logbook.rows(desk, Sight(), logbook.OWN_NAME, kind="Exported", text=sha256)
    assert total == 1
    assert AUDITOR.name in rows[0].sentence
    assert log_standing.standing(desk, logbook.OWN_NAME).bad == ""


def test_somebody_of_one_hospital_reads_no_figure_of_another_and_exports_nothing(
    desk, finished_home
):
    person = belongs("hospital_01", Role.AUDITOR)
    asking, log = Asking(coordinator_app(desk), person), finished_home.private
    _, rows = logbook.rows(desk, Sight("hospital_01"), log, size=10_000)
    hidden = [row for row in rows if row.sentence == logbook.WITHHELD]
    kinds = {row.kind for row in hidden}
    assert {"Hospital joined", "Budget spent"} <= kinds
    shown = [row for row in rows if row.kind == "Budget spent" and row not in hidden]
    assert [row.actor for row in shown] == ["hospital_01"]
    entry = asking.get(f"/audit/{log}/{hidden[0].number}").text
    assert "Withheld" in entry
    assert "&#34;event&#34;" not in entry
    assert asking.post("/audit/export", data={"run": log}).status_code == 403


def test_the_page_for_paper_has_all_entries_and_only_readers_of_the_log_see_it(
    asking, desk, finished_home
):
    log = finished_home.private
    page = asking.get(f"/audit/print?run={log}").text
    assert page.count('<tr><th scope="row"') == log_standing.standing(desk, log).size
    viewer = Asking(coordinator_app(desk), Person("eve", frozenset({Role.VIEWER})))
    assert viewer.get("/audit").status_code == 403
    assert viewer.post("/audit/verify", data={"run": log}).status_code == 403


def test_a_root_without_any_run_has_an_empty_sentence(tmp_path):
    from aegis.store.home import Home

    asking = Asking(coordinator_app(Desk.of(Home(tmp_path))), AUDITOR)
    assert "Nothing is on record yet" in asking.get("/audit").text
    assert asking.post("/audit/verify", data={"run": ""}).status_code == 400
    assert asking.post("/audit/export", data={"run": "all"}).status_code == 400


def test_the_sentences_hold_for_every_kind_of_event_that_there_is():
    import dataclasses
    import typing

    from aegis import events
    from aegis.console.coordinator.records import happened

    samples = {str: "a", int: 2, float: 0.5}
    for event in typing.get_args(events.Event):
        types = typing.get_type_hints(event)
        values = {
            field.name: samples.get(
                types[field.name], {} if "Mapping" in str(types[field.name]) else ()
            )
            for field in dataclasses.fields(event)
        }
        fields = json.loads(json.dumps(events.as_json(event(**values))))
        assert event.__name__ in happened.KINDS
        assert "lacks" not in happened.sentence(fields), event
        assert happened.proves(fields)
        assert happened.proves_not(fields)
