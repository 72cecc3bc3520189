"""The files of a finished run, each written whole: result, history, plan, pictures, report."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from aegis.plan import Plan
from aegis.report.html import html_report
from aegis.report.pictures import accuracy_over_rounds, local_against_federated
from aegis.report.statement import statement, statement_html
from aegis.store.home import write_whole

COLUMNS = ("accuracy", "balanced_accuracy", "auc", "average_precision", "log_loss")
COUNTED = ("precision", "recall", "f1", "examples")


def write_files(document: dict[str, Any], plan: Plan, folder: Path) -> None:
    """Write everything under ``folder`` and name it in ``document["files"]``."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = document.setdefault("files", {})
    files["plan"] = _write(folder / "plan.json", plan.to_json().encode())
    files["history"] = _write(folder / "history.csv", history_csv(document).encode())
    picture = folder / "aegis_results.png"
    accuracy_over_rounds(document, picture)
    files["plot"] = str(picture)
    if document.get("comparison"):
        against = folder / "local_against_federated.png"
        local_against_federated(document, against)
        files["local_against_federated"] = str(against)
    stated = statement(document)
    files["privacy_statement"] = str(folder / "privacy_statement.html")
    _write(folder / "privacy_statement.html", statement_html(stated).encode())
    stored = json.dumps(stated, indent=1).encode()
    _write(folder / "privacy_statement.json", stored)
    _write(Path(files["model"]).with_suffix(".privacy.json"), stored)
    if (attacked := document.get("membership_audit")) is not None:
        files["membership_audit"] = str(folder / "mia_privacy_audit.json")
        kept = {key: value for key, value in attacked.items() if key != "text"}
        _write(folder / "mia_privacy_audit.json", json.dumps(kept, indent=1).encode())
        _write(folder / "mia_privacy_audit.txt", attacked["text"].encode())
    if (fairness := document.get("fairness")) is not None:
        told = {key: document.get(key) for key in ("run", "task", "model_sha256", "trust")}
        stored = json.dumps({**told, **fairness}, indent=1, allow_nan=False).encode()
        files["fairness"] = _write(folder / "fairness.json", stored)
    files["report"] = str(folder / "report.html")
    _write(folder / "report.html", html_report(document).encode())
    write_result(document, folder)


def write_result(document: dict[str, Any], folder: Path) -> None:
    """Write the result alone: what every other file is made from, and what a report reads."""
    document.setdefault("files", {})["result"] = str(folder / "result.json")
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "result.json", json.dumps(document, indent=1, allow_nan=False).encode())


def history_csv(document: dict[str, Any]) -> str:
    """One row per closed round: what was measured, on which rows, who was absent."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    several = any("top_3_accuracy" in closed["global"] for closed in document["history"])
    columns = (*COLUMNS, *(("top_3_accuracy",) if several else ()), *COUNTED)
    writer.writerow(("round", "part", *columns, "learning_rate", "seconds", "absent"))
    for closed in document["history"]:
        metrics = closed["global"]
        values = [metrics.get(name) for name in columns]
        shown = ["" if value is None else value for value in values]
        writer.writerow(
            (
                closed["round"],
                closed["part"],
                *shown,
                closed["learning_rate"],
                closed["seconds"],
                " ".join(closed["absent"]),
            )
        )
    return text.getvalue()


def _write(path: Path, data: bytes) -> str:
    write_whole(path, data)
    return str(path)
