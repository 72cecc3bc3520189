"""The coordinator over HTTP: hospitals enrol here, scripts start and watch runs here.

    GET  /health              anybody: whether it is alive, and its clock
    GET  /api/federation      anybody: the federation's public keys
    POST /api/enrol           a hospital with a join code
    GET  /api/state           with the token: where the federation stands
    POST /api/control         with the token: start (with a plan), pause, resume, stop
    POST /api/query           with the token: a charged question to all hospitals
    GET  /api/results/RUN     with the token: a run's result, 404 until there is one

The token is new at each start; it lies in AEGIS_HOME/keys/console.token for whoever may read that
folder. Nothing on this side of the wall can take in a patient's row.
"""

from __future__ import annotations

import hmac
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from aegis.errors import AegisError, BadInput, CheckFailed, RunAborted
from aegis.identity.enrolment import LARGEST_REQUEST
from aegis.operations.coordinator.coordinator import Coordinator
from aegis.plan import Plan, load_plan
from aegis.report.answers import DELTA, EPSILON
from aegis.tasks.question import Question
from aegis.version import __version__

LARGEST_BODY = 2**20
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Aegis": "research use only; not medical software",
}


class Control(BaseModel):
    """``plan`` is a plan file's text (YAML) or the same as JSON; only a start has one."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["start", "pause", "resume", "stop"]
    plan: dict[str, Any] | str | None = None


class Asked(BaseModel):
    """A question to all hospitals; ``plan`` names the task, ``epsilon`` the price at each."""

    model_config = ConfigDict(extra="forbid")

    plan: dict[str, Any] | str
    kind: Literal["count", "histogram", "crosstab"]
    columns: list[str] = []
    bins: int | None = None
    where: str = ""
    epsilon: float = EPSILON
    delta: float = DELTA


def coordinator_api(coordinator: Coordinator, token: str) -> FastAPI:
    app = FastAPI(
        title="Aegis coordinator",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        description="Research use only. Not medical software. Not independently audited.",
    )

    def known(authorization: str = Header("")) -> None:
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), token.encode()):
            raise _Unknown

    @app.middleware("http")
    async def guarded(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        length = request.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            return _answer(413, BadInput(f"a body of {length} bytes", f"at most {LARGEST_BODY}"))
        if "transfer-encoding" in request.headers:
            return _answer(411, BadInput("a body without a length", "Content-Length"))
        response = await call(request)
        response.headers.update(_SAFE)
        return response

    @app.exception_handler(_Unknown)
    async def unknown(request: Request, error: _Unknown) -> Response:
        way_out = "Authorization: Bearer TOKEN, from AEGIS_HOME/keys/console.token"
        return _answer(401, BadInput("this needs the coordinator's token", way_out=way_out))

    @app.exception_handler(AegisError)
    async def failed(request: Request, error: AegisError) -> Response:
        match error:
            case CheckFailed():
                return _answer(403, error)
            case RunAborted():
                return _answer(409, error)
            case _:
                return _answer(400, error)

    @app.get("/health")
    def health() -> dict[str, Any]:
        return {"status": "ok", "aegis": __version__, "time": time.time()}

    @app.get("/api/federation")
    def federation() -> dict[str, str]:
        registrar = coordinator.office.registrar
        return {
            "name": registrar.membership.federation,
            "authority": registrar.authority.hex,
            "root": coordinator.office.root.hex(),
            "road": coordinator.road,
        }

    @app.post("/api/enrol")
    async def enrol(request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool
        from starlette.requests import ClientDisconnect

        try:
            data = await request.body()
        except ClientDisconnect:  # nobody is there to be answered, and nothing to be logged
            return Response(status_code=400)
        if len(data) > LARGEST_REQUEST:
            raise BadInput(f"a request of {len(data)} bytes", f"at most {LARGEST_REQUEST}")
        source = request.client.host if request.client else ""
        welcome = await run_in_threadpool(coordinator.desk.enrol, data, source)
        return Response(welcome, media_type="application/json")

    @app.get("/api/state", dependencies=[Depends(known)])
    def state() -> dict[str, Any]:
        return coordinator.state()

    @app.post("/api/control", dependencies=[Depends(known)])
    def control(wish: Control) -> dict[str, Any]:
        if wish.action == "start":
            if not wish.plan:
                raise BadInput("a start needs a plan", "the text of a plan file, as 'plan'")
            return {"run": coordinator.submit(_plan(wish.plan)), "status": "started"}
        run = coordinator.state()["run"]
        if run is None:
            raise BadInput(f"there is no run to {wish.action}", way_out="Start one")
        coordinator.command(run, wish.action)
        return {"run": run, "status": wish.action}

    @app.post("/api/query", dependencies=[Depends(known)])
    def query(asked: Asked) -> dict[str, Any]:
        wanted = Question(asked.kind, tuple(asked.columns), asked.bins, asked.where)
        return coordinator.ask(_plan(asked.plan), wanted, asked.epsilon, asked.delta)

    @app.get("/api/results/{run}", dependencies=[Depends(known)])
    def result(run: str) -> Response:
        path = coordinator.office.home.results(_plain(run)) / "result.json"
        if path.exists():
            return Response(path.read_bytes(), media_type="application/json")
        failure = coordinator.failure(run)
        if failure is not None:
            return _answer(409, RunAborted(failure))
        return _answer(404, BadInput(f"the run {run} has no result yet"))

    return app


class _Unknown(Exception):
    pass


def _plan(said: dict[str, Any] | str) -> Plan:
    """Only what was sent counts: this machine's environment has no say."""
    text = said if isinstance(said, str) else json.dumps(said)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.yaml"
        path.write_text(text, encoding="utf-8")
        return load_plan(path, {}, {}, None).plan


def _plain(run: str) -> str:
    if "/" in run or "\\" in run or run.startswith("."):
        raise BadInput(f"{run!r:.60} is no name of a run")
    return run


def _answer(status: int, error: AegisError) -> Response:
    return JSONResponse({"error": error.as_json()}, status_code=status, headers=_SAFE)
