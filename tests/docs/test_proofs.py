"""A part counts as run where all of it was."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from tests.prove.report import HERE, Tally, part_of


def session(path=HERE / "test_kill.py", **option):
    said = {"markexpr": "prove", "keyword": "", "collectonly": False, "maxfail": 0} | option
    return SimpleNamespace(option=SimpleNamespace(**said), args=[str(path)])


def test_a_part_is_known_by_its_file_and_by_what_narrows_it(monkeypatch):
    monkeypatch.delenv("AEGIS_ROADS", raising=False)
    assert part_of(session()) == "kill"
    monkeypatch.setenv("AEGIS_ROADS", "xmpp")
    assert part_of(session(HERE / "test_kills.py")) == "kills AEGIS_ROADS=xmpp"


@pytest.mark.parametrize(
    "asked",
    [
        {"keyword": "coordinator"},
        {"markexpr": "not prove"},
        {"maxfail": 1},
        {"collectonly": True},
        {"path": f"{HERE}/test_kill.py::test_one"},
        {"path": HERE},
        {"path": HERE.parent / "docs" / "test_proofs.py"},
    ],
    ids=str,
)
def test_what_asks_for_less_or_more_is_no_part(asked):
    assert part_of(session(**asked)) is None


def test_what_a_part_came_to_is_kept_beside_the_others(tmp_path, monkeypatch):
    monkeypatch.delenv("AEGIS_ROADS", raising=False)
    path = tmp_path / "proofs.json"
    path.write_text('{"chaos": {"passed": 1}}')
    tally = Tally(path)
    for outcome, when in [("passed", "setup"), ("passed", "call"), ("skipped", "setup")]:
        tally.pytest_runtest_logreport(
            SimpleNamespace(failed=False, skipped=outcome == "skipped", when=when)
        )
    tally.pytest_runtest_logreport(SimpleNamespace(failed=True, skipped=False, when="call"))
    at = SimpleNamespace(config=session())
    tally.pytest_sessionfinish(at, pytest.ExitCode.INTERRUPTED)
    assert "kill" not in json.loads(path.read_text())
    tally.pytest_sessionfinish(at, pytest.ExitCode.TESTS_FAILED)
    found = json.loads(path.read_text())
    assert found["chaos"] == {"passed": 1}
    assert found["kill"].pop("date").startswith("20")
    assert found["kill"] == {"passed": 1, "failed": 1, "skipped": 1}
