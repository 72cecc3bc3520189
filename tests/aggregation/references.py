"""The rules as their papers write them down: loops over rows in float64, slow and plain.

What the papers leave open is fixed as the house does: of equals the first counts, Krum in Bulyan
has at least one neighbour, and FoolsGold's voices are shares of one.
"""

import math

import numpy as np


def mean(rows, weights):
    total = sum(weights)
    return sum(weight * row for weight, row in zip(weights, rows, strict=True)) / total


def median(rows):
    return np.array([_middle(sorted(column)) for column in np.array(rows).T])


def trimmed_mean(rows, trim):
    kept = [sorted(column)[trim : len(rows) - trim] for column in np.array(rows).T]
    return np.array([math.fsum(values) / len(values) for values in kept])


def krum_scores(rows, f):
    """Blanchard et al. 2017: the sum of squared distances to the n - f - 2 nearest others."""
    scores = []
    for i, row in enumerate(rows):
        squares = sorted(_square(row, other) for j, other in enumerate(rows) if j != i)
        scores.append(math.fsum(squares[: max(1, len(rows) - f - 2)]))
    return scores


def krum(rows, f):
    scores = krum_scores(rows, f)
    return rows[scores.index(min(scores))]


def multi_krum(rows, f, keep):
    scores = krum_scores(rows, f)
    order = sorted(range(len(rows)), key=lambda i: scores[i])
    return mean([rows[i] for i in order[:keep]], [1.0] * keep)


def bulyan(rows, f):
    """El Mhamdi et al. 2018: Krum until n - 2f are chosen, then the n - 4f values nearest to the
    median, coordinate by coordinate."""
    left, chosen = list(rows), []
    for _ in range(len(rows) - 2 * f):
        scores = krum_scores(left, f) if len(left) > 1 else [0.0]
        chosen.append(left.pop(scores.index(min(scores))))
    found = []
    for column in np.array(chosen).T:
        centre = _middle(sorted(column))
        nearest = sorted(column, key=lambda value: (abs(value - centre), value))
        found.append(math.fsum(nearest[: len(rows) - 4 * f]) / (len(rows) - 4 * f))
    return np.array(found)


def nearest_mixed(rows, f):
    """Allouah et al. 2023, before the trimmed mean."""
    found = []
    for row in rows:
        order = sorted(range(len(rows)), key=lambda j: _square(row, rows[j]))
        near = [rows[j] for j in order[: len(rows) - f]]
        found.append(mean(near, [1.0] * len(near)))
    return found


def geometric_median(rows, steps=20_000):
    """Weiszfeld's steps in the space of the rows themselves."""
    point = median(rows)
    for _ in range(steps):
        weights = [1 / max(math.sqrt(_square(row, point)), 1e-300) for row in rows]
        after = mean(rows, weights)
        if math.sqrt(_square(after, point)) < 1e-15:
            break
        point = after
    return point


def centered_clipping(rows, centre, f, steps):
    """Karimireddy et al. 2021, with the house's length: that of the n - f median hospital, and of
    at least the f + 1 nearest."""
    for _ in range(steps):
        away = [math.sqrt(_square(row, centre)) for row in rows]
        length = sorted(away)[max(f + 1, (len(rows) - f + 1) // 2) - 1]
        pulls = [
            (row - centre) * (min(1.0, length / far) if far > 0 else 1.0)
            for row, far in zip(rows, away, strict=True)
        ]
        centre = centre + mean(pulls, [1.0] * len(rows))
    return centre


def foolsgold(histories):
    """Algorithm 1 of Fung et al. 2020, confidence 1: the voice of each hospital."""
    n = len(histories)
    alike = [
        [0.0 if i == j else _cosine(histories[i], histories[j]) for j in range(n)] for i in range(n)
    ]
    most = [max(alike[i][j] for j in range(n) if j != i) for i in range(n)]
    for i in range(n):
        for j in range(n):
            if i != j and most[j] > most[i] and most[j] > 0:
                alike[i][j] *= most[i] / most[j]
    voices = [
        min(1.0, max(0.0, 1 - max(alike[i][j] for j in range(n) if j != i))) for i in range(n)
    ]
    highest = max(voices)
    found = []
    for voice in (voice / highest for voice in voices):
        if voice in (0.0, 1.0):
            found.append(voice)
        else:
            found.append(min(1.0, max(0.0, math.log(voice / (1 - voice)) + 0.5)))
    return found


def _middle(values):
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


def _square(one, other):
    return math.fsum((float(a) - float(b)) ** 2 for a, b in zip(one, other, strict=True))


def _cosine(one, other):
    both = math.sqrt(_square(one, 0 * one) * _square(other, 0 * other))
    return math.fsum(float(a) * float(b) for a, b in zip(one, other, strict=True)) / both
