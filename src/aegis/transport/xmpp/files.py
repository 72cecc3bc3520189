"""What is too large for one message: put at the server over HTTPS (XEP-0363), fetched from there.

The server is believed nothing: an address counts only where it lies at the one file server this
side knows, the size is held while bytes come in, and the digest decides. What lies there is sealed,
and goes after a while.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from collections.abc import AsyncIterator

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from aegis.errors import CheckFailed, RunAborted
from aegis.transport.xmpp.messages import File

_PIECE = 256 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=10, sock_connect=10, sock_read=30)
_AGENT = {"User-Agent": "aegis"}


class Files:
    """``begin`` is how each address begins; ``limit`` in bytes is the most that is fetched;
    ``address`` where the server is, if its name leads elsewhere from here."""

    def __init__(self, begin: str, context: ssl.SSLContext, limit: int, address: str = "") -> None:
        self._begin, self.limit = begin, limit
        resolver = _Known(address) if address else None
        connector = aiohttp.TCPConnector(ssl=context, limit=8, resolver=resolver)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=_TIMEOUT, headers=_AGENT, read_bufsize=2**20
        )

    def known(self, url: str) -> bool:
        return url.startswith(self._begin) and "/../" not in url and "@" not in url

    async def put(self, url: str, headers: dict[str, str], data: bytes) -> None:
        """Raises ``RunAborted`` where the server does not take it."""
        self._check(url)
        length = {"Content-Length": str(len(data)), "Content-Type": "application/octet-stream"}
        try:
            async with self._session.put(
                url, data=_pieces(data), headers={**headers, **length}, allow_redirects=False
            ) as response:
                if response.status != 201:
                    raise RunAborted(f"the file server answered {response.status} to an upload")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise RunAborted(f"the file server took no upload ({_short(error)})") from error

    async def fetch(self, file: File) -> bytes:
        """Raises ``CheckFailed`` for a file that is not the one announced, ``RunAborted`` where it
        cannot be had."""
        self._check(file.url)
        if file.size > self.limit:
            raise CheckFailed(f"a file of {file.size} bytes", f"at most {self.limit}")
        data, at = bytearray(file.size), 0
        digest = hashlib.sha256()
        try:
            async with self._session.get(file.url, allow_redirects=False) as response:
                if response.status != 200:
                    raise RunAborted(f"the file server answered {response.status} to a download")
                async for piece in response.content.iter_any():
                    if at + len(piece) > file.size:
                        raise CheckFailed(f"a file of more than the {file.size} bytes announced")
                    data[at : at + len(piece)] = piece
                    digest.update(piece)
                    at += len(piece)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise RunAborted(f"a file could not be fetched ({_short(error)})") from error
        if at != file.size or digest.hexdigest() != file.sha256:
            raise CheckFailed("a file whose sha256 is not the one announced")
        return bytes(data)

    async def close(self) -> None:
        await self._session.close()
        await asyncio.sleep(0)

    def _check(self, url: str) -> None:
        if not self.known(url):
            raise CheckFailed(f"a file at {url!r:.80}", f"files lie under {self._begin}")


class _Known(AbstractResolver):
    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        kind = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        return [
            {
                "hostname": host,
                "host": self._address,
                "port": port,
                "family": kind,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
        ]

    async def close(self) -> None: ...


async def _pieces(data: bytes) -> AsyncIterator[memoryview]:
    view = memoryview(data)
    for at in range(0, len(view), _PIECE):
        yield view[at : at + _PIECE]


def _short(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:160]
