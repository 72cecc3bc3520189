"""Private logistic regression by few, full, noisy steps; the default for tables.

Each round every hospital adds up the clipped gradients of all its records, noise is added, and the
coordinator takes one step. Nothing is sampled, so rounds compose as Gaussian releases do, exactly.
On tables this beat DP-SGD, Newton, sufficient statistics, objective and output perturbation.
Everything that is tuned follows from public numbers: n, the number of features, hospitals, epsilon
and delta. Their ratio of signal to noise, ``snr``, decides how far to travel, in how many rounds,
and whether it pays to spend a tenth of the budget on means and deviations first.

Sums are made on the grid of 2^-24, each record rounded towards zero by itself: no record can weigh
more than the clip, not even by rounding, and the sum does not depend on who holds which record.
Noise comes in as a function, one call for each hospital, so that a test can hand in silence.

The unit is one record of one hospital, added or removed, with n public. ``multiplicity`` K says how
many times the needed variance ends up in the sum: H where each of H hospitals adds all of it
(local), H / (t - c) where each adds the share with which t survivors, c of whom tell their share to
the coordinator, still hide everybody (distributed).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from aegis.errors import BadInput
from aegis.privacy.accounting import GaussianRelease
from aegis.privacy.gaussian import gdp_mu
from aegis.privacy.noise import off_grid, on_grid

CLIP = 0.30
INTERCEPT = 0.30
RECORD_SCALE = 0.45
STATISTICS_BOUND = 0.46
STATISTICS_SHARE = 0.1
STATISTICS_FROM = 8.0

Travel: TypeAlias = tuple[float, float]
"""How far steps may go in all, in clips: for each unit of ``snr``, and at most."""
TABLES: Travel = (10.0, 1500.0)
IMAGES: Travel = (50.0, 15000.0)

Grid = NDArray[np.int64]
Matrix = NDArray[np.float64]
Noise = Callable[[float, int], Grid]

_ROWS = 4096


@dataclass(frozen=True)
class DpGdSchedule:
    """What the rule fixed before the first patient was looked at.

    ``mu`` is the whole run's, ``mu_statistics`` the part (by squares) of the statistics round, 0
    where there is none. ``noise_sd`` and ``statistics_sd`` are what one sum needs to be private;
    each hospital adds ``share(hospitals)`` times that.
    """

    examples: int
    features: int
    multiplicity: float
    mu: float
    mu_statistics: float
    rounds: int
    learning_rate: float
    clip: float
    noise_sd: float
    statistics_sd: float
    snr: float
    statistics: bool

    @property
    def mu_gradients(self) -> float:
        return math.sqrt(self.mu**2 - self.mu_statistics**2)

    @property
    def statistics_event(self) -> GaussianRelease | None:
        return GaussianRelease(1 / self.mu_statistics) if self.statistics else None

    @property
    def round_event(self) -> GaussianRelease:
        """What each round is charged."""
        return GaussianRelease(self.noise_sd / self.clip)

    @property
    def events(self) -> tuple[GaussianRelease, ...]:
        """Every release, in order."""
        first = () if self.statistics_event is None else (self.statistics_event,)
        return (*first, *(self.round_event,) * self.rounds)

    def share(self, hospitals: int) -> float:
        return math.sqrt(self.multiplicity / hospitals)


def noise_multiplicity(hospitals: int, survivors: int, colluding: int) -> float:
    """K of ``distributed`` noise: H / (t - c)."""
    if not 0 <= colluding < survivors <= hospitals:
        raise BadInput(
            f"{survivors} survivors of {hospitals} hospitals with {colluding} colluding",
            "noise can be shared out among survivors that do not collude, at least one",
            "Lower privacy.colluding, or raise federated.quorum",
        )
    return hospitals / (survivors - colluding)


def plan_rounds(
    examples: int,
    features: int,
    multiplicity: float,
    epsilon: float,
    delta: float,
    statistics: bool | None = None,
    travel: Travel = TABLES,
) -> DpGdSchedule:
    """The noise-level rule. ``examples`` counts all hospitals' training rows, ``features`` the
    columns without the intercept; ``statistics: None`` leaves the statistics round to the rule.
    ``travel`` is ``IMAGES`` for the many small numbers that an image becomes."""
    if examples < 1 or features < 1:
        raise BadInput(f"{examples} examples with {features} features leave nothing to learn")
    if not (math.isfinite(multiplicity) and multiplicity >= 1):
        raise BadInput(f"the noise multiplicity is at least 1, got {multiplicity}")
    mu = left = gdp_mu(epsilon, delta)
    per_mu = examples / math.sqrt((features + 1) * multiplicity)
    spend = per_mu * mu >= STATISTICS_FROM if statistics is None else statistics
    mu_statistics = mu * math.sqrt(STATISTICS_SHARE) if spend else 0.0
    if spend:
        left = math.sqrt(mu**2 - mu_statistics**2)
    snr = per_mu * left
    rounds = min(80, max(5, round(6 * math.sqrt(snr))))
    far = min(travel[1], max(4.0, travel[0] * snr))
    return DpGdSchedule(
        examples=examples,
        features=features,
        multiplicity=multiplicity,
        mu=mu,
        mu_statistics=mu_statistics,
        rounds=rounds,
        learning_rate=far / (rounds * CLIP),
        clip=CLIP,
        noise_sd=CLIP * math.sqrt(rounds) / left,
        statistics_sd=statistics_bound(features) / mu_statistics if spend else 0.0,
        snr=snr,
        statistics=spend,
    )


def statistics_bound(features: int) -> float:
    """The L2 norm that one record's part of the statistics is clipped to."""
    return STATISTICS_BOUND * math.sqrt(features)


def statistics_sum(mapped: Matrix) -> Grid:
    """(2d,) sums of z and z^2 over ``mapped`` (n, d) in [-1, 1], each record within the bound."""
    bound = statistics_bound(mapped.shape[1])
    total: Grid = np.zeros(2 * mapped.shape[1], np.int64)
    for at in range(0, len(mapped), _ROWS):
        z = mapped[at : at + _ROWS]
        total += on_grid(_within(np.hstack([z, z * z]), bound * (1 - 1e-12))).sum(axis=0)
    return total


@dataclass(frozen=True)
class Standardisation:
    """Means and deviations (d,), as far as they could be told from the noise."""

    mean: Matrix
    sd: Matrix

    @classmethod
    def from_sums(cls, sums: Matrix, examples: int, noise_sd: float) -> Standardisation:
        """From the noisy (2d,) sums with this much noise in each. Both shrink to what is usual of
        mapped columns, the more the less is known: means to 0 (+- .5), log deviations to log .4
        (+- .35)."""
        first, second = np.split(sums / examples, 2)
        blur = noise_sd / examples
        mean = first * (0.25 / (0.25 + blur**2))
        variance = np.maximum(second - first**2, 1e-4)
        doubt = np.hypot(blur, 2 * first * blur) / (2 * variance)
        known = 0.35**2 / (0.35**2 + doubt**2)
        return cls(mean, np.exp(math.log(0.4) + known * (np.log(variance) / 2 - math.log(0.4))))

    def apply(self, mapped: Matrix) -> Matrix:
        standard: Matrix = np.clip((mapped - self.mean) / (2 * self.sd), -1.0, 1.0)
        return standard


def scaled_records(mapped: Matrix) -> Matrix:
    """(n, d + 1) records of norm 1.05 at most, the last column the intercept's."""
    rows = _within(mapped / (RECORD_SCALE * math.sqrt(mapped.shape[1])), 1.0)
    return np.hstack([rows, np.full((len(rows), 1), INTERCEPT)])


def gradient_sum(records: Matrix, labels: NDArray[np.int64], weights: Matrix, clip: float) -> Grid:
    """(D,) sum of the records' log-loss gradients, each of norm ``clip`` at most.

    A gradient is (p - y) u, so its norm is |p - y| |u| and needs no gradient to be formed.
    """
    total: Grid = np.zeros(records.shape[1], np.int64)
    for at in range(0, len(records), _ROWS):
        u = records[at : at + _ROWS]
        wrong = 0.5 + 0.5 * np.tanh(u @ weights / 2) - labels[at : at + _ROWS]
        norm = np.abs(wrong) * np.sqrt(np.einsum("nd,nd->n", u, u))
        wrong *= np.minimum(1.0, clip * (1 - 1e-12) / np.maximum(norm, 1e-300))
        total += on_grid(wrong[:, None] * u).sum(axis=0)
    return total


def step(weights: Matrix, noisy_sum: Grid, schedule: DpGdSchedule) -> Matrix:
    """The weights after one round; ``noisy_sum`` is all hospitals' together."""
    return weights - schedule.learning_rate / schedule.examples * off_grid(noisy_sum)


def change(noisy_sum: Matrix, learning_rate: float, examples: int) -> Matrix:
    """The change of (coefficients, bias) by one full step: ``noisy_sum`` is what ``examples``
    records' gradients and the noise come to."""
    moved: Matrix = -learning_rate / examples * noisy_sum
    moved[-1] *= INTERCEPT
    return moved


def average_after(average: Matrix, weights: Matrix, round: int) -> Matrix:
    """The running sum t w_t / sum t, after the weights of round ``round`` (the first is 1)."""
    return average + (weights - average) * (2 / (round + 1))


@dataclass(frozen=True)
class DpGdModel:
    """``weights`` (d + 1,), the last one times ``INTERCEPT`` being the bias."""

    weights: Matrix
    standardisation: Standardisation | None

    def logits(self, mapped: Matrix) -> Matrix:
        """(n,) from mapped columns (n, d)."""
        if self.standardisation is not None:
            mapped = self.standardisation.apply(mapped)
        return scaled_records(mapped) @ self.weights


def dpgd(
    mapped: Sequence[Matrix],
    labels: Sequence[NDArray[np.int64]],
    schedule: DpGdSchedule,
    noise: Noise,
) -> DpGdModel:
    """The whole of it in one place: the reference for any federation. One matrix of mapped columns
    and one vector of labels per hospital; ``noise(sd, size)`` is called once for each hospital and
    release, as ``SystemNoise().gaussian_on_grid`` can be."""
    share = schedule.share(len(mapped))
    standardisation = None
    if schedule.statistics:
        sd = schedule.statistics_sd * share
        parts = [statistics_sum(z) + noise(sd, 2 * schedule.features) for z in mapped]
        standardisation = Standardisation.from_sums(
            off_grid(np.sum(parts, axis=0)), schedule.examples, sd * math.sqrt(len(mapped))
        )
        mapped = [standardisation.apply(z) for z in mapped]
    records = [scaled_records(z) for z in mapped]
    weights: Matrix = np.zeros(schedule.features + 1)
    average, sd = weights, schedule.noise_sd * share
    for number in range(1, schedule.rounds + 1):
        parts = [
            gradient_sum(u, y, weights, schedule.clip) + noise(sd, len(weights))
            for u, y in zip(records, labels, strict=True)
        ]
        weights = step(weights, np.sum(parts, axis=0), schedule)
        average = average_after(average, weights, number)
    return DpGdModel(average, standardisation)


def _within(rows: Matrix, bound: float) -> Matrix:
    """Rows shortened to norm ``bound`` where they are longer."""
    norm = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    shortened: Matrix = rows * np.minimum(1.0, bound / np.maximum(norm, 1e-300))[:, None]
    return shortened
