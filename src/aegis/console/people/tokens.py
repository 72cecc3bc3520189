"""Tokens for scripts: an EdDSA JWT that lives ten minutes, and a refresh token that works once.

    POST /api/token           a name and a password (and code), or a session -> both tokens
    POST /api/token/refresh   a refresh token -> two new ones; the old one is spent
    POST /api/token/revoke    either token -> it and all that came from the same login are dead

A refresh token that comes a second time was copied: all of its family dies, the thief's and the
owner's. One algorithm is taken, under a key of ours that the header may only name; a header that
brings a key or an address of one is refused. A token says who asks, never what that person may do:
roles are looked up at each request.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis.console.people.book import Book, digest, secret
from aegis.errors import CheckFailed, DataError, MissingExtra
from aegis.identity.keyfile import read_private, write_private
from aegis.identity.keys import SigningKey

if TYPE_CHECKING:
    from collections.abc import Sequence

ALGORITHM = "EdDSA"
ACCESS_S, REFRESH_S, FAMILY_S = 600, 8 * 3600, 7 * 24 * 3600
LEEWAY_S = 60  # a clock that is set may step so far; no token begins or ends by that
CLAIMS = ("exp", "iat", "nbf", "iss", "aud", "sub", "jti")
LONGEST = 4096
KEY_FILE = "console-tokens.json"
_FOREIGN_KEYS = ("jku", "jwk", "x5u", "x5c", "crit")
_OURS = re.compile(r"[A-Za-z0-9_-]{43}")
_KEPT_KEYS = 8


@dataclass(frozen=True, slots=True)
class Given:
    """What a login or a refresh is answered with."""

    access: str
    refresh: str

    def as_json(self) -> dict[str, Any]:
        return {
            "access_token": self.access,
            "token_type": "Bearer",
            "expires_in": ACCESS_S,
            "refresh_token": self.refresh,
            "refresh_expires_in": REFRESH_S,
        }


@dataclass(frozen=True, slots=True)
class _Key:
    kid: str
    key: SigningKey
    made: float
    ended: float | None  # since when it signs no more


class Tokens:
    """``keys`` is the party's folder of keys; ``issuer`` and ``audience`` name this very console,
    so that a token of one console opens no other."""

    def __init__(self, book: Book, keys: Path, audience: str, issuer: str = "aegis") -> None:
        if find_spec("jwt") is None:
            raise MissingExtra("tokens", "serve")
        self.book, self.issuer, self.audience = book, issuer, audience
        self._file = keys / KEY_FILE
        self._keys = self._read()
        if not self._keys:
            self.rotate()

    def rotate(self) -> str:
        """A new key signs from now on; the one before verifies until its last token has ended."""
        now = self.book.clock()
        kept = [
            _Key(one.kid, one.key, one.made, one.ended or now)
            for one in self._keys
            if one.ended is None or now - one.ended <= ACCESS_S
        ]
        key = SigningKey.generate()
        self._keys = [_Key(_kid(key), key, now, None), *kept][:_KEPT_KEYS]
        document = [
            {"kid": one.kid, "key": one.key.raw.hex(), "made": one.made, "ended": one.ended}
            for one in self._keys
        ]
        write_private(self._file, (json.dumps(document, indent=1) + "\n").encode(), replace=True)
        return self._keys[0].kid

    @property
    def age_s(self) -> float:
        """How long the key that signs has been doing so."""
        return self.book.clock() - self._keys[0].made

    # Giving

    def login(self, person: str) -> Given:
        """The first tokens of a new family."""
        family, now = secret(), self.book.clock()
        with self.book.whole():
            self._forget(now)
            self.book.write("INSERT INTO families VALUES (?,?,?,'')", family, person, now)
            return self._given(person, family, now)

    def access(self, person: str, family: str = "", lifetime_s: float = ACCESS_S) -> str:
        """An access token by itself; without a family it can only be revoked by its jti."""
        import jwt

        now = self.book.clock()
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": person,
            "iat": int(now),
            "nbf": int(now),
            "exp": int(now + lifetime_s),
            "jti": secret(),
        }
        if family:
            claims["fam"] = family
        first = self._keys[0]
        return jwt.encode(claims, _private(first), ALGORITHM, {"kid": first.kid})

    def refresh(self, given: str) -> tuple[str, Given]:
        """The person, and two new tokens. Raises ``CheckFailed``; a token that was used before ends
        its family."""
        now = self.book.clock()
        with self.book.whole():
            row = self.book.row(
                "SELECT r.family, r.expires, r.used, f.person, f.made, f.revoked FROM refreshes r"
                " JOIN families f USING (family) WHERE r.digest=?",
                digest(given) if _OURS.fullmatch(given) else "",
            )
            if row is None:
                raise CheckFailed("this refresh token is not known", way_out="Log in again")
            family, expires, used, person, made, revoked = row
            if used is None and not revoked and now < expires and now - made < FAMILY_S:
                spent = digest(given)
                self.book.write("UPDATE refreshes SET used=? WHERE digest=?", now, spent)
                return str(person), self._given(str(person), str(family), now)
            if used is not None and not revoked:
                self._revoke(str(family), "reuse")
                self.book.note("this machine", str(person), "a refresh token came twice: all ended")
        if used is not None:
            raise CheckFailed(
                "this refresh token was used before",
                "each works once; all tokens of this login have ended",
                "Log in again, and change the password if it was not you",
            )
        raise CheckFailed("this refresh token has ended", way_out="Log in again")

    # Taking

    def person_of(self, token: str) -> str:
        """Whose access token this is. Raises ``CheckFailed`` saying why it is not taken."""
        claims = self.claims(token)
        family = claims.get("fam", "")
        if self.book.row("SELECT 1 FROM denied WHERE jti=?", claims["jti"]) is not None:
            raise CheckFailed("this token was revoked", way_out="Log in again")
        if family:
            row = self.book.row("SELECT revoked, person FROM families WHERE family=?", family)
            if row is None or row[0] or row[1] != claims["sub"]:
                raise CheckFailed("this token was revoked", way_out="Log in again")
        return str(claims["sub"])

    def claims(self, token: str) -> dict[str, Any]:
        """What a token of this console says, once everything about it was checked."""
        import jwt

        if len(token) > LONGEST:
            raise CheckFailed(f"a token of {len(token)} characters", f"at most {LONGEST}")
        try:
            header = jwt.get_unverified_header(token)
            if brought := [name for name in _FOREIGN_KEYS if name in header]:
                raise CheckFailed(f"a token whose header has {brought[0]}", "keys are ours alone")
            if header.get("alg") != ALGORITHM:
                raise CheckFailed("a token of another algorithm", ALGORITHM)
            claims = jwt.decode(
                token,
                self._public(header.get("kid")),
                algorithms=[ALGORITHM],
                issuer=self.issuer,
                audience=self.audience,
                leeway=LEEWAY_S,
                options={"require": list(CLAIMS), "strict_aud": True},
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise CheckFailed(
                f"this token is not taken ({str(error)[:80]})", way_out="Get a new one: /api/token"
            ) from error
        if not isinstance(claims.get("fam", ""), str) or not isinstance(claims["jti"], str):
            raise CheckFailed("a token with claims of another kind")
        return claims

    def revoke(self, given: str) -> None:
        """Of an access token or a refresh token, all that came from the same login. A token that is
        not known is as good as revoked, and nothing is said."""
        if _OURS.fullmatch(given):
            row = self.book.row("SELECT family FROM refreshes WHERE digest=?", digest(given))
            if row is not None:
                self._revoke(str(row[0]), "asked")
            return
        try:
            claims = self.claims(given)
        except CheckFailed:
            return
        self.book.write(
            "INSERT OR IGNORE INTO denied VALUES (?,?)", claims["jti"], float(claims["exp"])
        )
        if family := claims.get("fam"):
            self._revoke(str(family), "asked")

    def revoke_all(self, person: str) -> int:
        """Every login's tokens of one person; how many logins there were."""
        return self.book.write(
            "UPDATE families SET revoked='asked' WHERE person=? AND revoked=''", person
        )

    # Inside

    def _given(self, person: str, family: str, now: float) -> Given:
        refresh = secret()
        self.book.write(
            "INSERT INTO refreshes VALUES (?,?,?,NULL)", digest(refresh), family, now + REFRESH_S
        )
        return Given(self.access(person, family), refresh)

    def _revoke(self, family: str, why: str) -> None:
        self.book.write("UPDATE families SET revoked=? WHERE family=?", why, family)

    def _forget(self, now: float) -> None:
        """What has ended long ago; a family stays as long as one of its tokens could come back."""
        self.book.write("DELETE FROM denied WHERE expires < ?", now - ACCESS_S)
        self.book.write("DELETE FROM families WHERE made < ?", now - FAMILY_S - REFRESH_S)

    def _public(self, kid: object) -> Any:
        now = self.book.clock()
        for one in self._keys:
            if one.kid == kid and (one.ended is None or now - one.ended <= ACCESS_S):
                return _private(one).public_key()
        raise CheckFailed("a token under a key that is not ours")

    def _read(self) -> Sequence[_Key]:
        if not self._file.exists():
            return []
        try:
            found = json.loads(read_private(self._file))
            return [
                _Key(
                    str(one["kid"]),
                    SigningKey.from_raw(bytes.fromhex(one["key"])),
                    float(one["made"]),
                    None if one["ended"] is None else float(one["ended"]),
                )
                for one in found
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self._file} is damaged",
                way_out="Delete it: new keys are made, and everybody's tokens end",
            ) from error


def _kid(key: SigningKey) -> str:
    return digest(key.public.hex)[:16]


def _private(one: _Key) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(one.key.raw)
