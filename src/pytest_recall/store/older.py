"""The runs that only the index still has, asked of the worker one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_recall.model import RunRow
from pytest_recall.store import codec, shape
from pytest_recall.store.journal import Journal
from pytest_recall.store.line import Line

_MOST = 1_000_000  # runs
_LIMIT_S = 900.0

_ALL: dict[str, Any] = {
    "before": "",
    "since": 0.0,
    "space": "",
    "status": "",
    "scope": "",
    "asked": False,
}


def forgotten(line: Line, journal: Journal) -> Iterator[tuple[RunRow, codec.Packed | None]]:
    """Those that *journal* lacks, newest first, each as the index keeps it; None where it cannot give it.

    Blocks. Raises `StoreUnavailable`.
    """
    rows = line.call("runs", limit_s=_LIMIT_S, limit=_MOST, **_ALL).result()["rows"]
    for row in (shape.load(RunRow, each) for each in rows):
        if journal.find(row.id) is None:
            found = line.call("run", limit_s=_LIMIT_S, run_id=row.id).result()
            yield row, codec.repacked(found) if found else None
