"""``aegis bench``: our engine beside others, in one run on this machine."""

from __future__ import annotations

from pathlib import Path

import typer

from aegis.cli.options import AsJson, answer


def register(app: typer.Typer) -> None:
    app.command("bench", epilog="Example:  aegis bench engine --hospitals 8 --hospitals 100")(bench)


def bench(
    name: str = typer.Argument(
        "engine", help="engine: rounds per second beside Flower and others."
    ),
    hospitals: list[int] | None = typer.Option(None, help="Sizes to measure [8 100 1000]."),
    out: Path | None = typer.Option(None, help="Also write FILE.json and FILE.md."),
    as_json: AsJson = False,
) -> None:
    """Measure side by side with peers; quote the ratios, not the times."""
    from aegis.errors import BadInput

    if name != "engine":
        raise BadInput(f"no benchmark is called {name}", "there is: engine")
    from aegis.bench.engine import engine
    from aegis.bench.table import table

    document = engine(tuple(hospitals or (8, 100, 1000)), told=lambda t: typer.echo(t, err=True))
    text = table(document)
    if out is not None:
        import json

        from aegis.store.home import write_whole

        write_whole(out.with_suffix(".json"), json.dumps(document, indent=1).encode())
        write_whole(out.with_suffix(".md"), text.encode())
    if as_json:
        answer(document)
    else:
        typer.echo(text)
