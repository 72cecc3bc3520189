"""A file from a form, held in memory alone until it has been looked at, and counted as it comes.

A framework's own form parser writes what is large to a temporary folder that others share; a
patient's table goes nowhere but into this hospital's folder.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from aegis.errors import BadInput
from aegis.tasks.tables.dialect import MOST_BYTES

SLACK = 2**16  # a form's other fields
MOST_FIELD = 2**12


class TooLarge(HTTPException):
    def __init__(self) -> None:
        super().__init__(413, f"file: it has more than {MOST_BYTES // 2**20} MiB")


async def form_with_file(request: Request) -> tuple[str, bytes, dict[str, str]]:
    """The file's name, its bytes, and the other fields. Raises ``TooLarge``, and ``BadInput``
    that names the field."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > MOST_BYTES + SLACK:
        raise TooLarge
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise BadInput("file: the form holds no file", "a form of multipart/form-data")
    parser = MultiPartParser(
        request.headers, _counted(request), max_files=1, max_fields=20, max_part_size=MOST_FIELD
    )
    parser.spool_max_size = MOST_BYTES + SLACK
    try:
        form = await parser.parse()
    except BaseException as error:
        for part in getattr(parser, "_files_to_close_on_error", ()):
            part.close()
        if isinstance(error, MultiPartException | ValueError | KeyError):
            raise BadInput("the form cannot be read", "one file and a few short fields") from error
        raise
    try:
        return await _parts(form)
    finally:
        await form.close()


async def _parts(form: Any) -> tuple[str, bytes, dict[str, str]]:
    name, data = "", b""
    fields: dict[str, str] = {}
    for key, value in form.multi_items():
        if isinstance(value, UploadFile):
            if key == "file":
                name, data = value.filename or "", await value.read()
        else:
            fields[key] = str(value)
    if len(data) > MOST_BYTES:
        raise TooLarge
    if not name and not data:
        raise BadInput("file: no file was chosen", way_out="Choose a CSV file")
    return name, data, fields


async def _counted(request: Request) -> AsyncGenerator[bytes, None]:
    count = 0
    async for chunk in request.stream():
        count += len(chunk)
        if count > MOST_BYTES + SLACK:
            raise TooLarge
        yield chunk
