"""What a rebuild takes over from the old index: rows about runs that the journal has forgotten.

The database is read without Chroma, which may not open it any more. Whatever cannot be read is left.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from pytest_recall.errors import StoreUnavailable, UnreadableRun, quoted
from pytest_recall.history import trend
from pytest_recall.model import FailureHistory, Sample, TestHistory
from pytest_recall.store import database, inspection, records
from pytest_recall.store.chroma import Collections
from pytest_recall.store.records import Metadata

_DOCUMENT = "chroma:document"
_BATCH = 300  # records that are asked for at once

T = TypeVar("T")


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
                _replay(old, collections, there)
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
    passed_over = {"", *there}
    pieces = [(name, one) for name, one in _rows(old, "outcomes") if _whole(one) not in passed_over]
    _take_over(collections, "outcomes", pieces)
    rows = [(name, one) for name, one in _rows(old, "runs") if name not in there]
    _take_over(
        collections, "runs", [(name, one) for name, one in rows if _read(records.read_run, one) is not None]
    )


def _take_over(collections: Collections, kind: str, rows: Sequence[tuple[str, Metadata]]) -> None:
    """Records as they are; those of an index that was looked at before stay."""
    for at in range(0, len(rows), _BATCH):
        part = rows[at : at + _BATCH]
        have = set(collections.all[kind].get(ids=[name for name, _ in part], include=[])["ids"])
        collections.take_over(kind, [(name, record) for name, record in part if name not in have])


def _whole(record: Metadata) -> str:
    """What that record of `outcomes` is a piece of: a run, or a list of tests; "" where it is a leaf of a calendar."""
    return "" if record.get("part") == "days" else str(record.get("of", ""))


def _read(read: Callable[[Metadata], T], record: Metadata) -> T | None:
    with suppress(ValueError):
        return read(record)
    return None


def _ours(record: Metadata, collections: Collections) -> bool:
    """Whether that row tells of our runs: all of an embedded index do, whatever name they stand under."""
    return not collections.shared or record.get("writer") == collections.writer


def _replay(old: sqlite3.Connection, collections: Collections, there: Collection[str]) -> None:
    """Make rows that cannot be read anew, from the runs that the index keeps whole."""
    leaves = _leaves(old)
    rows = {name: _read(records.read_run, one) for name, one in _rows(old, "runs") if name not in there}
    tests = {
        records.read_ascii(str(one.get("test", "")))
        for _, one in _rows(old, "tests")
        if not _read(partial(records.read_test, days=leaves.days), one)
    }
    causes = {
        str(one.get("key")): str(one.get(_DOCUMENT, ""))
        for _, one in _rows(old, "failures")
        if not _read(records.read_failure, one)
    }
    if all(rows.values()) and not (tests or causes):
        return
    samples: dict[str, list[Sample]] = {}
    found: dict[str, FailureHistory] = {}
    for name in sorted({_whole(one) for _, one in _rows(old, "outcomes")} - {"", *there}):
        with suppress(ValueError, LookupError, UnreadableRun):
            if (run := inspection.read(collections, name)) is None:
                continue
            row = rows.get(name) or trend.row(run)
            if not rows.get(name):
                collections.add_runs([row])
            for test, more in (trend.observed(run, row, tests) if trend.remembered(row) else {}).items():
                samples.setdefault(test, []).extend(more)
            for key, failure in trend.failures(run).items():
                if records.cause_key(key) in causes:
                    found[key] = trend.merge(found.get(key, failure), failure)
    own, known = collections.own_tests(sorted(samples)), collections.own_failures(sorted(found))
    collections.put_tests([trend.fold(own.get(test), test, more) for test, more in samples.items()])
    collections.put_failures(
        [trend.merge(known.get(key, failure), failure) for key, failure in found.items()],
        {key: causes[records.cause_key(key)] for key in found if key not in known},
    )


def _leaves(old: sqlite3.Connection) -> records.Leaves:
    leaves = records.Leaves()
    for name, record in _rows(old, "outcomes"):
        if record.get("part") == "days":
            with suppress(ValueError):
                leaves.add({name: records.joined(record)})
    return leaves


def _tests(old: sqlite3.Connection, collections: Collections, there: Collection[str]) -> None:
    histories: dict[str, TestHistory] = {}
    leaves = _leaves(old)
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
