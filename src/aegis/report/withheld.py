"""Which hospitals have no figures of their own, and which of their counts are not said.

What all hospitals come to is shown, so one hospital that is left out would follow from the others.
Therefore those of fewer than ten patients take others with them, the smallest first, until two at
least are left out who hold ten together (``suppression.large_enough``). Only who is in the sum can
hide another there: whoever gave no scores cannot.

This keeps a small hospital's figures from whoever reads a page or takes a sum from it. It is no
proof against whoever works through all of a run's figures: findings are counted with it, and the
JSON result, which is for people who see all hospitals, holds everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aegis.report.suppression import large_enough
from aegis.report.wording import FEWER, SMALL, mapping, number, patients, sequence

WITHHELD = "withheld"
TOO_FEW = f"n/a: {FEWER} test patients"
KEPT = f"n/a: would give a hospital of {FEWER} away"

Sizes = Mapping[str, float | None]


def without_figures(result: Mapping[str, Any]) -> dict[str, str]:
    """Why each hospital whose test figures are not shown has none, by name."""
    sizes, silent = _tested(result), set[str]()
    for one in map(mapping, sequence(result.get("hospitals"))):
        if not mapping(one.get("global")):
            silent.add(str(one.get("name", "unnamed")))
    if silent == set(sizes):  # nobody's own figures are there to subtract
        silent = set()
    return kept_back(sizes, silent)


def counts_tested(result: Mapping[str, Any]) -> dict[str, str]:
    """Each hospital's number of test patients as far as it is said."""
    return said(_tested(result), without_figures(result))


def kept_back(sizes: Sizes, silent: set[str] | frozenset[str] = frozenset()) -> dict[str, str]:
    """Why each of these has no figures of its own; ``silent`` ones are not in the sum."""
    known = {name: round(n) for name, n in sizes.items() if n is not None}
    summed = {name: n for name, n in known.items() if name not in silent}
    shown = {
        *large_enough(summed, SMALL),
        *(name for name in silent if known.get(name, 0) >= SMALL),
    }
    return {name: TOO_FEW if n < SMALL else KEPT for name, n in known.items() if name not in shown}


def counts(sizes: Sizes) -> dict[str, str]:
    """Each number of patients as text: a small one only as small, ``withheld`` where it would give
    a small one back."""
    return said(sizes, kept_back(sizes))


def in_place_of_number(why: str) -> str:
    """What is said of how many patients a hospital without figures tested."""
    return FEWER if why == TOO_FEW else WITHHELD


def said(sizes: Sizes, why: Mapping[str, str]) -> dict[str, str]:
    return {name: WITHHELD if why.get(name) == KEPT else patients(n) for name, n in sizes.items()}


def _tested(result: Mapping[str, Any]) -> dict[str, float]:
    """The test patients of each hospital that says how many it has."""
    compared = sequence(mapping(result.get("comparison")).get("hospitals"))
    beside = sequence(result.get("hospitals"))
    found = [(one, "examples") for one in map(mapping, compared)]
    found += [(one, "test_examples") for one in map(mapping, beside)]
    return {
        str(one.get("name", "unnamed")): n
        for one, key in found
        if (n := number(one.get(key))) is not None
    }
