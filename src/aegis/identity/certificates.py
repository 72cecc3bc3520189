"""The federation's own certificate authority: who may speak TLS with whom.

One root (ten years, P-256, may sign nothing but leaves) and leaves of 90 days for the coordinator's
server and for each hospital as a client. A leaf is due for renewal when two thirds of its time are
over. There is no list of revoked certificates: TLS keeps strangers away from the road, and whoever
is revoked is refused by his envelopes, from the next message on.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from aegis.errors import BadInput, DataError
from aegis.identity.identity import checked_name, grouped
from aegis.identity.keyfile import read_private, write_private

Usage: TypeAlias = Literal["server", "client"]
LEAF_DAYS, ROOT_DAYS = 90, 3650
_BEFORE = timedelta(minutes=5)  # clocks of hospitals may be behind
_EXTENDED = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}


@dataclass(frozen=True)
class Certified:
    """A certificate and its private key. Sensitive."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def to_pem(self) -> bytes:
        key = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return key + pem(self.certificate)

    def save(self, path: Path, *, force: bool = False) -> None:
        """Both in one file of mode 0600, as ``ssl`` reads them: always a pair."""
        write_private(path, self.to_pem(), replace=force)

    @classmethod
    def load(cls, path: Path) -> Certified:
        """Raises ``BadInput`` where it is missing or open to others, ``DataError`` where it holds
        no pair."""
        data = read_private(path)
        try:
            key = serialization.load_pem_private_key(data, None)
            certificate = x509.load_pem_x509_certificate(data)
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{path} holds no certificate with its key", way_out="Issue it again"
            ) from error
        if (
            not isinstance(key, ec.EllipticCurvePrivateKey)
            or key.public_key() != certificate.public_key()
        ):
            raise DataError(f"in {path} key and certificate differ", way_out="Issue it again")
        return cls(certificate, key)


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def fingerprint(certificate: x509.Certificate) -> str:
    return grouped(certificate.fingerprint(hashes.SHA256()))


def due(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether two thirds of its time are over."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now >= begin + (end - begin) * 2 / 3


@dataclass(frozen=True)
class Authority:
    root: Certified

    @classmethod
    def create(cls, federation: str, now: datetime | None = None) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _named(f"{federation} root")
        builder = _builder(name, name, key.public_key(), now, ROOT_DAYS)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        builder = builder.add_extension(_key_usage(signs_certificates=True), True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(identifier, False)
        return cls(Certified(builder.sign(key, hashes.SHA256()), key))

    def issue(
        self,
        name: str,
        usage: Usage,
        hosts: Sequence[str] = (),
        now: datetime | None = None,
        days: int = LEAF_DAYS,
    ) -> Certified:
        """A leaf with a new key."""
        key = ec.generate_private_key(ec.SECP256R1())
        return Certified(self.certify(name, usage, key.public_key(), hosts, now, days), key)

    def certify(
        self,
        name: str,
        usage: Usage,
        key: ec.EllipticCurvePublicKey,
        hosts: Sequence[str] = (),
        now: datetime | None = None,
        days: int = LEAF_DAYS,
    ) -> x509.Certificate:
        """A leaf for a key that was made elsewhere (``requested``). A server needs the ``hosts``
        (names or addresses) by which it is called; each is named by the URI ``urn:aegis:NAME``."""
        if usage == "server" and not hosts:
            raise BadInput(
                f"the server {name} has no host name", way_out="Say --host aegis.example"
            )
        issuer = self.root.certificate
        builder = _builder(_named(name), issuer.subject, key, now, days)
        alternatives = [_alternative(host) for host in hosts]
        alternatives.append(x509.UniformResourceIdentifier(f"urn:aegis:{checked_name(name)}"))
        for extension, critical in (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_key_usage(signs_certificates=False), True),
            (x509.ExtendedKeyUsage([_EXTENDED[usage]]), False),
            (x509.SubjectAlternativeName(alternatives), False),
            (x509.SubjectKeyIdentifier.from_public_key(key), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self.root.key.public_key()), False),
        ):
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.root.key, hashes.SHA256())


def certificate_request(name: str) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    """A new key, which stays where it was made, and the PEM to send to the authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(_named(checked_name(name)))
    return key, request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def requested(request: bytes) -> ec.EllipticCurvePublicKey:
    """The key that a certificate is asked for; nothing else in the request counts. Raises
    ``DataError``."""
    try:
        found = x509.load_pem_x509_csr(request)
        key = found.public_key()
        if not (found.is_signature_valid and isinstance(key, ec.EllipticCurvePublicKey)):
            raise ValueError("not signed by its own P-256 key")
        if not isinstance(key.curve, ec.SECP256R1):
            raise ValueError(f"a key on {key.curve.name}")
    except (ValueError, TypeError) as error:
        raise DataError(f"this is no request for a certificate ({error})") from error
    return key


def usage_of(certificate: x509.Certificate) -> Usage:
    uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    return "server" if ExtendedKeyUsageOID.SERVER_AUTH in uses else "client"


def hosts_of(certificate: x509.Certificate) -> tuple[str, ...]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    found = [*names.get_values_for_type(x509.DNSName)]
    return (*found, *map(str, names.get_values_for_type(x509.IPAddress)))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime | None,
    days: int,
) -> x509.CertificateBuilder:
    begin = (now or datetime.now(UTC)).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - _BEFORE)
        .not_valid_after(begin + timedelta(days=days))
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host.lower().encode("idna").decode("ascii"))
    except (UnicodeError, ValueError) as error:
        raise BadInput(f"{host!r} is neither a host name nor an address") from error


def _key_usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
