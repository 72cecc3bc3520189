import json

import pytest

from aegis.cli.app import run_command


@pytest.fixture
def aegis(capsys):
    def call(*words):
        code = run_command([*words])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_a_network_of_convolutions_is_shown_layer_by_layer(aegis):
    code, out, _ = aegis("models", "show", "simple_cnn")
    assert code == 0
    assert "conv1: convolution 3 x 3, 1 -> 16, 160 parameters" in out
    assert "norm1: group norm of 16 channels in 8 groups, ReLU" in out
    assert "head: linear, 64 -> 2, sigmoid, 130 parameters" in out
    assert "parameters 23,650" in out
    assert "dropout 0.7 before it" in aegis("models", "show", "cnn1d")[1]
    assert "1 x 30 and 3 numbers beside" in aegis("models", "show", "cnn1d")[1]


@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        (("resnet18",), 11_172_162),
        (("resnet18", "--channels", "3"), 11_178_434),
        (("densenet121", "--channels", "3", "--classes", "1000"), 7_978_856),
    ],
)
def test_layers_add_up_to_the_parameters(aegis, words, parameters):
    shown = json.loads(aegis("models", "show", *words, "--json")[1])
    assert shown["parameters"] == parameters
    assert sum(layer["parameters"] for layer in shown["layers"]) == parameters
