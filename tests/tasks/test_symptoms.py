import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import BadInput, DataError
from aegis.plan import check_plan
from aegis.plan.reading import load_plan
from aegis.simulation.federation import Federation
from aegis.simulation.local import run
from aegis.tasks.question import question
from aegis.tasks.symptoms import EASY, SCHEMA, SOURCE, symptoms
from aegis.tasks.symptoms_reading import read_lists
from aegis.tasks.symptoms_words import CONDITIONS, LABEL_OF, PLACE_OF_SYMPTOM, SYMPTOMS, folded
from aegis.tasks.task import DataOptions, find_task
from aegis.tasks.topics import Topics

EXAMPLE = Path(__file__).parents[2] / "examples" / "symptoms.yaml"
TABLE = """itching,skin_rash,fluid_overload,spotting_ urination,fluid_overload,prognosis
1,1,0,0,1,Fungal infection
0,1,,1,0,Dimorphic hemmorhoids(piles)
1,1,0,0,1,fungal  infection
"""


@pytest.fixture
def public(data_directory):
    if not (data_directory / "symptoms" / "Training.csv").is_file():
        pytest.skip("AEGIS_DATA_DIR holds no symptoms/Training.csv")
    return data_directory


@pytest.fixture
def written(tmp_path):
    def write(text, name="one.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def line(symptoms, condition="Malaria", **more):
    return json.dumps({"symptoms": symptoms, "condition": condition, **more})


def test_the_task_goes_by_both_names_and_its_plans_are_sound():
    assert find_task("symptoms") is symptoms
    assert find_task("symptom") is symptoms
    check_plan(load_plan(overrides={"task": "symptoms"}).plan)
    written = load_plan(EXAMPLE).plan
    check_plan(written)
    assert written == load_plan(overrides={"task": "symptoms"}).plan


def test_there_are_41_conditions_and_131_symptoms_each_once():
    assert SCHEMA.classes == CONDITIONS
    assert len(set(CONDITIONS)) == 41
    assert len(PLACE_OF_SYMPTOM) == len(SYMPTOMS) == 131
    assert {LABEL_OF[folded(name)] for name in CONDITIONS} == set(range(41))
    assert all(folded(name) == name for name in SYMPTOMS)


def test_a_table_is_read_by_letters_and_a_column_given_twice_is_one_symptom(written):
    found = read_lists(written(TABLE))
    named = [[SYMPTOMS[j] for j in np.flatnonzero(row)] for row in found.present]
    assert named == [
        ["fluid_overload", "itching", "skin_rash"],
        ["skin_rash", "spotting_urination"],
        ["fluid_overload", "itching", "skin_rash"],
    ]
    assert [CONDITIONS[label] for label in found.labels] == [
        "Fungal infection",
        "Dimorphic hemorrhoids (piles)",
        "Fungal infection",
    ]


def test_each_list_counts_once_and_what_was_left_out_is_said(written):
    data = symptoms.load(DataOptions(path=written(TABLE)))
    assert len(data.rows) == 2
    assert "2 distinct lists of 3: 1 repeats were left out before any split" in data.source
    assert not data.synthetic
    assert data.sites is None


def test_the_same_symptoms_with_two_conditions_are_two_lists(written):
    text = f"{line(['cough', 'chills'])}\n{line(['chills', 'cough'], 'Typhoid')}\n"
    assert len(symptoms.load(DataOptions(path=written(text, "a.jsonl"))).rows) == 2


def test_lists_in_json_bring_age_and_sex(written):
    text = "\n".join(
        [
            line(["High fever", "chills"], demographics={"age": 40, "gender": "F"}),
            "",
            line(["cough"], additional_info={"ward": 3}),
        ]
    )
    data = symptoms.load(DataOptions(path=written(text, "a.jsonl")))
    assert data.rows.inputs["high_fever"].tolist() == [1, 0]
    assert data.rows.attributes["sex"].tolist() == ["female", ""]
    assert data.rows.attributes["age"][0] == 40
    assert np.isnan(data.rows.attributes["age"][1])


def test_a_folder_has_one_file_for_each_hospital_and_no_list_at_two(tmp_path, written):
    written(TABLE, "north.csv")
    written(f"{line(['itching', 'skin rash', 'fluid overload'], 'Fungal infection')}\n"
            f"{line(['cough'])}\n", "south.jsonl")  # fmt: skip
    data = symptoms.load(DataOptions(path=tmp_path))
    assert data.sites.tolist() == ["north", "north", "south"]
    assert len(symptoms.load(DataOptions(path=tmp_path, sites=("south",))).rows) == 2
    with pytest.raises(DataError, match="there are north, south"):
        symptoms.load(DataOptions(path=tmp_path, sites=("west",)))


WRONG = {
    "row 2, column itching: 'x' is neither": "itching,condition\nx,Malaria\n",
    "row 3 has 1 cells, not 2": "itching,condition\n1,Malaria\n1\n",
    "row 2: 'Maleria' is not among the conditions; did you mean malaria": (
        "itching,condition\n1,Maleria\n"
    ),
    "the header: 'itchng' is not among the 131 symptoms; did you mean itching": (
        "itchng,condition\n1,Malaria\n"
    ),
    "no column prognosis or condition": "itching,cough\n1,0\n",
    "no column of a symptom": "condition\nMalaria\n",
    "holds no list": "itching,condition\n",
}
WRONG_LINES = {
    "line 2 is no JSON": f"{line(['cough'])}\n{{\n",
    "line 1 is no object": "[]\n",
    "line 1: symptoms is no list of words": line("cough"),
    "line 1: condition is no word": line(["cough"], None),
    "line 1: 'coughh' is not among the 131 symptoms; did you mean cough": line(["coughh"]),
    "line 1: the age 350 is not from 0 to 120": line(["cough"], demographics={"age": 350}),
    "line 1: the age is no number": line(["cough"], demographics={"age": "old"}),
    "line 1: demographics is no object": line(["cough"], demographics=[1]),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_belong_in_a_table_is_named_with_its_row(written, what):
    with pytest.raises(DataError) as caught:
        read_lists(written(WRONG[what]))
    assert what in str(caught.value)


@pytest.mark.parametrize("what", WRONG_LINES)
def test_what_does_not_belong_in_a_list_is_named_with_its_line(written, what):
    with pytest.raises(DataError) as caught:
        read_lists(written(WRONG_LINES[what], "a.jsonl"))
    assert what in str(caught.value)


@given(st.lists(st.tuples(st.sets(st.integers(0, 130), min_size=1), st.integers(0, 40)),
                min_size=1, max_size=30))  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_lists_written_down_are_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("lists") / "a.jsonl"
    words = [([SYMPTOMS[j].replace("_", " ") for j in sorted(s)], CONDITIONS[c]) for s, c in rows]
    path.write_text("\n".join(line(*row) for row in words), encoding="utf-8")
    found = read_lists(path)
    assert [set(np.flatnonzero(row).tolist()) for row in found.present] == [s for s, _ in rows]
    assert found.labels.tolist() == [c for _, c in rows]
    distinct = found.take(found.distinct())
    assert len(distinct) == len({(frozenset(s), c) for s, c in rows})


def test_invented_lists_are_labelled_repeatable_and_of_unlike_hospitals():
    once, again = (symptoms.load(DataOptions(synthetic=True, seed=4)) for _ in range(2))
    assert once.synthetic
    assert once.source.startswith("SYNTHETIC")
    assert all(np.array_equal(once.rows.inputs[n], again.rows.inputs[n]) for n in SYMPTOMS)
    assert len(np.unique(once.sites)) == 5
    other = symptoms.load(DataOptions(synthetic=True, seed=5))
    assert not np.array_equal(once.rows.labels, other.rows.labels)


def test_a_masked_run_learns_what_no_hospital_knows_alone(tmp_path):
    plan = load_plan(
        overrides={
            "task": "symptoms",
            "data.synthetic": "true",
            "federated.partition.by": "site",
            "federated.num_clients": "5",
            "federated.num_rounds": "8",
        }
    ).plan
    found = run(plan, home=tmp_path, audit=False).document
    assert found["trust"] == "masked"
    assert found["global"]["top_3_accuracy"] >= found["global"]["accuracy"] > 0.8
    assert found["global"]["accuracy"] > found["mean_local"]["accuracy"]
    assert found["data"]["classes"] == list(CONDITIONS)
    assert "repeats were left out" in found["data"]["source"]
    assert len(found["classes"]["classes"]) > 35
    assert found["odds_ratios"] is None
    assert found["usefulness"] is None
    page = Path(found["files"]["report"]).read_text(encoding="utf-8")
    assert "Which classes does it tell apart" in page
    assert "Among the three likeliest" in page
    assert 'id="confusion-t"' in page
    assert "Called positive" not in page


@pytest.mark.data
def test_the_public_table_is_304_lists_and_says_why_it_is_easy(public):
    data = symptoms.load(DataOptions(directory=public))
    assert len(data.rows) == 304
    assert data.synthetic
    assert "304 distinct lists of 4,920: 4,616 repeats were left out" in data.source
    assert EASY in data.source
    present = np.column_stack([data.rows.inputs[name] for name in SYMPTOMS]).astype(bool)
    apart = (present[:, None] != present[None]).sum(axis=2)
    np.fill_diagonal(apart, 99)
    same = data.rows.labels[:, None] == data.rows.labels[None]
    assert np.where(same, apart, 99).min(axis=1).tolist() == [1] * 304
    assert np.where(~same, apart, 99).min() == 2
    assert SOURCE.bytes == (public / "symptoms" / "Training.csv").stat().st_size


@pytest.mark.data
def test_no_list_of_the_public_table_is_on_both_sides_of_the_split(public):
    plan = load_plan(overrides={"task": "symptoms"}).plan
    federation = Federation.of(plan, public)
    seen = {"train": set(), "test": set()}
    for site in federation.sites.values():
        for part, found in seen.items():
            rows = getattr(site, part)
            table = np.column_stack([rows.inputs[name] for name in SYMPTOMS]).astype(bool)
            found |= {row.tobytes() for row in table}
    assert len(seen["train"]) + len(seen["test"]) == 304
    assert not seen["train"] & seen["test"]


def test_patients_of_a_condition_can_be_counted_by_its_name():
    data = symptoms.load(DataOptions(synthetic=True))
    topics = Topics.of(SCHEMA, symptoms.positive, data.rows)
    asked = question(topics, "histogram", [topics.label])
    expected = np.bincount(data.rows.labels, minlength=41)
    assert asked.counts(data.rows, topics).tolist() == expected.tolist()
    one = question(topics, "count", where=f"{topics.label} = Malaria")
    at = CONDITIONS.index("Malaria")
    assert int(one.counts(data.rows, topics).sum()) == expected[at]
    with pytest.raises(BadInput, match="Malaria"):
        question(topics, "count", where=f"{topics.label} = maleria")
