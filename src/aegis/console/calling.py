"""Calling a coordinator: start a plan there, and follow it to its end."""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from aegis.errors import AegisError, BadInput, CheckFailed, RunAborted
from aegis.identity.tls import client_context
from aegis.plan import Plan
from aegis.store.home import Home

TIMEOUT_S, PATIENCE_S = 15.0, 300.0
LOOK_S = 0.5
LARGEST = 2**26


class Calling:
    """``url`` is the coordinator's console. The token comes from AEGIS_TOKEN, or from the data root
    on the coordinator's own machine; so does the root certificate where TLS is spoken."""

    def __init__(self, url: str, home: Home | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
            raise BadInput(f"{url!r} is no coordinator", "http://HOST:PORT or https://HOST:PORT")
        if parts.scheme == "http" and not _here(parts.hostname or ""):
            raise BadInput(
                f"{url} would show the coordinator's token to the network",
                "coordinators speak TLS on other addresses than loopback",
                f"Use https://{parts.netloc}",
            )
        self.url, self._parts = url, parts
        self._home = home or Home.from_environment()
        path = self._home.keys / "console.token"
        token = os.environ.get("AEGIS_TOKEN") or (path.read_text() if path.exists() else "")
        if not token:
            raise BadInput(
                f"there is no token for {url}",
                "the coordinator prints one at each start",
                "Set AEGIS_TOKEN, or AEGIS_HOME to the coordinator's data root",
            )
        self._token = token.strip()

    def start(self, plan: Plan) -> str:
        said = {"action": "start", "plan": json.loads(plan.to_json())}
        return str(self._call("POST", "/api/control", said)["run"])

    def query(self, plan: Plan, question: Mapping[str, Any]) -> dict[str, Any]:
        """``question`` has kind, columns, bins, where, epsilon and delta."""
        return self._call(
            "POST", "/api/query", {"plan": json.loads(plan.to_json()), **question}, PATIENCE_S
        )

    def control(self, action: str) -> dict[str, Any]:
        return self._call("POST", "/api/control", {"action": action})

    def state(self) -> dict[str, Any]:
        return self._call("GET", "/api/state")

    def result(self, run: str) -> dict[str, Any] | None:
        """None while there is none yet. Raises ``RunAborted`` where the run ended without."""
        try:
            return self._call("GET", f"/api/results/{quote(run)}")
        except _NotYet:
            return None

    def follow(self, run: str, told: Callable[[str], None]) -> dict[str, Any]:
        said = ""
        while (found := self.result(run)) is None:
            now = self.state()
            rounds = now["rounds"] or "?"
            line = f"{now['state']}, round {now['round']} of {rounds}"
            if now["state"] == "Registration":
                there = sum(one["present"] for one in now["hospitals"])
                line = f"Registration: {there} of {now.get('wanted', '?')} hospitals are there"
            if line != said:
                told(line)
                said = line
            time.sleep(LOOK_S)
        return found

    def _call(
        self, method: str, path: str, body: object = None, patience_s: float = TIMEOUT_S
    ) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            "Content-Length": str(len(data or b"")),
        }
        connection = self._connection(patience_s)
        try:
            connection.request(method, path, data, headers)
            reply = connection.getresponse()
            answered = reply.read(LARGEST)
        except (OSError, http.client.HTTPException) as error:
            raise RunAborted(
                f"the coordinator at {self.url} cannot be reached ({error})",
                way_out="Is it running? Start it with: aegis coordinator",
            ) from error
        finally:
            connection.close()
        if reply.status == 200:
            found: dict[str, Any] = json.loads(answered)
            return found
        if reply.status == 404:
            raise _NotYet
        raise _failure(reply.status, answered, self.url)

    def _connection(self, patience_s: float) -> http.client.HTTPConnection:
        if self._parts.scheme == "http":
            return http.client.HTTPConnection(self._parts.netloc, timeout=patience_s)
        context = client_context(self._home.root / "tls" / "root.pem")
        return http.client.HTTPSConnection(self._parts.netloc, timeout=patience_s, context=context)


def _here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _NotYet(Exception):
    """The result of a run is not there."""


def _failure(status: int, answered: bytes, url: str) -> AegisError:
    try:
        error = json.loads(answered)["error"]
        said = (str(error["value"]), str(error.get("need", "")), str(error.get("way_out", "")))
    except (ValueError, KeyError, TypeError):
        return BadInput(f"{url} answers with status {status}", "a coordinator of Aegis")
    match status:
        case 401 | 403:
            return CheckFailed(*said)
        case 409:
            return RunAborted(*said)
        case _:
            return BadInput(*said)
