"""The examples of the API's description, made anew: python -m tools.console_examples

They are the answers of one short run of simulated hospitals on public data. Long lists are cut
after two entries, so that an example can be read.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import httpx

from aegis.console.coordinator.opening import coordinator_window
from aegis.console.coordinator.runs import steering
from aegis.plan import load_plan
from aegis.simulation import local
from aegis.store.home import Home

FILE = Path(__file__).parents[1] / "src/aegis/console/coordinator/api/examples.json"
TOKEN = "a-token-of-this-machine"
MOST, SHALLOW = 2, 2
PLAN = {
    "task": "breast_cancer",
    "federated.num_clients": "3",
    "federated.num_rounds": "3",
    "training.solver": "gradient",
    "training.learning_rate": "2.0",
    "privacy.enabled": "false",
}
QUERIES = ("/api/data", "/api/metrics", "/api/state", "/api/models", "/api/training/status",
           "/api/training/logs", "/api/training/config", "/api/training/round_history",
           "/metrics", "/health", "/api/results/{run}")  # fmt: skip
# What is asked by POST; those without an answer here need hospitals that are connected.
ASKED: dict[str, dict[str, Any]] = {
    "/api/training/config": {"num_rounds": 3, "federated": {"num_clients": 3}},
    "/api/training/start": {"num_rounds": 3, "num_clients": 3},
    "/api/training/reset": {"clear_results": False},
    "/api/control": {"command": "start", "max_rounds": 3, "task": "breast_cancer"},
}
REQUESTS_ONLY: dict[str, dict[str, Any]] = {
    "/api/query": {
        "plan": {"task": "heart"},
        "kind": "histogram",
        "columns": ["age"],
        "bins": 5,
        "where": "sex = male",
        "epsilon": 0.1,
    },
    "/api/token": {"name": "ana", "password": "four words nobody guesses"},
}


def main() -> None:
    found: dict[str, Any] = {
        f"POST {path}": {"request": request} for path, request in REQUESTS_ONLY.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "data")
        run = local.run(load_plan(None, PLAN).plan, home=home.root, audit=False).document["run"]
        steering.start = lambda *said: run  # type: ignore[assignment]  # it has run already
        with coordinator_window(home, token=TOKEN) as window:
            for path in QUERIES:
                answer = _asked(window, "GET", path.replace("{run}", run))
                found[f"GET {path}"] = {"response": _cut(answer)}
            for path, request in ASKED.items():
                answer = _asked(window, "POST", path, request)
                found[f"POST {path}"] = {"request": request, "response": _cut(answer)}
    text = json.dumps(found, indent=1, sort_keys=True).replace(folder, "/srv/aegis")
    FILE.write_text(text + "\n", encoding="utf-8")


def _asked(window: Any, method: str, path: str, body: Any = None) -> Any:
    async def send() -> httpx.Response:
        road = httpx.ASGITransport(window)
        async with httpx.AsyncClient(transport=road, base_url="http://localhost") as client:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            return await client.request(method, path, json=body, headers=headers)

    answer = asyncio.run(send())
    assert answer.status_code == 200, (path, answer.text)
    return answer.json() if "json" in answer.headers["content-type"] else answer.text


def _cut(value: Any, depth: int = 0) -> Any:
    if isinstance(value, dict):
        kept = value if depth < SHALLOW else dict(list(value.items())[:8])
        return {key: _cut(one, depth + 1) for key, one in kept.items()}
    if isinstance(value, list):
        return [_cut(one, depth + 1) for one in value[:MOST]]
    return value


if __name__ == "__main__":
    main()
