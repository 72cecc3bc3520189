"""What a hospital needs in order to serve, looked at from its own folder: ``aegis doctor``."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.util import find_spec

from aegis.errors import AegisError, installing
from aegis.hospital.policy import Closed
from aegis.hospital.policy_file import PolicyFile
from aegis.identity.certificates import Certified
from aegis.operations.check import Check
from aegis.operations.connection import Place, connection, reachable
from aegis.operations.hospital.federation import Federation
from aegis.operations.hospital.folder import HospitalFolder
from aegis.operations.hospital.joining import LOOPBACK
from aegis.operations.hospital.process import budget
from aegis.operations.hospital.rows import load
from aegis.tasks.task import find_task

FREE_MIB = 200
_ENGINES = {"flower": "flwr", "xmpp": "spade"}


def checks(folder: HospitalFolder) -> list[Check]:
    """Each part by itself, so that one fault does not hide the next."""
    try:
        folder.registered  # noqa: B018  (says what is missing)
    except AegisError as error:
        return [Check("Hospital", False, error.value, error.way_out)]
    found = [Check("Hospital", True, f"{folder.name} in {folder.root}")]
    for name, look in _PARTS:
        try:
            found += look(folder)
        except AegisError as error:
            found.append(Check(name, False, str(error)))
        except OSError as error:
            found.append(Check(name, False, f"{error.filename}: {error.strerror}", _READABLE))
    return found


_READABLE = "Let this user read it"


def _disk(folder: HospitalFolder) -> Iterator[Check]:
    free = shutil.disk_usage(folder.root).free // 2**20
    fine = free > FREE_MIB
    yield Check("Disk", fine, f"{free:,} MiB free", "" if fine else "Make room: ledgers need it")


def _key(folder: HospitalFolder) -> Iterator[Check]:
    fine = folder.name in folder.keys.names()
    faults = folder.keys.faults()
    found = "; ".join(faults) or (
        folder.keys.public(folder.name).fingerprint if fine else f"no key of {folder.name}"
    )
    way = "" if fine else "Restore it from a backup; a new one makes another hospital"
    yield Check("Key", fine and not faults, found, way)


def _policy(folder: HospitalFolder) -> Iterator[Check]:
    key = folder.keys.public(folder.name).signing
    policy = PolicyFile(folder.policy, folder.name, key).current()
    if isinstance(policy, Closed):
        sign = f"Read it, then: aegis hospital policy sign --hospital {folder.name}"
        yield Check("Policy", False, policy.reason, sign)
        return
    yield Check("Policy", True, f"signed, {policy.approval} approval ({policy.sha256[:12]})")


def _data(folder: HospitalFolder) -> Iterator[Check]:
    registered = folder.registered
    dataset = load(registered, "all", 0)
    schema = dataset.schema or find_task(registered.task).schema
    rows = len(dataset.rows)
    shared = f", of which share {registered.share}" if registered.share else ""
    yield Check(
        "Data",
        rows > 0,
        f"{rows} rows for {registered.task}{shared}",
        "" if rows else "Register data that hold rows",
    )
    told = find_task(registered.task).schema  # what all parties know, whatever the file holds
    known = bool(told.columns) or schema.image is not None
    shown = "images" if known else "none"
    if schema.columns:
        shown = f"{len(schema.columns)} columns ({schema.sha256[:12]})"
    way = "Serve a task with columns of its own, or a plug-in: docs/federation.md"
    if not known:
        shown += f", known from the file only: no coordinator takes task {registered.task}"
    yield Check("Schema", known, shown, "" if known else way)


def _ledger(folder: HospitalFolder) -> Iterator[Check]:
    found = budget(folder)
    total = found["epsilon_total"]
    left = "no limit" if total is None else f"{found['left']:.3f} of {total:g} left"
    if found["policy_reason"] is not None:
        left = "the limit is not known until the policy is signed"
    yield Check("Ledger", True, f"epsilon {found['spent']:.3f} spent, {left}")


def _federation(folder: HospitalFolder) -> Iterator[Check]:
    federation = Federation.load(folder.federation)
    yield Check("Federation", True, f"{federation.name}, {federation.address}")
    road = str(federation.road.get("road"))
    engine = _ENGINES.get(road)
    fine = engine is None or find_spec(engine) is not None
    way = "" if fine else installing(road)
    yield Check("Road", fine, f"{road}, {'installed' if fine else f'{engine} is not here'}", way)
    assert federation.trust.own is not None
    own = Certified.load(federation.trust.own).certificate
    left = (own.not_valid_after_utc - datetime.now(UTC)).total_seconds() / 86400
    yield Check(
        "Certificate",
        left > 0,
        f"good for {left:.0f} days" if left > 0 else f"over since {-left:.0f} days",
        "" if left > 10 else "Ask the coordinator for a join code, and join again",
    )
    host, _, port = federation.address.rpartition(":")
    scheme = "http" if host in LOOPBACK else "https"
    place = Place.of(f"{scheme}://{host}:{port}", federation.trust.root, federation.authority.hex)
    asked = connection(place)
    yield from asked
    where = federation.road.get("address") or (
        f"{federation.road.get('host')}:{federation.road.get('port')}"
    )
    gate, _, gate_port = where.rpartition(":")
    if gate_port.isdigit() and where != federation.address:
        for check in reachable("Road's port", gate.strip("[]"), int(gate_port)):
            if not check.ok or check.found.endswith("answers"):
                yield check


_PARTS: tuple[tuple[str, Callable[[HospitalFolder], Iterator[Check]]], ...] = (
    ("Disk", _disk),
    ("Key", _key),
    ("Policy", _policy),
    ("Data", _data),
    ("Ledger", _ledger),
    ("Federation", _federation),
)
