"""What was asked before: a question of a run has one wording, and sums must not differ by one.

The gate notes what it lets through, by run and question. ``SumsAsked`` keeps account of sealed
sums: among how many a sum is, what it is about, and over whom it was opened.
"""

from __future__ import annotations

from typing import Protocol

from aegis.hospital.inspection import inspected
from aegis.messages import Evaluate
from aegis.messages.stages import Advertise, Confirm, Mask, Stage, Unmask
from aegis.plan import Plan


class Earlier(Protocol):
    def claim(self, run: str, question: str, digest: str) -> str:
        """The digest that stands for this question: this one, or the one that was there before."""
        ...

    def recall(self, run: str, question: str) -> str | None: ...


class VolatileEarlier:
    """Lost with the process, as simulated hospitals are."""

    def __init__(self) -> None:
        self._runs: dict[str, dict[str, str]] = {}

    def claim(self, run: str, question: str, digest: str) -> str:
        return self._runs.setdefault(run, {}).setdefault(question, digest)

    def recall(self, run: str, question: str) -> str | None:
        return self._runs.get(run, {}).get(question)


class SumsAsked:
    """Each method is about one stage of one sum, and returns why it is refused, or nothing."""

    def __init__(self, earlier: Earlier) -> None:
        self._earlier = earlier

    def among(self, request: Advertise) -> str | None:
        """How many this attempt is among, for ``noise_shares``."""
        hospitals = len(request.hospitals)
        if self._earlier.claim(request.run, _attempt(request), str(hospitals)) != str(hospitals):
            return "this attempt at a sum was begun among other hospitals"
        return None

    def inside(self, request: Mask) -> str | None:
        """What the sum is about, for ``survivors``."""
        if isinstance(request.inner, Evaluate):
            about = f"{request.inner.part} {inspected(request.inner).digest}"
            self._earlier.claim(request.run, f"about {_sum(request)}", about)
        return None

    def survivors(self, plan: Plan, request: Confirm) -> str | None:
        """A model that was scored in its round may be the final one, and is scored again: over the
        same hospitals, or the difference of the two sums is one hospital's."""
        there = " ".join(sorted(request.survivors))
        fault = self._of_the_twin(plan, request, there)
        if fault is not None:
            return fault
        if self._earlier.claim(request.run, f"survivors {_attempt(request)}", there) != there:
            return "another list of survivors was shown here for this attempt"
        return None

    def _of_the_twin(self, plan: Plan, request: Confirm, there: str) -> str | None:
        twin = {"evaluate": "final", "final": "evaluate"}.get(request.purpose)
        if twin is None or plan.trust != "masked":
            return None
        mine, other = f"{request.purpose} {request.round}", f"{twin} {request.round}"
        about = self._earlier.recall(request.run, f"about {mine}")
        opened = self._earlier.recall(request.run, f"opened {other}")
        same = about is not None and about == self._earlier.recall(request.run, f"about {other}")
        if not same or opened is None or opened == there:
            return None
        return (
            "this model's scores were summed over other hospitals before; the difference of the "
            "two would be one hospital's own"
        )

    def opening(self, request: Unmask) -> str | None:
        there = self._earlier.recall(request.run, f"survivors {_attempt(request)}")
        if there is not None:
            self._earlier.claim(request.run, f"opened {_sum(request)}", there)
        return None

    def noise_shares(self, plan: Plan, request: Mask) -> str | None:
        """Each hospital adds its share of the noise: of as many hospitals as are in the sum, or of
        fewer, never of more."""
        inner = request.inner
        if plan.privacy.mechanism != "distributed" or isinstance(inner, Evaluate):
            return None
        there = int(self._earlier.recall(request.run, _attempt(request)) or 0)
        if isinstance(inner.hospitals, int) and inner.hospitals <= there:
            return None
        return (
            f"noise shared out among {inner.hospitals!r} hospitals hides nobody in a sum over "
            f"{there}"
        )


def _sum(request: Stage) -> str:
    return f"{request.purpose} {request.round}"


def _attempt(request: Stage) -> str:
    return f"{_sum(request)} attempt {request.attempt}"
