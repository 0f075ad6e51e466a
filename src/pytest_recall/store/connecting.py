"""How Chroma is opened: in a folder, at the address of a server, or in its cloud."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import chromadb
from chromadb.config import DEFAULT_DATABASE, DEFAULT_TENANT, Settings

from pytest_recall.errors import StoreUnavailable
from pytest_recall.store.backend import Backend, Cloud, Embedded, Http

_PORT = 8000  # of `chroma run`; of https it is the usual one


def client(backend: Backend, path: Path | None) -> Any:
    """Chroma's own client of *backend*, an embedded one in *path*. Raises what Chroma raises, and `StoreUnavailable`."""
    settings = Settings(anonymized_telemetry=False)
    match backend:
        case Embedded():
            return chromadb.PersistentClient(str(path), settings=settings)
        case Http(url=url, headers=headers, tenant=tenant, database=database):
            return chromadb.HttpClient(
                host=_whole(url),  # which it takes instead of a host alone, and then keeps the path
                ssl=url.startswith("https:"),
                headers=dict(headers),
                settings=settings,
                tenant=tenant or DEFAULT_TENANT,
                database=database or DEFAULT_DATABASE,
            )
        case Cloud(api_key=""):
            raise StoreUnavailable(
                "Chroma Cloud needs a key: set PYTEST_RECALL_CHROMA_API_KEY (CHROMA_API_KEY is not read)."
            )
        case Cloud(tenant=tenant, database=database, api_key=key):
            return chromadb.CloudClient(tenant=tenant, database=database, api_key=key, settings=settings)


def _whole(url: str) -> str:
    """*url* with its port."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise StoreUnavailable("The store's address must look like http://host:port or https://host:port.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = parts.port or (443 if parts.scheme == "https" else _PORT)
    return f"{parts.scheme}://{host}:{port}{parts.path.rstrip('/')}"
