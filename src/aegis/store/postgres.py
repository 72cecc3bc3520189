"""The journal in PostgreSQL: the statements of SQLite, sent to a server, one writer at a time.

A data root says itself where its journal lies. Where it is in a server, the file that would be the
database holds the journal's id instead; ``AEGIS_DATABASE_URL`` says how to reach it, and what is
found there must have that id. So nobody begins an empty journal beside a full one because a
variable was forgotten, and two data roots never share one by accident.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from aegis.errors import BadInput, MissingExtra, RunAborted
from aegis.store.home import setting, write_whole

if TYPE_CHECKING:
    import psycopg

log = logging.getLogger("aegis")

URL = "AEGIS_DATABASE_URL"
_KIND = "postgresql"
_MOST = 4096
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_WAITING: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_OPENING = 5_016_016  # the advisory lock under which tables are made
_warned: set[Path] = set()


def pointer(path: Path) -> str | None:
    """The id of the journal in a server that this file stands for; None for anything else."""
    try:
        with open(path, "rb") as file:
            head = file.read(_MOST)
    except OSError:
        return None
    if not head.startswith(b"{"):
        return None
    try:
        said = json.loads(head)
        return str(said["id"]) if said.get("journal") == _KIND else None
    except (ValueError, KeyError, AttributeError):
        return None


def server_of(path: Path) -> Server | None:
    """The server that holds the journal ``path``; None where it is, or will be, SQLite. Raises
    ``BadInput`` where the variable is missing or names another journal."""
    held, url = pointer(path), setting(URL)
    if held is None and path.exists() and path.stat().st_size:
        if url and path not in _warned:
            _warned.add(path)
            log.warning("%s is SQLite and %s is not used; move it: aegis migrate", path, URL)
        return None
    if not url:
        if held is None:
            return None
        raise BadInput(
            f"the journal of {path.parent} lies in a PostgreSQL server",
            f"{URL} does not say which",
            f"Set {URL}=postgresql://USER@HOST/NAME",
        )
    server = Server(url)
    try:
        server.open(held, path)
        if held is None:
            point(path, server.identity)
    except BaseException:
        server.close()
        raise
    return server


def point(path: Path, identity: str) -> None:
    """Let the data root say that its journal is in a server."""
    said = json.dumps({"journal": _KIND, "id": identity, "reached by": URL}, indent=1)
    write_whole(path, f"{said}\n".encode())


class Server:
    """As much of ``sqlite3.Connection`` as the journal uses: ``?`` for parameters, and statements
    that begin and end a transaction. Whoever begins one waits until he is the only writer.
    ``RunAborted`` where the server does not answer."""

    def __init__(self, url: str) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise MissingExtra(URL, "postgres") from error
        self._psycopg, self._url = psycopg, url
        self.place = _place(url)
        self.identity = ""
        self._db = self._connected()

    def open(self, held: str | None, path: Path) -> None:
        """Make the tables where there are none, and check that they are this data root's."""
        from aegis.store.format import FORMAT, for_postgres

        mine = f"{socket.gethostname()}:{path.absolute()}"
        self.execute("BEGIN")
        self.execute("SELECT pg_advisory_xact_lock(?)", (_OPENING,))
        (there,) = self._one("SELECT to_regclass('about')")
        if there is None:
            if held is not None:
                raise BadInput(
                    f"{self.place} holds no journal",
                    f"that of {path.parent} has the id {held[:8]}",
                    f"Correct {URL}, or restore a backup: aegis backup restore",
                )
            for statement in for_postgres():
                self.execute(statement)
            about = {"id": secrets.token_hex(16), "format": str(FORMAT), "root": mine}
            self.executemany("INSERT INTO about VALUES (?,?)", list(about.items()))
        said = dict(self.execute("SELECT name, value FROM about").fetchall())
        if said["format"] != str(FORMAT):
            raise BadInput(
                f"{self.place} holds a journal of format {said['format']}",
                f"this version of Aegis reads format {FORMAT}",
                "Install the version that wrote it, or restore a backup",
            )
        if held is not None and said["id"] != held:
            raise BadInput(
                f"{self.place} holds the journal {said['id'][:8]}",
                f"that of {path.parent} is {held[:8]}",
                f"Correct {URL}",
            )
        if held is None and said["root"] != mine:
            said["id"] = self._adopted(mine, said["root"], path)
        self.execute("COMMIT")
        self.identity = said["id"]

    def _adopted(self, mine: str, before: str, path: Path) -> str:
        """An empty journal that another data root began gets a new id: only one of them has it."""
        if self._one("SELECT count(*) FROM runs") != (0,):
            raise BadInput(
                f"{self.place} holds the journal of another data root ({before})",
                f"each has its own; {path.parent} has none yet",
                "Name another database, or a schema of its own: ?options=-csearch_path%3DNAME",
            )
        identity = secrets.token_hex(16)
        self.execute("UPDATE about SET value=? WHERE name='id'", (identity,))
        self.execute("UPDATE about SET value=? WHERE name='root'", (mine,))
        return identity

    @property
    def in_transaction(self) -> bool:
        status = self._db.info.transaction_status
        return status in (
            self._psycopg.pq.TransactionStatus.INTRANS,
            self._psycopg.pq.TransactionStatus.INERROR,
        )

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        if statement == "BEGIN IMMEDIATE":
            self.execute("BEGIN")
            return self.execute("SELECT pg_advisory_xact_lock(hashtext(?))", (self.identity,))
        for last in (False, True):
            begun = self.in_transaction
            try:
                return self._db.execute(_translated(statement), values or None)
            except self._psycopg.Error as error:
                # A server that was restarted since: nothing had been begun, so ask again.
                if last or begun or not self._db.closed or statement == "COMMIT":
                    raise self._silent(error) from error
                self._db = self._connected()
        raise AssertionError

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        try:
            with self._db.cursor() as cursor:
                cursor.executemany(_translated(statement), rows)
        except self._psycopg.Error as error:
            raise self._silent(error) from error

    def close(self) -> None:
        self._db.close()

    def _one(self, statement: str) -> tuple[Any, ...]:
        row = self.execute(statement).fetchone()
        assert row is not None
        return tuple(row)

    def _connected(self) -> psycopg.Connection[Any]:
        try:
            db = self._psycopg.connect(self._url, autocommit=True, **_WAITING, **_safely(self._url))
            db.execute("SET lock_timeout = '30s'")
            db.execute(
                "SELECT set_config('synchronous_commit', 'on', false)"
                " WHERE current_setting('synchronous_commit') = 'off'"
            )
        except self._psycopg.ProgrammingError:
            raise _unreadable() from None  # what it says may quote a part of the password
        except self._psycopg.Error as error:
            raise self._silent(error) from error
        if db.info.parameter_status("server_encoding") != "UTF8":
            db.close()
            raise BadInput(f"{self.place} does not store UTF-8", "names may have any letter")
        return db

    def _silent(self, error: Exception) -> RunAborted:
        said = " ".join(str(error).split())[:300]
        return RunAborted(
            f"the journal at {self.place} cannot be used ({said})",
            "what was saved is kept",
            "See that the server answers, then repeat the command or resume the run",
        )


def _translated(statement: str) -> Any:
    """Our statements have neither a question mark nor a percent sign in a text of theirs."""
    return statement.replace("?", "%s")


def _place(url: str) -> str:
    """Host and database, for people: never the password. Raises ``BadInput`` for another kind."""
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres"):
        raise BadInput(
            f"{URL} begins with {parts.scheme or url[:8]!r}",
            "it names a PostgreSQL database; without it the journal is SQLite",
            f"Set {URL}=postgresql://USER@HOST/NAME",
        )
    if url.partition("?")[0].count("@") > 1 or "@" in parts.path:
        raise _unreadable()
    host = _host(url) or "this machine"
    name = parts.path if re.fullmatch(r"/[\w.-]*", parts.path) else "/..."
    return f"{host}{name or '/'}"


def _unreadable() -> BadInput:
    return BadInput(
        f"{URL} is no address of a PostgreSQL database",
        "it is postgresql://USER:PASSWORD@HOST/NAME",
        "Write other letters than a-z, 0-9 and -._~ of a password as %40 and the like",
    )


def _host(url: str) -> str:
    parts = urlsplit(url)
    return (parse_qs(parts.query).get("host") or [parts.hostname or ""])[0]


def _safely(url: str) -> dict[str, Any]:
    """A server elsewhere must prove who it is, unless the URL says otherwise in so many words."""
    host = _host(url)
    said = "sslmode" in parse_qs(urlsplit(url).query)
    if said or not host or host.startswith("/") or host in _LOOPBACK:
        return {}
    return {"sslmode": "verify-full"}
