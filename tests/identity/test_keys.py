"""Ed25519 by RFC 8032, and signatures that hold for one purpose only."""

import pytest

from aegis.errors import CheckFailed
from aegis.identity.keys import PublicKey, SigningKey

# RFC 8032, 7.1: secret key, public key
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    ),
]


@pytest.mark.parametrize(("secret", "public"), RFC_8032)
def test_public_keys_follow_from_secret_ones_as_in_rfc_8032(secret, public):
    assert SigningKey.from_raw(bytes.fromhex(secret)).public.hex == public


def test_a_signature_holds_for_its_domain_its_data_and_its_key_only():
    key = SigningKey.generate()
    signature = key.sign("round", b"data")
    assert key.public.verifies("round", b"data", signature)
    for public, domain, data, proof in (
        (SigningKey.generate().public, "round", b"data", signature),
        (key.public, "roun", b"ddata", signature),
        (key.public, "round", b"datA", signature),
        (key.public, "round", b"data", signature[:-1]),
        (key.public, "round", b"data", b""),
        (PublicKey(b"\xff" * 32), "round", b"data", signature),
    ):
        assert not public.verifies(domain, data, proof)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_refused(length):
    with pytest.raises(CheckFailed, match="32"):
        PublicKey(bytes(length))


def test_a_private_key_is_not_shown_and_a_fingerprint_can_be_read_aloud():
    key = SigningKey.generate()
    assert key.raw.hex() not in repr(key)
    groups = key.public.fingerprint.split(" ")
    assert [len(group) for group in groups] == [4] * 8
