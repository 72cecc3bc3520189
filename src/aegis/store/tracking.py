"""A mirror of the journal in MLflow: the only module that knows it.

The journal already holds every event of every run, so nothing is queued: the mirror reads the
events after its bookmark, logs them, and moves the bookmark. A server that is gone, hangs or fails
costs a run nothing; when it is back the mirror goes on where it stood. The bookmark is kept here
and in MLflow, as a tag; what a crash between the two logs again has the event's own time, and for
a database is the same point.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aegis.errors import AegisError, BadInput, MissingExtra, RunAborted
from aegis.plan import Plan
from aegis.store import served
from aegis.store.home import Home, setting, write_whole
from aegis.store.journal import Journal, StoredRun
from aegis.store.tracked import figures, milliseconds, parameters, shown, words
from aegis.version import __version__

URI = "MLFLOW_TRACKING_URI"
EXPERIMENT = "aegis"
REGISTERED = "FederatedGlobalModel"
_WAITING = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "60",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
_AT_ONCE = 100
_BOOKMARK = "aegis.after"
_STATUS = {"completed": "FINISHED", "stopped": "KILLED", "aborted": "FAILED"}
_FILES = ("result.json", "plan.json", "privacy_statement.json", "privacy_statement.html")


@dataclass(frozen=True)
class Synced:
    """``events`` were sent now; ``behind`` are still to come (0: the mirror is the journal's)."""

    run: str
    events: int
    behind: int
    complete: bool
    mlflow_run: str


class Mirror:
    """The mirror of one data root at one MLflow server or database."""

    def __init__(self, home: Home, uri: str) -> None:
        self.home, self.uri = home, uri
        where = hashlib.sha256(shown(uri).encode()).hexdigest()[:12]
        self._path = home.root / "tracking" / f"{where}.json"
        self._marks = _marks(self._path)
        self._client: Any = None
        self._experiment = ""

    @classmethod
    def from_settings(cls, home: Home) -> Mirror:
        """Raises ``BadInput`` where MLFLOW_TRACKING_URI says nothing."""
        if not (uri := setting(URI)):
            raise BadInput(
                "no MLflow is named", way_out=f"Set {URI}, for example to sqlite:///mlflow.db"
            )
        return cls(home, uri)

    def behind(self) -> dict[str, int]:
        """For each run that MLflow does not have to its end, how many events are to come."""
        if not self.home.database.exists():
            return {}
        with _reading(self.home) as journal:
            found = {
                run: self._missing(journal, run)
                for run in reversed(journal.runs())
                if not self._of(run).get("complete")
            }
        return {run: count for run, count in found.items() if count or self._of(run).get("ended")}

    def sync(self, run: str | None = None) -> list[Synced]:
        """Log what is to come, of one run or of all, and say how far it got. Raises ``RunAborted``
        where MLflow does not take it, ``MissingExtra`` where it is not installed."""
        waiting = self.behind()
        if run is not None:
            with _reading(self.home) as journal:
                journal.run(run)  # says which runs there are
            waiting = {name: count for name, count in waiting.items() if name == run}
        found = []
        for name in waiting:
            before = int(self._of(name).get("after", 0))
            with self._wrapped(), _reading(self.home) as journal:
                self._mirror(journal, name)
                left = self._missing(journal, name)
            mark = self._of(name)
            done = bool(mark.get("complete"))
            found.append(Synced(name, mark["after"] - before, left, done, mark["id"]))
        return found

    def _missing(self, journal: Journal, run: str) -> int:
        return journal.last_event(run) - int(self._of(run).get("after", 0))

    def _mirror(self, journal: Journal, run: str) -> None:
        stored, row = journal.run(run), journal.row(run)
        plan, mark = Plan.from_json(stored.plan_json), dict(self._of(run))
        self._connected()
        if "id" not in mark:
            mark |= self._begun(run, stored.started, row)
            mark["ended"] = any(
                number <= mark["after"] and event["event"] == "ModelStored"
                for number, _, event in journal.events(run)
            )
            self._mark(run, mark)
        if not mark.get("plan"):
            self._log(mark["id"], params=parameters(plan, row["plan_sha256"]))
            self._mark(run, mark | {"plan": True})
        while records := journal.events(run, self._of(run)["after"])[:_AT_ONCE]:
            self._take(mark["id"], records)
            kinds = {event["event"] for _, _, event in records}
            ended = {"ended": True} if "ModelStored" in kinds else {}
            self._mark(run, self._of(run) | ended | {"after": records[-1][0]})
        if self._of(run).get("ended") and (_results(self.home, stored) / "result.json").exists():
            self._files(run, mark["id"], journal)
            self._mark(run, self._of(run) | {"complete": True})

    def _take(self, mlflow_run: str, records: Sequence[tuple[int, str, Mapping[str, Any]]]) -> None:
        metrics: list[tuple[str, float, int, int]] = []
        tags: dict[str, str] = {}
        for _, time, event in records:
            for name, value, step in figures(event):
                metrics.append((name, value, milliseconds(time), step))
            tags |= words(event)
        tags[_BOOKMARK] = str(records[-1][0])
        self._log(mlflow_run, metrics=metrics, tags=tags)
        for _, time, event in records:
            if event["event"] == "RunEnded":
                self._client.set_terminated(
                    mlflow_run, _STATUS.get(event["status"], "FAILED"), milliseconds(time)
                )

    def _log(
        self,
        mlflow_run: str,
        metrics: Sequence[tuple[str, float, int, int]] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        client = self._connected()
        said = [Param(name, value) for name, value in (params or {}).items()]
        for at in range(0, len(said), 100):
            client.log_batch(mlflow_run, params=said[at : at + 100])
        for at in range(0, len(metrics), 500):
            points = [Metric(*one) for one in metrics[at : at + 500]]
            client.log_batch(mlflow_run, metrics=points)
        if tags:
            told = [RunTag(name, value) for name, value in tags.items()]
            client.log_batch(mlflow_run, tags=told)

    def _begun(self, run: str, started: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """The MLflow run of this run and how far it has got: the one there is, or a new one."""
        client = self._connected()
        known = client.search_runs([self._experiment], f"tags.`aegis.run` = '{run}'", max_results=1)
        if known:
            after = known[0].data.tags.get(_BOOKMARK, "0")
            return {"id": str(known[0].info.run_id), "after": int(after) if after.isdigit() else 0}
        tags = {"aegis.run": run, "aegis.task": str(row["task"]), "aegis.version": __version__}
        made = client.create_run(self._experiment, milliseconds(started), tags, run)
        return {"id": str(made.info.run_id), "after": 0}

    def _files(self, run: str, mlflow_run: str, journal: Journal) -> None:
        """Result, plan, card and privacy statement; and the model, registered once."""
        from aegis.store.registry import Registry

        folder = _results(self.home, journal.run(run))
        for name in _FILES:
            if (folder / name).exists():
                self._client.log_artifact(mlflow_run, str(folder / name))
        registry = Registry(self.home, journal)
        version = next((one for one in registry.versions() if one.run == run), None)
        if version is None:
            return
        with tempfile.TemporaryDirectory() as place:
            card = Path(place) / "card.json"
            card.write_text(version.text, encoding="utf-8")
            self._client.log_artifact(mlflow_run, str(card))
            packed = Path(place) / "model"
            _pack(packed, registry, run, mlflow_run)
            self._client.log_artifacts(mlflow_run, str(packed), "model")
        self._register(mlflow_run, run, version.name, version.sha256)

    def _register(self, mlflow_run: str, run: str, name: str, sha256: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(
                REGISTERED, description="Global models of Aegis. Research use only."
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        if self._client.search_model_versions(f"run_id='{mlflow_run}'"):
            return
        source = f"{self._client.get_run(mlflow_run).info.artifact_uri}/model"
        tags = {"aegis.run": run, "aegis.version": name, "aegis.sha256": sha256}
        self._client.create_model_version(
            REGISTERED, source, mlflow_run, tags, await_creation_for=0
        )

    def _connected(self) -> Any:
        if self._client is None:
            for name, value in _WAITING.items():
                os.environ.setdefault(name, value)
            try:
                import mlflow
                from mlflow.tracking import MlflowClient
            except ImportError as error:
                raise MissingExtra(URI, "mlflow") from error
            mlflow.set_tracking_uri(self.uri)  # artifacts find their way by it
            client = MlflowClient(self.uri, self.uri)
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
            held = client.get_experiment_by_name(name)
            self._experiment = (
                held.experiment_id
                if held is not None
                else client.create_experiment(name, _beside(self.uri))
            )
            self._client = client
        return self._client

    @contextmanager
    def _wrapped(self) -> Iterator[None]:
        try:
            yield
        except AegisError:
            raise
        except Exception as error:  # whatever a database, a network or a server comes up with
            said = " ".join(str(error).replace(self.uri, shown(self.uri)).split())[:200]
            raise RunAborted(
                f"MLflow at {shown(self.uri)} does not take it ({type(error).__name__}: {said})",
                "no run waits for it, and nothing is lost: the journal has every event",
                "When it is back: aegis tracking sync",
            ) from error

    def _of(self, run: str) -> dict[str, Any]:
        return self._marks.get(run, {})

    def _mark(self, run: str, mark: dict[str, Any]) -> None:
        self._marks[run] = mark
        write_whole(self._path, json.dumps(self._marks, indent=0).encode())


def _pack(folder: Path, registry: Any, run: str, mlflow_run: str) -> None:
    """A model as MLflow knows it: a safetensors file, and who reads it."""
    from mlflow.models import Model

    from aegis.store.exporting import export

    folder.mkdir()
    export(registry, registry.find(run), "sklearn", folder / "model.safetensors")
    # Named in a comment: on an index anybody could offer a package of this name.
    needs = f"# aegis-fl {__version__}, from the wheel or clone that your consortium uses\npandas\n"
    (folder / "requirements.txt").write_text(needs)
    model = Model(artifact_path="model", run_id=mlflow_run)
    model.add_flavor(
        "python_function",
        loader_module=served.__name__,
        data="model.safetensors",
        python_version=platform.python_version(),
    )
    model.save(str(folder / "MLmodel"))


def _results(home: Home, stored: StoredRun) -> Path:
    return Path(stored.options.get("out") or home.results(stored.run))


def _beside(uri: str) -> str | None:
    """Where artifacts go whose database is a file: beside it, not wherever a process stands."""
    if not uri.startswith("sqlite:///"):
        return None
    return (Path(uri.removeprefix("sqlite:///")).absolute().parent / "mlartifacts").as_uri()


def _marks(path: Path) -> dict[str, dict[str, Any]]:
    try:
        found: dict[str, dict[str, Any]] = json.loads(path.read_bytes())
        return {run: mark for run, mark in found.items() if isinstance(mark["after"], int)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # lost: MLflow itself says which runs it has, and points are the same again


@contextmanager
def _reading(home: Home) -> Iterator[Journal]:
    journal = Journal.reading(home.database)
    try:
        yield journal
    finally:
        journal.close()
