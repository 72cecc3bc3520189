"""The coordinator's window without a road: finished runs, and rehearsals on this machine.

For whoever has simulated runs and no hospitals yet. It holds the data root as a coordinator does,
so that two of them never write the same files.
"""

from __future__ import annotations

import threading

from aegis.console.coordinator.opening import coordinator_window
from aegis.console.listening import Listening, loopback, token_at
from aegis.console.running import TOKEN, Telling, signalled, welcome
from aegis.errors import BadInput
from aegis.operations import logs
from aegis.operations.coordinator.office import Office
from aegis.store.home import Home


def run_console(
    *, host: str, port: int, as_json: bool = False, stop: threading.Event | None = None
) -> None:
    """Until ``stop`` is set or a signal comes. Raises ``BadInput`` where the port is taken, where a
    coordinator runs on the same data root, or for an address that the network reaches."""
    if not loopback(host):
        raise BadInput(
            f"this window would be open to the network at {host}",
            "without a federation there is no certificate to speak TLS with",
            "Use --host 127.0.0.1, or start: aegis coordinator",
        )
    telling = Telling(as_json or logs.as_objects())
    home = Home.from_environment().prepare()
    stopping = stop or signalled()
    logs.start()
    with Office(home).alone():
        token = token_at(home.keys / TOKEN)
        with (
            coordinator_window(home, token=token) as window,
            Listening(window, host, port, None) as listening,
        ):
            telling(event="listening", url=listening.url, text=f"The console of {home.root}")
            if not telling.as_json:
                print("Research use only. Not medical software. Not independently audited.")
                welcome(window, listening.url, "")
            stopping.wait()
    telling(event="stopped", text="The console has stopped.")
