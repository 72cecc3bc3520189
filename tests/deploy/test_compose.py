"""docker-compose.yml and the image, held against what they promise; no Docker is needed."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from aegis.cli.app import app
from aegis.plan import ENVIRONMENT

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
HEALTH = ROOT / "deploy" / "health.py"
# what Compose 2.0 knows of a service and these files use; later ones (develop, provider, include,
# depends_on.restart, healthcheck.start_interval, env_file as a map) are not among them
KNOWN = {
    *("build", "cap_drop", "command", "deploy", "environment", "healthcheck", "image", "init"),
    *("logging", "ports", "read_only", "restart", "security_opt", "tmpfs", "user", "volumes"),
}


def default(text):
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(text))


def test_it_is_one_coordinator_and_five_hospitals_with_the_values_of_the_document():
    assert set(SERVICES) == {"coordinator", "hospital"}
    assert SERVICES["hospital"]["deploy"]["replicas"] == 5
    said = {
        key: default(value)
        for service in SERVICES.values()
        for key, value in service["environment"].items()
    }
    assert said == {
        "AEGIS_ROAD": "xmpp",
        "XMPP_SERVER": "",
        "MIN_AGENTS": "5",
        "DP_EPSILON": "1.0",
        "DP_CLIP_NORM": "1.0",
        "USE_SPARK": "false",
    }
    assert set(re.findall(r"\$\{(\w+)", TEXT)) == set(said) <= set(ENVIRONMENT)


def test_8081_and_5000_are_published_to_this_machine_alone():
    assert SERVICES["coordinator"]["ports"] == ["127.0.0.1:8081:8081", "127.0.0.1:5000:8081"]
    assert "ports" not in SERVICES["hospital"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_uses_nothing_newer_than_compose_2_0(name):
    service = SERVICES[name]
    assert set(COMPOSE) == {"x-hardened", "services", "volumes"}
    assert set(service) <= KNOWN
    assert set(service["healthcheck"]) == {"test", "interval", "timeout", "retries", "start_period"}
    assert set(service["build"]) <= {"context", "dockerfile", "target", "args"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_be_scaled_and_holds_no_more_rights_than_it_needs(name):
    service = SERVICES[name]
    assert "container_name" not in service
    assert "hostname" not in service
    assert service["read_only"] is True
    assert service["user"] == "10001:10001"
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [mount.split(":")[0] for mount in service["tmpfs"]] == ["/tmp"]
    assert all(volume.split(":")[0] in COMPOSE["volumes"] for volume in service["volumes"])


def test_the_coordinator_cannot_see_a_hospitals_volume_nor_they_its_own():
    mounted = {
        name: {volume.split(":")[0] for volume in service["volumes"]}
        for name, service in SERVICES.items()
    }
    assert mounted["coordinator"] & mounted["hospital"] == {"letterbox"}


@pytest.mark.parametrize("name", SERVICES)
def test_the_command_of_a_service_is_one_that_aegis_knows(name):
    words = list(SERVICES[name]["command"])
    command = get_command(app)
    while words and not words[0].startswith("--"):
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.split("=")[0] for word in words} <= known


def test_the_images_run_as_the_user_of_the_compose_file_and_hold_no_secret():
    assert DOCKERFILE.count("\nUSER 10001:10001\n") == 2
    assert DOCKERFILE.count("\nHEALTHCHECK ") == 2
    assert "--uid 10001 --gid 10001" in DOCKERFILE
    targets = re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, flags=re.MULTILINE)
    assert {service["build"]["target"] for service in SERVICES.values()} <= set(targets)
    for text in (DOCKERFILE, TEXT):
        assert not re.search(r"passphrase|password|secret_key|token", text, flags=re.IGNORECASE)
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, flags=re.MULTILINE)
    let_in = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in let_in
    for path in " ".join(copied).split():
        assert (ROOT / path).exists()
        assert f"!{path}" in let_in
    kept = {line[1:] for line in let_in if line.startswith("!")}
    assert not any(path in kept for path in (".env", ".git", "deploy", "aegis-data"))


def test_every_mount_is_made_in_the_image_for_its_user():
    made = re.search(r"install -d -o aegis -g aegis -m 0700 (.+)", DOCKERFILE)[1].split()
    for service in SERVICES.values():
        assert {volume.split(":")[1] for volume in service["volumes"]} == set(made)


def _health(*words, home=None):
    env = {"PATH": os.environ["PATH"], "AEGIS_HOME": str(home)}
    return subprocess.run([sys.executable, HEALTH, *words], env=env, capture_output=True, text=True)


def test_a_hospital_is_well_while_its_line_stands(tmp_path):
    line = tmp_path / "line"
    assert _health("hospital", str(line)).returncode == 1
    line.write_text("connected")
    assert _health("hospital", str(line)).returncode == 0
    line.write_text("the coordinator cannot be reached")
    ill = _health("hospital", str(line))
    assert (ill.returncode, ill.stdout) == (1, "the coordinator cannot be reached\n")
    assert _health("pharmacy", str(line)).returncode == 1
    assert _health().returncode == 1


def test_a_coordinator_is_well_when_it_answers_with_its_own_certificate(tmp_path):
    from fastapi import FastAPI

    from aegis.console.listening import Listening
    from aegis.operations.coordinator.office import Office
    from aegis.store.home import Home

    app = FastAPI()
    app.get("/health")(lambda: {"status": "ok"})
    mine, other = (Office(Home(tmp_path / name)).open(name) for name in ("mine", "other"))
    with Listening(app, "0.0.0.0", 0, mine.trust) as listening:
        assert _health("coordinator", str(listening.port), home=mine.home.root).returncode == 0
        strange = _health("coordinator", str(listening.port), home=other.home.root)
    assert strange.returncode == 1
    assert "certificate" in strange.stdout.lower()
    assert _health("coordinator", "1", home=mine.home.root).returncode == 1


@pytest.mark.engine
def test_the_services_as_processes_come_up_in_any_order_and_complete_a_run(tmp_path):
    """The compose file's own commands with two hospitals, on its own road where that is here."""
    xmpp = importlib.util.find_spec("spade") and shutil.which("prosody")
    if not xmpp:
        pytest.importorskip("flwr")
    road = "xmpp" if xmpp else "flower"
    plan = tmp_path / "plan.yaml"
    short = "trust: open\nevaluation: {every: 0}\ntraining: {solver: newton, l2: 1.0}\n"
    plan.write_text((ROOT / "examples" / "s4.yaml").read_text() + short)
    env = {**os.environ, "MIN_AGENTS": "2", "DP_EPSILON": "0", "OMP_NUM_THREADS": "1"}
    script = ROOT / "deploy" / "run_processes.py"
    words = ["--transport", road, "--hospitals", "2", "--plan", str(plan), "--within", "300"]
    done = subprocess.run(
        [sys.executable, script, *words], env=env, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = yaml.safe_load(done.stdout)
    assert found["status"] == "completed"
    assert found["road"] == road
    assert found["hospitals"] == ["hospital_01", "hospital_02"]
    assert found["audit_log"] is True
