"""The newest runs of the journal, opened and kept at hand: what answers before, beside and without the index."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pytest_recall.errors import UnreadableRun
from pytest_recall.history import trend
from pytest_recall.model import Failure, FailureHistory, Outcome, Run, RunRow, Sample, Test, TestHistory
from pytest_recall.store.codec import Record
from pytest_recall.store.journal import Journal

FAR = 200  # runs that a test's history may be made from
NEAR = 64  # runs that a row of the index may lag behind
_BYTES = 24 << 20  # of opened runs that one answer is made of
_HELD = 32 << 20  # of those that are kept open
_OPENED = 4  # times the size of its file, at most


class Entry:
    """One run of the journal: its row, and of its tests what is asked for."""

    def __init__(self, row: RunRow, record: Record) -> None:
        self.row = row
        self.record = record
        self._told: dict[str, Outcome] | None = None
        self._samples: dict[str, list[Sample]] = {}  # of told tests
        self._failures: dict[str, FailureHistory] = {}

    @property
    def told(self) -> dict[str, Outcome]:
        """What became of the tests that did more than pass, so far as history keeps them."""
        return self._looked()

    def samples(self, ids: Collection[str]) -> dict[str, list[Sample]]:
        """What history keeps of these tests, of this run."""
        if not trend.remembered(self.row) or not ids:
            return {}
        told = self._looked()
        found = {test_id: self._samples[test_id] for test_id in ids if test_id in self._samples}
        plain = frozenset([test_id for test_id in ids if test_id not in told])
        return found | trend.passed(self.record.bare, self.row, self.record.passes(plain))

    def failures(self) -> dict[str, FailureHistory]:
        """The causes of this run's failures, by fingerprint; of a suspect run too."""
        self._looked()
        return self._failures

    def causes(self) -> tuple[str, dict[str, Failure]]:
        """The root of the run, and the first failure of each cause."""
        run = self._failing()
        found: dict[str, Failure] = {}
        for failure in _failures(run):
            found.setdefault(failure.fingerprint.group, failure)
        return run.rootdir, found

    def _looked(self) -> dict[str, Outcome]:
        # Texts of failures are large: what is kept at hand is only what is asked for again and again.
        if self._told is None:
            run = self._failing()
            self._failures = trend.failures(run)
            self._samples = trend.samples(run, self.row)
            self._told = {
                test.id: _worst(test)
                for test in run.tests
                if test.id in self._samples or not self.row.suspect
            }
        return self._told

    def _failing(self) -> Run:
        return self.record.run(frozenset(self.record.told))


class Recent:
    """Entries by run, newest first; safe to use from several threads."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.RLock()
        self._paths: Sequence[Path] = ()  # when `rows` looked last
        self._rows: dict[str, RunRow] = {}
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._held = 0
        # Runs of the journal that could not be read when they were last asked for, and why.
        self.torn: dict[str, UnreadableRun] = {}

    def rows(self, fits: Callable[[RunRow], bool], most: int) -> list[RunRow]:
        """The newest runs that fit, in one line each, at most *most*."""
        found: list[RunRow] = []
        with self._lock:
            if (paths := self._journal.paths()) is not self._paths:
                there = {path.stem for path in paths}
                self._rows = {name: row for name, row in self._rows.items() if name in there}
                self.torn = {name: why for name, why in self.torn.items() if name in there}
                self._paths = paths
            for path in paths:
                if len(found) >= most:
                    break
                if (row := self._row(path)) is not None and fits(row):
                    found.append(row)
        return found

    def entries(self, most: int) -> list[Entry]:
        """The newest runs, at most *most*, and no more than fit the memory set aside for them."""
        found: list[Entry] = []
        total = 0
        for path in self._journal.paths()[:most]:
            if (entry := self.entry(path)) is not None:
                found.append(entry)
                total += entry.record.size
                if total > _BYTES:
                    break
        return found

    def names(self, most: int) -> tuple[str, ...]:
        """The ids of the newest runs, at most *most*."""
        return tuple(path.stem for path in self._journal.paths()[:most])

    def hold(self, paths: Sequence[Path]) -> bool:
        """Whether `entries` would have all of these."""
        total = 0
        for path in paths:
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total * _OPENED <= _BYTES

    def pending(self) -> list[Entry]:
        """The runs that are not in the index yet."""
        return [entry for path in self._journal.pending() if (entry := self.entry(path)) is not None]

    def entry(self, path: Path) -> Entry | None:
        """The run in *path*; None when it cannot be read."""
        with self._lock:
            entry = self._entries.get(path.stem)
            if entry is not None:
                self._entries.move_to_end(path.stem)
                return entry
            with self._telling(path):
                entry = self._entries[path.stem] = Entry(self._journal.row(path), self._journal.record(path))
                self._held += entry.record.size
            while self._held > _HELD and len(self._entries) > 1:
                self._held -= self._entries.popitem(last=False)[1].record.size
            return entry

    def _row(self, path: Path) -> RunRow | None:
        known = self._rows.get(path.stem)
        if known is None:
            with self._telling(path):
                known = self._rows[path.stem] = self._journal.row(path)
        return known

    @contextmanager
    def _telling(self, path: Path) -> Iterator[None]:
        """Whatever is read of that run: when it cannot be, that is told; it may also be gone, which is no damage."""
        try:
            yield
        except UnreadableRun as error:
            if self._journal.find(path.stem) is not None:
                self.torn[path.stem] = error
        else:
            self.torn.pop(path.stem, None)


def interesting(entries: Sequence[Entry]) -> set[str]:
    """Tests that failed in one of these runs (newest first), or ended differently in two neighbours."""
    found: set[str] = set()
    for number, entry in enumerate(entries):
        found |= {test_id for test_id, outcome in entry.told.items() if outcome.bad}
        if number + 1 < len(entries):
            found |= changed(entry, entries[number + 1])
    return found


def changed(entry: Entry, before: Entry) -> set[str]:
    """Tests that both runs finished, with another outcome."""
    silent = (Outcome.SKIPPED, Outcome.NOT_RUN)
    found = {
        test_id
        for test_id in {*entry.told, *before.told}
        if entry.told.get(test_id, Outcome.PASSED) is not before.told.get(test_id, Outcome.PASSED)
        and entry.told.get(test_id) not in silent
        and before.told.get(test_id) not in silent
    }
    if not found or entry.row.suspect or before.row.suspect:
        return set()
    return before.record.has(entry.record.has(found))


def catching_up(known: Mapping[str, TestHistory], entries: Iterable[Entry]) -> dict[str, list[Sample]]:
    """Samples of those runs that were not there yet when each of these histories was written.

    They need not be later ones: a long run that began before a short one ends after it.
    """
    written = {test_id: {sample.run for sample in history.samples} for test_id, history in known.items()}
    found: dict[str, list[Sample]] = {}
    for entry in entries:
        late = [test_id for test_id, runs in written.items() if entry.row.id not in runs]
        for test_id, samples in entry.samples(late).items():
            found.setdefault(test_id, []).extend(samples)
    return found


def _worst(test: Test) -> Outcome:
    outcomes = [attempt.outcome for attempt in test.attempts]
    return next((outcome for outcome in outcomes if outcome.bad), outcomes[-1])


def _failures(run: Run) -> Iterable[Failure]:
    for test in run.tests:
        if test.outcome.bad:
            yield from test.failures
    for collector in run.collectors:
        if collector.failure:
            yield collector.failure
