"""The seam of every road: who is there, and ask them.

A road carries requests to hospitals and brings back what they answered, or the fact that they did
not. It takes no decision, keeps no round and looks into no message, so that choosing another road
changes neither the model nor a gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from aegis.messages import Absence, Answer, Reply, Request


class Transport(Protocol):
    def hospitals(self) -> tuple[str, ...]:
        """The hospitals that can be asked now, in a fixed order."""
        ...

    def ask(
        self, requests: Mapping[str, Request], deadline_s: float | None
    ) -> Mapping[str, Answer]:
        """One answer per request: a reply, or an ``Absence`` after the deadline."""
        ...


class Answering(Protocol):
    """What a road needs of a hospital that lives in the same process."""

    def answer(self, request: Request) -> Reply: ...


class InProcess:
    """Hospitals as objects in this process, asked one after the other."""

    def __init__(self, nodes: Mapping[str, Answering]) -> None:
        self._nodes = dict(nodes)

    def hospitals(self) -> tuple[str, ...]:
        return tuple(self._nodes)

    def ask(
        self, requests: Mapping[str, Request], deadline_s: float | None
    ) -> Mapping[str, Answer]:
        answers: dict[str, Answer] = {}
        for hospital, request in requests.items():
            node = self._nodes.get(hospital)
            if node is None:
                answers[hospital] = Absence(hospital, "no such hospital on this road")
            else:
                answers[hospital] = node.answer(request)
        return answers
