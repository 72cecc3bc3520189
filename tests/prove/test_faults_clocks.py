"""Clocks that are wrong, step back, or live through odd hours. Row 17 of the fault table.

make prove PART=faults_clocks

Hospitals get another time from libfaketime; what measures durations (the monotonic clock) it leaves
alone, as a machine does whose clock is set. It does not bear its time being set under a sleeping
Python, so the coordinator, whose clock steps while it runs, gets its time from ``STEPPING``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import pytest

from aegis.plan import load_plan
from aegis.simulation import local
from aegis.simulation.evidence import verify_home
from aegis.store.home import Home
from aegis.store.journal import Journal
from tests.prove.scene import NAMES, Scene
from tests.prove.test_kill import PLAN, ROOT

pytestmark = [pytest.mark.prove, pytest.mark.engine]

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
ROUNDS = 6
KEYS = {
    "task": "breast_cancer",
    "federated.num_clients": "4",
    "federated.num_rounds": str(ROUNDS),
    "federated.quorum": "3",
    "federated.deadline_s": "6",
    "federated.attempts": "60",
    "training.solver": "gradient",
    "training.learning_rate": "2.0",
    "privacy.enabled": "false",
    "evaluation.every": "0",
}


def plan(**changed):
    said = KEYS | {key.replace("__", "."): str(value) for key, value in changed.items()}
    return load_plan(None, said).plan


def fake(file: Path, **more: str) -> dict[str, str]:
    """An environment whose clock differs by what stands in ``file``, looked at each time."""
    return {
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        **more,
    }


STEPPING = """
import datetime, os, time
_time, _file = time.time, os.environ["OFF_CLOCK"]
def off():
    with open(_file) as file:
        return float(file.read() or 0)
time.time = lambda: _time() + off()
time.time_ns = lambda: int(time.time() * 1e9)
_real = datetime.datetime
class Off(_real):
    @classmethod
    def now(cls, tz=None):
        return _real.fromtimestamp(time.time(), tz)
datetime.datetime = Off
"""


def stepping(file: Path) -> dict[str, str]:
    """An environment in which Python reads its clock with what stands in ``file`` added."""
    folder = file.parent / "stepping"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(STEPPING)
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH", ""))))
    return {"PYTHONPATH": path, "OFF_CLOCK": str(file)}


def write(file: Path, off: str) -> None:
    """At once: a reader never finds half of it."""
    part = file.with_suffix(".part")
    part.write_text(f"{off}\n")
    part.replace(file)


class Timed(Scene):
    """``clocks`` are the files by which processes are off; others have the machine's time."""

    clocks: dict[str, Path] = {}  # noqa: RUF012

    def start(self, name: str) -> None:
        more: dict[str, str] = {}
        if name in self.clocks:
            more = (stepping if name == "coordinator" else fake)(self.clocks[name])
        with patch.dict(os.environ, more):
            super().start(name)

    def again(self, name: str, off: str | None) -> Path:
        """Start ``name`` anew with a clock that is off by so many seconds, or by none."""
        path = self.root / f"{name}.clock"
        self.clocks.pop(name, None)
        if off is not None:
            write(path, off)
            self.clocks[name] = path
        self.kill(name)
        self.start(name)
        return path


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    if not LIBRARIES:
        pytest.skip("libfaketime is not installed: apt-get install faketime")
    road = "flower" if shutil.which("prosody") is None else "xmpp"
    found = Timed(tmp_path_factory.mktemp("clocks"), road)
    yield found
    found.close()


def there(scene: Scene, count: int = 4) -> None:
    scene._until(lambda: sum(one["present"] for one in scene.state()["hospitals"]) >= count)


def told(home: Home, run: str) -> list[tuple[str, dict]]:
    journal = Journal.reading(home.database)
    try:
        return [(at, event) for _, at, event in journal.events(run)]
    finally:
        journal.close()


@pytest.mark.parametrize("off", ["+3600", "-3600"])
def test_a_hospital_whose_clock_is_an_hour_off_does_not_count_and_the_others_go_on(
    scene, measured, off
):
    def how():
        there(scene)
        logs = [scene.root / f"{name}.log" for name in ("coordinator", NAMES[2])]
        sizes = [path.stat().st_size for path in logs]
        scene.again(NAMES[2], off)
        try:
            run = scene.begin(plan())
            found = scene.result(run)
        finally:
            scene.again(NAMES[2], None)
        said = b"".join(path.read_bytes()[at:] for path, at in zip(logs, sizes, strict=True))
        rounds = {one["name"]: one["rounds"] for one in found["hospitals"]}
        return {
            "status": found["status"],
            "rounds_of_it": rounds.get(NAMES[2], 0),
            "rounds_of_others": min(rounds[n] for n in NAMES if n != NAMES[2]),
            "refused_by_its_clock": b"clocks may differ" in said or b"not yet valid" in said,
            "log_holds": found["audit_log"]["verified"],
        }

    figures = measured(f"a hospital off by {off} s", how)
    print(figures)
    assert figures["status"] == "completed"
    assert figures["rounds_of_it"] == 0
    assert figures["refused_by_its_clock"]
    assert figures["rounds_of_others"] == ROUNDS
    assert figures["log_holds"]


@pytest.mark.parametrize("off", ["+50", "-50"])
def test_a_hospital_whose_clock_is_less_than_a_minute_off_takes_part(scene, measured, off):
    def how():
        there(scene)
        scene.again(NAMES[2], off)
        try:
            there(scene)
            run = scene.begin(plan(federated__quorum="all"))
            found = scene.result(run)
        finally:
            scene.again(NAMES[2], None)
        return {
            "status": found["status"],
            "rounds": {one["name"]: one["rounds"] for one in found["hospitals"]},
            "log_holds": found["audit_log"]["verified"],
        }

    figures = measured(f"a hospital off by {off} s", how)
    print(figures)
    assert figures["status"] == "completed"
    assert set(figures["rounds"].values()) == {ROUNDS}
    assert figures["log_holds"]


def test_a_coordinators_clock_that_steps_stretches_no_deadline_and_keeps_the_order(scene, measured):
    """An hour back for a while, then an hour ahead, then right again, in the middle of a run."""
    wanted = plan(federated__quorum="all", federated__num_rounds=10)

    def how():
        whole = local.run(
            wanted, home=scene.root / "simulated", compare=False, audit=False, files=False
        )
        there(scene)
        clock = scene.again("coordinator", "+0")
        try:
            there(scene)
            run = scene.begin(wanted)
            began = time.monotonic()
            for at, off in ((2, "-3600"), (2, "+3600"), (2, "+0")):
                scene.reached(run, at)
                write(clock, off)
                time.sleep(8)
            found = scene.result(run)
            took = time.monotonic() - began
        finally:
            scene.again("coordinator", None)
        times = [at for at, _ in told(scene.home, run)]
        return {
            "status": found["status"],
            "same_model": found["model_sha256"] == whole.model_sha256,
            "log_holds": found["audit_log"]["verified"],
            "in_order": all(a <= b for a, b in pairwise(times)),
            "seconds": round(took, 1),
        }

    figures = measured("the coordinator's clock steps", how)
    print(figures)
    assert figures["status"] == "completed"
    assert figures["same_model"]
    assert figures["log_holds"]
    assert figures["in_order"]
    assert figures["seconds"] < 300


def test_a_run_over_the_end_of_summer_time_and_a_leap_second_keeps_its_order(tmp_path, measured):
    """In Berlin an hour comes twice, and a second is taken back while rounds close."""
    if not LIBRARIES:
        pytest.skip("libfaketime is not installed: apt-get install faketime")

    def how():
        (tmp_path / "plan.yaml").write_text(PLAN)
        clock, home = tmp_path / "clock", Home(tmp_path / "home")
        doubled = 1_792_890_000  # 03:00 by summer time, which is 02:00 again

        def be(at: float) -> float:
            clock.write_text(f"{at - time.time():+.0f}\n")
            return at - time.time()

        be(doubled - 180)
        command = [sys.executable, "-m", "tests.prove.crashing", str(home.root)]
        command += [str(tmp_path / "plan.yaml"), "never", "0"]
        env = os.environ | fake(clock, TZ="Europe/Berlin")
        run = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL)
        while not home.database.exists():
            time.sleep(0.05)
        offset, stepped = be(doubled - 2), 0
        while run.poll() is None:
            time.sleep(0.3)
            stepped += 1
            clock.write_text(f"{offset - stepped % 2:+.0f}\n")
        journal = Journal(home.database)
        (name,) = journal.runs()
        journal.close()
        times = [at for at, _ in told(home, name)]
        faults = [str(fault) for one in verify_home(home) for fault in one.faults]
        return {
            "code": run.wait(),
            "steps": stepped,
            "in_order": all(a <= b for a, b in pairwise(times)),
            "first": times[0],
            "last": times[-1],
            "faults": faults,
        }

    figures = measured("summer time and a leap second", how)
    print(figures)
    assert figures["code"] == 0
    assert figures["first"] < "2026-10-25T01:00" <= figures["last"]
    assert figures["steps"] >= 2
    assert figures["in_order"]
    assert figures["faults"] == []
