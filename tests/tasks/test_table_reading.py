"""Twenty ways in which hospitals write one table, and a law for all the others."""

from __future__ import annotations

import codecs
import csv
import io
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aegis.errors import DataError
from aegis.tasks.tables import dialect
from aegis.tasks.tables.columns import decimal_mark, typed, values
from aegis.tasks.tables.reading import Problems, read_table

AGES = [63.0, 41.5, math.nan]
WORDS = ["ckd", "notckd", "ckd"]
PLAIN = "age,class\n63,ckd\n41.5,notckd\n?,ckd\n"


def quirk(text: str, encoding: str = "utf-8") -> bytes:
    return text.encode(encoding)


READ = {
    "plain": quirk(PLAIN),
    "byte order mark": codecs.BOM_UTF8 + quirk(PLAIN),
    "CRLF": quirk(PLAIN.replace("\n", "\r\n")),
    "CR": quirk(PLAIN.replace("\n", "\r")),
    "no last line end": quirk(PLAIN.rstrip("\n")),
    "semicolons and decimal commas": quirk(PLAIN.replace(",", ";").replace(".", ",")),
    "tabs": quirk(PLAIN.replace(",", "\t")),
    "bars": quirk(PLAIN.replace(",", "|")),
    "a separator said above": quirk("sep=;\n" + PLAIN.replace(",", ";")),
    "quoted decimal commas": quirk('age,class\n63,ckd\n"41,5",notckd\nNA,ckd\n'),
    "quotation marks everywhere": quirk('"age","class"\n"63","ckd"\n"41.5","notckd"\n"","ckd"\n'),
    "a stray tab behind a label": quirk("age,class\n63,ckd\t\n41.5,notckd\n?,\tckd\n"),
    "stray blanks": quirk(" age , class \n 63 , ckd \n 41.5,notckd \n  , ckd\n"),
    "blank lines": quirk("\nage,class\n\n63,ckd\n41.5,notckd\n,\n?,ckd\n\n"),
    "separators at the end": quirk("age,class,\n63,ckd,\n41.5,notckd,,\nNaN,ckd,\n"),
    "a null": quirk("age,class\n63,ckd\n41.5,notckd\nNULL,ckd\n"),
    "UTF-16": quirk(PLAIN, "utf-16"),
    "ARFF": quirk(
        "% kidneys\n@relation ckd\n@attribute 'age' numeric\n@attribute class {ckd, notckd}\n"
        "@data\n63,ckd\n41.5,notckd\n?,ckd\t\n"
    ),
}

REFUSED = {
    "a workbook": (b"PK\x03\x04\x14\x00", "table.csv is a zip archive or an Excel workbook"),
    "bytes": (b"age,class\n63,\x00\x01\n", "table.csv holds the byte 0x00 at 13"),
    "nothing": (b"", "table.csv is empty"),
    "one column": (b"age\n63\n41\n", "table.csv has one column only"),
    "no header": (b"63,1,145\n67,1,160\n", "table.csv begins with 63, 1, 145"),
    "a name twice": (b"age,bp,age\n1,2,3\n", "has 2 columns called age (1, 3)"),
    "an open quotation mark": (b'age,class\n63,"ckd\n41,notckd\n', "that is opened and not closed"),
    "half a letter in UTF-16": (
        "age,class\n63,ckd\n".encode("utf-16") + b"\n",
        "utf-16 throughout",
    ),
    "a lone half in UTF-16": (b"\xff\xfea\0,\0b\0\n\0\x00\xd8,\0", "is not utf-16 throughout"),
    "a cut ARFF in UTF-16": ("@relation r\n".encode("utf-16")[:-1], "is not utf-16 throughout"),
    "a sparse ARFF": (b"@relation r\n@attribute a real\n@data\n{0 1}\n", "line 4 is a sparse row"),
}


@pytest.fixture
def write(tmp_path):
    def written(content: bytes):
        path = tmp_path / "table.csv"
        path.write_bytes(content)
        return path

    return written


@pytest.mark.parametrize("content", READ.values(), ids=READ)
def test_a_quirk_is_read_as_what_was_meant(write, content):
    table = read_table(write(content))
    problems = Problems()
    mark = decimal_mark(table)
    assert list(table.columns) == ["age", "class"]
    assert typed(table.columns["age"], mark).kind == "number"
    np.testing.assert_array_equal(values(table, "age", "number", mark, problems), AGES)
    assert values(table, "class", "category", mark, problems).tolist() == WORDS
    assert (problems.count, table.problems.count) == (0, 0)


@pytest.mark.parametrize(("content", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_table_is_refused_with_a_sentence(write, content, sentence):
    with pytest.raises(DataError) as refusal:
        read_table(write(content))
    assert sentence in str(refusal.value)


def test_an_old_encoding_is_named(write):
    path = write("sex,ward\nm\u00e4nnlich,1 \u20ac\nweiblich,2\n".encode("cp1252"))
    table = read_table(path)
    assert table.dialect.encoding == "cp1252"
    assert table.columns["sex"].words == ("m\u00e4nnlich", "weiblich")
    assert "cp1252" in str(table.dialect)


def test_rows_of_another_length_are_told_by_number_and_only_twenty_of_them(write):
    table = read_table(write(b"age,class\n1,ckd\n2,ckd,9\n3\n" + b"4,ckd,1\n" * 30))
    assert len(table) == 1
    assert [str(problem) for problem in table.problems.first[:2]] == [
        "row 3: 3 cells, the header has 2",
        "row 4: 1 cells, the header has 2",
    ]
    with pytest.raises(DataError, match=r"32 problems:\n(.*\n){20}  and 12 more"):
        table.problems.refuse("table.csv")


def test_a_word_among_numbers_is_told_with_row_and_column(write):
    lines = "".join(f"{age},ckd\n" for age in range(20, 40))
    table = read_table(write(f"age,class\n{lines}old,ckd\n".encode()))
    problems = Problems()
    assert typed(table.columns["age"], ".").kind == "number"
    values(table, "age", "number", ".", problems)
    assert [str(problem) for problem in problems.first] == ["row 22, column age: old is no number"]


def test_what_could_be_thousands_is_not_guessed(write):
    table = read_table(write(b'wc,class\n"7,800",ckd\n"6,900",ckd\n'))
    problems = Problems()
    values(table, "wc", "number", decimal_mark(table), problems)
    assert "7,800 could have thousands or a decimal comma" in str(problems.first[0])


def test_own_markers_are_missing(write):
    table = read_table(write(b"age,class\n-9,ckd\n5,Unknown\n"), missing=["-9", "unknown"])
    assert [table.columns[name].words for name in table.columns] == [("", "5"), ("ckd", "")]


def test_ranges_are_categories_and_answers_are_flags(write):
    path = write(b"age,smoker,sex\n[70-80),yes,0.0\n[60-70),No,1\n[70-80),,1.\n")
    table = read_table(path)
    assert [typed(column, ".").kind for column in table.columns.values()] == [
        "category",
        "flag",
        "flag",
    ]
    np.testing.assert_array_equal(values(table, "smoker", "flag", ".", Problems()), [1, 0, np.nan])


@pytest.mark.parametrize(
    ("name", "value", "content", "sentence"),
    [
        ("MOST_BYTES", 10, b"age,class\n1,ckd\n", "table.csv has 0.0 MiB"),
        ("MOST_ROWS", 1, b"age,class\n1,ckd\n2,ckd\n", "more than 1 rows"),
        ("MOST_COLUMNS", 2, b"age,class,sex\n1,ckd,m\n", "has 3 columns"),
        ("MOST_FIELD", 5, b"age,class\n1,ckdckd\n", "row 2, column class has 6 characters"),
        ("MOST_LINE", 8, b"age,class\n1,ckd\n", "a line longer than 8 bytes, from byte 0"),
    ],
)
def test_limits_hold(write, monkeypatch, name, value, content, sentence):
    from aegis.tasks.tables import reading

    for module in (dialect, reading):
        if hasattr(module, name):
            monkeypatch.setattr(module, name, value)
    with pytest.raises(DataError) as refusal:
        read_table(write(content))
    assert sentence in str(refusal.value)


def test_a_slip_in_a_declared_category_is_found(write):
    content = b"@relation r\n@attribute age real\n@attribute c {ckd,no}\n@data\n1,ckd\n2,ckdd\n"
    table, problems = read_table(write(content)), Problems()
    values(table, "c", "category", ".", problems)
    assert str(problems.first[0]) == "row 6, column c: ckdd is not declared, there are ckd, no"


LETTERS = st.sampled_from("abcdefgh xyz\u00e4\u00e9()[]-'")
NAMES = st.lists(
    st.text("abcdefghij", min_size=1, max_size=6).map(lambda name: f"c{name}"),
    min_size=2,
    max_size=5,
    unique=True,
)
WORD = st.text(LETTERS, min_size=1, max_size=8).map(lambda word: " ".join(f"w{word}".split()))
NUMBER = st.integers(-99_999, 99_999).map(lambda cents: cents / 100)


@st.composite
def tables(draw):
    names = draw(NAMES)
    rows = draw(st.integers(1, 12))
    columns = []
    for j in range(len(names)):
        cell = NUMBER if j == 0 or draw(st.booleans()) else WORD
        column = [draw(cell) for _ in range(rows)]
        gone = draw(st.lists(st.integers(0, rows - 1), max_size=2)) if rows > 2 else []
        columns.append([None if i in gone else value for i, value in enumerate(column)])
    return names, columns


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    table=tables(),
    separator=st.sampled_from(",;\t|"),
    ending=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"]),
    comma=st.booleans(),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    marker=st.sampled_from(["", "?", "NA", " n/a "]),
    stray=st.sampled_from(["", " "]),
)
def test_a_table_written_in_any_dialect_is_read_back(
    tmp_path_factory, table, separator, ending, encoding, comma, quoting, marker, stray
):
    names, columns = table

    def spelled(value):
        if value is None:
            return marker
        if isinstance(value, str):
            return value + stray
        text = f"{value:.2f}" + stray
        return text.replace(".", ",") if comma else text

    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=ending, quoting=quoting)
    writer.writerow(names)
    for row in zip(*columns, strict=True):
        writer.writerow([spelled(value) for value in row])
    path = tmp_path_factory.getbasetemp() / "written.csv"
    path.write_bytes(text.getvalue().encode(encoding))

    found, problems = read_table(path), Problems()
    mark = decimal_mark(found)
    assert list(found.columns) == names
    kept = [
        row
        for row in zip(*columns, strict=True)
        if marker or any(value is not None for value in row)  # an empty row is none
    ]
    for name, column in zip(names, zip(*kept, strict=True), strict=True):
        if all(isinstance(value, str | None) for value in column):
            back = values(found, name, "category", mark, problems).tolist()
            assert back == [value or "" for value in column]
        else:
            back = values(found, name, "number", mark, problems)
            np.testing.assert_array_equal(
                back, [math.nan if value is None else value for value in column]
            )
    assert problems.count == 0
