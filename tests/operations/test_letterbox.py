"""Enrolling by the letterbox: a folder stands in for two people at a telephone."""

from __future__ import annotations

import json
import threading
import time

import pytest

from aegis.console.listening import Listening
from aegis.errors import BadInput
from aegis.identity.identity import Identity
from aegis.operations.coordinator.porter import Porter
from aegis.operations.hospital import replica
from aegis.operations.hospital.federation import Federation
from aegis.operations.hospital.folder import Registered
from aegis.operations.letterbox import Letterbox
from tests.operations.here import Here

SHARE = Registered("breast_cancer", share="1/*")
WHERE = "127.0.0.2"  # loopback that is not called so: TLS is spoken, as between machines


class Scene:
    def __init__(self, here, tmp_path):
        self.here, self.box = here, Letterbox(tmp_path / "letterbox").open()
        self.hospitals = tmp_path / "hospitals"
        self.stop = threading.Event()
        self.heard = []
        here.office.open("test", [WHERE])
        app = here.window("token")
        self.listening = Listening(app, "0.0.0.0", 0, here.office.trust)
        self.porter = Porter(self.box, here.coordinator.desk, f"{WHERE}:{self.listening.port}")

    def enrol(self, folder):
        """The hospital in a thread, the porter here, until it has joined."""
        thread = threading.Thread(
            target=replica.enrol, args=(folder, self.box, self.stop, None, self.heard.append)
        )
        thread.start()
        end = time.monotonic() + 20
        while thread.is_alive() and time.monotonic() < end:
            self.porter.look()
            time.sleep(0.05)
        self.stop.set()
        thread.join(5)
        return (folder.federation / "federation.json").exists()


@pytest.fixture
def scene(tmp_path, monkeypatch):
    monkeypatch.setattr("aegis.operations.hospital.joining.ASK_EVERY_S", 0.1)
    monkeypatch.setattr(replica, "LOOK_S", 0.05)
    here = Here(tmp_path)
    with here.coordinator:
        found = Scene(here, tmp_path)
        with found.listening:
            yield found


def test_a_hospital_joins_over_tls_with_nobody_at_the_telephone(scene):
    with replica.place(scene.hospitals) as (_, folder):
        replica.furnish(folder, SHARE, {})
        assert scene.enrol(folder)
    assert Federation.load(folder.federation).name == "test"
    assert scene.here.office.hospitals() == ("hospital_01",)
    assert list(scene.box.folder.iterdir()) == []  # no code is left lying about


def test_other_keys_than_those_of_the_letter_wait_for_a_person(scene):
    """Somebody took the code out of the letterbox, and comes with keys of his own."""
    with replica.place(scene.hospitals) as (_, folder):
        replica.furnish(folder, SHARE, {})
    scene.box.post(Identity.generate("hospital_01").public)
    scene.porter.look()
    from aegis.operations.hospital.joining import join

    code = scene.box.code("hospital_01")
    refused = []

    def rest(seconds):
        scene.porter.look()
        refused.append(scene.here.coordinator.desk.waiting())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        join(folder, folder.identity(), code, rest=rest)
    assert [one.name for one in refused[0]] == ["hospital_01"]
    assert scene.here.office.hospitals() == ()


def test_a_member_that_lost_its_welcome_fetches_it_again(scene):
    with replica.place(scene.hospitals) as (_, folder):
        replica.furnish(folder, SHARE, {})
        assert scene.enrol(folder)
        (folder.federation / "federation.json").unlink()
        scene.stop.clear()
        assert scene.enrol(folder)


def test_a_name_that_is_taken_gets_no_code(scene, caplog):
    with replica.place(scene.hospitals) as (_, folder):
        replica.furnish(folder, SHARE, {})
        assert scene.enrol(folder)
    scene.box.post(Identity.generate("hospital_01").public)
    assert scene.porter.look() == scene.porter.look() == []
    assert scene.box.code("hospital_01") is None
    assert [r.message for r in caplog.records if "member already" in r.message] == [
        caplog.records[-1].message
    ]


def test_a_code_that_went_stale_is_replaced(scene):
    scene.box.post(Identity.generate("hospital_09").public)
    scene.porter.look()
    first = scene.box.code("hospital_09")
    scene.porter.look()
    assert scene.box.code("hospital_09") == first
    late = Porter(scene.box, scene.here.coordinator.desk, "x:1", lambda: time.time() + 901)
    late.look()
    assert scene.box.code("hospital_09") != first


def test_spoilt_letters_are_nobodys(tmp_path):
    box = Letterbox(tmp_path / "box").open()
    for name, text in {
        "a": "{",
        "b": json.dumps({"name": "c", "fingerprint": "x"}),
        "d": json.dumps({"name": "../d", "fingerprint": "x"}),
        "e": json.dumps([]),
        "f": " " * 5000,
    }.items():
        path = box.folder / f"{name}.letter"
        path.write_text(text)
        path.chmod(0o600)
    (box.folder / "g.letter").symlink_to("/etc/passwd")
    assert box.letters() == []


def test_a_letterbox_that_others_may_open_is_refused(tmp_path):
    folder = tmp_path / "box"
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(BadInput, match="chmod 700"):
        Letterbox(folder).open()


def test_each_replica_takes_a_place_of_its_own_and_finds_it_again(tmp_path):
    with replica.place(tmp_path) as (one, first), replica.place(tmp_path) as (two, second):
        assert (one, first.name, two, second.name) == (1, "hospital_01", 2, "hospital_02")
    with replica.place(tmp_path) as (again, found):
        assert (again, found.root) == (1, first.root)


def test_what_the_environment_says_of_noise_the_policy_says(tmp_path):
    with replica.place(tmp_path) as (_, folder):
        replica.furnish(folder, SHARE, {"DP_EPSILON": "1.0"})
        identity = folder.identity().public.fingerprint
        assert "epsilon_per_run = 1.0" in folder.policy.read_text()
        assert '"none"' not in folder.policy.read_text()
        replica.furnish(folder, SHARE, {"DP_EPSILON": "0"})
        assert '"none"' in folder.policy.read_text()
        assert folder.identity().public.fingerprint == identity
    for said in ("much", "-1", "nan"):
        with pytest.raises(BadInput, match="DP_EPSILON"):
            replica.policy_of({"DP_EPSILON": said})


def test_replicas_hold_public_data_only(tmp_path):
    with replica.place(tmp_path) as (_, folder), pytest.raises(BadInput, match="public data"):
        replica.furnish(folder, Registered("breast_cancer", path="rows.csv"), {})


def test_a_share_beyond_the_plan_is_refused_in_words_that_say_so():
    from aegis.errors import DataError
    from aegis.operations.hospital.rows import site
    from aegis.plan import load_plan

    plan = load_plan(None, {"task": "breast_cancer", "federated.num_clients": "5"}).plan
    assert len(site("a", Registered("breast_cancer", share="5/*"), plan).train)
    with pytest.raises(DataError, match=r"federated.num_clients=6"):
        site("a", Registered("breast_cancer", share="6/*"), plan)


def test_s3s_flags_make_a_hospital_and_let_it_join_in_one_command(scene, monkeypatch, capsys):
    """It then looks for its road, which is a queue here and no engine."""
    from aegis.cli.app import run_command

    monkeypatch.setenv("AEGIS_HOME", str(scene.hospitals))
    where = f"{WHERE}:{scene.listening.port}"
    code = scene.here.coordinator.desk.invite("hospital_1", where, trusted=True)
    words = ["--client_id", "hospital_1", "--server_url", f"https://{where}"]
    words += ["--model_type", "breast_cancer", "--api_key", code.text]
    assert run_command(["hospital", "serve", *words]) == 2
    assert "'queues' is no road" in capsys.readouterr().err
    assert scene.here.office.hospitals() == ("hospital_1",)
    assert run_command(["hospital", "serve", "--client_id", "b", "--server_url", "ftp://a"]) == 2
    assert "xmpp://HOST" in capsys.readouterr().err
