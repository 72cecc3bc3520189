"""The dashboard and the alerts ask for metrics that the coordinator has, and for no others."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

pytest.importorskip("fastapi", reason="the consoles need the extra serve")
from aegis.console.coordinator.api.exposition import METRICS, STATUS

DEPLOY = Path(__file__).parents[2] / "deploy"
BOARD = json.loads((DEPLOY / "grafana" / "aegis.json").read_text(encoding="utf-8"))
ALERTS = (DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
NAMES = {name for name, _, _ in METRICS}


def test_the_dashboard_shows_every_metric_and_invents_none():
    asked = " ".join(one["expr"] for panel in BOARD["panels"] for one in panel["targets"])
    assert set(re.findall(r"federation_\w+", asked)) == NAMES
    assert set(re.findall(r"federation_\w+", ALERTS)) <= NAMES


def test_the_dashboard_can_be_imported_into_any_grafana():
    sources = {json.dumps(panel["datasource"]) for panel in BOARD["panels"]}
    assert sources == {json.dumps({"type": "prometheus", "uid": "${datasource}"})}
    assert "id" not in BOARD
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    taken = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_each_status_has_its_word():
    [panel] = [one for one in BOARD["panels"] if one["title"] == "Run"]
    words = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    assert {name: int(code) for code, said in words.items() for name in [said["text"]]} == STATUS
    assert min(code for name, code in STATUS.items() if name in ("aborted", "failed")) == 6


def test_the_scraper_proves_the_coordinator_and_names_no_secret():
    document = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    [job] = document["scrape_configs"]
    assert (job["scheme"], job["metrics_path"]) == ("https", "/metrics")
    assert set(job["authorization"]) == {"credentials_file"}
    assert set(job["tls_config"]) == {"ca_file"}
    yaml.safe_load(ALERTS)


@pytest.mark.engine
def test_prometheus_itself_takes_the_rules():
    if shutil.which("promtool") is None:
        pytest.skip("no promtool here: apt-get install prometheus")
    words = ["promtool", "check", "rules", str(DEPLOY / "prometheus" / "alerts.yml")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
