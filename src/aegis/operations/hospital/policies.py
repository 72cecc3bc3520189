"""Two policies to begin with: the strict one of a real hospital, and one for public data."""

from __future__ import annotations

from dataclasses import replace

from aegis.hospital.policy import Policy
from aegis.simulation.accounts import PUBLIC

PLENTY = 1000.0  # epsilon, where nothing is to be protected


def strict(task: str) -> Policy:
    """A person approves each plan, sums are sealed, noise is asked for, and epsilon is 1 in all."""
    return Policy(tasks=(task,))


def for_public_data() -> Policy:
    """Everything is let in and shared: these rows are public anyway."""
    return replace(PUBLIC, epsilon_total=PLENTY, epsilon_per_run=PLENTY, epsilon_cap=PLENTY)
