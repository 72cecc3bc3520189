"""Policy: what this hospital lets in, in plain words and as the signed text."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from aegis.console.hospital import changing
from aegis.console.hospital.desk import HospitalDesk, desk_of
from aegis.console.people.rights import Person, Right, may
from aegis.console.window.rendering import render
from aegis.errors import AegisError, BadInput, CheckFailed
from aegis.hospital.policy import Closed, Policy
from aegis.hospital.policy_file import signature_path
from aegis.operations.hospital.repolicing import (
    checked_text,
    file_sha256,
    loosened,
    needs_two,
    put_in_force,
)
from aegis.report.wording import counted

router = APIRouter(include_in_schema=False)
LONGEST = 64 * 1024
_NOISE = {
    "dp_sgd": "at every step of training",
    "local_update": "on each update",
    "distributed": "inside the secure sum",
}


@router.get("/policy")
def policy(request: Request, person: Annotated[Person, Depends(may(Right.READ))]) -> Response:
    return _page(request, desk_of(request), person)


@router.post("/policy")
def change(
    request: Request,
    person: Annotated[Person, Depends(may(Right.BUDGET))],
    text: Annotated[str, Form()] = "",
    before: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Stricter: signed at once. Looser, or in place of one that does not count any more: proposed,
    for a second person to confirm."""
    desk = desk_of(request)
    text = text.replace("\r\n", "\n")
    try:
        if len(text) > LONGEST:
            raise BadInput(f"the text has more than {LONGEST:,} characters")
        if before != file_sha256(desk.folder):
            raise BadInput("the policy was changed by somebody else meanwhile", "look at it again")
        after = checked_text(desk.folder, text)
        standing = desk.policy
        now = standing if isinstance(standing, Policy) else None
        # Where no policy counts just now, nobody can say what the new one loosens.
        closed = now is None and desk.decisions.policy_signed() != ""
        if closed or needs_two(now, after):
            changing.propose(request, desk, text, person, reason)
            return RedirectResponse("/budget#proposals", 303)
        signed = put_in_force(desk.folder, text, desk.signer())
        desk.act(person, "signed a policy", signed.sha256, " ".join(reason.split()))
    except (BadInput, CheckFailed) as error:
        at = "reason" if "needs its reason" in str(error) else "text"
        said = [(at, line) for line in str(error).split("; ")][:20]
        return _page(request, desk, person, 422, said, text, reason)
    return RedirectResponse("/policy", 303)


def _page(
    request: Request,
    desk: HospitalDesk,
    person: Person,
    status: int = 200,
    said: list[tuple[str, str]] | None = None,
    text: str | None = None,
    reason: str = "",
) -> Response:
    return render(
        request,
        "hospital/policy.html",
        status,
        said=said or [],
        given=text,
        reason=reason[:500],
        may_change=person.can(Right.BUDGET),
        can_sign=desk.identity is not None,
        before=file_sha256(desk.folder),
        **content(desk),
    )


def content(desk: HospitalDesk) -> dict[str, Any]:
    standing = desk.policy
    text = desk.folder.policy.read_text("utf-8", "replace") if desk.folder.policy.exists() else ""
    federation = desk.federation
    return {
        "name": desk.name,
        "closed": standing.reason if isinstance(standing, Closed) else "",
        "policy": standing if isinstance(standing, Policy) else None,
        "words": words(standing) if isinstance(standing, Policy) else [],
        "loose": loosened(None, standing) if isinstance(standing, Policy) else [],
        "text": text,
        "signed": _signed(desk),
        "federation": federation,
        "members": (
            () if federation is None else tuple(name for name, _ in federation.roster.members)
        ),
        "coordinator": _fingerprint(desk),
        "own": desk.folder.keys.public(desk.name),
    }


def words(policy: Policy) -> list[tuple[str, str]]:
    """What the policy lets in, as sentences."""
    tasks = ", ".join(policy.tasks) or "nothing"
    trust = {
        "open": "see this hospital's own updates",
        "masked": "see only sums over all hospitals",
        "grouped": "see only sums over random groups",
    }
    seen = "; or ".join(trust[one] for one in policy.trust) or "take part in nothing"
    noise = [_NOISE[one] for one in policy.mechanisms if one != "none"]
    bare = "none" in policy.mechanisms
    how = f"Noise {', or '.join(noise)}" if noise else "No noise"
    total = "no limit of its own" if policy.epsilon_total is None else f"{policy.epsilon_total:g}"
    run = "no limit of its own" if policy.epsilon_per_run is None else f"{policy.epsilon_per_run:g}"
    scores = {
        "shared": "as they are",
        "noisy": f"as four counts with noise, {policy.score_epsilon:g} epsilon each time",
        "summed": "inside a sum over hospitals only",
        "withheld": "not at all",
    }
    return [
        ("What may be learned here", tasks),
        ("Plug-ins", ", ".join(policy.plugins) or "none"),
        (
            "Who lets a plan in",
            (
                "a person, each time"
                if policy.approval == "person"
                else "nobody is asked: every plan within these limits"
            ),
        ),
        (
            "Plans let in beforehand",
            counted(len(policy.plans), "plan") if policy.plans else "none",
        ),
        ("The coordinator may", seen),
        ("Noise", f"{how}; plans without noise are {'let in' if bare else 'refused'}"),
        ("Epsilon in all", f"{total}, delta {policy.delta:g}"),
        ("Epsilon of one run", run),
        ("Fewest training rows", f"{policy.minimum_rows:,}"),
        ("Fewest hospitals in a sum", f"{policy.minimum_hospitals:,}"),
        ("Smallest cell that may be shown", f"{policy.minimum_cell:,}"),
        (
            "Questions",
            (
                "refused"
                if policy.queries == "refused"
                else f"{', '.join(policy.kinds)}, {policy.epsilon_cap:g} epsilon in all, "
                f"{policy.per_question_epsilon_max:g} each at most"
            ),
        ),
        ("Scores on held-out patients leave", scores[policy.scores]),
        (
            "These rows are",
            "public, for demonstrations" if policy.demonstration else "this hospital's own",
        ),
    ]


def _signed(desk: HospitalDesk) -> dict[str, str]:
    with suppress(OSError, ValueError, KeyError):
        said = json.loads(signature_path(desk.folder.policy).read_text(encoding="utf-8"))
        return {"time": str(said["signed"]), "policy_sha256": str(said["policy_sha256"])}
    return {}


def _fingerprint(desk: HospitalDesk) -> str:
    with suppress(AegisError):
        return "" if desk.federation is None else desk.federation.coordinator.fingerprint
    return ""
