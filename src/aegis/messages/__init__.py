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
    Statistics,
    Tally,
    Train,
    Update,
    Vector,
)

Request: TypeAlias = Invite | Ask | Statistics | Train | Evaluate
Reply: TypeAlias = Enrolled | Counts | Tally | Update | Scores | Refusal
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
    "Statistics",
    "Tally",
    "Train",
    "Update",
    "Vector",
]
