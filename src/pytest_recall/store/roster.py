"""The list of a run's node ids: most runs of a suite share one, so it is kept once and named by its content."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from hashlib import blake2b
from typing import Any

import orjson

from pytest_recall.model import Run
from pytest_recall.store import shape
from pytest_recall.suite import Tests

_DIGEST_SIZE = 16
_PIECE = 2_000  # ids that are rendered at once


class Roster:
    """The node ids of a run, and where each of them stands. They are there once: 200,000 take 20 MB."""

    def __init__(self, ids: tuple[str, ...]) -> None:
        self.ids = ids

    @cached_property
    def files(self) -> list[str]:
        """The files of the tests, sorted."""
        return files_of(self.ids)

    @cached_property
    def digest(self) -> str:
        """The name of what `pieces` make."""
        whole = blake2b(digest_size=_DIGEST_SIZE)
        self._size = 0
        for piece in self.pieces():
            self._size += len(piece)
            whole.update(piece)
        return whole.hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all `pieces`."""
        return self._size if self.digest else 0

    def pieces(self) -> Iterator[bytes]:
        """The ids as they are stored: a JSON list, a part at a time."""
        yield b"["
        for at in range(0, len(self.ids), _PIECE):
            yield (b"," if at else b"") + _rendered(self.ids[at : at + _PIECE])[1:-1]
        yield b"]"

    def place(self, test_id: str) -> int | None:
        slots = self._slots
        at = hash(test_id) % len(slots)
        while (place := slots[at]) >= 0:
            if self.ids[place] == test_id:
                return place
            at = (at + 1) % len(slots)
        return None

    @cached_property
    def _slots(self) -> array[int]:
        """Places by the hashes of their ids, with the next free slot for those that share one: a dict takes eight times as much."""
        slots = array("i", [-1]) * (2 * len(self.ids) + 1)
        for place, test_id in enumerate(self.ids):
            at = hash(test_id) % len(slots)
            while slots[at] >= 0:
                at = (at + 1) % len(slots)
            slots[at] = place
        return slots


Rosters = Callable[[str], Roster]  # by digest; raises UnreadableRun


class Listed:
    """The list of node ids that was packed last, since the next run of a suite has the same. Safe from any thread."""

    def __init__(self) -> None:
        self._last = Roster(())

    def alike(self, run: Run) -> Run:
        """*run* with the ids that are there already, where they are the same."""
        ids = self._last.ids
        if run.tests.ids != ids:
            return run
        return replace(run, tests=Tests(ids, run.tests.told, run.tests.plain))

    def of(self, ids: tuple[str, ...]) -> Roster:
        """The roster of *ids*."""
        last = self._last
        if last.ids != ids:
            last = self._last = Roster(ids)
        return last


def node_ids(value: Any) -> tuple[str, ...]:
    """*value* as node ids, checked."""
    if not isinstance(value, list) or not set(map(type, value)) <= {str}:
        raise shape.Misshapen("node ids that are no texts")
    return tuple(value)


def digest_of(roster: bytes) -> str:
    """The name of a list that `Roster.pieces` made."""
    return blake2b(roster, digest_size=_DIGEST_SIZE).hexdigest()


def files_of(ids: Iterable[str]) -> list[str]:
    """The files of these tests, sorted."""
    return sorted({name.partition("::")[0] for name in ids})


def _rendered(ids: tuple[str, ...]) -> bytes:
    """A list as JSON. Both ways give the same bytes; the first is ten times as fast."""
    try:
        return orjson.dumps(ids)
    except orjson.JSONEncodeError:  # a lone surrogate
        return json.dumps(ids, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
