"""The coordinator's window as one application: pages, stream, API, and what holds for them all.

    anybody                /health, /api/federation, /api/enrol, /login
    people, by their role  every page and every other route
    this machine           the token in AEGIS_HOME/keys/console.token

Every route says which right it needs (``aegis.console.people.rights``).
"""

from __future__ import annotations

from fastapi import APIRouter, FastAPI

from aegis.console.coordinator import (
    api_asking,
    api_federation,
    api_state,
    api_training,
    live,
    page_agents,
    page_audit,
    page_clinical,
    page_docs,
    page_experiments,
    page_fairness,
    page_models,
    page_overview,
    page_privacy,
    page_proposals,
    page_technical,
    page_training,
    steering,
)
from aegis.console.coordinator.desk import Desk
from aegis.console.coordinator.live import Stream
from aegis.console.coordinator.openapi import describes
from aegis.console.people import pages as people_pages
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
    api_training.router,  # what is asked most comes first
    api_state.router,
    assets.router,
    live.router,
    *people_pages.routers(),
    api_federation.router,
    api_asking.router,
    page_docs.router,
    page_overview.router,
    page_agents.router,
    page_training.router,
    page_audit.router,
    page_privacy.router,
    page_models.router,
    page_proposals.router,
    page_clinical.router,
    page_experiments.router,
    page_fairness.router,
    page_technical.router,
)


def coordinator_app(desk: Desk) -> FastAPI:
    """The application for ``desk``; wrap it with the guard of ``aegis.console.people``."""
    app = FastAPI(
        title="Aegis coordinator",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        description="Research use only. Not medical software. Not independently audited.",
    )
    steering.attend(desk)
    app.state.desk = desk
    app.state.stream = Stream(desk)
    app.state.window = Window("coordinator", GROUPS, foot=(("/docs", "API for programs"),))
    answers_failures(app)
    for router in ROUTERS:
        app.include_router(router)
    describes(app)
    return app
