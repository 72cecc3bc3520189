"""``aegis doctor`` on the way to a coordinator and on a hospital: each fault, and its way out."""

from __future__ import annotations

import json
import socket
import time

import pytest
from fastapi import FastAPI

from aegis import __version__
from aegis.cli.app import run_command
from aegis.console.listening import Listening
from aegis.errors import BadInput
from aegis.identity.identity import Identity
from aegis.operations.connection import Place, connection, proxies, reachable
from aegis.operations.coordinator.office import Office
from aegis.operations.hospital.checks import checks
from aegis.operations.hospital.federation import Federation
from aegis.operations.hospital.folder import Registered, init, policy_text
from aegis.operations.hospital.policies import for_public_data, strict
from aegis.store.home import Home
from tests.operations.here import Here

WHERE = "127.0.0.2"  # loopback that is not called so: TLS is spoken, as between machines


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class Scene:
    """A coordinator behind a real port with TLS, and one hospital that joined it."""

    def __init__(self, tmp_path):
        self.tmp_path, self.here = tmp_path, Here(tmp_path)
        self.office = self.here.office.open("test", [WHERE])
        self.root = self.office.tls / "root.pem"

    def listen(self, app=None, office=None):
        trust = (office or self.office).trust
        return Listening(app or self.here.window("token"), "0.0.0.0", 0, trust)

    def hospital(self, port, data=None, policy=None):
        folder = self.here.make(
            "north", data or Registered("breast_cancer", share="1/2"), policy or for_public_data()
        )
        known = Federation.load(folder.federation)
        joined = Federation(
            known.folder, known.name, known.authority, {"road": "queues"}, f"{WHERE}:{port}"
        )
        own = self.office.authority.issue("north", "client", ()).to_pem()
        members = (self.office.registrar.folder / "federation.json").read_bytes()
        joined.save(self.root.read_bytes(), members, own)
        return folder


@pytest.fixture
def scene(tmp_path):
    found = Scene(tmp_path)
    with found.here.coordinator:
        yield found


def ill(found):
    (check,) = [one for one in found if not one.ok]
    assert check.way_out
    return check


def names(found):
    return [one.name for one in found]


def test_a_coordinator_that_is_well_passes_every_step(scene):
    with scene.listen() as listening:
        place = Place.of(f"https://{WHERE}:{listening.port}", scene.root)
        found = connection(place)
    assert all(one.ok for one in found)
    steps = ["Proxy", "DNS", "Port", "TLS", "Coordinator", "Versions", "Clock"]
    assert names(found) == steps
    assert "good for 89 days" in found[3].found or "good for 90 days" in found[3].found


def test_a_name_without_an_address_is_named():
    found = connection(Place.of("https://coordinator.invalid:8081"))
    assert ill(found).name == "DNS"
    assert "coordinator.invalid" in found[-1].found


def test_a_port_where_nothing_listens_is_told_from_one_that_stays_silent(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    refused = ill(connection(Place.of(f"http://127.0.0.1:{port}")))
    assert (refused.name, "refuses" in refused.found) == ("Port", True)

    def silent(*_):
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", silent)
    dropped = ill(reachable("Road's port", "127.0.0.1", port))
    assert "firewall" in dropped.way_out


def test_another_root_is_refused_and_named(scene, tmp_path):
    other = Office(Home(tmp_path / "other")).open("other", [WHERE])
    with scene.listen() as listening:
        url = f"https://{WHERE}:{listening.port}"
        check = ill(connection(Place.of(url, other.tls / "root.pem")))
    assert check.name == "TLS"
    assert "another federation" in check.way_out


def test_a_certificate_without_the_hosts_name_says_how_to_give_it_one(scene):
    with scene.listen() as listening:
        check = ill(connection(Place.of(f"https://127.0.0.3:{listening.port}", scene.root)))
    assert check.name == "TLS"
    assert "--public-host 127.0.0.3" in check.way_out


def test_a_port_without_tls_is_no_mystery(scene):
    with Listening(FastAPI(), "127.0.0.1", 0, None) as listening:
        check = ill(connection(Place.of(f"https://{WHERE}:{listening.port}", scene.root)))
        assert check.name in ("TLS", "Port")  # 127.0.0.2 is another interface for this server
        check = ill(connection(Place.of(f"https://localhost:{listening.port}", scene.root)))
    assert check.name == "TLS"
    assert "http://" in check.way_out


def test_something_else_that_answers_is_no_coordinator():
    with Listening(FastAPI(), "127.0.0.1", 0, None) as listening:
        check = ill(connection(Place.of(f"http://127.0.0.1:{listening.port}")))
    assert check.name == "Coordinator"


def fake(version=__version__, ahead=0.0, authority="aa"):
    app = FastAPI()
    app.get("/health")(lambda: {"status": "ok", "aegis": version, "time": time.time() + ahead})
    app.get("/api/federation")(lambda: {"name": "test", "road": "flower", "authority": authority})
    return app


@pytest.mark.parametrize(
    ("app", "name", "said"),
    [
        (fake(ahead=3600), "Clock", "s behind"),
        (fake(ahead=-3600), "Clock", "s ahead of"),
        (fake(version="9.4.1"), "Versions", "9.4.1 there"),
        (fake(authority="bb"), "Coordinator", "another federation"),
    ],
)
def test_clock_version_and_federation_are_held_against_the_coordinators(app, name, said):
    with Listening(app, "127.0.0.1", 0, None) as listening:
        place = Place.of(f"http://127.0.0.1:{listening.port}", authority="aa")
        found = connection(place)
    check = next(one for one in found if not one.ok)
    assert check.name == name
    assert said in check.found
    assert check.way_out


def test_a_minute_of_difference_is_forgiven():
    with Listening(fake(ahead=50), "127.0.0.1", 0, None) as listening:
        found = connection(Place.of(f"http://127.0.0.1:{listening.port}"))
    assert all(one.ok for one in found)
    assert found[-1].found.endswith("behind the coordinator's")


def test_a_proxy_is_mentioned_and_its_password_is_not(monkeypatch):
    assert proxies("example.org").found == "none for example.org"
    monkeypatch.setenv("HTTPS_PROXY", "http://ada:secret@proxy:3128")
    check = proxies("example.org")
    assert "https_proxy" in check.found
    assert "secret" not in str(check)
    monkeypatch.setenv("NO_PROXY", "example.org")
    assert proxies("example.org").found == "none for example.org"


@pytest.mark.parametrize("url", ["ftp://a:1", "https://", "https://a:1/path", "a:1", "http://a:x"])
def test_what_is_no_address_of_a_coordinator_is_refused(url):
    with pytest.raises(BadInput):
        Place.of(url)


def test_a_hospital_that_is_well_passes_with_its_rows_schema_and_federation(scene):
    with scene.listen() as listening:
        folder = scene.hospital(listening.port)
        found = checks(folder)
    assert [one for one in found if not one.ok] == []
    said = {one.name: one.found for one in found}
    assert "569 rows" in said["Data"]
    assert "30 columns" in said["Schema"]
    assert said["Federation"].startswith("test, ")
    assert "Clock" in said


def test_each_fault_of_a_hospital_is_told_by_itself(scene, tmp_path):
    path = tmp_path / "rows.csv"
    data = Registered("breast_cancer", path=str(path))
    folder = scene.hospital(1, data, strict("breast_cancer"))
    with folder.policy.open("a") as file:
        file.write("# changed\n")
    found = {one.name: one for one in checks(folder)}
    assert not found["Policy"].ok
    assert "policy sign" in found["Policy"].way_out
    assert not found["Data"].ok
    assert "rows.csv" in found["Data"].found
    assert not found["Port"].ok
    assert found["Key"].ok
    (folder.federation / "federation.json").unlink()
    (folder.keys.folder / "north.key").chmod(0o644)
    found = {one.name: one for one in checks(folder)}
    assert "join code" in found["Federation"].found
    assert not found["Key"].ok


def test_a_table_whose_columns_nobody_else_knows_is_for_no_road(scene, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("age,ill\n" + "".join(f"{40 + n % 17},{n % 2}\n" for n in range(30)))
    data = Registered("table", path=str(path), label="ill", positive="1")
    found = {one.name: one for one in checks(scene.hospital(1, data, strict("table")))}
    assert found["Data"].ok
    assert not found["Schema"].ok
    assert "no coordinator takes task table" in found["Schema"].found
    assert "federation.md" in found["Schema"].way_out


def test_a_folder_that_is_no_hospital_says_how_to_make_one(tmp_path):
    from aegis.operations.hospital.folder import HospitalFolder

    (check,) = checks(HospitalFolder(tmp_path / "nobody", "nobody"))
    assert "aegis hospital init" in check.way_out


def test_the_command_exits_1_with_every_reason_and_0_when_all_is_well(scene, monkeypatch, capsys):
    monkeypatch.setenv("AEGIS_HOME", str(scene.tmp_path / "coordinator"))
    monkeypatch.delenv("AEGIS_DATA_DIR", raising=False)
    with scene.listen() as listening:
        folder = scene.hospital(listening.port)
        url = f"https://{WHERE}:{listening.port}"
        words = ["doctor", "--hospital", "north", "--home", str(folder.root)]
        assert run_command([*words, "--coordinator", url, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["healthy"]
        assert run_command(["doctor", "--coordinator", url]) == 0
        assert "TLS" in capsys.readouterr().out
    assert run_command(words) == 1
    out = capsys.readouterr().out
    assert "FAIL  Port" in out
    assert "is the coordinator running?" in out
    assert run_command(["doctor", "--coordinator", "nonsense"]) == 2


def test_keys_of_a_demonstration_are_there(tmp_path):
    from aegis.operations.hospital.folder import HospitalFolder

    folder = HospitalFolder(tmp_path / "a", "a")
    init(folder, Registered("breast_cancer", share="1/2"), policy_text("a", for_public_data()))
    (folder.keys.folder / "a.key").unlink()
    folder.keys.write(Identity.generate("b"), None)
    found = {one.name: one for one in checks(folder)}
    assert not found["Key"].ok
    assert "another hospital" in found["Key"].way_out
