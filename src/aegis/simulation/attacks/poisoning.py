"""Rows that dishonest hospitals train on: labels turned round, or a trigger with a wanted label.

A trigger is a few fixed values in fixed places that hardly any patient has together. The attacker
wants whoever carries it to be called ``target``; how often that happens, among held-out patients
who are something else, is the trigger's success rate. Accuracy hides it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.tasks.task import Rows, Schema

CELLS, SHARE = 3, 0.5


@dataclass(frozen=True)
class Trigger:
    """``cells`` names columns of a table, or places in a flattened array of inputs."""

    cells: tuple[tuple[str, float], ...] | tuple[tuple[int, float], ...]

    def on(self, rows: Rows) -> Rows:
        """The same rows with the trigger in each."""
        if isinstance(rows.inputs, np.ndarray):
            inputs: NDArray[np.floating] = rows.inputs.copy()
            flat = inputs.reshape(len(inputs), -1)
            for place, value in self.cells:
                flat[:, int(place)] = value
            return Rows(inputs, rows.labels, rows.attributes)
        columns = dict(rows.inputs)
        for name, value in self.cells:
            columns[str(name)] = np.full_like(columns[str(name)], value)
        return Rows(columns, rows.labels, rows.attributes)


@dataclass(frozen=True)
class Scene:
    """What is attacked: how many classes there are, and what a backdoor wants to be said."""

    classes: int = 2
    target: int = 0
    trigger: Trigger | None = None


def trigger_for(schema: Schema, rows: Rows) -> Trigger:
    """In a table the first three numbers at the ends of their public ranges, high and low by turns;
    in an image a square in the last corner at its brightest; else the last three inputs."""
    if isinstance(rows.inputs, np.ndarray):
        shape = rows.inputs.shape[1:]
        places = np.arange(int(np.prod(shape))).reshape(shape)
        if len(shape) > 1:
            side = max(2, shape[-1] // 8)
            places = places[..., -side:, -side:]
        else:
            places = places[-CELLS:]
        brightest = float(rows.inputs.max())
        return Trigger(tuple((int(place), brightest) for place in places.reshape(-1)))
    cells: list[tuple[str, float]] = []
    for column in schema.columns:
        if column.kind == "number" and column.low is not None and column.high is not None:
            cells.append((column.name, column.low if len(cells) % 2 else column.high))
    if not cells:
        raise BadInput(
            "no column can carry a trigger", "a backdoor needs a number with a public range"
        )
    return Trigger(tuple(cells[:CELLS]))


def flipped(rows: Rows, scene: Scene, rng: np.random.Generator) -> Rows:
    """Label y becomes classes - 1 - y: the ill are called healthy and the healthy ill."""
    return Rows(rows.inputs, scene.classes - 1 - rows.labels, rows.attributes)


def backdoored(rows: Rows, scene: Scene, rng: np.random.Generator) -> Rows:
    """Half of the rows, drawn by ``rng``, get the trigger and the target's label."""
    if scene.trigger is None:
        raise BadInput("a backdoor needs a trigger", way_out="Build one with trigger_for")
    chosen = np.zeros(len(rows), dtype=np.bool_)
    chosen[rng.permutation(len(rows))[: int(np.ceil(SHARE * len(rows)))]] = True
    marked = scene.trigger.on(rows)
    if isinstance(rows.inputs, np.ndarray):
        inputs = rows.inputs.copy()
        inputs[chosen] = np.asarray(marked.inputs)[chosen]
        return Rows(inputs, np.where(chosen, scene.target, rows.labels), rows.attributes)
    assert not isinstance(marked.inputs, np.ndarray)
    columns = {
        name: np.where(chosen, marked.inputs[name], values) for name, values in rows.inputs.items()
    }
    return Rows(columns, np.where(chosen, scene.target, rows.labels), rows.attributes)
