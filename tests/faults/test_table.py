"""Every fault is shown by tests that are really there; the page says what the table says."""

import ast
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.faults.table import FAULTS
from tools.faults import PAGE, page

TESTS = Path(__file__).parents[1]


@cache
def functions(file: str) -> Counter[str]:
    """The tests that pytest would collect from a file; one that stands twice hides the first."""
    body = ast.parse((TESTS / file).read_text(encoding="utf-8")).body
    return Counter(one.name for one in body if isinstance(one, ast.FunctionDef))


def test_there_are_the_25_rows():
    assert [one.number for one in FAULTS] == list(range(1, 26))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"row {fault.number}")
def test_a_row_names_tests_that_are_there(fault):
    assert fault.tests
    for name in fault.tests:
        file, _, function = name.partition("::")
        assert re.fullmatch(r"test_\w+\.py", Path(file).name)
        assert re.fullmatch(r"test_\w+", function)
        assert functions(file)[function] == 1, name


def test_a_test_that_is_not_there_would_be_found():
    assert functions("faults/test_table.py")["test_there_are_the_25_rows"] == 1
    assert functions("faults/test_table.py")["test_nothing"] == 0


def test_the_page_is_what_the_table_says():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make evidence"


@pytest.mark.prove
def test_every_named_test_is_collected():
    named = {name for fault in FAULTS for name in fault.tests}
    files = sorted({f"tests/{name.partition('::')[0]}" for name in named})
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "prove or not prove",
         "-p", "no:cacheprovider", *files],
        cwd=TESTS.parent, capture_output=True, text=True,
    )  # fmt: skip
    found = {line.partition("[")[0].removeprefix("tests/") for line in done.stdout.splitlines()}
    assert named <= found, sorted(named - found) or done.stdout[-2000:]
