"""Two hundred seeds of everything going wrong, each kept as it ends.

make prove PART=chaos
"""

from __future__ import annotations

import pytest

from tests.operations.test_chaos import ground, play, quiet

pytestmark = pytest.mark.prove

__all__ = ["ground", "quiet"]
SEEDS = 200


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_goes_wrong_the_invariants_hold(ground, seed, caplog, measured):
    def outcome():
        found = play(ground, seed, lambda: caplog.text)
        del found["trace"]
        return found

    print(seed, measured(f"seed {seed}", outcome))


def test_most_runs_end_with_a_model(measured):
    found = [measured(f"seed {seed}", dict) for seed in range(SEEDS)]
    ended = sum(one["ended"] for one in found)
    print(f"{ended} of {SEEDS} ended with a model, {sum(one['deaths'] for one in found)} deaths,"
          f" {sum(one['virtual_s'] for one in found) / 3600:.1f} virtual hours")  # fmt: skip
    assert ended >= 0.7 * SEEDS
