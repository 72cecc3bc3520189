"""A hospital's window as one application, on that hospital's own machine.

Every route says which right it needs (``aegis.console.people.rights``). Rows come in at ``/data``
and ``/client/upload-data/`` and go nowhere else: the coordinator's window has neither address.
"""

from __future__ import annotations

from fastapi import APIRouter, FastAPI

from aegis.console.coordinator.api import docs as page_docs
from aegis.console.coordinator.api.openapi import describes
from aegis.console.hospital import api_client, live
from aegis.console.hospital.desk import HospitalDesk
from aegis.console.hospital.live import HospitalStream
from aegis.console.hospital.pages import budget as page_budget
from aegis.console.hospital.pages import data as page_data
from aegis.console.hospital.pages import home as page_home
from aegis.console.hospital.pages import log as page_log
from aegis.console.hospital.pages import plans as page_plans
from aegis.console.hospital.pages import policy as page_policy
from aegis.console.hospital.pages import results as page_results
from aegis.console.people import pages
from aegis.console.window import assets
from aegis.console.window.failures import answers_failures
from aegis.console.window.rendering import Window
from aegis.version import __version__

GROUPS = (
    ("Now", (("/h", "Home"), ("/plans", "Plans"), ("/budget", "Privacy budget"))),
    ("Here", (("/data", "Data"), ("/results", "Results"))),
    ("Trust", (("/log", "What left"), ("/policy", "Policy"))),
)
UPLOADS = ("/data", "/client/upload-data/")
ROUTERS: tuple[APIRouter, ...] = (
    assets.router,
    live.router,
    api_client.router,
    page_home.router,
    page_data.router,
    page_plans.router,
    page_budget.router,
    page_results.router,
    page_log.router,
    page_policy.router,
    page_docs.router,
)


def hospital_app(desk: HospitalDesk) -> FastAPI:
    """The application for ``desk``; wrap it with the guard of ``aegis.console.people``, and set
    ``app.state.door``, for people to log in."""
    app = FastAPI(
        title=f"Aegis, {desk.name}",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        description="Research use only. Not medical software. Not independently audited.",
    )
    app.state.desk = desk
    app.state.stream = HospitalStream(desk)
    app.state.window = Window(f"{desk.name} hospital", GROUPS, home="/h")
    answers_failures(app)
    for router in (*ROUTERS, *pages.routers()):
        app.include_router(router)
    describes(app)
    return app
