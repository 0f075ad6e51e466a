"""Who is expected, and what became of them: the tests of a run while it goes on, each id once and its numbers in columns."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping

from pytest_recall.model import Attempt
from pytest_recall.suite import Plain, Tests

_Attempts = tuple[Attempt, ...]


class Roll(Mapping[str, _Attempts]):
    """The attempts at each test that was run, by its id and in order of the first; beside them, who is still to come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}  # of every test that was listed or run
        self._rows = array("i")  # by number: where its attempts are, -1 for nowhere
        self._expected = array("i")  # by number: how often it is still to come
        self._run = array("i")  # by row: the number
        self._plain = Plain()
        self.told: dict[int, _Attempts] = {}  # by row, of the tests that are not plain
        self.left = 0  # tests that are still to come

    # --- who is to come ---------------------------------------------------------------------

    def expect(self, test: str) -> None:
        """It is to come once more."""
        number = self._number(test)
        self.left += not self._expected[number]
        self._expected[number] += 1

    def came(self, test: str) -> None:
        """It has come once."""
        number = self._numbers.get(test)
        if number is not None:
            self._came(number)

    def expects(self, test: str) -> bool:
        number = self._numbers.get(test)
        return number is not None and self._expected[number] > 0

    def missing(self) -> list[str]:
        """Those that are still to come."""
        return [test for test, number in self._numbers.items() if self._expected[number]] if self.left else []

    def dismiss(self) -> None:
        """Nobody is expected any more."""
        self._expected = array("i", bytes(self._expected.itemsize * len(self._expected)))
        self.left = 0

    # --- what became of them ----------------------------------------------------------------

    def tests(self) -> Tests:
        """All that were run, as a run keeps them."""
        ids = [""] * len(self._run)
        for test, number in self._numbers.items():
            if self._rows[number] >= 0:
                ids[self._rows[number]] = test
        return Tests(tuple(ids), dict(sorted(self.told.items())), self._plain)

    def record(self, test: str, attempts: _Attempts) -> None:
        """All that is known by now of this one."""
        number = self._number(test)
        row = self._rows[number]
        if row >= 0:
            self.told[row] = attempts
            return
        if not self._plain.add(attempts):
            self.told[len(self._run)] = attempts
        self._append(number)

    def passed(self, test: str, seconds: tuple[float, float, float], order: int, worker: str) -> bool:
        """It has come: its one attempt passed, and this is all there is to tell of it. Whether that could be kept."""
        number = self._number(test)
        if self._rows[number] >= 0 or not self._plain.passed(seconds, order, worker):
            return False
        self._append(number)
        self._came(number)
        return True

    def __getitem__(self, test: str) -> _Attempts:
        row = self._rows[self._numbers[test]]
        if row < 0:
            raise KeyError(test)
        return self.told.get(row) or (self._plain.attempt(row),)

    def __contains__(self, test: object) -> bool:
        number = self._numbers.get(test) if isinstance(test, str) else None
        return number is not None and self._rows[number] >= 0

    def __iter__(self) -> Iterator[str]:
        return iter(self.tests().ids)

    def __len__(self) -> int:
        return len(self._run)

    def _append(self, number: int) -> None:
        self._rows[number] = len(self._run)
        self._run.append(number)

    def _came(self, number: int) -> None:
        if self._expected[number]:
            self._expected[number] -= 1
            self.left -= not self._expected[number]

    def _number(self, test: str) -> int:
        number = self._numbers.get(test)
        if number is None:
            number = self._numbers[test] = len(self._rows)
            self._rows.append(-1)
            self._expected.append(0)
        return number
