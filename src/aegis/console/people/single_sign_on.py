"""Single sign-on: a hospital's own identity provider vouches for its people (OpenID Connect).

Off unless AEGIS_OIDC_ISSUER and AEGIS_OIDC_CLIENT_ID are set. The authorization-code flow with PKCE
(S256), state and nonce; the ID token must be signed by one of the provider's published keys, for
this console, now, and carry the nonce of this very browser. What was begun is remembered in a
signed cookie of that browser alone, so that strangers who begin a thousand times fill nothing.

AEGIS_OIDC_ROLES names the claim that gives roles: ``aegis_roles`` where its values are role names,
``groups: fl-research=researcher, irb=auditor`` where they are the provider's own words. Nobody is
let in whom the claim gives no role. Specification: OpenID Connect Core 1.0, section 3.1; RFC 7636.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from aegis.console.people.provider import Settings, address, called
from aegis.console.people.roles import Role
from aegis.errors import CheckFailed

ALGORITHMS = ("RS256", "ES256", "EdDSA")
BEGUN_S, TIMEOUT_S, FRESH_S, LEEWAY_S = 600, 5.0, 3600.0, 60
LARGEST = 2**20
COOKIE = "__Host-aegis-sso"
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass(frozen=True, slots=True)
class Vouched:
    """Whom the provider vouches for. ``subject`` is unique over providers; ``target`` is the page
    that was asked for."""

    subject: str
    name: str
    roles: frozenset[Role]
    target: str


class SignOn:
    """``trust`` is a TLS context that knows the provider's authority; None takes the system's."""

    def __init__(
        self,
        settings: Settings,
        trust: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings, self._trust, self._clock = settings, trust, clock
        self._own = secrets.token_bytes(32)
        self._found: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, list[dict[str, Any]]] | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> SignOn | None:
        """None where no provider is named. Raises ``BadInput`` for half a setting."""
        settings = Settings.from_environment(environment)
        return None if settings is None else cls(settings)

    def begin(self, back: str, target: str) -> tuple[str, str]:
        """Where to send the browser, and the value of its cookie. ``back`` is this console's
        address that the provider sends it back to."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        challenge = _base64(hashlib.sha256(verifier.encode()).digest())
        asked = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": back,
            "scope": "openid profile email",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        begun = {
            "state": state,
            "nonce": nonce,
            "verifier": verifier,
            "target": target[:500],
            "back": back,
            "until": self._clock() + BEGUN_S,
        }
        at = str(self._provider()["authorization_endpoint"])
        return f"{at}{'&' if '?' in at else '?'}{urlencode(asked)}", self._signed(begun)

    def finish(self, cookie: str, asked: Mapping[str, str]) -> Vouched:
        """``asked`` is the query the provider sent the browser back with. Raises ``CheckFailed``
        for whatever does not fit, ``BadInput`` where the provider does not answer."""
        begun = self._begun(cookie)
        if not hmac.compare_digest(begun["state"].encode(), asked.get("state", "").encode()):
            raise CheckFailed("this login was not begun in this browser", way_out="Begin again")
        if "iss" in asked and asked["iss"] != self.settings.issuer:
            raise CheckFailed("another provider answered")
        if "error" in asked or not asked.get("code"):
            raise CheckFailed("the provider let nobody in", way_out="Begin again")
        claims = self._claims(self._token(asked["code"], begun), begun["nonce"])
        roles = self.settings.roles(claims.get(self.settings.claim))
        if not roles:
            raise CheckFailed(
                "the provider gives you no role here",
                f"the claim '{self.settings.claim}' with a role",
                "Ask whoever looks after the provider",
            )
        name = claims.get("preferred_username") or claims.get("email") or claims["sub"]
        subject = f"{self.settings.issuer}|{claims['sub']}"
        return Vouched(subject, str(name).partition("@")[0], roles, begun["target"])

    # What the provider says

    def _token(self, code: str, begun: Mapping[str, Any]) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": begun["back"],
            "client_id": self.settings.client_id,
            "code_verifier": begun["verifier"],
        }
        headers = {}
        if self.settings.client_secret:
            pair = f"{quote(self.settings.client_id)}:{quote(self.settings.client_secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        answer = called(self._trust, str(self._provider()["token_endpoint"]), form, headers)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise CheckFailed("the provider sent no ID token")
        return token

    def _claims(self, token: str, nonce: str) -> dict[str, Any]:
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            if algorithm not in ALGORITHMS or "crit" in header:
                raise CheckFailed("an ID token of another algorithm", ", ".join(ALGORITHMS))
            claims = jwt.decode(
                token,
                self._key(header.get("kid"), algorithm),
                algorithms=[algorithm],
                audience=self.settings.client_id,
                issuer=self.settings.issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iat", "iss", "aud", "sub", "nonce"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise CheckFailed(
                f"the ID token is not taken ({str(error)[:80]})", way_out="Begin again"
            ) from error
        if not hmac.compare_digest(str(claims["nonce"]).encode(), nonce.encode()):
            raise CheckFailed("the ID token is of another login", way_out="Begin again")
        for_many = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if (for_many or "azp" in claims) and claims.get("azp") != self.settings.client_id:
            raise CheckFailed("the ID token was given to another party")
        return claims

    def _key(self, kid: Any, algorithm: str) -> Any:
        """The provider's key of that name; looked for once more where it is new."""
        import jwt

        family = {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}[algorithm]
        for again in (False, True):
            fitting = [
                one
                for one in self._published(again)
                if one.get("kty") == family
                and one.get("use", "sig") == "sig"
                and one.get("alg", algorithm) == algorithm
                and (kid is None or one.get("kid") == kid)
            ]
            if len(fitting) == 1:
                return jwt.PyJWK(fitting[0], algorithm).key
        raise CheckFailed("an ID token under a key the provider has not published")

    def _published(self, again: bool) -> list[dict[str, Any]]:
        now = self._clock()
        fresh = self._keys is not None and now - self._keys[0] < (
            BEGUN_S / 10 if again else FRESH_S
        )
        if self._keys is None or not fresh:
            found = called(self._trust, str(self._provider()["jwks_uri"])).get("keys")
            keys = (
                [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
            )
            self._keys = (now, keys)
        return self._keys[1]

    def _provider(self) -> dict[str, Any]:
        now = self._clock()
        if self._found is None or now - self._found[0] > FRESH_S:
            at = self.settings.issuer.rstrip("/") + "/.well-known/openid-configuration"
            found = called(self._trust, at)
            if found.get("issuer") != self.settings.issuer:
                raise CheckFailed(
                    f"{self.settings.issuer} calls itself {str(found.get('issuer'))[:80]!r}",
                    "an issuer that calls itself as AEGIS_OIDC_ISSUER does",
                )
            for name in _ENDPOINTS:
                address(str(found.get(name, "")))
            self._found = (now, found)
        return self._found[1]

    # What this browser began

    def _signed(self, begun: Mapping[str, Any]) -> str:
        text = _base64(json.dumps(begun).encode())
        return f"{text}.{_base64(hmac.digest(self._own, text.encode(), 'sha256'))}"

    def _begun(self, cookie: str) -> dict[str, Any]:
        text, _, mark = cookie.partition(".")
        own = _base64(hmac.digest(self._own, text.encode(), "sha256"))
        if not text or not hmac.compare_digest(own.encode(), mark.encode()):
            raise CheckFailed("this login was not begun in this browser", way_out="Begin again")
        begun: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if self._clock() >= begun["until"]:
            raise CheckFailed("this login was begun too long ago", way_out="Begin again")
        return begun


def set_cookie(value: str) -> str:
    """Lax, not Strict: the browser comes back from the provider, which is another site."""
    age = BEGUN_S if value else 0
    return f"{COOKIE}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={age}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
