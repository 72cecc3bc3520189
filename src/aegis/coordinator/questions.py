"""Asking before training: one question to every hospital, and the sum of what they answer.

Hospitals are invited with the plan and then asked. In open trust the coordinator sees each
hospital's cells, noise included; only their sum goes on from here, and a sum below the largest
minimum cell that any hospital asked for is not shown. The interval of a cell is that of the noise
alone: it says nothing about which patients came to these hospitals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aegis.coordinator.study import Study
from aegis.coordinator.validation import fault_of_counts
from aegis.messages import WITHHELD, Absence, Answer, Ask, Counts, Enrolled, Invite, Refusal
from aegis.tasks.question import Question
from aegis.tasks.topics import Topics
from aegis.transport.transport import Transport

WIDTH = 1.959964  # 95 of 100 draws of a normal are within so many standard deviations


@dataclass(frozen=True)
class Cell:
    """``count`` is None where it may not be shown; ``withheld_by`` counts the hospitals that kept
    theirs back, so that a shown count is then the least it can be."""

    count: int | None
    interval: tuple[int, int] | None
    withheld_by: int = 0


@dataclass(frozen=True)
class Answered:
    """``cells`` are flat, in the order of the question's. ``noisy`` names the hospitals whose part
    has noise, ``bare`` those whose part has none, ``refused`` says why of the others."""

    cells: tuple[Cell, ...]
    noise_sd: float
    minimum_cell: int
    noisy: tuple[str, ...]
    bare: tuple[str, ...]
    refused: Mapping[str, str]


def ask_all(
    study: Study,
    road: Transport,
    run: str,
    question: Question,
    topics: Topics,
    epsilon: float,
    delta: float,
) -> Answered:
    """The sum of all hospitals' answers; nobody answering is an ``Answered`` without cells."""
    deadline = study.plan.federated.deadline_s
    invitation = Invite(run, study.sha256, study.plan.to_json())
    replies = road.ask(dict.fromkeys(road.hospitals(), invitation), deadline)
    enrolled: dict[str, Enrolled] = {}
    refused: dict[str, str] = {}
    for name in road.hospitals():
        reply = replies.get(name, Absence(name, "no answer"))
        if isinstance(reply, Enrolled) and reply.schema_sha256 == study.schema.sha256:
            enrolled[name] = reply
        else:
            refused[name] = _reason(reply, "its table does not have the columns of this task")
    asking = Ask(run, study.sha256, question.to_json(), epsilon, delta)
    replies = road.ask(dict.fromkeys(enrolled, asking), deadline)
    shape = question.shape(topics)
    counts: list[Counts] = []
    for name, there in enrolled.items():
        reply = replies.get(name, Absence(name, "no answer"))
        fault = fault_of_counts(reply, there, run, shape)
        if fault is None and isinstance(reply, Counts):
            counts.append(reply)
        else:
            refused[name] = _reason(reply, fault or "")
    return summed(counts, refused)


def summed(counts: list[Counts], refused: Mapping[str, str]) -> Answered:
    if not counts:
        return Answered((), 0.0, 0, (), (), refused)
    minimum = max(answer.minimum_cell for answer in counts)
    sd = math.sqrt(sum(answer.noise_sd**2 for answer in counts))
    kept_back = [(a.cells == WITHHELD) & (a.noise_sd == 0) for a in counts]
    total: NDArray[np.int64] = np.sum(
        [np.where(back, 0, a.cells) for a, back in zip(counts, kept_back, strict=True)], axis=0
    )
    withheld = np.sum(kept_back, axis=0)
    cells = tuple(
        _cell(int(count), int(by), sd, minimum)
        for count, by in zip(total.ravel(), withheld.ravel(), strict=True)
    )
    noisy = tuple(answer.hospital for answer in counts if answer.noise_sd > 0)
    bare = tuple(answer.hospital for answer in counts if answer.noise_sd == 0)
    return Answered(cells, sd, minimum, noisy, bare, refused)


def _cell(count: int, withheld_by: int, sd: float, minimum: int) -> Cell:
    if count < minimum:
        return Cell(None, None, withheld_by)
    away = math.ceil(WIDTH * sd)
    return Cell(count, (max(0, count - away), count + away), withheld_by)


def _reason(answer: Answer, otherwise: str) -> str:
    match answer:
        case Refusal(reason=reason) | Absence(reason=reason):
            return reason
        case _:
            return otherwise
