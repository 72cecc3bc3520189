"""From a file, .env, the environment and ``--set`` to a plan and the origin of each of its keys.

Here alone files are read. Reading asks whether each value is one that its key takes
(``parse_plan``); whether the values go together is asked afterwards (``check_plan``), so that a
plan can be understood before it is refused. ``load_plan`` does both and reports all faults at once.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aegis.errors import PlanError
from aegis.plan.environment import said_in
from aegis.plan.layers import Said, defaults, effective
from aegis.plan.plan import Plan
from aegis.plan.sentences import value_faults
from aegis.plan.soundness import find_faults
from aegis.plan.syntax import read_value, read_yaml


@dataclass(frozen=True)
class Loaded:
    """A plan, a phrase for each key saying where its value comes from, and what was said at all
    (without presets, consequences and defaults). ``source`` names the file, or is empty."""

    plan: Plan
    origins: Mapping[str, str]
    said: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""


def load_plan(
    path: Path | str | None = None,
    overrides: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    dotenv: Path | None = None,
) -> Loaded:
    """The plan of a file, checked. ``--set`` overrides come before ``environment``, then
    ``dotenv``, the file, the task's preset, the defaults; what is not given is not looked for.

    Raises ``PlanError`` with one sentence for each thing that is wrong.
    """
    loaded, wrong = _read(path, overrides or {}, environment or {}, dotenv)
    said = loaded.said.keys()
    unsound = [
        fault.sentence(said) + _sources(fault.keys, loaded.origins)
        for fault in find_faults(loaded.plan)
        if wrong.keys().isdisjoint(fault.keys)
    ]
    if wrong or unsound:
        raise PlanError(*wrong.values(), *unsound)
    return loaded


def parse_plan(
    path: Path | str | None = None,
    overrides: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    dotenv: Path | None = None,
) -> Loaded:
    """As ``load_plan``, but values are checked one by one only."""
    loaded, wrong = _read(path, overrides or {}, environment or {}, dotenv)
    if wrong:
        raise PlanError(*wrong.values())
    return loaded


def explain(loaded: Loaded) -> list[tuple[str, Any, str]]:
    """(key, value, origin) of every key, in the order in which they are documented."""
    plan, open_f = loaded.plan, "robust_aggregation.num_byzantine"
    rows = {path: (value, loaded.origins[path]) for path, value in plan.values.items()}
    if rows[open_f][0] is None and plan.rule not in ("fedavg", "foolsgold"):
        groups = " groups" if plan.trust == "grouped" else ""
        origin = f"null: the most{groups} that {plan.rule} withstands among those that must answer"
        rows[open_f] = (plan.byzantine, origin)
    return [(path, value, origin) for path, (value, origin) in rows.items()]


def _read(
    path: Path | str | None,
    overrides: Mapping[str, str],
    environment: Mapping[str, str],
    dotenv: Path | None,
) -> tuple[Loaded, dict[str, str]]:
    """What could be read, with faulty keys left at their defaults, and the faults by key."""
    file = Path(path) if path is not None else None
    source = file.name if file is not None else ""
    said, wrong = ({}, {}) if file is None else read_yaml(_text(file), source)
    if dotenv is not None and dotenv.exists():
        said |= said_in(_dotenv(dotenv), dotenv.name)
    said |= said_in(environment, "environment")
    for key, text in overrides.items():
        try:
            said[key] = Said(_override(key, text), "--set")
        except PlanError as error:
            wrong[key] = str(error)
    values = effective(said)
    wrong |= value_faults(values)
    kept = {key: values[key] for key in defaults()}
    kept |= {key: Said(defaults()[key], "default") for key in wrong if key in kept}
    plan = Plan(**{key: value.value for key, value in kept.items()})
    origins = {key: value.origin for key, value in kept.items()}
    spoken = {key: value.value for key, value in said.items() if key in kept and key not in wrong}
    return Loaded(plan, origins, spoken, source), wrong


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PlanError(
            f"{file} is not UTF-8 (byte {error.start})", way_out="Save it as UTF-8"
        ) from error
    except OSError as error:
        raise PlanError(f"{file} cannot be read ({error.strerror})") from error


def _dotenv(file: Path) -> Mapping[str, str | None]:
    from dotenv import dotenv_values

    return dotenv_values(stream=io.StringIO(_text(file)), interpolate=False)


def _override(key: str, text: Any) -> Any:
    return read_value(text, f"--set {key}") if isinstance(text, str) else text


def _sources(keys: tuple[str, ...], origins: Mapping[str, str]) -> str:
    """Where values come from that do not stand in the plan file."""
    plain = ("file ", "--set", "default", "follows ")
    outside = [
        f"{key} comes from {origins[key]}"
        for key in keys
        if key in origins and not origins[key].startswith(plain)
    ]
    return f" ({', '.join(outside)})" if outside else ""
