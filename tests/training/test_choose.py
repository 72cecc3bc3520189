from aegis.tasks.models import Perceptron
from aegis.training import trainer_for
from aegis.training.batched import StackedTrainer
from aegis.training.linear import LinearTrainer


def test_logistic_regression_and_networks_get_their_own_trainer_every_round():
    assert isinstance(trainer_for(Perceptron(3)), LinearTrainer)
    assert isinstance(trainer_for(Perceptron(3, (4,))), StackedTrainer)
    assert trainer_for(Perceptron(3, (4,))) is trainer_for(Perceptron(9, (2,)))
