"""Tokens that are forged, old, foreign or come twice are not taken."""

from __future__ import annotations

import base64
import json
import stat
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from aegis.console.people.rights import Role
from aegis.console.people.tokens import ACCESS_S, FAMILY_S, KEY_FILE, REFRESH_S, Tokens
from aegis.errors import BadInput, CheckFailed, DataError
from tests.console.people.conftest import MACHINE, PASSWORD, browser, came, sign_in


def own_key(tokens: Tokens) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(tokens._keys[0].key.raw)


def made(tokens: Tokens, key: object = None, algorithm: str = "EdDSA", **changes: object) -> str:
    """A token of ours with these claims or headers changed; None leaves one out."""
    now = time.time()
    claims = {
        "iss": "aegis", "aud": "aegis coordinator", "sub": "ana", "iat": int(now),
        "nbf": int(now), "exp": int(now) + 600, "jti": "j" * 43,
    }  # fmt: skip
    header = {"kid": tokens._keys[0].kid}
    for name, value in changes.items():
        place = header if name.startswith("h_") else claims
        place[name.removeprefix("h_")] = value
    claims = {name: value for name, value in claims.items() if value is not None}
    header = {name: value for name, value in header.items() if value is not None}
    return jwt.encode(claims, key or own_key(tokens), algorithm, header)


def test_a_token_made_by_hand_with_our_key_is_taken(door):
    assert door.tokens.person_of(made(door.tokens)) == "ana"  # so that those below fail rightly


NOW = int(time.time())
BAD = {
    "expired": {"exp": NOW - 61},
    "not yet": {"nbf": NOW + 86400},
    "made in the future": {"iat": NOW + 86400},
    "of another console": {"aud": "aegis north"},
    "of several consoles": {"aud": ["aegis coordinator", "aegis north"]},
    "of another issuer": {"iss": "mallory"},
    "without an end": {"exp": None},
    "without a name": {"sub": None},
    "without an id": {"jti": None},
    "without a beginning": {"nbf": None},
    "without a time": {"iat": None},
    "without an audience": {"aud": None},
    "with a name that is no text": {"sub": 7},
    "with an end that is no number": {"exp": "tomorrow"},
    "with a family that is none of ours": {"fam": "x"},
    "with a family of another kind": {"fam": ["x"]},
    "under a foreign key's name": {"h_kid": "0" * 16},
    "under a key without a name": {"h_kid": None},
    "under a key that is a path": {"h_kid": "../../etc/passwd"},
    "that brings its own key": {"h_jwk": {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}},
    "that names an address of keys": {"h_jku": "https://evil.test/keys"},
    "that brings a certificate": {"h_x5u": "https://evil.test/cert"},
    "with a critical header": {"h_crit": ["exp"]},
}


@pytest.mark.parametrize("changes", BAD.values(), ids=BAD.keys())
def test_a_token_that_is_not_quite_ours_is_refused(door, changes):
    with pytest.raises(CheckFailed):
        door.tokens.person_of(made(door.tokens, **changes))


@pytest.mark.parametrize("step", [-55, 55])
def test_a_clock_that_steps_by_less_than_a_minute_begins_and_ends_no_token(door, step):
    """Taken back, it would make what was given just now a token of the future."""
    now = int(time.time()) + step
    door.tokens.person_of(made(door.tokens, iat=now, nbf=now))
    door.tokens.person_of(made(door.tokens, exp=int(time.time()) - abs(step)))


def test_a_token_signed_by_another_key_is_refused(door):
    with pytest.raises(CheckFailed):
        door.tokens.person_of(made(door.tokens, Ed25519PrivateKey.generate()))


def test_a_token_of_another_algorithm_is_refused_also_under_our_public_key(door):
    """The classic: the public key, which everybody may have, taken as an HMAC secret."""
    public = own_key(door.tokens).public_key()
    raw = public.public_bytes_raw()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for secret in (raw, pem, b"", door.tokens._keys[0].kid.encode()):
        with pytest.raises(CheckFailed, match="another algorithm"):
            door.tokens.person_of(_by_hand(door, "HS256", secret))
    for word in ("none", "None", "NONE", "", None, "HS512", "RS256", "eddsa"):
        with pytest.raises(CheckFailed):
            door.tokens.person_of(_by_hand(door, word, None))


def _by_hand(door, algorithm: object, secret: bytes | None) -> str:
    """PyJWT refuses to make such tokens, so they are made here."""
    import hashlib
    import hmac

    _, claims, _ = made(door.tokens).split(".")
    header = _base64(json.dumps({"alg": algorithm, "kid": door.tokens._keys[0].kid}).encode())
    text = f"{header}.{claims}"
    mark = b"" if secret is None else hmac.digest(secret, text.encode(), hashlib.sha256)
    return f"{text}.{_base64(mark)}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@given(st.integers(0, 400), st.integers(1, 255))
def test_one_changed_byte_breaks_a_token(tmp_path_factory, at, by):
    tokens = _kept(tmp_path_factory)
    token = bytearray(made(tokens).encode())
    at %= len(token)
    changed = bytes([*token[:at], token[at] ^ by, *token[at + 1 :]])
    try:
        same = _decoded(changed) == _decoded(bytes(token))
    except ValueError:
        same = False
    if not same:  # base64 has spare bits at the end of a part
        with pytest.raises(CheckFailed):
            tokens.person_of(changed.decode("latin-1"))


def _decoded(token: bytes) -> list[bytes]:
    return [base64.b64decode(part + b"==", b"-_", validate=True) for part in token.split(b".")]


_TOKENS: list[Tokens] = []


def _kept(factory) -> Tokens:
    from aegis.console.people.book import Book

    if not _TOKENS:
        folder = factory.mktemp("tokens")
        _TOKENS.append(Tokens(Book(folder), folder / "keys", "aegis coordinator"))
    return _TOKENS[0]


@given(st.text(max_size=200))
def test_any_text_is_refused_without_a_failure(tmp_path_factory, text):
    with pytest.raises(CheckFailed):
        _kept(tmp_path_factory).person_of(text)


def test_a_refresh_token_works_once_and_a_copy_ends_the_family(door):
    came(door, "ana")
    first = door.tokens.login("ana")
    person, second = door.tokens.refresh(first.refresh)
    assert person == "ana"
    assert door.tokens.person_of(second.access) == "ana"
    other = door.tokens.login("ana")
    with pytest.raises(CheckFailed, match="used before"):
        door.tokens.refresh(first.refresh)
    for dead in (first.access, second.access):
        with pytest.raises(CheckFailed, match="revoked"):
            door.tokens.person_of(dead)
    with pytest.raises(CheckFailed, match="ended"):
        door.tokens.refresh(second.refresh)
    assert door.tokens.person_of(other.access) == "ana"  # another login is another family
    assert "came twice" in door.accounts.book.changes()[0][3]


def test_a_refresh_token_ends_after_eight_hours_and_a_family_after_a_week(door, clock):
    began = clock.now
    given_first = door.tokens.login("ana")
    clock.now += REFRESH_S
    with pytest.raises(CheckFailed, match="ended"):
        door.tokens.refresh(given_first.refresh)
    renewed = door.tokens.login("ana")
    began = clock.now
    while clock.now + REFRESH_S - 60 - began < FAMILY_S:
        clock.now += REFRESH_S - 60
        _, renewed = door.tokens.refresh(renewed.refresh)
    clock.now = began + FAMILY_S
    with pytest.raises(CheckFailed, match="ended"):
        door.tokens.refresh(renewed.refresh)


@pytest.mark.parametrize("which", ["access", "refresh"])
def test_revoking_either_token_ends_both(door, which):
    given_first = door.tokens.login("ana")
    door.tokens.revoke(getattr(given_first, which))
    with pytest.raises(CheckFailed):
        door.tokens.person_of(given_first.access)
    with pytest.raises(CheckFailed):
        door.tokens.refresh(given_first.refresh)


def test_a_token_without_a_family_is_revoked_by_its_id(door):
    token = door.short_token()
    assert door.person_of_token(token).way == "machine"
    door.tokens.revoke(token)
    with pytest.raises(CheckFailed, match="revoked"):
        door.person_of_token(token)


def test_an_old_key_verifies_until_its_tokens_have_ended(door, clock):
    before = door.tokens.access("ana")
    kid = door.tokens.rotate()
    assert jwt.get_unverified_header(door.tokens.access("ana"))["kid"] == kid
    assert door.tokens.person_of(before) == "ana"
    clock.now += ACCESS_S + 1  # the token's own end is real time's, so the key's is what is seen
    with pytest.raises(CheckFailed, match="not ours"):
        door.tokens.person_of(before)


def test_the_keys_are_kept_for_their_owner_alone_and_found_again(door, tmp_path):
    path = tmp_path / "keys" / KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    token = door.tokens.access("ana")
    again = Tokens(door.accounts.book, tmp_path / "keys", "aegis coordinator")
    assert again.person_of(token) == "ana"
    assert again.age_s == 0
    path.chmod(0o644)
    with pytest.raises(BadInput, match="open to other users"):
        Tokens(door.accounts.book, tmp_path / "keys", "aegis coordinator")
    path.chmod(0o600)
    path.write_text("{}")
    path.write_text('[{"kid": 1}]')
    with pytest.raises(DataError, match="damaged"):
        Tokens(door.accounts.book, tmp_path / "keys", "aegis coordinator")


def test_over_http_a_script_gets_renews_and_ends_its_tokens(door):
    came(door, "ana", Role.RESEARCHER)
    client = browser(door)
    pair = client.post("/api/token", json={"name": "Ana", "password": PASSWORD}).json()
    assert (pair["token_type"], pair["expires_in"]) == ("Bearer", ACCESS_S)

    def asked(token: str) -> int:
        return client.get("/", headers={"Authorization": f"Bearer {token}"}).status_code

    assert asked(pair["access_token"]) == 200
    said = {"refresh_token": pair["refresh_token"]}
    renewed = client.post("/api/token/refresh", json=said).json()
    assert asked(renewed["access_token"]) == 200
    again = client.post("/api/token/refresh", json=said)
    assert again.status_code == 401
    assert "used before" in again.json()["error"]["value"]
    assert asked(renewed["access_token"]) == 401
    fresh = client.post("/api/token", json={"name": "ana", "password": PASSWORD}).json()
    ended = client.post("/api/token/revoke", json={"token": fresh["access_token"]})
    assert ended.status_code == 204, ended.text
    assert asked(fresh["access_token"]) == 401
    assert client.post("/api/token/revoke", json={"token": "nonsense"}).status_code == 204


@pytest.mark.parametrize(
    "proof",
    [
        {},
        {"name": "ana"},
        {"name": "ana", "password": "wrong wrong wrong"},
        {"name": "nobody", "password": PASSWORD},
        {"password": PASSWORD},
        {"name": "' OR 1=1 --", "password": PASSWORD},
    ],
)
def test_over_http_nothing_is_given_for_half_a_proof(door, proof):
    came(door, "ana")
    answer = browser(door).post("/api/token", json=proof)
    assert answer.status_code == 401
    assert "access_token" not in answer.text


def test_over_http_a_session_gives_a_token_only_with_its_csrf(door):
    came(door, "ana")
    client = browser(door)
    csrf = sign_in(client, "ana")
    assert client.post("/api/token", json={}).status_code == 403
    assert client.post("/api/token", json={}, headers={"X-CSRF-Token": csrf}).status_code == 200
    head = {"Authorization": f"Bearer {MACHINE}"}
    assert browser(door).post("/api/token", json={}, headers=head).status_code == 401


def test_over_http_a_body_that_is_no_proof_names_the_field_and_not_the_value(door):
    answer = browser(door).post("/api/token", json={"name": "ana", "passwort": PASSWORD})
    assert answer.status_code == 422
    assert "passwort" in answer.text
    assert PASSWORD not in answer.text
    assert browser(door).post("/api/token", content=b"{" * 10_000).status_code == 422


def test_a_disabled_person_gets_no_token_for_the_one_it_had(door):
    came(door, "ana")
    given_first = door.tokens.login("ana")
    door.accounts.disable("ana", "root")
    body = {"refresh_token": given_first.refresh}
    assert browser(door).post("/api/token/refresh", json=body).status_code == 401
