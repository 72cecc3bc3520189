"""Foreign servers for the tests, each with a folder and a port or socket of its own."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
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


@contextmanager
def object_store(monkeypatch: pytest.MonkeyPatch, bucket: str = "aegis") -> Iterator[int]:
    """moto's server on loopback with one bucket; the settings name it. Its port."""
    pytest.importorskip("boto3", reason="boto3 is not installed: the extra s3")
    pytest.importorskip("moto.server", reason="moto's server is not installed")
    import warnings

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        port = server.get_host_and_port()[1]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        monkeypatch.setenv("AEGIS_S3_ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AEGIS_S3_BUCKET", bucket)
        monkeypatch.setenv("AEGIS_S3_PREFIX", "hospital-a")
        from aegis.store.objects import Objects

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            Objects.from_settings()._s3.create_bucket(Bucket=bucket)
        yield port
    finally:
        server.stop()


@dataclass
class Mlflow:
    """A real MLflow server on loopback with a SQLite database in ``folder``."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.begin()
        self.wait()

    def begin(self) -> None:
        off = ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")
        env = os.environ | dict.fromkeys(off, "true")
        env["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
        words = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        words += ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        words += ["--artifacts-destination", str(self.folder / "artifacts")]
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *words],
                stdout=log,
                stderr=log,
                env=env,
                start_new_session=True,
            )

    def wait(self, patience_s: float = 120.0) -> None:
        assert self.process is not None
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            with suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=2) as said:
                said.read()
                return
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            time.sleep(0.2)
        raise AssertionError("the MLflow server did not start")

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def ask(self, path: str, **said: Any) -> Any:
        """MLflow's REST API: a question with a body."""
        data = json.dumps(said).encode() if said else None
        headers = {"Content-Type": "application/json"}
        address = f"{self.url}/api/2.0/mlflow/{path}"
        request = urllib.request.Request(address, data, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())


@contextmanager
def mlflow_server(folder: Path) -> Iterator[Mlflow]:
    """Not started yet. Skips where the full MLflow is not installed."""
    for name in ("mlflow", "flask"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed: the extra mlflow-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    server = Mlflow(folder, port)
    try:
        yield server
    finally:
        server.kill()
