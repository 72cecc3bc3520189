"""Sealing: the RFC's numbers, and what does not open."""

import os

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from aegis.errors import CheckFailed, DataError
from aegis.identity.sealing import HYBRID, X25519, SealingKey, SealingPublic
from tests.identity import hpke_by_the_book as book

RFC_9180_A_2_1 = {
    name: bytes.fromhex(digits)
    for name, digits in {
        "info": "4f6465206f6e2061204772656369616e2055726e",
        "ikm_e": "909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b",
        "pk_e": "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a",
        "sk_e": "f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600",
        "ikm_r": "1ac01f181fdf9f352797655161c58b75c656a6cc2716dcb66372da835542e1df",
        "pk_r": "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a",
        "sk_r": "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb",
        "shared": "0bbe78490412b4bbea4812666f7916932b828bba79942424abb65244930d69a7",
        "context": "00431df6cd95e11ff49d7013563baf7f11588c75a6611ee2a4404a49306ae4cfc5"
        "b69c5718a60cc5876c358d3f7fc31ddb598503f67be58ea1e798c0bb19eb9796",
        "secret": "5b9cd775e64b437a2335cf499361b2e0d5e444d5cb41a8a53336d8fe402282c6",
        "key": "ad2744de8e17f4ebba575b3f5f5a8fa1f69c2a07f6e7500bc60ca6e3e3ec1c91",
        "nonce": "5c4d98150661b848853b547f",
        "plain": "4265617574792069732074727574682c20747275746820626561757479",
        "sealed_0": "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db"
        "21993c62ce81883d2dd1b51a28",
        "sealed_1": "6b53c051e4199c518de79594e1c4ab18b96f081549d45ce015be002090bb119e"
        "85285337cc95ba5f59992dc98c",
    }.items()
}


def test_the_book_gives_the_numbers_of_rfc_9180():
    v = RFC_9180_A_2_1
    ephemeral, recipient = book.derive_key(v["ikm_e"]), book.derive_key(v["ikm_r"])
    assert ephemeral.private_bytes_raw() == v["sk_e"]
    assert ephemeral.public_key().public_bytes_raw() == v["pk_e"]
    assert recipient.private_bytes_raw() == v["sk_r"]
    assert recipient.public_key().public_bytes_raw() == v["pk_r"]
    shared = book.shared_secret(ephemeral.exchange(recipient.public_key()), v["pk_e"], v["pk_r"])
    assert shared == v["shared"]
    assert book.key_schedule(shared, v["info"]) == (
        v["context"],
        v["secret"],
        v["key"],
        v["nonce"],
    )
    for seq in (0, 1):
        aad = f"Count-{seq}".encode()
        sealed = book.seal(ephemeral, v["pk_r"], v["info"], aad, v["plain"], seq)
        assert sealed == v["pk_e"] + v[f"sealed_{seq}"]


@pytest.mark.parametrize("length", [0, 1, 29, 70_000])
def test_what_the_house_seals_the_book_opens_and_the_other_way_round(length):
    key, info, plain = SealingKey.generate(), os.urandom(40), os.urandom(length)
    assert book.open_(key.curve, key.public.encrypt(info, plain), info, b"") == plain
    by_the_book = book.seal(X25519PrivateKey.generate(), key.public.raw, info, b"", plain)
    assert key.decrypt(info, by_the_book) == plain


@pytest.mark.parametrize("hybrid", [False, True])
def test_a_secret_opens_for_its_recipient_and_its_purpose_only(hybrid):
    key, other = SealingKey.generate(hybrid), SealingKey.generate(hybrid)
    sealed = key.public.encrypt(b"round 3", b"update")
    assert key.decrypt(b"round 3", sealed) == b"update"
    for who, info, what in (
        (other, b"round 3", sealed),
        (key, b"round 4", sealed),
        (key, b"round 3", sealed[:-1]),
        (key, b"round 3", sealed + b"\0"),
        (key, b"round 3", sealed[:20]),
        (key, b"round 3", b""),
    ):
        with pytest.raises(CheckFailed, match="does not open"):
            who.decrypt(info, what)


@pytest.mark.parametrize("hybrid", [False, True])
def test_a_changed_byte_anywhere_keeps_the_secret_shut(hybrid):
    key = SealingKey.generate(hybrid)
    sealed = key.public.encrypt(b"", b"update")
    for place in range(0, len(sealed), 1 if not hybrid else 23):
        changed = bytearray(sealed)
        changed[place] ^= 0x80
        with pytest.raises(CheckFailed):
            key.decrypt(b"", bytes(changed))


@pytest.mark.parametrize(("hybrid", "kind"), [(False, X25519), (True, HYBRID)])
def test_a_public_key_survives_being_written_down(hybrid, kind):
    public = SealingKey.generate(hybrid).public
    assert public.kind == kind
    assert SealingPublic.from_text(public.text) == public


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x25519:",
        "x25519:" + "00" * 32,  # small order
        "x25519:" + "01" + "00" * 31,  # small order
        "x25519:" + "ab" * 31,
        "x25519:" + "zz" * 32,
        "mlkem768x25519:" + "ab" * 32,
        "mlkem768x25519:" + "ff" * 1184 + "ab" * 32,  # coefficients beyond the modulus
        "rsa:" + "ab" * 32,
    ],
)
def test_bytes_that_are_no_key_are_refused(text):
    with pytest.raises(DataError):
        SealingPublic.from_text(text)


def test_a_private_key_is_not_shown():
    key = SealingKey.generate(True)
    assert key.curve.private_bytes_raw().hex() not in repr(key)
