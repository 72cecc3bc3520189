"""A coordinator's end directly on a Flower grid, for Flower's own simulation.

In a simulation there is no gateway that could say when a reply is in, so the grid is asked every
50 ms while something is on its way. Each hospital is one node, in the order of the nodes' numbers;
a message says in which file its hospital's process can be found (``local_line``).
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from flwr.app import ConfigRecord, Message
from flwr.serverapp import Grid

from aegis.errors import RunAborted
from aegis.transport.flower.parcels import LIFETIME_S, MESSAGE_TYPE, packed, unpacked

HOSPITAL = "hospital"  # the record beside a parcel
_LOOK_S = 0.05


class GridCarrier:
    """``places`` names the hospitals and the file of each one's ``LocalLine``."""

    def __init__(self, grid: Grid, places: Mapping[str, Path], wait_s: float = 60.0) -> None:
        self._grid, self._places = grid, dict(places)
        self._nodes = dict(zip(self._places, self._all_nodes(wait_s), strict=True))
        self._in: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._waiting: dict[str, str] = {}
        self._lock = threading.Lock()

    def present(self) -> frozenset[str]:
        return frozenset(self._places)

    def send(self, hospital: str, data: bytes) -> None:
        records = packed(data)
        records[HOSPITAL] = ConfigRecord({"place": str(self._places[hospital])})
        message = Message(records, self._nodes[hospital], MESSAGE_TYPE, ttl=LIFETIME_S)
        with self._lock:
            for number in self._grid.push_messages([message]):
                if number:
                    self._waiting[number] = hospital

    def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        until = time.monotonic() + timeout_s
        while True:
            self._look()
            try:
                return self._in.get_nowait()
            except queue.Empty:
                if time.monotonic() + _LOOK_S > until:
                    return None
                time.sleep(_LOOK_S)

    def close(self) -> None: ...

    def _look(self) -> None:
        with self._lock:
            if not self._waiting:
                return
            for reply in self._grid.pull_messages(list(self._waiting)):
                hospital = self._waiting.pop(reply.metadata.reply_to_message_id, None)
                if hospital is not None and reply.has_content():
                    data = unpacked(reply.content.config_records.values())
                    self._in.put((hospital, data))

    def _all_nodes(self, wait_s: float) -> list[int]:
        until = time.monotonic() + wait_s
        while len(found := sorted(self._grid.get_node_ids())) < len(self._places):
            if time.monotonic() > until:
                raise RunAborted(
                    f"Flower simulates {len(found)} nodes for {len(self._places)} hospitals",
                    way_out=f'Say --federation-config "num-supernodes={len(self._places)}"',
                )
            time.sleep(0.1)
        return found[: len(self._places)]
