"""People's browsers, as far as a console feels them: a process of its own that asks and listens.

    python -m aegis.bench.console_clients < {"url":..., "token":..., ...}

``pollers`` each ask ``path`` once a second over a connection they keep; ``readers`` each keep one
stream open and read it. It ends when its standard input does, or after ``seconds``, and then writes
one JSON object: how long each answer took, and what the streams brought.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

WAIT_S = 1.0


@dataclass
class Heard:
    """``seconds`` of answers, by polling; ``open`` streams now."""

    seconds: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    open: int = 0
    frames: int = 0
    frame_bytes: int = 0


async def clients(said: dict[str, Any], until: asyncio.Event) -> dict[str, Any]:
    parts, heard = urlsplit(said["url"]), Heard()
    place = (parts.hostname or "", parts.port or 80)
    head = f"Host: {parts.netloc}\r\nAuthorization: Bearer {said['token']}\r\n"
    tasks = [
        asyncio.create_task(_poll(place, head, said["path"], one / said["pollers"], heard, until))
        for one in range(said["pollers"])
    ]
    for _ in range(said["readers"]):
        tasks.append(asyncio.create_task(_listen(place, head, said["stream"], heard)))
        await asyncio.sleep(0.01)
    print(json.dumps({"ready": True}), flush=True)
    await until.wait()
    streams = heard.open
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {
        "seconds": heard.seconds,
        "bytes": max(heard.sizes, default=0),
        "failures": heard.failures[:20],
        "failed": len(heard.failures),
        "streams": streams,
        "frames": heard.frames,
        "frame_bytes": heard.frame_bytes,
    }


async def _poll(
    place: tuple[str, int], head: str, path: str, phase: float, heard: Heard, until: asyncio.Event
) -> None:
    reader, writer = await asyncio.open_connection(*place)
    asked = f"GET {path} HTTP/1.1\r\n{head}\r\n".encode()
    begin = time.monotonic() + phase * WAIT_S
    turn = 0
    try:
        while not until.is_set():
            await asyncio.sleep(max(0.0, begin + turn * WAIT_S - time.monotonic()))
            turn += 1
            began = time.perf_counter()
            try:
                writer.write(asked)
                status, size = await _answer(reader)
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                heard.failures.append(type(error).__name__)
                writer.close()
                reader, writer = await asyncio.open_connection(*place)
                continue
            heard.seconds.append(time.perf_counter() - began)
            heard.sizes.append(size)
            if status != "200":
                heard.failures.append(status)
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[str, int]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    length = 0
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    await reader.readexactly(length)
    return head.split(" ")[1], length


async def _listen(place: tuple[str, int], head: str, path: str, heard: Heard) -> None:
    reader, writer = await asyncio.open_connection(*place, limit=2**22)
    writer.write(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
    status = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split(" ")[1]
    if status != "200":
        heard.failures.append(f"stream {status}")
        return
    heard.open += 1
    try:
        while True:
            frame = await reader.readuntil(b"\n\n")
            heard.frames += 1
            heard.frame_bytes += len(frame)
    except (OSError, asyncio.IncompleteReadError):
        heard.failures.append("stream ended")
    finally:
        heard.open -= 1
        writer.close()


async def main() -> dict[str, Any]:
    said = json.loads(sys.stdin.readline())
    until, loop = asyncio.Event(), asyncio.get_running_loop()

    def ended() -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            until.set()

    loop.add_reader(sys.stdin.fileno(), ended)
    loop.call_later(said["seconds"], until.set)
    return await clients(said, until)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main())), flush=True)
