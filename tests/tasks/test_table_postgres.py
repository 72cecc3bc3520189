"""A real PostgreSQL server on a socket of its own: the OMOP example, read by somebody who may."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aegis.errors import DataError
from aegis.tasks.tables.sql import read_postgres
from aegis.tasks.tables.table import read_all, table
from aegis.tasks.task import DataOptions
from tests.servers import postgres
from tests.tasks.databases import TABLES, omop_in_sqlite, omop_rows, patients

pytestmark = pytest.mark.engine
EXAMPLES = Path(__file__).parents[2] / "examples" / "own-data"


@pytest.fixture(scope="module")
def server():
    """The folder of a server's socket."""
    with postgres() as found:
        yield found.folder


@pytest.fixture(scope="module")
def omop(server):
    """A connection for a login that may read the model's tables and do nothing else."""
    import psycopg

    owner = f"host={server} user=owner dbname=postgres"
    with psycopg.connect(owner, autocommit=True) as opened:
        for statement in TABLES:
            opened.execute(statement)
        with opened.cursor() as cursor:
            for name, row in omop_rows(patients(1, 80)):
                places = ",".join(["%s"] * len(row))
                cursor.execute(f"INSERT INTO {name} VALUES ({places})", row)
        opened.execute("CREATE ROLE reader LOGIN PASSWORD 'unguessed'")
        opened.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    return f"host={server} user=reader dbname=postgres"


def test_the_omop_query_gives_the_same_rows_at_a_server_as_in_a_file(omop, tmp_path):
    omop_in_sqlite(tmp_path / "omop.db", patients(1, 80))
    shutil.copy(EXAMPLES / "omop.sql", tmp_path)
    shutil.copy(EXAMPLES / "omop.toml", tmp_path / "file.toml")
    (tmp_path / "server.toml").write_text(
        f'kind = "postgresql"\nconnection = "{omop}"\nquery = "omop.sql"\n'
    )
    asked = {"label": "diabetes", "positive": "1", "rows": "all"}
    here = table.load(DataOptions(path=tmp_path / "file.toml", **asked))
    there = table.load(DataOptions(path=tmp_path / "server.toml", **asked))
    assert (here.rows.labels == there.rows.labels).all()
    assert list(here.rows.inputs) == list(there.rows.inputs)
    for name, values in here.rows.inputs.items():
        other = there.rows.inputs[name]
        assert ((values == other) | ((values != values) & (other != other))).all(), name
    [found], _ = read_all(tmp_path / "server.toml")
    assert str(found.dialect) == "PostgreSQL, postgres"


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM person",
        "DROP TABLE person",
        "SELECT 1 AS a, 2 AS b; DELETE FROM person",
        "SELECT 1 AS a, 2 AS b; COMMIT; DELETE FROM person",
        "COPY person TO PROGRAM 'cat'",
        "SELECT * FROM person FOR UPDATE",
        "SELECT nextval('counting'), 1 AS b",
        "WITH gone AS (DELETE FROM person RETURNING *) SELECT * FROM gone",
    ],
)
def test_not_even_the_owner_writes_with_a_query(server, omop, statement):
    import psycopg

    owner = omop.replace("user=reader", "user=owner")
    with psycopg.connect(owner, autocommit=True) as opened:
        opened.execute("CREATE SEQUENCE IF NOT EXISTS counting")
    with pytest.raises(DataError, match=r"the query is one SELECT"):
        read_postgres("x.toml", owner, statement)
    with psycopg.connect(owner) as opened:
        assert opened.execute("SELECT count(*) FROM person").fetchone() == (80,)
        last = opened.execute("SELECT last_value, is_called FROM counting").fetchone()
        assert last == (1, False)


def test_a_slow_query_a_wrong_one_and_nobody_there_are_said(omop):
    with pytest.raises(DataError, match="canceling statement due to statement timeout"):
        read_postgres("x.toml", omop, "SELECT pg_sleep(9), 1 AS b", timeout_s=0.2)
    with pytest.raises(DataError, match='relation "persons" does not exist'):
        read_postgres("x.toml", omop, "SELECT * FROM persons")
    with pytest.raises(DataError, match=r"x.toml: connection"):
        read_postgres("x.toml", "host=/nowhere user=reader", "SELECT 1, 2")
    with pytest.raises(DataError, match=r"holds a password; .* ~/.pgpass") as refusal:
        read_postgres("x.toml", omop + " password=unguessed", "SELECT 1, 2")
    assert "unguessed" not in str(refusal.value)


def test_rows_come_in_blocks_and_are_counted(omop, monkeypatch):
    from aegis.tasks.tables import cells

    monkeypatch.setattr(cells, "MOST_ROWS", 10_000)
    many = "SELECT a, b FROM generate_series(1, 3000) AS x(a), generate_series(1, 3000) AS y(b)"
    with pytest.raises(DataError, match="has more than 10000 rows"):
        read_postgres("x.toml", omop, many)
