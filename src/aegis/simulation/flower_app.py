"""``flwr run .``: a plan over Flower's own simulation on Ray, and the same model at the end.

    ServerApp: the coordinator ── grid ── Ray actors: ClientApp ── loopback ── the hospitals' nodes

Coordinator and hospitals are those of every other run: questions cross the grid in sealed
envelopes, and a ClientApp, which Flower makes anew for each message, hands each to its hospital's
node, which has to outlive a message (its policy, its ledger, its share of a sealed sum). The nodes
live in the ServerApp's process. ``run-config``: ``plan`` is a plan's file (default: the
demonstration), ``home`` the data root, ``data-dir`` where data sets lie.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from aegis.hospital.node import Node
from aegis.hospital.serving import Serving
from aegis.plan import Plan, load_plan
from aegis.simulation.local import run
from aegis.simulation.sealed_road import COORDINATOR, parties_of
from aegis.transport.flower.clientapp import handed_over
from aegis.transport.flower.grid_carrier import HOSPITAL, GridCarrier
from aegis.transport.flower.local_line import LocalLine
from aegis.transport.forms import replies_to
from aegis.transport.road import Road
from aegis.transport.transport import Transport

server = ServerApp()
client = ClientApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    said = {name: str(value) for name, value in context.run_config.items()}
    plan = load_plan(Path(said["plan"]) if said.get("plan") else None).plan
    with tempfile.TemporaryDirectory(prefix="aegis-flower-") as folder:
        hospitals = Hospitals(grid, Path(folder))
        try:
            result = run(
                plan,
                home=Path(said["home"]) if said.get("home") else None,
                data_directory=Path(said["data-dir"]) if said.get("data-dir") else None,
                road=hospitals.road,
                told=partial(print, flush=True),
            )
        finally:
            hospitals.close()
    print(f"run {result.run}", flush=True)
    print(f"model_sha256 {result.model_sha256}", flush=True)


@client.query()
def hand_over(message: Message, context: Context) -> Message:
    """The simulation's only: a real node is told by its own configuration where its hospital is."""
    place = message.content.config_records.pop(HOSPITAL)
    return handed_over(message, Path(str(place["place"])))


class Hospitals:
    """All nodes of a plan, each served from a thread of its own."""

    def __init__(self, grid: Grid, folder: Path) -> None:
        self._grid, self._folder = grid, folder
        self._lines: dict[str, LocalLine] = {}
        self._closing = threading.Event()

    def road(self, plan: Plan, nodes: Mapping[str, Node]) -> Transport:
        coordinator, parties = parties_of(nodes)
        forms = partial(replies_to, newton=plan.training.solver == "newton")
        places = {name: self._folder / f"{number}.json" for number, name in enumerate(nodes)}
        for name, node in nodes.items():
            line = self._lines[name] = LocalLine(places[name])
            serving = Serving(node, parties[name], line, COORDINATOR, forms)
            threading.Thread(target=serving.run, args=(self._closing,), daemon=True).start()
        carrier = GridCarrier(self._grid, places)
        return Road(
            coordinator, carrier, lambda: tuple(nodes), replies=forms, closing=self._closing
        )

    def close(self) -> None:
        self._closing.set()
        for line in self._lines.values():
            line.close()
