"""A plan as YAML, as the JSON that travels, and as the value of ``--set``: read, explained, and
asked whether it is sound."""

from __future__ import annotations

import contextlib
from functools import cache
from pathlib import Path

from aegis.errors import PlanError
from aegis.plan import Plan, check_plan, load_plan
from aegis.plan.reading import explain, parse_plan
from aegis.plan.syntax import read_value
from tests.fuzz.harness import Harness, in_file, replay
from tests.fuzz.mutations import document, one_of, text

ROOT = Path(__file__).parents[2]


@cache
def seeds() -> list[bytes]:
    written = [path.read_bytes() for path in sorted((ROOT / "config").glob("*.y*ml"))]
    whole = "\n".join(
        f"{key}: {_spelled(value)}" for key, value, _ in explain(load_plan(None, {"task": "heart"}))
    )
    travels = load_plan(None, {"task": "heart"}).plan.to_json().encode()
    return [*written, _nested(whole).encode(), travels, b"task: heart\na: {b: [1, 2.5, ~]}\n"]


def _spelled(value: object) -> str:
    return "null" if value is None else str(value).replace("True", "true").replace("False", "false")


def _nested(text: str) -> str:
    """Dotted keys as sections."""
    tree: dict[str, object] = {}
    for line in text.splitlines():
        dotted, _, value = line.partition(": ")
        *above, last = dotted.split(".")
        place = tree
        for name in above:
            place = place.setdefault(name, {})  # type: ignore[assignment]
        place[last] = value

    def written(place: dict[str, object], depth: int) -> str:
        found = ""
        for name, value in place.items():
            gap = "  " * depth
            if isinstance(value, dict):
                found += f"{gap}{name}:\n{written(value, depth + 1)}"
            else:
                found += f"{gap}{name}: {value}\n"
        return found

    return written(tree, 0)


def take(data: bytes) -> object:
    path = in_file(data, "plan.yaml")
    with contextlib.suppress(PlanError):
        read_value(data.decode("utf-8", "replace")[:2000], "--set task")
    with contextlib.suppress(PlanError):
        check_plan(Plan.from_json(data.decode("utf-8", "replace")))
    loaded = parse_plan(path)
    check_plan(loaded.plan)
    return explain(loaded)


HARNESS = Harness("plans", take, seeds, one_of(text, document))

if __name__ == "__main__":
    replay(HARNESS)
