"""What must hold of a run whatever went wrong: the invariants, held against files on disk.

I1 no round is lost or counted twice, and each begins where the one before it ended
I2 no ledger goes above its cap or loses an entry, and one payload goes out per charged question
I3 with the same hospitals in every round and no noise, the model is that of a run without faults
I4 the audit log verifies
I5 no key and no row is in a log or on the wire
I6 the run ends, or says why it did not
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aegis.hospital.chain import recorded
from aegis.hospital.ledger import Ledger
from aegis.operations.hospital.process import budget
from aegis.store.journal import Journal
from tests.operations.chaos import Ground


def rounds_are_one_chain(ground: Ground, run: str) -> int:
    """I1. Returns how many rounds were closed."""
    journal = Journal(ground.office.home.database)
    try:
        events = [event for _, _, event in journal.events(run)]
        history = [number for number, _ in journal.history(run)]
    finally:
        journal.close()
    closed = [event for event in events if event["event"] == "RoundClosed"]
    numbers = [event["round"] for event in closed]
    assert numbers == list(range(1, len(numbers) + 1)), numbers
    assert history == numbers
    opened: dict[int, set[str]] = {}
    for event in events:
        if event["event"] == "RoundOpened":
            opened.setdefault(event["round"], set()).add(event["model_sha256"])
    for event in closed:
        after = event["next_sha256"] or event["model_sha256"]
        following = opened.get(event["round"] + 1)
        assert following is None or following == {after}, event
    assert all(len(models) == 1 for models in opened.values()), opened
    return len(closed)


def ledgers_hold(ground: Ground, run: str, cap: float, before: dict[str, int]) -> None:
    """I2. ``before`` is how many rows each ledger had when the run began."""
    for name in ground.names:
        folder = ground.folder(name)
        if not folder.ledger.exists():
            continue
        spent = {one["run"]: one["epsilon"] for one in budget(folder)["runs"]}
        assert spent.get(run, 0.0) <= cap, (name, spent)
        rows, _ = recorded(folder.ledger)
        assert len(rows) >= before.get(name, 0)
        ledger = Ledger.open(folder.ledger, rows[0].detail)
        try:
            ledger.verify()
        finally:
            ledger.close()
        stored = Counter(
            (row.run, row.round, row.purpose) for row in rows if row.kind == "stored" and row.run
        )
        assert not [key for key, times in stored.items() if times > 1]


def nothing_secret_in(ground: Ground, texts: Iterable[bytes]) -> None:
    """I5, of the keys: none is in a log or on the wire, as bytes or as hexadecimal digits."""
    keys = []
    for name in ground.names:
        identity = ground.folder(name).identity()
        keys.append(identity.signing.raw)
    keys.append(ground.office.identity.signing.raw)
    for text in texts:
        for key in keys:
            assert key not in text
            assert key.hex().encode() not in text


def rows_of(path: Path) -> int:
    return len(recorded(path)[0]) if path.exists() else 0


def verified(found: dict[str, Any]) -> bool:
    """I4, by the document's own word and by its text being JSON."""
    return bool(json.loads(json.dumps(found))["audit_log"]["verified"])


def all_of(ground: Ground, run: str, found: dict[str, Any]) -> bool:
    """Whether every hospital took part in the statistics and in every round."""
    journal = Journal(ground.office.home.database)
    try:
        events = [event for _, _, event in journal.events(run)]
    finally:
        journal.close()
    counted = [one["hospitals"] for one in events if one["event"] == "StatisticsReleased"]
    rounds = {one["name"]: one["rounds"] for one in found["hospitals"]}
    return counted == [len(ground.names)] and rounds == dict.fromkeys(ground.names, found["rounds"])
