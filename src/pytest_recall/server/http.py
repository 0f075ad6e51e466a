"""Serving streamable HTTP on this machine's loopback: a bearer token, no foreign Host and no foreign Origin."""

from __future__ import annotations

import hmac
import secrets
import socket
from collections.abc import Callable

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp, Receive, Scope, Send

from pytest_recall.app import App
from pytest_recall.errors import BadRequest, BadSetting

HOST = "127.0.0.1"
PATH = "/mcp"
LEAST_TOKEN = 16
LAST_WORDS_S = 3  # an open stream may not keep the server from ending


async def serve(server: MCPServer[App], *, port: int, token: str, ready: Callable[[str, str], None]) -> None:
    """Serve until a signal comes; *ready* is told address and token once clients may connect.

    Without *token* one is made, for as long as this server lives. *port* 0 is any free one.

    Raises:
        BadRequest: the port is taken or may not be used.
        BadSetting: the token is too short to be a secret.
    """
    token = _secret(token)
    with _listening(port) as listening:
        port = listening.getsockname()[1]
        names = (f"{HOST}:{port}", f"localhost:{port}")
        guarded = server.streamable_http_app(
            streamable_http_path=PATH,
            transport_security=TransportSecuritySettings(
                allowed_hosts=list(names), allowed_origins=[f"http://{name}" for name in names]
            ),
        )
        config = uvicorn.Config(
            _for_bearers(guarded, token),
            ws="none",
            lifespan="on",
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=LAST_WORDS_S,
        )
        ready(f"http://{HOST}:{port}{PATH}", token)  # connections wait in the socket's queue from here on
        await uvicorn.Server(config).serve(sockets=[listening])


def _secret(token: str) -> str:
    if token and (len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable()):
        raise BadSetting(
            f"Setting 'http_token' must be at least {LEAST_TOKEN} printable ASCII characters: whoever guesses it runs code "
            "as you. Leave it out, and one is made."
        )
    return token or secrets.token_urlsafe(32)


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        raise BadRequest(
            f"Port {port} of {HOST} can't be had ({getattr(error, 'strerror', None) or error}). Name another one with "
            "--http PORT, or none for any free one."
        ) from None


def _for_bearers(app: ASGIApp, token: str) -> ASGIApp:
    """*app* for those who bring *token*. The SDK's own guard would send clients to look for an OAuth server."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            words = b"".join(value for name, value in scope["headers"] if name == b"authorization")
            scheme, _, brought = words.partition(b" ")
            if scheme.lower() != b"bearer" or not hmac.compare_digest(brought, token.encode()):
                headers = [(b"www-authenticate", b"Bearer"), (b"content-length", b"0")]
                await send({"type": "http.response.start", "status": 401, "headers": headers})
                await send({"type": "http.response.body", "body": b""})
                return
        await app(scope, receive, send)

    return guard
