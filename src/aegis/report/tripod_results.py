"""What a run knows of the checklist's open science, results and discussion (TRIPOD+AI)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aegis.report.fairness_page import fairness_line
from aegis.report.gains import gains, measure
from aegis.report.tripod_methods import preparation
from aegis.report.usefulness_page import usefulness_line
from aegis.report.verdict import headline, training_patients
from aegis.report.wording import (
    DISCLAIMER,
    counted,
    interval,
    interval_of,
    mapping,
    number,
    patients,
    percent,
    score,
    sequence,
)

Result = Mapping[str, Any]


def protocol(result: Result) -> str:
    return f"The plan was fixed before the run; its SHA-256 is {result.get('plan_sha256')}."


def data_sharing(result: Result) -> str:
    credits = mapping(result.get("data")).get("credits")
    return f"Data: {credits}." if credits else ""


def code(result: Result) -> str:
    return (
        f"Aegis {result.get('aegis') or ''}, open source (MIT licence). The run is repeated with "
        "the commands in its report."
    ).replace("  ", " ")


def flow(result: Result) -> str:
    hospitals = [mapping(h) for h in sequence(mapping(result.get("partition")).get("hospitals"))]
    parts = []
    for hospital in hospitals[:12]:
        train, test = number(hospital.get("train")), number(hospital.get("test"))
        if train is None or test is None:
            continue
        name = hospital.get("hospital")
        parts.append(f"{name} {patients(train)} for training, {patients(test)} for testing")
    return f"{'; '.join(parts)}." if parts else ""


def characteristics(result: Result) -> str:
    found = mapping(result.get("table_one"))
    rows = sequence(found.get("rows"))
    return f"In the report’s table of patients ({len(rows)} rows)." if rows else ""


def events(result: Result) -> str:
    found = mapping(result.get("usefulness"))
    n, ill = number(found.get("examples")), number(found.get("positives"))
    trained = training_patients(result)
    if n is None or ill is None or trained is None:
        return ""
    return f"Training: {trained:,} patients. Testing: {n:,.0f} patients, {ill:,.0f} with it."


def specification(result: Result) -> str:
    sha256, files = result.get("model_sha256"), mapping(result.get("files"))
    if not sha256:
        return ""
    where = files.get("model")
    name = str(where).rsplit("/", 1)[-1] if where else ""
    return (
        f"All parameters are in the model file{f' {name}' if name else ''} (safetensors, SHA-256 "
        f"{sha256}), with the preparation of the inputs in its card."
    )


def performance(result: Result) -> str:
    found = mapping(result.get("global"))
    accuracy, auc = measure(found), number(found.get("auc"))
    if accuracy is None:
        return ""
    text = f"Accuracy {percent(accuracy.value)} ({interval(accuracy.interval)})"
    pair = interval_of(found, "auc")
    if auc is not None:
        text += f", AUC {score(auc)}"
        text += "" if pair is None else f" ({score(pair[0])} to {score(pair[1])})"
    return f"{text} on {number(found.get('examples')) or 0:,.0f} test patients. {groups(result)}"


def groups(result: Result) -> str:
    """Accuracy in each group that may be told."""
    parts = []
    for one in map(mapping, sequence(mapping(result.get("fairness")).get("attributes"))):
        if one.get("attribute") == "hospital":
            continue
        for group in map(mapping, sequence(one.get("groups"))):
            found = mapping(group.get("accuracy"))
            value, pair = number(found.get("value")), interval_of(found, "")
            if value is not None and pair is not None:
                parts.append(f"{group.get('group')} {percent(value)} ({interval(pair)})")
    return f"Accuracy by group: {'; '.join(parts)}." if parts else ""


def heterogeneity(result: Result) -> str:
    parts = []
    for gain in gains(result)[:12]:
        if gain.shared is None or gain.withheld:
            continue
        sure = f" ({interval(gain.shared.interval)})" if gain.shared.interval else ""
        parts.append(f"{gain.hospital} {percent(gain.shared.value)}{sure}")
    return f"Accuracy by hospital: {'; '.join(parts)}." if parts else ""


def updated(result: Result) -> str:
    found = mapping(mapping(result.get("usefulness")).get("calibration"))
    hospitals = [mapping(one) for one in sequence(found.get("hospitals"))]
    judged = [one for one in hospitals if mapping(one.get("recalibration"))]
    if not judged:
        return ""
    advised = [
        str(one.get("name"))
        for one in judged
        if mapping(one.get("recalibration")).get("advised") is True
    ]
    if not advised:
        return (
            "Recalibration saved no measurable log-loss in any of "
            f"{counted(len(judged), 'hospital')} with enough patients, so none is advised."
        )
    return f"Recalibration saved log-loss in {', '.join(advised)} and is advised there."


def interpretation(result: Result) -> str:
    return " ".join(
        text for text in (headline(result), fairness_line(result), usefulness_line(result)) if text
    )


def limitations(result: Result) -> str:
    parts = [f"{DISCLAIMER} Rows were divided once; another division may move every figure."]
    if result.get("transport") == "inprocess":
        parts.append("Hospitals were simulated on one machine.")
    if mapping(result.get("data")).get("synthetic") is True:
        parts.append("The data are synthetic: no figure says anything about real patients.")
    return " ".join(parts)


def inputs(result: Result) -> str:
    return (
        "A missing input is filled in as in training; an unknown category counts as none of the "
        "known ones."
        if preparation(result)
        else ""
    )
