"""The federation's certificate authority, and TLS as it is really spoken."""

import ssl
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from aegis.errors import BadInput, DataError
from aegis.identity import certificates
from aegis.identity.certificates import Authority, Certified, due, hosts_of, pem, usage_of
from aegis.identity.tls import client_context, server_context

NOW = datetime.now(UTC)
AUTHORITY = Authority.create("hearts")


@pytest.fixture
def files(tmp_path):
    """root.pem, and what has been issued beneath it."""
    folder = tmp_path / "tls"
    AUTHORITY.root.save(folder / "root.tls")
    (folder / "root.pem").write_bytes(pem(AUTHORITY.root.certificate))

    def issue(name, usage, hosts=(), authority=AUTHORITY, **options):
        authority.issue(name, usage, hosts, **options).save(folder / f"{name}.tls")
        return folder / f"{name}.tls"

    issue.root, issue.folder = folder / "root.pem", folder
    return issue


def shake(server, client, host="aegis.example"):
    """A handshake in memory: (protocol, the client's name as the server sees it)."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = server.wrap_bio(to_server, to_client, server_side=True)
    other = client.wrap_bio(to_client, to_server, server_hostname=host)
    pending = [other, one]
    for _ in range(20):
        for side in list(pending):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            pending.remove(side)
        if not pending:
            break
    assert not pending
    other.write(b"hello")
    assert one.read() == b"hello"
    one.write(b"back")
    assert other.read() == b"back"
    names = dict(one.getpeercert().get("subjectAltName", ())) if one.getpeercert() else {}
    return one.version(), names.get("URI")


def test_both_sides_of_a_federation_speak_tls_1_3_and_know_each_other(files):
    server = server_context(files("desk", "server", ["aegis.example", "10.0.0.7"]), files.root)
    client = client_context(files.root, files("mercy", "client"))
    assert shake(server, client) == ("TLSv1.3", "urn:aegis:mercy")
    assert shake(server, client, "10.0.0.7")[0] == "TLSv1.3"
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert shake(server, client)[0] == "TLSv1.2"


def test_strangers_are_refused_on_both_sides(files):
    foreign = Authority.create("hearts")
    server = server_context(files("desk", "server", ["aegis.example"]), files.root)
    mercy = files("mercy", "client")
    friend = client_context(files.root, mercy)
    with pytest.raises(ssl.SSLError):
        shake(server, client_context(files.root))  # no certificate
    with pytest.raises(ssl.SSLError):
        shake(server, client_context(files.root, files("thief", "client", authority=foreign)))
    with pytest.raises(ssl.SSLError, match="mismatch"):
        shake(server, friend, "evil.example")
    false = server_context(
        files("false", "server", ["aegis.example"], authority=foreign), files.root
    )
    with pytest.raises(ssl.SSLError, match="verify failed"):
        shake(false, friend)
    with pytest.raises(ssl.SSLError, match="purpose"):
        shake(server_context(mercy, files.root), friend)  # a hospital is no server
    old = NOW - timedelta(days=91)
    late = server_context(files("late", "server", ["aegis.example"], now=old), files.root)
    with pytest.raises(ssl.SSLError, match="expired"):
        shake(late, friend)


def test_a_browser_may_come_without_a_certificate_where_that_is_allowed(files):
    desk = files("desk", "server", ["aegis.example"])
    server = server_context(desk, files.root, clients_need_certificates=False)
    assert shake(server, client_context(files.root)) == ("TLSv1.3", None)
    foreign = files("thief", "client", authority=Authority.create("x"))
    with pytest.raises(ssl.SSLError):
        shake(server, client_context(files.root, foreign))


def test_nothing_older_than_tls_1_2_and_nothing_without_forward_secrecy(files):
    for context in (
        server_context(files("desk", "server", ["a"]), files.root),
        client_context(files.root),
    ):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        older = [c["name"] for c in context.get_ciphers() if c["protocol"] != "TLSv1.3"]
        assert older
        assert all("ECDHE" in name and ("GCM" in name or "POLY" in name) for name in older)


def test_certificates_say_what_they_are_for():
    server = AUTHORITY.issue("desk", "server", ["Aegis.Example", "::1", "bücher.example"])
    hosts = hosts_of(server.certificate)
    assert hosts == ("aegis.example", "xn--bcher-kva.example", "::1")
    assert usage_of(server.certificate) == "server"
    assert usage_of(AUTHORITY.issue("mercy", "client").certificate) == "client"
    root = AUTHORITY.root.certificate
    constraints = root.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)
    server.certificate.verify_directly_issued_by(root)
    with pytest.raises(BadInput, match="no host name"):
        AUTHORITY.issue("desk", "server")
    with pytest.raises(BadInput, match="neither"):
        AUTHORITY.issue("desk", "server", ["a" * 300])


def test_a_certificate_lives_ninety_days_and_is_renewed_after_sixty():
    leaf = AUTHORITY.issue("mercy", "client", now=NOW).certificate
    assert leaf.not_valid_after_utc - NOW.replace(microsecond=0) == timedelta(days=90)
    assert not due(leaf, NOW + timedelta(days=59.9))
    assert due(leaf, NOW + timedelta(days=60))


def test_a_hospital_keeps_its_key_and_gets_a_certificate_for_it(tmp_path):
    key, request = certificates.certificate_request("mercy")
    leaf = AUTHORITY.certify("mercy", "client", certificates.requested(request))
    own = Certified(leaf, key)
    own.save(tmp_path / "keys" / "mercy.tls")
    loaded = Certified.load(tmp_path / "keys" / "mercy.tls")
    assert loaded.certificate == leaf
    assert stat.S_IMODE((tmp_path / "keys" / "mercy.tls").stat().st_mode) == 0o600


def test_requests_with_a_false_signature_or_another_kind_of_key_are_refused():
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    wrong = builder.sign(ed25519.Ed25519PrivateKey.generate(), None)
    other = builder.sign(ec.generate_private_key(ec.SECP384R1()), certificates.hashes.SHA384())
    _, request = certificates.certificate_request("mercy")
    der = bytearray(x509.load_pem_x509_csr(request).public_bytes(serialization.Encoding.DER))
    der[-3] ^= 1
    forged = ssl.DER_cert_to_PEM_cert(bytes(der)).replace("CERTIFICATE", "CERTIFICATE REQUEST")
    texts = [one.public_bytes(serialization.Encoding.PEM) for one in (wrong, other)]
    for data in (b"", b"x", forged.encode(), *texts):
        with pytest.raises(DataError):
            certificates.requested(data)


def test_a_pair_that_does_not_belong_together_is_refused(files):
    one, other = AUTHORITY.issue("a", "client"), AUTHORITY.issue("b", "client")
    Certified(one.certificate, other.key).save(files.folder / "mixed.tls")
    with pytest.raises(DataError, match="differ"):
        Certified.load(files.folder / "mixed.tls")
    (files.folder / "mixed.tls").write_text("nothing")
    with pytest.raises(DataError, match="no certificate"):
        Certified.load(files.folder / "mixed.tls")
    with pytest.raises(BadInput, match="cannot be used"):
        server_context(files.folder / "mixed.tls", files.root)
    with pytest.raises(BadInput, match="root certificate"):
        client_context(files.folder / "absent.pem")
