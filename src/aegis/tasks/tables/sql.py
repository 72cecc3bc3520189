"""One query of a hospital's own database, which is only ever read.

SQLite is opened read-only, and whatever is not reading is refused before it runs: no other file,
no setting, no extension. PostgreSQL gets a read-only transaction and a cursor, which takes a single
SELECT; what the login may read is its administrator's to say, and its password is never written
beside a query. Rows are fetched block by block, and a query has a time limit.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aegis.errors import DataError, MissingExtra
from aegis.tasks.tables.cells import table_of
from aegis.tasks.tables.reading import BLOCK_ROWS, Table

_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
_FORBIDDEN = {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"}
_STEPS = 10_000


def read_sqlite(
    name: str, database: Path, query: str, timeout_s: float = 300, missing: Iterable[str] = ()
) -> Table:
    """The rows of ``query``. Raises ``DataError`` for what is no reading, an error in the SQL (in
    SQLite's words) and too long a wait."""
    try:
        there = database.is_file()
    except OSError:  # a name that no file can have
        there = False
    if not there:
        raise DataError(
            f"{name}: there is no database {database!s:.200}", way_out="Correct database"
        )
    began = time.monotonic()
    try:
        address = f"file:{quote(str(database.absolute()))}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as opened:
            opened.execute("PRAGMA query_only=ON")
            opened.set_authorizer(_only_reading)
            opened.set_progress_handler(lambda: time.monotonic() - began > timeout_s, _STEPS)
            cursor = opened.execute(query)
            if cursor.description is None:
                raise DataError(f"{name}: the query returns no rows", "it is one SELECT")
            header = [column[0] for column in cursor.description]
            return table_of(name, f"SQLite, {database.name}", header, _fetched(cursor), missing)
    except sqlite3.Error as error:
        raise _refused(name, error, timeout_s) from error
    except (sqlite3.Warning, ValueError, OverflowError) as error:
        raise DataError(f"{name}: {error}", "a query is one SELECT") from error


def read_postgres(
    name: str, connection: str, query: str, timeout_s: float = 300, missing: Iterable[str] = ()
) -> Table:
    """The rows of ``query`` at a server; ``connection`` is libpq's (``service=omop``, or host,
    dbname and user). Raises ``MissingExtra`` without psycopg, ``DataError`` for a password in it,
    for what is no reading, and in the server's words for an error in the SQL."""
    try:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict
    except ImportError as error:
        raise MissingExtra("a query to PostgreSQL", "postgres") from error
    try:
        if conninfo_to_dict(connection).get("password"):
            raise DataError(
                f"{name}: the connection holds a password",
                "a password does not lie beside the data",
                "Put it into ~/.pgpass, or name a service of ~/.pg_service.conf",
            )
        with psycopg.connect(connection, connect_timeout=20) as opened:
            opened.read_only = True
            opened.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            milliseconds = str(round(timeout_s * 1000))
            opened.execute("SELECT set_config('statement_timeout', %s, true)", [milliseconds])
            with opened.cursor(name="aegis") as cursor:
                cursor.itersize = BLOCK_ROWS
                cursor.execute(query.strip().rstrip(";").encode())
                header = [column.name for column in cursor.description or ()]
                told = f"PostgreSQL, {opened.info.dbname}"
                return table_of(name, told, header, iter(cursor), missing)
    except psycopg.Error as error:
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"{name}: {said}", "the query is one SELECT that this login may do"
        ) from error


def _only_reading(
    action: int, first: str | None, second: str | None, database: str | None, inner: str | None
) -> int:
    harmless = action == sqlite3.SQLITE_FUNCTION and second not in _FORBIDDEN
    return sqlite3.SQLITE_OK if action in _READING or harmless else sqlite3.SQLITE_DENY


def _fetched(cursor: sqlite3.Cursor) -> Iterator[Sequence[Any]]:
    while block := cursor.fetchmany(BLOCK_ROWS):
        yield from block


def _refused(name: str, error: sqlite3.Error, timeout_s: float) -> DataError:
    said = str(error)
    if "not authorized" in said or "prohibited" in said or "readonly" in said:
        return DataError(f"{name}: {said}", "a query may read and do nothing else")
    if "interrupted" in said:
        return DataError(
            f"{name}: the query took more than {timeout_s:g} s", way_out="Set timeout_s"
        )
    return DataError(f"{name}: {said}", "the query is one SELECT")
