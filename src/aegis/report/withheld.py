"""Which hospitals have no figures of their own, and which of their counts are not said.

What all hospitals come to is shown, so one hospital that is left out would follow from the others.
Therefore those of fewer than ten patients take others with them, the smallest first, until two at
least are left out who hold ten together (``suppression.large_enough``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aegis.report.suppression import large_enough
from aegis.report.wording import FEWER, SMALL, mapping, number, patients, sequence

WITHHELD = "withheld"
TOO_FEW = f"n/a: {FEWER} test patients"
KEPT = f"n/a: would give a hospital of {FEWER} away"


def tested_in(result: Mapping[str, Any]) -> dict[str, float]:
    """The test patients of each hospital that says how many it has."""
    compared = sequence(mapping(result.get("comparison")).get("hospitals"))
    beside = sequence(result.get("hospitals"))
    said = [(one, "examples") for one in map(mapping, compared)]
    said += [(one, "test_examples") for one in map(mapping, beside)]
    return {
        str(one.get("name", "unnamed")): n
        for one, key in said
        if (n := number(one.get(key))) is not None
    }


def kept_back(sizes: Mapping[str, float | None]) -> dict[str, str]:
    """Why each hospital without figures of its own has none."""
    known = {name: round(n) for name, n in sizes.items() if n is not None}
    shown = set(large_enough(known, SMALL))
    return {name: TOO_FEW if n < SMALL else KEPT for name, n in known.items() if name not in shown}


def counts(sizes: Mapping[str, float | None]) -> dict[str, str]:
    """Each number of patients as text: a small one only as small, ``withheld`` where it would give
    a small one back."""
    why = kept_back(sizes)
    return {name: WITHHELD if why.get(name) == KEPT else patients(n) for name, n in sizes.items()}
