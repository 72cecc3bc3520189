"""The result of a run as one JSON object: what was saved, counted and scored, and nothing else.

Everything here comes from the coordinator's own records (the final state and the stored events),
so a run over any road has the same result; what only a simulation can know (hospitals on their own,
the pooled reference) is added by the simulation. A measurement that does not exist is null, with
its reason beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.coordinator.closing import total_loss
from aegis.coordinator.steps import Study
from aegis.evaluation.classes import DRAWN, examples_of, right_of, shape
from aegis.evaluation.intervals import interval
from aegis.evaluation.metrics import metrics
from aegis.evaluation.whole import together
from aegis.messages import Enrolled
from aegis.plan.own_data import class_names
from aegis.privacy.accounting import Event
from aegis.report.classes import classes_of, imbalance
from aegis.report.fairness import fairness
from aegis.report.flags import detected, flags_of
from aegis.report.spending import privacy_of, spent_by
from aegis.report.usefulness import usefulness
from aegis.states import Terminated

INTERVALS = ("accuracy", "auc", "balanced_accuracy")
Record = tuple[int, str, dict[str, Any]]


def result_of(
    study: Study,
    final: Terminated,
    records: Sequence[Record],
    *,
    transport: str,
    model_sha256: str,
    releases: Mapping[str, Sequence[Event]],
    scored: Mapping[str, Sequence[Event]] | None = None,
) -> dict[str, Any]:
    """``records`` are the run's stored events, oldest first; ``releases`` what each hospital was
    charged for in this run, and ``scored`` what real hospitals were for noisy scores."""
    plan, progress = study.plan, final.progress
    names = [h.hospital for h in progress.hospitals if h.hospital in final.histograms]
    own = [final.histograms[name] for name in names]
    histograms = list(own)
    losses = [final.losses[name] for name in names]
    if final.sealed is not None and final.sealed.histogram is not None:
        histograms.append(final.sealed.histogram)
        losses.append(final.sealed.loss_sum)
    noise = [final.noise.get(name, 0.0) for name in names] + [0.0] * (len(histograms) - len(own))
    noisy = bool(final.noise)
    total = together(histograms, noisy) if histograms else None
    found = summed_metrics([] if total is None else [total], losses, plan.model.num_classes)
    spent = spent_by(releases, plan.privacy.delta) if plan.privacy.enabled else {}
    hospitals: list[dict[str, Any]] = [
        {
            "name": h.hospital,
            "examples": h.examples,
            "test_examples": h.held_out,
            "global": (
                metrics(
                    together([final.histograms[h.hospital]], h.hospital in final.noise),
                    final.losses[h.hospital],
                )
                if h.hospital in final.histograms
                else None
            ),
            "local": None,
            "epsilon": spent[h.hospital]["pld"] if h.hospital in spent else None,
            "epsilon_rdp": spent[h.hospital]["rdp"] if h.hospital in spent else None,
            "rounds": progress.participation.get(h.hospital, 0),
            "status": _status(h, h.hospital in final.histograms),
        }
        for h in progress.hospitals
    ]
    return {
        "run": progress.run,
        "status": final.status,
        "reason": final.reason,
        "task": plan.task,
        "plan_sha256": plan.sha256,
        "model_sha256": model_sha256,
        "seed": plan.seed,
        "transport": transport,
        "trust": plan.effective_trust,
        "rule": plan.rule,
        "model": plan.model.name,
        "solver": plan.training.solver,
        "class_weights": plan.training.class_weights and list(plan.training.class_weights),
        "rounds": progress.round,
        "chosen_round": final.round,
        "seconds": span(records),
        "global": {
            **found,
            "ci95": {
                name: interval(histograms, name, noise=noise)
                for name in (INTERVALS if plan.model.num_classes == 2 else DRAWN)
                if found.get(name) is not None
            },
            "noise_sd": float(np.linalg.norm(noise)),
        },
        "global_reason": None if histograms else "no hospital released scores of the final model",
        "mean_hospitals": _mean_over_hospitals(
            own, [h["global"] for h in hospitals], noise[: len(own)]
        ),
        "pooled": None,
        "mean_local": None,
        "hospitals": hospitals,
        "history": history_of(records),
        **detected(plan, records),
        "fairness": fairness(study, final),
        **usefulness(final),
        **classes_of(scored_histograms(final), study.schema.classes),
        **imbalance(scored_histograms(final), class_names(plan, study.schema), found),
        "privacy": privacy_of(plan, releases, scored),
        "audit_log": None,
        "audit_log_reason": "no log was kept of this run",
    }


def scored_histograms(final: Terminated) -> list[NDArray[np.int64]]:
    """What was released of the final model, by hospital or summed; where noise is in some of it,
    made whole in one sum."""
    found = list(final.histograms.values())
    if final.sealed is not None and final.sealed.histogram is not None:
        found.append(final.sealed.histogram)
    return [together(found, True)] if final.noise and found else found


def _status(hospital: Enrolled, scored: bool) -> str:
    if not scored:
        return "no scores at the end"
    return "ok" if hospital.examples else "scores only"


def summed_metrics(
    histograms: Sequence[NDArray[np.int64]], losses: Sequence[float | None], classes: int = 2
) -> dict[str, float | None]:
    """Metrics of all rows together; every one null where nobody released scores."""
    nothing = np.zeros(shape(classes), dtype=np.int64)
    total = np.add.reduce(histograms, axis=0) if histograms else nothing
    return metrics(total, total_loss(losses))


def mean_metrics(found: Sequence[dict[str, Any] | None]) -> dict[str, float | None]:
    """Unweighted means over the hospitals that have a value; null where none has."""
    there = [one for one in found if one]
    if not there:
        return {}
    means: dict[str, float | None] = {}
    for name in there[0]:
        values = [one[name] for one in there if isinstance(one.get(name), int | float)]
        if name not in ("examples", "ci95"):
            means[name] = float(np.mean(values)) if values else None
    return means


def _mean_over_hospitals(
    histograms: Sequence[Any], found: Sequence[dict[str, Any] | None], noise: Sequence[float]
) -> dict[str, Any]:
    means: dict[str, Any] = dict(mean_metrics(found))
    if not histograms:
        return means
    if any(noise):
        means = dict.fromkeys(means) | {"accuracy": mean_accuracy(histograms)}
    means["ci95"] = {"accuracy": interval(histograms, "accuracy", over="hospitals", noise=noise)}
    return means


def mean_accuracy(histograms: Sequence[Any]) -> float | None:
    """Over hospitals, of signed counts: to bring each into 0 to 1 first would move the mean, and of
    noisy ratios there is no mean without such a bias."""
    shares = [right_of(one) / rows for one in histograms if (rows := examples_of(one)) > 0]
    return min(max(float(np.mean(shares)), 0.0), 1.0) if shares else None


def history_of(records: Sequence[Record]) -> list[dict[str, Any]]:
    """One entry per closed round, as far as ``records`` go."""
    opened: dict[int, str] = {}
    aside: dict[int, list[str]] = {}
    flags = flags_of(records)
    rounds: list[dict[str, Any]] = []
    for _, time, event in records:
        match event["event"]:
            case "RoundOpened":
                opened[event["round"]] = time
            case "ReplyQuarantined":
                aside.setdefault(event["round"], []).append(event["hospital"])
            case "RoundClosed":
                number = event["round"]
                named = [flag["hospital"] for flag in flags.get(number, [])]
                rounds.append(
                    {
                        "round": number,
                        "global": event["metrics"],
                        "hospitals": event["hospitals"],
                        "part": event["part"],
                        "learning_rate": event["learning_rate"],
                        "seconds": _seconds(opened.get(number, time), time),
                        "absent": event["absent"],
                        "set_aside": aside.get(number, []),
                        "flagged": list(dict.fromkeys([*aside.get(number, []), *named])),
                        "flags": flags.get(number, []),
                    }
                )
            case _:
                pass
    return rounds


def span(records: Sequence[Record]) -> float:
    """From the run's start to its end; what was put on record around it takes no part."""
    found = [time for _, time, event in records if event["event"] in ("RunStarted", "RunEnded")]
    return _seconds(found[0], found[-1]) if found else 0.0


def _seconds(first: str, last: str) -> float:
    passed = datetime.fromisoformat(last) - datetime.fromisoformat(first)
    return round(passed.total_seconds(), 3)
