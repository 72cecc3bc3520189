"""``aegis bench``: our engine beside others, in one run on this machine."""

from __future__ import annotations

from pathlib import Path

import typer

from aegis.cli.options import AsJson, answer


def register(app: typer.Typer) -> None:
    app.command("bench", epilog="Example:  aegis bench engine --hospitals 8 --hospitals 100")(bench)


def bench(
    name: str = typer.Argument(
        "engine",
        help="engine: rounds per second beside Flower and others; privacy: DP-SGD beside Opacus; "
        "secagg: a sealed sum beside Flower's; rules: robust rules beside Flower and ByzFL; "
        "transports: rounds over real roads beside Flower's own nodes; "
        "console: the coordinator's window under load, and the weight of its pages; "
        "scale: how time and memory grow with hospitals, parameters and rounds.",
    ),
    hospitals: list[int] | None = typer.Option(
        None,
        help="Sizes to measure [engine: 8 100 1000; privacy: 100; secagg: 50 8 100; "
        "rules: 10 100 20; transports: 4; scale: none above the largest, 1000].",
    ),
    out: Path | None = typer.Option(
        None, help="Also write FILE.json and FILE.md (scale: FILE.png too)."
    ),
    as_json: AsJson = False,
) -> None:
    """Measure side by side with peers; quote the ratios, not the times."""
    import os

    from aegis.errors import BadInput

    os.environ["AEGIS_DATABASE_URL"] = ""  # what is measured lives in folders that are thrown away

    def told(line: str) -> None:
        typer.echo(line, err=True)

    if name == "engine":
        from aegis.bench.engine import engine
        from aegis.bench.table import table

        document = engine(tuple(hospitals or (8, 100, 1000)), told=told)
        text = table(document)
    elif name == "privacy":
        from aegis.bench import privacy

        document = privacy.privacy(tuple(hospitals or (100,)), told=told)
        text = privacy.table(document)
    elif name == "secagg":
        from aegis.bench import secagg

        document = secagg.secagg(tuple(hospitals or (50, 8, 100)), told=told)
        text = secagg.table(document)
    elif name == "rules":
        from aegis.bench import rules

        document = rules.rules(tuple(hospitals or (10, 100, 20)), told=told)
        text = rules.table(document)
    elif name == "transports":
        from aegis.bench import transports

        document = transports.transports((hospitals or [4])[0], told=told)
        text = transports.table(document)
    elif name == "console":
        from aegis.bench import console

        document = console.console(told=told)
        text = console.table(document)
    elif name == "scale":
        from aegis.bench import scale

        document = scale.scale(tuple(hospitals or ()), told=told)
        text = scale.table(document)
    else:
        raise BadInput(
            f"no benchmark is called {name}",
            "there are: engine, privacy, secagg, rules, transports, console, scale",
        )
    if out is not None:
        import json

        from aegis.store.home import write_whole

        write_whole(out.with_suffix(".json"), json.dumps(document, indent=1).encode())
        write_whole(out.with_suffix(".md"), text.encode())
        if name == "scale":
            from aegis.bench.scale_picture import picture

            picture(document, out.with_suffix(".png"))
    if as_json:
        answer(document)
    else:
        typer.echo(text)
