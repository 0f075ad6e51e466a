"""What a rebuild takes over from the old index: rows about runs that the journal has forgotten.

The database is read without Chroma, which may not open it any more. Whatever cannot be read is left.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from pytest_recall.history import trend
from pytest_recall.model import FailureHistory
from pytest_recall.store import database, records
from pytest_recall.store.chroma import Collections
from pytest_recall.store.records import Metadata

_DOCUMENT = "chroma:document"


def salvage(path: Path, collections: Collections, there: Collection[str]) -> int:
    """Take over from the database in *path* what concerns no run in *there*; returns of how many runs."""
    rows = 0
    with suppress(sqlite3.Error, OSError), closing(database.opened(path, "rw")) as old:
        rows = _runs(old, collections, there)
        _tests(old, collections, there)
        _failures(old, collections)
        _lore(old, collections)
    return rows


def _runs(old: sqlite3.Connection, collections: Collections, there: Collection[str]) -> int:
    lost = [(name, record) for name, record in _rows(old, "runs") if name not in there and _sound(record)]
    names = {name for name, _ in lost}
    wanted = [
        (name, record)
        for name, record in _rows(old, "outcomes")
        if record.get("of") in names or str(record.get("of")).startswith("roster-")
    ]
    collections.take_over("outcomes", wanted)
    collections.take_over("runs", lost)
    return len(lost)


def _sound(record: Metadata) -> bool:
    with suppress(ValueError):
        return bool(records.read_run(record).id)
    return False


def _tests(old: sqlite3.Connection, collections: Collections, there: Collection[str]) -> None:
    histories = {}
    leaves = records.Leaves()
    for name, record in _rows(old, "outcomes"):
        if record.get("part") == "days":
            with suppress(ValueError):
                leaves.add({name: records.joined(record)})
    for _, record in _rows(old, "tests"):
        with suppress(ValueError):
            history = records.read_test(record, leaves.days)
            samples = tuple(sample for sample in history.samples if sample.run not in there)
            if record.get("writer") == collections.writer and samples:
                histories[history.id] = replace(history, samples=samples)
    new = collections.own_tests(sorted(histories))
    collections.put_tests(
        [
            trend.fold(new[test_id], test_id, history.samples) if test_id in new else history
            for test_id, history in histories.items()
        ]
    )


def _failures(old: sqlite3.Connection, collections: Collections) -> None:
    failures: dict[str, FailureHistory] = {}
    documents: dict[str, str] = {}
    for _, record in _rows(old, "failures"):
        with suppress(ValueError):
            failure = records.read_failure(record)
            if record.get("writer") == collections.writer:
                failures[failure.fingerprint] = failure
                documents[failure.fingerprint] = str(record.get(_DOCUMENT, ""))
    new = collections.own_failures(sorted(failures))
    # The old row has counted everything that the new one has, and the forgotten runs.
    older = [failure for key, failure in failures.items() if key not in new or failure.count > new[key].count]
    collections.put_failures(
        older,
        {
            failure.fingerprint: documents[failure.fingerprint]
            for failure in older
            if failure.fingerprint not in new
        },
    )


def _lore(old: sqlite3.Connection, collections: Collections) -> None:
    """What was learnt, and is in no file any more; what is in one is written from it, later."""
    rows = []
    for kind in ("transitions", "notes"):
        for _, record in _rows(old, kind):
            text = str(record.pop(_DOCUMENT, ""))
            with suppress(ValueError):
                records.read_lore(record)
                if record.pop("writer", "") == collections.writer and isinstance(record.get("key"), str):
                    rows.append(records.LoreRow(kind=kind, key=str(record["key"]), text=text, record=record))
    collections.teach(rows)


def _rows(old: sqlite3.Connection, kind: str) -> Iterator[tuple[str, Metadata]]:
    """The records of a collection, as far as its pages can be read."""
    with suppress(sqlite3.Error, UnicodeDecodeError):
        yield from database.rows(old, kind)
