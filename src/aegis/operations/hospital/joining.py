"""Joining: one code, one command, outward connections only.

1. The coordinator's root certificate is fetched over a connection that is not believed yet, and
   must have the digest that the code carries.
2. Over a connection that this root vouches for goes the request: the hospital's public keys,
   signed by its own key and by the code's.
3. The welcome comes back. Where somebody still has to read the fingerprint back, it has no
   certificate yet, and the request is repeated until it has.

The coordinator's address on this very machine may speak plain HTTP; any other speaks TLS.
"""

from __future__ import annotations

import http.client
import json
import ssl
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from aegis.errors import AegisError, BadInput, CheckFailed, DataError, RunAborted
from aegis.identity.certificates import certificate_request, pem
from aegis.identity.enrolment import LARGEST_WELCOME, EnrolRequest, Welcome
from aegis.identity.identity import Identity
from aegis.identity.join_code import JoinCode, federation_sha256
from aegis.identity.keys import PublicKey
from aegis.identity.tls import client_context
from aegis.operations.hospital.federation import Federation
from aegis.operations.hospital.folder import HospitalFolder

TIMEOUT_S = 10.0
ASK_EVERY_S = 2.0
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def join(
    folder: HospitalFolder,
    identity: Identity,
    code: JoinCode,
    *,
    patience_s: float = 900.0,
    told: Callable[[str], None] = lambda text: None,
    clock: Callable[[], float] = time.time,
    rest: Callable[[float], None] = time.sleep,
) -> Federation:
    """Join, and keep what was taken home. Raises ``CheckFailed`` where the coordinator is not the
    one of the code or declines, ``RunAborted`` where it cannot be reached or nobody confirms."""
    root = _root(code)
    key, asked = certificate_request(identity.name)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    end, told_already = clock() + patience_s, False
    while True:
        request = EnrolRequest.of(code, identity, clock(), asked)
        data = exchange(code.address, "POST", "/api/enrol", request.to_bytes(), root)
        welcome = Welcome.from_bytes(data, code, request)
        if welcome.certificate:
            break
        if not told_already:
            told(f"Read this fingerprint to the coordinator: {identity.public.fingerprint}")
            told_already = True
        if clock() > end:
            raise RunAborted(
                "nobody at the coordinator has confirmed this hospital's fingerprint yet",
                way_out="Call them, then run the same command again",
            )
        rest(ASK_EVERY_S)
    certificate = x509.load_der_x509_certificate(welcome.root)
    joined = Federation(
        folder.federation, welcome.federation, welcome.authority, welcome.road, code.address
    )
    joined.save(pem(certificate), welcome.membership, private + welcome.certificate.encode())
    return joined


def _root(code: JoinCode) -> bytes | None:
    """The root certificate as PEM, held against the code; None where no TLS is spoken."""
    answered = exchange(code.address, "GET", "/api/federation", None, None, blind=True)
    try:
        said = json.loads(answered)
        authority = PublicKey(bytes.fromhex(said["authority"]))
        der = bytes.fromhex(said["root"])
        found = federation_sha256(authority, der)[:16]
    except (ValueError, KeyError, TypeError, RecursionError, CheckFailed) as error:
        raise DataError(f"{code.address} is no coordinator of Aegis ({error})") from error
    if found != code.federation:
        raise CheckFailed(
            f"{code.address} is not the federation that the join code is for",
            "its keys have another digest",
            "Somebody is in between: do not join, and tell the coordinator",
        )
    return None if _plain(code.address) else pem(x509.load_der_x509_certificate(der))


def _plain(address: str) -> bool:
    return address.rpartition(":")[0] in LOOPBACK


def exchange(
    address: str,
    method: str,
    path: str,
    body: bytes | None,
    root: bytes | None,
    *,
    blind: bool = False,
) -> bytes:
    """One request. ``blind``: nobody vouches for the connection, and nothing secret is said."""
    connection = _connection(address, root, blind)
    try:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        data = reply.read(LARGEST_WELCOME + 1)
    except (OSError, http.client.HTTPException) as error:
        raise RunAborted(
            f"the coordinator at {address} cannot be reached ({_said(error)})",
            way_out="Check the address in the code, your network and its proxy: aegis doctor",
        ) from error
    finally:
        connection.close()
    if reply.status >= 400:
        raise _declined(address, reply.status, data)
    return data


def _connection(address: str, root: bytes | None, blind: bool) -> http.client.HTTPConnection:
    if _plain(address):
        return http.client.HTTPConnection(address, timeout=TIMEOUT_S)
    if blind:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(address, timeout=TIMEOUT_S, context=context)
    assert root is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "root.pem"
        path.write_bytes(root)
        context = client_context(path)
    return http.client.HTTPSConnection(address, timeout=TIMEOUT_S, context=context)


def _declined(address: str, status: int, data: bytes) -> AegisError:
    try:
        error: dict[str, Any] = json.loads(data)["error"]
        said = (str(error["value"]), str(error.get("need", "")), str(error.get("way_out", "")))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return BadInput(
            f"{address} answers with status {status}", "a coordinator of Aegis", "Check the address"
        )
    return CheckFailed(*said) if status in (403, 409, 429) else BadInput(*said)


def _said(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return str(error) or type(error).__name__
