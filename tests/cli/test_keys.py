"""``aegis keys`` and ``aegis ca`` as they are typed."""

import json
import stat
from pathlib import Path

import pytest

from aegis.cli.app import run_command
from aegis.identity import certificates, pkcs8
from aegis.identity.keyfile import Keys
from aegis.identity.membership import Membership
from aegis.states import Registration
from aegis.store.audit_log import AuditLog
from aegis.store.checkpoint import OWN
from aegis.store.home import Home
from aegis.store.journal import Journal

ROOT = Path(__file__).parents[2]


@pytest.fixture
def homes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pkcs8, "N", 2**8)
    monkeypatch.delenv("AEGIS_KEY_PASSPHRASE", raising=False)
    monkeypatch.chdir(tmp_path)

    def call(home, *words):
        monkeypatch.setenv("AEGIS_HOME", str(tmp_path / home))
        code = run_command([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, json.loads(out) if "--json" in words else out, err

    call.root = tmp_path
    return call


def made(homes, home="hospital", name="mercy", *words):
    code, document, _ = homes(home, "keys", "generate", name, *words, "--json")
    assert code == 0
    return document


def test_generated_keys_are_told_by_their_fingerprint_and_lie_safely(homes):
    document = made(homes)
    path = homes.root / "hospital" / "keys" / "mercy.key"
    assert (document["status"], document["file"]) == ("generated", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    code, out, _ = homes("hospital", "keys", "list")
    assert code == 0
    assert document["fingerprint"] in out
    code, document, err = homes("hospital", "keys", "generate", "mercy", "--json")
    assert code == 2
    assert document["error"]["way_out"].endswith("add --force to give the old key up")
    assert "--force" in err
    assert made(homes, "hospital", "mercy", "--force")["fingerprint"]
    assert made(homes, "hospital", "quantum", "--hybrid")["sealing"] == "mlkem768x25519"


def test_a_hospital_is_admitted_rotated_and_revoked(homes):
    mercy = made(homes)
    file = mercy["public_file"]
    code, _, err = homes("desk", "keys", "admit", file, "--fingerprint", "0000")
    assert code == 1
    assert "do not admit" in err
    assert not (homes.root / "desk" / "keys").exists()
    words = ("--fingerprint", mercy["fingerprint"], "--federation", "hearts", "--json")
    code, document, _ = homes("desk", "keys", "admit", file, *words)
    assert (code, document["status"]) == (0, "admitted")

    code, rotated, _ = homes("hospital", "keys", "rotate", "mercy", "--json")
    assert (code, rotated["fingerprint_before"]) == (0, mercy["fingerprint"])
    homes("hospital", "keys", "rotate", "mercy")
    code, document, _ = homes("desk", "keys", "rotate", "--accept", file, "--json")
    assert (code, document["status"]) == (0, "rotated")
    code, document, _ = homes("desk", "keys", "rotate", "--accept", file, "--json")
    assert (code, document["status"]) == (0, "unchanged")
    listed = homes("desk", "keys", "list", "--json")[1]
    (at_home,) = homes("hospital", "keys", "list", "--json")[1]["keys"]
    assert listed["members"][0]["fingerprint"] == at_home["fingerprint"]

    reason = ("--reason", "laptop stolen")
    assert homes("desk", "keys", "revoke", "mercy", *reason)[0] == 0
    code, out, _ = homes("desk", "keys", "list")
    assert "REVOKED: laptop stolen" in out
    homes("hospital", "keys", "rotate", "mercy")
    code, _, err = homes("desk", "keys", "rotate", "--accept", file)
    assert code == 1
    assert "revoked" in err

    code, document, _ = homes("desk", "audit", "verify", "--json")
    assert (code, document["verified"]) == (0, True)
    log = AuditLog.reading(Home(homes.root / "desk").audit_log)
    told = [json.loads(entry.data) for entry in log.entries(OWN)]
    log.close()
    changes = [event for event in told if event["event"] == "ConfigChanged"]
    assert [event["what"] for event in changes] == ["members of hearts"] * 3
    assert [one["before_sha256"] for one in changes[1:]] == [
        one["after_sha256"] for one in changes[:-1]
    ]
    keys = Keys(homes.root / "desk" / "keys")
    data = (keys.folder / "federation.json").read_bytes()
    members = Membership.read(data, keys.public("authority").signing)
    assert (members.federation, members.number) == ("hearts", 3)


def test_the_coordinators_own_keys_rotate_in_its_list_at_once(homes):
    desk = made(homes, "desk", "desk")
    words = ("--fingerprint", desk["fingerprint"], "--coordinator")
    assert homes("desk", "keys", "admit", desk["public_file"], *words)[0] == 0
    rotated = homes("desk", "keys", "rotate", "desk", "--json")[1]
    (member,) = homes("desk", "keys", "list", "--json")[1]["members"]
    assert (member["fingerprint"], member["role"]) == (rotated["fingerprint"], "coordinator")


def test_logs_hold_after_the_coordinators_key_was_rotated(homes):
    small = ("federated.num_rounds=1", "federated.num_clients=3", "trust=open")
    plan = [word for setting in small for word in ("--set", setting)]
    run = ("run", ROOT / "examples" / "wisconsin.yaml", *plan, "--json")
    assert homes("desk", *run)[0] == 0
    assert homes("desk", "keys", "rotate", "coordinator")[0] == 0
    code, document, _ = homes("desk", "audit", "verify", "--json")
    assert (code, document["verified"]) == (0, True)
    journal = Journal(Home(homes.root / "desk").database)
    interrupted = journal.runs()[0]
    journal.save(interrupted, Registration(interrupted, ()), [])
    journal.close()
    code, _, err = homes("desk", "keys", "rotate", "coordinator")
    assert code == 2
    assert f"aegis run --resume {interrupted}" in err
    assert homes("desk", "keys", "rotate", "coordinator", "--force")[0] == 0


def test_a_change_of_keys_that_a_crash_kept_from_the_log_is_entered_later(homes):
    home = Home(homes.root / "desk")
    mercy = made(homes)
    assert (
        homes("desk", "keys", "admit", mercy["public_file"], "--fingerprint", mercy["fingerprint"])[
            0
        ]
        == 0
    )
    keys = Keys(home.keys)
    for _ in range(2):
        keys.write(keys.read("coordinator").rotated(1), force=True)
    assert homes("desk", "keys", "revoke", "mercy")[0] == 0
    code, document, _ = homes("desk", "audit", "verify", "--json")
    assert (code, document["verified"]) == (0, True)
    log = AuditLog.reading(home.audit_log)
    told = [json.loads(entry.data)["event"] for entry in log.entries(OWN)]
    log.close()
    assert told == ["RosterFixed", "ConfigChanged", "KeyChanged", "KeyChanged", "ConfigChanged"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("keys", "rotate"), "say whose keys"),
        (("keys", "rotate", "mercy"), "there is no key file"),
        (("keys", "rotate", "authority"), "pinned"),
        (("keys", "revoke", "mercy"), "holds no federation"),
        (("keys", "generate", "../x"), "cannot be the name"),
        (("keys", "admit", "absent.json", "--fingerprint", "x"), "no public identity"),
        (("keys", "generate", "a", "--passphrase-file", "absent"), "cannot be read"),
        (("ca", "list"), "holds no root"),
        (("ca", "issue", "mercy"), "holds no root"),
        (("ca", "issue", "root"), "the authority's own"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line_or_two(homes, words, sentence):
    code, _, err = homes("empty", *words)
    assert code == 2
    assert sentence in err
    assert "Traceback" not in err


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 9999, '{"rotations": 7}', "\x00"])
def test_a_file_that_is_no_public_identity_is_refused(homes, text):
    (homes.root / "x.json").write_text(text)
    code, _, err = homes("desk", "keys", "admit", "x.json", "--fingerprint", "x")
    assert code == 2
    assert "no public identity" in err


def test_a_locked_key_needs_its_passphrase(homes, monkeypatch):
    (homes.root / "secret").write_text("a b c\n")
    document = made(homes, "hospital", "mercy", "--passphrase-file", "secret")
    assert document["locked"]
    code, _, err = homes("hospital", "keys", "rotate", "mercy")
    assert code == 2
    assert "AEGIS_KEY_PASSPHRASE" in err
    monkeypatch.setenv("AEGIS_KEY_PASSPHRASE", "a b c")
    assert homes("hospital", "keys", "rotate", "mercy", "--json")[1]["locked"]
    (homes.root / "secret").write_text("\n")
    assert homes("hospital", "keys", "generate", "x", "--passphrase-file", "secret")[0] == 2


def test_the_doctor_names_a_key_that_others_can_read(homes):
    path = made(homes)["file"]
    assert homes("hospital", "doctor")[0] == 0
    (homes.root / "hospital" / "keys" / "mercy.key").chmod(0o644)
    code, document, _ = homes("hospital", "doctor", "--json")
    assert code == 1
    (found,) = [check["found"] for check in document["checks"] if not check["ok"]]
    assert f"chmod 600 {path}" in found
    listed = homes("hospital", "keys", "list", "--json")[1]["keys"]
    assert "chmod 600" in listed[0]["error"]


def test_a_federation_has_its_own_certificates(homes):
    assert homes("desk", "ca", "create", "hearts")[0] == 0
    assert homes("desk", "ca", "create", "hearts")[0] == 2  # never by chance
    code, document, _ = homes("desk", "ca", "issue", "desk", "--host", "aegis.example", "--json")
    assert (code, document["usage"], document["hosts"]) == (0, "server", ["aegis.example"])
    assert homes("desk", "ca", "issue", "mercy")[0] == 0
    code, out, _ = homes("desk", "ca", "list")
    assert [line.split()[0] for line in out.splitlines()] == ["root", "desk", "mercy"]
    assert homes("desk", "ca", "renew", "--json")[1] == {"renewed": []}


def test_a_certificate_that_is_due_is_renewed_with_the_same_names(homes):
    homes("desk", "ca", "create", "hearts")
    folder = homes.root / "desk" / "tls"
    authority = certificates.Authority(certificates.Certified.load(folder / "root.tls"))
    authority.issue("desk", "server", ["a.example"], days=0).save(folder / "desk.tls")
    assert homes("desk", "ca", "list", "--json")[1]["certificates"][1]["due"]
    assert homes("desk", "ca", "renew", "--json")[1] == {"renewed": ["desk"]}
    (_, row) = homes("desk", "ca", "list", "--json")[1]["certificates"]
    assert (row["due"], row["hosts"], row["usage"]) == (False, ["a.example"], "server")


def test_a_request_gets_a_certificate_and_the_key_stays_where_it_was_made(homes):
    homes("desk", "ca", "create", "hearts")
    key, request = certificates.certificate_request("mercy")
    (homes.root / "mercy.csr").write_bytes(request)
    code, document, _ = homes("desk", "ca", "issue", "mercy", "--request", "mercy.csr", "--json")
    assert code == 0
    issued = certificates.x509.load_pem_x509_certificate(
        (homes.root / "desk" / "tls" / "mercy.pem").read_bytes()
    )
    assert issued.public_key() == key.public_key()
    assert document["fingerprint"] == certificates.fingerprint(issued)
    assert not (homes.root / "desk" / "tls" / "mercy.tls").exists()
    (homes.root / "mercy.csr").write_text("nothing")
    assert homes("desk", "ca", "issue", "mercy", "--request", "mercy.csr")[0] == 2
