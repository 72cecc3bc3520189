"""A finished run in a terminal: verdict, comparison, what is true about privacy, files."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from aegis.report.summary import CLEAR, comparison_rows, partition_rows, summary_lines


def show_result(document: dict[str, Any]) -> None:
    console = Console(highlight=False)
    console.print()
    for label, value in summary_lines(document):
        if label:
            console.print(f"[bold]{escape(label)}[/bold]: ", end="")
        console.print(value, markup=False)
    for title, (header, rows) in (
        ("What each hospital holds", partition_rows(document)),
        ("The shared model and each hospital's own", comparison_rows(document)),
    ):
        if rows:
            table = Table(*header, box=None, pad_edge=False, title=title, title_justify="left")
            table.columns[0].no_wrap = True
            for row in rows:
                table.add_row(*(escape(cell) for cell in row))
            console.print()
            console.print(table)
    console.print(f"{CLEAR} clear: the 95 % interval leaves zero out", markup=False)
    for name, value in (document.get("own_figures") or {}).items():
        console.print(
            f"{name}: {'not a number' if value is None else f'{value:.3f}'}", markup=False
        )
    if document.get("own_figures_reason"):
        console.print(document["own_figures_reason"], markup=False)
    console.print()
    for name, path in document.get("files", {}).items():
        console.print(f"{name:<24} {path}", markup=False, soft_wrap=True)


def show_runs(rows: list[dict[str, Any]]) -> None:
    """One line a run, never cut: names are there to be copied."""
    if not rows:
        print("No run yet. Start with: aegis demo")
    for row in rows:
        print(f"{row['run']}  {row['started'][:19]}Z  {row['state']}")


def show_attack(document: dict[str, Any]) -> None:
    """One row for each rule, then what it comes to."""
    from aegis.report.dishonesty import says, table

    console = Console(highlight=False)
    title = f"{document['attack']}: {says(document)} ({document['paper']})"
    header, rows = table(document)
    shown = Table(*header, box=None, pad_edge=False)
    shown.columns[0].no_wrap = True
    for row in rows:
        shown.add_row(*(escape(cell) for cell in row))
    console.print()
    console.print(title, markup=False, soft_wrap=True)
    console.print(shown)
    console.print()
    if document["note"]:
        console.print(document["note"], markup=False, soft_wrap=True)
    console.print(f"Dishonest: {', '.join(document['dishonest'])}", markup=False)
    console.print(document["reading"], markup=False, soft_wrap=True)
    for name, path in document["files"].items():
        console.print(f"{name:<24} {path}", markup=False, soft_wrap=True)
