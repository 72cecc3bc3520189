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

Request: TypeAlias = Invite | Ask | Statistics | Train | Evaluate | Stage
Reply: TypeAlias = Enrolled | Counts | Tally | Update | Scores | StageReply | Refusal
Answer: TypeAlias = Reply | Absence

__all__ = [
    "WITHHELD",
    "Absence",
    "Answer",
    "Ask",
    "Counts",
    "Enrolled",
    "Evaluate",
    "Invite",
    "Part",
    "Refusal",
    "Reply",
    "Request",
    "Scores",
    "Sharing",
    "Statistics",
    "Tally",
    "Train",
    "Update",
    "Vector",
]
