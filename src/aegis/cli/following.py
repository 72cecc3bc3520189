"""What a person sees while a run is on: a live bar in a terminal, plain lines elsewhere.

Everything goes to stderr, so that stdout holds the answer alone.
"""

from __future__ import annotations

import sys
from types import TracebackType

from aegis.cli.terminal import tame
from aegis.events import (
    Event,
    HospitalAbsent,
    HospitalFlagged,
    HospitalJoined,
    ReplyQuarantined,
    RoundClosed,
    RunEnded,
    RunStarted,
    StatisticsReleased,
)


class Following:
    """A listener and a context: ``with Following() as follow: run(plan, listeners=[follow])``."""

    def __init__(self, quiet: bool = False) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, quiet=quiet, highlight=False)
        self._live = self._console.is_terminal and not quiet
        self._bar: object | None = None
        self._joined = 0

    def __enter__(self) -> Following:
        if self._live:
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
            )

            bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=28),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[news]}"),
                console=self._console,
                transient=True,
            )
            bar.start()
            self._bar = bar
            self._row = bar.add_task("preparing", total=1, news="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()  # type: ignore[attr-defined]

    def say(self, text: str) -> None:
        """A step outside the rounds (comparison, report)."""
        if self._bar is not None:
            self._update(description=text, news="")
        else:
            print(text, file=sys.stderr)

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                many = (
                    f"up to {event.rounds} rounds" if event.rounds else "rounds by the noise rule"
                )
                self._update(description="rounds", total=event.rounds or None)
                self._line(f"run {event.run}: {event.task}, {many}")
            case HospitalJoined():
                self._joined += 1
                if self._joined <= 10:
                    self._line(f"{event.hospital} joined with {event.examples} examples")
            case StatisticsReleased():
                self._line(f"statistics of {event.hospitals} hospitals: {event.examples} rows")
            case HospitalAbsent() | ReplyQuarantined():
                self._print(f"round {event.round}: {event.hospital} not counted: {event.reason}")
            case HospitalFlagged():
                said = f"{event.reason} ({event.detector}, score {event.score:.1f})"
                self._print(f"round {event.round}: {event.hospital} flagged: {said}")
            case RoundClosed():
                news = _news(event)
                self._update(completed=event.round, news=news)
                self._line(f"[ROUND {event.round}] {news}")
            case RunEnded():
                self._line(f"{event.status}: {event.reason}")
            case _:
                pass

    def _update(self, **fields: object) -> None:
        if self._bar is not None:
            self._bar.update(self._row, **fields)  # type: ignore[attr-defined]

    def _line(self, text: str) -> None:
        """Only where there is no live bar."""
        if not self._live:
            self._print(text)

    def _print(self, text: str) -> None:
        self._console.print(tame(text), markup=False)


def _news(event: RoundClosed) -> str:
    accuracy, auc = event.metrics.get("accuracy"), event.metrics.get("auc")
    if accuracy is None:
        return "not scored in this round"
    ranked = "n/a" if auc is None else f"{auc:.3f}"
    return f"accuracy: {accuracy:.3f}  AUC: {ranked}  ({event.part} rows)"
