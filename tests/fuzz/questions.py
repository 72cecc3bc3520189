"""A question about counts as JSON, and a condition as somebody types it."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from aegis.errors import AegisError
from aegis.tasks.condition import holds, read_condition, written
from aegis.tasks.question import question, read_question
from tests.fuzz.harness import Harness, replay
from tests.fuzz.mutations import document, of_bytes, of_words, one_of
from tests.tasks.patients import ROWS, TOPICS

CONDITIONS = (
    "age >= 60 and sex = female and not (weight missing or cp in (typical angina, none))",
    "not (not (region = north or height < 1.8e2)) and diagnosis != positive",
    '"mean radius" > .5 or \'mean radius\' not missing or ward not in (A, "B or C")',
)
PARTS = ("and", "or", "not", "(", ")", "in", "missing", ",", "=", "!=", "<=", "age", "'", '"', "1")


def seeds() -> list[bytes]:
    asked = [
        question(TOPICS, "count", where=CONDITIONS[0]),
        question(TOPICS, "histogram", ["age"], 12, CONDITIONS[1]),
        question(TOPICS, "crosstab", ["cp", "sex"]),
    ]
    return [*(one.to_json().encode() for one in asked), *(one.encode() for one in CONDITIONS)]


def of_condition(rng: Random, data: bytes, seeds: Any) -> bytes:
    """Its parts in another order, and others between them."""
    try:
        said = json.loads(data)
        words = str(said["where"]).split()
    except (ValueError, LookupError, TypeError):
        said, words = None, data.decode("utf-8", "replace").split()
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(words) + 1)
        match rng.randrange(4):
            case 0:
                words[at : at + 1] = []
            case 1:
                words[at:at] = words[: rng.randrange(len(words) + 1)][-9:]
            case _:
                words.insert(at, rng.choice(PARTS))
    text = " ".join(words)
    return (text if said is None else json.dumps({**said, "where": text})).encode()


def take(data: bytes) -> object:
    text = data.decode("utf-8", "replace")
    try:
        condition = read_condition(text, TOPICS)
        again = read_condition(written(condition), TOPICS)
        if again != condition:
            raise RuntimeError(f"{condition} is written as another condition")
        holds(condition, ROWS, TOPICS)
    except AegisError:
        pass
    found = read_question(text, TOPICS)
    return found.sentence, found.counts(ROWS, TOPICS)


HARNESS = Harness(
    "questions", take, seeds, one_of(of_condition, of_condition, document, of_words, of_bytes)
)

if __name__ == "__main__":
    replay(HARNESS)
