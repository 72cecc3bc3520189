"""What the three states that wait for hospitals' numbers ask: the same of every hospital.

Pure, and by the state alone: asked again after a crash, a question is the same to the last bit. A
sealed sum is bound to the digest of its question before anybody answers it (``sealing``).
"""

from __future__ import annotations

from collections.abc import Mapping

from aegis.coordinator import closing
from aegis.coordinator.rounds import control
from aegis.coordinator.study import Study
from aegis.messages import Evaluate, Statistics, Train
from aegis.states import Broadcasting, Collecting, Tallying, released


def inquiry(
    study: Study, state: Tallying | Collecting | Broadcasting
) -> Mapping[str, Statistics | Train | Evaluate]:
    """By hospital."""
    sha256 = study.sha256
    match state:
        case Tallying():
            words = state.vocabulary if study.open_words and not study.private else {}
            rows = sum(h.examples for h in state.hospitals)
            question = Statistics(state.run, sha256, words, rows, len(state.hospitals))
            return {h.hospital: question for h in state.hospitals}
        case Collecting(progress=progress):
            request = Train(
                progress.run,
                sha256,
                progress.round + 1,
                progress.weights,
                progress.learning_rate,
                sum(h.examples for h in progress.hospitals),
                len(progress.hospitals),
                progress.preparation,
                control(study, progress),
            )
            return dict.fromkeys(state.asked, request)
        case Broadcasting(progress=progress):
            if not (state.final or closing.due(study.plan, progress)):
                return {}
            scoring = Evaluate(
                progress.run,
                sha256,
                progress.round,
                released(progress),
                state.part,
                progress.preparation,
                state.final,
            )
            done = state.sealed is not None
            asked = [h for h in progress.hospitals if not (done and h.scores == "summed")]
            return {h.hospital: scoring for h in asked}
