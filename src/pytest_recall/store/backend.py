"""Where the index lives: in a folder of ours, on a Chroma server, or in Chroma's cloud."""

from __future__ import annotations

from dataclasses import dataclass, field

EMBEDDED = "embedded"  # the name of the index in a journal's folder; that on a server has one that the server gave it


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """In `folder`, shared by the processes of one machine behind a file lock."""

    folder: str
    embedding: str = ""  # "": our own; else the name of one of Chroma's, and its configuration in JSON

    shared = False  # whether other journals feed it too: rows of several writers, runs kept whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """A `chroma run` server at `url` (http or https, host, port). `headers` may carry a secret."""

    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    tenant: str = ""
    database: str = ""
    project: str = ""  # keeps the collections of several projects on one server apart
    embedding: str = ""

    shared = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """Chroma Cloud. Written from its documentation and never run against the real one."""

    tenant: str
    database: str
    api_key: str = field(repr=False)
    project: str = ""
    embedding: str = ""

    shared = True


Backend = Embedded | Http | Cloud
