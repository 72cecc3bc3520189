"""A whole federation of real processes on this machine: courier, coordinator, one per hospital.

For trying a road, for demonstrations and for proofs. The hospitals hold public data, each the part
that a simulation of the same plan would give it, and let everything in; they live in
AEGIS_HOME/hospitals/NAME and are found again by the next run of the same data. A name that belongs
to somebody else's hospital is left alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aegis.console.coordinator.opening import coordinator_window
from aegis.console.listening import Listening, token_at
from aegis.errors import BadInput, RunAborted
from aegis.events import Listener
from aegis.operations.coordinator.coordinator import Coordinator
from aegis.operations.coordinator.office import Office
from aegis.operations.hospital.folder import HospitalFolder, Registered, init, policy_text
from aegis.operations.hospital.joining import join
from aegis.operations.hospital.policies import for_public_data
from aegis.operations.roads import Place, courier
from aegis.plan import Plan, check_plan
from aegis.simulation.federation import Federation
from aegis.store.home import Home

MARK = ".together"
START_S = 60.0


@dataclass
class Together:
    """A running federation. ``processes`` by hospital; kill and ``start`` them as you like. The
    coordinator's window is at ``url``, and ``token`` opens it."""

    coordinator: Coordinator
    folders: Mapping[str, HospitalFolder]
    url: str = ""
    token: str = ""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, hospital: str) -> None:
        folder = self.folders[hospital]
        log = (folder.root / "process.log").open("ab")
        command = [sys.executable, "-m", "aegis", "hospital", "serve", "--json", "--no-console"]
        command += ["--hospital", hospital, "--home", str(folder.root)]
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        self.processes[hospital] = subprocess.Popen(  # noqa: S603  (our own command)
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env
        )
        log.close()

    def run(self, plan: Plan, timeout_s: float | None = None) -> dict[str, Any]:
        return self.coordinator.wait(self.coordinator.submit(plan), timeout_s)

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def together(
    plan: Plan,
    road: str,
    *,
    home: Path | None = None,
    data_directory: Path | None = None,
    listeners: tuple[Listener, ...] = (),
    told: Callable[[str], None] = lambda text: None,
    started: bool = True,
) -> Iterator[Together]:
    """A federation for the hospitals of ``plan``. Not ``started``, the hospitals' processes are
    left for the caller to start."""
    check_plan(plan)
    if plan.data.path:
        raise BadInput(
            "hospitals of a run on one machine hold public data, and the plan names a file",
            way_out="Make each hospital with aegis hospital init, and start aegis coordinator",
        )
    root = Home(home) if home is not None else Home.from_environment()
    registered = _registered(plan, data_directory)
    office = Office(root).open("together")
    engine = courier(road, root, office.trust, Place(in_memory=True))
    told(f"starting the courier ({road})")
    with Coordinator(office, road, engine, listeners) as coordinator:
        token = token_at(root.keys / "console.token")
        with (
            coordinator_window(root, coordinator, token=token) as window,
            Listening(window, "127.0.0.1", 0, None) as listening,
        ):
            office.announce(f"localhost:{listening.port}")
            folders = {
                name: _hospital(coordinator, office, name, data, listening.port)
                for name, data in registered.items()
            }
            found = Together(coordinator, folders, listening.url, token)
            try:
                if started:
                    told(f"starting {len(folders)} hospitals, each a process of its own")
                    for name in folders:
                        found.start(name)
                    _all_there(found)
                yield found
            finally:
                found.stop()


def _registered(plan: Plan, directory: Path | None) -> dict[str, Registered]:
    where = str(directory or os.environ.get("AEGIS_DATA_DIR", ""))
    sites = Federation.of(plan, Path(where) if where else None).sites
    names = list(sites)
    if plan.federated.partition.by == "site" and not names[0].startswith("hospital_"):
        return {name: Registered(plan.task, site=name, directory=where) for name in names}
    count = len(names)
    return {
        name: Registered(plan.task, share=f"{number}/{count}", directory=where)
        for number, name in enumerate(names, 1)
    }


def _hospital(
    coordinator: Coordinator, office: Office, name: str, data: Registered, port: int
) -> HospitalFolder:
    """The hospital of this name and data: the one that is there, or a new one."""
    base = office.home.root / "hospitals"
    for number in range(1, 1000):
        folder = HospitalFolder(base / (name if number == 1 else f"{name}.{number}"), name)
        if not folder.root.exists():
            break
        if not (folder.root / MARK).exists():
            raise BadInput(
                f"{folder.root} is a hospital that was not made for runs on one machine",
                way_out="Set AEGIS_HOME to another folder for such runs",
            )
        if folder.registered == data and _member(office, folder):
            return folder
    standing = office.registrar.membership.standing(name)
    if standing is not None and not standing.revoked:
        office.registrar.revoke(name, "another set of data has this name now")
        coordinator.expel(name)
    identity = init(folder, data, policy_text(name, for_public_data()))
    (folder.root / MARK).touch()
    join(folder, identity, coordinator.desk.invite(name, f"localhost:{port}", trusted=True))
    return folder


def _member(office: Office, folder: HospitalFolder) -> bool:
    standing = office.registrar.membership.standing(folder.name)
    if standing is None or standing.revoked:
        return False
    joined = (folder.federation / "federation.json").exists()
    return joined and standing.identity == folder.keys.public(folder.name)


def _all_there(found: Together) -> None:
    end = time.monotonic() + START_S
    while missing := set(found.folders) - set(found.coordinator.present()):
        for name in missing:
            if found.processes[name].poll() is not None:
                log = (found.folders[name].root / "process.log").read_text("utf-8", "replace")
                raise RunAborted(f"the hospital {name} ended at once: {log[-500:]}")
        if time.monotonic() > end:
            raise RunAborted(
                f"{', '.join(sorted(missing))} did not come within {START_S:g} s",
                way_out=f"See process.log in {found.folders[min(missing)].root}",
            )
        time.sleep(0.1)
