"""A stored model predicts for raw patients, whatever form they come in, and says what it takes."""

import contextlib
import json
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aegis
from aegis.errors import AegisError, BadInput, CheckFailed, DataError, MissingExtra
from aegis.store.exporting import as_table, onnx_bytes, with_card
from aegis.store.patients import patients
from aegis.store.predictor import ModelWarning, embedded_card, loaded
from aegis.tasks.bounded import Bounded
from aegis.tasks.models import Perceptron, described, model_bytes, model_sha256
from aegis.tasks.preparation import Preparation, tally
from aegis.tasks.task import Column, Picture, Rows, Schema

SCHEMA = Schema(
    (
        Column("age", "number", "age", "years", 30, 80),
        Column("sex", "flag", "male", low=0, high=1),
        Column("pain", "category", "chest pain", categories=("none", "typical", "atypical")),
        Column("ca", "number", "vessels", low=0, high=3, may_miss=True),
    )
)
RNG = np.random.default_rng(5)
ROWS = Rows(
    {
        "age": RNG.integers(30, 80, 60).astype(float),
        "sex": RNG.integers(0, 2, 60).astype(float),
        "pain": RNG.choice(["none", "typical", "atypical"], 60),
        "ca": np.where(RNG.random(60) < 0.3, np.nan, RNG.integers(0, 4, 60)),
    },
    RNG.integers(0, 2, 60),
)
PREPARED = Preparation.from_tally(SCHEMA, tally(SCHEMA, ROWS))


def card_of(model, weights, preparation=PREPARED, schema=SCHEMA, **more):
    from aegis.report.card import _schema

    return {
        "sha256": model_sha256(model, weights),
        "task": "heart",
        "positive": "heart disease",
        "schema": _schema(schema),
        "schema_sha256": schema.sha256,
        "preparation": preparation.to_json(),
        "model": described(model),
        "plan": {"data": {"standardize": "federated"}},
        **more,
    }


def made(hidden=(), outputs=1, preparation=PREPARED, **more):
    model = Perceptron(len(preparation.features), hidden, outputs=outputs)
    weights = np.random.default_rng(3).normal(size=model.size).astype(model.dtype)
    card = card_of(model, weights, preparation, **more)
    return loaded(model_bytes(model, weights), card, "test"), model, weights, card


def records():
    columns = {name: values.tolist() for name, values in ROWS.inputs.items()}
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def test_three_lines_of_python_predict_from_a_file(tmp_path):
    _, model, weights, card = made()
    path = tmp_path / "model.safetensors"
    path.write_bytes(with_card(model, weights, json.dumps(card)))
    csv = tmp_path / "patients.csv"
    csv.write_text("Age;SEX;pain;ca;note\n63,5;yes;typical;;x\n41;no;none;2;y\n")
    loaded_again = aegis.load(path)
    with pytest.warns(ModelWarning, match="row 2, column ca: missing"):
        found = loaded_again.predict_proba(csv)
    rows = [{"age": 63.5, "sex": 1, "pain": "typical", "ca": None},
            {"age": 41, "sex": 0, "pain": "none", "ca": 2}]  # fmt: skip
    with pytest.warns(ModelWarning):
        assert np.array_equal(found, loaded_again.predict_proba(rows))
    assert found.shape == (2, 2)
    assert np.allclose(found.sum(axis=1), 1)


@pytest.mark.filterwarnings("ignore::aegis.store.predictor.ModelWarning")
@pytest.mark.parametrize("hidden", [(), (8, 4)])
def test_predictions_are_those_of_the_training_however_the_rows_are_written(tmp_path, hidden):
    predictor, model, weights, _ = made(hidden)
    logits = model.logits(weights, PREPARED.apply(ROWS)).astype(float)
    expected = 1 / (1 + np.exp(-logits))
    columns = dict(ROWS.inputs)
    lines = [",".join(columns)]
    for record in records():
        cells = ["" if isinstance(v, float) and math.isnan(v) else str(v) for v in record.values()]
        lines.append(",".join(cells))
    csv = tmp_path / "rows.csv"
    csv.write_text("\n".join(lines) + "\n")
    for rows in (records(), columns, {n: list(v) for n, v in columns.items()}, csv, str(csv)):
        assert np.allclose(predictor.predict_proba(rows)[:, 1], expected, rtol=0, atol=1e-12)
    assert np.array_equal(predictor.predict(columns), (expected >= 0.5).astype(int))
    assert np.allclose(predictor.decision_function(columns), logits)
    table = as_table(predictor, predictor.predict_proba(columns))
    assert [row["prediction"] for row in table] == predictor.predict(columns).tolist()


def test_scikit_learn_takes_it_for_a_classifier():
    from sklearn.base import is_classifier
    from sklearn.metrics import get_scorer, roc_auc_score

    predictor, *_ = made()
    columns = {name: values for name, values in ROWS.inputs.items() if name != "ca"}
    columns["ca"] = np.nan_to_num(ROWS.inputs["ca"])
    assert is_classifier(predictor)
    assert predictor.classes_.tolist() == [0, 1]
    assert predictor.feature_names_in_.tolist() == list(SCHEMA.names)
    scored = get_scorer("roc_auc")(predictor, columns, ROWS.labels)
    assert scored == roc_auc_score(ROWS.labels, predictor.predict_proba(columns)[:, 1])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"age": 50}], "lacks the columns sex, pain, ca"),
        ([{"agee": 50, "sex": 1, "pain": "none", "ca": 0}], r"age \(did you mean agee\?\)"),
        ([{"age": "old", "sex": 1, "pain": "none", "ca": 0}], "row 0, column age: old is no num"),
        ([{"age": 50, "sex": 1, "pain": "sharp", "ca": 0}], "sharp is none of none, typical"),
        ([{"age": 50, "sex": 0.5, "pain": "none", "ca": 0}], "0.5 is neither 0 nor 1"),
        ([{"age": math.inf, "sex": 1, "pain": "none", "ca": 0}], "inf is no number"),
        ([], "holds no row"),
        ([1, 2], "a list of int is no table"),
        (7, "int is no table"),
        ({"age": [1, 2], "sex": 1}, "some columns are lists"),
        ({"age": [1, 2], "sex": [1]}, "1 to 2 values"),
        ("nowhere.csv", "cannot be read"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_place(rows, said):
    predictor, *_ = made()
    with pytest.raises(DataError, match=said):
        predictor.predict(rows)


def test_what_should_be_known_is_remarked_and_predicted():
    predictor, *_ = made()
    rows = [{"age": 95, "sex": 1, "pain": "", "ca": None}] * 2
    said = [str(remark) for remark in predictor.check(rows)]
    assert said == [
        "row 0, column age: 95 is outside 30 to 80 years, where the model was made for "
        "(and in 1 more rows)",
        "row 0, column pain: missing; counts as none (and in 1 more rows)",
        "row 0, column ca: missing; the average of the training data stands for it "
        "(and in 1 more rows)",
    ]
    with pytest.warns(ModelWarning, match="95 is outside"):
        assert predictor.predict_proba(rows).shape == (2, 2)


ANY = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=4)
)


@settings(max_examples=200)
@given(st.lists(st.dictionaries(st.sampled_from([*SCHEMA.names, "x"]), ANY), max_size=4))
def test_any_rows_give_probabilities_or_a_sentence(rows):
    predictor, *_ = made()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        with contextlib.suppress(DataError):
            found = predictor.predict_proba(rows)
            assert np.isfinite(found).all()
            assert np.allclose(found.sum(axis=1), 1)


def test_a_private_models_preparation_is_part_of_it():
    predictor, model, weights, _ = made(preparation=Bounded.of(SCHEMA))
    expected = model.logits(weights, Bounded.of(SCHEMA).apply(ROWS))
    assert np.allclose(predictor.decision_function(dict(ROWS.inputs)), expected)


def test_more_than_two_classes_have_a_probability_each():
    schema = Schema(SCHEMA.columns, classes=("flu", "cold", "none"))
    model = Perceptron(len(PREPARED.features), outputs=3)
    weights = RNG.normal(size=model.size)
    predictor = loaded(model_bytes(model, weights), card_of(model, weights, schema=schema), "test")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        found = predictor.predict_proba(dict(ROWS.inputs))
        assert np.array_equal(predictor.predict(dict(ROWS.inputs)), found.argmax(axis=1))
    assert found.shape == (60, 3)
    row = as_table(predictor, found)[0]
    assert set(row) == {"prediction", "probability flu", "probability cold", "probability none"}
    assert row["prediction"] in schema.classes


@pytest.mark.filterwarnings("ignore::aegis.store.predictor.ModelWarning")
def test_a_model_of_site_standardisation_asks_for_the_hospitals_own_rows():
    predictor, *_ = made(plan={"data": {"standardize": "site"}})
    with pytest.raises(BadInput, match="localised"):
        predictor.predict(dict(ROWS.inputs))
    with pytest.raises(DataError, match="too few"):
        predictor.localised(records()[:3])
    local = predictor.localised(dict(ROWS.inputs))
    assert np.allclose(local.prepared(dict(ROWS.inputs))[:, 0].mean(), 0)


def test_images_come_as_an_array_or_its_file(tmp_path):
    schema = Schema(image=Picture(8, 8))
    for given_rows, said in (
        (np.zeros((2, 9, 9)), "8 x 8"),
        (np.zeros((0, 8, 8)), "8 x 8"),
        ("x.csv", "cannot be read as images"),
    ):
        with pytest.raises(DataError, match=said):
            patients(given_rows, schema)
    assert len(patients(np.zeros((8, 8)), schema).rows) == 1
    np.save(tmp_path / "images.npy", np.ones((3, 8, 8)))
    assert len(patients(tmp_path / "images.npy", schema).rows) == 3
    old = (tmp_path / "images.npy").read_bytes().replace(b"(3, 8, 8), }  ", b"(3L, 8L, 8L),}", 1)
    (tmp_path / "old.npy").write_bytes(old)  # as Python 2 wrote it
    assert len(patients(tmp_path / "old.npy", schema).rows) == 3
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    with pytest.raises(DataError, match="cannot be read as images"):
        patients(tmp_path / "objects.npy", schema)


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (((, }\n",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (1099511627776, 8, 8), }\n",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 8), }\n",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (1, 8, 8), }\n",
        b"(" * 9000 + b"\n",
        b"{'descr': (), 'fortran_order': False, 'shape': (1, 8, 8), }\n",
    ],
)
def test_an_array_whose_header_is_none_is_refused(tmp_path, header):
    path = tmp_path / "images.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64))
    with pytest.raises(DataError):
        patients(path, Schema(image=Picture(8, 8)))
    path.write_bytes(b"PK\x03\x04 no archive either")
    with pytest.raises(DataError):
        patients(path, Schema(image=Picture(8, 8)))


@settings(max_examples=200)
@given(st.data())
def test_a_damaged_file_is_found_out(data):
    _, model, weights, card = made()
    whole = with_card(model, weights, json.dumps(card))
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        broken = whole[:at]
    else:
        flip = data.draw(st.integers(1, 255))
        broken = whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :]
    expected = model.logits(weights, PREPARED.apply(ROWS))
    try:
        predictor = loaded(broken, embedded_card(broken) or {}, "test")
    except (AegisError, ValueError):
        return
    # What is left is a byte that means nothing (a blank, the case of a letter escaped twice).
    assert predictor.card == card
    assert np.array_equal(predictor.decision_function(dict(ROWS.inputs)), expected)


@pytest.mark.parametrize(
    "told",
    [5, {"aegis_card": 5}, {"aegis_card": "{}"}, {"aegis_card": "[]", "aegis_card_sha256": 7}],
)
def test_a_header_of_another_kind_is_no_model_file(tmp_path, told):
    header = json.dumps({"__metadata__": told}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(AegisError, match=r"no model file|cannot be read"):
        aegis.load(path)


def test_a_card_that_no_training_wrote_is_refused_before_it_predicts():
    _, model, weights, card = made()
    data = model_bytes(model, weights)

    def changed(**parts):
        return {**card, **{key: json.dumps(value) for key, value in parts.items()}}

    features = json.loads(card["preparation"])
    bounded = json.loads(Bounded.of(SCHEMA).to_json())
    columns = card["schema"]["columns"]
    first = bounded["bounded"][0]
    twice = [bounded["bounded"][1][0], *first[1:]]
    other = [first[0], "category", None, None, ["a", "b"], first[5]]
    broken = [
        changed(preparation=features[:-1]),
        changed(preparation=[[*features[0][:2], "1", *features[0][3:]], *features[1:]]),
        changed(preparation=[[*features[0][:2], 10**400, *features[0][3:]], *features[1:]]),
        changed(preparation=[[*features[0][:3], False, *features[0][4:]], *features[1:]]),
        changed(preparation=[[*features[0][:4], [], features[0][5]], *features[1:]]),
        changed(preparation=[[*features[0][:4], "typical", features[0][5]], *features[1:]]),
        changed(preparation={**bounded, "means": [0.0, 0.0]}),
        changed(preparation={**bounded, "bounded": [twice, *bounded["bounded"][1:]]}),
        changed(preparation={**bounded, "bounded": [other, *bounded["bounded"][1:]]}),
        {**card, "schema": {"columns": [{**columns[0], "low": 10**400}, *columns[1:]]}},
        {**card, "schema": {"columns": [{**columns[0], "kind": "x"}, *columns[1:]]}},
        {**card, "schema": {"columns": [{**columns[0], "unit": 5}, *columns[1:]]}},
        {**card, "schema": {"columns": columns, "classes": ["a", "b", "c"]}},
    ]
    assert loaded(data, card, "test").sha256 == card["sha256"]
    for one in broken:
        with pytest.raises(CheckFailed, match="test"):
            loaded(data, one, "test")


def test_weights_that_are_not_the_cards_are_refused(tmp_path):
    _, model, weights, card = made()
    path = tmp_path / "model.safetensors"
    path.write_bytes(with_card(model, weights + 1, json.dumps(card)))
    with pytest.raises(CheckFailed, match="one of them was changed"):
        aegis.load(path)
    path.write_bytes(model_bytes(model, weights))
    with pytest.raises(BadInput, match="its card"):
        aegis.load(path)
    path.with_suffix(".json").write_text(json.dumps(card))
    assert aegis.load(path).sha256 == card["sha256"]
    path.write_bytes(b"\x80\x04\x95 a pickle is no model")
    with pytest.raises(CheckFailed, match="no model file"):
        aegis.load(path)
    with pytest.raises(BadInput, match="no model file"):
        aegis.load("v1", home=tmp_path / "nowhere")


@pytest.mark.filterwarnings("ignore::aegis.store.predictor.ModelWarning")
@pytest.mark.parametrize(("hidden", "outputs"), [((), 1), ((8, 4), 1), ((8,), 3)])
def test_the_onnx_graph_predicts_the_same(hidden, outputs):
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    predictor, model, weights, card = made(hidden, outputs)
    graph = onnx.load_from_string(onnx_bytes(model, weights, card))
    onnx.checker.check_model(graph)
    design = predictor.prepared(dict(ROWS.inputs)).astype(model.dtype)
    (found,) = ReferenceEvaluator(graph).run(None, {"inputs": design})
    expected = predictor.predict_proba(dict(ROWS.inputs))
    assert np.allclose(found, expected if outputs > 1 else expected[:, 1:], atol=1e-6)
    assert {p.key for p in graph.metadata_props} >= {"sha256", "inputs", "preparation"}


@pytest.mark.engine
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_network_of_images_predicts_from_its_file_and_from_its_onnx_graph(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("torch")
    from onnx.reference import ReferenceEvaluator

    from aegis.tasks.networks.network import Network
    from aegis.tasks.pixels import Pixels

    schema = Schema(image=Picture(16, 16))
    prepared = Pixels.of(schema.image)
    net = Network("simple_cnn", prepared.shape)
    weights = net.initial(3)
    card = card_of(net, weights, prepared, schema)
    path = tmp_path / "net.safetensors"
    path.write_bytes(with_card(net, weights, json.dumps(card)))
    predictor = aegis.load(path)
    images = RNG.integers(0, 256, (5, 16, 16), dtype=np.uint8)
    graph = onnx.load_from_string(onnx_bytes(net, weights, card))
    design = predictor.prepared(images).astype(np.float32).reshape(5, -1)
    (found,) = ReferenceEvaluator(graph).run(None, {"inputs": design})
    assert np.allclose(found, predictor.predict_proba(images)[:, 1:], atol=1e-6)


def test_without_onnx_the_export_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    _, model, weights, card = made()
    with pytest.raises(MissingExtra, match=r"\.\[onnx\]"):
        onnx_bytes(model, weights, card)
