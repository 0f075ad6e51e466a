"""How a store is, in numbers."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatus:
    """How one store is, asked at one moment."""

    backend: str  # embedded, http, cloud
    folder: str
    healthy: bool  # it answers, and takes in what waits
    behind: int  # runs of the inbox
    runs: int  # in the journal
    counts: dict[str, int] = field(default_factory=dict)  # records by collection
    versions: dict[str, str] = field(default_factory=dict)
    journal_bytes: int = 0
    index_bytes: int = 0
    error: str = ""
