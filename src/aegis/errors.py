"""What can go wrong, as a tree. Each error names the value, the need and the way out.

    AegisError                  exit
    ├── BadInput                   2   what was handed in cannot be used; nothing was changed
    │   ├── PlanError                  the plan; lists every fault at once
    │   │   └── Unsound                    the next plan of a console; each fault with its key
    │   ├── DataError                  a data file or a table
    │   ├── Misfit                     rows typed into a page; each fault with its field
    │   ├── NotFound                   nothing of that name, or not for whoever asks
    │   └── MissingExtra               an optional library is not installed
    ├── RunAborted                 3   a run that began cannot go on; its journal is kept
    │   ├── NothingLearned             no finite step follows from what was returned
    │   └── RoadClosed                 the process ends; the run waits where it was saved
    └── CheckFailed                1   a check was made and did not hold
        └── EnvelopeRefused            what came down a road is not taken; says why and from whom

Foreign errors are wrapped where they enter the house, with ``raise ... from``.
"""

from __future__ import annotations


class AegisError(Exception):
    """One sentence: what was found (``value``), what is needed (``need``), and ``way_out``."""

    exit_code = 3

    def __init__(self, value: str, need: str = "", way_out: str = "") -> None:
        self.value, self.need, self.way_out = value, need, way_out
        sentence = value if not need else f"{value}; {need}"
        super().__init__(sentence if not way_out else f"{sentence}. {way_out}")

    def __reduce__(self) -> tuple[type[AegisError], tuple[str, str, str]]:
        return type(self), (self.value, self.need, self.way_out)

    def as_json(self) -> dict[str, str]:
        return {"value": self.value, "need": self.need, "way_out": self.way_out}


class BadInput(AegisError):
    exit_code = 2


class PlanError(BadInput):
    """An unsound plan. ``faults`` holds one sentence for each thing that is wrong."""

    def __init__(self, *faults: str, way_out: str = "") -> None:
        self.faults = faults
        super().__init__("\n".join(faults), "", way_out)

    def __reduce__(self) -> tuple[type[AegisError], tuple[str, ...]]:  # type: ignore[override]
        return type(self), self.faults


class DataError(BadInput):
    pass


def installing(extra: str) -> str:
    """How an extra is added, wherever Aegis itself came from: no index has it."""
    return (
        f'In the clone of Aegis: pip install -e ".[{extra}]" '
        f'(installed from a wheel: pip install "FILE.whl[{extra}]")'
    )


class MissingExtra(BadInput):
    """An optional library is absent; the way out is the one pip command that brings it."""

    def __init__(self, wanted_by: str, extra: str) -> None:
        self.wanted_by, self.extra = wanted_by, extra
        super().__init__(
            f"{wanted_by} needs the extra '{extra}', which is not installed",
            way_out=installing(extra),
        )

    def __reduce__(self) -> tuple[type[AegisError], tuple[str, str]]:  # type: ignore[override]
        return type(self), (self.wanted_by, self.extra)


class RunAborted(AegisError):
    exit_code = 3


class NothingLearned(RunAborted):
    pass


class RoadClosed(RunAborted):
    """What was asked has no answer, and the run stays as it was saved."""


class CheckFailed(AegisError):
    exit_code = 1


class EnvelopeRefused(CheckFailed):
    """``reason`` is one short word for logs and counters. ``sender`` is the name only where the
    signature proved it: a fault of somebody who is merely named is nobody's fault."""

    def __init__(
        self, reason: str, value: str, need: str = "", way_out: str = "", sender: str | None = None
    ) -> None:
        self.reason, self.sender = reason, sender
        super().__init__(value, need, way_out)

    def __reduce__(  # type: ignore[override]
        self,
    ) -> tuple[type[EnvelopeRefused], tuple[str, str, str, str, str | None]]:
        return type(self), (self.reason, self.value, self.need, self.way_out, self.sender)
