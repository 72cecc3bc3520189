"""A port that many listen at: the slow crowd out each other and nobody else."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest

from aegis.console.listening import Listening


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"here"})


@pytest.fixture
def port(monkeypatch):
    monkeypatch.setattr("aegis.console.listening.MOST_UNFINISHED", 4)
    with Listening(app, "127.0.0.1", 0, None) as listening:
        yield listening.port


def opened(port, said=b"GET / HT"):
    found = socket.create_connection(("127.0.0.1", port), timeout=5)
    found.sendall(said)
    return found


def closed(one):
    one.settimeout(2)
    with contextlib.suppress(ConnectionResetError):
        return one.recv(100) == b""
    return True


def test_one_slow_connection_too_many_costs_the_oldest_its_place(port):
    slow = []
    for _ in range(6):
        slow.append(opened(port))
        time.sleep(0.05)
    assert closed(slow[0])
    assert closed(slow[1])
    for one in slow[2:]:
        one.setblocking(False)
        with pytest.raises(BlockingIOError):
            one.recv(100)
    whole = opened(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"here" in whole.recv(4096) + whole.recv(4096)
    for one in (*slow, whole):
        one.close()


def test_connections_whose_request_came_are_never_crowded_out(port):
    kept = []
    for _ in range(10):
        one = opened(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert one.recv(4096).startswith(b"HTTP/1.1 200")
        kept.append(one)
    slow = [opened(port) for _ in range(6)]
    time.sleep(0.2)
    for one in kept:
        one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.02)
        assert b"200 OK" in one.recv(8192) or b"200 OK" in one.recv(8192)
    for one in (*slow, *kept):
        one.close()
