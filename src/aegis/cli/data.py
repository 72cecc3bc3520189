"""``aegis data``: which data sets there are, where they come from, and how to get them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from aegis.cli.options import AsJson, answer

if TYPE_CHECKING:
    from aegis.tasks.sources import Source
    from aegis.tasks.tables.checking import Examined
    from aegis.tasks.task import Task


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="List, fetch, describe and check data sets.")
    group.command("list", epilog="Example:  aegis data list")(list_data)
    group.command("fetch", epilog="Example:  aegis data fetch heart --into data")(fetch)
    group.command("describe", epilog="Example:  aegis data describe breast_cancer")(describe)
    group.command("check", epilog="Example:  aegis data check patients.csv --label diagnosis")(
        check
    )
    group.command("sample", epilog="Example:  aegis data sample vitals --out data/vitals")(sample)
    app.add_typer(group, name="data")


def list_data(as_json: AsJson = False) -> None:
    """Every task with its data, licence and whether the files are here."""
    from aegis.tasks.plugins import dropped_in
    from aegis.tasks.task import find_task, task_names

    rows = []
    for name in task_names():
        if name in dropped_in():  # a list is no reason to run somebody's code
            told = {
                "task": name,
                "title": "A task of your own",
                "positive": "",
                "available": "here",
            }
            rows.append({**told, "credits": f"a plug-in: {dropped_in()[name]}"})
            continue
        task = find_task(name)
        rows.append(
            {
                "task": name,
                "title": task.title,
                "positive": task.positive,
                "available": _available(task),
                "credits": task.credits,
            }
        )
    if as_json:
        answer({"tasks": rows})
        return
    for row in rows:
        typer.echo(f"{row['task']:<18} {row['title']} ({row['available']})")
        typer.echo(f"{'':<18} {row['credits']}")
    if any(row["available"].startswith("not here") for row in rows):
        typer.echo("Not here? aegis data fetch heart --into data, then set AEGIS_DATA_DIR=data")


def fetch(
    task: str = typer.Argument(..., help="Whose data set."),
    into: Path | None = typer.Option(None, help="Folder to put it in [AEGIS_DATA_DIR]."),
    as_json: AsJson = False,
) -> None:
    """Download a data set from its publisher and check each file's sha256."""
    from aegis.errors import BadInput
    from aegis.tasks.sources import fetch as fetched
    from aegis.tasks.task import find_task

    sources = _sources(find_task(task))
    directory = _directory(into)
    if not sources:
        _refuse_to_fetch(find_task(task), directory)
    if directory is None:
        raise BadInput(
            "nobody said where the data set should go",
            way_out="Name a folder with --into, or set AEGIS_DATA_DIR",
        )
    found = []
    for source in sources:
        typer.echo(f"{source.name} from {source.url}", err=True)
        path = fetched(source, directory)
        found.append({"file": str(path), "sha256": source.sha256, "licence": source.licence})
    if as_json:
        answer({"task": task, "files": found})
    else:
        for row in found:
            typer.echo(f"{row['file']}  sha256 {row['sha256'][:12]}  {row['licence']}")
        typer.echo(f"Use it with: AEGIS_DATA_DIR={directory}")


def describe(
    task: str = typer.Argument(..., help="Whose data set."),
    data_dir: Path | None = typer.Option(None, "--data-dir", help="[AEGIS_DATA_DIR]"),
    synthetic: bool = typer.Option(False, help="Describe the synthetic look-alike."),
    as_json: AsJson = False,
) -> None:
    """Table 1 of a data set: what each column holds, small cells left out."""
    from aegis.report.table_one import table_one
    from aegis.tasks.preparation import tally
    from aegis.tasks.task import DataOptions, find_task

    found = find_task(task)
    dataset = found.load(DataOptions(directory=_directory(data_dir), synthetic=synthetic))
    if found.schema.image is not None:
        size = f"{found.schema.image.height} x {found.schema.image.width}"
        labels = dataset.rows.labels
        about = {"rows": len(labels), "positives": int(labels.sum()), "pixels": size}
        if as_json:
            answer({"task": task, "source": dataset.source, **about})
            return
        typer.echo(f"{found.title}: {len(labels)} images of {size}. {dataset.source}")
        typer.echo(f"  {found.positive:<44} {about['positives']} ({labels.mean():.0%})")
        return
    table = table_one(found.schema, tally(found.schema, dataset.rows), None)
    if as_json:
        about = {"rows": len(dataset.rows), "classes": list(found.schema.classes)}
        answer({"task": task, "source": dataset.source, **about, **table})
        return
    typer.echo(f"{found.title}: {len(dataset.rows)} rows. {dataset.source}")
    for row in table["rows"]:
        typer.echo(f"  {row['label']:<44} {row['overall']}")
    if found.schema.classes:
        typer.echo(f"Classes, in this order: {', '.join(found.schema.classes)}")


def check(
    file: Path = typer.Argument(
        ..., help="A CSV, ARFF, Parquet or .toml file, a folder of them, or a folder of images."
    ),
    label: str | None = typer.Option(None, help="The column that holds the diagnosis."),
    positive: str | None = typer.Option(None, help="The value of it that means disease."),
    group: str | None = typer.Option(None, help="The patient column, if patients have many rows."),
    as_json: AsJson = False,
) -> None:
    """What a table or a folder of images of your own holds, what is wrong with it, and a plan."""
    from aegis.tasks.folders.checking import ExaminedImages, examine_images, pictures_in
    from aegis.tasks.tables.checking import examine
    from aegis.training.engines import close_engines, spark_frames

    found: Examined | ExaminedImages
    if file.is_dir() and pictures_in(file):
        found = examine_images(file, label, positive, group)
        told = found.lines()
    else:
        try:
            found = examine(file, label, positive, group, spark_frames)
        finally:
            close_engines()
        told = _checked(found)
    if as_json:
        answer(found.as_json())
    else:
        for line in told:
            typer.echo(line)
    if found.faults:
        raise typer.Exit(2)


def _checked(found: Examined) -> Iterator[str]:
    for row in found.files:
        rows = f"{row['rows']} rows, {row['columns']} columns"
        yield f"{row['file']}: {rows}, {row['dialect']}, decimal {row['decimal']}"
    if found.columns:
        yield ""
    for column in found.columns:
        if column["left_out"] is not None:
            yield f"  {column['name']:<30} left out: it {column['left_out']}"
            continue
        words = f": {', '.join(column['categories'][:6])}" if column["categories"] else ""
        lacking = f", {column['missing']} missing" if column["missing"] else ""
        yield f"  {column['name']:<30} {column['kind']}{words}{lacking}"
    for title, listed in (("Must be mended", found.faults), ("Worth a look", found.remarks)):
        if listed:
            yield f"\n{title}:"
        for name, problem in listed:
            yield f"  {name + ', ' if name else ''}{problem}"
    if found.plan:
        guess = " and ".join(found.guessed)
        yield f"\nA plan that runs{f' ({guess} guessed)' if guess else ''}:\n\n{found.plan}"


def sample(
    task: str = typer.Argument(..., help="Whose data: vitals, glaucoma or pneumonia."),
    rows: int | None = typer.Option(
        None, min=1, max=1_000_000, help="Rows of each hospital [1000]; patients of images [80]."
    ),
    hospitals: int = typer.Option(5, min=1, max=1000, help="How many; a file or folder for each."),
    out: Path | None = typer.Option(None, help="Folder to put the files in [data/TASK]."),
    seed: int = typer.Option(16, min=0, help="The same seed writes the same files."),
    force: bool = typer.Option(False, "--force", help="Write over files that are there."),
    as_json: AsJson = False,
) -> None:
    """Write invented data with a known best result, SYNTHETIC and labelled so, and a README."""
    from aegis.errors import BadInput
    from aegis.tasks.folders.lookalikes import LOOKS

    out = out or Path("data", task)
    if task in LOOKS:
        _check_free(out, hospitals, "", force)
        _sample_pictures(task, rows or 80, hospitals, out, seed, as_json)
    elif task == "vitals":
        _check_free(out, hospitals, ".csv", force)
        _sample_vitals(task, rows or 1000, hospitals, out, seed, as_json)
    else:
        known = ", ".join(("vitals", *LOOKS))
        raise BadInput(f"there is no sample for {task}", way_out=f"There is one for {known}")


def _check_free(out: Path, hospitals: int, ending: str, force: bool) -> None:
    from aegis.errors import BadInput

    names = ["README.txt", *(f"hospital_{one}{ending}" for one in range(1, hospitals + 1))]
    if not force and (there := [name for name in names if (out / name).exists()]):
        raise BadInput(
            f"{out / there[-1]} is there already",
            "a sample is not written over other files",
            "Choose another folder with --out, or add --force to give up what is there",
        )


def _sample_pictures(
    task: str, patients: int, hospitals: int, out: Path, seed: int, as_json: bool
) -> None:
    from aegis.tasks.folders.lookalikes import BEST_AUC, LOOKS, write_pictures

    tables, pictures = write_pictures(task, out, hospitals, patients, seed)
    if as_json:
        answer(
            {
                "task": task,
                "files": [str(path) for path in tables],
                "pictures": pictures,
                "patients": patients * hospitals,
                "synthetic": True,
                "best_auc": BEST_AUC,
            }
        )
        return
    for path in tables:
        typer.echo(path)
    typer.echo(f"{LOOKS[task].label}. {pictures} pictures; best possible AUC about {BEST_AUC:.2f}")
    typer.echo(
        f"Use it with: aegis simulate {task} --hospitals {hospitals} --set data.path={out} "
        "--set federated.partition.by=site"
    )


def _sample_vitals(
    task: str, rows: int, hospitals: int, out: Path, seed: int, as_json: bool
) -> None:
    from aegis.tasks.vitals_sample import BAYES_ACCURACY, write_samples

    files, followed = write_samples(out, hospitals, rows, seed)
    if as_json:
        answer(
            {
                "task": task,
                "files": [str(path) for path in files],
                "rows": rows * hospitals,
                "synthetic": True,
                "bayes_accuracy": BAYES_ACCURACY,
                "bayes_accuracy_here": followed,
            }
        )
        return
    for path in files:
        typer.echo(path)
    typer.echo(
        f"SYNTHETIC. Who knew the rule would be right for {100 * BAYES_ACCURACY:.1f} % of such "
        f"patients, {100 * followed:.1f} % of these (the Bayes accuracy)"
    )
    typer.echo(
        f"Use it with: aegis run PLAN.yaml --set task=vitals --set data.path={out} "
        f"--set federated.num_clients={hospitals}"
    )


def _sources(task: Task) -> tuple[Source, ...]:
    return tuple(getattr(task, "sources", ()))


def _available(task: Task) -> str:
    """Here by hash, here, bundled, or brought by whoever owns them."""
    from aegis.errors import AegisError
    from aegis.tasks.sources import located

    sources, own = _sources(task), getattr(task, "located", None)
    try:
        for source in sources:
            located(_directory(None), source)
        if own is not None:
            own(_directory(None))
    except AegisError as error:
        return f"not here: {error.value}"
    if sources:
        return "here, sha256 checked"
    if own is not None:
        return "here"
    return "bundled" if getattr(task, "bundled", False) else "your own files"


def _refuse_to_fetch(task: Task, directory: Path | None) -> NoReturn:
    """No file of known bytes is named: where the data are, or where to bring them from."""
    from aegis.errors import BadInput

    own = getattr(task, "located", None)
    if own is None:
        where = "bundled" if getattr(task, "bundled", False) else "your own files"
        raise BadInput(f"the data of {task.name} are {where}", way_out="There is nothing to fetch")
    place = own(directory)  # says where they come from, where they are not here
    raise BadInput(
        f"the data of {task.name} are here: {place}", way_out="There is nothing to fetch"
    )


def _directory(given: Path | None) -> Path | None:
    import os

    if given is not None:
        return given
    value = os.environ.get("AEGIS_DATA_DIR")
    return Path(value) if value else None
