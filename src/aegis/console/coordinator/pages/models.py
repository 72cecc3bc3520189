"""The models: what versions exist, and which is in use?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from aegis.console.coordinator.api.withholding import as_seen
from aegis.console.coordinator.desk import Desk, Sight, desk_of
from aegis.console.coordinator.pages import model_card
from aegis.console.coordinator.pages.proposals import proposals_of
from aegis.console.coordinator.records import log_checks, logbook, own_log
from aegis.console.people.promoting import propose_model
from aegis.console.people.rights import Person, Right, may
from aegis.console.people.two_persons import Kind
from aegis.console.reading import NotFound
from aegis.console.window.rendering import render
from aegis.errors import AegisError, BadInput, CheckFailed
from aegis.report.classes_page import classes_part
from aegis.report.roc import matrix, points, roc
from aegis.report.run_tables import overall_scores
from aegis.report.usefulness_page import usefulness_part
from aegis.report.wording import mapping, number
from aegis.store.exporting import exported_name, onnx_bytes, with_card
from aegis.store.journal import Journal
from aegis.store.promotion import Person as Named
from aegis.store.promotion import Promotions, gates
from aegis.store.registry import Registry, Version

router = APIRouter()
Reader = Annotated[Person, Depends(may(Right.READ))]
DEFAULT_THRESHOLD = 0.5


@contextmanager
def registry_of(desk: Desk, *, writing: bool = False) -> Iterator[Registry]:
    """Raises ``NotFound`` where nothing was ever stored."""
    if not desk.home.database.exists():
        raise NotFound("no model has been stored yet", way_out="Start a run: /training")
    home = desk.home
    journal = Journal(home.database) if writing else Journal.reading(home.database)
    try:
        yield Registry(home, journal)
    finally:
        journal.close()


def _find(registry: Registry, name: str) -> Version:
    try:
        return registry.find(name)
    except BadInput as error:
        raise NotFound(error.value, error.need, "See /models for all versions") from error


@router.get("/models", include_in_schema=False)
def models(request: Request, person: Reader) -> Response:
    found = listed(desk_of(request), dict(request.query_params))
    return render(request, "coordinator/models.html", **found)


def listed(desk: Desk, asked: dict[str, str]) -> dict[str, Any]:
    filters = {key: asked.get(key, "")[:100] for key in ("task", "state", "text")}
    found: dict[str, Any] = {"asked": filters, "tasks": [], "lines": [], "total": 0, "all": 0}
    found |= {"page": 1, "pages": 1, "query": urlencode({k: v for k, v in filters.items() if v})}
    if not desk.home.database.exists():
        return found | {"in_use": []}
    with registry_of(desk) as registry:
        versions = registry.versions()
        every = model_card.lines(versions, Promotions(registry.journal, registry))
    kept = [one for one in every if model_card.fits(one, **filters)]
    pages = max(1, -(-len(kept) // model_card.PAGE))
    said = asked.get("page", "1")
    page = min(pages, max(1, int(said))) if said.isascii() and said.isdigit() else 1
    start = model_card.PAGE * (page - 1)
    return found | {
        "tasks": sorted({one.task for one in every}),
        "lines": kept[start : start + model_card.PAGE],
        "total": len(kept),
        "all": len(every),
        "page": page,
        "pages": pages,
        "in_use": [one for one in every if one.word == "In use"],
    }


@router.get("/models/{version}", include_in_schema=False)
def model(version: str, request: Request, person: Reader, threshold: str = "") -> Response:
    return _page(request, person, version, threshold)


def _page(
    request: Request,
    person: Person,
    name: str,
    threshold: str = "",
    status: int = 200,
    faults: tuple[tuple[str, str], ...] = (),
) -> Response:
    desk, sight = desk_of(request), Sight.of(person)
    at = number(_decimal(threshold)) if threshold else DEFAULT_THRESHOLD
    if at is None or not 0 < at < 1:
        faults += (("threshold", "The threshold is a number between 0 and 1, such as 0.3"),)
        status, at = 422, DEFAULT_THRESHOLD
    with registry_of(desk) as registry:
        version = _find(registry, name)
        found = of_version(desk, registry, version, sight, at)
    there = proposals_of(request)
    waiting = []
    if there is not None:
        every = there.waiting(Kind.PROMOTE_MODEL)
        waiting = [one for one in every if one.payload.get("version") == version.number]
    found |= {
        "faults": faults,
        "waiting": waiting,
        "accounts": there is not None,
        "may_promote": person.can(Right.PROMOTE) and person.way != "machine",
        "may_roll_back": person.can(Right.ROLL_BACK) and person.way != "machine",
        "may_verify": person.can(Right.AUDIT_READ),
    }
    return render(request, "coordinator/model.html", status, **found)


def _decimal(text: str) -> float | None:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


def of_version(
    desk: Desk, registry: Registry, version: Version, sight: Sight, threshold: float
) -> dict[str, Any]:
    """What the page shows of one version, whoever looks. The pictures are the run's."""
    versions = registry.versions()
    promotions = Promotions(registry.journal, registry)
    used = promotions.in_use(version.task)
    checks, whole = model_card.checked(desk, registry, version)
    try:
        document = as_seen(desk.reading.document(version.run), sight)
    except NotFound:
        document = {}
    if document.get("model_sha256") != version.sha256:
        document = {}  # another model's figures are not this one's
    counted = matrix(document, threshold)
    acts = promotions.acts(version.task)
    return {
        "stored": version,  # the base has a "version": that of Aegis
        "card": version.card,
        "in_use": used is not None and used.number == version.number,
        "used": used,
        "facts": model_card.facts(version, registry),
        "scores": overall_scores({**document, "global": version.card.get("metrics")}),
        "no_scores": version.card.get("metrics_reason"),
        "privacy": mapping(version.card.get("privacy")),
        "gates": [
            (one, model_card.CHECKS[one.name], whole or one.name != "audit log" or not one.passed)
            for one in checks
        ],
        "open": all(one.passed for one in checks),
        "lost": next((one.reason for one in checks if one.name == "files" and not one.passed), ""),
        "lineage": model_card.lineage(desk, versions, version),
        "run_known": bool(document),
        "usefulness": usefulness_part(document),
        "classes": classes_part(document),
        "matrix": counted,
        "threshold": threshold,
        "roc": roc(document, None if counted is None else counted.at),
        "thresholds": [round(one.threshold, 3) for one in points(document)],
        "history": model_card.history(acts),
        "can_go_back": _can_go_back(acts),
        "cli_proposal": promotions.proposal(version),
        "onnx": find_spec("onnx") is not None,
        "looked": log_checks.checked(desk, logbook.log_name(version.run)),
    }


def _can_go_back(acts: Any) -> bool:
    depth = 0
    for act in acts:
        depth += {"promoted": 1, "rolled_back": -1}.get(act.kind, 0)
    return depth > 1


@router.get("/models/{version}/download/{kind}", include_in_schema=False)
def download(version: str, kind: str, request: Request, person: Reader) -> Response:
    """The registry's own bytes, checked against their hash, or made of them."""
    with registry_of(desk_of(request)) as registry:
        stored = _find(registry, version)
        if kind == "card":
            data, file = stored.text.encode(), f"{stored.task}-{stored.sha256[:12]}.json"
        elif kind == "safetensors":
            data, file = registry.verified_bytes(stored), exported_name(stored, kind)
        elif kind == "sklearn":
            data = with_card(stored.model, registry.load(stored), stored.text)
            file = f"{stored.task}-{stored.sha256[:12]}-with-card.safetensors"
        elif kind == "onnx":
            data = onnx_bytes(stored.model, registry.load(stored), stored.card)
            file = exported_name(stored, kind)
        else:
            raise NotFound(f"no download is called {kind!r:.40}")
    media = "application/json" if kind == "card" else "application/octet-stream"
    headers = {"Content-Disposition": f'attachment; filename="{file}"'}
    return Response(data, media_type=media, headers=headers)


@router.post("/models/{version}/verify", include_in_schema=False)
def verify(
    version: str, request: Request, person: Annotated[Person, Depends(may(Right.AUDIT_READ))]
) -> Response:
    desk = desk_of(request)
    with registry_of(desk) as registry:
        stored = _find(registry, version)
    log_checks.check(desk, logbook.log_name(stored.run), person.name)
    return RedirectResponse(f"/models/{stored.name}#checks", 303)


@router.post("/models/{version}/promote", include_in_schema=False)
def promote(
    version: str,
    request: Request,
    person: Annotated[Person, Depends(may(Right.PROMOTE))],
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Proposes a version; the second person confirms it on the proposal's own page."""
    desk, there = desk_of(request), proposals_of(request)
    if there is None:
        raise CheckFailed(
            "this window has no accounts, so nobody can be told from anybody",
            "two people promote a model",
            f"aegis models promote {version[:40]} --by NAME",
        )
    if not reason.strip():
        return _page(
            request, person, version, "", 422, (("reason", "A proposal needs its reason"),)
        )
    with registry_of(desk, writing=True) as registry:
        stored = _find(registry, version)
        checks = gates(registry, stored, log_checks.log_faults(desk, stored.run))
        if any(not one.passed for one in checks):
            said = "; ".join(f"{g.name}: {g.reason.rstrip('.')}" for g in checks if not g.passed)
            faults = (("", f"{stored.name} is not promoted. {said}"),)
            return _page(request, person, version, "", 403, faults)
        promotions = Promotions(registry.journal, registry)
        try:
            made = propose_model(there, promotions, stored, person, reason, checks)
        except AegisError as error:
            said = ". ".join(text for text in (error.value, error.need) if text)
            status = 403 if isinstance(error, CheckFailed) else 409
            return _page(request, person, version, "", status, (("", said),))
    return RedirectResponse(f"/privacy/proposals/{made.number}", 303)


@router.post("/models/{version}/roll-back", include_in_schema=False)
def roll_back(
    version: str,
    request: Request,
    person: Annotated[Person, Depends(may(Right.ROLL_BACK))],
    reason: Annotated[str, Form()] = "",
    instead_of: Annotated[str, Form()] = "",
) -> Response:
    """Back to what was in use before; ``instead_of`` is the hash of the version that was shown as
    in use, so that a form sent twice does not go back twice."""
    desk = desk_of(request)
    if person.way == "machine":
        raise CheckFailed(
            "this machine’s token is nobody in particular",
            "a rollback is somebody’s act",
            "Log in, or use: aegis models rollback TASK --by NAME --reason TEXT",
        )
    if not reason.strip():
        return _page(request, person, version, "", 422, (("back", "A rollback needs its reason"),))
    with registry_of(desk, writing=True) as registry:
        stored = _find(registry, version)
        promotions = Promotions(registry.journal, registry)
        used = promotions.in_use(stored.task)
        if used is None or used.sha256 != instead_of or used.number != stored.number:
            said = f"{stored.name} is not the version in use any more; look at it again"
            return _page(request, person, version, "", 409, (("", said),))
        try:
            act = promotions.roll_back(
                stored.task,
                Named(person.name),
                reason.strip()[:500],
                lambda event: own_log.tell(desk.home, event),
            )
        except AegisError as error:
            return _page(request, person, version, "", 409, (("", str(error)),))
    return RedirectResponse(f"/models/v{act.version}", 303)
