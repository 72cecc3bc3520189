"""Data: is my table sound, what does it hold, and which rows does this hospital learn from?

A file with faults is not kept. Faults are told by row and column; what stands in a cell is shown in
the preview of a sound file alone, on this machine, to people of this hospital.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from aegis.console.hospital.desk import HospitalDesk, desk_of
from aegis.console.hospital.pages.approval import named_data, rows_of
from aegis.console.hospital.pages.columns import of_everybody, pictures
from aegis.console.hospital.receiving import form_with_file
from aegis.console.people.rights import Person, Right, may
from aegis.console.reading import NotFound
from aegis.console.window.rendering import render
from aegis.errors import BadInput
from aegis.operations.hospital import table_check, uploads
from aegis.operations.hospital.alone import shared_model
from aegis.operations.hospital.folder import Registered
from aegis.operations.hospital.table_check import Checked
from aegis.operations.hospital.uploads import Upload
from aegis.report.tables import Table
from aegis.report.wording import counted
from aegis.tasks.tables.reading import Problem
from aegis.tasks.task import find_task

router = APIRouter(include_in_schema=False)


@router.get("/data")
def data(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    return _list(request, desk_of(request), person)


@router.post("/data")
async def upload(
    request: Request, person: Annotated[Person, Depends(may(Right.UPLOAD))]
) -> Response:
    desk = desk_of(request)
    try:
        name, content, fields = await form_with_file(request)
    except BadInput as error:
        said = [("file", str(error))]
        return await run_in_threadpool(_list, request, desk, person, 422, said)
    return await run_in_threadpool(_uploaded, request, desk, person, name, content, fields)


@router.get("/data/{id}")
def one(
    id: str, request: Request, person: Annotated[Person, Depends(may(Right.UPLOAD))]
) -> Response:
    desk = desk_of(request)
    found = _found(desk, id)
    label, positive, group = (
        request.query_params.get(key, "")[:200] for key in ("label", "positive", "group")
    )
    task = request.query_params.get("task", "") or desk.kept.get(("task", id), "table")
    return render(
        request,
        "hospital/data_set.html",
        **_shown(desk, found, str(task), label, positive, group, person),
    )


@router.post("/data/{id}/register")
def register(
    id: str,
    request: Request,
    person: Annotated[Person, Depends(may(Right.UPLOAD))],
    task: Annotated[str, Form()] = "",
    label: Annotated[str, Form()] = "",
    positive: Annotated[str, Form()] = "",
    group: Annotated[str, Form()] = "",
) -> Response:
    """From the next run on this hospital learns from this file."""
    desk = desk_of(request)
    found = _found(desk, id)
    desk.signer()
    try:
        checked = table_check.checked(
            uploads.file_of(desk.folder, id), task, label, positive, group
        )
        if checked.faults:
            raise BadInput("file: it has faults for this task", way_out="See them, mend them")
        wanted = wanted_of(desk, id, task, label, positive, group)
        if desk.training.running:
            raise BadInput("own training goes on", way_out="Wait until it has ended")
        uploads.register(desk.folder, wanted)
    except BadInput as error:
        content = _shown(desk, found, task or "table", label, positive, group, person)
        faults = [("task", str(error))]
        return render(request, "hospital/data_set.html", 422, **content | {"said": faults})
    desk.act(person, "registered data", found.sha256, f"{found.name} for {task}")
    return RedirectResponse("/data", 303)


@router.post("/data/{id}/remove")
def remove(
    id: str, request: Request, person: Annotated[Person, Depends(may(Right.UPLOAD))]
) -> Response:
    desk = desk_of(request)
    found = _found(desk, id)
    try:
        uploads.remove(desk.folder, id)
    except BadInput as error:
        return _list(request, desk, person, 422, [("files", str(error))])
    if desk.identity is not None:
        desk.act(person, "removed a file", found.sha256, found.name)
    return RedirectResponse("/data", 303)


def wanted_of(
    desk: HospitalDesk, id: str, task: str, label: str, positive: str, group: str
) -> Registered:
    path = str(uploads.file_of(desk.folder, id).absolute())
    before = desk.folder.registered
    engine = before.engine
    return Registered(task, path, "", "", label, positive, group, before.directory, engine)


def keep_checked(
    desk: HospitalDesk,
    name: str,
    content: bytes,
    by: str,
    task: str,
    label: str,
    positive: str,
    group: str,
) -> tuple[Upload | None, Checked]:
    """Kept where it is sound; else it is gone again, and what is wrong with it is said."""
    kept = uploads.keep(desk.folder, name, content, by)
    try:
        checked = table_check.checked(
            uploads.file_of(desk.folder, kept.id), task, label, positive, group
        )
    except BaseException:
        uploads.remove(desk.folder, kept.id)
        raise
    if checked.faults:
        uploads.remove(desk.folder, kept.id)
        return None, checked
    return kept, checked


def _uploaded(
    request: Request,
    desk: HospitalDesk,
    person: Person,
    name: str,
    content: bytes,
    fields: dict[str, str],
) -> Response:
    task = fields.get("task", "") or "table"
    label, positive, group = (fields.get(key, "").strip() for key in ("label", "positive", "group"))
    try:
        kept, checked = keep_checked(desk, name, content, person.name, task, label, positive, group)
    except BadInput as error:
        field = str(error).partition(":")[0]
        at = field if field in ("task", "label", "positive", "group") else "file"
        return _list(request, desk, person, 422, [(at, str(error))], fields)
    if kept is None:
        return _list(request, desk, person, 422, sentences(checked.faults), fields, checked)
    if desk.identity is not None:
        desk.act(person, "uploaded a file", kept.sha256, f"{kept.name}, {len(content):,} bytes")
    query = "&".join(
        f"{key}={_quoted(value)}"
        for key, value in (
            ("task", task),
            ("label", label),
            ("positive", positive),
            ("group", group),
        )
        if value
    )
    return RedirectResponse(f"/data/{kept.id}?{query}", 303)


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def _list(
    request: Request,
    desk: HospitalDesk,
    person: Person,
    status: int = 200,
    said: list[tuple[str, str]] | None = None,
    fields: dict[str, str] | None = None,
    checked: Checked | None = None,
) -> Response:
    registered = desk.folder.registered
    rows = rows_of(desk)
    schema = None if rows is None else rows.schema or find_task(registered.task).schema
    shared = shared_model(desk.folder)
    return render(
        request,
        "hospital/data.html",
        status,
        name=desk.name,
        said=said or [],
        fields=fields or {},
        problems=None if checked is None else problem_table(checked),
        fault_count=0 if checked is None else checked.fault_count,
        tasks=table_check.tasks_with_tables(),
        titles={name: find_task(name).title for name in ("table", "vitals")},
        registered=registered,
        data_name=named_data(desk),
        row_count=None if rows is None else len(rows.rows),
        positives=None if rows is None else int((rows.rows.labels == 1).sum()),
        source="" if rows is None else _source(desk, rows.source),
        pictures=(
            ()
            if rows is None or schema is None
            else pictures(schema, rows.rows, of_everybody(shared))
        ),
        shared_run=None if shared is None else shared.meta.run,
        files=uploads.uploads(desk.folder),
        acts=[act for act in desk.acts.all(500) if act.act.endswith(("data", "file"))][:20],
        may_upload=person.can(Right.UPLOAD),
    )


def _shown(
    desk: HospitalDesk,
    found: Upload,
    task: str,
    label: str,
    positive: str,
    group: str,
    person: Person,
) -> dict[str, Any]:
    path = uploads.file_of(desk.folder, found.id)
    if task not in table_check.tasks_with_tables():
        raise NotFound(f"no task {task!r:.40} takes a table")
    key = ("checked", found.id, task, label, positive, group)
    if key not in desk.kept:
        for old in [one for one in desk.kept if isinstance(one, tuple) and one[0] == "checked"][5:]:
            desk.kept.pop(old)
        desk.kept[key] = table_check.checked(path, task, label, positive, group)
    checked: Checked = desk.kept[key]
    everybody = of_everybody(shared_model(desk.folder))
    shown = checked.dataset
    return {
        "file": found,
        "checked": checked,
        "task": task,
        "label": label,
        "positive": positive,
        "group": group,
        "tasks": table_check.tasks_with_tables(),
        "preview": _preview(checked),
        "problems": problem_table(checked) if checked.faults else None,
        "remarks": remark_table(checked) if checked.remarks else None,
        "pictures": () if shown is None else pictures(checked.schema, shown.rows, everybody),
        "positives": None if shown is None else int((shown.rows.labels == 1).sum()),
        "source": "" if shown is None else _source(desk, shown.source),
        "is_registered": found.id in desk.folder.registered.path,
        "can_sign": desk.identity is not None,
        "said": [],
    }


def _source(desk: HospitalDesk, source: str) -> str:
    """Files by the names that people gave them."""
    for one in uploads.uploads(desk.folder):
        source = source.replace(f"{one.id}.csv", one.name)
    return source


def problem_table(checked: Checked) -> Table:
    return _places(
        f"What is wrong, the first {len(checked.faults)} of {checked.fault_count:,}", checked.faults
    )


def remark_table(checked: Checked) -> Table:
    return _places(f"Worth a look, {counted(len(checked.remarks), 'place')}", checked.remarks)


def _places(caption: str, found: list[Problem]) -> Table:
    rows = tuple(
        (rows or "whole file", column or "whole row", what) for rows, column, what in grouped(found)
    )
    return Table(caption, (("Row", False), ("Column", False), ("What", False)), rows)


def sentences(found: list[Problem]) -> list[tuple[str, str]]:
    """For the summary at the top, each leading to the table."""
    said = []
    for rows, column, what in grouped(found):
        many = "rows" if "," in rows or " to " in rows else "row"
        place = [f"{many} {rows}"] if rows else []
        place += [f"column {column}"] if column else []
        said.append(("wrong", f"{', '.join(place)}: {what}" if place else what))
    return said


def grouped(found: list[Problem]) -> list[tuple[str, str, str]]:
    """(rows, column, what): one line for the same thing in one column, neighbours as a span."""
    places: dict[tuple[str, str], list[int]] = {}
    for one in found:
        rows = places.setdefault((one.column, one.what), [])
        if one.row is not None:
            rows.append(one.row)
    return [(_spans(sorted(rows)), column, what) for (column, what), rows in places.items()]


def _spans(rows: list[int]) -> str:
    spans: list[list[int]] = []
    for row in rows:
        if spans and row == spans[-1][-1] + 1:
            spans[-1].append(row)
        else:
            spans.append([row])
    return ", ".join(
        f"{span[0]:,}" if len(span) == 1 else f"{span[0]:,} to {span[-1]:,}" for span in spans
    )


def _preview(checked: Checked) -> Table | None:
    if not checked.preview:
        return None
    columns = tuple((name[:60], False) for name in checked.header[:40])
    rows = tuple(tuple(cell or "missing" for cell in row[:40]) for row in checked.preview)
    more = len(checked.header) - len(columns)
    note = f"{counted(more, 'more column')} not shown" if more > 0 else ""
    return Table(f"The first {len(rows)} rows of {checked.rows:,}", columns, rows, note)


def _found(desk: HospitalDesk, id: str) -> Upload:
    try:
        return uploads.find(desk.folder, id)
    except BadInput as error:
        raise NotFound(error.value, way_out="See /data for the files") from error
