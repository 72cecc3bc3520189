"""The XMPP road as a courier: a Prosody of our own, or one that is there already."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aegis.errors import RunAborted
from aegis.transport.carrier import Trust
from aegis.transport.xmpp.accounts import Accounts
from aegis.transport.xmpp.ends import XmppCarrier
from aegis.transport.xmpp.prosody import Prosody
from aegis.transport.xmpp.server import Server

log = logging.getLogger("aegis.xmpp")

_CONNECT_S = 10.0
_LOOK_S = 0.02


@dataclass
class XmppCourier:
    """``folder`` keeps the accounts' passwords. ``trust.own`` is the certificate of our own server,
    which names ``server.host``. ``external``: the server runs elsewhere (XMPP_SERVER); its accounts
    are written into ``data``, its data folder, where that can be reached, and must exist and be
    named in ``folder``/accounts.json where it cannot."""

    folder: Path
    trust: Trust
    server: Server = field(default_factory=Server)
    external: bool = False
    data: Path | None = None

    _prosody: Prosody | None = field(default=None, init=False, repr=False)
    _accounts: Accounts | None = field(default=None, init=False, repr=False)
    _carrier: XmppCarrier | None = field(default=None, init=False, repr=False)

    def start(self) -> XmppCarrier:
        """Raises ``BadInput`` where Prosody is not installed or a port is taken, ``RunAborted``
        where it does not start or refuses us; all within seconds. An external server that is not
        there yet is waited for in the background."""
        data = self.data
        if not self.external:
            self._prosody = Prosody(self.server, self.trust)
            self._prosody.prepare()
            data = self._prosody.data
        try:
            self._accounts = Accounts(self.folder, self.server.host, data)
            password = self._accounts.coordinator()
            self._accounts.write_all()
            if self._prosody is not None:
                self._prosody.start()
            accounts = self._accounts
            server = self.server if self.external else self.server.from_here
            self._carrier = XmppCarrier(server, password, self.trust, lambda: accounts.hospitals)
            self._await(self._carrier)
        except BaseException:
            self.stop()
            raise
        return self._carrier

    def admit(self, hospital: str, key: bytes = b"") -> Mapping[str, str]:
        """What a line needs. Sensitive: holds the hospital's password. ``key`` is not needed on
        this road: who speaks is known by the password, what is said by its seal."""
        return {
            "road": "xmpp",
            "name": hospital,
            "host": self.server.host,
            "port": str(self.server.port),
            "files_port": str(self.server.files_port),
            "largest_file": str(self.server.largest_file),
            "password": self._known().hospital(hospital),
        }

    def expel(self, hospital: str) -> None:
        self._known().expel(hospital)

    def stop(self) -> None:
        if self._carrier is not None:
            self._carrier.close()
            self._carrier = None
        if self._prosody is not None:
            self._prosody.stop()
            self._prosody = None

    @property
    def pid(self) -> int | None:
        """Of our own server, where one runs."""
        return None if self._prosody is None else self._prosody.pid

    def _known(self) -> Accounts:
        if self._accounts is None:
            raise RunAborted("the XMPP road has not been started")
        return self._accounts

    def _await(self, carrier: XmppCarrier) -> None:
        end = time.monotonic() + _CONNECT_S
        while carrier.status != "connected":
            if carrier.refused:
                raise RunAborted(carrier.status, way_out="Look at certificate and account")
            if time.monotonic() > end:
                if self.external:
                    log.warning("%s; it is tried again and again", carrier.status)
                    return
                raise RunAborted(f"our own XMPP server cannot be used: {carrier.status}")
            time.sleep(_LOOK_S)
