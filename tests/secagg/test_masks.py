"""Published vectors of every primitive, and what a masked vector looks like from outside."""

import hashlib
from itertools import pairwise

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from aegis.errors import CheckFailed
from aegis.identity.keys import SigningKey
from aegis.secagg.masks import add_masks, agreed, derived, keystream, private_key, public_key
from tests.secagg.sealed import Federation

X = bytes.fromhex

ALICE = private_key(X("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"))
BOB = private_key(X("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
AGREED = X("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")


def test_keys_are_those_of_rfc_7748():
    alice = X("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    bob = X("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    assert public_key(ALICE) == alice
    assert public_key(BOB) == bob
    assert agreed(ALICE, bob) == agreed(BOB, alice) == AGREED


@pytest.mark.parametrize(
    ("secret", "salt", "info", "length", "expected"),
    [
        (
            b"\x0b" * 22,
            bytes(range(13)),
            bytes(range(0xF0, 0xFA)),
            42,
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            bytes(range(0x50)),
            bytes(range(0x60, 0xB0)),
            bytes(range(0xB0, 0x100)),
            82,
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb"
            "41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            b"\x0b" * 22,
            b"",
            b"",
            42,
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
)
def test_derivation_is_that_of_rfc_5869(secret, salt, info, length, expected):
    assert HKDF(SHA256(), length, salt or None, info).derive(secret) == X(expected)
    if not salt:
        assert derived(secret, info) == X(expected)[:32]


def test_parcels_are_sealed_as_in_rfc_8439():
    text = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the "
        b"future, sunscreen would be it."
    )
    sealed = ChaCha20Poly1305(bytes(range(0x80, 0xA0))).encrypt(
        X("070000004041424344454647"), text, X("50515253c0c1c2c3c4c5c6c7")
    )
    assert sealed == X(
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
        "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
        "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
        "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691"
    )


def test_signatures_are_those_of_rfc_8032():
    key = SigningKey.from_raw(X("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert key.public.hex == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert key._private.sign(b"") == X(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )


def test_keystreams_are_aes_256_in_counter_mode_as_in_sp_800_38a():
    key = X("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    counter = modes.CTR(X("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"))
    plain = X(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )
    assert Cipher(algorithms.AES(key), counter).encryptor().update(plain) == X(
        "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
        "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"
    )
    counters = b"".join(number.to_bytes(16, "big") for number in range(100))
    blocks = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(counters)
    assert keystream(key, 200).tobytes() == blocks


def test_a_point_of_small_order_is_refused():
    with pytest.raises(CheckFailed):
        agreed(ALICE, bytes(32))
    with pytest.raises(CheckFailed):
        agreed(ALICE, b"\1" + bytes(31))


KEYS = [hashlib.sha256(bytes([n])).digest() for n in range(6)]


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 20_000),
    st.sampled_from([np.uint64, np.uint32]),
    st.lists(st.sampled_from(KEYS), max_size=3),
    st.lists(st.sampled_from(KEYS), max_size=3),
)
def test_masks_added_and_taken_away_block_by_block_are_whole_keystreams(size, kind, plus, minus):
    start = np.random.default_rng(size).integers(0, 2**32, size).astype(kind)
    vector = start.copy()
    add_masks(vector, plus, minus)
    words = -(-size * start.itemsize // 8)
    whole = [keystream(key, words).view(kind)[:size] for key in (*plus, *minus)]
    expected = start.copy()
    for number, stream in enumerate(whole):
        expected = expected + stream if number < len(plus) else expected - stream
    assert np.array_equal(vector, expected)
    add_masks(vector, minus, plus)
    assert np.array_equal(vector, start)


def test_a_vector_in_pieces_is_refused():
    with pytest.raises(CheckFailed, match="one little-endian piece"):
        add_masks(np.zeros(10, np.uint64)[::2], KEYS)
    with pytest.raises(CheckFailed, match="one little-endian piece"):
        add_masks(np.zeros(10, ">u8"), KEYS)


@pytest.mark.parametrize("bits", [64, 32])
def test_a_masked_vector_is_uniform_and_says_nothing_of_the_update(bits):
    size, hospitals = 200_000, 4
    kind = np.uint64 if bits == 64 else np.uint32
    rng = np.random.default_rng(5)
    update = rng.normal(0, 2**20, size)
    vectors = {f"h{n:03}": update.astype(np.int64).astype(kind) for n in range(hospitals)}
    federation = Federation(hospitals, entropy=_known)
    federation.run(vectors)
    masked = [reply.vector for _, reply in federation.told if hasattr(reply, "commitment")]
    assert len(masked) == hospitals
    for vector in masked:
        assert vector.dtype == kind
        every = vector[:size]
        for byte in range(bits // 8):
            counts = np.bincount((every >> kind(8 * byte) & kind(255)).astype(int), minlength=256)
            assert stats.chisquare(counts).pvalue > 1e-4
        unit = every.astype(np.float64) / 2.0**bits
        assert stats.kstest(unit, "uniform").pvalue > 1e-3
        assert abs(np.corrcoef(unit, update)[0, 1]) < 4 / np.sqrt(size)
    for a, b in pairwise(masked):
        between = np.corrcoef(a.astype(np.float64), b.astype(np.float64))[0, 1]
        assert abs(between) < 4 / np.sqrt(size)


def _known(name):
    from tests.secagg.sealed import entropy_of

    return entropy_of(f"uniform {name}")
