"""What a hospital signs when it asks its coordinator for a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aegis.identity.identity import canonical

DOMAIN = "aegis/ask-for-run/v1"
FIELDS = ("hospital", "plan_sha256", "time", "nonce")


def asked_bytes(asked: Mapping[str, Any]) -> bytes:
    """The bytes that are signed: hospital, plan, time (seconds since 1970) and a nonce."""
    return canonical({name: asked[name] for name in FIELDS})
