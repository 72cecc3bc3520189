import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import BadInput, MissingExtra
from aegis.tasks.ecg import SCHEMA
from aegis.tasks.models import described, from_description, model_bytes
from aegis.tasks.networks import FOR_IMAGES, NETWORKS, Network, modules
from aegis.tasks.networks.modules import Runner, import_torch
from aegis.tasks.networks.signals import leads


def network(name, classes=2, channels=1, side=28, **more):
    if name == "cnn1d":
        return Network(name, (channels, 30), classes, beside=3, **more)
    return Network(name, (channels, side, side), classes, **more)


@pytest.mark.parametrize(
    ("name", "classes", "channels", "parameters"),
    [
        ("simple_cnn", 2, 1, 23_650),
        ("cnn1d", 2, 1, 2_196),
        ("resnet18", 2, 1, 11_172_162),
        ("resnet18", 2, 3, 11_178_434),
        ("resnet18", 1000, 3, 11_690_408),
        ("densenet121", 2, 1, 6_949_634),
        ("densenet121", 2, 3, 6_955_906),
        ("densenet121", 1000, 3, 7_978_856),
    ],
)
def test_the_parameters_are_as_many_as_published(name, classes, channels, parameters):
    assert network(name, classes, channels).size == parameters


@pytest.mark.engine
@pytest.mark.parametrize("name", NETWORKS)
def test_the_layout_is_that_of_the_modules_and_privacy_accepts_every_layer(name):
    from opacus.validators import ModuleValidator

    torch = pytest.importorskip("torch")
    runner = Runner.of(network(name))
    found = [(key, tuple(p.shape)) for key, p in runner.module.named_parameters()]
    assert sorted(found) == sorted(runner.network.manifest)
    assert not list(runner.module.buffers())  # nothing that averaging would forget
    assert ModuleValidator.validate(runner.module, strict=False) == []
    kinds = [type(part).__name__ for part in runner.module.modules()]
    assert not any("BatchNorm" in kind for kind in kinds)
    groups = [m.num_groups for m in runner.module.modules() if isinstance(m, torch.nn.GroupNorm)]
    assert sorted(groups) == sorted(one.groups for one in runner.network.layers if one.groups)


@pytest.mark.parametrize("name", ["simple_cnn", "cnn1d"])
def test_no_row_moves_another_and_no_order_matters(name):
    pytest.importorskip("torch")
    net = network(name)
    rows = np.random.default_rng(0).normal(size=(300, net.inputs)).astype(np.float32)
    weights = net.initial(3)
    together = net.logits(weights, rows)
    assert together.shape == (300,)
    alone = np.concatenate([net.logits(weights, rows[n : n + 1]) for n in (0, 7, 299)])
    assert np.allclose(alone, together[[0, 7, 299]], atol=1e-5)
    assert np.array_equal(net.logits(weights, rows), together)


def test_several_classes_have_a_logit_each():
    pytest.importorskip("torch")
    net = network("simple_cnn", classes=5)
    rows = np.zeros((3, net.inputs), np.float32)
    assert net.logits(net.initial(1), rows).shape == (3, 5)
    assert net.logits(net.initial(1), rows[:0]).shape == (0, 5)
    assert (net.outputs, net.classes) == (5, 5)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["simple_cnn", "cnn1d"]), st.integers(0, 2**62))
def test_a_start_follows_from_its_seed_and_survives_taking_apart(name, seed):
    net = network(name)
    start = net.initial(seed)
    assert start.dtype == np.float32
    assert np.array_equal(start, net.initial(seed))
    assert not np.array_equal(start, net.initial(seed + 1))
    assert np.array_equal(net.flat(net.tensors(start)), start)


def test_a_start_is_the_identity_in_normalisations_and_small_elsewhere():
    net = network("resnet18")
    tensors = net.tensors(net.initial(0))
    assert (tensors["layer1.0.bn1.weight"] == 1).all()
    assert (tensors["layer1.0.bn1.bias"] == 0).all()
    conv = tensors["layer4.1.conv2.weight"]
    assert np.isclose(conv.std(), np.sqrt(2 / (512 * 9)), rtol=0.01)  # He et al. 2015
    assert not net.initial(0, "zeros").any()


def test_a_card_gives_the_network_back():
    net = network("cnn1d", dropout=(0.5,))
    assert from_description(described(net)) == net
    assert len(model_bytes(net, net.initial(0))) > 4 * net.size


@pytest.mark.parametrize(
    ("name", "shape"), [("cnn1d", (1, 28, 28)), ("simple_cnn", (1, 30)), ("simple_cnn", (1, 4, 4))]
)
def test_rows_that_a_network_cannot_take_are_refused(name, shape):
    with pytest.raises(BadInput, match=name):
        Network(name, shape)


def test_vectors_and_tensors_of_another_model_are_refused():
    net = network("simple_cnn")
    with pytest.raises(BadInput, match="23650 parameters"):
        net.tensors(np.zeros(3, np.float32))
    tensors = net.tensors(net.initial(0))
    with pytest.raises(BadInput, match="conv1"):
        net.flat({name: value for name, value in tensors.items() if name != "conv1.weight"})
    with pytest.raises(BadInput, match=r"head\.bias"):
        net.flat({**tensors, "head.bias": np.zeros(3)})


@pytest.mark.parametrize("missing", ["torch", "monai.networks.nets"])
def test_what_is_not_installed_is_named_with_the_command_that_brings_it(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtra) as caught:
        import_torch("model.name: resnet18") if missing == "torch" else modules._monai()
    assert 'pip install -e ".[torch]"' in str(caught.value)
    assert "resnet18" in str(caught.value)


def test_shapes_starts_and_hashes_need_no_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in NETWORKS:
        net = network(name)
        assert net.tensors(net.initial(1)).keys() == dict(net.manifest).keys()


def test_numbered_columns_are_leads_and_others_stand_beside():
    assert leads(SCHEMA.names) == ((1, 30), 3)
    two = [f"{lead}_{n}" for lead in ("I", "II") for n in range(1, 11)]
    assert leads([*two, "age"]) == ((2, 10), 1)


@pytest.mark.parametrize(
    "names",
    [
        ["age", "sex"],
        [f"wave_{n}" for n in range(1, 5)],
        [f"a_{n}" for n in range(1, 10)] + [f"b_{n}" for n in range(1, 9)],
        ["age", *(f"wave_{n}" for n in range(1, 20))],
    ],
)
def test_a_table_without_one_signal_is_refused(names):
    with pytest.raises(BadInput, match="finds no signal"):
        leads(names)


def test_networks_for_images_are_named_once():
    assert set(FOR_IMAGES) | {"cnn1d"} == set(NETWORKS)
