"""Where a model comes from: each round starts where the last one ended, up to the stored file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from aegis.secagg.commitment import signed_text
from aegis.secagg.context import DOMAIN, Context
from aegis.store.evidence import Evidence, Fault
from aegis.store.signed import Fields, Keyring


@dataclass
class _Line:
    """How far the models have been followed. ``expected`` is what the next round must start from,
    ``released`` each closed round's model, round 0 standing for the first start."""

    closed: int = 0
    expected: str | None = None
    released: dict[int, str] = field(default_factory=dict)
    final: str = ""


def lineage_faults(evidence: Evidence, log: Sequence[Fields]) -> Iterator[Fault]:
    line = _Line()
    for fields in log:
        for what in _step(line, evidence, fields):
            yield Fault(f"entry {fields['number']}", what)
    if line.final and evidence.model is not None:
        found = _sha256(evidence.model)
        if found != line.final:
            yield Fault("model", f"its bytes have the hash {found[:12]}, not {line.final[:12]}")
    stored = [fields for fields in log if fields["event"] == "ModelStored"]
    if stored and _differs(evidence.card, stored[-1]["card_sha256"]):
        yield Fault("model card", f"it is not the one that entry {stored[-1]['number']} names")
    started = [fields for fields in log if fields["event"] == "RunStarted"]
    if started and _differs(evidence.plan, started[0]["plan_sha256"]):
        yield Fault("plan", f"it has not the hash that entry {started[0]['number']} names")


def _step(line: _Line, evidence: Evidence, fields: Fields) -> Iterator[str]:
    kind = fields["event"]
    if kind in ("RoundOpened", "RoundClosed") and fields["round"] != line.closed + 1:
        yield f"round {fields['round']} does not follow round {line.closed}"
    if kind == "RoundOpened":
        model = fields["model_sha256"]
        if line.expected is not None and model != line.expected:
            yield "it starts from another model than the round before left"
        line.released.setdefault(0, model)
        line.expected = model
    elif kind == "RoundClosed":
        line.closed = fields["round"]
        line.released[line.closed] = fields["model_sha256"]
        line.expected = fields["next_sha256"] or fields["model_sha256"]
    elif kind == "RunEnded" and fields["status"] != "aborted":
        line.final = fields["model_sha256"]
        if line.released.get(fields["round"], line.final) != line.final:
            yield f"its model is not the one of round {fields['round']}"
    elif kind == "ModelStored":
        if fields["model_sha256"] != line.final:
            yield "the stored model is not the one the run ended with"
        parent = fields["parent"]
        if parent and line.released.get(0, parent) != parent:
            yield f"training did not start from {parent[:12]}"


def commitment_faults(log: Sequence[Fields], keys: Sequence[Keyring]) -> Iterator[Fault]:
    """What went into each sealed sum was signed by the hospitals it came from."""
    plan = next((f["plan_sha256"] for f in log if f["event"] == "RunStarted"), "")
    for fields in log:
        if fields["event"] != "SumOpened" or not fields["signatures"]:
            continue
        where = f"entry {fields['number']}"
        in_force = [ring for ring in keys if ring.since <= fields["number"]]
        held = in_force[-1].hospitals if in_force else {}
        context = Context(
            run=fields["run"],
            round=fields["round"],
            attempt=fields["attempt"],
            purpose=fields["purpose"],
            roster_sha256=fields["roster_sha256"],
            plan_sha256=plan,
            schema_sha256=fields["schema_sha256"],
        )
        for name, commitment in fields["commitments"].items():
            signature = bytes.fromhex(fields["signatures"].get(name, ""))
            text = signed_text(context, name, bytes.fromhex(commitment))
            if name in held and not held[name].verifies(DOMAIN, text, signature):
                yield Fault(where, f"{name} did not sign what it is said to have handed in")


def _differs(text: str | None, sha256: str) -> bool:
    return text is not None and _sha256(text.encode()) != sha256


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
