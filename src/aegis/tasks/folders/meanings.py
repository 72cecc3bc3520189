"""What the words of classes mean: which of them is the diagnosis that is learned.

A task that knows its disease knows the words that data sets use for it; where the plan names the
positive class, the plan is right. Nothing is taken for healthy because it is not known.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from aegis.errors import DataError
from aegis.tasks.tables.labels import is_positive

HEALTHY = frozenset({"normal", "healthy", "negative", "control", "none", "no", "0", "false"})


@dataclass(frozen=True)
class Words:
    """Spelled plainly (see ``plain``): capitals, blanks, underscores and inner hyphens gone."""

    ill: frozenset[str] = frozenset()
    healthy: frozenset[str] = HEALTHY

    def is_class(self, word: str, positive: str | None) -> bool:
        """Whether this word names a class as far as anybody said."""
        if positive is not None and is_positive(word, positive):
            return True
        return plain(word) in self.ill | self.healthy


def plain(word: str) -> str:
    return re.sub(r"[\s_]+|-(?=.)", "", word.casefold())


def in_order(words: Iterable[str]) -> tuple[str, ...]:
    """The classes as all hospitals number them: what is called healthy first, then by spelling."""
    return tuple(sorted(words, key=lambda word: (plain(word) not in HEALTHY, plain(word), word)))


def ill_words(
    counts: Counter[str], positive: str | None, words: Words, where: str
) -> tuple[frozenset[str], str]:
    """The classes that mean disease, and a sentence about all of them. Raises ``DataError`` where
    that cannot be told, or where there is only one class."""
    listed = ", ".join(f"{word} ({count})" for word, count in counts.most_common(8))
    if positive is not None:
        ill = frozenset(word for word in counts if is_positive(word, positive))
        if not ill:
            raise DataError(
                f"{where} has no class {positive}", f"there are {listed}", "Correct data.positive"
            )
    else:
        ill = frozenset(word for word in counts if plain(word) in words.ill)
        unknown = [w for w in counts if w not in ill and plain(w) not in words.healthy]
        if len(counts) == 2 and len(unknown) == 1 and not ill and not words.ill:
            ill, unknown = frozenset(unknown), []
        if unknown and len(counts) > 1:
            several = "several diagnoses, of which one is told from the rest"
            raise DataError(
                f"{where} has the classes {listed}",
                several if len(counts) > 2 else "nobody said which of them means disease",
                "Name it with data.positive",
            )
    if len(counts) < 2 or len(ill) == len(counts):
        raise DataError(
            f"every file in {where} is {listed}",
            "a model learns to tell two groups apart",
            "Add files of the other group",
        )
    rest = ", ".join(word for word, _ in counts.most_common() if word not in ill)
    return ill, f"{', '.join(sorted(ill))} is positive, {rest} negative"
