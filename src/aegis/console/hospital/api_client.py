"""The client's REST: upload, train, predict, history; at the hospital, where the rows are.

    POST /client/upload-data/         a CSV becomes this hospital's data
    POST /client/train/{id}           train alone, and wait for it
    POST /client/aggregate/           ask the coordinator for a run of the approved plan
    GET  /client/predict/{id}/test    the own model on the test rows
    GET  /client/global-model-status  whether a shared model is here
    GET  /client/global-model-metrics how it does on this hospital's test rows
    GET  /client/history/{id}         how own training went, and which models came

``id`` is this hospital's name; every other one does not exist here. Own model and shared model are
two models with two sets of weights, judged on the same rows, which neither was trained on.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from aegis.console.hospital.desk import HospitalDesk, desk_of
from aegis.console.hospital.pages.data import keep_checked, wanted_of
from aegis.console.hospital.pages.results_shown import gained, results
from aegis.console.hospital.receiving import form_with_file
from aegis.console.people.rights import Person, Right, may
from aegis.console.reading import NotFound
from aegis.errors import AegisError, BadInput, DataError, RunAborted
from aegis.hospital.policy import Closed
from aegis.operations.hospital import uploads
from aegis.operations.hospital.alone import own_model, plan_here, shared_model
from aegis.operations.hospital.asking import ask_for_run
from aegis.operations.hospital.judging import Judged
from aegis.operations.hospital.received import received
from aegis.operations.hospital.rows import site
from aegis.plan import Plan

router = APIRouter(prefix="/client", tags=["client"])
LONGEST_WAIT_S = 600.0
OWN_MODEL = "own/model.safetensors"


@router.post("/upload-data/", summary="Take a table in; rows stay here")
async def upload_data(
    request: Request, person: Annotated[Person, Depends(may(Right.UPLOAD))]
) -> Response:
    """A form: ``file``, ``client_id``, and ``task``, ``label``, ``positive``, ``group`` where the
    registered ones are not meant."""
    desk = desk_of(request)
    name, content, fields = await form_with_file(request)
    return await run_in_threadpool(_upload, desk, person, name, content, fields)


@router.post("/train/{id}", summary="Train on this hospital's own rows alone")
def train(
    id: str, request: Request, person: Annotated[Person, Depends(may(Right.TRAIN_ALONE))]
) -> dict[str, Any]:
    desk = _here(request, id)
    desk.train()
    desk.training.wait(LONGEST_WAIT_S)
    if desk.training.error:
        raise DataError(desk.training.error)
    own = own_model(desk.folder)
    if own is None or desk.training.running:
        raise RunAborted("own training has not ended yet", way_out=f"See /client/history/{id}")
    judged = results(desk).own_judged
    return {
        "training_history": _history(own.history),
        "best_accuracy": own.best_accuracy,
        "best_round": own.best_round,
        "model_path": OWN_MODEL,
        "model_sha256": own.sha256,
        "test_metrics": None if judged is None else judged.figures,
        "rows": own.rows,
    }


@router.post("/aggregate/", summary="Ask the coordinator for a run, and wait for it")
def aggregate(
    request: Request,
    person: Annotated[Person, Depends(may(Right.TRAIN_ALONE))],
    wait_s: Annotated[float, Query(ge=0, le=LONGEST_WAIT_S)] = 120.0,
) -> Response:
    """202 where the run has not ended when ``wait_s`` is over; 409 with the reason where there is
    none to be had."""
    desk = desk_of(request)
    plan = _approved(desk)
    federation = desk.federation
    if federation is None:
        raise RunAborted("this hospital has not joined a federation", way_out="aegis hospital join")
    if not desk.standing.serving:
        raise RunAborted(
            "this hospital's node does not run, so no round could reach it",
            way_out=f"aegis hospital serve --hospital {desk.name}",
        )
    identity = desk.signer()
    desk.act(person, "asked for a run", plan.sha256, plan.task)
    try:
        run = ask_for_run(federation, identity, plan.sha256)
    except AegisError as error:
        raise RunAborted(error.value, error.need, error.way_out) from error
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        shared = shared_model(desk.folder)
        if shared is not None and shared.meta.run == run and shared.meta.final:
            return JSONResponse(_aggregated(desk, run, plan))
        time.sleep(0.2)
    return JSONResponse({"status": "asked", "run": run, "plan_sha256": plan.sha256}, 202)


@router.get(
    "/predict/{id}/test", summary="Predictions of the own or the shared model for held-out rows"
)
def predict(
    id: str,
    request: Request,
    person: Annotated[Person, Depends(may(Right.PREDICT))],
    model: Annotated[str, Query(pattern="^(own|shared)$")] = "own",
) -> dict[str, Any]:
    desk = _here(request, id)
    found = results(desk)
    judged = found.own_judged if model == "own" else found.shared_judged
    if judged is None:
        raise NotFound(found.why_own if model == "own" else found.why_shared)
    return {
        "model": model,
        "accuracy": judged.figures["accuracy"],
        "predictions": judged.said.tolist(),
        "actual_values": judged.actual.tolist(),
        "probabilities": _chances(judged),
    }


@router.get("/global-model-status", summary="Where the shared model stands")
def global_model_status(
    request: Request, person: Annotated[Person, Depends(may(Right.READ))]
) -> dict[str, Any]:
    desk = desk_of(request)
    found = results(desk)
    if found.shared is None:
        return {"exists": False, "reason": found.why_shared}
    meta = found.shared.meta
    judged = found.shared_judged
    return {
        "exists": True,
        "run": meta.run,
        "round": meta.round,
        "final": meta.final,
        "received": meta.time,
        "plan_sha256": meta.plan_sha256,
        "model_sha256": None if judged is None else judged.sha256,
    }


@router.get("/global-model-metrics", summary="How good the shared model is, here and in all")
def global_model_metrics(
    request: Request, person: Annotated[Person, Depends(may(Right.READ))]
) -> dict[str, Any]:
    desk = desk_of(request)
    found = results(desk)
    if found.shared is None or found.shared_judged is None:
        raise NotFound(found.why_shared, way_out="Take part in a run first")
    document = gained(desk, found)
    compared = None if document is None else document["comparison"]["hospitals"][0]
    return {
        "client_id": desk.name,
        "run": found.shared.meta.run,
        "global": found.shared_judged.figures,
        "local": None if found.own_judged is None else found.own_judged.figures,
        "local_reason": found.why_own or None,
        "difference": None if compared is None else compared.get("difference"),
    }


@router.get("/history/{id}", summary="How own training of a table went")
def history(
    id: str, request: Request, person: Annotated[Person, Depends(may(Right.READ))]
) -> dict[str, Any]:
    desk = _here(request, id)
    own = own_model(desk.folder)
    return {
        "client_id": desk.name,
        "training": desk.training.running,
        "training_history": None if own is None else _history(own.history),
        "best_accuracy": None if own is None else own.best_accuracy,
        "trained": None if own is None else own.trained,
        "model_path": None if own is None else OWN_MODEL,
        "runs": [
            {"run": one.run, "rounds": len(one.rounds), "last_round": one.round, "time": one.time}
            for one in received(desk.folder)
        ],
    }


def _upload(
    desk: HospitalDesk, person: Person, name: str, content: bytes, fields: dict[str, str]
) -> Response:
    if fields.get("client_id", desk.name) != desk.name:
        raise NotFound("there is no hospital of that name here")
    before = desk.folder.registered
    task = fields.get("task", "") or before.task
    label = fields.get("label", "") or before.label
    positive = fields.get("positive", "") or before.positive
    group = fields.get("group", "") or before.group
    if desk.training.running:
        raise RunAborted("own training goes on", way_out="Wait until it has ended")
    desk.signer()
    kept, checked = keep_checked(desk, name, content, person.name, task, label, positive, group)
    if kept is None:
        problems = [
            {"row": one.row, "column": one.column or None, "what": one.what}
            for one in checked.faults
        ]
        body = {"value": f"file: {checked.fault_count} places are wrong", "problems": problems}
        return JSONResponse({"error": body}, 422)
    try:
        wanted = wanted_of(desk, kept.id, task, label, positive, group)
        uploads.register(desk.folder, wanted)
    except BadInput as error:
        uploads.remove(desk.folder, kept.id)
        raise RunAborted(error.value, error.need, error.way_out) from error
    desk.act(person, "registered data", kept.sha256, f"{kept.name} for {task}")
    rows = site(desk.name, desk.folder.registered, plan_here(desk.folder))
    assert checked.dataset is not None
    labels = checked.dataset.rows.labels
    width = len(checked.schema.columns)
    return JSONResponse(
        {
            "message": f"{kept.name} is registered: {len(labels)} rows",
            "client_id": desk.name,
            "train_shape": [len(rows.train), width],
            "validation_shape": [len(rows.validation), width],
            "test_shape": [len(rows.test), width],
            "healthy_count": int((labels == 0).sum()),
            "total_samples": len(labels),
        }
    )


def _approved(desk: HospitalDesk) -> Plan:
    """The plan a run may be asked for. Raises ``RunAborted`` where there is none, and says why."""
    policy = desk.policy
    if isinstance(policy, Closed):
        raise RunAborted(policy.reason, way_out="Sign a policy at /policy")
    approved = desk.decisions.proposals("approved")
    usable = [one for one in approved if len(one.begun) < one.runs]
    if usable:
        return max(usable, key=lambda one: one.decided).plan
    if policy.approval == "automatic":
        found = shared_model(desk.folder)
        if found is not None:
            return found.plan
        raise RunAborted("no plan has reached this hospital yet")
    if approved:
        raise RunAborted(
            "the plan was approved for one run, and that is used",
            way_out="A person approves it once more at /plans",
        )
    pending = len(desk.decisions.proposals("pending"))
    raise RunAborted(
        "no plan is approved at this hospital",
        f"{pending} wait for a decision" if pending else "none was proposed",
        "A privacy officer decides at /plans",
    )


def _aggregated(desk: HospitalDesk, run: str, plan: Plan) -> dict[str, Any]:
    found = results(desk)
    judged = found.shared_judged
    own = found.own_judged
    accuracy = None if judged is None else judged.figures["accuracy"]
    return {
        "status": "completed",
        "run": run,
        "num_clients": plan.federated.num_clients,
        "global_accuracy": accuracy,
        "global_accuracy_on": f"the test rows of {desk.name}",
        "client_results": [
            {
                "client_id": desk.name,
                "local_accuracy": None if own is None else own.figures["accuracy"],
                "global_accuracy": accuracy,
                "samples": None if judged is None else len(judged.actual),
            }
        ],
        "model_path": f"received/{run}",
        "model_sha256": None if judged is None else judged.sha256,
        "experiment_path": None,
        "experiment_path_reason": "the coordinator keeps the experiment's file",
    }


def _history(history: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    names = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
    return {
        **{name: [one.get(name) for one in history] for name in names},
        "metrics": list(history),
    }


def _chances(judged: Judged) -> list[Any]:
    return np.round(judged.chances, 6).tolist()  # type: ignore[no-any-return]


def _here(request: Request, id: str) -> HospitalDesk:
    desk = desk_of(request)
    if id != desk.name:
        raise NotFound("there is no hospital of that name here")
    return desk
