"""``aegis models export`` and ``predict``: a version leaves the registry, or answers."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import typer

from aegis.cli.options import AsJson, answer

NAME = "VERSION|RUN|HASH"


def register(group: typer.Typer) -> None:
    group.command(
        "export", epilog="Example:  aegis models export v3 --format sklearn --out model.safetensors"
    )(export)
    group.command(
        "predict", epilog="Example:  aegis models predict v3 patients.csv --out predictions.csv"
    )(predict)


def export(
    name: str = typer.Argument(..., metavar=NAME),
    kind: str = typer.Option("safetensors", "--format", help="safetensors, sklearn or onnx."),
    out: Path | None = typer.Option(None, help="The file to write [TASK-HASH.safetensors]."),
    as_json: AsJson = False,
) -> None:
    """Write a version as a file: safetensors with its card beside it, sklearn (one file that
    ``aegis.load`` reads, rows in as they are), or onnx (prepared numbers to a probability)."""
    from aegis.cli.models import opened
    from aegis.store.exporting import export as write
    from aegis.store.exporting import exported_name

    with opened() as registry:
        version = registry.find(name)
        files = write(registry, version, kind, out or Path(exported_name(version, kind)))
    if as_json:
        answer({"version": version.name, "format": kind, "files": [str(file) for file in files]})
    else:
        for file in files:
            typer.echo(f"{version.name} is in {file}")


def predict(
    name: str = typer.Argument(..., metavar=f"{NAME}|FILE"),
    rows: Path = typer.Argument(..., metavar="FILE.csv", help="Patients with the model's columns."),
    out: Path | None = typer.Option(None, help="Write a CSV (or .json) instead of printing it."),
    by_own_rows: Path | None = typer.Option(
        None, help="For data.standardize: site: a table of your hospital to standardise by."
    ),
    as_json: AsJson = False,
) -> None:
    """Probabilities for the patients in a CSV; what should be known of them is said on stderr."""
    from aegis.store.exporting import as_table
    from aegis.store.home import write_whole
    from aegis.store.predictor import load

    model = load(name)
    if by_own_rows is not None:
        model = model.localised(by_own_rows)
    given = model.read(rows)
    table = as_table(model, model.probabilities(given))
    for place, row in zip(given.places.tolist(), table, strict=True):
        row["row"] = place
    remarks = [str(remark) for remark in given.remarks]
    document = {
        "model_sha256": model.sha256,
        "task": model.task,
        "positive": model.positive,
        "rows": len(table),
        "remarks": remarks,
        "note": model.card.get("note"),
    }
    for remark in remarks:
        typer.echo(f"note: {remark}", err=True)
    if table and "probability" in table[0]:
        means = f"prediction 1 is {model.positive}, 0 is not; the probability is that of 1"
        typer.echo(f"note: {means}", err=True)
    if out is not None:
        full = json.dumps({**document, "predictions": table}, indent=1, allow_nan=False)
        text = full if out.suffix == ".json" else _csv(table)
        write_whole(out, text.encode())
    if as_json:
        answer({**document, "predictions": table, "file": None if out is None else str(out)})
    elif out is not None:
        typer.echo(f"{len(table)} predictions of {model.positive} are in {out}")
    else:
        sys.stdout.write(_csv(table))


def _csv(table: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    names = ["row", *(name for name in table[0] if name != "row")]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()
