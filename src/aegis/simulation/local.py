"""One whole federation on this machine: from a plan to a model, a result and a report.

    data set -> partition -> one node per hospital -> federate -> registry, comparison, files

Everything that can be wrong with a plan or its data is found before the data root is touched.
A run that dies is gone on with by name: the journal holds its plan, its options and its state.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aegis import states
from aegis.errors import BadInput
from aegis.events import Listener
from aegis.plan import Plan, check_plan
from aegis.simulation.comparison import Fitted
from aegis.simulation.federation import Federation
from aegis.simulation.going import Going, Options, Roads, RunResult, Told
from aegis.simulation.starting import starting_point
from aegis.states import Failed, Idle, RoundSetup, State, Terminated
from aegis.store.home import Home
from aegis.store.journal import Journal, StoredRun
from aegis.store.registry import Registry
from aegis.store.way_on import way_on


def run(
    plan: Plan,
    *,
    home: Path | None = None,
    data_directory: Path | None = None,
    out: Path | None = None,
    compare: bool = True,
    files: bool = True,
    audit: bool = True,
    leave_one_out: bool = False,
    engines: Mapping[str, str] | None = None,
    listeners: Sequence[Listener] = (),
    told: Told = lambda text: None,
    road: Roads | None = None,
) -> RunResult:
    """Run ``plan`` with all its hospitals in this process.

    ``home`` is the data root (default: AEGIS_HOME or ./aegis-data), ``data_directory`` where data
    sets lie (default: AEGIS_DATA_DIR), ``out`` where the result goes (default: results/RUN).
    Without ``compare`` no hospital is trained alone, without ``audit`` nobody attacks the model,
    and without ``files`` only the model and the result are stored. ``leave_one_out`` runs the
    federation again without each hospital in turn, and scores what comes out on the one left out.
    ``engines`` says by name what a hospital trains in, ``*`` for all (default: numpy, or Spark with
    USE_SPARK).
    ``told`` hears what is done after the rounds. ``road`` leads to the nodes in another way than
    as one stack. Raises ``BadInput`` before anything is written,
    ``RunAborted`` when a run cannot go on.
    """
    check_plan(plan)
    directory = data_directory or _data_directory()
    federation = Federation.of(plan, directory).with_engines(engines)
    root = _home(home).prepare()
    with _journal(root) as journal:
        start = None
        if plan.model.start is not None:
            registry = Registry(root, journal)
            start = starting_point(federation.study, plan.model.start, registry)
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{plan.task}-{secrets.token_hex(3)}"
        chosen = {name: site.engine for name, site in federation.sites.items()}
        own = {name: engine for name, engine in chosen.items() if engine != "numpy"}
        options = Options(_text(directory), _text(out), compare, files, audit, leave_one_out, own)
        journal.open_run(name, plan.task, plan.to_json(), plan.sha256, vars(options))
        going = Going(federation, root, journal, name, options, listeners, told, road)
        return going.on(Idle(), start)


def resume(
    name: str,
    *,
    home: Path | None = None,
    listeners: Sequence[Listener] = (),
    told: Told = lambda text: None,
) -> RunResult:
    """Go on with a run that was interrupted, by its name or ``latest``, from its last saved
    state."""
    root = _home(home)
    if not root.database.exists():
        raise BadInput(f"{root.root} holds no run", way_out="Set AEGIS_HOME to its data root")
    with _journal(root) as journal:
        if name == "latest":
            name = next(iter(journal.runs()), name)
        stored = journal.run(name)
        plan, options = Plan.from_json(stored.plan_json), _options(stored)
        directory = Path(options.data_directory) if options.data_directory else None
        federation = Federation.of(plan, directory).with_engines({"*": "numpy", **options.engines})
        state: State = stored.state
        if isinstance(state, Failed):
            state = Idle() if state.progress is None else RoundSetup(state.progress)
        start = None
        if plan.model.start is not None and isinstance(state, Idle):
            registry = Registry(root, journal)
            start = starting_point(federation.study, plan.model.start, registry)
        journal.give_command(name, None)
        told(f"going on with {name} from {states.name(state)}")
        going = Going(federation, root, journal, name, options, listeners, told)
        return going.on(state, start)


def stored(
    name: str, home: Path | None = None
) -> tuple[str, str, Federation, Fitted, dict[str, Any]]:
    """Run, model hash, federation, final model and result of a stored model.

    ``name`` is a version, a run, or ``latest``. Raises ``BadInput`` where it is none of these.
    """
    root = _home(home)
    if not root.database.exists():
        raise BadInput(f"{root.root} holds no model yet", way_out="Start with: aegis demo")
    with _journal(root) as journal:
        registry = Registry(root, journal)
        if name == "latest":
            versions = registry.versions()
            if not versions:
                raise BadInput(f"{root.root} holds no model yet", way_out="Start with: aegis demo")
            version = versions[-1]
        else:
            version = registry.find(name)
        kept = journal.run(version.run)
        weights = registry.load(version)
    options = _options(kept)
    directory = Path(options.data_directory) if options.data_directory else None
    federation = Federation.of(Plan.from_json(kept.plan_json), directory)
    fitted = Fitted(federation.study, version.card["preparation"], weights)
    path = (Path(options.out) if options.out else root.results(version.run)) / "result.json"
    result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return version.run, version.sha256, federation, fitted, result


def _options(stored: StoredRun) -> Options:
    """Raises ``BadInput`` for a run whose hospitals were processes of their own."""
    road = stored.options.get("transport")
    if road is None:
        return Options(**stored.options)
    way_out = way_on(stored)
    if isinstance(stored.state, Terminated):
        way_out = f"See: aegis report {stored.run}"
    raise BadInput(
        f"the run {stored.run} was made over {road}",
        "its rows are at its hospitals, not here",
        way_out,
    )


@contextmanager
def _journal(home: Home) -> Iterator[Journal]:
    journal = Journal(home.database)
    try:
        yield journal
    finally:
        journal.close()


def _home(home: Path | None) -> Home:
    return Home(home) if home is not None else Home.from_environment()


def _data_directory() -> Path | None:
    value = os.environ.get("AEGIS_DATA_DIR")
    return Path(value) if value else None


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
