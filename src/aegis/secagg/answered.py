"""The one unmask answer of an attempt, as it lies in the hospital's store.

It is kept before it is sent: after a restart the same question gets the same bytes, and any other
question gets none.
"""

from __future__ import annotations

from dataclasses import dataclass

from aegis import codec
from aegis.errors import CheckFailed
from aegis.messages.stages import Unmask, Unmasked
from aegis.secagg import checks
from aegis.secagg.context import Context


@dataclass(frozen=True, slots=True)
class Answered:
    context: bytes
    asked_sha256: str
    reply: Unmasked


def replayed(answered: bytes, context: Context, request: Unmask) -> Unmasked:
    """The stored answer to the same request, after a restart; raises ``CheckFailed`` for another
    and ``DataError`` for damaged bytes."""
    found: Answered = codec.loads(answered, (Answered, Unmasked))
    return same_answer(found, context, checks.digest_of(request.confirmations).hex())


def same_answer(found: Answered, context: Context, asked: str) -> Unmasked:
    if found.context != context.bytes or found.asked_sha256 != asked:
        raise CheckFailed("a second and different request to unmask", "one is answered per attempt")
    return found.reply
