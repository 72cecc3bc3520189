"""Where a data set comes from: a file of known bytes, and the one way to bring it here.

Public copies of medical tables differ quietly: question marks turned into zeros, labels turned
round, rows lost. A ``Source`` therefore names the sha256 of the original, and a file that differs
is refused wherever it came from. The project ships none of these files; ``fetch`` brings one from
its publisher over https, and nothing appears under its name before its hash is right.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO, TypeAlias
from urllib.error import URLError
from urllib.request import Request, urlopen

from aegis.errors import BadInput, DataError

Progress: TypeAlias = Callable[[int, int], None]
"""Told (bytes so far, bytes in all) while a file arrives."""

Opener: TypeAlias = Callable[[str], IO[bytes]]
"""Opens the stream behind an address."""

CHUNK = 1 << 16


@dataclass(frozen=True)
class Source:
    """One published file: ``dataset`` is the folder it lies in, ``bytes`` its exact length."""

    dataset: str
    name: str
    url: str
    sha256: str
    bytes: int
    licence: str
    citation: str


def located(directory: Path | None, source: Source, way_out: str = "") -> Path:
    """The file of ``source`` in ``directory/DATASET/`` or ``directory/``, its hash checked.

    Raises ``DataError`` where no directory is given, the file is absent, or its bytes are not the
    published ones (both hashes are named).
    """
    fetching = f"Set AEGIS_DATA_DIR or run: aegis data fetch {source.dataset}"
    way_out = f"{fetching}. {way_out}" if way_out else fetching
    if directory is None:
        raise DataError(
            f"no data directory is set, so {source.name} cannot be read",
            f"the {source.dataset} data lie in a folder that AEGIS_DATA_DIR names",
            way_out,
        )
    for path in (directory / source.dataset / source.name, directory / source.name):
        if path.is_file():
            _check(path, source)
            return path
    raise DataError(
        f"{source.name} is neither in {directory / source.dataset} nor in {directory}",
        f"the {source.dataset} data need it",
        way_out,
    )


def fetch(
    source: Source,
    directory: Path,
    progress: Progress | None = None,
    open_url: Opener | None = None,
) -> Path:
    """Brings the file into ``directory/DATASET/`` and answers its path; one that is already there
    with the right hash is left alone. Raises ``DataError`` where the network or the hash fails,
    and then leaves no file behind."""
    if not source.url.startswith("https://"):
        raise BadInput(f"{source.url} is not fetched", "only https addresses are")
    folder = directory / source.dataset
    target = folder / source.name
    if target.is_file() and _sha256(target) == source.sha256:
        return target
    arriving = folder / f".{source.name}.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with (open_url or _open_url)(source.url) as stream, arriving.open("wb") as file:
                _copy(stream, file, source, progress)
            _check(arriving, source, shown=source.url)
            os.replace(arriving, target)
        finally:
            arriving.unlink(missing_ok=True)
        _sync_folder(folder)
    except (URLError, TimeoutError, ConnectionError, HTTPException) as error:
        raise DataError(
            f"{source.url} cannot be reached ({getattr(error, 'reason', None) or error})",
            f"{source.name} must come from there once",
            f"Where there is no network, copy the file into {folder}; its sha256 is checked there",
        ) from error
    except OSError as error:
        raise DataError(
            f"{target} cannot be written ({error.strerror})",
            way_out="Set AEGIS_DATA_DIR to a folder that can be",
        ) from error
    return target


def _copy(stream: IO[bytes], file: IO[bytes], source: Source, progress: Progress | None) -> None:
    done = 0
    while chunk := stream.read(CHUNK):
        done += len(chunk)
        if done > source.bytes:
            raise DataError(
                f"{source.url} sends more than {source.bytes} bytes",
                f"{source.name} has exactly that many",
            )
        file.write(chunk)
        if progress is not None:
            progress(done, source.bytes)
    file.flush()
    os.fsync(file.fileno())


def _open_url(url: str) -> IO[bytes]:
    request = Request(url, headers={"User-Agent": "aegis-fl"})  # noqa: S310  https was checked
    stream: IO[bytes] = urlopen(request, timeout=30)  # noqa: S310
    return stream


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # Windows opens no folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error


def _check(path: Path, source: Source, shown: str = "") -> None:
    """``shown`` is the address that the bytes come from, where they are not yet a file."""
    found = _sha256(path)
    if found == source.sha256:
        return
    refusal = f"Altered copies are refused; bring the original: aegis data fetch {source.dataset}"
    raise DataError(
        f"{shown or path} has the sha256 {found}",
        f"the published {source.name} has {source.sha256}",
        "Nothing was kept; try again later" if shown else refusal,
    )
