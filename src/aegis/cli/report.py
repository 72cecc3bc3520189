"""``aegis report``: the report of a stored run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from aegis.cli.options import AsJson, answer
from aegis.errors import BadInput


def register(app: typer.Typer) -> None:
    app.command("report", epilog="Example:  aegis report latest --html report.html")(report)


def report(
    run: str = typer.Argument("latest", help="A run's name, or latest."),
    html: Path | None = typer.Option(None, help="Write the report as one HTML file."),
    pdf: Path | None = typer.Option(None, help="Print the report to a PDF file, by Chromium."),
    tripod: Path | None = typer.Option(
        None, help="Write the TRIPOD+AI checklist, filled where the run can (.md or .json)."
    ),
    listed: bool = typer.Option(False, "--list", help="List the stored runs."),
    as_json: AsJson = False,
) -> None:
    """Show a stored run again, or write its report as one file that opens offline."""
    from aegis import states
    from aegis.cli.showing import show_result, show_runs
    from aegis.store.home import Home, write_whole
    from aegis.store.journal import Journal
    from aegis.store.way_on import way_on

    home = Home.from_environment()
    if not home.database.exists():
        raise BadInput(f"{home.root} holds no run yet", way_out="Start with: aegis demo")
    journal = Journal(home.database)
    try:
        names = journal.runs()
        if listed:
            stored = [journal.run(name) for name in names]
            rows = [
                {"run": s.run, "task": s.task, "started": s.started, "state": states.name(s.state)}
                for s in stored
            ]
            answer({"runs": rows}) if as_json else show_runs(rows)
            return
        if run == "latest":
            if not names:
                raise BadInput(f"{home.root} holds no run yet", way_out="Start with: aegis demo")
            run = names[0]
        kept = journal.run(run)
    finally:
        journal.close()
    folder = Path(kept.options.get("out") or home.results(run))
    try:
        document = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        why = f"yet (it is in {states.name(kept.state)})"
        if isinstance(kept.state, states.Failed):
            why = f"(it was aborted: {kept.state.reason})"
        raise BadInput(f"the run {run} has no result {why}", way_out=way_on(kept)) from error
    if html is not None:
        from aegis.report.html import html_report

        write_whole(html, html_report(document).encode())
        document["files"]["report"] = str(html)
    if pdf is not None:
        from aegis.report.html import html_report
        from aegis.report.pdf import pdf_of

        write_whole(pdf, pdf_of(html_report(document)))
        document["files"]["pdf"] = str(pdf)
    if tripod is not None:
        _write_tripod(document, tripod)
        document["files"]["tripod"] = str(tripod)
    if as_json:
        answer(document)
    elif html is not None or pdf is not None:
        written = " and ".join(str(path) for path in (html, pdf) if path is not None)
        typer.echo(f"The report of {run} is in {written}")
    elif tripod is not None:
        typer.echo(f"The TRIPOD+AI checklist of {run} is in {tripod}")
    else:
        show_result(document)


def _write_tripod(document: dict[str, Any], path: Path) -> None:
    from aegis.report.tripod import tripod_json, tripod_markdown
    from aegis.store.home import write_whole

    kinds = {".md": tripod_markdown, ".json": tripod_json}
    if path.suffix not in kinds:
        raise BadInput(
            f"{path} does not say what the checklist is to be written as",
            "its name ends in .md or .json",
        )
    write_whole(path, kinds[path.suffix](document).encode())
