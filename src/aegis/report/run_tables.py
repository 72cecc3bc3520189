"""The tables about the run as a whole: its rounds, its odds ratios, its overall figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aegis.report.odds_ratios import per
from aegis.report.tables import MOST_ROWS, Table
from aegis.report.wording import (
    NBSP,
    counted,
    interval,
    interval_of,
    mapping,
    measured,
    number,
    p_value,
    ratio,
    score,
    seconds,
    sequence,
)


def best_round(result: Mapping[str, Any]) -> int | None:
    """The scored round with the highest accuracy, the earliest of equals."""
    scored = [
        (value, -int(at))
        for entry in map(mapping, sequence(result.get("history")))
        if (value := number(mapping(entry.get("global")).get("accuracy"))) is not None
        and (at := number(entry.get("round"))) is not None
    ]
    return -max(scored)[1] if scored else None


def round_table(result: Mapping[str, Any], best: int | None = None) -> Table:
    """At most fifty rounds, evenly spaced, with the first, the best and the last."""
    history = [mapping(h) for h in sequence(result.get("history"))]
    kept = _spaced(history, best)
    note = (
        ""
        if len(kept) == len(history)
        else (
            f"{len(kept)} of {len(history):,} rounds are shown, evenly spaced, with the first, the "
            "best and the last. Every round is in the JSON result."
        )
    )
    return Table(
        "What happened in each round",
        (
            ("Round", False),
            ("Accuracy", True),
            ("AUC", True),
            ("Log-loss", True),
            ("Time", True),
            ("Missing", False),
            ("Set aside", False),
        ),
        tuple(_round(entry) for entry in kept),
        note,
    )


def _spaced(history: Sequence[Mapping[str, Any]], best: int | None) -> list[Mapping[str, Any]]:
    if len(history) <= MOST_ROWS:
        return list(history)
    last = len(history) - 1
    wanted = {round(i * last / (MOST_ROWS - 2)) for i in range(MOST_ROWS - 1)}
    wanted |= {i for i, entry in enumerate(history) if entry.get("round") == best}
    return [history[i] for i in sorted(wanted)]


def _round(entry: Mapping[str, Any]) -> tuple[str, ...]:
    metrics = mapping(entry.get("global"))
    say: Callable[[str], str] = (
        (lambda key: measured(metrics, key)) if metrics else (lambda key: "not scored")
    )
    return (
        str(entry.get("round", "unnamed")),
        say("accuracy"),
        say("auc"),
        say("log_loss"),
        seconds(entry.get("seconds")),
        names(entry.get("absent")),
        names(entry.get("set_aside", entry.get("flagged"))),
    )


def names(value: Any) -> str:
    """``none``, or the names; hospitals are named so that nobody has to guess who was missing."""
    found = [str(name) for name in sequence(value)]
    if not found:
        return "none"
    more = "" if len(found) <= 5 else f" and {len(found) - 5} more"
    return ", ".join(found[:5]) + more


def odds_table(result: Mapping[str, Any]) -> Table | None:
    found = [mapping(entry) for entry in sequence(result.get("odds_ratios"))]
    if not found:
        return None
    return Table(
        f"Odds ratios with 95{NBSP}% intervals and two-sided p-values",
        (
            ("Feature", False),
            ("Compared", False),
            ("Odds ratio", True),
            (f"95{NBSP}% interval", True),
            ("p", True),
        ),
        tuple(_odds(entry) for entry in found[: 4 * MOST_ROWS]),
        (
            ""
            if len(found) <= 4 * MOST_ROWS
            else f"{4 * MOST_ROWS} of {counted(len(found), 'feature')} are shown."
        ),
    )


def _odds(entry: Mapping[str, Any]) -> tuple[str, ...]:
    name = str(entry.get("feature", "unnamed"))
    odds, low, high = (number(entry.get(key)) for key in ("odds_ratio", "low", "high"))
    return (
        str(entry.get("label") or name),
        str(entry.get("per") or per(name)),
        "n/a: not estimable" if odds is None else ratio(odds),
        "n/a: not estimable" if low is None or high is None else f"{ratio(low)} to {ratio(high)}",
        p_value(number(entry.get("p"))),
    )


def overall_scores(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every overall figure of the shared model, each with its interval where there is one."""
    metrics = mapping(result.get("global"))
    several = result.get("classes") is not None
    labels = {
        "accuracy": "Accuracy",
        **({"top_3_accuracy": "Among the three likeliest"} if "top_3_accuracy" in metrics else {}),
        "balanced_accuracy": "Balanced accuracy",
        "recall": "Recall, mean over classes" if several else "Sensitivity (recall)",
        "precision": "Precision",
        "f1": "F1",
        "auc": "AUC",
        "average_precision": "Average precision",
        "log_loss": "Log-loss",
    }
    found = []
    for key, label in labels.items():
        text = measured(metrics, key)
        pair = interval_of(metrics, key)
        if pair is not None and number(metrics.get(key)) is not None:
            said = (
                f"{score(pair[0])} to {score(pair[1])}"
                if key in ("auc", "average_precision", "log_loss")
                else interval(pair)
            )
            text = f"{text} (95{NBSP}% interval {said})"
        found.append((label, text))
    return found
