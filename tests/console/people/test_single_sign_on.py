"""Only whom the provider really vouches for comes in, as whom it says, with the roles it gives."""

from __future__ import annotations

import time

import pytest

from aegis.console.people.rights import Role
from aegis.console.people.single_sign_on import BEGUN_S, COOKIE, Settings, SignOn
from aegis.errors import BadInput, CheckFailed
from tests.console.people.conftest import AT, FROM_HERE, browser, came
from tests.console.people.provider import CLIENT, SECRET, Provider

BACK = f"{AT}/login/sso/back"


@pytest.fixture
def provider():
    with Provider() as found:
        yield found


@pytest.fixture
def sign_on(provider, clock):
    return SignOn(Settings(provider.issuer, CLIENT, SECRET), clock=clock)


def through(sign_on, provider):
    address, cookie = sign_on.begin(BACK, "/clinical")
    return sign_on.finish(cookie, provider.authorize(address))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_whom_the_provider_vouches_for_comes_in(sign_on, provider, algorithm):
    provider.algorithm = algorithm
    found = through(sign_on, provider)
    assert found.subject == f"{provider.issuer}|u-7"
    assert (found.name, found.roles, found.target) == (
        "Ana.Meier",
        {Role.RESEARCHER},
        "/clinical",
    )


NOW = int(time.time())
WRONG = {
    "another nonce": {"nonce": "x"},
    "no nonce": {"nonce": None},
    "alg none": {"sign": "alg_none"},
    "the public key as a secret": {"sign": "hmac"},
    "a key that was not published": {"sign": "foreign_key"},
    "a key of another name": {"h_kid": "other"},
    "the name of another key": {"h_kid": "ES256"},
    "a critical header": {"h_crit": ["b64"]},
    "another audience": {"aud": "another-console"},
    "two audiences": {"aud": [CLIENT, "another-console"]},
    "made for another party": {"azp": "another-console"},
    "another issuer": {"iss": "http://127.0.0.1:1"},
    "expired": {"exp": NOW - 3600},
    "no end": {"exp": None},
    "made in the future": {"iat": NOW + 3600},
    "nobody": {"sub": None},
    "no role": {"aegis_roles": None},
    "an unknown role": {"aegis_roles": ["god"]},
    "a role of another kind": {"aegis_roles": {"admin": True}},
    "roles that are no words": {"aegis_roles": [["admin"], 7]},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_answer_of_the_provider_lets_nobody_in(sign_on, provider, wrong):
    provider.wrong = wrong
    with pytest.raises(CheckFailed):
        through(sign_on, provider)


ANSWERS = [
    (500, b"{}"),
    (302, b"{}"),
    (200, b"not json"),
    (200, b"[1]"),
    (200, b"{}"),
    (200, b'{"id_token": 7}'),
    (200, b'{"id_token": "a.b.c"}'),
    (200, b"[" * 100_000),
    (200, b'{"x": "' + b"y" * 2**21),
]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda one: f"{one[0]}-{one[1][:12]!r}")
def test_an_answer_that_is_none_lets_nobody_in(sign_on, provider, answer):
    provider.token_answer = answer
    with pytest.raises(CheckFailed):
        through(sign_on, provider)


def test_a_login_is_finished_by_the_browser_that_began_it_only(sign_on, provider, clock):
    address, cookie = sign_on.begin(BACK, "/")
    _, others = sign_on.begin(BACK, "/")
    back = provider.authorize(address)
    text, _, mark = cookie.partition(".")
    forged = [
        "", "x", f"{text}.", f"{text}x.{mark}", f"{text}.{mark}x", others, "é.é",
        f"{cookie[:-4]}AAAA",
    ]  # fmt: skip
    for one in forged:
        with pytest.raises(CheckFailed, match="not begun in this browser"):
            sign_on.finish(one, back)
    for changed in ({"state": "x"}, {"state": ""}):
        with pytest.raises(CheckFailed, match="not begun"):
            sign_on.finish(cookie, back | changed)
    with pytest.raises(CheckFailed, match="another provider"):
        sign_on.finish(cookie, back | {"iss": "https://evil.test"})
    with pytest.raises(CheckFailed, match="let nobody in"):
        sign_on.finish(cookie, {"state": back["state"], "error": "access_denied"})
    assert sign_on.finish(cookie, back).name == "Ana.Meier"
    with pytest.raises(CheckFailed, match="answered 400"):  # the code was used
        sign_on.finish(cookie, back)
    clock.now += BEGUN_S
    with pytest.raises(CheckFailed, match="too long ago"):
        sign_on.finish(cookie, back)


def test_a_provider_that_calls_itself_otherwise_is_not_asked(sign_on, provider):
    provider.discovery = {"issuer": "https://evil.test"}
    with pytest.raises(CheckFailed, match="calls itself"):
        sign_on.begin(BACK, "/")


@pytest.mark.parametrize(
    "address", ["http://evil.test/token", "ftp://127.0.0.1/", "", "https://u:p@idp.test/token"]
)
def test_an_endpoint_without_tls_is_not_used(sign_on, provider, address):
    provider.discovery = {"token_endpoint": address}
    with pytest.raises(BadInput):
        sign_on.begin(BACK, "/")


def test_a_provider_that_is_not_there_is_a_sentence(clock):
    sign_on = SignOn(Settings("http://127.0.0.1:9", CLIENT), clock=clock)
    with pytest.raises(BadInput, match="does not answer"):
        sign_on.begin(BACK, "/")


def test_the_providers_keys_are_asked_for_seldom(sign_on, provider):
    for _ in range(3):
        through(sign_on, provider)
    assert provider.asked.count("/keys") == 1
    assert provider.asked.count("/.well-known/openid-configuration") == 1
    provider.wrong = {"h_kid": "new"}
    for _ in range(3):
        with pytest.raises(CheckFailed):
            through(sign_on, provider)
    assert provider.asked.count("/keys") == 1  # they are a moment old


def test_new_keys_of_the_provider_are_found_after_a_while(sign_on, provider, clock):
    through(sign_on, provider)
    clock.now += 61
    provider.wrong = {"h_kid": "new"}
    with pytest.raises(CheckFailed):
        through(sign_on, provider)
    assert provider.asked.count("/keys") == 2


def test_the_settings_are_read_from_the_environment():
    both = {"AEGIS_OIDC_ISSUER": "https://idp.test", "AEGIS_OIDC_CLIENT_ID": "c"}
    assert Settings.from_environment({}) is None
    assert Settings.from_environment(both) == Settings("https://idp.test", "c")
    mapped = both | {"AEGIS_OIDC_ROLES": "groups: fl-research=researcher, irb = auditor"}
    settings = Settings.from_environment(mapped)
    assert settings.claim == "groups"
    assert settings.roles(["irb", "fl-research", "admin", 7]) == {Role.RESEARCHER, Role.AUDITOR}
    assert settings.roles("irb") == {Role.AUDITOR}
    assert settings.roles(None) == frozenset()
    secret = Settings.from_environment(both | {"AEGIS_OIDC_CLIENT_SECRET": "hush"})
    assert "hush" not in repr(secret)


@pytest.mark.parametrize(
    "said",
    [
        {"AEGIS_OIDC_ISSUER": "https://idp.test"},
        {"AEGIS_OIDC_CLIENT_ID": "c"},
        {"AEGIS_OIDC_ISSUER": "http://idp.test", "AEGIS_OIDC_CLIENT_ID": "c"},
        {"AEGIS_OIDC_ISSUER": "idp.test", "AEGIS_OIDC_CLIENT_ID": "c"},
        {"AEGIS_OIDC_ROLES": "groups: a=god"},
        {"AEGIS_OIDC_ROLES": "groups: a"},
        {"AEGIS_OIDC_ROLES": ": a=admin"},
    ],
    ids=str,
)
def test_half_a_setting_is_refused(said):
    if "AEGIS_OIDC_ROLES" in said:
        said = said | {"AEGIS_OIDC_ISSUER": "https://idp.test", "AEGIS_OIDC_CLIENT_ID": "c"}
    with pytest.raises(BadInput):
        Settings.from_environment(said)


def test_over_http_a_person_of_the_provider_has_a_session_and_an_account_of_its_own(
    door, sign_on, provider
):
    came(door, "ana.meier", Role.ADMIN)
    door.sign_on = sign_on
    client = browser(door)
    assert "/login/sso?next=/clinical" in client.get("/login?next=/clinical").text
    away = client.get("/login/sso?next=/clinical")
    flags = away.headers["set-cookie"].split("; ")
    assert flags[0].startswith(COOKIE)
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(flags)
    back = client.get("/login/sso/back", params=provider.authorize(away.headers["location"]))
    assert back.status_code == 200
    assert 'content="0;url=/clinical"' in back.text
    assert client.get("/").json()["name"] == "ana.meier-2"
    assert client.cookies.get(COOKIE) is None
    account = client.get("/account").text
    assert "single sign-on" in account
    assert "Present password" not in account
    door.accounts.disable("ana.meier-2", "root")
    assert client.get("/").status_code == 303
    away = client.get("/login/sso")
    again = client.get("/login/sso/back", params=provider.authorize(away.headers["location"]))
    assert (again.status_code, "is disabled" in again.text) == (403, True)
    assert not any(one.startswith("__Host-aegis=") for one in again.headers.get_list("set-cookie"))


def test_over_http_a_forged_return_shows_the_login_again(door, sign_on, provider):
    door.sign_on = sign_on
    client = browser(door)
    for query in ("", "?code=x&state=y", "?error=access_denied&state=%3Cscript%3E"):
        answer = client.get(f"/login/sso/back{query}", headers=FROM_HERE)
        assert answer.status_code == 403
        assert "<script>" not in answer.text.partition("<main")[2]


def test_over_http_single_sign_on_is_off_unless_it_is_set(door):
    client = browser(door)
    assert client.get("/login/sso").status_code == 404
    assert client.get("/login/sso/back?code=x&state=y").status_code == 404
    assert "/login/sso" not in client.get("/login").text
