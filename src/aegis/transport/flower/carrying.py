"""The coordinator's end: hands over to the relay, and sees to it that there is one.

A relay that died is started again in a new Flower run, a SuperLink that died on its old database,
each time after a longer pause. What was with them is lost; the road above asks again.
"""

from __future__ import annotations

import queue
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from aegis.errors import AegisError
from aegis.transport.flower.frames import Frame, Kind
from aegis.transport.flower.link import RelayLink

if TYPE_CHECKING:
    from aegis.transport.flower.engine import FlowerCourier

RELAY_WITHIN_S = 120.0
LONGEST_PAUSE_S = 30.0
_ALIKE = 64  # bytes by which two sealings of one question may differ
_LOOK_S = 0.5  # between two looks whether all is well


class FlowerCarrier:
    """At most one message is on its way to a hospital. What is sent meanwhile, or while the
    hospital or the relay is away, is kept, the newest for each, and goes out in its time."""

    def __init__(self, courier: FlowerCourier, home: Path) -> None:
        self._courier = courier
        self._in: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._held: dict[str, bytes] = {}
        self._handed: dict[str, float] = {}
        self._length: dict[str, int] = {}
        self._stored: dict[str, float] = {}
        self._lock = threading.Lock()
        self._closing, self._due = threading.Event(), threading.Event()
        self._fault = ""
        self._link = RelayLink(home, self._heard)
        threading.Thread(target=self._keep_alive, daemon=True, name="aegis-courier").start()
        threading.Thread(target=self._hand_over, daemon=True, name="aegis-held").start()

    @property
    def status(self) -> str:
        """For people: ``connected``, or what is in the way."""
        return "connected" if self._link.connected.is_set() else self._fault or "starting"

    def wait(self, seconds: float) -> None:
        """Until the relay is there. Raises ``AegisError``."""
        until = time.monotonic() + seconds
        while not self._link.connected.wait(0.1):
            if time.monotonic() > until or self._fault:
                raise AegisError(
                    "the relay of the Flower road does not start",
                    self._fault or f"it had {seconds:.0f} s",
                    f"The log is in {self._courier.superlink.log}",
                )

    def present(self) -> frozenset[str]:
        return self._courier.present()

    def send(self, hospital: str, data: bytes) -> None:
        with self._lock:
            self._held[hospital] = data
        self._due.set()

    def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        try:
            return self._in.get(timeout=max(timeout_s, 0.001))
        except queue.Empty:
            return None

    def look(self, hospital: str, message: str) -> None:
        node = self._courier.node(hospital)
        if node is not None:
            self._link.send(Kind.LOOK, node, message.encode("ascii"))

    def close(self) -> None:
        self._closing.set()
        self._link.close()

    def _heard(self, frame: Frame) -> None:
        kind, node, body = frame
        hospital = self._courier.hospital(node)
        if hospital is None:
            return
        if kind is Kind.SENT:
            self._stored[hospital] = time.monotonic()
            self._courier.ring(hospital)
        elif kind is Kind.REPLY:
            self._forget_repeated(hospital)
            self._in.put((hospital, body))

    def _forget_repeated(self, hospital: str) -> None:
        """What waits and is as long as what was just answered is the same question, sealed again.
        Where it is not, the road asks once more."""
        with self._lock:
            held, length = self._held.get(hospital), self._length.get(hospital)
            if held is not None and length is not None and abs(len(held) - length) <= _ALIKE:
                del self._held[hospital]

    def _hand_over(self) -> None:
        while not self._closing.is_set():
            self._due.wait(0.05 if self._held else 1.0)
            self._due.clear()
            if not self._held or not self._link.connected.is_set():
                continue
            here = self._courier.present()
            with self._lock:
                ready = [
                    (name, self._held.pop(name))
                    for name in list(self._held)
                    if name in here and self._free(name)
                ]
            for hospital, data in ready:
                node = self._courier.node(hospital)
                if node is not None:
                    self._handed[hospital], self._length[hospital] = time.monotonic(), len(data)
                    self._link.send(Kind.SEND, node, data)

    def _free(self, hospital: str) -> bool:
        handed = self._handed.get(hospital)
        if handed is None:
            return True
        return self._courier.free(hospital, handed, self._stored.get(hospital, -1e9))

    def _keep_alive(self) -> None:
        pause = 0.5
        while not self._closing.is_set():
            try:
                run = self._started()
                pause = 0.5
                self._watch()
                self._courier.end_run(run)
            except AegisError as error:
                self._fault = str(error)
                pause = min(pause * 2, LONGEST_PAUSE_S)
            self._closing.wait(pause)

    def _started(self) -> int:
        """The run whose relay is connected."""
        self._link.renew()
        self._courier.revive()
        self._handed.clear()  # what was on its way is lost
        run = self._courier.run_relay(self._link.place)
        until = time.monotonic() + RELAY_WITHIN_S
        while not self._link.connected.wait(_LOOK_S):
            why = self._courier.why_ended(run)
            if why or time.monotonic() > until or self._closing.is_set():
                self._courier.end_run(run)
                raise AegisError(f"the relay's Flower run ended ({why or 'it never connected'})")
        self._fault = ""
        return run

    def _watch(self) -> None:
        """Returns when the relay or the SuperLink is gone."""
        while not self._closing.is_set():
            if self._link.lost.wait(_LOOK_S) or not self._courier.superlink.alive:
                self._fault = "the SuperLink or its relay ended and is started again"
                return
