"""What a run knows of the checklist's title, aims and methods (TRIPOD+AI); nothing where it knows
nothing.

Every answer is made of the result alone, in whole sentences, so that it can stand in a paper's
supplement as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aegis.report.benefit_page import outside_sentence
from aegis.report.disclosure import epsilon, has_noise
from aegis.report.verdict import headline, hospitals_in, test_patients, training_patients
from aegis.report.wording import (
    counted,
    mapping,
    number,
    percent,
    sequence,
    significant,
    task_title,
)

Result = Mapping[str, Any]


def task(result: Result) -> str:
    synthetic = mapping(result.get("data")).get("synthetic") is True
    return f"{task_title(result)}{', SYNTHETIC data' if synthetic else ''}"


def title(result: Result) -> str:
    positive = mapping(result.get("data")).get("positive")
    find = f" (condition to find: {positive})" if positive else ""
    return (
        f"Development and internal evaluation of a diagnostic {_kind(result)}{find}, trained by "
        f"federated learning over {counted(hospitals_in(result), 'hospital')}: {task(result)}."
    )


def abstract(result: Result) -> str:
    return f"Main result: {headline(result)}"


def objectives(result: Result) -> str:
    return "Both: a model was developed, and evaluated on patients held out of its training."


def source(result: Result) -> str:
    data = mapping(result.get("data"))
    rows = number(data.get("rows"))
    text = str(data.get("source") or "")
    if not text:
        return ""
    return f"{text}." + ("" if rows is None else f" {rows:,.0f} rows.")


def setting(result: Result) -> str:
    names = [str(mapping(h).get("name")) for h in sequence(result.get("hospitals"))]
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    how = str(mapping(result.get("partition")).get("by") or "")
    real = " (the real centres)" if how == "site" else ""
    simulated = (
        " Hospitals were simulated on one machine."
        if result.get("transport") == "inprocess"
        else ""
    )
    return f"{counted(len(names), 'hospital')}{real}: {shown}.{simulated}" if names else ""


def preparation(result: Result) -> str:
    if mapping(result.get("table_one")) or result.get("odds_ratios"):
        return (
            "Columns were scaled and encoded by one rule for all hospitals, made from the sums of "
            "a statistics round and never from pooled rows: numbers centred and scaled, categories "
            "as indicators, one indicator for each column that misses values anywhere."
        )
    if has_noise(result):
        return (
            "Columns were mapped by public ranges that are known without any patient; what more "
            "was learned about their spread was charged to the privacy budget."
        )
    return ""


def outcome(result: Result) -> str:
    data = mapping(result.get("data"))
    names = [str(name) for name in sequence(data.get("classes"))]
    if names:
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        return f"One of {len(names)} classes: {', '.join(names[:10])}{more}."
    positive = data.get("positive")
    return f"Binary: {positive}, present or absent." if positive else ""


def predictors(result: Result) -> str:
    rows = [mapping(row) for row in sequence(result.get("odds_ratios"))]
    if not rows:
        return ""
    labels = [str(row.get("label") or row.get("feature")) for row in rows]
    return f"The model has {counted(len(labels), 'input')}: {', '.join(labels[:40])}."


def sample_size(result: Result) -> str:
    trained, tested = training_patients(result), test_patients(result)
    if trained is None or tested is None:
        return ""
    return f"All rows were used: {trained:,} for training, {tested:,} for testing."


def missing(result: Result) -> str:
    if not preparation(result):
        return ""
    if has_noise(result):
        filled = "the middle of its public range"
    else:
        filled = "the mean of all hospitals’ training rows"
    text = (
        f"A missing number takes {filled}, a missing category none of the categories, and columns "
        "that are known to miss values have an indicator."
    )
    if mapping(result.get("table_one")):
        text += " How often values are missing is in the report’s table of patients."
    return text


def division(result: Result) -> str:
    how = mapping(result.get("partition")).get("by")
    seed = result.get("seed")
    if how is None and seed is None:
        return ""
    real = "each real centre is a hospital" if how == "site" else f"to hospitals by {how}"
    return (
        f"Rows were divided {real}, and within each hospital once into training and test rows "
        f"(seed {seed}). Test rows had no part in training or in any choice."
    )


def building(result: Result) -> str:
    rounds, rule = number(result.get("rounds")), result.get("rule")
    if rounds is None:
        return ""
    text = (
        f"{_kind(result).capitalize()}, solver {result.get('solver')}, {rounds:.0f} rounds, "
        f"combined by {rule}. The plan with every setting has the SHA-256 "
        f"{result.get('plan_sha256')}."
    )
    if has_noise(result):
        spent = epsilon(result)
        delta = mapping(result.get("privacy")).get("delta")
        if spent is not None:
            text += f" Differential privacy: total epsilon {significant(spent)} at delta {delta}."
    return text


def clusters(result: Result) -> str:
    text = (
        "Every figure is given for each hospital too, as far as hospitals share it; the variance "
        "of accuracy between hospitals is part of the fairness section."
    )
    if any(mapping(row).get("personal") for row in _compared(result)):
        text += " The shared model was also fitted to each hospital afterwards."
    if "leave_one_out" in result:
        text += " Each hospital was left out of the training once."
    return text


def measures(result: Result) -> str:
    return (
        "Accuracy, balanced accuracy, sensitivity, specificity, precision, F1, AUC, average "
        "precision and log-loss, with bootstrap or score intervals; calibration plot, intercept "
        "and slope; decision curve; all from counts of patients by predicted chance."
    )


def updating(result: Result) -> str:
    found = mapping(mapping(result.get("usefulness")).get("calibration"))
    if not found:
        return ""
    return (
        "Logistic recalibration (intercept and slope) was fitted at each hospital and judged by "
        "cross-fitting; it was not applied to the figures of the shared model."
    )


def predictions(result: Result) -> str:
    if mapping(result.get("data")).get("classes"):
        return (
            "Each hospital applied the final model to its own test rows; a patient is called the "
            "class with the largest predicted chance."
        )
    return (
        "Each hospital applied the final model to its own test rows; a patient is called positive "
        "from a predicted chance of one half."
    )


def imbalance(result: Result) -> str:
    found = mapping(result.get("usefulness"))
    n, ill = number(found.get("examples")), number(found.get("positives"))
    share = "" if not n or ill is None else f" Of the test patients {percent(ill / n)} have it."
    weights = [number(value) for value in sequence(result.get("class_weights"))]
    if weights:
        said = ", ".join(f"{value:g}" for value in weights if value is not None)
        return f"Rows of each class counted {said} times in training, as the plan said.{share}"
    return f"No rows were weighted or resampled for class imbalance.{share}"


def fairness_methods(result: Result) -> str:
    found = mapping(result.get("fairness"))
    titles = [
        str(mapping(one).get("title")).lower()
        for one in sequence(found.get("attributes"))
        if sequence(mapping(one).get("groups"))
    ]
    if not titles:
        return ""
    limits = mapping(found.get("thresholds"))
    return (
        f"Groups by {', '.join(titles)} were compared in accuracy, equalised odds, calibration, "
        "demographic parity and disparate impact. Limits set beforehand: a gap in accuracy of "
        f"{limits.get('accuracy_parity')}, a variance between hospitals of "
        f"{limits.get('hospital_variance')}."
    )


def output(result: Result) -> str:
    return "A chance between 0 and 1; figures that need a threshold use one half. " + (
        "What other thresholds come to is in the report."
        if mapping(result.get("usefulness"))
        else ""
    )


def training_and_evaluation(result: Result) -> str:
    trained, tested = training_patients(result), test_patients(result)
    if trained is None or tested is None:
        return ""
    return (
        f"{trained:,} training and {tested:,} test patients of the same hospitals. "
        f"{outside_sentence(result)}".strip()
    )


def _kind(result: Result) -> str:
    model = str(result.get("model") or "model")
    return "logistic regression" if model == "logistic" else f"neural network ({model})"


def _compared(result: Result) -> list[Any]:
    return list(sequence(mapping(result.get("comparison")).get("hospitals")))
