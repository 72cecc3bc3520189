"""How many updates each rule needs to withstand f dishonest ones, without loading any arithmetic.

The numbers are those of the papers named at the rules: median and trimmed mean (Yin et al. 2018),
Krum (Blanchard et al. 2017), Bulyan (El Mhamdi et al. 2018), centred clipping (Karimireddy et al.
2021), geometric median (Pillutla et al. 2022), mixing with nearest neighbours (Allouah et al.
2023), and bucketing in pairs (Karimireddy et al. 2022), where f liars spoil f of n/2 buckets.
FoolsGold (Fung et al. 2020) withstands copies of one another, in any number, and promises nothing
about f; it needs somebody to compare with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

# A rule withstands f dishonest among n updates where n >= a f + b.
SMALLEST: Mapping[str, tuple[int, int]] = {
    "fedavg": (0, 1),
    "median": (2, 1),
    "trimmed_mean": (2, 1),
    "krum": (2, 3),
    "multi_krum": (2, 3),
    "bulyan": (4, 3),
    "foolsgold": (0, 2),
    "centered_clipping": (2, 1),
    "geometric_median": (2, 1),
    "nnm_trimmed_mean": (2, 1),
    "bucketing": (4, 1),
}
TRIMMING = frozenset({"trimmed_mean", "nnm_trimmed_mean"})
GROUP = 3
FEWEST = 3  # updates that can be compared with one another


def smallest(rule: str, f: int) -> int:
    """The fewest updates among which the rule withstands ``f`` dishonest ones."""
    per_f, more = SMALLEST[rule]
    return per_f * f + more


def largest_f(rule: str, updates: int) -> int:
    """The most dishonest among ``updates`` that the rule withstands; 0 where it withstands none."""
    per_f, more = SMALLEST[rule]
    return max(0, (updates - more) // per_f) if per_f else 0


def trimmed(updates: int, f: int, ratio: float | None) -> int:
    """How many are cut at each end: all that may be dishonest, and at least the ratio. A share
    never rounds to nothing."""
    share = 0 if not ratio else math.ceil(ratio * updates - 1e-9)
    return max(f, share)


def planned_f(rule: str, asked: int, quorum: int, ratio: float | None, grouped: bool) -> int:
    """The f of a plan that leaves it open: the most that the rule withstands when no more than
    ``quorum`` of the ``asked`` answer, so that one silent hospital does not end the run; or one,
    where the rule can withstand one among all. With a ratio to trim, what is trimmed."""
    size = GROUP if grouped else 1
    if rule in TRIMMING and ratio:
        return trimmed(asked // size, 0, ratio)
    surely = largest_f(rule, min(quorum, asked) // size)
    return max(surely, min(1, largest_f(rule, asked // size)))
