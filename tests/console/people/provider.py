"""A small single sign-on provider over real HTTP, with real keys, that can answer wrongly.

``wrong`` changes the ID token: claims by name (None leaves one out), ``h_`` for its header, and
``sign`` for how it is signed: alg_none, hmac, foreign_key. ``discovery`` and ``token_answer``
replace what those two addresses say.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

KEYS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
CLIENT, SECRET = "aegis-console", "s3cret/with:signs"
_MAKERS: dict[str, Any] = {
    "RS256": jwt.algorithms.RSAAlgorithm,
    "ES256": jwt.algorithms.ECAlgorithm,
    "EdDSA": jwt.algorithms.OKPAlgorithm,
}


class Provider:
    def __init__(self) -> None:
        self.algorithm = "RS256"
        self.claims: dict[str, Any] = {
            "sub": "u-7", "preferred_username": "Ana.Meier", "aegis_roles": ["researcher"],
        }  # fmt: skip
        self.wrong: dict[str, Any] = {}
        self.discovery: dict[str, Any] = {}
        self.token_answer: tuple[int, bytes] | None = None
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    def __enter__(self) -> Provider:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def authorize(self, address: str) -> dict[str, str]:
        """What a browser that came to ``address`` and let itself be known is sent back with."""
        parts = urlsplit(address)
        assert address.startswith(f"{self.issuer}/authorize?")
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return {"code": code, "state": asked["state"], "iss": self.issuer}

    def _id_token(self, asked: dict[str, str]) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 60,
            "nonce": asked["nonce"], **self.claims,
        }  # fmt: skip
        header: dict[str, Any] = {"kid": self.algorithm}
        for name, value in self.wrong.items():
            if name != "sign":
                (header if name.startswith("h_") else claims)[name.removeprefix("h_")] = value
        claims = {name: value for name, value in claims.items() if value is not None}
        match self.wrong.get("sign"):
            case "alg_none":
                return jwt.encode(claims, "", "none", header)
            case "hmac":
                public = KEYS["RS256"].public_key().public_numbers().n.to_bytes(256, "big")
                return jwt.encode(claims, public, "HS256", header)
            case "foreign_key":
                foreign = rsa.generate_private_key(65537, 2048)
                return jwt.encode(claims, foreign, "RS256", header)
            case _:
                return jwt.encode(claims, KEYS[self.algorithm], self.algorithm, header)

    def _answer(self, path: str, form: dict[str, str], authorization: str) -> tuple[int, bytes]:
        self.asked.append(path)
        match path:
            case "/.well-known/openid-configuration":
                found: dict[str, Any] = {
                    "issuer": self.issuer,
                    "authorization_endpoint": f"{self.issuer}/authorize",
                    "token_endpoint": f"{self.issuer}/token",
                    "jwks_uri": f"{self.issuer}/keys",
                    **self.discovery,
                }
                return 200, json.dumps(found).encode()
            case "/keys":
                keys = [
                    json.loads(_MAKERS[name].to_jwk(key.public_key())) | {"kid": name, "use": "sig"}
                    for name, key in KEYS.items()
                ]
                return 200, json.dumps({"keys": keys}).encode()
            case "/token":
                if self.token_answer is not None:
                    return self.token_answer
                asked = self.codes.pop(form["code"], None)
                shown = base64.urlsafe_b64encode(
                    hashlib.sha256(form["code_verifier"].encode()).digest()
                )
                expected = base64.b64encode(b"aegis-console:s3cret/with%3Asigns").decode()
                if (
                    asked is None
                    or asked["code_challenge"] != shown.decode().rstrip("=")
                    or asked["redirect_uri"] != form["redirect_uri"]
                    or authorization != f"Basic {expected}"
                ):
                    return 400, b'{"error": "invalid_grant"}'
                return 200, json.dumps({"id_token": self._id_token(asked)}).encode()
            case _:
                return 404, b"{}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def _said(self, form: dict[str, str]) -> None:
                status, data = provider._answer(
                    urlsplit(self.path).path, form, self.headers.get("Authorization", "")
                )
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"{provider.issuer}/keys")
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self) -> None:
                self._said({})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self._said({name: values[0] for name, values in parse_qs(body).items()})

            def log_message(self, *said: object) -> None:
                pass

        return Handler
