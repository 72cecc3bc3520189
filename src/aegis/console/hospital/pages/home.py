"""The first page: what waits for me, is my node connected, what is left of the budget."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from aegis.console.hospital.desk import HospitalDesk, desk_of
from aegis.console.hospital.live import Parts, live
from aegis.console.hospital.pages.approval import bar, named_data
from aegis.console.people.rights import Person, Right, may
from aegis.console.window.rendering import fragment, render
from aegis.hospital.policy import Closed
from aegis.operations.hospital.alone import own_model, shared_model
from aegis.operations.hospital.process import last_sent

router = APIRouter(include_in_schema=False)
PARTS = ("home_status", "home_figures", "home_waiting", "home_sent")


@router.get("/health")
def health(request: Request) -> dict[str, object]:
    """Anybody: whether this console is alive."""
    return {"status": "ok", "hospital": desk_of(request).name}


@router.get("/")
def root(person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    return RedirectResponse("/h", 303)


@router.get("/h")
def home(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    found = content(desk_of(request), person.rights)
    return render(request, "hospital/home.html", live="/live/home", **found)


@live("home")
def parts(desk: HospitalDesk, rights: frozenset[Right]) -> Parts:
    found = content(desk, rights)
    return {name: fragment(f"partials/{name}.html", **found) for name in PARTS}


def content(desk: HospitalDesk, rights: frozenset[Right]) -> dict[str, Any]:
    money, standing, policy = desk.money(), desk.standing, desk.policy
    cap = money["epsilon_total"]
    federation = desk.federation
    return {
        "name": desk.name,
        "standing": standing,
        "federation": federation,
        "road": None if federation is None else federation.road.get("road"),
        "money": money,
        "bar": None if cap is None else bar(money["spent"], cap),
        "waiting": waiting(desk, rights),
        "data": named_data(desk),
        "task": desk.folder.registered.task,
        "policy_closed": policy.reason if isinstance(policy, Closed) else "",
        "sent": last_sent(desk.folder, 5)[::-1],
        "fingerprint": desk.folder.keys.public(desk.name).fingerprint,
    }


def waiting(desk: HospitalDesk, rights: frozenset[Right]) -> list[dict[str, str]]:
    """What a person with these rights can do next, the most pressing first."""
    found: list[dict[str, str]] = []
    if isinstance(desk.policy, Closed):
        found.append(_one("No policy counts, so this hospital takes part in nothing", "/policy"))
    decides = Right.APPROVE_PLAN in rights
    for one in desk.decisions.proposals("pending"):
        asked = f"a plan for {one.plan.task}, asked {one.asked[:16].replace('T', ' ')} UTC"
        text = f"Decide on {asked}" if decides else f"A privacy officer here decides on {asked}"
        found.append(_one(text, f"/plans/{one.plan_sha256}"))
    if desk.federation is None:
        found.append(_one("This hospital has not joined a federation", "/policy#joining"))
    if desk.training.running:
        found.append(_one("Own training goes on", "/results"))
    elif own_model(desk.folder) is None:
        if Right.TRAIN_ALONE in rights:
            found.append(_one("Train a model of your own, to compare with", "/results"))
    elif shared_model(desk.folder) is not None:
        found.append(_one("See what the shared model gains here", "/results/gain"))
    return found


def _one(text: str, path: str) -> dict[str, str]:
    return {"text": text, "path": path}
