"""The preview of a table that somebody hands in at a hospital's console.

It promises to raise nothing for what stands in a file, and to quote no cell in a fault; so here
even a named error is a finding.
"""

from __future__ import annotations

from functools import cache

from aegis.console.hospital.pages.data import problem_table, remark_table
from aegis.errors import AegisError
from aegis.operations.hospital.table_check import checked, neutral
from aegis.tasks.vitals_sample import write_samples
from tests.fuzz import tables
from tests.fuzz.harness import Harness, in_file, replay, scratch
from tests.fuzz.mutations import text


@cache
def seeds() -> list[bytes]:
    files, _ = write_samples(scratch() / "vitals", 1, 40, 16)
    return [files[0].read_bytes(), *tables.seeds()]


def take(data: bytes) -> object:
    path = in_file(data, "upload.csv")
    try:
        for task, label, positive in (("vitals", "", ""), ("table", "diagnosis", "1")):
            found = checked(path, task, label, positive)
            problem_table(found)
            remark_table(found)
            [[neutral(cell) for cell in row] for row in found.preview]
    except AegisError as error:
        raise RuntimeError(f"the preview raised {type(error).__name__}") from error
    return found.faults


HARNESS = Harness("uploads", take, seeds, text)

if __name__ == "__main__":
    replay(HARNESS)
