"""Tables that are no text file: a query, Parquet, FHIR. The same patients give the same rows."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from aegis.cli.app import run_command
from aegis.errors import DataError
from aegis.plan import Plan, load_plan
from aegis.simulation.federation import Federation
from aegis.simulation.local import run
from aegis.tasks.tables.checking import examine
from aegis.tasks.tables.reading import Table
from aegis.tasks.tables.sql import read_sqlite
from aegis.tasks.tables.table import read_all, table
from aegis.tasks.task import DataOptions
from tests.tasks.databases import FHIR, fhir_export, observation, omop_in_sqlite, patients

EXAMPLES = Path(__file__).parents[2] / "examples" / "own-data"


def read(path: Path) -> Table:
    [found], _ = read_all(path)
    return found


def values(found: Table) -> dict[str, list[str]]:
    return {name: column.spelled().tolist() for name, column in found.columns.items()}


@pytest.fixture
def omop(tmp_path):
    """The OMOP example as it is shipped, beside a database of 80 patients."""
    for name in ("omop.sql", "omop.toml"):
        shutil.copy(EXAMPLES / name, tmp_path / name)
    omop_in_sqlite(tmp_path / "omop.db", patients(1, 80))
    return tmp_path / "omop.toml"


@pytest.fixture
def fhir(tmp_path):
    fhir_export(tmp_path / "export", patients(1, 80))
    (tmp_path / "fhir.toml").write_text(FHIR)
    return tmp_path / "fhir.toml"


def test_the_omop_example_gives_one_row_for_each_person(omop):
    found = read(omop)
    people = patients(1, 80)
    told = values(found)
    assert list(told) == [
        "person id",
        "sex",
        "age",
        "glucose",
        "heart_rate",
        "systolic_bp",
        "diabetes",
    ]
    assert [float(word) for word in told["glucose"]] == [one["glucose"] for one in people]
    assert [int(word) for word in told["heart_rate"]] == [one["pulse"][1] for one in people]
    assert told["systolic_bp"] == [str(one["pressure"] or "") for one in people]
    assert told["diabetes"] == [str(int(one["diabetes"])) for one in people]
    assert str(found.dialect) == "SQLite, omop.db"


def test_the_same_patients_by_query_and_by_fhir_are_the_same_rows(omop, fhir):
    asked = {"label": "diabetes", "positive": "1", "rows": "all"}
    one = table.load(DataOptions(path=omop, **asked)).rows
    other = table.load(DataOptions(path=fhir, **asked)).rows
    assert (one.labels == other.labels).all()
    assert (
        set(one.inputs)
        == set(other.inputs)
        == {
            "sex",
            "age",
            "glucose",
            "heart_rate",
            "systolic_bp",
        }
    )
    for name in ("age", "glucose", "heart_rate", "systolic_bp"):
        np.testing.assert_allclose(one.inputs[name], other.inputs[name], rtol=1e-12)
    assert (one.inputs["sex"] == other.inputs["sex"]).all()


def test_a_federation_of_a_query_an_export_and_a_file_learns(omop, fhir, tmp_path):
    folder = tmp_path / "hospitals"
    folder.mkdir()
    shutil.copy(omop.with_suffix(".sql"), folder)
    (folder / "east.toml").write_text(omop.read_text().replace('"omop.db"', '"../omop.db"'))
    (folder / "north.toml").write_text(FHIR.replace('"export/', '"../export/'))
    rows = ["person id,sex,age,glucose,heart_rate,systolic_bp,diabetes"]
    rows += [
        f"{o['id']},{o['sex']},{2024 - o['born']},{o['glucose']},{o['pulse'][1]},"
        f"{o['pressure'] or ''},{int(o['diabetes'])}"
        for o in patients(3, 80)
    ]
    (folder / "west.csv").write_text("\n".join(rows))
    keys = {
        "data.path": str(folder),
        "data.label": "diabetes",
        "data.positive": "1",
        "federated.num_clients": 3,
        "federated.partition.by": "site",
    }
    plan = Plan(task="table", **keys)
    with pytest.raises(DataError, match=r"north.toml has no person id"):
        Federation.of(plan, None)
    (folder / "columns.yaml").write_text("take: shared\n")
    done = run(plan, home=tmp_path / "home", compare=False, audit=False, files=False)
    assert [h["name"] for h in done.document["hospitals"]] == ["east", "north", "west"]
    assert done.document["global"]["auc"] > 0.85


@pytest.mark.parametrize("kind", ["omop", "fhir"])
def test_the_check_works_on_them_too_and_its_plan_runs(request, kind, capsys, tmp_path):
    path = request.getfixturevalue(kind)
    command = ["data", "check", str(path), "--label", "diabetes", "--positive", "1"]
    assert run_command(command) == 0
    assert ("SQLite, omop.db" if kind == "omop" else "FHIR, 80 patients") in capsys.readouterr().out
    found = examine(path, "diabetes", "1")
    (tmp_path / "plan.yaml").write_text(found.plan)
    federation = Federation.of(load_plan(tmp_path / "plan.yaml").plan, None)
    assert sum(len(s.train) + len(s.test) for s in federation.sites.values()) == 80


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM person",
        "INSERT INTO person VALUES (999, 0, 0)",
        "DROP TABLE person",
        "PRAGMA writable_schema=ON",
        "ATTACH DATABASE 'other.db' AS other",
        "SELECT load_extension('x')",
        "VACUUM INTO 'copy.db'",
        "SELECT 1 AS a, 2 AS b; DELETE FROM person",
        "CREATE TEMP TABLE t AS SELECT * FROM person",
    ],
)
def test_a_query_can_read_and_do_nothing_else(omop, statement, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    before = (tmp_path / "omop.db").read_bytes()
    with pytest.raises(DataError) as refusal:
        read_sqlite("omop.toml", tmp_path / "omop.db", statement)
    told = str(refusal.value)
    assert "a query may read" in told or "one SELECT" in told, told
    assert (tmp_path / "omop.db").read_bytes() == before
    there = {path.name for path in tmp_path.iterdir()}
    assert there == {"omop.db", "omop.sql", "omop.toml"}


def test_a_query_without_end_is_stopped(omop, tmp_path):
    forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT max(i), 1 FROM n"
    with pytest.raises(DataError, match=r"took more than 0.1 s. Set timeout_s"):
        read_sqlite("x.toml", tmp_path / "omop.db", forever, timeout_s=0.1)


def test_rows_are_counted_while_they_stream(omop, tmp_path, monkeypatch):
    from aegis.tasks.tables import cells

    monkeypatch.setattr(cells, "MOST_ROWS", 10_000)
    many = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000)"
        " SELECT i, i * 2 AS twice FROM n"
    )
    with pytest.raises(DataError, match="has more than 10000 rows"):
        read_sqlite("x.toml", tmp_path / "omop.db", many)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("kind = [1]", "has the kind [1]; there are sqlite, postgresql, fhir, spark"),
        ("kind = " + "9" * 5000, "cannot be read"),
        (f'kind = "sqlite"\ndatabase = "{"1" * 400}"\nquery = "SELECT 1, 2"', "is no database"),
        (
            'kind = "sqlite"\ndatabase = "a\\u0000b"\nquery = "SELECT 1"',
            "database holds a zero byte",
        ),
        ('kind = "fhir"\npatients = "a\\u0000b"\n[columns.a]\ncode = "1"', "patients is 'a\\x00b'"),
        (
            f'kind = "fhir"\n[columns.a]\ncode = "1"\nalso = {{"g" = {"9" * 400}}}',
            "columns.a.also is {'g': 9",
        ),
        ('kind = "oracle"', "has the kind 'oracle'; there are sqlite, postgresql, fhir, spark"),
        ('kind = "sqlite"\ndatabse = "x"', "key databse; it has keys: kind, database, query"),
        ('kind = "sqlite"\ndatabase = "no.db"\nquery = "SELECT 1, 2"', "there is no database"),
        ('kind = "sqlite"\ndatabase = "omop.db"\nquery = "no.sql"', "query no.sql cannot be read"),
        ('kind = "sqlite"\ndatabase = "omop.db"\nquery = "SELECT x FROM person"', "no such column"),
        (
            'kind = "sqlite"\ndatabase = "omop.db"\nquery = "SELECT 1 AS a, x\'00\' AS b"',
            "row 1, co",
        ),
        ('kind = "sqlite"\ndatabase = "omop.sql"\nquery = "SELECT * FROM t"', "not a database"),
        ("kind =", "cannot be read"),
        ('kind = "fhir"', "names no column"),
        ('kind = "fhir"\n[columns.a]\nunit = "mg"', "columns.a comes from nowhere; it has one of"),
        ('kind = "fhir"\nas_of = "soon"\n[columns.a]\ncode = "1"', "as_of is 'soon'; it is a day"),
        ('kind = "fhir"\n[columns.a]\ncode = "1"\nalso = {"g" = 0}', "columns.a.also is {'g': 0}"),
    ],
)
def test_a_description_that_is_not_understood_is_refused(omop, text, sentence):
    path = omop.with_name("wrong.toml")
    path.write_text(text)
    with pytest.raises(DataError) as refusal:
        read(path)
    assert sentence in str(refusal.value)


def test_numbers_from_a_database_keep_every_digit(tmp_path):
    with closing(sqlite3.connect(tmp_path / "x.db")) as opened:
        opened.execute("CREATE TABLE t (a REAL, b TEXT, c)")
        opened.execute("INSERT INTO t VALUES (0.1, ' x ', 3), (1e-7, NULL, 9007199254740993)")
        opened.commit()
    found = values(read_sqlite("x.toml", tmp_path / "x.db", "SELECT * FROM t"))
    assert found == {"a": ["0.1", "1e-07"], "b": ["x", ""], "c": ["3", "9007199254740993"]}


def export(path: Path, **changes: str) -> None:
    """One patient with one glucose, changed."""
    patient = {"resourceType": "Patient", "id": "1", "birthDate": "1950-06-30", "gender": "female"}
    seen = observation(1, "2345-7", 100.0, "mg/dL", "2020-06-29")
    (path / "export").mkdir(exist_ok=True)
    texts = {"Patient": json.dumps(patient), "Observation": json.dumps(seen), "Condition": ""}
    for kind, text in (texts | changes).items():
        (path / "export" / f"{kind}.ndjson").write_text(text + "\n")
    (path / "one.toml").write_text(FHIR)


def glucose(**more) -> str:
    unit, day = more.pop("unit", "mg/dL"), more.pop("day", "2021-01-01")
    return json.dumps(
        observation(more.pop("who", 1), "2345-7", more.pop("value", 150.0), unit, day, **more)
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"Observation": glucose(unit="mg")},
            "row 1, column glucose: Observation.ndjson: the unit "
            "is mg; it is mg/dL. Write a factor to glucose.also",
        ),
        ({"Observation": glucose(unit="")}, "the unit is missing; it is mg/dL"),
        (
            {
                "Observation": glucose(
                    valueQuantity={"value": 9, "comparator": "<", "code": "mg/dL"}
                )
            },
            "the value is < 9; no number. Set bounds = true to take it",
        ),
        ({"Observation": "{"}, "Observation.ndjson, line 1 is no JSON"),
        ({"Observation": "[" * 100_000}, "Observation.ndjson, line 1 is no JSON (RecursionError)"),
        ({"Observation": '{"resourceType": "Observation", "valueInteger": NaN}'}, "is no JSON"),
        (
            {"Observation": '{"resourceType": "Patient"}'},
            "line 1 is Patient; each is a Observation",
        ),
        ({"Observation": glucose(value=10**400)}, "the value is beyond all that is measured"),
        (
            {"Observation": glucose(valueQuantity={"value": 10**400, "comparator": "<"})},
            "the value is beyond all that is measured",
        ),
        ({"Patient": ""}, "one.toml has no patient"),
        (
            {"Patient": '{"resourceType": "Patient"}\n{"resourceType": "Patient", "id": "1"}'},
            "row 1, column patient id: Patient.ndjson: a patient without an id",
        ),
    ],
)
def test_what_is_wrong_with_a_resource_is_said_with_its_line(tmp_path, change, sentence):
    export(tmp_path, **change)
    with pytest.raises(DataError) as refusal:
        read(tmp_path / "one.toml")
    assert sentence in str(refusal.value)


@pytest.mark.parametrize("said", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999"])
def test_a_time_at_the_end_of_all_times_is_no_time(tmp_path, said):
    """Its zone leads out of the years that there are; an age at that day cannot be told."""
    export(tmp_path, Observation=glucose(day=said))
    (tmp_path / "one.toml").write_text(FHIR.replace("as_of = 2024-12-31", ""))
    table = read(tmp_path / "one.toml")
    assert table.columns["glucose"].spelled().tolist() == ["150.0"]
    assert table.columns["age"].spelled().tolist() == [""]


def test_the_latest_value_or_the_mean_and_nothing_in_error(tmp_path):
    seen = [
        glucose(value=150.0, day="2021-01-01"),
        glucose(value=90.0, day="2020"),
        glucose(value=999.0, day="2023-01-01", status="entered-in-error"),
        glucose(value=8.0, day="2020-12-31T23:59:59+00:00", unit="mmol/L"),
        glucose(value=77.0, who=2),
    ]
    export(tmp_path, Observation="\n".join(seen))
    found = read(tmp_path / "one.toml")
    assert values(found)["glucose"] == ["150.0"]
    assert values(found)["age"] == ["74"]
    assert "1 of others left out" in str(found.dialect)
    (tmp_path / "one.toml").write_text(FHIR.replace("as_of = 2024-12-31", 'take = "mean"'))
    found = read(tmp_path / "one.toml")
    assert float(values(found)["glucose"][0]) == pytest.approx((150 + 90 + 8 * 18.016) / 3)
    assert values(found)["age"] == ["70"], "the day before the birthday of 2021 is past it"


def test_parquet_is_read_like_any_table(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: the extra parquet")
    from datetime import date
    from decimal import Decimal

    from pyarrow import parquet

    columns = {
        "age": pa.array([50, None, 61] * 20),
        "bp": pa.array([120.5, float("nan"), 1e-7] * 20),
        "ward": pa.array(["a", " b ", "?"] * 20).dictionary_encode(),
        "seen": pa.array([date(2024, 1, 2), None, date(2024, 1, 3)] * 20),
        "dose": pa.array([Decimal("1.50"), Decimal("2.00"), None] * 20),
        "ill": pa.array([True, False, True, False, False] * 12),
    }
    path = tmp_path / "north.parquet"
    parquet.write_table(pa.table(columns), path, row_group_size=7)
    found = read(path)
    assert {name: told[:3] for name, told in values(found).items()} == {
        "age": ["50", "", "61"],
        "bp": ["120.5", "", "1e-07"],
        "ward": ["a", "b", ""],
        "seen": ["2024-01-02", "", "2024-01-03"],
        "dose": ["1.50", "2.00", ""],
        "ill": ["1", "0", "1"],
    }
    assert str(found.dialect).startswith("Parquet, written by parquet-cpp-arrow")
    kinds = {row["name"]: row["kind"] for row in examine(path, "ill", "1").columns}
    assert kinds == {
        "age": "number",
        "bp": "number",
        "ward": "category",
        "dose": "number",
        "seen": None,
    }
    nested = pa.table({"a": [1, 2], "b": [[1], [2, 3]]})
    parquet.write_table(nested, path)
    with pytest.raises(DataError, match=r"column b holds list<"):
        read(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read(path)


def test_a_parquet_bomb_is_refused_before_it_is_read(tmp_path, monkeypatch):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: the extra parquet")
    from pyarrow import parquet

    from aegis.tasks.tables import arrow

    zeros = pa.table({f"c{j}": np.zeros(200_000) for j in range(8)})
    path = tmp_path / "bomb.parquet"
    parquet.write_table(zeros, path, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 50_000
    monkeypatch.setattr(arrow, "MOST_UNPACKED", 5 << 20)
    with pytest.raises(DataError, match=r"bomb.parquet has 12 MiB; a table may have 5"):
        read(path)
    monkeypatch.setattr(arrow, "MOST_ROWS", 1000)
    with pytest.raises(DataError, match=r"has 200000 rows; a table may have 1000"):
        read(path)


def test_a_source_that_only_spark_reads_is_asked_of_spark(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: the extra parquet")
    path = tmp_path / "south.toml"
    path.write_text('kind = "spark"\nsource = "warehouse.patients"\n')
    with pytest.raises(DataError, match=r"south.toml is read by Spark; .* Set USE_SPARK=true"):
        read(path)
    asked = []

    def frames(source, most):
        asked.append((source, most))
        return pa.table({"age": [50, 60], "ill": ["yes", "no"]})

    [found], names = read_all(path, frames=frames)
    assert asked == [("warehouse.patients", 1_000_000)]
    assert (names, values(found)) == (["south"], {"age": ["50", "60"], "ill": ["yes", "no"]})


def test_a_database_or_an_export_named_as_a_table_is_told_the_way(omop, fhir):
    for name, sentence in (("omop.db", "is an SQLite database"), ("x.csv", "holds JSON")):
        path = omop.with_name(name)
        if name == "x.csv":
            path.write_text((fhir.parent / "export" / "Patient.ndjson").read_text())
        with pytest.raises(DataError, match=sentence):
            read(path)
