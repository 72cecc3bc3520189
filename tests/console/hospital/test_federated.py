"""A table that comes in at a hospital's window, a federation that learns from it, and no byte of it
anywhere else."""

from __future__ import annotations

import logging
import struct
from functools import partial

import pytest

from aegis import codec
from aegis.console.coordinator.app import coordinator_app
from aegis.console.coordinator.desk import Desk
from aegis.console.hospital.app import hospital_app
from aegis.console.hospital.desk import HospitalDesk
from aegis.operations.hospital import asking as asking_module
from aegis.operations.hospital.alone import shared_model
from aegis.operations.hospital.folder import Registered
from aegis.operations.hospital.judging import judge_shared
from aegis.operations.hospital.received import received
from aegis.operations.hospital.standing import say
from aegis.plan import load_plan
from aegis.tasks.vitals_sample import write_samples
from tests.console.asking import Asking
from tests.console.hospital.conftest import ANA, OTTO, Browser
from tests.operations.here import Here

NAMES = ("north", "south", "east")
SENTINEL = 77.73918460217
FORMS = (
    struct.pack("<d", SENTINEL),
    struct.pack(">d", SENTINEL),
    struct.pack("<f", SENTINEL),
    b"77.739184",
)
PLAN = {
    "task": "vitals",
    "federated.num_clients": "3",
    "federated.num_rounds": "2",
    "federated.quorum": "all",
    "model.name": "logistic",
    "model.init": "zeros",
    "training.solver": "newton",
    "training.optimizer": "sgd",
    "training.schedule": "constant",
    "training.local_epochs": "1",
    "training.weight_decay": "0.0",
    "training.learning_rate": "0.05",
    "training.l2": "1.0",
    "data.validation_fraction": "0.0",
    "evaluation.keep": "last",
    "evaluation.metric": "auc",
}


@pytest.fixture
def federation(tmp_path):
    """Three hospitals; north's window, and what was sent on the road."""
    files, _ = write_samples(tmp_path / "samples", 3, 120, 16)
    here = Here(tmp_path)
    with here.coordinator:
        for name, path in zip(NAMES, files, strict=True):
            here.make(name, Registered("vitals", str(path)))
        desk = HospitalDesk(here.folder("north"), here.folder("north").identity())
        yield here, desk, partial(Browser, hospital_app(desk)), files[0]
        here.end()
        desk.close()
    assert not here.errors


def test_a_sentinel_row_uploaded_here_reaches_no_coordinator_byte(
    federation, tmp_path, caplog, monkeypatch
):
    caplog.set_level(logging.DEBUG)
    here, desk, window, sample = federation
    header, first, *rest = sample.read_text().splitlines()
    cells = first.split(",")
    cells[header.split(",").index("heart_rate")] = repr(SENTINEL)
    table = "\n".join([header, ",".join(cells), *rest]) + "\n"
    answer = window(OTTO).post(
        "/client/upload-data/", files={"file": ("patients.csv", table)}, data={"client_id": "north"}
    )
    assert answer.status_code == 200, answer.text

    captured: list[bytes] = []
    plain = codec.dumps

    def dumps(value, *more, **said):
        data = plain(value, *more, **said)
        captured.append(data)
        return data

    monkeypatch.setattr(codec, "dumps", dumps)
    here.serve(*NAMES)
    found = here.coordinator.wait(here.coordinator.submit(load_plan(None, PLAN).plan), 60)
    assert found["status"] == "completed"
    assert any(value == SENTINEL for value in _rows(desk))  # it was learned from
    root = tmp_path / "coordinator"
    files = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    assert any(name.endswith("result.json") for name in files)
    assert [n for n, data in files.items() if any(form in data for form in FORMS)] == []
    assert len(captured) > 20
    assert [n for n, data in enumerate(captured) if any(form in data for form in FORMS)] == []
    assert "77.739" not in caplog.text
    own = b"".join(
        p.read_bytes() for p in (desk.folder.root / "uploads").glob("*.csv")
    )  # the search would find it
    assert FORMS[-1] in own

    # What the same run gives this hospital's people.
    shared = shared_model(desk.folder)
    assert shared is not None
    assert shared.meta.final
    assert judge_shared(desk.folder, shared).sha256 == found["model_sha256"]
    assert len(received(desk.folder)) == 1
    desk.train()
    desk.training.wait(60)
    status = window(ANA).get("/client/global-model-status").json()
    assert status["exists"]
    assert status["model_sha256"] == found["model_sha256"]
    metrics = window(ANA).get("/client/global-model-metrics").json()
    assert metrics["local"] is not None
    assert metrics["difference"]["ci95"][0] <= metrics["difference"]["accuracy"]
    page = window(ANA).get("/results/gain").text
    assert "in accuracy on 24 test patients" in page
    log = window(ANA).get("/log").text
    assert "Masked" in log
    assert "bytes" in log
    assert "All hospitals" in window(ANA).get("/data").text

    _asked_again(here, desk, window, monkeypatch)


def _asked_again(here, desk, window, monkeypatch):
    """A hospital asks for one more run of the plan that it knows; the coordinator begins it."""
    app = coordinator_app(Desk.of(here.office.home, here.coordinator))
    sent = []

    def exchange(address, method, path, body, root):
        sent.append(body)
        answer = Asking(app, None).request(
            method, path, content=body, headers={"Content-Type": "application/json"}
        )
        if answer.status_code >= 400:
            from aegis.errors import CheckFailed

            raise CheckFailed(answer.json()["error"]["value"])
        return answer.content

    monkeypatch.setattr(asking_module, "exchange", exchange)
    say(desk.folder.root, "connected")  # what a process says every few seconds
    answer = window(OTTO).post("/client/aggregate/?wait_s=60")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert {"num_clients", "global_accuracy", "client_results", "model_path"} <= set(found)
    assert found["num_clients"] == 3
    assert found["client_results"][0]["client_id"] == "north"
    assert found["model_sha256"] == shared_digest(desk)
    replayed = Asking(app, None).request(
        "POST",
        "/api/ask-for-run",
        content=sent[-1],
        headers={"Content-Type": "application/json"},
    )
    assert replayed.status_code == 403
    forged = sent[-1].replace(b'"hospital": "north"', b'"hospital": "south"')
    refused = Asking(app, None).request(
        "POST", "/api/ask-for-run", content=forged, headers={"Content-Type": "application/json"}
    )
    assert refused.status_code == 403


def shared_digest(desk):
    shared = shared_model(desk.folder)
    assert shared is not None
    return judge_shared(desk.folder, shared).sha256


def _rows(desk):
    from aegis.operations.hospital.rows import load

    return load(desk.folder.registered, "all", 0).rows.inputs["heart_rate"].tolist()
