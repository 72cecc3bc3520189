"""Which trainer a model gets."""

from __future__ import annotations

from functools import cache

from aegis.tasks.models import Model
from aegis.tasks.networks import Network
from aegis.training.batched import StackedTrainer
from aegis.training.linear import LinearTrainer
from aegis.training.private import PrivateTrainer
from aegis.training.trainer import Trainer


def trainer_for(model: Model, private: bool = False) -> Trainer:
    """The trainer of ``model``, the same one in every round: it keeps what the last round laid out.
    ``private`` says that the jobs are.

    Networks train in the stacked engine, one hospital or a thousand, so that each road gives the
    same model to the last bit.
    """
    if isinstance(model, Network):
        return _deep()
    if private:
        return _private()
    return _networks() if model.hidden else _linear()


@cache
def _deep() -> Trainer:
    from aegis.training.deep import DeepTrainer

    return DeepTrainer()


@cache
def _networks() -> StackedTrainer:
    return StackedTrainer()


@cache
def _linear() -> LinearTrainer:
    return LinearTrainer()


@cache
def _private() -> PrivateTrainer:
    return PrivateTrainer()
