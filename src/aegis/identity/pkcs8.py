"""Private keys as PKCS #8, in clear or under a passphrase stretched with scrypt (RFC 7914).

The cryptography library encrypts PKCS #8 with PBKDF2 of 2048 steps, which is too little for a
passphrase that a person can remember; it reads scrypt, though. So the few bytes of structure are
written here, and read there; OpenSSL reads them too (N=2^14 with r=8 is the largest it accepts).
"""

from __future__ import annotations

import base64
import os
from typing import TypeAlias

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from aegis.errors import BadInput, DataError

Private: TypeAlias = Ed25519PrivateKey | X25519PrivateKey | MLKEM768PrivateKey

_UNLOCK = "Set AEGIS_KEY_PASSPHRASE, or name a file that holds it: --passphrase-file"

N, R, P = 2**14, 8, 5
_SEQUENCE, _INTEGER, _OCTETS, _NAME = 0x30, 0x02, 0x04, 0x06
_PBES2 = bytes.fromhex("2a864886f70d01050d")  # 1.2.840.113549.1.5.13
_SCRYPT = bytes.fromhex("2b06010401da47040b")  # 1.3.6.1.4.1.11591.4.11
_AES_256_CBC = bytes.fromhex("60864801650304012a")  # 2.16.840.1.101.3.4.1.42


def write(key: Private, passphrase: str | None = None) -> str:
    """PEM text."""
    plain = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    if passphrase is None:
        return _pem("PRIVATE KEY", plain)
    return _pem("ENCRYPTED PRIVATE KEY", _locked(plain, passphrase.encode()))


def read(pem: str, passphrase: str | None = None, file: str = "the key file") -> Private:
    """Raises ``BadInput`` for a passphrase that is missing or wrong, ``DataError`` for no key."""
    locked = "ENCRYPTED PRIVATE KEY" in pem
    if locked and passphrase is None:
        raise BadInput(f"{file} is locked", "its passphrase opens it", _UNLOCK)
    secret = passphrase.encode() if locked and passphrase is not None else None
    try:
        key = serialization.load_pem_private_key(pem.encode(), secret)
    except (ValueError, TypeError) as error:
        if locked:
            raise BadInput(
                f"the passphrase does not open {file}", "the one it was locked with", _UNLOCK
            ) from error
        raise DataError(f"{file} holds no private key", way_out="Restore it") from error
    if not isinstance(key, Private):
        raise DataError(f"{file} holds a {type(key).__name__}", "Ed25519, X25519 or ML-KEM")
    return key


def _locked(plain: bytes, passphrase: bytes) -> bytes:
    salt, iv = os.urandom(16), os.urandom(16)
    key = Scrypt(salt=salt, length=32, n=N, r=R, p=P).derive(passphrase)
    padding = 16 - len(plain) % 16
    aes = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    ciphertext = aes.update(plain + bytes([padding]) * padding) + aes.finalize()
    stretching = _seq(_octets(salt), _number(N), _number(R), _number(P))
    scheme = _seq(
        _seq(_part(_NAME, _SCRYPT), stretching), _seq(_part(_NAME, _AES_256_CBC), _octets(iv))
    )
    return _seq(_seq(_part(_NAME, _PBES2), scheme), _octets(ciphertext))


def _part(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _seq(*parts: bytes) -> bytes:
    return _part(_SEQUENCE, b"".join(parts))


def _octets(content: bytes) -> bytes:
    return _part(_OCTETS, content)


def _number(value: int) -> bytes:
    return _part(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _pem(label: str, der: bytes) -> str:
    text = base64.b64encode(der).decode("ascii")
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])
