"""Every record of an index, read to its end: what `store verify` looks for is whatever a view would pass over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from pytest_recall.errors import UnreadableRun
from pytest_recall.model import Run
from pytest_recall.store import codec, records
from pytest_recall.store.chroma import KINDS, Collections
from pytest_recall.store.records import Metadata

_PAGE = 500  # records that are looked at at once


def damaged(collections: Collections) -> Iterator[str]:
    """The records that cannot be read: the collection and the name of each, and of a test which it is."""
    looking = _Looking()
    for kind in sorted(KINDS, key="outcomes".__ne__):  # first of all those that rows of tests refer to
        for name, record in _records(collections.all[kind]):
            if not _reads(looking.readers[kind], record):
                yield f"{kind} {name}" + (f" of {record.get('test')}" if kind == "tests" else "")
    for name in sorted(looking.whole):
        if not _reads(partial(read, collections), name):
            yield f"outcomes {name}"


def read(collections: Collections, run_id: str) -> Run | None:
    """The run that the index keeps whole; None when it does not. Raises ValueError, LookupError or `UnreadableRun`."""
    packed = collections.outcome(run_id)
    return None if packed is None else codec.received(codec.sent(packed))


class _Looking:
    def __init__(self) -> None:
        self.whole: set[str] = set()  # runs that are kept in records of their own
        self._leaves = records.Leaves()
        self.readers: dict[str, Callable[[Metadata], object]] = {
            "runs": records.read_run,
            "outcomes": self._piece,
            "tests": partial(records.read_test, days=self._leaves.days),
            "failures": records.read_failure,
            "transitions": records.read_lore,
            "notes": records.read_lore,
        }

    def _piece(self, record: Metadata) -> None:
        text = records.joined(record)
        if record["part"] == "days":
            records.read_leaf(text)
            self._leaves.add({records.leaf_id(str(record["name"]), int(record["number"])): text})
        elif record["part"] != "roster":  # which is read with the runs that have it
            self.whole.add(str(record["of"]))


def _reads(read: Callable[[Any], object], what: object) -> bool:
    try:
        read(what)
    except codec.FromLater:  # nothing is wrong with it
        return True
    except (ValueError, LookupError, TypeError, UnreadableRun):
        return False
    return True


def _records(collection: Any) -> Iterator[tuple[str, Metadata]]:
    offset = 0
    while ids := (page := collection.get(include=["metadatas"], limit=_PAGE, offset=offset))["ids"]:
        yield from zip(ids, page["metadatas"], strict=True)
        offset += len(ids)
