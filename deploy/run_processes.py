"""docker-compose.yml without Docker: the same commands as processes of this machine.

    python deploy/run_processes.py [--transport xmpp|flower] [--hospitals N] [--plan FILE]

Reads the compose file, gives each service its volumes as folders, waits until all are well by the
same health checks, starts a run over the API, waits for its end, and stops everything. Prints one
JSON object; exits 1 where anything of this fails. Linux: the parties meet at 127.0.0.2, which is
loopback under a name for which TLS is spoken.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from aegis.console.calling import Calling
from aegis.errors import AegisError
from aegis.plan import load_plan
from aegis.store.home import Home

ROOT = Path(__file__).parents[1]
WHERE = "127.0.0.2"
STARTS_WITHIN_S = 180.0
_VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")


@dataclass
class Service:
    """A service as processes: ``folders`` are its volumes, by the path inside a container."""

    said: Mapping[str, Any]
    folders: Mapping[str, str]
    log: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def translated(self, text: str) -> str:
        inside = "|".join(re.escape(path) for path in self.folders)
        return re.sub(rf"(?<![\w/])(?:{inside})", lambda found: self.folders[found[0]], text)

    def environment(self) -> dict[str, str]:
        said = {key: str(value) for key, value in (self.said.get("environment") or {}).items()}
        own = {"OMP_NUM_THREADS": "1", "AEGIS_HOME": self.folders["/var/lib/aegis"]}
        return {**os.environ, **said, **own}

    def start(self, *more: str) -> None:
        words = [self.translated(word) for word in self.said["command"]]
        with self.log.open("ab") as log:
            self.processes.append(
                subprocess.Popen(  # noqa: S603  (the compose file's own)
                    [sys.executable, "-m", "aegis", *words, *more],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self.environment(),
                )
            )

    def healthy(self, **instead: str) -> bool:
        words = [instead.get(word, self.translated(word)) for word in self.said["test"][3:]]
        command = [sys.executable, str(ROOT / "deploy" / "health.py"), *words]
        done = subprocess.run(command, env=self.environment(), capture_output=True)  # noqa: S603
        return done.returncode == 0


def compose(environment: Mapping[str, str]) -> dict[str, Any]:
    """docker-compose.yml with its variables filled in, as Compose does."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    filled = _VARIABLE.sub(lambda found: environment.get(found[1]) or found[2], text)
    document: dict[str, Any] = yaml.safe_load(filled)
    return document


def services(document: Mapping[str, Any], folder: Path, hospitals: int) -> list[Service]:
    """The coordinator, then one service for each hospital: /tmp is each one's own."""
    found = []
    for number in range(hospitals + 1):
        name = "hospital" if number else "coordinator"
        said = document["services"][name]
        folders = {}
        for volume in said["volumes"]:
            named, inside = volume.split(":")
            folders[inside] = str(folder / named)
        own = folder / f"tmp-{number}"
        own.mkdir(parents=True)
        folders["/tmp/"] = f"{own}/"  # noqa: S108
        log = folder / f"{name}-{number}.log"
        found.append(Service({**said, "test": said["healthcheck"]["test"]}, folders, log))
    return found


def run(
    road: str, hospitals: int | None, plan_file: Path, folder: Path, within_s: float
) -> dict[str, Any]:
    environment = {**os.environ, "AEGIS_ROAD": road}
    document = compose(environment)
    count = hospitals or int(document["services"]["hospital"]["deploy"]["replicas"])
    coordinator, *others = services(document, folder, count)
    begun = time.monotonic()
    try:
        for one in others:  # hospitals first: any order will do
            one.start()
        coordinator.start("--port=0", f"--road-port={free_port()}", f"--public-host={WHERE}")
        home = Home(Path(coordinator.folders["/var/lib/aegis"]))
        port = _until(lambda: _announced(home), coordinator, others)
        # the port inside the container is the compose file's; here it is whichever was free
        _until(lambda: coordinator.healthy(**{"8081": port}), coordinator, others)
        for one in others:
            _until(one.healthy, coordinator, others)
        healthy_s = time.monotonic() - begun
        said = {key: value for key, value in coordinator.environment().items() if value}
        calling = Calling(f"https://localhost:{port}", home)
        state = calling.state()
        wanted = load_plan(plan_file, {"federated.num_clients": str(count)}, said, None).plan
        found = _followed(calling, calling.start(wanted), within_s)
        return {
            "status": found["status"],
            "road": state["road"],
            "hospitals": [one["name"] for one in state["hospitals"] if one["present"]],
            "rounds": found["rounds"],
            "accuracy": found["global"]["accuracy"],
            "privacy": found["privacy"]["mechanism"] if found.get("privacy") else None,
            "model_sha256": found["model_sha256"],
            "audit_log": found["audit_log"]["verified"],
            "healthy_s": round(healthy_s, 1),
            "total_s": round(time.monotonic() - begun, 1),
        }
    finally:
        _stop([coordinator, *others])


def _followed(calling: Calling, run: str, within_s: float) -> dict[str, Any]:
    end, told = time.monotonic() + within_s, ""
    while (found := calling.result(run)) is None:
        now = calling.state()
        line = f"{now['state']}, round {now['round']} of {now['rounds']}"
        if line != told:
            print(line, file=sys.stderr)
        told = line
        if time.monotonic() > end:
            raise AegisError(f"the run has not ended within {within_s:g} s: {line}")
        time.sleep(0.5)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _announced(home: Home) -> str:
    path = home.root / ".console"
    return path.read_text(encoding="ascii").rpartition(":")[2] if path.exists() else ""


def _until(state: Any, coordinator: Service, others: list[Service]) -> Any:
    end = time.monotonic() + STARTS_WITHIN_S
    while not (found := state()):
        for one in (coordinator, *others):
            ended = [process.returncode for process in one.processes if process.poll() is not None]
            if ended or time.monotonic() > end:
                words = one.log.read_text("utf-8", "replace")[-1000:]
                why = f"ended with {ended[0]}" if ended else "is here while another is not well"
                raise AegisError(f"{one.log.stem} {why}: {words}")
        time.sleep(0.3)
    return found


def _stop(all_of_them: list[Service]) -> None:
    running = [process for one in all_of_them for process in one.processes]
    for process in running:
        process.terminate()
    for process in running:
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> int:
    reader = argparse.ArgumentParser(description="docker-compose.yml as processes")
    reader.add_argument("--transport", choices=("flower", "xmpp"), default="xmpp")
    reader.add_argument("--hospitals", type=int)
    reader.add_argument("--plan", type=Path, default=ROOT / "examples" / "s4.yaml")
    reader.add_argument("--keep", type=Path, help="A new folder for volumes and logs")
    reader.add_argument("--within", type=float, default=1800.0, help="Seconds for the run")
    said = reader.parse_args()
    with tempfile.TemporaryDirectory(prefix="aegis-processes-") as folder:
        try:
            place = said.keep or Path(folder)
            found = run(said.transport, said.hospitals, said.plan, place, said.within)
        except AegisError as error:
            print(json.dumps({"status": "failed", "error": str(error)}))
            return 1
    print(json.dumps(found))
    return 0 if found["status"] == "completed" and found["audit_log"] else 1


if __name__ == "__main__":
    sys.exit(main())
