"""Packed rows of the index, each read once: from one question to the next nearly all of them stay the same."""

from __future__ import annotations

from pytest_recall.model import FailureHistory, TestHistory
from pytest_recall.store import records

_MOST = 20_000  # of each kind


class Rows:
    """What packed rows say; None for one that another version of ours wrote in another way."""

    def __init__(self) -> None:
        self.leaves = records.Leaves()  # of the calendars that rows of tests refer to
        self._tests: dict[str, TestHistory | None] = {}
        self._causes: dict[str, FailureHistory | None] = {}

    def test(self, text: str) -> TestHistory | None:
        if text not in self._tests:
            if len(self._tests) > _MOST:
                self._tests.clear()
            try:
                self._tests[text] = records.unpack_test(text, self.leaves.days)
            except ValueError:
                self._tests[text] = None
        return self._tests[text]

    def cause(self, text: str) -> FailureHistory | None:
        if text not in self._causes:
            if len(self._causes) > _MOST:
                self._causes.clear()
            try:
                self._causes[text] = records.unpack_failure(text)
            except ValueError:
                self._causes[text] = None
        return self._causes[text]
