"""What must hold for every federation that hypothesis draws: 200 in the test, 10^4 in prove."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from aegis.aggregation.conditions import smallest
from aegis.aggregation.rules import Context, rule

# How far the result may be from the honest mean, in honest radii (in the largest distance of an
# honest row from that mean; for clipping, which starts from no change, from zero).
REACH = {
    "median": "box",
    "trimmed_mean": "box",
    "bulyan": "box",
    "bucketing": "box",
    "nnm_trimmed_mean": "box",
    "krum": "row",
    "multi_krum": "radius",
    "geometric_median": "radius",
    "centered_clipping": "radius",
}


@dataclass(frozen=True)
class Federation:
    name: str
    f: int
    rows: np.ndarray
    seed: int

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"h{row:02d}" for row in range(len(self.rows)))

    def combined(self, rows, order=None, memory=None):
        made = rule(self.name, f=self.f, seed=self.seed)
        names = self.names if order is None else tuple(self.names[row] for row in order)
        context = Context(names, 1 + self.seed % 3, memory or {})
        return made(rows, np.ones(len(rows)), context).vector


@st.composite
def federations(draw):
    name = draw(st.sampled_from(sorted(REACH)))
    f = draw(st.integers(1, 3))
    n = smallest(name, f) + draw(st.integers(0, 4))
    d = draw(st.sampled_from([1, 2, 5, 33]))
    seed = draw(st.integers(0, 2**32))
    kind = draw(st.sampled_from(["normal", "float32", "far", "twins", "heavy", "whole"]))
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, d))
    match kind:
        case "float32":
            rows = rows.astype(np.float32)
        case "far":
            rows = 1e-4 * rows + rng.standard_normal(d)
        case "twins":
            rows[rng.integers(0, n, size=n // 2)] = rows[0]
        case "heavy":
            rows = rows / np.maximum(np.abs(rng.standard_normal((n, 1))), 1e-3)
        case "whole":
            rows = np.rint(2 * rows)
    return Federation(name, f, rows, seed)


def order_does_not_matter(case: Federation) -> None:
    order = np.random.default_rng(case.seed).permutation(len(case.rows))
    before, after = case.combined(case.rows), case.combined(case.rows[order], order)
    scale = max(1.0, float(np.abs(case.rows).max()))
    assert np.abs(before - after).max() <= 1e-9 * scale, case.name


def shifts_go_along(case: Federation) -> None:
    """By a multiple of 1/4, which rounds nothing. Clipping starts from no change, so its centre is
    shifted too."""
    rows = np.rint(case.rows.astype(np.float64) * 1024) / 1024
    shift = np.rint(np.random.default_rng(case.seed).standard_normal(rows.shape[1]) * 4) / 4
    centre = {"rule/center": np.zeros(rows.shape[1])}
    moved = {"rule/center": shift}
    before = case.combined(rows, memory=centre)
    after = case.combined(rows + shift, memory=moved)
    scale = max(1.0, float(np.abs(rows).max()), float(np.abs(shift).max()))
    assert np.abs(before + shift - after).max() <= 1e-8 * scale, case.name


def liars_are_withstood(case: Federation, size: float) -> None:
    """f rows at +-size, alike or spread, leave the result where the honest are."""
    rng = np.random.default_rng(case.seed)
    rows = case.rows.astype(np.float64)
    liars = rng.choice(len(rows), size=case.f, replace=False)
    rows[liars] = size * (1.0 if case.seed % 2 else np.sign(rng.standard_normal(rows[liars].shape)))
    honest = np.delete(rows, liars, axis=0)
    found = case.combined(rows)
    assert np.isfinite(found).all()
    slack = 1e-9 * max(1.0, float(np.abs(honest).max()))
    if case.name == "nnm_trimmed_mean":
        # A liar nearer than some honest row is mixed in: f of n - f, within the honest diameter.
        across = max(float(np.linalg.norm(honest - row, axis=1).max()) for row in honest)
        slack += across * case.f / (len(rows) - case.f)
    if case.name == "bulyan":
        # A liar nearer to the median than some honest value that counts.
        slack = slack + honest.max(axis=0) - honest.min(axis=0)
    if REACH[case.name] == "box":
        assert (found >= honest.min(axis=0) - slack).all(), case.name
        assert (found <= honest.max(axis=0) + slack).all(), case.name
        return
    mean = honest.mean(axis=0)
    radius = float(np.linalg.norm(honest - mean, axis=1).max())
    away = float(np.linalg.norm(found - mean))
    n, f = len(rows), case.f
    match case.name:
        case "krum":
            reach = (1 + np.sqrt((n - f) / max(1, n - 2 * f - 2))) * radius
        case "multi_krum":
            reach = (1 + 2 * np.sqrt(n)) * radius
        case "geometric_median":
            reach = 2 * (n - f) / (n - 2 * f) * radius
        case _:
            reach = 2 * float(np.linalg.norm(honest, axis=1).max()) * (f + 1)
    assert away <= reach + slack, case.name
