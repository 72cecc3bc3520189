"""The head and the rows of an ARFF file, as the same readers take them."""

from __future__ import annotations

from tests.fuzz import tables
from tests.fuzz.harness import Harness, in_file, replay
from tests.fuzz.mutations import text


def seeds() -> list[bytes]:
    rows = "".join(f"{20 + n},{('m', 'f', '?')[n % 3]},'{n % 2}'\n" for n in range(30))
    head = "% made up\n@relation ill\n\n@attribute age numeric\n@attribute 'the sex' {m, f}\n"
    plain = f"{head}@ATTRIBUTE diagnosis {{'0','1'}}\n@data\n{rows}"
    return [plain.encode(), plain.replace("'", '"').encode("utf-8-sig"), plain.encode("utf-16")]


def take(data: bytes) -> object:
    path = in_file(data, "table.arff")
    return tables.looked_at(path)


HARNESS = Harness("arff", take, seeds, text)

if __name__ == "__main__":
    replay(HARNESS)
