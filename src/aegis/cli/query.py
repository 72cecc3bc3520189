"""``aegis query``: ask all hospitals how many patients there are, before anything is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from aegis.cli.options import AsJson, Settings, answer, overrides, read_plan

if TYPE_CHECKING:
    from rich.console import Console

BAR = 30

Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="EXPR",
        help='Whom to count: "age >= 60 and sex = female and not chol missing".',
    ),
]
TaskName = Annotated[str, typer.Option("--task", help="Whose hospitals are asked.")]
Hospitals = Annotated[int | None, typer.Option("--hospitals", help="How many hospitals.")]
Bins = Annotated[int | None, typer.Option("--bins", help="Bins of a number, 1 to 50 [10].")]
Epsilon = Annotated[float, typer.Option("--epsilon", help="The price at each hospital.")]
Delta = Annotated[float, typer.Option("--delta", help="The chance that epsilon does not hold.")]
Elsewhere = Annotated[
    str | None,
    typer.Option("--coordinator", metavar="URL", help="Ask the hospitals of this coordinator."),
]
WithoutNoise = Annotated[
    bool, typer.Option("--without-noise", help="Exact counts; bundled demonstration data only.")
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True, help="Ask all hospitals for noisy, charged counts of patients."
    )
    group.command("count", epilog='Example:  aegis query count --task heart --where "age >= 60"')(
        count
    )
    group.command("histogram", epilog="Example:  aegis query histogram age --task heart --bins 5")(
        histogram
    )
    group.command("crosstab", epilog="Example:  aegis query crosstab cp diagnosis --task heart")(
        crosstab
    )
    app.add_typer(group, name="query")


def count(
    where: Where = None,
    task: TaskName = "breast_cancer",
    epsilon: Epsilon = 0.1,
    delta: Delta = 1e-5,
    hospitals: Hospitals = None,
    settings: Settings = None,
    without_noise: WithoutNoise = False,
    coordinator: Elsewhere = None,
    as_json: AsJson = False,
) -> None:
    """How many patients, or how many of those in --where."""
    price = (epsilon, delta, without_noise)
    _ask("count", (), None, where, task, hospitals, settings, price, coordinator, as_json)


def histogram(
    column: str = typer.Argument(..., help="A column, or diagnosis."),
    where: Where = None,
    bins: Bins = None,
    task: TaskName = "breast_cancer",
    epsilon: Epsilon = 0.1,
    delta: Delta = 1e-5,
    hospitals: Hospitals = None,
    settings: Settings = None,
    without_noise: WithoutNoise = False,
    coordinator: Elsewhere = None,
    as_json: AsJson = False,
) -> None:
    """How many patients by one column."""
    price = (epsilon, delta, without_noise)
    _ask(
        "histogram", (column,), bins, where, task, hospitals, settings, price, coordinator, as_json
    )


def crosstab(
    rows: str = typer.Argument(..., metavar="COLUMN", help="A column, or diagnosis."),
    columns: str = typer.Argument(..., metavar="COLUMN", help="Another one."),
    where: Where = None,
    bins: Bins = None,
    task: TaskName = "breast_cancer",
    epsilon: Epsilon = 0.1,
    delta: Delta = 1e-5,
    hospitals: Hospitals = None,
    settings: Settings = None,
    without_noise: WithoutNoise = False,
    coordinator: Elsewhere = None,
    as_json: AsJson = False,
) -> None:
    """How many patients by two columns at once."""
    price = (epsilon, delta, without_noise)
    _ask(
        "crosstab",
        (rows, columns),
        bins,
        where,
        task,
        hospitals,
        settings,
        price,
        coordinator,
        as_json,
    )


def _ask(
    kind: Any,
    columns: tuple[str, ...],
    bins: int | None,
    where: str | None,
    task: str,
    hospitals: int | None,
    settings: list[str] | None,
    price: tuple[float, float, bool],
    coordinator: str | None,
    as_json: bool,
) -> None:
    from aegis.tasks.question import Question

    chosen = {"task": task}
    if hospitals is not None:
        chosen["federated.num_clients"] = str(hospitals)
    plan = read_plan(None, chosen | overrides(settings)).plan
    epsilon, delta, without_noise = price
    if coordinator is not None:
        from aegis.console.calling import Calling

        asked = {"kind": kind, "columns": list(columns), "bins": bins, "where": where or ""}
        document = Calling(coordinator).query(plan, asked | {"epsilon": epsilon, "delta": delta})
    else:
        from aegis.simulation.asking import ask

        document = ask(
            plan,
            Question(kind, columns, bins, where or ""),
            epsilon=epsilon,
            delta=delta,
            without_noise=without_noise,
        )
    if as_json:
        answer(document)
    else:
        _show(document)


def _show(document: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"{document['title']}: {document['sentence']}", markup=False)
    if document["synthetic"]:
        console.print(document["source"], markup=False)
    console.print()
    if len(document["axes"]) == 2:
        _show_crosstab(console, document)
    else:
        _show_bars(console, document)
    console.print()
    for line in _footnotes(document):
        console.print(line, markup=False)


def _show_bars(console: Console, document: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    title = document["axes"][0]["title"] if document["axes"] else ""
    table = Table(title, box=None, pad_edge=False)
    table.add_column("patients", justify="right")
    table.add_column("95 % by the noise" if document["privacy"]["private"] else "")
    most = max((cell["count"] or 0 for cell in document["cells"]), default=0)
    block = "█" if (console.encoding or "").startswith("utf") else "#"
    if document["axes"]:
        table.add_column("", no_wrap=True)
    for cell in document["cells"]:
        between = "{} to {}".format(*cell["ci95"]) if cell["ci95"] else ""
        bar = block * round(BAR * (cell["count"] or 0) / most) if most else ""
        row = (escape(cell["labels"][0]), cell["shown"], between, bar)
        table.add_row(*row[: len(table.columns)])
    console.print(table)


def _show_crosstab(console: Console, document: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    down, across = document["axes"]
    table = Table(escape(down["title"]), box=None, pad_edge=False, title_justify="left")
    table.title = escape(f"{down['title']} by {across['title']}")
    for label in across["labels"]:
        table.add_column(escape(label), justify="right")
    shown = iter(document["cells"])
    for label in down["labels"]:
        table.add_row(escape(label), *(next(shown)["shown"] for _ in across["labels"]))
    console.print(table)


def _footnotes(document: dict[str, Any]) -> list[str]:
    privacy, hospitals = document["privacy"], document["hospitals"]
    least = document["minimum_cell"]
    answered = [one for one in hospitals if one["status"] == "answered"]
    lines = [
        f"{one['name']} did not answer: {one['reason']}"
        for one in hospitals
        if one["status"] != "answered"
    ]
    if not privacy["private"]:
        return [
            *lines,
            f"{privacy['label']}. A hospital keeps cells of fewer than {least} to itself; where "
            "one did, a sum is the least it can be.",
        ]
    sd = document["noise_sd"]
    charged = max(one["charged"] for one in answered)
    now = f"{charged:g} now" if charged else "0 now, as this was asked before"
    spent = max(one["spent"] for one in answered)
    return [
        *lines,
        f"{len(answered)} hospitals answered. The noise of their sum has standard deviation "
        f"{sd:.3g}: 95 of 100 cells are within {1.96 * sd:.3g} of the truth, also those shown as "
        f"fewer than {least}.",
        f"Epsilon at each hospital: {now}, {spent:.3g} of {answered[0]['cap']:g} in all "
        f"(delta {privacy['delta']:g}; {privacy['unit']}, {privacy['neighbouring']}).",
        "What is spent in all is a bound on everything together, for many questions far below the "
        "sum of their epsilons.",
        f"The coordinator saw {privacy['coordinator_sees']}.",
    ]
