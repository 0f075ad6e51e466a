"""What the embedded index knows of tests and causes, read without Chroma: for who asks before the worker has started.

To import Chroma takes most of a second, and these questions need nothing of it. The answers are the worker's own,
and so are the conditions: under its lock, of a clean index, with all rows that its manifest counts. Otherwise
there is none, and the worker is asked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pytest_recall.store import database, records

_WAIT_S = 0.5  # for a process that is writing
# Another process keeps its lock, or the index is not what its manifest says.
_UNTOLD = (Timeout, sqlite3.Error, OSError, ValueError, LookupError, TypeError)


class Glance:
    """The index in a store's folder. Safe from any thread."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "chroma"
        self._lock = folder / "chroma.lock"
        self._calls: dict[str, Callable[..., dict[str, Any]]] = {
            "tests": self._tests,
            "failures": self._failures,
        }

    def answer(self, do: str, *, have: str = "", **asked: Any) -> dict[str, Any] | None:
        """What the worker would answer; None where only it can tell."""
        if do not in self._calls or not self._path.is_dir():
            return None
        with suppress(*_UNTOLD), FileLock(self._lock, timeout=_WAIT_S):
            manifest = database.manifest(self._path)
            if manifest.get("state") != database.CLEAN or manifest.get("schema") != records.SCHEMA:
                return None
            generation, counts = str(manifest["generation"]), manifest["counts"]
            if have and have == generation:
                return {"generation": generation, "same": True}
            with closing(database.opened(self._path / "chroma.sqlite3", "ro")) as opened:
                if all(_whole(opened, kind, counts[kind]) for kind in (do, "outcomes")):
                    return {"generation": generation, **self._calls[do](opened, **asked)}
        return None

    def _tests(self, opened: sqlite3.Connection, ids: Sequence[str] | None) -> dict[str, Any]:
        keys = None if ids is None else map(records.test_key, ids)
        found = [record for _, record in database.rows(opened, "tests", keys=keys)]
        needed = {leaf for record in found for leaf in records.leaves(record)}
        leaves = dict(database.rows(opened, "outcomes", names=sorted(needed)))
        return {
            "rows": [records.joined(record) for record in found],
            "leaves": {name: records.joined(leaves[name]) for name in needed},
        }

    def _failures(self, opened: sqlite3.Connection, fingerprints: Sequence[str] | None) -> dict[str, Any]:
        keys = None if fingerprints is None else map(records.cause_key, fingerprints)
        found = database.rows(opened, "failures", keys=keys)
        return {"rows": [records.joined(record) for _, record in found]}


def _whole(opened: sqlite3.Connection, kind: str, count: int) -> bool:
    """Whether the database has all *count* records that were written to that collection."""
    return database.count(opened, kind) == count and not database.waiting(opened, kind)
