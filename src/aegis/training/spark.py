"""A hospital that trains in Spark: the same update as anywhere else, from jobs over a DataFrame.

Every round starts from the weights received. Full gradients and curvatures are sums over rows, so
each partition answers like a small hospital of its own (``mapInArrow``, the house's trainer inside)
and the mean of these, weighted by rows, is the hospital's. Mini-batches depend on the order of the
rows: they are trained in one task, by the shared trainer, on the rows in their own order, and come
out bit by bit as they would outside. Noise is either whole (the private trainer in that one task)
or added to a sum of whole numbers that Spark made, which is the same in any order.

PySpark is imported here and nowhere else. The session is one for this process, that of a cluster
where one is active already, else on this machine; then ``close`` stops Java with it.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import tempfile
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import AegisError, DataError, RunAborted
from aegis.tasks.models import Perceptron
from aegis.training.java import check_spark
from aegis.training.linear import LinearTrainer
from aegis.training.spark_tasks import PART, SUM, Clipped, Shared, Sums
from aegis.training.trainer import Job, Trained

log = logging.getLogger("aegis")

MOST_FRAMES = 64
_LATE_S = 5.0


@dataclass(frozen=True)
class Done:
    """What Spark's own job log says about one training: ``jobs`` ran ``tasks`` tasks."""

    what: str
    jobs: tuple[int, ...]
    tasks: int
    succeeded: bool


class Spark:
    """One session, begun when first needed. ``master`` is Spark's address of its workers,
    ``events`` a folder for its event log."""

    def __init__(self, master: str = "local[*]", events: Path | None = None) -> None:
        self.master, self.events = master, events
        self.done: list[Done] = []
        self._session: Any = None
        self._ours = False

    def session(self) -> Any:
        if self._session is None:
            self._session = self._begun()
        return self._session

    def close(self) -> None:
        """Stop the session, and Java where it was begun here; what was done is forgotten."""
        session, self._session, self.done = self._session, None, []
        if session is None or not self._ours:
            return
        from pyspark import SparkContext

        gateway = SparkContext._gateway
        session.stop()
        if gateway is None:
            return
        with suppress(Exception):
            gateway.shutdown()
        SparkContext._gateway = SparkContext._jvm = None
        java = getattr(gateway, "proc", None)
        if java is None:
            return
        if java.stdin is not None:
            java.stdin.close()  # Java ends when nobody can write to it any more
        try:
            java.wait(30)
        except TimeoutExpired:
            java.kill()
            java.wait()

    def run(self, what: str, action: Callable[[], Any]) -> Any:
        """The result of ``action``, whose jobs are noted under ``what``. Raises ``RunAborted``
        where Spark fails, without the words of its error: they may hold a value of a row."""
        context = self.session().sparkContext
        group = f"aegis {len(self.done)}: {what}"
        context.setJobGroup(group, what)
        try:
            found = action()
        except AegisError:
            raise
        except Exception as error:
            log.error("%s failed in Spark: %s", what, type(error).__name__)
            raise RunAborted(
                f"{what} failed in Spark ({type(error).__name__})", "its log says where"
            ) from error
        self.done.append(self._noted(context, group, what))
        return found

    def _noted(self, context: Any, group: str, what: str) -> Done:
        """From Spark's status store, which hears of a job's end a moment later."""
        tracker, waited = context.statusTracker(), time.monotonic() + _LATE_S
        while True:
            jobs = tuple(sorted(tracker.getJobIdsForGroup(group)))
            told = [tracker.getJobInfo(job) for job in jobs]
            over = bool(told) and all(one and one.status != "RUNNING" for one in told)
            if over or time.monotonic() > waited:
                break
            time.sleep(0.02)
        stages = [tracker.getStageInfo(stage) for one in told if one for stage in one.stageIds]
        tasks = sum(stage.numCompletedTasks for stage in stages if stage)
        good = over and all(one.status == "SUCCEEDED" for one in told if one)
        log.info("%s: %d jobs, %d tasks in Spark", what, len(jobs), tasks)
        return Done(what, jobs, tasks, good)

    def _begun(self) -> Any:
        check_spark()
        with _without_advice():
            from pyspark.sql import SparkSession

            there = SparkSession.getActiveSession()
            self._ours = there is None
            if there is not None:
                return there
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
            os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
            os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
            said = {
                "spark.master": self.master,
                "spark.app.name": "aegis",
                "spark.driver.host": "127.0.0.1",
                "spark.driver.bindAddress": "127.0.0.1",
                "spark.ui.enabled": "false",
                "spark.ui.showConsoleProgress": "false",
                "spark.log.level": "ERROR",
                "spark.sql.warehouse.dir": f"{tempfile.gettempdir()}/aegis-spark-warehouse",
                "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
            }
            if self.events is not None:
                self.events.mkdir(parents=True, exist_ok=True)
                said |= {
                    "spark.eventLog.enabled": "true",
                    "spark.eventLog.dir": self.events.absolute().as_uri(),
                    "spark.eventLog.rolling.enabled": "false",
                    "spark.eventLog.compress": "false",
                }
            builder = SparkSession.builder
            for key, value in said.items():
                builder = builder.config(key, value)
            try:
                session = builder.getOrCreate()
            except Exception as error:
                raise RunAborted(
                    f"Spark does not start ({type(error).__name__})", "its log says why"
                ) from error
        atexit.register(self.close)
        return session


class SparkTrainer:
    """Every model and solver of the house, in Spark."""

    def __init__(self, spark: Spark) -> None:
        self.spark = spark
        self._frames: OrderedDict[int, tuple[Any, Any, Any]] = OrderedDict()

    def train_many(self, jobs: Sequence[Job]) -> list[Trained]:
        return [self.train(job) for job in jobs]

    def train(self, job: Job) -> Trained:
        if not len(job.labels):
            return LinearTrainer().train(job)
        whole = job.settings.solver != "sgd" and job.private is None
        apart = whole and isinstance(job.model, Perceptron) and not job.model.hidden
        what = f"{job.hospital}, round {job.round}"
        task = Sums(_bare(job)) if apart else Shared(_bare(job))

        def action() -> list[Any]:
            frame = self._frame(job.design, job.labels)
            frame = frame if apart else frame.coalesce(1)
            found: list[Any] = frame.mapInArrow(task, PART).collect()
            return found

        with _without_advice():
            parts = sorted(self.spark.run(what, action), key=lambda part: int(part["first"]))
        vectors = np.array([part["vector"] for part in parts], dtype=np.float64)
        share = np.array([part["rows"] for part in parts]) / len(job.labels)
        vector = vectors[0] if len(parts) == 1 else share @ vectors
        losses = np.array([part["loss"] for part in parts])
        private = job.private if all(part["private"] for part in parts) else None
        steps = max(part["steps"] for part in parts)
        return Trained(vector.astype(job.model.dtype), steps, float(share @ losses), private)

    def gradient_sum(
        self,
        design: NDArray[np.floating],
        labels: NDArray[np.int64],
        weights: NDArray[np.float64],
        clip: float,
    ) -> NDArray[np.int64]:
        """(d + 1,) what ``clipped_gradient_sum`` gives, to the last bit."""
        if not len(labels):
            return np.zeros(len(weights), np.int64)
        task = Clipped(np.asarray(weights), clip)
        with _without_advice():
            parts = self.spark.run(
                "a clipped gradient",
                lambda: self._frame(design, labels).mapInArrow(task, SUM).collect(),
            )
        found: NDArray[np.int64] = np.array([p["sums"] for p in parts], np.int64).sum(axis=0)
        return found

    def close(self) -> None:
        self._frames.clear()
        self.spark.close()

    def _frame(self, design: NDArray[np.floating], labels: NDArray[np.int64]) -> Any:
        """The rows as a DataFrame, kept by Spark; made once, for the designs of a site stay."""
        import pyarrow as pa

        kept = self._frames.get(id(design))
        if kept is not None and kept[0] is design and kept[1] is labels:
            self._frames.move_to_end(id(design))
            return kept[2]
        flat = pa.array(np.ascontiguousarray(design).reshape(-1))
        wide = design.size // len(labels)
        table = pa.table(
            {
                "row": pa.array(np.arange(len(labels))),
                "label": pa.array(labels),
                "inputs": pa.FixedSizeListArray.from_arrays(flat, wide),
            }
        )
        frame = self.spark.session().createDataFrame(table).cache()
        self._frames[id(design)] = (design, labels, frame)
        if len(self._frames) > MOST_FRAMES:
            _, (*_, oldest) = self._frames.popitem(last=False)
            oldest.unpersist()
        return frame


@cache
def spark_trainer() -> SparkTrainer:
    """The one of this process."""
    return SparkTrainer(Spark())


def read_frame(where: str, most_rows: int, spark: Spark | None = None) -> Any:
    """An Arrow table of a CSV file, a Parquet file or folder, or a table that Spark knows.

    CSV cells stay words; what they mean is found out as for any file. Raises ``DataError`` where
    Spark cannot read it, or where it has more rows, before any is fetched.
    """
    session = (spark or spark_trainer().spark).session()
    try:
        with _without_advice():
            if where.lower().endswith(".csv"):
                frame = session.read.csv(where, header=True, inferSchema=False)
            elif "/" in where or where.lower().endswith(".parquet"):
                frame = session.read.parquet(where)
            else:
                frame = session.table(where)
            rows = frame.count()
            if rows > most_rows:
                raise DataError(f"{where} has {rows} rows", f"a table may have {most_rows}")
            return frame.toArrow()
    except AegisError:
        raise
    except Exception as error:
        raise DataError(
            f"Spark cannot read {where} ({type(error).__name__})",
            "it is a CSV file, a Parquet file or folder, or the name of a table",
        ) from error


def _bare(job: Job) -> Job:
    """The job without its rows: those are in the DataFrame already."""
    return replace(job, design=job.design[:0].copy(), labels=job.labels[:0].copy())


@contextmanager
def _without_advice() -> Iterator[None]:
    """PySpark advises on versions of pandas, which nothing here uses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
