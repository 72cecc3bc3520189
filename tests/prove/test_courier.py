"""What a courier can read: its whole memory and its files, searched while a run goes over it.

    AEGIS_ROADS=flower make prove PART=courier        (or xmpp; without it both)

Looked for are the model of each round, as float32 and as float64, and the digest of the plan that
stands in each message; neither is printed anywhere. The coordinator's memory, in which they have to
be, is searched in the same way: without a find there the search would mean nothing. What a courier
has to see, names and sizes, is no part of this.
"""

from __future__ import annotations

import base64
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from aegis.plan import load_plan
from aegis.store.journal import Journal
from aegis.transport.frame import MAGIC
from tests.prove.scene import ROADS, Scene

pytestmark = [
    pytest.mark.prove,
    pytest.mark.engine,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/PID/mem"),
]
ENVELOPE = re.compile(re.escape(MAGIC) + rb"..\{", re.DOTALL)  # its frame and its readable header
ROUNDS = 6
PLAN = {
    "task": "breast_cancer",
    "federated.num_clients": "4",
    "federated.num_rounds": str(ROUNDS),
    "federated.quorum": "all",
    "training.solver": "gradient",
    "training.learning_rate": "2.0",
    "privacy.enabled": "false",
    "evaluation.every": "0",
}


def memory(pid: int) -> Iterator[bytes]:
    """What a process may write to, region by region; what vanishes meanwhile is left out."""
    with suppress(OSError), Path(f"/proc/{pid}/mem").open("rb", buffering=0) as file:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            where, rights, *_ = line.split()
            first, last = (int(end, 16) for end in where.split("-"))
            if not rights.startswith("rw"):
                continue
            with suppress(OSError, OverflowError):
                file.seek(first)
                yield file.read(last - first)


def files(folder: Path) -> Iterator[bytes]:
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_file():
                yield path.read_bytes()


def kept(into: Path, pieces: Iterator[bytes]) -> None:
    with into.open("ab") as file:
        for piece in pieces:
            file.write(piece)


def unfolded(data: bytes) -> bytes:
    """With what stands there in base64 (stanzas do), wherever in it a piece begins."""
    runs = re.findall(rb"[A-Za-z0-9+/]{64,}", data)
    pieces = (
        run[start : start + (len(run) - start) // 4 * 4] for run in runs for start in range(4)
    )
    return data + b"".join(base64.b64decode(piece) for piece in pieces)


def finds(data: bytes, wanted: dict[str, list[bytes]]) -> dict[str, int]:
    return {name: sum(one in data for one in some) for name, some in wanted.items()}


@pytest.fixture(scope="module", params=ROADS)
def scene(request, tmp_path_factory):
    if request.param == "xmpp" and shutil.which("prosody") is None:
        pytest.skip("no Prosody is installed")
    found = Scene(tmp_path_factory.mktemp(request.param), request.param)
    yield found
    found.close()


def test_neither_its_memory_nor_its_files_hold_a_model_or_a_plan(scene, tmp_path, measured):
    def outcome():
        plan = load_plan(None, PLAN).plan
        run = scene.begin(plan)
        couriers = scene.couriers()
        weights: dict[int, np.ndarray] = {}
        at_courier, at_coordinator = tmp_path / "courier", tmp_path / "coordinator"
        for number in range(2, ROUNDS + 1):
            scene.reached(run, number)
            for pid in couriers:
                kept(at_courier, memory(pid))
            for folder in sorted(scene.home.root.rglob("*")):
                if folder.is_dir() and folder.name in ("flower", "prosody", "xmpp"):
                    kept(at_courier, files(folder))
            kept(at_coordinator, memory(scene.processes["coordinator"].pid))
            with closing(Journal.reading(scene.home.database)) as journal:
                state = journal.run(run).state
            progress = getattr(getattr(state, "of", state), "progress", None)
            if progress is not None and progress.round:
                weights[progress.round] = np.asarray(progress.weights)
        found = scene.result(run)
        models = [
            np.ascontiguousarray(one.astype(kind)[:8]).tobytes()
            for one in weights.values()
            for kind in (np.float32, np.float64)
        ]
        digest = plan.sha256
        carried = unfolded(at_courier.read_bytes())
        wanted = {"models": models, "plan": [digest.encode(), bytes.fromhex(digest)]}
        return {
            "status": found["status"],
            "models": len(weights),
            "at_courier": finds(carried, wanted),
            "at_coordinator": finds(at_coordinator.read_bytes(), wanted),
            "searched_mb": round(len(carried) / 1e6),
            "envelopes": len(ENVELOPE.findall(carried)),
        }

    figures = measured(f"{scene.road}: what the courier holds", outcome)
    print(scene.road, figures)
    assert figures["status"] == "completed"
    assert figures["models"] >= 2
    assert figures["envelopes"] > 0  # it did carry them through this memory
    assert figures["at_coordinator"]["models"] > 0
    assert figures["at_coordinator"]["plan"] > 0
    assert figures["at_courier"] == {"models": 0, "plan": 0}
