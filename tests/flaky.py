"""A proxy on loopback that fails as it is told: a store or server behind it, seen on a bad day."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Flaky:
    """``fault(method, path, number)`` says what happens to a request: None (it passes), ``500``,
    ``hang``, ``cut`` (the answer ends in the middle), ``lose`` (it never arrives) or ``corrupt``
    (one byte of the answer or of what is sent)."""

    def __init__(self, port: int) -> None:
        self.behind = port
        self.fault: Any = lambda method, path, number: None
        self.seen: list[tuple[str, str]] = []
        self.over = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _do(self) -> None:
                outer._handle(self)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _do  # noqa: N815

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, address: Any) -> None:
                pass  # whoever asked has gone

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        if handler.headers.get("Expect", "").lower() == "100-continue":
            pass  # http.server has sent it
        body = handler.rfile.read(length)
        self.seen.append((handler.command, handler.path))
        fault = self.fault(handler.command, handler.path, len(self.seen))
        if fault == "hang":
            self.over.wait(30)
            handler.close_connection = True
            return
        if fault == "500":
            handler.send_response(500)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        if fault == "lose":
            handler.close_connection = True
            return
        if fault == "corrupt" and handler.command in ("PUT", "POST") and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        behind = HTTPConnection("127.0.0.1", self.behind, timeout=30)
        headers = {k: v for k, v in handler.headers.items() if k.lower() != "expect"}
        behind.request(handler.command, handler.path, body or None, headers)
        answer = behind.getresponse()
        data = answer.read()
        handler.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                handler.send_header(name, value)
        said = answer.getheader("Content-Length") if handler.command == "HEAD" else None
        handler.send_header("Content-Length", said or str(len(data)))
        handler.end_headers()
        if handler.command == "HEAD":
            return
        if fault == "corrupt" and handler.command == "GET" and data:
            data = bytes([data[0] ^ 1]) + data[1:]
        if fault == "cut":
            handler.wfile.write(data[: len(data) // 2])
            handler.wfile.flush()
            time.sleep(0.05)
            handler.close_connection = True
            handler.connection.shutdown(2)
            return
        handler.wfile.write(data)


@contextmanager
def flaky(port: int) -> Iterator[Flaky]:
    proxy = Flaky(port)
    thread = threading.Thread(target=proxy._server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.over.set()
        proxy._server.shutdown()
        proxy._server.server_close()
        thread.join(5)
