"""Taking runs from the journal into the collections: the same run twice changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pytest_recall.errors import UnreadableRun, WithheldRun
from pytest_recall.history import fate, fingerprint, trend
from pytest_recall.model import FailureHistory, Fate, Sample, TestHistory
from pytest_recall.store import codec, records
from pytest_recall.store.chroma import Collections
from pytest_recall.store.guard import Damaged
from pytest_recall.store.journal import Journal
from pytest_recall.store.recent import FAR, NEAR, Entry, Recent, catching_up, changed

_BATCH = 16  # runs of one step
_BYTES = 256 << 10  # of each of their files, on average
_TURNS = 32  # a row of a test is written at every 32nd run, and caught up on by readers


Fates = Callable[[Collections], Mapping[str, Fate]]


class Intake:
    """One writer's way into its collections."""

    def __init__(self, journal: Journal, recent: Recent, fates: Fates) -> None:
        self._journal = journal
        self._recent = recent
        self._fates = fates
        self._later: set[Path] = set()  # files that wait for a later version of ours, or for another process

    def batch(self, paths: Sequence[Path], *, most: int = _BATCH) -> list[Path]:
        """The first of *paths*: as many as one step takes in, so that questions get their turn between."""
        found: list[Path] = []
        size = 0
        for path in [path for path in paths if path not in self._later][:most]:
            with suppress(FileNotFoundError):
                size += path.stat().st_size
            if found and size > most * _BYTES:
                break
            found.append(path)
        return found

    def take(self, collections: Collections, paths: Sequence[Path]) -> list[Path]:
        """Take in these files (oldest first); returns those that are in the index now."""
        entries = {path: entry for path in paths if (entry := self._opened(path)) is not None}
        taken = collections.taken([path.stem for path in entries])
        fresh = {path: entry for path, entry in entries.items() if path.stem not in taken}
        if collections.shared:
            whole = {path.stem: self._journal.packed(path) for path in fresh}
            collections.add_outcomes(whole, self._journal.packed_roster)
        batch = list(fresh.values())
        if batch:
            collections.unread = 0
            collections.put_tests(self._tests(collections, batch))
            self._failures(collections, batch)
            collections.add_runs([entry.row for entry in batch])  # last: where it is, all is
        return list(entries)

    def regain(self, collections: Collections, name: str) -> None:
        """What is settled and is not in that index, since another one took it in, is to be taken in again."""
        settled = self._journal.settled()
        there = collections.taken([path.stem for path in settled])
        self._journal.belong(name, [path for path in settled if path.stem not in there])

    def catch_up(self, collections: Collections) -> None:
        """Write every row that is late."""
        histories = collections.own_tests(sorted(collections.interesting))
        late = catching_up(histories, self._recent.entries(NEAR))
        collections.put_tests([trend.fold(histories[test], test, more) for test, more in late.items()])

    def follow(self, collections: Collections) -> None:
        """Rows of tests under the names that they have now, with what ran under these before anybody told."""
        new = fate.heirs(collections.interesting, self._fates(collections))
        found: dict[str, list[Sample]] = {}
        for entry in self._recent.entries(FAR) if new else ():
            for test_id, more in entry.samples(new).items():
                found.setdefault(test_id, []).extend(more)
        collections.put_tests([trend.fold(None, test_id, more) for test_id, more in found.items()])

    def archive(self, collections: Collections, paths: Iterable[Path]) -> None:
        """What the index keeps of runs that the journal is about to forget: what they were, without the times."""
        found: dict[str, codec.Packed] = {}
        for path in paths:
            with suppress(UnreadableRun):  # nothing can be kept of it
                found[path.stem] = codec.lean(self._journal.packed(path))
        if not collections.shared:  # else it holds them whole
            collections.add_outcomes(found, self._journal.packed_roster)

    def settle(self, paths: Iterable[Path]) -> None:
        """These files have been taken in, and what took them is on the disk."""
        for path in paths:
            self._journal.settle(path)

    def _opened(self, path: Path) -> Entry | None:
        entry = self._recent.entry(path)
        if entry is None and path.exists():
            try:
                self._journal.record(path)
            except (codec.FromLater, WithheldRun):
                self._later.add(path)
            except UnreadableRun:
                self._journal.set_aside(path)
        return entry

    # --- tests ------------------------------------------------------------------------------

    def _tests(self, collections: Collections, batch: Sequence[Entry]) -> list[TestHistory]:
        known = collections.interesting
        far = self._recent.entries(FAR)
        bad = {test_id for entry in batch for test_id, outcome in entry.told.items() if outcome.bad}
        bad |= self._flipped(batch, far)
        # Under its new name a test may never fail: without a row, its failures would be the last that is known of it.
        heirs = fate.heirs(known | bad, self._fates(collections))
        bad = bad.union(*(entry.record.has(heirs) for entry in batch if heirs))
        new = bad - known
        due = self._due(collections, batch, far)
        if collections.shared:
            due |= bad & known  # readers elsewhere do not have our journal
        histories = collections.own_tests(sorted(due))
        _all_read(collections)
        # What is late is written into every row at once: nobody looks back that far again.
        samples = catching_up(histories, _within(far, batch, NEAR))
        for entry in batch:
            for test_id, more in entry.samples(due).items():
                samples.setdefault(test_id, []).extend(more)
        for entry in _within(far, batch, FAR) if new else ():
            for test_id, more in entry.samples(new).items():
                samples.setdefault(test_id, []).extend(more)
        return [trend.fold(histories.get(test_id), test_id, more) for test_id, more in samples.items()]

    def _flipped(self, batch: Sequence[Entry], far: Sequence[Entry]) -> set[str]:
        order = [entry.row.id for entry in far]
        found: set[str] = set()
        for entry in batch:
            at = order.index(entry.row.id) if entry.row.id in order else len(order)
            if at + 1 < len(far):
                found |= changed(entry, far[at + 1])
        return found

    def _due(self, collections: Collections, batch: Sequence[Entry], far: Sequence[Entry]) -> set[str]:
        known = collections.interesting
        near = [entry.row.id for entry in far[:NEAR]]
        # Whoever reads a row, or writes it the next time, looks for what is late in the newest runs: no more of them
        # are at hand than the journal keeps and memory holds.
        # A power of two, so that nobody waits for longer than all of them when it doubles.
        turns = 1 << max(0, min(_TURNS, 3 * len(near) // 4).bit_length() - 1)
        settled = collections.count("runs")
        if len(batch) >= turns or any(entry.row.id not in near for entry in batch):
            return set(known)
        now = {(settled + number) % turns for number in range(len(batch))}
        return {test_id for test_id in known if int(records.test_key(test_id)[:8], 16) % turns in now}

    # --- failures ---------------------------------------------------------------------------

    def _failures(self, collections: Collections, batch: Sequence[Entry]) -> None:
        found: dict[str, FailureHistory] = {}
        documents: dict[str, str] = {}
        for entry in batch:
            for key, failure in entry.failures().items():
                found[key] = trend.merge(found[key], failure) if key in found else failure
        known = collections.own_failures(sorted(found))
        _all_read(collections)
        for entry in batch:
            if entry.failures().keys() - known.keys() - documents.keys():
                root, causes = entry.causes()
                for key in causes.keys() - known.keys() - documents.keys():
                    documents[key] = fingerprint.document(causes[key], root=root)
        merged = [
            trend.merge(known[key], failure) if key in known else failure for key, failure in found.items()
        ]
        collections.put_failures(merged, documents)


def _all_read(collections: Collections) -> None:
    """Where a row cannot be read, another one in its place would know of the newest runs only, and look sound."""
    if collections.unread and not collections.shared:
        raise Damaged("rows of it cannot be read")


def _within(far: Sequence[Entry], batch: Sequence[Entry], most: int) -> list[Entry]:
    found = {entry.row.id: entry for entry in (*far[:most], *batch)}
    return list(found.values())
