"""A hospital as a long-lived process: it serves until it is told to stop.

It needs nobody to be there: the line goes on trying, in whatever order the parties start. What
happens on the way is told as short lines, so that a person (or a test) can follow them.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aegis.errors import AegisError
from aegis.hospital.chain import recorded
from aegis.hospital.ledger import Ledger
from aegis.hospital.policy import Closed, Policy
from aegis.hospital.policy_file import PolicyFile
from aegis.hospital.serving import Serving
from aegis.messages import Refusal, Reply, Request
from aegis.operations.hospital.federation import Federation
from aegis.operations.hospital.folder import HospitalFolder
from aegis.operations.hospital.hospital import Hospital, record
from aegis.operations.hospital.received import keeping
from aegis.operations.hospital.standing import SAY_S, say
from aegis.operations.roads import line
from aegis.store.replay import ReplayGuard
from aegis.store.replay import Sequence as Numbers
from aegis.transport.carrier import Line
from aegis.transport.sealed import Party

Told = Callable[[dict[str, Any]], None]


def serve(
    folder: HospitalFolder,
    stop: threading.Event,
    passphrase: str | None = None,
    told: Told = lambda said: None,
    make_line: Callable[[Federation], Line] | None = None,
) -> None:
    """Serve until ``stop``. Raises ``BadInput`` where this is no hospital, has not joined, or is
    being served already."""
    folder.registered  # noqa: B018  (says what is missing)
    federation = Federation.load(folder.federation)
    identity = folder.identity(passphrase)
    with folder.alone():
        road = (
            make_line(federation)
            if make_line
            else line(federation.road, folder.name, federation.trust)
        )
        hospital = Hospital(folder, identity, federation)
        envelopes = folder.root / "envelopes.db"
        guard, numbers = ReplayGuard(envelopes), Numbers(envelopes, folder.name)
        try:
            party = Party(identity, federation.file, guard, numbers)
            heard = _heard(folder, told)
            coordinator = federation.coordinator.name
            serving = Serving(hospital, party, road, coordinator, hospital.replies, heard)
            watching = threading.Thread(
                target=_watch, args=(road, stop, told, folder.root), daemon=True
            )
            watching.start()
            told({"event": "serving", "hospital": folder.name, "federation": federation.name})
            serving.run(stop)
        finally:
            say(folder.root, "stopped")
            road.close()
            hospital.close()
            numbers.close()
            guard.close()


def status(folder: HospitalFolder) -> dict[str, Any]:
    """Where this hospital stands, from its files alone."""
    registered, public = folder.registered, folder.keys.public(folder.name)
    found: dict[str, Any] = {
        "hospital": folder.name,
        "folder": str(folder.root),
        "task": registered.task,
        "data": registered.path or registered.site or registered.share or "public",
        "fingerprint": public.fingerprint,
        "log_key": public.log_key,
        "federation": None,
        "policy": None,
        "serving": _served(folder),
        "budget": budget(folder),
    }
    try:
        federation = Federation.load(folder.federation)
        found["federation"] = {
            "name": federation.name,
            "coordinator": federation.coordinator.fingerprint,
            "road": federation.road.get("road"),
            "hospitals": [name for name, _ in federation.roster.members],
        }
    except AegisError as error:
        found["federation_reason"] = str(error)
    policy = _policy(folder)
    if isinstance(policy, Closed):
        found["policy_reason"] = policy.reason
    else:
        found["policy"] = policy.sha256
    return found


def budget(folder: HospitalFolder) -> dict[str, Any]:
    """What the data have spent, what is left, and on which runs; and why no policy counts, where
    none does."""
    policy = _policy(folder)
    cap = policy.epsilon_total if isinstance(policy, Policy) else None
    delta = policy.delta if isinstance(policy, Policy) else 1e-5
    found: dict[str, Any] = {"epsilon_total": cap, "delta": delta, "spent": 0.0, "runs": []}
    found["policy_reason"] = policy.reason if isinstance(policy, Closed) else None
    if not folder.ledger.exists():
        return found | {"left": cap}
    rows, _ = recorded(folder.ledger)
    origin = rows[0].detail if rows else ""
    ledger = Ledger.open(folder.ledger, origin)
    try:
        runs = list(dict.fromkeys(row.run for row in rows if row.run))
        spent = ledger.spent(delta)
        found["spent"] = spent.enforced
        found["runs"] = [{"run": run, "epsilon": ledger.spent(delta, run).enforced} for run in runs]
    finally:
        ledger.close()
    return found | {"left": None if cap is None else max(0.0, cap - found["spent"])}


def _policy(folder: HospitalFolder) -> Policy | Closed:
    key = folder.keys.public(folder.name).signing
    return PolicyFile(folder.policy, folder.name, key).current()


def _served(folder: HospitalFolder) -> bool:
    try:
        with folder.alone():
            return False
    except AegisError:
        return True


def _watch(road: Line, stop: threading.Event, told: Told, root: Path) -> None:
    last, said = "", 0.0
    while not stop.wait(0.2):
        now = road.status
        if now != last or time.monotonic() - said > SAY_S:
            say(root, now)
            said = time.monotonic()
        if now != last:
            told({"event": "line", "status": now})
            last = now


def _heard(folder: HospitalFolder, told: Told) -> Callable[[Request, Reply | None], None]:
    write, keep = record(folder), keeping(folder)
    begun: dict[int, float] = {}

    def heard(request: Request, reply: Reply | None) -> None:
        write(request, reply)
        keep(request, reply)
        if reply is None:
            begun[id(request)] = time.monotonic()
            return
        said: dict[str, Any] = {
            "event": "answered",
            "run": request.run,
            "round": request.round,
            "asked": type(request).__name__,
            "sent": type(reply).__name__,
            "seconds": round(time.monotonic() - begun.pop(id(request), time.monotonic()), 3),
        }
        if isinstance(reply, Refusal):
            said["reason"] = reply.reason
        told(said)

    return heard


def last_sent(folder: HospitalFolder, most: int = 50) -> list[dict[str, Any]]:
    """The last lines of what left this hospital."""
    path: Path = folder.sent
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()[-most:]
    return [json.loads(one) for one in lines]
