"""Another policy for a hospital: what it would loosen, and putting it in force by signing it.

What is stricter one person may sign. What lets more out (a larger budget, a coordinator that sees
single updates, less noise) is for two; which of the two it is stands here, not with whoever asks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from aegis.errors import BadInput
from aegis.hospital.policy import ANY, Policy
from aegis.hospital.policy_file import parse_policy, sign_policy
from aegis.identity.identity import Identity
from aegis.operations.hospital.folder import HospitalFolder, policy_text
from aegis.store.home import write_whole

_AMOUNTS = (
    *("epsilon_total", "epsilon_per_run", "epsilon_cap", "per_question_epsilon_max"),
    *("score_epsilon", "delta"),
)
_LEASTS = ("minimum_rows", "minimum_hospitals", "minimum_cell")
_LISTS = ("tasks", "plugins", "plans", "trust", "mechanisms", "kinds")
_SCORES = ("withheld", "summed", "noisy", "shared")


def loosened(before: Policy | None, after: Policy) -> list[str]:
    """The keys in which ``after`` lets more out than ``before``; without one, all that is not as
    strict as a policy can be by default."""
    return list(_loosened(before or Policy(), after))


def _loosened(before: Policy, after: Policy) -> Iterator[str]:
    for name in _AMOUNTS:
        old, new = getattr(before, name), getattr(after, name)
        if old is not None and (new is None or new > old):
            yield name
    for name in _LEASTS:
        if getattr(after, name) < getattr(before, name):
            yield name
    for name in _LISTS:
        old, new = set(getattr(before, name)), set(getattr(after, name))
        if ANY not in old and new - old:
            yield name
    if (before.approval, after.approval) == ("person", "automatic"):
        yield "approval"
    if (before.queries, after.queries) == ("refused", "allowed"):
        yield "queries"
    if _SCORES.index(after.scores) > _SCORES.index(before.scores):
        yield "scores"
    if after.demonstration and not before.demonstration:
        yield "demonstration"


def needs_two(before: Policy | None, after: Policy) -> bool:
    """A first policy, and one that only lets other tasks in, is one person's to sign."""
    return bool(set(loosened(before, after)) - {"tasks", "plans"})


def leaves_masked(before: Policy | None, after: Policy) -> bool:
    return "open" in after.trust and "open" not in (before or Policy()).trust


def with_total(folder: HospitalFolder, policy: Policy, epsilon: float) -> str:
    """The text of this policy with another total. Raises ``BadInput``."""
    if policy.epsilon_total is not None and epsilon <= policy.epsilon_total:
        raise BadInput(
            f"{epsilon:g} is not above the present total of {policy.epsilon_total:g}",
            "a smaller one is a stricter policy, and one person may sign it",
            "Change it at /policy",
        )
    return policy_text(folder.name, replace(policy, epsilon_total=epsilon))


def checked_text(folder: HospitalFolder, text: str) -> Policy:
    """Raises ``DataError`` that names every fault."""
    return parse_policy(text.encode(), folder.policy.name, folder.name)


def file_sha256(folder: HospitalFolder) -> str:
    """A name for the policy file as it lies there; empty where there is none."""
    if not folder.policy.exists():
        return ""
    return hashlib.sha256(folder.policy.read_bytes()).hexdigest()


def put_in_force(folder: HospitalFolder, text: str, identity: Identity) -> Policy:
    """Write and sign. A crash between the two leaves an unsigned file: a closed hospital."""
    checked_text(folder, text)
    write_whole(folder.policy, text.encode())
    return sign_policy(folder.policy, folder.name, identity.signing)
