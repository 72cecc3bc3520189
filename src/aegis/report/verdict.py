"""The verdict of a run: was sharing a model worth it, by how much, and how sure is that?

Like is compared with like. The shared model and the hospitals' own models are compared hospital by
hospital on the same patients, and in their unweighted means; the shared model and a model of all
rows in one place on all test patients together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aegis.report.disclosure import coordinator_saw, epsilon, has_noise, mechanism
from aegis.report.gains import Measure, gains, measure, own_together, tally, travelled
from aegis.report.withheld import without_figures
from aegis.report.wording import (
    NBSP,
    absent,
    counted,
    interval,
    interval_of,
    mapping,
    number,
    percent,
    sequence,
    significant,
)

_ENDS = {"stopped": "was stopped", "aborted": "was aborted", "refused": "was refused"}


@dataclass(frozen=True)
class Figure:
    """One of the few numbers on the first screen."""

    label: str
    value: str
    beside: str
    below: str


def hospitals_in(result: Mapping[str, Any]) -> int:
    return len(sequence(result.get("hospitals")))


def test_patients(result: Mapping[str, Any]) -> int | None:
    n = number(mapping(result.get("global")).get("examples"))
    return None if n is None else round(n)


def training_patients(result: Mapping[str, Any]) -> int | None:
    found = [number(mapping(h).get("examples")) for h in sequence(result.get("hospitals"))]
    known = [n for n in found if n is not None]
    return round(sum(known)) if known else None


def own_models(result: Mapping[str, Any]) -> int:
    """How many hospitals trained a model of their own."""
    return sum(gain.own is not None for gain in gains(result))


def headline(result: Mapping[str, Any]) -> str:
    """The one sentence for somebody who reads no further."""
    if number(mapping(result.get("global")).get("accuracy")) is None:
        return f"This run {_ENDS.get(str(result.get('status')), 'ended')} without a scored model."
    at_home = _headline_at_home(result)
    away = tally(travelled(result))
    if not away["better"] and not away["worse"]:
        return at_home
    finding, number_of = ("better", away["better"]) if away["better"] else ("worse", away["worse"])
    return (
        f"{at_home} On the patients of all hospitals it was clearly {finding} than "
        f"{number_of} of {sum(away.values())} own models."
    )


def _headline_at_home(result: Mapping[str, Any]) -> str:
    counts = tally(gains(result))
    better, level, worse = counts["better"], counts["no clear difference"], counts["worse"]
    compared = better + level + worse
    if not compared:
        return (
            f"One model was trained with {counted(hospitals_in(result), 'hospital')}; whether it "
            "is better than their own models was not tested."
        )
    if compared > 1 and not better and not worse:
        return (
            "On a hospital’s own patients there is no clear difference between the shared model "
            f"and the hospital’s own in any of {compared} hospitals."
        )
    if compared == 1:
        word = "clearly better than" if better else "clearly worse than"
        word = word if better or worse else "not clearly different from"
        return f"The shared model was {word} the hospital’s own model."
    return (
        f"The shared model was clearly better than the hospital’s own model in {better or 'none'} "
        f"of {compared} hospitals, not clearly different in {level or 'none'}, and clearly worse "
        f"in {worse or 'none'}."
    )


def subtitle(result: Mapping[str, Any]) -> str:
    """Who took part: hospitals, patients, rounds."""
    trained, tested = training_patients(result), test_patients(result)
    parts = [counted(hospitals_in(result), "hospital")]
    if trained is not None:
        parts.append(f"{trained:,} patients for training")
    if tested is not None:
        parts.append(f"{tested:,} for testing")
    rounds = number(result.get("rounds"))
    if rounds is not None:
        parts.append(counted(round(rounds), "round"))
    return ", ".join(parts)


def explanation(result: Mapping[str, Any]) -> list[str]:
    """The verdict's numbers, in sentences."""
    found = [
        _ended(result),
        _right(result),
        _among_three(result),
        imbalance_line(result),
        _own_right(result),
        _travelled(result),
        _pooled(result),
        _means(result),
    ]
    return [text for text in found if text]


def right_answers(metrics: Any) -> str:
    """``207 of 254``; ``about`` where counts were not exact, or noised."""
    share, n = number(mapping(metrics).get("accuracy")), number(mapping(metrics).get("examples"))
    if share is None or not n:
        return ""
    count = share * n
    exact = abs(count - round(count)) < 1e-6 * n and not noise_in(metrics)
    return f"{'' if exact else 'about '}{round(count):,} of {round(n):,}"


def noise_in(metrics: Any) -> float:
    """The standard deviation of the noise in each count, in patients; 0 where there is none."""
    return number(mapping(metrics).get("noise_sd")) or 0.0


def noise_line(result: Mapping[str, Any]) -> str:
    """Where hospitals gave noised counts of right answers; empty where they did not."""
    spread = noise_in(result.get("global"))
    if not spread:
        return ""
    found = mapping(result.get("global"))
    sure = interval_of(found, "accuracy") is not None
    return (
        "The hospitals added noise to these counts, for the privacy of the patients that were "
        f"tested: in each count about {counted(max(1, round(spread)), 'patient')} (standard "
        f"deviation). {'The interval allows for it.' if sure else 'No interval allows for it.'}"
        + (" No ranks are told, so AUC is balanced accuracy." if number(found.get("auc")) else "")
    )


def figures(result: Mapping[str, Any]) -> list[Figure]:
    """The first screen: shared model, own models, all rows in one place, privacy."""
    return [_shared(result), _own(result), _together(result), _privacy(result)]


def _ended(result: Mapping[str, Any]) -> str:
    status = str(result.get("status") or "")
    if status not in _ENDS:
        return ""
    rounds = number(result.get("rounds"))
    after = "" if rounds is None else f" after {counted(round(rounds), 'round')}"
    reason = result.get("reason")
    why = f": {reason}" if isinstance(reason, str) and reason else ""
    return f"This run {_ENDS[status]}{after}{why}."


def _right(result: Mapping[str, Any]) -> str:
    overall = measure(result.get("global"))
    n = test_patients(result)
    if overall is None or not n:
        return ""
    sure = (
        f"95{NBSP}% interval {interval(overall.interval)}"
        if overall.interval
        else "no interval was computed"
    )
    return (
        f"It was right for {right_answers(result.get('global'))} patients that it was not trained "
        f"on ({percent(overall.value)}, {sure}). {noise_line(result)}".rstrip()
    )


def _among_three(result: Mapping[str, Any]) -> str:
    metrics = mapping(result.get("global"))
    value, pair = number(metrics.get("top_3_accuracy")), interval_of(metrics, "top_3_accuracy")
    if value is None:
        return ""
    sure = f", 95{NBSP}% interval {interval(pair)}" if pair else ""
    return f"The right class was among its three likeliest for {percent(value)}{sure}."


def imbalance_line(result: Mapping[str, Any]) -> str:
    """Where accuracy alone would mislead; empty where it does not."""
    said = mapping(result.get("imbalance")).get("sentence")
    return said if isinstance(said, str) else ""


def _own_right(result: Mapping[str, Any]) -> str:
    together = own_together(result)
    if together is None:
        return ""
    right, total = together
    return (
        "The hospitals’ own models, each trained and tested on its own hospital’s patients, were "
        f"right for {right:,} of the same {total:,} ({percent(right / total)})."
    )


def _travelled(result: Mapping[str, Any]) -> str:
    """A model that knows one hospital's patients, on everybody's."""
    own = [gain.own.value for gain in travelled(result) if gain.own is not None]
    if not own:
        return ""
    reach = percent(own[0]) if len(own) == 1 else f"{percent(min(own))} to {percent(max(own))}"
    return (
        f"On the test patients of all hospitals the own models were right for {reach} "
        f"({percent(sum(own) / len(own))} on average)."
    )


def _means(result: Mapping[str, Any]) -> str:
    shared, own = measure(result.get("mean_hospitals")), measure(result.get("mean_local"))
    if shared is None or own is None or without_figures(result):
        return ""  # beside the figures of all together it would tell of single ones
    sure = f" (95{NBSP}% interval {interval(shared.interval)})" if shared.interval else ""
    total, alone = hospitals_in(result), own_models(result)
    which = "" if alone == total else f" ({alone} of {total} could train one)"
    return (
        f"With each of the {counted(total, 'hospital')} counting the same, the shared model is "
        f"right for {percent(shared.value)}{sure} and the own models{which} for "
        f"{percent(own.value)}."
    )


def _pooled(result: Mapping[str, Any]) -> str:
    pooled = measure(result.get("pooled"))
    if pooled is None:
        return f"There is no reference with all rows in one place ({_why_not_pooled(result)})."
    answers = right_answers(result.get("pooled"))
    return (
        "A model trained on all rows in one place, which sharing a model avoids, was right for "
        + (f"{answers} ({percent(pooled.value)})." if answers else f"{percent(pooled.value)}.")
    )


def _why_not_pooled(result: Mapping[str, Any]) -> str:
    for key in ("pooled_reason", "comparison_reason"):
        reason = result.get(key)
        if isinstance(reason, str) and reason:
            return reason
    return "not computed in this run"


def _shared(result: Mapping[str, Any]) -> Figure:
    metrics = mapping(result.get("global"))
    overall = measure(metrics)
    if overall is None:
        return Figure("Shared model", "n/a", "", absent(metrics, "accuracy"))
    auc = number(metrics.get("auc"))
    return Figure(
        "Shared model is right",
        percent(overall.value),
        right_answers(metrics),
        (f"95{NBSP}% interval {interval(overall.interval)}" if overall.interval else "No interval")
        + f"; AUC {absent(metrics, 'auc') if auc is None else f'{auc:.3f}'}",
    )


def _own(result: Mapping[str, Any]) -> Figure:
    shared, own = measure(result.get("mean_hospitals")), measure(result.get("mean_local"))
    label = "Hospitals’ own models are right"
    together = own_together(result)
    if own is None and together is None:
        reason = result.get("comparison_reason")
        why = reason if isinstance(reason, str) and reason else "not computed in this run"
        return Figure(label, "n/a", "", f"No hospital’s own model: {why}")
    means = f"Mean of {counted(own_models(result), 'hospital')}: own {_said(own)}"
    if shared is not None:
        means += f", shared {_said(shared)}"
    if together is None:
        return Figure(label, _said(own), "", means)
    right, total = together
    return Figure(label, percent(right / total), f"{right:,} of {total:,}", means)


def _said(found: Measure | None) -> str:
    return "n/a: not computed" if found is None else percent(found.value)


def _together(result: Mapping[str, Any]) -> Figure:
    pooled = measure(result.get("pooled"))
    label = "With all rows in one place"
    if pooled is None:
        return Figure(label, "n/a", "", f"No reference: {_why_not_pooled(result)}")
    below = "Reference only: hospitals would have to hand over their rows"
    return Figure(label, percent(pooled.value), right_answers(result.get("pooled")), below)


def _privacy(result: Mapping[str, Any]) -> Figure:
    saw = coordinator_saw(result).split(". ")[0].rstrip(".")
    spent = epsilon(result)
    if not mechanism(result):
        return Figure("Privacy protection", "n/a", "not recorded", f"{saw}.")
    if not has_noise(result):
        return Figure("Privacy protection", "None", "no noise added", f"{saw}.")
    if spent is None:
        return Figure("Privacy protection", "n/a", "noise, but no epsilon recorded", f"{saw}.")
    privacy = mapping(result.get("privacy"))
    delta = number(privacy.get("delta"))
    beside = "" if delta is None else f"delta {significant(delta, 2)}"
    return Figure(
        "Largest privacy spend",
        significant(spent),
        f"epsilon, {beside}".rstrip(", "),
        f"per {privacy.get('unit') or 'unit not recorded'}. {saw}.",
    )
