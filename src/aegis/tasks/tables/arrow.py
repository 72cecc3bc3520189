"""Arrow tables and Parquet files as tables of words: each distinct value is spelled once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from aegis.errors import DataError, MissingExtra
from aegis.tasks.tables.cells import word_of
from aegis.tasks.tables.dialect import MOST_BYTES, MOST_COLUMNS, MOST_FIELD, MOST_ROWS, Dialect
from aegis.tasks.tables.reading import MISSING, Book, Problems, Table, Words, column_names

MOST_UNPACKED = 20 * MOST_BYTES  # a number takes less in text than the eight bytes it takes here


def read_parquet(path: Path, missing: Iterable[str] = ()) -> Table:
    """One Parquet file. Its rows, columns and unpacked size are looked at before any is read.
    Raises ``MissingExtra`` without pyarrow, ``DataError`` for a file that is damaged or too large,
    and for columns that are no single values."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtra(f"{path.name}, a Parquet file,", "parquet") from error
    try:
        with parquet.ParquetFile(path) as file:
            about = file.metadata
            unpacked = sum(about.row_group(n).total_byte_size for n in range(about.num_row_groups))
            for what, found, most in (
                ("rows", about.num_rows, MOST_ROWS),
                ("columns", about.num_columns, MOST_COLUMNS),
                ("MiB", unpacked // 2**20, MOST_UNPACKED // 2**20),
            ):
                if found > most:
                    raise DataError(f"{path.name} has {found} {what}", f"a table may have {most}")
            told = f"Parquet, written by {about.created_by or 'somebody'}"
            return from_arrow(path.name, told, file.read(), missing)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{path.name} cannot be read as Parquet ({type(error).__name__})"
        ) from error


def from_arrow(name: str, told: str, table: Any, missing: Iterable[str] = ()) -> Table:
    """``table`` is a ``pyarrow.Table``."""
    names = column_names(name, [" ".join(n.split()) for n in table.column_names], False)
    absent = MISSING | {marker.strip().casefold() for marker in missing}
    columns = {title: _words(name, title, table.column(j), absent) for j, title in enumerate(names)}
    places = np.arange(1, table.num_rows + 1)
    return Table(name, Dialect("", False, "", told=told), columns, places, Problems())


def _words(name: str, title: str, column: Any, absent: frozenset[str]) -> Words:
    import pyarrow as pa

    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
        raise DataError(
            f"{name}, column {title} holds {column.type}", "a cell is a number, a word or a date"
        )
    book = Book(absent)
    if not len(column):
        return Words(("",), np.zeros(0, np.int32))
    whole = column.combine_chunks()
    whole = whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole
    coded = whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()
    codes = []
    for value in coded.dictionary.to_pylist():
        try:
            word = word_of(value)
        except DataError as error:
            raise DataError(f"{name}, column {title}: {error}") from error
        if len(word) > MOST_FIELD:
            raise DataError(
                f"{name}, column {title} has a cell of {len(word)} characters",
                f"a cell may have {MOST_FIELD}",
            )
        codes.append(book[word])
    nothing = book[""]
    at = coded.indices.fill_null(len(codes)).to_numpy(zero_copy_only=False)
    return Words(tuple(book.words), np.array([*codes, nothing], np.int32)[at])
