"""What the last layer's logits mean: one against nought, or one of several.

With one logit the loss is that of the logistic model, with K of them that of the multinomial one
(softmax and cross-entropy). A head says how a label stands beside its row while a stack trains,
what the error at the logits is, and what was lost. A row that fills a block up is marked so that it
loses nothing; its share of the step is 0 besides.

The gradient of a row is error times what went into the last layer. One logit errs by at most 1, K
of them by at most the root of 2 in length; whoever must bound a row's gradient takes its length as
it is (``Part.unfold``) and not from here.
"""

from __future__ import annotations

from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aegis.tasks.models import Perceptron

Array = NDArray[np.floating]


class Head(Protocol):
    filling: float

    def marks(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) what stands beside each row for its label."""
        ...

    def err(self, logits: Array, marks: Array, halves: Array) -> Array:
        """Turns ``logits`` (hospitals, outputs, width) into the error there, each row's times its
        weight; ``halves`` (hospitals, 1, width) is half of that, ``marks`` alike."""
        ...

    def lost(self, logits: Array, marks: Array) -> Array:
        """(blocks, width) the log-loss of each row; ``logits`` are (blocks, outputs, width)."""
        ...


class Sigmoid:
    """A label is marked 1 - 2 * label."""

    filling = 0.0

    def marks(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        return 1 - 2 * labels

    def err(self, logits: Array, marks: Array, halves: Array) -> Array:
        # sigmoid(z) - label = (tanh(z / 2) + 1 - 2 * label) / 2, which cannot overflow
        logits *= logits.dtype.type(0.5)
        np.tanh(logits, out=logits)
        logits += marks
        logits *= halves
        return logits

    def lost(self, logits: Array, marks: Array) -> Array:
        wrong = logits[:, 0] * marks
        lost: Array = np.log1p(np.exp(-np.abs(wrong)))
        lost += np.maximum(wrong, 0)
        lost *= np.abs(marks)
        return lost


class Softmax:
    """A label is marked by its number."""

    filling = -1.0

    def __init__(self, classes: int) -> None:
        self._numbers = np.arange(classes)[:, None]

    def marks(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        return labels

    def err(self, logits: Array, marks: Array, halves: Array) -> Array:
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        logits -= marks == self._numbers
        logits *= halves
        logits *= logits.dtype.type(2)
        return logits

    def lost(self, logits: Array, marks: Array) -> Array:
        top = logits.max(axis=1, keepdims=True)
        whole = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
        own = np.where(marks[:, None] == self._numbers, logits, 0).sum(axis=1)
        lost: Array = np.where(marks >= 0, whole - own, 0)
        return lost


def head_of(model: Perceptron) -> Head:
    return _head(model.outputs)


@cache
def _head(outputs: int) -> Head:
    return Sigmoid() if outputs == 1 else Softmax(outputs)
