"""What travels between the coordinator and a hospital: requests, replies, and a road's absence."""

from __future__ import annotations

from typing import TypeAlias

from aegis.messages.learning import (
    WITHHELD,
    Absence,
    Ask,
    Counts,
    Enrolled,
    Evaluate,
    Invite,
    Part,
    Refusal,
    Scores,
    Sharing,
    Statistics,
    Tally,
    Train,
    Update,
    Vector,
)
from aegis.messages.stages import Stage, StageReply
from aegis.messages.witness import Cosigned, Settle, Settled, Witness

Request: TypeAlias = Invite | Ask | Statistics | Train | Evaluate | Stage | Witness | Settle
Reply: TypeAlias = (
    Enrolled | Counts | Tally | Update | Scores | StageReply | Cosigned | Settled | Refusal
)
Answer: TypeAlias = Reply | Absence

__all__ = [
    "WITHHELD",
    "Absence",
    "Answer",
    "Ask",
    "Cosigned",
    "Counts",
    "Enrolled",
    "Evaluate",
    "Invite",
    "Part",
    "Refusal",
    "Reply",
    "Request",
    "Scores",
    "Settle",
    "Settled",
    "Sharing",
    "Statistics",
    "Tally",
    "Train",
    "Update",
    "Vector",
    "Witness",
]
