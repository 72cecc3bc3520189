"""The coordinator's window as one application: pages, stream, API, and what holds for them all.

    anybody                /health, /api/federation, /api/enrol, /login
    people, by their role  every page and every other route
    this machine           the token in AEGIS_HOME/keys/console.token

Every route says which right it needs (``aegis.console.people.rights``).
"""

from __future__ import annotations

from fastapi import APIRouter, FastAPI

from aegis.console.coordinator import (
    api_federation,
    live,
    page_overview,
)
from aegis.console.coordinator.desk import Desk
from aegis.console.coordinator.live import Stream
from aegis.console.window import assets
from aegis.console.window.failures import answers_failures
from aegis.console.window.rendering import Window
from aegis.version import __version__

GROUPS = (
    ("Now", (("/", "Overview"), ("/agents", "Hospitals"), ("/training", "Training"))),
    (
        "Results",
        (
            ("/clinical", "Clinical"),
            ("/technical", "Technical"),
            ("/fairness", "Fairness"),
            ("/models", "Models"),
            ("/experiments", "Experiments"),
        ),
    ),
    ("Trust", (("/privacy", "Privacy"), ("/audit", "Audit log"))),
)
ROUTERS: tuple[APIRouter, ...] = (
    assets.router,
    live.router,
    api_federation.router,
    page_overview.router,
)


def coordinator_app(desk: Desk) -> FastAPI:
    """The application for ``desk``; wrap it with the guard of ``aegis.console.people``."""
    app = FastAPI(
        title="Aegis coordinator",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        description="Research use only. Not medical software. Not independently audited.",
    )
    app.state.desk = desk
    app.state.stream = Stream(desk)
    app.state.window = Window("coordinator", GROUPS)
    answers_failures(app)
    for router in ROUTERS:
        app.include_router(router)
    return app
