"""The fairness of a finished run, as the document that ``fairness.json`` and the page show.

It is made from counts that hospitals released: by group of patients from their summed counts, by
hospital from the histograms of those that share one. Groups under the minimum, and what would give
them back by subtraction, are withheld; so is a rate among fewer ill, or fewer well, patients than
that. Two of the figures, the plan's thresholds, decide whether there is a violation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.assurance.fairness import (
    FOUR_FIFTHS,
    Gap,
    Measure,
    Violation,
    fairness_gaps,
    miscalibration,
    violations,
)
from aegis.assurance.groups import (
    Group,
    Spread,
    groups_from_counts,
    spread_from_counts,
    spread_of,
)
from aegis.coordinator.steps import Study
from aegis.evaluation.calibration import middles
from aegis.evaluation.classes import examples_of, is_tableau, right_of
from aegis.evaluation.histogram import HALF
from aegis.evaluation.intervals import wilson
from aegis.evaluation.whole import together
from aegis.report.suppression import Cell, large_enough, suppress
from aegis.report.within_hospitals import share, within_hospitals
from aegis.report.wording import NBSP
from aegis.states import Terminated
from aegis.tasks.groups import UNKNOWN
from aegis.tasks.preparation import MINIMUM_CELL

HOSPITAL = "hospital"
ANY_CLASSES = ("group", "withheld", "examples", "accuracy")
"""What a group's row holds where more than two classes are told apart."""
Counts = NDArray[np.int64]


def fairness(study: Study, final: Terminated, minimum: int = MINIMUM_CELL) -> dict[str, Any]:
    """The result's ``fairness``. ``fair`` is None, with ``reason``, where nothing could be
    compared."""
    groupings, several = study.groupings, study.schema.label_count > 2
    by_hospital, total = _counts(final)
    measured: dict[str, tuple[Group, ...]] = {}
    if final.histograms:
        measured[HOSPITAL] = tuple(
            _hospital(name, together([h], name in final.noise))
            for name, h in final.histograms.items()
        )
    if total is not None:
        measured |= groups_from_counts(groupings, total)
    shown = {name: _shown(groups, minimum) for name, groups in measured.items()}
    gaps = {
        name: fairness_gaps(_comparable(groups, shown[name]), minimum, shown[name])
        for name, groups in measured.items()
    }
    if several:  # of many classes nobody is simply ill: only whether they are told right compares
        gaps = {name: {"accuracy_parity": one["accuracy_parity"]} for name, one in gaps.items()}
    spread = None
    if final.sealed is None and HOSPITAL in measured:
        spread = spread_of(_comparable(measured[HOSPITAL], shown[HOSPITAL]))
    elif total is not None:
        spread = spread_from_counts(groupings, total)
    thresholds = study.plan.fairness.thresholds
    found = violations(gaps, spread, thresholds)
    titles = {HOSPITAL: "Hospital", **{g.attribute: g.title for g in groupings}}
    attributes = [
        _attribute(
            name, titles[name], measured, shown.get(name, {}), gaps.get(name), final, several
        )
        for name in titles
    ]
    compared = spread is not None or any(
        gap is not None for measures in gaps.values() for gap in measures.values()
    )
    return {
        "fair": not found if compared else None,
        "reason": None if compared else "there are no two groups that could be compared",
        "violations": [_violation(one) for one in found],
        "sentence": sentence(found, gaps, titles, compared),
        "thresholds": {
            "accuracy_parity": thresholds.accuracy_parity,
            "hospital_variance": thresholds.hospital_variance,
        },
        "for_orientation": {"disparate_impact": list(FOUR_FIFTHS)},
        "minimum_cell": minimum,
        "hospital_accuracy": _spread(spread),
        "attributes": attributes,
        "within_hospitals": within_hospitals(groupings, by_hospital, minimum),
    }


def sentence(
    found: Sequence[Violation],
    gaps: Mapping[str, Mapping[Measure, Gap | None]],
    titles: Mapping[str, str],
    compared: bool = True,
) -> str:
    """The verdict for somebody who reads no further."""
    if not compared:
        return "Whether the model serves groups alike could not be compared."
    if not found:
        widest = [
            (gap.value, titles[name])
            for name, measures in gaps.items()
            if (gap := measures["accuracy_parity"]) is not None
        ]
        if not widest:
            return "Accuracy varies between hospitals by no more than the plan allows."
        value, title = max(widest)
        return (
            f"No limit of the plan is exceeded: the widest gap in accuracy is {apart(value)}, "
            f"by {title.lower()}."
        )
    parts = []
    for one in found:
        if one.measure == "hospital_variance":
            parts.append(
                f"the accuracies of hospitals vary by more than the plan allows (variance "
                f"{one.value:.3f}, limit {one.threshold:g})"
            )
            continue
        assert one.gap is not None
        chance = (
            f"; groups of these sizes that are served alike would lie up to "
            f"{apart(one.gap.by_chance or 0.0)} apart, so this may be chance"
            if one.may_be_chance
            else ""
        )
        parts.append(
            f"by {titles[one.attribute].lower()}, accuracy differs by {apart(one.value)} between "
            f"{one.gap.high} and {one.gap.low} (limit {apart(one.threshold)}{chance})"
        )
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


def apart(gap: float) -> str:
    """A gap, which has no sign, in percentage points."""
    return f"{100 * gap:.1f}{NBSP}points"


def _counts(final: Terminated) -> tuple[dict[str, Counts], Counts | None]:
    """Each hospital's counts where it shows them, and the sum of all that there are."""
    by_hospital = {name: np.asarray(counts) for name, counts in final.groups.items()}
    every = list(by_hospital.values())
    sealed = final.sealed
    if sealed is not None and sealed.groups is not None:
        every.append(np.asarray(sealed.groups))
    return by_hospital, (np.add.reduce(every) if every else None)


def _hospital(name: str, histogram: Counts) -> Group:
    if is_tableau(histogram):
        right = right_of(histogram)
        return Group(name, 0, 0, examples_of(histogram) - right, right)
    tn, fp = int(histogram[0, :HALF].sum()), int(histogram[0, HALF:].sum())
    fn, tp = int(histogram[1, :HALF].sum()), int(histogram[1, HALF:].sum())
    chance = 0.5 * (1 + np.tanh(0.5 * middles()))
    coarse = np.count_nonzero(histogram.sum(axis=0)) <= 2 and int(histogram.sum()) > 2
    chances = None if coarse else float((chance * histogram.sum(axis=0)).sum())
    return Group(name, tn, fp, fn, tp, chances)


def _shown(groups: Sequence[Group], minimum: int) -> dict[str, tuple[bool, bool]]:
    """The groups with figures of their own: may rates among their ill, and their well, be told?"""
    named = {group.name: group.examples for group in groups if group.name != UNKNOWN}
    unnamed = sum(group.examples for group in groups if group.name == UNKNOWN)
    kept = large_enough(named, minimum, unnamed)
    own = [group for group in groups if group.name in kept]
    rest = [group for group in groups if group.name not in kept and group.examples]
    if not own:
        return {}
    columns = [(group.positives, group.negatives) for group in own]
    unseen: tuple[int, ...] = ()
    if rest:
        unseen = (len(columns),)
        columns.append((sum(g.positives for g in rest), sum(g.negatives for g in rest)))
    table = np.array(columns, dtype=np.int64).T
    status = suppress(np.hstack([table, table.sum(axis=1, keepdims=True)]), minimum, unseen)
    return {
        group.name: (status[0, at] == Cell.SHOWN, status[1, at] == Cell.SHOWN)
        for at, group in enumerate(own)
    }


def _comparable(
    groups: Sequence[Group], shown: Mapping[str, tuple[bool, bool]]
) -> tuple[Group, ...]:
    return tuple(group for group in groups if group.name in shown)


def _attribute(
    name: str,
    title: str,
    measured: Mapping[str, Sequence[Group]],
    shown: Mapping[str, tuple[bool, bool]],
    gaps: Mapping[Measure, Gap | None] | None,
    final: Terminated,
    several: bool,
) -> dict[str, Any]:
    row: dict[str, Any] = {"attribute": name, "title": title, "groups": [], "measures": {}}
    if name not in measured or gaps is None:
        why = "the hospitals share the sum of their scores only" if name == HOSPITAL else ""
        if final.sealed is not None and final.sealed.reason:
            why = final.sealed.reason
        return row | {"reason": why or "no hospital released counts by group"}
    groups = measured[name]
    if all(group.name == UNKNOWN or not group.examples for group in groups):
        return row | {"reason": f"these data do not record it ({UNKNOWN} for every patient)"}
    told = [_group(group, shown.get(group.name)) for group in groups if group.examples]
    if several:
        told = [{key: one[key] for key in ANY_CLASSES if key in one} for one in told]
    row["groups"] = told
    row["measures"] = {measure: _gap(gap) for measure, gap in gaps.items()}
    return row


def _group(group: Group, shown: tuple[bool, bool] | None) -> dict[str, Any]:
    """A group's figures; those that may not be told are None."""
    if shown is None:
        return {"group": group.name, "withheld": True}
    ill, well = shown
    n = group.examples
    row: dict[str, Any] = {
        "group": group.name,
        "withheld": False,
        "examples": n,
        "positives": group.positives if ill and well else None,
        "accuracy": share(group.right, n),
        "called_ill": share(group.called, n),
        "found": share(group.true_positives, group.positives) if ill else None,
        "false_alarms": share(group.false_positives, group.negatives) if well else None,
        "expected": None if group.chances is None else group.chances / n,
        "observed": share(group.positives, n) if ill and well else None,
        "miscalibration": None,
    }
    if group.chances is not None and ill and well:
        low, high = wilson(group.positives, n)
        expected = group.chances / n
        row["miscalibration"] = {
            "value": miscalibration(group),
            "ci95": [low - expected, high - expected],
        }
    return row


def _gap(gap: Gap | None) -> dict[str, Any] | None:
    if gap is None:
        return None
    return {
        "value": gap.value,
        "ci95": list(gap.interval),
        "highest": gap.high,
        "lowest": gap.low,
        "by_chance": gap.by_chance,
        "among": gap.of or None,
    }


def _violation(one: Violation) -> dict[str, Any]:
    return {
        "attribute": one.attribute,
        "measure": one.measure,
        "value": one.value,
        "threshold": one.threshold,
        "may_be_chance": one.may_be_chance if one.gap is not None else None,
        "between": None if one.gap is None else [one.gap.high, one.gap.low],
    }


def _spread(spread: Spread | None) -> dict[str, Any] | None:
    if spread is None:
        return None
    sd = spread.variance**0.5
    return {
        "hospitals": spread.hospitals,
        "mean": spread.mean,
        "variance": spread.variance,
        "sd": sd,
    }
