"""What the page and the terminal say about benefit beyond shared against own: the shared model
fitted to each hospital afterwards, all rows in one place, and hospitals left out of the training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aegis.report.gains import Measure, measure
from aegis.report.hospital_tables import share_with_interval
from aegis.report.tables import MOST_ROWS, Table
from aegis.report.withheld import WITHHELD, counts, in_place_of_number, kept_back, without_figures
from aegis.report.wording import (
    MINUS,
    NBSP,
    absent,
    counted,
    interval_of,
    mapping,
    measured,
    number,
    percent,
    points,
    score,
    sequence,
)

METHODS = {
    "site effects": "Fitting adds to the shared model a site intercept and site slopes, as strong "
    "as the evidence of the hospital’s own training rows allows (empirical Bayes); “as shared” "
    "says that it asks for none.",
    "fine-tuning": "Fitting trains on from the shared model, for as many passes over the "
    "hospital’s own training rows as cross-validation among them finds best; “as shared” says "
    "none.",
}


def benefit_sentence(result: Mapping[str, Any]) -> str:
    """What joining came to over all hospitals, in the page's characters."""
    text = mapping(result.get("comparison")).get("sentence")
    if not isinstance(text, str):
        return ""
    text = text.replace("'", "’").replace("95 % ", f"95{NBSP}% ")
    return text.replace(" -", f" {MINUS}").replace("(-", f"({MINUS}")


def personal_table(result: Mapping[str, Any]) -> Table | None:
    """The shared model as it is, fitted to the hospital, and a model of all rows, at home."""
    rows = [mapping(row) for row in sequence(mapping(result.get("comparison")).get("hospitals"))]
    fitted = [row for row in rows if row.get("tuned") is not None][:MOST_ROWS]
    if not fitted:
        return None
    methods = {str(mapping(row.get("personal")).get("method")) for row in fitted}
    why = without_figures(result)
    note = " ".join(METHODS[name] for name in sorted(methods) if name in METHODS)
    return Table(
        "The shared model on each hospital’s test patients, as it is and fitted to the hospital, "
        "and a model of all rows in one place",
        (
            ("Hospital", False),
            ("Test patients", True),
            ("Shared model", True),
            ("Fitted to the hospital", True),
            ("Change by fitting", True),
            ("Change in log-loss", True),
            ("All rows in one place", True),
            ("How it was fitted", False),
        ),
        tuple(_personal(row, why.get(_name(row))) for row in fitted),
        f"{note} Below zero, a change in log-loss is better. The fitted model stays in the "
        "hospital: no noise covers what it holds.",
    )


def _name(row: Mapping[str, Any]) -> str:
    return str(row.get("name", "unnamed"))


def _personal(row: Mapping[str, Any], why: str | None) -> tuple[str, ...]:
    name, n = _name(row), number(row.get("examples"))
    personal = mapping(row.get("personal"))
    how = str(personal.get("how") or "n/a: not recorded")
    if why is not None:
        return (name, in_place_of_number(why), *[WITHHELD] * 5, how)
    change = measure(row.get("tuned_difference"))
    return (
        name,
        "n/a: not recorded" if n is None else f"{n:,.0f}",
        _share(measure(row.get("federated"))),
        share_with_interval(measure(row.get("tuned"))),
        "n/a: not compared" if change is None else points(change.value, change.interval),
        _loss_change(personal),
        _share(measure(row.get("pooled"))),
        how,
    )


def _loss_change(personal: Mapping[str, Any]) -> str:
    loss = mapping(personal.get("log_loss"))
    value, pair = number(loss.get("difference")), interval_of(loss, "")
    if value is None or pair is None:
        return "n/a: not measured"
    if value == pair[0] == pair[1] == 0:
        return "none"
    return f"{_three(value)} ({_three(pair[0])} to {_three(pair[1])})"


def _three(value: float) -> str:
    return f"{value:+.3f}".replace("-", MINUS)


def outside_table(result: Mapping[str, Any]) -> Table | None:
    """Each hospital, served by a model that it had no part in."""
    rows = [mapping(row) for row in sequence(mapping(result.get("leave_one_out")).get("hospitals"))]
    if not rows:
        return None
    sizes = {_name(row): number(row.get("examples")) for row in rows}
    held, why = counts(sizes), kept_back(sizes)
    untested = kept_back({_name(row): number(row.get("test_examples")) for row in rows})
    return Table(
        "A model trained without the hospital, on all of the hospital’s patients",
        (
            ("Left out", False),
            ("Patients", True),
            ("Accuracy", True),
            ("AUC", True),
            ("On its test patients", True),
            ("If it takes part", True),
            ("What taking part adds", True),
        ),
        tuple(
            _outside(row, held[_name(row)], why.get(_name(row)), _name(row) in untested)
            for row in rows[:MOST_ROWS]
        ),
        "The model is made anew without the hospital, statistics and all, and scored on every row "
        "that the hospital holds. The last three columns are about its test patients only, whom "
        "neither model was trained on.",
    )


def _outside(row: Mapping[str, Any], held: str, why: str | None, untested: bool) -> tuple[str, ...]:
    name, figures, at_home = _name(row), mapping(row.get("outside")), mapping(row.get("on_test"))
    tested = number(row.get("test_examples"))
    if why is not None:
        return (name, held, why, *[WITHHELD] * 4)
    if not figures:
        return (name, "n/a: not trained", str(row.get("reason") or "not recorded"), *["none"] * 4)
    accuracy = measure(figures)
    home: tuple[str, ...] = (WITHHELD, WITHHELD, WITHHELD)
    if tested is None:
        home = ("n/a: no test patients", "n/a: no test patients", "n/a: no test patients")
    elif not untested:
        change = measure(at_home.get("difference"))
        home = (
            _share(measure(at_home.get("outside"))),
            _share(measure(at_home.get("inside"))),
            "n/a: not compared" if change is None else points(change.value, change.interval),
        )
    return (
        name,
        held,
        share_with_interval(accuracy),
        _auc(figures),
        *home,
    )


def _share(found: Measure | None) -> str:
    return "n/a: not measured" if found is None else percent(found.value)


def _auc(figures: Mapping[str, Any]) -> str:
    pair = interval_of(figures, "auc")
    if number(figures.get("auc")) is None:
        return absent(figures, "auc")
    text = measured(figures, "auc")
    return text if pair is None else f"{text} ({score(pair[0])} to {score(pair[1])})"


def outside_sentence(result: Mapping[str, Any]) -> str:
    """What leaving hospitals out came to; empty where it was not asked for."""
    if "leave_one_out" not in result:
        return ""
    found = mapping(result.get("leave_one_out"))
    rows = [mapping(row) for row in sequence(found.get("hospitals"))]
    if not rows:
        reason = result.get("leave_one_out_reason")
        return f"No hospital was left out: {reason or 'not computed'}."
    changes = [
        pair
        for row in rows
        if (pair := interval_of(mapping(row.get("on_test")).get("difference"), "")) is not None
    ]
    better, worse = sum(low > 0 for low, _ in changes), sum(high < 0 for _, high in changes)
    mean = mapping(found.get("mean"))
    accuracy, auc = number(mean.get("accuracy")), number(mean.get("auc"))
    text = f"Each of {counted(len(rows), 'hospital')} was left out once"
    if accuracy is not None:
        text += f"; the model of the others was right for {percent(accuracy)} of its patients"
        text += "" if auc is None else f", AUC {auc:.3f}"
        text += " (means of hospitals)"
    return (
        f"{text}. Taking part was clearly better for the hospital’s own patients in "
        f"{better or 'none'} of {len(changes)}, clearly worse in {worse or 'none'}."
    )
