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


def opened(port, begun=b"GET / HT"):
    found = socket.create_connection(("127.0.0.1", port), timeout=5)
    found.sendall(begun)
    return found


def said(one, wanted):
    """Reads on until this came: a reply may come in one piece or in several."""
    heard = b""
    while wanted not in heard:
        more = one.recv(4096)
        assert more, heard
        heard += more
    return True


def closed(one):
    one.settimeout(15)
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
    assert said(whole, b"here")
    for one in (*slow, whole):
        one.close()


def test_connections_whose_request_came_are_never_crowded_out(port):
    kept = []
    for _ in range(10):
        one = opened(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert said(one, b"here")
        kept.append(one)
    slow = [opened(port) for _ in range(6)]
    time.sleep(0.2)
    for one in kept:
        one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.02)
        assert said(one, b"here")
    for one in (*slow, *kept):
        one.close()


def poured(port, head, pieces):
    """How many bytes could be sent before the other side had enough, and its answer."""
    sent, answer = 0, b""
    with opened(port, head) as one, contextlib.suppress(OSError):
        time.sleep(0.1)  # the answer comes first
        for _ in range(pieces):
            one.sendall(
                b"4000\r\n" + b"x" * 2**14 + b"\r\n" if b"chunked" in head else b"x" * 2**14
            )
            sent += 2**14
            time.sleep(0.001)
        one.settimeout(1)
        answer = one.recv(100)
    return sent, answer


def test_a_body_without_an_end_is_not_read_on_after_its_answer(port):
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert poured(port, head, 600)[0] < 600 * 2**14
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4398046511104\r\n\r\n"
    assert poured(port, head, 600)[0] < 600 * 2**14


def test_a_body_whose_answer_came_early_is_read_to_its_end(port):
    """So that a browser that sends a table gets to see why it was refused."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3276800\r\n\r\n"
    sent, answer = poured(port, head, 200)
    assert sent == 3276800
    assert answer.startswith(b"HTTP/1.1 200")


async def reading(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await app(scope, receive, send)


@pytest.mark.parametrize(("piece", "taken"), [(100, True), (1, False)])
def test_a_long_body_may_take_its_time_while_it_keeps_coming(monkeypatch, piece, taken):
    monkeypatch.setattr("aegis.console.listening.PATIENCE_S", 0.5)
    monkeypatch.setattr("aegis.console.listening.SLOWEST", 100)
    with Listening(reading, "127.0.0.1", 0, None) as listening:
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {20 * piece}\r\n\r\n"
        one = opened(listening.port, head.encode())
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(20):
                one.sendall(b"x" * piece)
                time.sleep(0.1)
        if taken:
            assert one.recv(4096).startswith(b"HTTP/1.1 200")
        else:
            assert closed(one)
        one.close()
