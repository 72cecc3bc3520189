"""``aegis attack``: the same run with some hospitals dishonest."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from aegis.cli.options import AsJson, Settings, answer, overrides, read_plan


def register(app: typer.Typer) -> None:
    app.command(
        "attack",
        epilog="Example:  aegis attack examples/wisconsin.yaml --attack scaling --byzantine 2"
        " --rules fedavg,centered_clipping --set federated.num_clients=11",
    )(attack)


def attack(
    plan_file: Path = typer.Argument(..., metavar="PLAN.yaml", help="The plan to attack."),
    name: str = typer.Option(
        ...,
        "--attack",
        help="label_flip, sign_flip, gaussian, alie, inner_product, scaling, mimic, sybil or "
        "backdoor.",
    ),
    byzantine: int = typer.Option(..., help="How many hospitals are dishonest."),
    adaptive: bool = typer.Option(
        False, "--adaptive", help="They know the rule and search the strength that hurts most."
    ),
    rules: str = typer.Option("", help="Rules to compare, with commas [the plan's own]."),
    out: Path | None = typer.Option(None, help="Where the result goes [results/ATTACK-...]."),
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Run a plan with some simulated hospitals dishonest, beside the same run with all honest."""
    import os
    import sys
    from datetime import UTC, datetime

    from aegis.report import dishonesty
    from aegis.simulation.attacking import attacked
    from aegis.simulation.attacks import attack as found
    from aegis.store.home import Home, write_whole

    chosen = found(name, adaptive=adaptive)
    wanted = tuple(dict.fromkeys(rule.strip() for rule in rules.split(",") if rule.strip()))
    plan = read_plan(plan_file, overrides(settings)).plan
    directory = os.environ.get("AEGIS_DATA_DIR")

    def told(text: str) -> None:
        if not as_json:
            print(text, file=sys.stderr)

    document = attacked(
        plan,
        chosen,
        byzantine,
        rules=wanted,
        data_directory=Path(directory) if directory else None,
        told=told,
    )
    document["reading"] = dishonesty.reading(document)
    if out is None:
        home = Home.from_environment().prepare()
        out = home.results(f"attack-{datetime.now(UTC):%Y%m%d-%H%M%S}-{plan.task}-{name}")
    out.mkdir(parents=True, exist_ok=True)
    dishonesty.picture(document, out / "attack.png")
    document["files"] = {"result": str(out / "attack.json"), "picture": str(out / "attack.png")}
    stored = json.dumps(document, indent=1, allow_nan=False)
    write_whole(out / "attack.json", stored.encode())
    if as_json:
        answer(document)
        return
    from aegis.cli.showing import show_attack

    show_attack(document)
