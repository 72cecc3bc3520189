"""HPKE as RFC 9180 writes it down, for X25519, HKDF-SHA256 and ChaCha20-Poly1305, base mode.

Only here to hold the library against the RFC's own numbers: the library draws its ephemeral key
itself and takes no associated data, so the vectors cannot be put to it directly.
"""

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

KEM = b"KEM" + (0x0020).to_bytes(2, "big")
SUITE = b"HPKE" + b"".join(n.to_bytes(2, "big") for n in (0x0020, 0x0001, 0x0003))


def _extract(suite, salt, label, ikm):
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, hashlib.sha256)


def _expand(suite, prk, label, info, length):
    info = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    out, block = b"", b""
    while len(out) < length:
        block = hmac.digest(prk, block + info + bytes([len(out) // 32 + 1]), hashlib.sha256)
        out += block
    return out[:length]


def derive_key(ikm):
    prk = _extract(KEM, b"", b"dkp_prk", ikm)
    return X25519PrivateKey.from_private_bytes(_expand(KEM, prk, b"sk", b"", 32))


def shared_secret(exchanged, enc, recipient):
    prk = _extract(KEM, b"", b"eae_prk", exchanged)
    return _expand(KEM, prk, b"shared_secret", enc + recipient, 32)


def key_schedule(shared, info):
    """Context, secret, key, base nonce."""
    context = b"\0" + _extract(SUITE, b"", b"psk_id_hash", b"")
    context += _extract(SUITE, b"", b"info_hash", info)
    secret = _extract(SUITE, shared, b"secret", b"")
    key, nonce = (_expand(SUITE, secret, what, context, n) for what, n in KEY_AND_NONCE)
    return context, secret, key, nonce


KEY_AND_NONCE = ((b"key", 32), (b"base_nonce", 12))


def nonce_of(base, seq):
    return (int.from_bytes(base, "big") ^ seq).to_bytes(12, "big")


def seal(ephemeral, recipient, info, aad, plaintext, seq=0):
    """Encapsulated key and ciphertext; ``recipient`` is 32 bytes."""
    enc = ephemeral.public_key().public_bytes_raw()
    exchanged = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
    *_, key, base = key_schedule(shared_secret(exchanged, enc, recipient), info)
    return enc + ChaCha20Poly1305(key).encrypt(nonce_of(base, seq), plaintext, aad)


def open_(private, sealed, info, aad):
    enc, recipient = sealed[:32], private.public_key().public_bytes_raw()
    exchanged = private.exchange(X25519PublicKey.from_public_bytes(enc))
    *_, key, base = key_schedule(shared_secret(exchanged, enc, recipient), info)
    return ChaCha20Poly1305(key).decrypt(base, sealed[32:], aad)
