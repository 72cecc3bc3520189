"""Which reply answers which request, and of what form: what both sides know from the request.

The coordinator accepts no other kind of message for a question than the one that answers it, or a
refusal; shapes, types and the most numbers follow from the weights that he sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, get_args

from aegis.messages import (
    Ask,
    Counts,
    Enrolled,
    Evaluate,
    Invite,
    Refusal,
    Request,
    Scores,
    Statistics,
    Tally,
    Train,
    Update,
)
from aegis.messages.stages import (
    Advertise,
    Advertised,
    Checked,
    Confirm,
    Confirmed,
    Mask,
    Masked,
    Opened,
    Share,
    Shared,
    Unmask,
    Unmasked,
)
from aegis.messages.witness import Cosigned, Settle, Settled, Witness
from aegis.transport.schemas import Array, Schema

Forms: TypeAlias = tuple[Schema, ...]

MOST_CELLS = 2**20  # of counts, histograms and statistics
BESIDE = 2**16  # slots of a masked vector beside its weights: examples, metrics, checksums
REFUSAL = Schema.of(Refusal)
REQUESTS: Forms = tuple(Schema.of(kind) for kind in get_args(Request))
_STAGES: Mapping[type, type] = {
    Advertise: Advertised,
    Share: Shared,
    Confirm: Confirmed,
    Unmask: Unmasked,
    Opened: Checked,
    Witness: Cosigned,
    Settle: Settled,
    Invite: Enrolled,
}


def replies_to(request: Any, *, newton: bool = False) -> Forms:
    """The forms in which this request may be answered. ``newton``: an update is a gradient and half
    a matrix, as the plan's solver has it."""
    return (_answer(request, newton), REFUSAL)


def _answer(request: Any, newton: bool) -> Schema:
    match request:
        case Train():
            like = Array((request.weights.dtype.name,), (_contribution(request, newton),))
            control = Array(("float32", "float64"), (int(request.weights.size),))
            return Schema.of(Update, vector=like, control=control)
        case Mask(inner=inner):
            return Schema.of(
                Masked, vector=Array(("uint64", "uint32"), (None,), _slots(inner, newton))
            )
        case Evaluate():
            cells = Array(("int64",), None, MOST_CELLS)
            return Schema.of(
                Scores, histogram=Array(("int64",), (None, None), MOST_CELLS), groups=cells
            )
        case Statistics():
            return Schema.of(Tally, sums=Array(("float64", "float32"), (None,), MOST_CELLS))
        case Ask():
            return Schema.of(Counts, cells=Array(("int64",), None, MOST_CELLS))
        case _:
            return Schema.of(_STAGES[type(request)])


def _contribution(request: Train, newton: bool) -> int:
    size = int(request.weights.size)
    return size + size * (size + 1) // 2 if newton else size


def _slots(inner: Train | Statistics | Evaluate, newton: bool) -> int:
    if isinstance(inner, Train):
        return 2 * _contribution(inner, newton) + BESIDE
    return MOST_CELLS
