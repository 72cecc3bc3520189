"""One entry with all that proves it: its bytes, the way to the root, and who signed that root."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aegis.console.coordinator.desk import Desk, Sight
from aegis.console.coordinator.records.log_standing import (
    Witness,
    carries,
    read_through,
    witnesses_of,
)
from aegis.console.coordinator.records.logbook import (
    WITHHELD,
    Row,
    fields_of,
    reading,
    row_of,
    run_of,
)
from aegis.console.reading import NotFound
from aegis.store.evidence import Evidence
from aegis.store.merkle import leaf_hash, node_hash


@dataclass(frozen=True)
class Step:
    """On the way up: the sibling stands on ``side``; the two hash to ``result``."""

    side: str
    sibling: str
    result: str


@dataclass(frozen=True)
class Proven:
    """One entry with all that proves it; ``text`` is None where it is withheld."""

    row: Row
    text: str | None
    leaf: str
    stored_leaf: str
    size: int
    root: str
    steps: tuple[Step, ...]
    checkpoint: str
    signed: bool
    witnesses: tuple[Witness, ...]
    fields: Mapping[str, Any]
    last: int

    @property
    def holds(self) -> bool:
        end = self.steps[-1].result if self.steps else self.leaf
        return not self.row.bad and bool(self.root) and end == self.root and self.signed


def proven(desk: Desk, sight: Sight, log: str, number: int) -> Proven:
    """Entry ``number`` with its proof under the last checkpoint over it. Raises ``NotFound``."""
    run = run_of(log)
    with reading(desk) as found:
        kept, notes = found.entries(run), found.checkpoints(run)
    entry = next((one for one in kept if one.number == number), None)
    if entry is None:
        said = f"the log {log!r:.80} has no entry {number}"
        raise NotFound(said, way_out="See /audit for all logs")
    read, ring, tree = read_through(Evidence(run, kept, notes))
    row = row_of(run, entry, sight)
    fields, _ = fields_of(entry)
    place = kept.index(entry)
    leaf = leaf_hash(entry.data)
    hidden = row.sentence == WITHHELD
    text = None if hidden else entry.data.decode("ascii", "backslashreplace")
    last = kept[-1].number
    over = [(note, now) for note, now in read.signed if now.size > place]
    if not over:
        why = next((str(one) for one in read.faults), "")
        row = replace(row, bad=row.bad or why)
        return Proven(
            row, text, leaf.hex(), entry.leaf.hex(), 0, "", (), "", False, (), fields, last
        )
    note, now = over[-1]
    steps = tuple(_steps(leaf, place, now.size, tree.inclusion(place, now.size)))
    return Proven(
        row,
        text,
        leaf.hex(),
        entry.leaf.hex(),
        now.size,
        now.root.hex(),
        steps,
        str(note),
        ring is not None and carries(note, now.origin, ring),
        witnesses_of(note, now.origin, ring),
        fields,
        last,
    )


def _steps(leaf: bytes, index: int, size: int, proof: tuple[bytes, ...]) -> Iterator[Step]:
    """As ``merkle.included`` walks, each step shown."""
    at, last, found = index, size - 1, leaf
    for sibling in proof:
        left = bool(at & 1) or at == last
        found = node_hash(sibling, found) if left else node_hash(found, sibling)
        yield Step("left" if left else "right", sibling.hex(), found.hex())
        if left:
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        at, last = at >> 1, last >> 1
