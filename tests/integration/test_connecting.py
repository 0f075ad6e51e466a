"""How Chroma is opened: what a server is asked for, by the forms of its address; and what is said where a key is missing."""

import http.server
import socket
import threading
from typing import ClassVar

import pytest

from pytest_recall.errors import StoreUnavailable
from pytest_recall.store.backend import Cloud, Http
from pytest_recall.store.connecting import client


class Asked(http.server.BaseHTTPRequestHandler):
    """A server that knows nothing, and notes what it was asked."""

    paths: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.paths.append(self.path)
        self.send_error(404)

    def log_message(self, *_: object) -> None: ...


class SixServer(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


@pytest.mark.parametrize(
    ("server", "host", "address"),
    [
        (http.server.ThreadingHTTPServer, "127.0.0.1", "http://127.0.0.1:{}/chroma/"),
        (http.server.ThreadingHTTPServer, "127.0.0.1", "http://127.0.0.1:{}"),
        (SixServer, "::1", "http://[::1]:{}"),
    ],
    ids=["path", "plain", "IPv6"],
)
def test_server_is_asked_at_its_whole_address(server, host, address, monkeypatch):
    monkeypatch.setattr(Asked, "paths", [])
    with server((host, 0), Asked) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        with pytest.raises(Exception, match=r"404|not exist"):
            client(Http(url=address.format(listening.server_address[1])), None)
        listening.shutdown()
    prefix = "/chroma" if "chroma" in address else ""
    assert Asked.paths
    assert all(path.startswith(f"{prefix}/api/v2/") for path in Asked.paths)


def test_cloud_without_a_key_names_the_setting_that_is_read():
    with pytest.raises(StoreUnavailable, match="set PYTEST_RECALL_CHROMA_API_KEY"):
        client(Cloud(tenant="t", database="d", api_key=""), None)
