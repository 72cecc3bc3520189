"""The coordinator's window as one application: pages, stream, API, and what holds for them all.

    anybody                /health, /api/federation, /api/enrol, /login
    people, by their role  every page and every other route
    this machine           the token in AEGIS_HOME/keys/console.token

Every route says which right it needs (``aegis.console.people.rights``).
"""

from __future__ import annotations

from fastapi import APIRouter, FastAPI

from aegis.console.coordinator import live
from aegis.console.coordinator.api import asking as api_asking
from aegis.console.coordinator.api import docs as page_docs
from aegis.console.coordinator.api import federation as api_federation
from aegis.console.coordinator.api import state as api_state
from aegis.console.coordinator.api import training as api_training
from aegis.console.coordinator.api.openapi import describes
from aegis.console.coordinator.desk import Desk
from aegis.console.coordinator.live import Stream
from aegis.console.coordinator.pages import agents as page_agents
from aegis.console.coordinator.pages import audit as page_audit
from aegis.console.coordinator.pages import clinical as page_clinical
from aegis.console.coordinator.pages import experiments as page_experiments
from aegis.console.coordinator.pages import fairness as page_fairness
from aegis.console.coordinator.pages import models as page_models
from aegis.console.coordinator.pages import overview as page_overview
from aegis.console.coordinator.pages import privacy as page_privacy
from aegis.console.coordinator.pages import proposals as page_proposals
from aegis.console.coordinator.pages import technical as page_technical
from aegis.console.coordinator.pages import training as page_training
from aegis.console.coordinator.runs import steering
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
