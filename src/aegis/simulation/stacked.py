"""A road on which all hospitals live in this process and train as one stack.

Every node admits its request by itself and finishes its reply by itself, gate for gate as on any
other road; only the arithmetic between the two is done for all of them at once. The model that
comes out is the one that hospitals asked one by one would have made. A hospital with an engine of
its own trains by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from aegis.errors import AegisError
from aegis.evaluation.histogram import score_many
from aegis.hospital.inspection import inspected
from aegis.hospital.node import Node
from aegis.hospital.work import Scoring, Work
from aegis.messages import Absence, Answer, Request
from aegis.training import trainer_for

_REMEMBERED = 2  # stacks of scored rows: those of validation and of test


class StackedHospitals:
    """A transport over ``nodes``, which must all follow the same plan."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self._nodes = dict(nodes)
        self._stacks: dict[tuple[int, ...], _Stack] = {}

    def hospitals(self) -> tuple[str, ...]:
        return tuple(self._nodes)

    def ask(
        self, requests: Mapping[str, Request], deadline_s: float | None
    ) -> Mapping[str, Answer]:
        answers: dict[str, Answer] = {}
        works: dict[str, Work] = {}
        scorings: dict[str, Scoring] = {}
        for name, request in requests.items():
            if name not in self._nodes:
                answers[name] = Absence(name, "no such hospital on this road")
                continue
            match self._nodes[name].admit(request):
                case Work() as work:
                    works[name] = work
                case Scoring() as scoring:
                    scorings[name] = scoring
                case reply:
                    answers[name] = reply
        stack = {n: w for n, w in works.items() if self._nodes[n].site.engine == "numpy"}
        if stack:
            first = next(iter(stack.values())).job
            trainer = trainer_for(first.model, first.private is not None)
            trained = trainer.train_many([work.job for work in stack.values()])
            for (name, work), result in zip(stack.items(), trained, strict=True):
                answers[name] = self._nodes[name].finish(work, result)
        for name, work in works.items():
            if name not in stack:
                answers[name] = self._alone(self._nodes[name], work)
        for same in _of_one_model(scorings):
            self._score(same, answers)
        return answers

    def _alone(self, node: Node, work: Work) -> Answer:
        try:
            return node.finish(work, node.trainer(work).train(work.job))
        except AegisError as error:
            return node.refusal(work.request, error)

    def _score(self, scorings: Mapping[str, Scoring], answers: dict[str, Answer]) -> None:
        """These hospitals score the same weights, so one forward pass serves them."""
        first = next(iter(scorings.values()))
        key = tuple(id(scoring.design) for scoring in scorings.values())
        stack = self._stacks.get(key)
        if stack is None:
            stack = self._stacks[key] = _Stack(list(scorings.values()))
            while len(self._stacks) > _REMEMBERED:  # each holds the rows of all hospitals in it
                self._stacks.pop(next(iter(self._stacks)))
        logits = first.model.logits(first.request.weights, stack.design)
        try:
            histograms, losses = score_many(logits, stack.labels, stack.owner, len(scorings))
        except AegisError as error:
            for name, scoring in scorings.items():
                answers[name] = self._nodes[name].refusal(scoring.request, error)
            return
        for place, (name, scoring) in enumerate(scorings.items()):
            groups = scoring.grouped(logits[stack.owner == place])
            answers[name] = self._nodes[name].scored(
                scoring, histograms[place], float(losses[place]), groups
            )


def _of_one_model(scorings: Mapping[str, Scoring]) -> list[dict[str, Scoring]]:
    """Usually all; but over a road that brings an old request late, one may be asked about another
    model than the rest."""
    found: dict[str, dict[str, Scoring]] = {}
    for name, scoring in scorings.items():
        found.setdefault(inspected(scoring.request).digest, {})[name] = scoring
    return list(found.values())


class _Stack:
    """The rows of several hospitals below each other; ``owner`` (n,) says whose row it is. Holds
    the designs it was made of, so that their identity stays theirs."""

    def __init__(self, scorings: list[Scoring]) -> None:
        self.parts = [scoring.design for scoring in scorings]
        self.design: NDArray[np.floating] = np.concatenate(self.parts)
        self.labels = np.concatenate([scoring.labels for scoring in scorings])
        self.owner = np.repeat(np.arange(len(scorings)), [len(part) for part in self.parts])
