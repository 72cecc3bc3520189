"""Where the federation stands, as one document: for scripts, for scrapers and for the commands.

The names that ``aegis run --coordinator`` reads (state, run, round, rounds, hospitals, error) stand
beside those that dashboards know (status, current_round, agent_metrics, privacy_state ...). All of
it is the run's document; what the coordinator alone knows is who is connected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aegis.console.coordinator.api.dashboard import measures, planned_rounds, rounds_of
from aegis.console.coordinator.api.withholding import as_seen, hospitals_of, without
from aegis.console.coordinator.desk import Desk, Sight
from aegis.console.coordinator.runs.steering import present_run
from aegis.plan import Plan
from aegis.report.wording import mapping, number, sequence
from aegis.store.journal import Journal
from aegis.store.promotion import Promotions
from aegis.store.registry import Registry, Version

VERSIONS = 20


def standing_of(desk: Desk, sight: Sight) -> dict[str, Any]:
    state = desk.state()
    run, versions = present_run(desk), models_of(desk)
    document: Mapping[str, Any] = {}
    plan: Plan | None = None
    if run is not None:
        document, plan = as_seen(desk.reading.document(run), sight), desk.reading.plan(run)
        known = hospitals_of(desk.reading.document(run))
    else:
        known = []
    members = [str(one["name"]) for one in state["hospitals"]]
    names = members or [str(one["name"]) for one in sequence(document.get("hospitals"))]
    there = [one for one in state["hospitals"] if one.get("present")]
    status = document.get("status", "idle")
    hidden = {name for name in (*members, *known) if not sight.sees(name)}
    found = state | {
        "status": status,
        "latest_run": run,
        "current_round": document.get("rounds", 0),
        "max_rounds": None if plan is None else planned_rounds(document, plan),
        "total_agents": len(names),
        "connected_agents": len(there),
        "rounds_history": [
            {"round": one["round"], **measures(mapping(one.get("global")))}
            for one in rounds_of(document)
        ],
        "agent_metrics": {
            one["name"]: measures(mapping(one.get("global")))
            | {"status": one.get("status"), "examples": one.get("examples")}
            for one in sequence(document.get("hospitals"))
        },
        "global_model": _model(document),
        "privacy_state": {} if plan is None else _privacy(document, plan),
        "updates_rejected": sum(len(sequence(one.get("set_aside"))) for one in rounds_of(document)),
        "model_versions": versions[-VERSIONS:],
        "model_versions_total": len(versions),
    }
    if sight.only is not None:
        waiting = [one for one in found["waiting_to_join"] if sight.sees(str(one.get("name")))]
        found = without(found | {"waiting_to_join": waiting}, hidden)
    return found


def models_of(desk: Desk) -> list[dict[str, Any]]:
    """Every model version, oldest first, with the figures of its own card."""
    if not desk.home.database.exists():
        return []
    with desk.reading.journal() as journal:
        registry = Registry(desk.home, journal)
        versions = registry.versions()
        in_use = _in_use(journal, registry, versions)
    return [_version(one, in_use) for one in versions]


def _in_use(journal: Journal, registry: Registry, versions: Sequence[Version]) -> set[int]:
    promotions = Promotions(journal, registry)
    found = (promotions.in_use(task) for task in {one.task for one in versions})
    return {one.number for one in found if one is not None}


def _version(version: Version, in_use: set[int]) -> dict[str, Any]:
    card = version.card
    return {
        "version": version.name,
        "run_id": version.run,
        "task": version.task,
        "sha256": version.sha256,
        "created": version.created,
        "status": "in use" if version.number in in_use else "stored",
        **measures(mapping(card.get("metrics"))),
        "auc": mapping(card.get("metrics")).get("auc"),
        "epsilon": mapping(card.get("privacy")).get("epsilon"),
    }


def _model(document: Mapping[str, Any]) -> dict[str, Any] | None:
    overall = mapping(document.get("global"))
    if not overall:
        return None
    return {
        "sha256": document.get("model_sha256"),
        "round": document.get("chosen_round") or overall.get("round"),
        **measures(overall),
        "auc": overall.get("auc"),
    }


def _privacy(document: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """What each hospital spent on this run, and has left of what the run may spend there."""
    if not plan.privacy.enabled:
        return {}
    budget = plan.privacy.epsilon_budget
    found = {}
    for one in sequence(document.get("hospitals")):
        spent = number(one.get("epsilon"))
        left = None if spent is None or budget is None else max(0.0, budget - spent)
        found[one["name"]] = {
            "epsilon_spent": spent,
            "epsilon_budget": budget,
            "remaining": left,
            "exhausted": left == 0.0 if left is not None else None,
            "reason": None if spent is not None else "its ledger is asked after the last round",
        }
    return found
