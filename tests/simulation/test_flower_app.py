"""A plan over a Flower grid ends with the model that it has in one process."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("flwr")

from flwr.app import Context, RecordDict

from aegis.errors import RunAborted
from aegis.plan import load_plan
from aegis.simulation import flower_app
from aegis.simulation.local import run
from aegis.transport.flower import compat

PLAN = """\
task: breast_cancer
trust: masked
federated: {num_clients: 3, num_rounds: 2}
training: {learning_rate: 0.1}
"""


class Grid:
    """A grid in this process: each message goes to the ClientApp's function at once, as a copy."""

    def __init__(self, nodes: int) -> None:
        self._nodes = nodes
        self._replies: dict[str, object] = {}
        self.carried: list[bytes] = []

    def get_node_ids(self):
        return list(range(100, 100 + self._nodes))

    def push_messages(self, messages):
        numbers = []
        for message in messages:
            message.metadata.__dict__["_message_id"] = number = str(len(self.carried))
            proto = compat.message_to_proto(message).SerializeToString()
            self.carried.append(proto)
            copy = compat.message_from_proto(
                type(compat.message_to_proto(message)).FromString(proto)
            )
            self._replies[number] = flower_app.hand_over(copy, None)
            numbers.append(number)
        return numbers

    def pull_messages(self, numbers):
        return [self._replies.pop(number) for number in numbers if number in self._replies]


@pytest.fixture(autouse=True)
def task(monkeypatch):
    """The identity that Flower gives to the process of a task."""
    from flwr.supercore.task_identity import TaskIdentity

    for name in ("_run_id", "_task_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


def _context(folder: Path) -> Context:
    config = {"plan": str(folder / "plan.yaml"), "home": str(folder / "home"), "data-dir": ""}
    return Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=config)


def test_the_model_over_a_grid_is_the_model_in_one_process(tmp_path, capsys) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    grid = Grid(3)
    flower_app.main(grid, _context(tmp_path))
    said = capsys.readouterr().out
    plan = load_plan(tmp_path / "plan.yaml").plan
    here = run(plan, home=tmp_path / "here", compare=False, files=False, audit=False)
    assert f"model_sha256 {here.model_sha256}" in said
    assert grid.carried
    assert not any(b"weights" in message for message in grid.carried)


def test_too_few_simulated_nodes_are_named(tmp_path, monkeypatch) -> None:
    from aegis.transport.flower import grid_carrier

    places = {"a": tmp_path / "a", "b": tmp_path / "b"}
    with pytest.raises(RunAborted, match=r"1 nodes for 2 hospitals.*num-supernodes=2"):
        grid_carrier.GridCarrier(Grid(1), places, wait_s=0.1)


def test_the_projects_file_names_both_apps() -> None:
    import tomllib

    root = Path(__file__).parents[2]
    found = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    for component, name in (("serverapp", "server"), ("clientapp", "client")):
        assert found["components"][component] == f"aegis.simulation.flower_app:{name}"
        assert hasattr(flower_app, name)
    assert found["config"].keys() == {"plan", "home", "data-dir"}
