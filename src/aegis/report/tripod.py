"""The TRIPOD+AI checklist of a run: what the run knows is filled in, the rest is the authors'.

TRIPOD+AI (Collins et al., BMJ 2024;385:e078378) lists what a report of a prediction model should
say. Each of its 52 items is named here in our own words. An item is ``from the run`` where this
result answers all that a run can know of it, ``partly`` where authors must add to it, and ``to be
filled by the authors`` where no run can know. No item is ticked: a checklist says where something
is reported, not that it is good.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from aegis.report import tripod_methods as methods
from aegis.report import tripod_results as results

Status: TypeAlias = Literal["from the run", "partly", "to be filled by the authors"]
Answer: TypeAlias = Callable[[Mapping[str, Any]], str]
AUTHORS = "To be filled by the authors."
REFERENCE = (
    "TRIPOD+AI: Collins GS, Moons KGM, Dhiman P, et al. BMJ 2024;385:e078378. The items are named "
    "in our own words; read the statement itself for what they ask."
)


@dataclass(frozen=True)
class Item:
    """``answer`` says what the run knows, or nothing; ``whole``: authors need add nothing."""

    number: str
    section: str
    topic: str
    answer: Answer | None = None
    whole: bool = False
    left: str = ""


ITEMS: tuple[Item, ...] = (
    Item("1", "Title", "A prediction model is developed or evaluated; for whom, for what",
         methods.title, left="wording of the title"),
    Item("2", "Abstract", "Structured summary", methods.abstract, left="the abstract itself"),
    Item("3a", "Introduction", "Clinical context, and models that exist already"),
    Item("3b", "Introduction", "Who is meant to be served, where in care, and who would use it"),
    Item("3c", "Introduction", "Known health inequalities between groups"),
    Item("4", "Introduction", "Objectives: development, evaluation or both", methods.objectives,
         left="the clinical objective"),
    Item("5a", "Methods: data", "Sources of the data, and how representative they are",
         methods.source, left="how representative the data are"),
    Item("5b", "Methods: data", "When the data were collected"),
    Item("6a", "Methods: participants", "Setting: number and place of the centres",
         methods.setting, left="place and level of care"),
    Item("6b", "Methods: participants", "Who was eligible"),
    Item("6c", "Methods: participants", "Treatments, and how they were handled"),
    Item("7", "Methods: data preparation", "Cleaning, scaling, encoding; alike in all groups",
         methods.preparation, True),
    Item("8a", "Methods: outcome", "What is predicted, when and how it was assessed",
         methods.outcome, left="how and when the outcome was assessed"),
    Item("8b", "Methods: outcome", "Who judged an outcome that needs judgement"),
    Item("8c", "Methods: outcome", "Whether its assessment was blinded"),
    Item("9a", "Methods: predictors", "How the first set of predictors was chosen"),
    Item("9b", "Methods: predictors", "What each predictor is, when and how it was measured",
         methods.predictors, left="when and how they were measured"),
    Item("9c", "Methods: predictors", "Who judged predictors that need judgement"),
    Item("10", "Methods", "How the sample size was arrived at", methods.sample_size,
         left="whether it was enough for the question"),
    Item("11", "Methods", "Missing data", methods.missing, True),
    Item("12a", "Methods: analysis", "How the data were divided for training and testing",
         methods.division, True),
    Item("12b", "Methods: analysis", "How predictors entered the model", methods.preparation, True),
    Item("12c", "Methods: analysis", "Kind of model, how it was built, tuned and checked inside",
         methods.building, left="why this kind of model"),
    Item("12d", "Methods: analysis", "Differences between hospitals, and how they were handled",
         methods.clusters, True),
    Item("12e", "Methods: analysis", "Measures and plots of performance", methods.measures, True),
    Item("12f", "Methods: analysis", "Updating of the model, such as recalibration",
         methods.updating, True),
    Item("12g", "Methods: analysis", "How predictions were calculated for evaluation",
         methods.predictions, True),
    Item("13", "Methods", "Class imbalance", methods.imbalance, True),
    Item("14", "Methods", "Approaches to fairness", methods.fairness_methods,
         left="why these groups"),
    Item("15", "Methods", "Output of the model, and thresholds", methods.output,
         left="which threshold is to be used, and why"),
    Item("16", "Methods", "Differences between training and evaluation data",
         methods.training_and_evaluation, left="differences in setting and eligibility"),
    Item("17", "Methods", "Ethical approval and consent"),
    Item("18a", "Open science", "Funding"),
    Item("18b", "Open science", "Conflicts of interest"),
    Item("18c", "Open science", "Protocol", results.protocol, left="a study protocol"),
    Item("18d", "Open science", "Registration"),
    Item("18e", "Open science", "Availability of the data", results.data_sharing,
         left="access to the data"),
    Item("18f", "Open science", "Availability of the code", results.code, True),
    Item("19", "Patient and public involvement", "Who was involved, and how"),
    Item("20a", "Results: participants", "Flow of patients, with and without the outcome",
         results.flow, left="patients who were not eligible"),
    Item("20b", "Results: participants", "Characteristics, overall and by hospital",
         results.characteristics, left="dates, and anything not in the table"),
    Item("20c", "Results: participants", "Training and evaluation data beside each other",
         methods.training_and_evaluation, left="dates and eligibility"),
    Item("21", "Results", "Patients and outcomes in each analysis", results.events, True),
    Item("22", "Results", "The full model, so that others can predict with it",
         results.specification, True),
    Item("23a", "Results: performance", "Performance with intervals, in key groups too",
         results.performance, True),
    Item("23b", "Results: performance", "Differences in performance between hospitals",
         results.heterogeneity, True),
    Item("24", "Results", "Results of updating the model", results.updated, True),
    Item("25", "Discussion", "Interpretation, fairness included", results.interpretation,
         left="the interpretation itself"),
    Item("26", "Discussion", "Limitations", results.limitations, left="limits of the study"),
    Item("27a", "Discussion: use", "Poor or missing inputs at the time of use", results.inputs,
         left="what a user is to do"),
    Item("27b", "Discussion: use", "What users must know and do"),
    Item("27c", "Discussion: use", "Next steps, and where the model may apply"),
)  # fmt: skip


def tripod(result: Mapping[str, Any]) -> dict[str, Any]:
    """The checklist of this result, as plain values."""
    items = [_filled(item, result) for item in ITEMS]
    counts = {
        status: sum(one["status"] == status for one in items)
        for status in ("from the run", "partly", "to be filled by the authors")
    }
    return {
        "checklist": "TRIPOD+AI",
        "reference": REFERENCE,
        "run": result.get("run"),
        "task": result.get("task"),
        "model_sha256": result.get("model_sha256"),
        "counts": counts,
        "items": items,
    }


def _filled(item: Item, result: Mapping[str, Any]) -> dict[str, str]:
    said = item.answer(result) if item.answer is not None else ""
    status: Status = "to be filled by the authors"
    if said:
        status = "from the run" if item.whole else "partly"
    left = f"{AUTHORS[:-1]}: {item.left}." if item.left else AUTHORS
    parts = [said] if said else []
    if status != "from the run":
        parts.append(left)
    return {
        "item": item.number,
        "section": item.section,
        "topic": item.topic,
        "status": status,
        "text": " ".join(parts),
    }


def tripod_json(result: Mapping[str, Any]) -> str:
    return json.dumps(tripod(result), indent=1, ensure_ascii=False) + "\n"


def tripod_markdown(result: Mapping[str, Any]) -> str:
    """The checklist as one Markdown table."""
    found = tripod(result)
    counts = found["counts"]
    lines = [
        f"# TRIPOD+AI checklist: {_cell(methods.task(result))}",
        "",
        f"Run `{found['run']}`, model `{found['model_sha256']}`.",
        "",
        f"{REFERENCE}",
        "",
        f"Of {len(found['items'])} items {counts['from the run']} are answered by the run, "
        f"{counts['partly']} partly, and {counts['to be filled by the authors']} are to be filled "
        "by the authors.",
        "",
        "| Item | Section | Topic | Status | What is known |",
        "|---|---|---|---|---|",
    ]
    lines += [
        "| " + " | ".join(_cell(one[key]) for key in
                          ("item", "section", "topic", "status", "text")) + " |"
        for one in found["items"]
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text that stays in its cell."""
    flat = " ".join(str(text).replace("\u00a0", " ").split())
    return flat.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
