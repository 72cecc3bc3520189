"""A finished run for the terminal: lines of (label, value) and tables, plain text without colour.

The tables are those of the page, so the two can never disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aegis.report import verdict
from aegis.report.benefit_page import benefit_sentence, outside_sentence
from aegis.report.disclosure import (
    attacked,
    coordinator_saw,
    epsilon,
    has_noise,
    logged,
    mechanism,
)
from aegis.report.fairness_page import fairness_line
from aegis.report.gains import Gain, gains, measure, own_together, travelled
from aegis.report.hospital_tables import hospital_table, partition_table
from aegis.report.run_tables import best_round
from aegis.report.tables import Table, shown_hospitals
from aegis.report.usefulness_page import usefulness_line
from aegis.report.withheld import WITHHELD, in_place_of_number
from aegis.report.wording import (
    DISCLAIMER,
    MINUS,
    NBSP,
    absent,
    interval,
    mapping,
    measured,
    number,
    percent,
    seconds,
    sequence,
    signed,
    significant,
    span,
    task_title,
)

CLEAR = "*"  # beside a difference whose interval leaves zero out
Rows = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]


def summary_lines(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(label, value) of what a finished run came to; the disclaimer, last, has no label."""
    lines = [
        *_run(result),
        *_rounds(result),
        *_verdict(result),
        *_beyond(result),
        *_privacy(result),
    ]
    return [*((label, _plain(value)) for label, value in lines), ("", DISCLAIMER)]


def comparison_rows(result: Mapping[str, Any]) -> Rows:
    """Header and rows of own model against shared model, 80 characters wide for short names; no
    rows where nothing was compared. The intervals of both models are on the page."""
    header = ("Hospital", "Tested", "Own", "Shared", "Difference (points)", "Own, all patients")
    shown, _ = shown_hospitals(result)
    found = [gain for gain in gains(result) if gain.hospital in shown]
    if all(gain.own is None and gain.shared is None for gain in found):
        return (), ()
    away = {gain.hospital: gain for gain in travelled(result)}
    rows = ((*_compared(gain), _on_all_patients(away.get(gain.hospital))) for gain in found)
    return header, tuple(tuple(_plain(cell) for cell in row) for row in rows)


def hospital_rows(result: Mapping[str, Any]) -> Rows:
    """Header and rows of the shared model at each hospital, with a word where a figure is n/a."""
    return _plain_rows(hospital_table(result))


def partition_rows(result: Mapping[str, Any]) -> Rows:
    """Header and rows of what each hospital holds, without columns that nobody has a value in; no
    rows where only hospitals know."""
    header, rows = _plain_rows(partition_table(result))
    kept = [i for i in range(len(header)) if not all(row[i].startswith("n/a") for row in rows)]
    return tuple(header[i] for i in kept), tuple(tuple(row[i] for i in kept) for row in rows)


def _run(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    data = mapping(result.get("data"))
    title = task_title(result)
    return [
        ("Run", str(result.get("run") or "unnamed")),
        ("Status", str(result.get("status") or "not recorded")),
        ("Task", f"{title}, SYNTHETIC data" if data.get("synthetic") is True else title),
        ("Took part", verdict.subtitle(result)),
        ("Time", seconds(result.get("seconds"))),
    ]


def _rounds(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """First, last and best scored round, and how far the loss fell between the first two."""
    scored = [
        entry
        for entry in map(mapping, sequence(result.get("history")))
        if number(mapping(entry.get("global")).get("accuracy")) is not None
    ]
    if not scored:
        return [("Rounds", "n/a: no round was scored")]
    best = best_round(result)
    found = [
        ("First scored round", _round(scored[0])),
        ("Last scored round", _round(scored[-1])),
        *(("Best round", _round(entry)) for entry in scored if entry.get("round") == best),
    ]
    first = number(mapping(scored[0].get("global")).get("log_loss"))
    last = number(mapping(scored[-1].get("global")).get("log_loss"))
    if first is None or last is None:
        change = absent(scored[0].get("global"), "log_loss")
    elif not first:
        change = "n/a: the first loss was 0"
    else:
        change = f"{percent(1 - last / first)} (log-loss {first:.3f} to {last:.3f})"
    return [*found, ("Loss reduced by", change)]


def _round(entry: Mapping[str, Any]) -> str:
    metrics = mapping(entry.get("global"))
    texts = [f"accuracy: {measured(metrics, 'accuracy')}", f"AUC: {measured(metrics, 'auc')}"]
    texts.append(f"log-loss: {measured(metrics, 'log_loss')}")
    return f"[ROUND {entry.get('round')}] " + ", ".join(texts)


def _verdict(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    overall, pooled = measure(result.get("global")), measure(result.get("pooled"))
    shared = absent(result.get("global"), "accuracy")
    three = number(mapping(result.get("global")).get("top_3_accuracy"))
    if overall is not None:
        shared = f"{percent(overall.value)}, {verdict.right_answers(result.get('global'))} patients"
        if overall.interval:
            shared += f" (95 % interval {interval(overall.interval)})"
        if three is not None:
            shared += f"; {percent(three)} among the first three"
    return [
        ("Shared model", shared),
        ("Own models", _own(result)),
        ("All rows in one place", "n/a: not computed" if pooled is None else percent(pooled.value)),
        ("Verdict", verdict.headline(result)),
    ]


def _own(result: Mapping[str, Any]) -> str:
    together, mean = own_together(result), measure(result.get("mean_local"))
    if together is not None:
        return f"{percent(together[0] / together[1])}, {together[0]:,} of {together[1]:,} patients"
    if mean is not None:
        return f"{percent(mean.value)}, mean of hospitals"
    reason = result.get("comparison_reason")
    return f"n/a: {reason}" if isinstance(reason, str) and reason else "n/a: not computed"


def _privacy(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    spent = epsilon(result)
    if not mechanism(result):
        said = "n/a: not recorded; take it for a run without differential privacy"
    elif not has_noise(result):
        said = "no differential privacy was used in this run"
    elif spent is None:
        said = "n/a: noise was added, but no epsilon was recorded"
    else:
        privacy = mapping(result.get("privacy"))
        said = (
            f"total epsilon {significant(spent)}, delta {privacy.get('delta')}, per "
            f"{privacy.get('unit')}, {privacy.get('neighbouring')}"
        )
    lines = [("Privacy", said)]
    if spent is not None:
        lines.append(("Epsilon by hospital", _spent(result)))
    return [
        *lines,
        ("Membership audit", attacked(result)),
        ("What the coordinator saw", coordinator_saw(result)),
        ("Audit log", logged(result)),
    ]


def _beyond(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is said beyond accuracy, where the result holds it."""
    found = (
        ("Noise in the scores", verdict.noise_line(result)),
        ("Mind", verdict.imbalance_line(result)),
        ("Benefit", benefit_sentence(result)),
        ("Left out of training", outside_sentence(result)),
        ("Fairness", fairness_line(result)),
        ("Per 100 patients", usefulness_line(result)),
    )
    return [(label, text) for label, text in found if text]


def _spent(result: Mapping[str, Any], most: int = 8) -> str:
    spent = [
        f"{hospital.get('name')} {significant(value)}"
        for hospital in map(mapping, sequence(result.get("hospitals")))
        if (value := number(hospital.get("epsilon"))) is not None
    ]
    return ", ".join(spent[:most]) + (f" and {len(spent) - most} more" if len(spent) > most else "")


def _compared(gain: Gain) -> tuple[str, ...]:
    if gain.withheld:
        return (gain.hospital, in_place_of_number(gain.withheld), *[WITHHELD] * 3)
    apart = "n/a: not comparable"
    if gain.difference is not None:
        apart = signed(gain.difference.value)
        if gain.difference.interval:
            apart += f" ({span(gain.difference.interval)})"
    own, shared = (
        "n/a: no model" if part is None else percent(part.value) for part in (gain.own, gain.shared)
    )
    tested = "n/a: not recorded" if gain.examples is None else f"{gain.examples:,}"
    return (gain.hospital, tested, own, shared, apart + _mark(gain))


def _on_all_patients(gain: Gain | None) -> str:
    """The hospital's own model on everybody's test patients, and what the shared one adds."""
    if gain is None or gain.own is None or gain.difference is None:
        return "n/a: not compared"
    return f"{percent(gain.own.value)} ({signed(gain.difference.value)}{_mark(gain)})"


def _mark(gain: Gain) -> str:
    return CLEAR if gain.word in ("better", "worse") else ""


def _plain(text: str) -> str:
    """A terminal may know ASCII only, and people search for plain spaces."""
    return text.replace(NBSP, " ").replace(MINUS, "-").replace("’", "'")


def _plain_rows(table: Table | None) -> Rows:
    if table is None:
        return (), ()
    rows = tuple(tuple(_plain(cell) for cell in row) for row in table.rows)
    return tuple(_plain(label) for label in table.labels), rows
