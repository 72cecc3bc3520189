"""A single sign-on provider: how this console knows it, and one bounded call to it."""

from __future__ import annotations

import http.client
import ipaddress
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from aegis.console.people.roles import Role
from aegis.errors import BadInput, CheckFailed

TIMEOUT_S = 5.0
LARGEST = 2**20


@dataclass(frozen=True)
class Settings:
    issuer: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    claim: str = "aegis_roles"
    words: Mapping[str, Role] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings | None:
        """None where no provider is named. Raises ``BadInput`` for half a setting."""
        issuer = environment.get("AEGIS_OIDC_ISSUER", "").strip()
        client = environment.get("AEGIS_OIDC_CLIENT_ID", "").strip()
        if not issuer and not client:
            return None
        if not issuer or not client:
            raise BadInput(
                "single sign-on with half a setting",
                "AEGIS_OIDC_ISSUER and AEGIS_OIDC_CLIENT_ID",
            )
        address(issuer)
        claim, words = _mapping(environment.get("AEGIS_OIDC_ROLES", "").strip() or cls.claim)
        return cls(issuer, client, environment.get("AEGIS_OIDC_CLIENT_SECRET", ""), claim, words)

    def roles(self, said: Any) -> frozenset[Role]:
        """The roles a claim's value gives; words that are not known give none."""
        words = [said] if isinstance(said, str) else said if isinstance(said, list) else []
        known = self.words or {role.value: role for role in Role}
        return frozenset(known[word] for word in words if isinstance(word, str) and word in known)


def called(
    trust: ssl.SSLContext | None,
    url: str,
    form: Mapping[str, str] | None = None,
    extra: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """One request, no redirects, a bounded answer of JSON."""
    parts = address(url)
    assert parts.hostname is not None
    line: http.client.HTTPConnection
    if parts.scheme == "https":
        trusted = trust or ssl.create_default_context()
        line = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=TIMEOUT_S, context=trusted
        )
    else:
        line = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)
    headers = {"Accept": "application/json", **(extra or {})}
    body = None
    if form is not None:
        body = urlencode(form)
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        line.request("GET" if body is None else "POST", path, body, headers)
        answer = line.getresponse()
        data = answer.read(LARGEST + 1)
    except (OSError, http.client.HTTPException) as error:
        raise BadInput(
            f"the single sign-on provider {parts.netloc} does not answer",
            way_out="Log in with your password, or try again later",
        ) from error
    finally:
        line.close()
    if answer.status != 200 or len(data) > LARGEST:
        raise CheckFailed(f"the single sign-on provider answered {answer.status}")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CheckFailed("the single sign-on provider answered no JSON") from error
    if not isinstance(found, dict):
        raise CheckFailed("the single sign-on provider answered no JSON object")
    return found


def _mapping(text: str) -> tuple[str, dict[str, Role]]:
    claim, _, pairs = text.partition(":")
    words: dict[str, Role] = {}
    for pair in filter(None, (one.strip() for one in pairs.split(","))):
        word, equals, role = (part.strip() for part in pair.rpartition("="))
        if not equals or role not in {one.value for one in Role}:
            raise BadInput(
                f"AEGIS_OIDC_ROLES has {pair!r:.80}",
                f"WORD=ROLE with a role of {', '.join(Role)}",
            )
        words[word] = Role(role)
    if not claim.strip():
        raise BadInput("AEGIS_OIDC_ROLES names no claim", "CLAIM, or CLAIM: WORD=ROLE, ...")
    return claim.strip(), words


def address(url: str) -> Any:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise BadInput(f"{url!r:.80} is no address of a single sign-on provider", "https://HOST/")
    if parts.scheme == "http" and not _loopback(parts.hostname):
        raise BadInput(f"the single sign-on provider {parts.netloc} without TLS", "https://")
    return parts


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
