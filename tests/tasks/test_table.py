"""A hospital's own table, from files to a federation."""

from __future__ import annotations

import numpy as np
import pytest

from aegis.errors import BadInput, DataError
from aegis.plan import Plan
from aegis.simulation.federation import Federation
from aegis.simulation.local import run
from aegis.simulation.partition import partition
from aegis.tasks.tables.doubts import doubts, strange_numbers
from aegis.tasks.tables.table import table
from aegis.tasks.task import DataOptions, find_task

HEADER = "patient id,age,sex,stage,class"


def lines(seed: int, rows: int = 60, header: str = HEADER) -> str:
    draw = np.random.default_rng(seed)
    text = [header]
    for number in range(rows):
        age = int(draw.integers(30, 90))
        ill = draw.random() < 1 / (1 + np.exp(-(age - 60) / 8))
        sex = ("male", "female")[int(draw.integers(2))]
        stage = f"[{draw.integers(1, 4)}0-{draw.integers(5, 7)}0)"
        text.append(f"P{number // 2},{age},{sex},{stage},{'ckd' if ill else 'notckd'}")
    return "\n".join(text) + "\n"


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate(("north", "south", "west")):
        (tmp_path / f"{name}.csv").write_text(lines(seed))
    return tmp_path


def load(path, **more):
    return table.load(
        DataOptions(path=path, **{"label": "class", "positive": "ckd", "rows": "all"} | more)
    )


def test_a_folder_is_one_hospital_for_each_file(folder):
    found = load(folder)
    assert found.sites is not None
    assert found.schema is not None
    assert np.unique(found.sites).tolist() == ["north", "south", "west"]
    assert [(c.name, c.kind) for c in found.schema.columns] == [
        ("age", "number"),
        ("sex", "category"),
        ("stage", "category"),
    ]
    assert "left out: patient id names patients" in found.source
    assert set(found.rows.attributes) == {"age", "sex"}
    assert load(folder, sites=("west",)).rows.labels.tolist() == (
        found.rows.labels[found.sites == "west"].tolist()
    )


def test_no_patient_is_on_two_sides(folder):
    for dealt, count in (("site", 3), ("iid", 4), ("dirichlet", 4), ("age", 4)):
        found = load(folder, group="patient id")
        assert found.groups is not None
        marked = found.rows.inputs["age"]
        marked[:] = np.unique(found.groups, return_inverse=True)[1]  # who each row is
        sides = [
            set(side.inputs["age"].tolist())
            for part in partition(found, count, dealt, 1.0, 7, 0.25, 0.25).values()
            for side in (part.train, part.validation, part.test)
        ]
        assert sum(map(len, sides)) == len(set.union(*sides)) == 90
        assert all(sides)


def test_patients_of_two_hospitals_are_never_one(folder):
    groups = load(folder, group="patient id").groups
    assert groups is not None
    assert len(np.unique(groups)) == 90


def test_rows_without_a_label_are_refused_by_number(folder):
    (folder / "west.csv").write_text(HEADER + "\nP1,40,male,a,ckd\nP2,50,male,a,\nP3,5,male,a,?\n")
    with pytest.raises(DataError, match=r"west.csv has 2 problems:\n  row 3, column class: no"):
        load(folder)


@pytest.mark.parametrize(
    ("positive", "ill"),
    [("> 0", [0, 1, 1]), (">=2", [0, 0, 1]), ("!= 0", [0, 1, 1]), ("1.0", [0, 1, 0])],
)
def test_a_positive_class_may_be_a_condition(tmp_path, positive, ill):
    (tmp_path / "one.csv").write_text("age,class\n50,0\n60,1\n70,2\n")
    assert load(tmp_path / "one.csv", positive=positive).rows.labels.tolist() == ill


@pytest.mark.parametrize(
    ("labels", "positive", "sentence"),
    [
        (["ckd"] * 9, "ckd", "every row has class ckd"),
        (["ckd", "no"], "sick", "no row has class sick; there are ckd (1), no (1)"),
        (["ckd", "no"], None, "nobody said which class means disease"),
        (["ckd", "no"] * 30 + ["ckdd"], "ckd", "row 62, column class: ckdd looks like a slip"),
    ],
)
def test_a_label_that_cannot_be_believed_is_refused(tmp_path, labels, positive, sentence):
    path = tmp_path / "one.csv"
    path.write_text("age,class\n" + "".join(f"{i},{word}\n" for i, word in enumerate(labels)))
    with pytest.raises(DataError) as refusal:
        load(path, positive=positive)
    assert sentence in str(refusal.value)


def test_hospitals_that_differ_get_a_diff_and_decide(folder):
    north = (folder / "north.csv").read_text()
    (folder / "north.csv").write_text(north.replace(",stage,", ",stages,").replace("female", "0"))
    with pytest.raises(DataError) as refusal:
        load(folder)
    told = str(refusal.value)
    assert "north.csv has no stage (its stages may be it)" in told
    assert "south.csv has no stages (its stage may be it)" in told
    assert "take: shared  to columns.yaml" in told
    (folder / "columns.yaml").write_text("take: shared\n")
    found = load(folder)
    assert found.schema is not None
    assert found.schema.names == ("age", "sex")
    assert "only columns that all hospitals share" in found.source
    (folder / "columns.yaml").write_text("take: [age]\n")
    chosen = load(folder).schema
    assert chosen is not None
    assert chosen.names == ("age",)


def test_a_number_here_and_a_category_there_is_a_difference(folder):
    north = (folder / "north.csv").read_text()
    (folder / "north.csv").write_text(north.replace("female", "7").replace("male", "8"))
    with pytest.raises(DataError, match=r"sex is a number in north.csv, a category in south.csv"):
        load(folder)


def test_public_ranges_and_words_come_from_their_owner_only(folder):
    (folder / "columns.yaml").write_text(
        "columns:\n  age: {low: 0, high: 85, unit: years}\n  sex: {categories: [female, male]}\n"
    )
    with pytest.raises(DataError, match=r"row \d+, column age: \d+ is outside 0 to 85"):
        load(folder)
    (folder / "columns.yaml").write_text(
        "columns:\n  age: {low: 0, high: 100, missing: [40]}\n  sex: {categories: [female, male]}\n"
    )
    found = load(folder)
    assert found.schema is not None
    age, sex, stage = found.schema.columns
    assert (age.low, age.high, sex.categories, stage.categories) == (0, 100, ("female", "male"), ())
    assert np.isnan(found.rows.inputs["age"]).any()
    assert not (found.rows.inputs["age"] == 40).any()


def test_codes_become_categories_by_naming_them(tmp_path):
    for name, codes in (("a", "1 2 3"), ("b", "1.0 2.0 ?")):
        rows = "".join(f"{code},{i % 2}\n" for i, code in enumerate(codes.split()))
        (tmp_path / f"{name}.csv").write_text("pain,class\n" + rows)
    (tmp_path / "columns.yaml").write_text("columns: {pain: {categories: [1, 2, 3]}}")
    found = load(tmp_path, positive="1")
    assert found.rows.inputs["pain"].tolist() == ["1", "2", "3", "1", "2", ""]
    (tmp_path / "columns.yaml").write_text("columns: {pain: {categories: [1, 2]}}")
    with pytest.raises(DataError, match="row 4, column pain: 3 is none of 1, 2"):
        load(tmp_path, positive="1")


def test_a_few_lines_of_aliases_do_not_fill_the_memory(folder):
    """Ten to the twelfth words, were they written out."""
    lines = ["keep: [&a0 {k: v}"]
    for n in range(1, 13):
        lines.append(f", &a{n} {{" + ", ".join(f"k{k}: *a{n - 1}" for k in range(10)) + "}")
    (folder / "columns.yaml").write_text("".join(lines) + "]\nmissing: *a12\n")
    with pytest.raises(DataError, match="by an alias"):
        load(folder)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("colums: {}", "has the key colums"),
        ("columns: {age: {low: 9, high: 1}}", "no range from 9.0 to 1.0"),
        ("columns: {age: {low: x, high: 1}}", "age.low is 'x'"),
        ("missing: -9", "missing is '-9'"),
        ("a: [", "cannot be read"),
        ("keep: &a [age]\nmissing: *a\n", "a value is used again by an alias"),
    ],
)
def test_a_choice_that_is_not_understood_is_refused(folder, text, sentence):
    (folder / "columns.yaml").write_text(text)
    with pytest.raises(DataError) as refusal:
        load(folder)
    assert sentence in str(refusal.value)


def test_columns_that_nobody_should_learn_from_are_named_with_a_reason():
    draw = np.random.default_rng(3)
    labels = (np.arange(60) % 3 == 0).astype(np.int64)
    age = draw.normal(60, 9, 60)
    columns = {
        "age": age,
        "MRN": draw.normal(size=60),
        "ward": np.full(60, "B"),
        "age again": age.copy(),
        "nr": np.arange(60.0),
        "seen": np.array([f"2024-01-{day % 28 + 1:02d}" for day in range(60)]),
        "notes": np.array([f"text {number}" for number in range(60)]),
        "drug": np.where(labels == 1, "dialysis", "none"),
        "score": np.where(labels == 1, 5.0, 1.0) + draw.random(60),
        "biopsy": np.where(labels == 1, 1.5, np.nan),
        "nothing": np.full(60, np.nan),
        "real measure": draw.random(60),
    }
    assert {doubt.column: doubt.why for doubt in doubts(columns, labels)} == {
        "MRN": "names patients",
        "ward": "is always B",
        "age again": "is a copy of age",
        "nr": "numbers the rows",
        "seen": "holds dates",
        "notes": "differs in nearly every row, like a name",
        "drug": "tells the label by itself",
        "score": "tells the label by one threshold",
        "biopsy": "tells the label by being there or not",
        "nothing": "is empty",
    }


def test_a_pulse_of_1111_is_strange_and_a_long_tail_is_not():
    draw = np.random.default_rng(1)
    pulse = np.append(draw.normal(75, 10, 500), 1111.0)
    assert strange_numbers(pulse).tolist() == [500]
    assert not len(strange_numbers(np.exp(draw.normal(0, 3, 500))))
    assert not len(strange_numbers(draw.normal(0, 1, 500) * 3e307))


def test_a_federation_of_own_files_equals_the_pooled_fit(folder, tmp_path):
    from sklearn.linear_model import LogisticRegression

    plan = Plan(
        **{
            "task": "table",
            "data.path": str(folder),
            "data.label": "class",
            "data.positive": "ckd",
            "data.group": "patient id",
            "data.rows": "all",
            "federated.num_clients": 3,
            "federated.num_rounds": 15,
            "federated.partition.by": "site",
            "training.solver": "newton",
            "training.l2": 2.0,
            "training.tolerance": 1e-9,
        }
    )
    done = run(plan, home=tmp_path / "home", compare=False, audit=False, files=False)
    assert done.document["data"]["positive"] == "class ckd"
    assert "north.csv, south.csv, west.csv" in done.document["data"]["source"]
    federation = Federation.of(plan, None)
    assert set(federation.sites) == {"north", "south", "west"}

    from aegis.simulation.local import stored
    from aegis.tasks.bounded import read_preparation
    from aegis.tasks.task import below

    *_, fitted, _ = stored("latest", tmp_path / "home")
    prepared = read_preparation(fitted.preparation)
    assert "sex=male" in prepared.names
    rows = below([site.train for site in federation.sites.values()])
    pooled = LogisticRegression(C=0.5, solver="newton-cholesky", tol=1e-12).fit(
        prepared.apply(rows), rows.labels
    )
    weights = np.append(pooled.coef_, pooled.intercept_)
    np.testing.assert_allclose(fitted.weights, weights, rtol=0, atol=1e-8)


def test_a_private_run_wants_public_ranges_before_anything_is_written(folder, tmp_path):
    asked = {
        "task": "table",
        "data.path": str(folder),
        "data.label": "class",
        "data.positive": "ckd",
        "federated.num_clients": 3,
        "federated.partition.by": "site",
        "data.standardize": "none",
        "data.rows": "all",
        "privacy.enabled": True,
        "privacy.mechanism": "distributed",
        "training.solver": "gradient",
    }
    with pytest.raises(DataError, match="age has no public range") as caught:
        Federation.of(Plan(**asked), None)
    assert "to columns.yaml beside" in caught.value.way_out
    assert "columns: {age: {low: LEAST, high: MOST}}" in caught.value.way_out
    (folder / "columns.yaml").write_text("columns: {age: {low: 0, high: 120}}")
    with pytest.raises(DataError, match="sex, stage have no public categories"):
        Federation.of(Plan(**asked), None)


def test_the_task_says_what_it_needs():
    with pytest.raises(BadInput, match="Start with: aegis data check FILE"):
        find_task("table").load(DataOptions())
