"""What the index says of tests and causes, and what the journal knows beside it, as one answer."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from pytest_recall.history import trend
from pytest_recall.model import FailureHistory, Sample, TestHistory
from pytest_recall.store.ids import horizon
from pytest_recall.store.recent import FAR, NEAR, Entry, Recent, catching_up, interesting
from pytest_recall.store.rows import Rows


class Folding:
    """Packed rows of the index, and the newest runs of the journal, which may not be in them yet."""

    def __init__(self, recent: Recent) -> None:
        self._recent = recent
        self._rows = Rows()
        self._last: tuple[object, dict[str, TestHistory]] = (None, {})
        self._seen: tuple[object, dict[str, TestHistory]] = (None, {})
        self.unread = {"runs": 0, "tests": 0, "causes": 0}  # rows of the last answers that could not be read
        self.leaves = self._rows.leaves  # of the calendars that rows of tests refer to

    def tests(self, packed: Iterable[str], ids: list[str] | None) -> dict[str, TestHistory]:
        """Histories by test, of these *ids* or of all that are worth one."""
        packed = list(packed)
        near = self._recent.entries(NEAR)
        state = (
            ids if ids is None else tuple(ids),
            hash(tuple(packed)),
            tuple(entry.row.id for entry in near),
        )
        if self._last[0] == state:
            return dict(self._last[1])
        known: dict[str, TestHistory] = {}
        histories = [_told(self._rows.test(text)) for text in packed]
        self.unread["tests"] = histories.count(None)
        for history in filter(None, histories):
            other = known.get(history.id)
            known[history.id] = history if other is None else trend.fold(other, history.id, history.samples)
        late = catching_up(known, near)
        found = known | {test_id: trend.fold(known[test_id], test_id, more) for test_id, more in late.items()}
        missing = self._missing(found, ids, near)
        found |= self.seen(missing)
        self._last = (state, found)
        return dict(found)

    def seen(self, ids: Collection[str]) -> dict[str, TestHistory]:
        """What the newest runs of the journal have of tests that no row is about: those that never failed."""
        if not ids:
            return {}
        state = (frozenset(ids), self._recent.names(FAR))
        known, found = self._seen
        if known != state:
            samples: dict[str, list[Sample]] = {}
            for entry in self._recent.entries(FAR):
                for test_id, more in entry.samples(ids).items():
                    samples.setdefault(test_id, []).extend(more)
            found = {test_id: trend.fold(None, test_id, more) for test_id, more in samples.items()}
            self._seen = (state, found)
        return dict(found)

    def failures(
        self, packed: list[str], fingerprints: list[str] | None, limit: int, *, whole: bool
    ) -> list[FailureHistory]:
        """Causes, the latest first; *whole*: the rows tell of every run but those of the inbox."""
        entries = self._recent.pending() if whole else self._recent.entries(FAR)
        causes = [self._rows.cause(text) for text in packed]
        self.unread["causes"] = causes.count(None)
        rows = filter(None, causes)
        found: dict[str, FailureHistory] = {}
        for failure in (*rows, *(failure for entry in entries for failure in entry.failures().values())):
            key = failure.fingerprint
            if fingerprints is None or key in fingerprints:
                found[key] = trend.merge(found[key], failure) if key in found else failure
        return sorted(
            found.values(), key=lambda failure: (failure.last_seen, failure.fingerprint), reverse=True
        )[:limit]

    def _missing(self, found: dict[str, TestHistory], ids: list[str] | None, near: list[Entry]) -> set[str]:
        if ids is not None:
            return set(ids) - found.keys()
        far = self._recent.entries(FAR) if not found else near
        return interesting(far) - found.keys()


def _told(history: TestHistory | None) -> TestHistory | None:
    """*history* without runs whose time has not come."""
    last = horizon()
    if history is None or not history.samples or max(sample.run for sample in history.samples) < last:
        return history
    return replace(history, samples=tuple(sample for sample in history.samples if sample.run < last))
