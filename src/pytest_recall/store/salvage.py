"""What a rebuild takes over from the old index: rows about runs that the journal has forgotten.

The database is read without Chroma, which may not open it any more. Whatever cannot be read is left.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from pytest_recall.errors import StoreUnavailable, quoted
from pytest_recall.history import trend
from pytest_recall.model import FailureHistory, TestHistory
from pytest_recall.store import database, records
from pytest_recall.store.chroma import Collections
from pytest_recall.store.records import Metadata

_DOCUMENT = "chroma:document"


def salvage(places: Iterable[Path], collections: Collections, there: Collection[str]) -> int:
    """Take over from the indexes in these folders what concerns no run in *there*.

    Returns how many runs more than the new index one of them had. Raises `StoreUnavailable` where the system keeps a
    database from us.
    """
    known = 0
    for place in places:
        try:
            known = max(known, _known(place))
            with closing(database.opened(place / "chroma.sqlite3", "rw")) as old:
                old.execute("pragma schema_version")  # whether it can be read at all
                _runs(old, collections, there)
                _tests(old, collections, there)
                _failures(old, collections)
                _lore(old, collections)
        except (sqlite3.Error, OSError) as error:
            if database.withheld(error) and (place / "chroma.sqlite3").exists():
                raise StoreUnavailable(
                    f"{quoted(str(place))} has an index of past runs that cannot be read: {error!s:.200}. "
                    "Make it readable, or move it away to do without it."
                ) from error
    return max(0, known - collections.count("runs"))


def _known(place: Path) -> int:
    with suppress(LookupError, TypeError, ValueError):
        return int(database.manifest(place)["counts"]["runs"])
    return 0


def _runs(old: sqlite3.Connection, collections: Collections, there: Collection[str]) -> None:
    lost = [(name, record) for name, record in _rows(old, "runs") if name not in there and _sound(record)]
    names = {name for name, _ in lost}
    wanted = [
        (name, record)
        for name, record in _rows(old, "outcomes")
        if record.get("of") in names or str(record.get("of")).startswith("roster-")
    ]
    collections.take_over("outcomes", wanted)
    collections.take_over("runs", lost)


def _ours(record: Metadata, collections: Collections) -> bool:
    """Whether that row tells of our runs: all of an embedded index do, whatever name they stand under."""
    return not collections.shared or record.get("writer") == collections.writer


def _sound(record: Metadata) -> bool:
    with suppress(ValueError):
        return bool(records.read_run(record).id)
    return False


def _tests(old: sqlite3.Connection, collections: Collections, there: Collection[str]) -> None:
    histories: dict[str, TestHistory] = {}
    leaves = records.Leaves()
    for name, record in _rows(old, "outcomes"):
        if record.get("part") == "days":
            with suppress(ValueError):
                leaves.add({name: records.joined(record)})
    for _, record in _rows(old, "tests"):
        with suppress(ValueError):
            history = records.read_test(record, leaves.days)
            samples = tuple(sample for sample in history.samples if sample.run not in there)
            if samples and _ours(record, collections):
                history = replace(history, samples=samples)
                other = histories.get(history.id, history)
                histories[history.id] = trend.fold(other, history.id, samples)
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
            if _ours(record, collections):
                key = failure.fingerprint
                failures[key] = trend.merge(failures.get(key, failure), failure)
                documents[key] = str(record.get(_DOCUMENT, ""))
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
    rows: dict[str, tuple[str, records.LoreRow]] = {}
    for kind in ("transitions", "notes"):
        for _, record in _rows(old, kind):
            text = str(record.pop(_DOCUMENT, ""))
            with suppress(ValueError):
                name, _ = records.read_lore(record)
                key = record.get("key")
                if isinstance(key, str) and _ours(record, collections) and name >= rows.get(key, ("",))[0]:
                    rows[key] = name, records.LoreRow(kind=kind, key=key, text=text, record=record)
    collections.teach([row for _, row in rows.values()])


def _rows(old: sqlite3.Connection, kind: str) -> Iterator[tuple[str, Metadata]]:
    """The records of a collection, as far as its pages can be read."""
    with suppress(sqlite3.Error, UnicodeDecodeError):
        yield from database.rows(old, kind)
