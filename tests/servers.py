"""Foreign servers for the tests, each with a folder and a port or socket of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest


@dataclass(frozen=True)
class Postgres:
    """``folder`` holds the socket."""

    folder: Path
    programs: Path

    def url(self, schema: str = "") -> str:
        """A database of its own kind for each schema name."""
        more = f"&options={quote(f'-csearch_path={schema}')}" if schema else ""
        return f"postgresql:///postgres?host={self.folder}&user=owner{more}"

    def schema(self, name: str) -> str:
        """Make an empty schema; its URL."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as opened:
            opened.execute(f'CREATE SCHEMA "{name}"')
        return self.url(name)

    def start(self) -> None:
        options = f"-k {self.folder} -h '' -c fsync=off -c shared_buffers=1MB"
        data, log = self.folder / "data", self.folder / "log"
        program = self.programs / "pg_ctl"
        self._run(program, "-D", data, "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """As a machine that loses power stops."""
        self._run(self.programs / "pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop")

    def _run(self, *command: str | Path) -> None:
        subprocess.run(_as_postgres(*command), check=True, capture_output=True, cwd=self.folder)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Skips where there is no PostgreSQL, or nobody to run it as."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: the extra postgres")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    which = shutil.which("initdb")
    if not found and which is None:
        pytest.skip("no PostgreSQL server here: apt-get install postgresql")
    programs = found[-1].parent if found else Path(str(which)).parent
    folder = Path(tempfile.mkdtemp(prefix="aegis-pg-", dir="/tmp"))  # a socket's path is short
    server = Postgres(folder, programs)
    try:
        if os.geteuid() == 0:
            try:
                shutil.chown(folder, "postgres", "postgres")
            except LookupError:
                pytest.skip("run as root, and there is no user postgres")
        data = folder / "data"
        server._run(
            *(programs / "initdb", "-D", data, "-U", "owner", "-A", "trust", "-E", "UTF8"),
            *("--locale=C", "--no-sync"),
        )
        server.start()
        yield server
    finally:
        with suppress(subprocess.CalledProcessError):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _as_postgres(*command: str | Path) -> list[str]:
    """PostgreSQL refuses to run as root; then its own user does."""
    words = [str(word) for word in command]
    if os.geteuid() != 0:
        return words
    if shutil.which("setpriv") is None:
        pytest.skip("run as root, and there is no setpriv to become somebody else")
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *words]
