"""A hospital's CSV: read, checked as ``aegis data check`` does, loaded."""

from __future__ import annotations

from pathlib import Path

from aegis.tasks.tables.checking import examine
from aegis.tasks.tables.table import OwnTable
from aegis.tasks.task import DataOptions
from tests.fuzz.harness import Harness, in_file, replay
from tests.fuzz.mutations import text

ROWS = "age,sex,cp,chol,diagnosis\n" + "".join(
    f"{30 + n % 40},{'mf'[n % 2]},{('typical', 'none', '')[n % 3]},{200 + n}.{n % 10},{n % 2}\n"
    for n in range(40)
)


def seeds() -> list[bytes]:
    german = ROWS.replace(".", "\x00").replace(",", ";").replace("\x00", ",")
    quoted = ROWS.replace("typical", '"typical, ""worse"""').replace("\n", "\r\n")
    return [
        ROWS.encode(),
        german.encode(),
        quoted.encode("utf-8-sig"),
        ROWS.replace("none", "néant").encode("cp1252"),
        ROWS.replace(",", "\t").encode("utf-16"),
        b"sep=;\r\n" + german.encode(),
    ]


def take(data: bytes) -> object:
    return looked_at(in_file(data, "table.csv"))


def looked_at(path: Path) -> object:
    found = examine(path)
    if found.label is not None:
        OwnTable().load(DataOptions(path=path, rows="all", label=found.label, positive="1"))
    return found.as_json()


HARNESS = Harness("tables", take, seeds, text)

if __name__ == "__main__":
    replay(HARNESS)
