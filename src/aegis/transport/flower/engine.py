"""The coordinator's side of the Flower road: the SuperLink, its door, its relay, and who is let in.

``FlowerCourier`` starts the parts and keeps them running: a SuperLink that died is started again on
the same database, a relay that died in a new Flower run, each time after a longer pause. Keys that
were admitted are remembered in ``home`` and registered again where the SuperLink forgot them, so
its state may as well be kept in memory. A hospital's TLS key, on P-256, is the key of its node.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from aegis.errors import AegisError, BadInput
from aegis.transport.carrier import Trust
from aegis.transport.flower import require_flower
from aegis.transport.flower.carrying import RELAY_WITHIN_S, FlowerCarrier
from aegis.transport.flower.process import SuperLink

if TYPE_CHECKING:
    from aegis.transport.flower.control import Control

ROAD = "flower"
_Answer = TypeVar("_Answer")


class FlowerCourier:
    """``home`` is a folder of the data root that only this courier uses. ``public`` is the host
    name that hospitals call, with the port where it differs. ``in_memory`` loses Flower's own
    state with the SuperLink, and is faster."""

    def __init__(
        self,
        home: Path,
        trust: Trust,
        host: str = "0.0.0.0",  # noqa: S104
        port: int = 8443,
        *,
        public: str = "localhost",
        in_memory: bool = False,
    ) -> None:
        require_flower()
        from aegis.transport.flower.gateway import Gateway

        self._home = home.absolute()
        self._public = public
        self._superlink = SuperLink(self._home, None if in_memory else self._home / "state.db")
        self._gateway = Gateway(host, port, trust, self._reply_is_in, self._upstream)
        self._carrier: FlowerCarrier | None = None
        self._admitted: dict[str, bytes] = {}
        self._nodes: dict[str, int] = {}
        self._lock = threading.RLock()

    @property
    def port(self) -> int:
        return self._gateway.port

    @property
    def superlink(self) -> SuperLink:
        return self._superlink

    def start(self) -> FlowerCarrier:
        """Some seconds. Raises ``AegisError`` where the port is taken or the SuperLink dies."""
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._gateway.start()
        try:
            self._remember()
            self._superlink.start()
            self._register()
            self._carrier = FlowerCarrier(self, self._home)
            self._carrier.wait(RELAY_WITHIN_S)
        except BaseException:
            self.stop()
            raise
        return self._carrier

    def admit(self, hospital: str, key: bytes) -> Mapping[str, str]:
        """``key`` in PEM, on P-256 or P-384; another key for a known name replaces the first.
        Raises ``BadInput`` for a key that another hospital holds."""
        from aegis.transport.flower.guests import checked_key

        key = checked_key(key)
        with self._lock:
            for name, known in self._admitted.items():
                if known == key and name != hospital:
                    raise BadInput(
                        f"the key of {hospital} is already that of {name}",
                        "each hospital has its own",
                    )
            if self._admitted.get(hospital) not in (None, key):
                self.expel(hospital)
            if hospital not in self._nodes:
                self._nodes[hospital] = self._registered(hospital, key)
            self._admitted[hospital] = key
            self._gateway.admit(hospital, key)
            self._keep()
            address = self._public if ":" in self._public else f"{self._public}:{self.port}"
            return {
                "road": ROAD,
                "name": hospital,
                "address": address,
                "node": str(self._nodes[hospital]),
            }

    def expel(self, hospital: str) -> None:
        """From now on its requests are refused at the door. Unknown names are fine."""
        with self._lock:
            self._gateway.expel(hospital)
            self._admitted.pop(hospital, None)
            self._keep()
            node = self._nodes.pop(hospital, None)
            if node is not None:
                with suppress(AegisError):
                    self._with_control(lambda control: control.unregister(node))

    def stop(self) -> None:
        if self._carrier is not None:
            self._carrier.close()
        self._gateway.stop()
        self._superlink.stop()

    def revive(self) -> bool:
        """Whether the SuperLink had to be started again, and was."""
        if self._superlink.alive:
            return False
        self._superlink.start()
        self._register()
        return True

    def run_relay(self, place: Path) -> int:
        """Starts the relay's run, and returns its number."""
        from aegis.transport.flower import compat
        from aegis.transport.flower.fab import road_app

        content = road_app()
        fab = compat.Fab(hashlib.sha256(content).hexdigest(), content, {})
        return self._with_control(lambda control: control.start(fab, {"relay": str(place)}))

    def end_run(self, run: int) -> None:
        with suppress(AegisError):
            self._with_control(lambda control: control.stop(run))

    def why_ended(self, run: int) -> str:
        return self._with_control(lambda control: control.ended(run))

    def node(self, hospital: str) -> int | None:
        return self._nodes.get(hospital)

    def hospital(self, node: int) -> str | None:
        return next((name for name, number in self._nodes.items() if number == node), None)

    def present(self) -> frozenset[str]:
        return self._gateway.present()

    def free(self, hospital: str, handed: float, stored: float) -> bool:
        return self._gateway.free(hospital, handed, stored)

    def ring(self, hospital: str) -> None:
        self._gateway.ring(hospital)

    def _reply_is_in(self, hospital: str, message: str) -> None:
        if self._carrier is not None:
            self._carrier.look(hospital, message)

    def _upstream(self) -> tuple[str, bytes]:
        return self._superlink.address, self._superlink.root

    def _register(self) -> None:
        with self._lock:
            for hospital, key in self._admitted.items():
                self._nodes[hospital] = self._registered(hospital, key)
                self._gateway.admit(hospital, key)

    def _registered(self, hospital: str, key: bytes) -> int:
        return self._with_control(lambda control: control.register(hospital, key))

    def _with_control(self, work: Callable[[Control], _Answer]) -> _Answer:
        from aegis.transport.flower.control import Control

        control = Control(self._superlink.address, self._superlink.root)
        try:
            return work(control)
        finally:
            control.close()

    @property
    def _book(self) -> Path:
        return self._home / "admitted.json"

    def _remember(self) -> None:
        if self._book.exists():
            found = json.loads(self._book.read_text())
            self._admitted = {name: key.encode("ascii") for name, key in found.items()}

    def _keep(self) -> None:
        new = self._book.with_suffix(".new")
        new.write_text(json.dumps({n: k.decode("ascii") for n, k in self._admitted.items()}))
        os.replace(new, self._book)
