"""One patient's value, planted in one hospital's file, is looked for everywhere it must not be."""

import logging
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from aegis.hospital.site import VolatileMemory
from aegis.plan import load_plan
from aegis.simulation.federation import Federation
from aegis.simulation.local import run
from aegis.store.home import Home
from aegis.store.journal import Journal
from aegis.transport.sealed import Capture, SealedInProcess
from aegis.transport.transport import InProcess
from aegis.wiring import federate
from tests.federations import data_directory
from tests.transport.parties import Parties

SENTINEL = 263.73918460217
FORMS = (
    struct.pack("<d", SENTINEL),
    struct.pack(">d", SENTINEL),
    struct.pack("<f", SENTINEL),
    b"263.739",
)


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """The four heart files, the first patient of Cleveland with a cholesterol of its own."""
    monkeypatch.setattr("aegis.tasks.sources._check", lambda *file, **more: None)  # it is altered
    folder = tmp_path / "data" / "heart"
    folder.mkdir(parents=True)
    for path in (data_directory() / "heart").glob("processed.*.data"):
        shutil.copy(path, folder)
    path = folder / "processed.cleveland.data"
    first, rest = path.read_text().split("\n", 1)
    values = first.split(",")
    values[4] = repr(SENTINEL)
    path.write_text(",".join(values) + "\n" + rest)
    return tmp_path / "data"


def _plan(**more):
    said = {"task": "heart", "federated.partition.by": "site", "federated.num_clients": "4"}
    return load_plan(None, {**said, **more}).plan


def _files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.mark.data
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"privacy.mechanism": "distributed", "privacy.epsilon_budget": "1.0"},
        {"trust": "open"},
    ],
)
def test_a_planted_value_is_in_no_file_and_no_log_of_a_run(planted, tmp_path, caplog, keys):
    caplog.set_level(logging.DEBUG)
    plan = _plan(**keys)
    federation = Federation.of(plan, planted)
    held = np.concatenate([site.train.inputs["chol"] for site in federation.sites.values()])
    assert SENTINEL in held or SENTINEL in np.concatenate(
        [site.test.inputs["chol"] for site in federation.sites.values()]
    )
    done = run(plan, home=tmp_path / "home", data_directory=planted, audit=False)
    found = _files(tmp_path / "home")
    assert f"results/{done.run}/result.json" in found
    leaks = [name for name, data in found.items() if any(form in data for form in FORMS)]
    assert leaks == []
    assert "263.739" not in caplog.text


@pytest.mark.data
def test_a_planted_value_is_in_no_message_on_the_road(planted, tmp_path):
    federation = Federation.of(_plan(), planted)
    nodes = federation.nodes(VolatileMemory(), tmp_path / "run")
    parties = Parties(tmp_path / "parties", hospitals=tuple(nodes))
    capture, told = Capture(), []
    road = SealedInProcess(
        InProcess(nodes),
        parties["desk"],
        {name: parties[name] for name in nodes},
        capture,
        refused=lambda by, error: told.append((by, str(error))),
    )
    journal = Journal(Home(tmp_path / "home").prepare().database)
    journal.open_run("run", "heart", "{}", "", {})
    final = federate(federation.study, "run", road, journal)
    journal.close()
    parties.close()
    assert told == []
    assert np.isfinite(final.progress.weights).all()
    assert len(capture.seen) > 100
    plain = final.progress.weights.tobytes()
    for _, _, data in capture.seen:
        assert not any(form in data for form in FORMS)
        assert plain not in data  # the courier does not even see the model
    leaks = [n for n, d in _files(tmp_path / "home").items() if any(form in d for form in FORMS)]
    assert leaks == []
