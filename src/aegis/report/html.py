"""The report of a run as one page that opens offline.

Everything is in the file: one style block, named by its hash in the page's own content security
policy, and charts as SVG. There is no script and no request. Every number comes from the result
that is handed in; a section whose numbers are not there says why.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from aegis.report import verdict
from aegis.report.benefit_page import (
    benefit_sentence,
    outside_sentence,
    outside_table,
    personal_table,
)
from aegis.report.classes_page import classes_part
from aegis.report.disclosure import disclosures, has_noise
from aegis.report.drawings import curves, gain_rows, odds_rows, round_cells
from aegis.report.fairness_page import COLUMNS, fairness_part
from aegis.report.flags import flag_table, no_flags
from aegis.report.hospital_tables import comparison_table, hospital_table, partition_table
from aegis.report.provenance import glossary, origins, repeating, sureness
from aegis.report.run_tables import best_round, odds_table, overall_scores, round_table
from aegis.report.tables import Table, shown_hospitals
from aegis.report.usefulness_page import usefulness_part
from aegis.report.wording import DISCLAIMER, mapping, sequence, task_title

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_STACKED = 8


def html_report(result: Mapping[str, Any]) -> str:
    """The page for a result document (contract: The result). Depends on nothing else, so equal
    results give equal pages."""
    style, render = style_and_page("run.html")
    return render(policy=policy(style), **content(result))


def style_and_page(template: str) -> tuple[str, Callable[..., str]]:
    """The style block of all our pages, and a function that renders one of them with it."""
    from markupsafe import Markup

    environment = _environment()
    style = _style(environment)
    page = environment.get_template(template)
    # Our own file; each page's policy carries its hash.
    return style, lambda **values: page.render(style=Markup(style), **values)  # noqa: S704


def policy(style: str) -> str:
    """Nothing may load, nothing may run, and only this style block may style."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def content(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows, by the names that its templates use."""
    data = mapping(result.get("data"))
    return {
        "title": task_title(result),
        "run": str(result.get("run") or "unnamed"),
        "synthetic": data.get("synthetic") is True,
        "simulated": result.get("transport") == "inprocess",
        "positive": str(data.get("positive") or ""),
        "disclaimer": DISCLAIMER,
        "headline": verdict.headline(result),
        "subtitle": verdict.subtitle(result),
        "explanation": verdict.explanation(result),
        "figures": verdict.figures(result),
        "sure": sureness(result),
        "scores": overall_scores(result),
        "curves": curves(result),
        "gains": gain_rows(result),
        "comparison": comparison_table(result),
        "no_comparison": _reason(result, "comparison", "no hospital trained a model of its own"),
        "shown": shown_hospitals(result)[1],
        "benefit": benefit_sentence(result),
        "personal": personal_table(result),
        "outside_said": outside_sentence(result),
        "outside": outside_table(result),
        "fairness": fairness_part(result),
        "columns": COLUMNS,
        "usefulness": usefulness_part(result),
        "classes": classes_part(result),
        "partition": partition_table(result),
        "table_one": _table_one(result),
        "no_table_one": _reason(result, "table_one", "this run had no statistics round"),
        "hospitals": hospital_table(result),
        "odds": odds_table(result),
        "odds_rows": odds_rows(result),
        "no_odds": _reason(result, "odds_ratios", "they were not computed in this run"),
        "noise": has_noise(result),
        "disclosures": disclosures(result),
        "cells": round_cells(result),
        "rounds": round_table(result, best_round(result)),
        "flags": flag_table(result),
        "no_flags": no_flags(result),
        "origins": origins(result),
        "repeating": repeating(result),
        "glossary": glossary(result),
        "most_stacked": MOST_STACKED,
    }


def _reason(result: Mapping[str, Any], section: str, otherwise: str) -> str:
    given = result.get(f"{section}_reason")
    return given if isinstance(given, str) and given else otherwise


def _table_one(result: Mapping[str, Any]) -> Table | None:
    given = mapping(result.get("table_one"))
    rows = [mapping(row) for row in sequence(given.get("rows"))]
    if not rows:
        return None
    shown, note = shown_hospitals(result)
    names = [str(name) for name in sequence(given.get("hospitals"))]
    kept = [i for i, name in enumerate(names) if not shown or name in shown]
    notes = [str(text) for text in sequence(given.get("notes"))]
    return Table(
        "Training patients, overall" + (" and by hospital" if kept else ""),
        (("", False), ("Overall", True), *((names[i], True) for i in kept)),
        tuple(
            (
                str(row.get("label", "")),
                str(row.get("overall", "")),
                *(_cell(sequence(row.get("by_hospital")), i) for i in kept),
            )
            for row in rows
        ),
        " ".join([*notes, *([note] if note and kept else [])]),
    )


def _cell(cells: Any, index: int) -> str:
    return str(cells[index]) if index < len(cells) else "n/a: not recorded"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("aegis.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _style(environment: Environment) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, "run.css")[0]
