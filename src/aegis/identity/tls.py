"""TLS as a federation speaks it: its own root only, at least 1.2, both sides with certificates."""

from __future__ import annotations

import ssl
from pathlib import Path

from aegis.errors import BadInput

# TLS 1.3 chooses among good suites by itself; of 1.2 only those with forward secrecy and AEAD stay.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def server_context(
    own: Path, root: Path, *, clients_need_certificates: bool = True
) -> ssl.SSLContext:
    """``own`` holds certificate and key. Without ``clients_need_certificates`` (browsers,
    enrolment) a client may come without one, but never with one of another authority."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, root)
    _own(context, own)
    context.verify_mode = ssl.CERT_REQUIRED if clients_need_certificates else ssl.CERT_OPTIONAL
    return context


def client_context(root: Path, own: Path | None = None) -> ssl.SSLContext:
    """Trusts this root and no other, and checks the host name."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, root)
    if own is not None:
        _own(context, own)
    return context


def _context(protocol: ssl._SSLMethod, root: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        context.load_verify_locations(cafile=root)
    except (OSError, ssl.SSLError) as error:
        raise BadInput(f"the root certificate {root} cannot be used ({error})") from error
    return context


def _own(context: ssl.SSLContext, own: Path) -> None:
    try:
        context.load_cert_chain(own)
    except (OSError, ssl.SSLError) as error:
        raise BadInput(
            f"the certificate {own} cannot be used ({error})", way_out="Issue it again"
        ) from error
