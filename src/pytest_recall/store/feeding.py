"""The inbox on its way into the index: step by step behind all questions, and what hinders it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from pytest_recall.errors import StoreUnavailable
from pytest_recall.store.journal import Journal
from pytest_recall.store.line import Damaged, Line

TAKE_S = 60.0  # limit of taking in one batch
REBUILD_S = 900.0


class Feeding:
    """What one store has its worker take in; *well* is called when it has done so. Safe from any thread."""

    def __init__(self, journal: Journal, well: Callable[[], None]) -> None:
        self._journal = journal
        self._well = well
        self._lock = threading.Lock()
        self._again = False
        self.line: Line | None = None
        self.going = False  # behind all questions
        self.error = ""  # why the last step failed: a store that answers may take nothing in

    async def now(self, *, look: bool) -> int:
        """Take in what waits, at once; *look*: have the worker find out whether something does. Returns how many runs."""
        taken = 0
        while self.line is not None and (look or self._journal.pending()):
            look = False
            try:
                answer = await self._take(self.line)
            except StoreUnavailable as error:
                self.error = str(error)
                break
            self._went_well()
            taken += int(answer["taken"])
            if not answer["taken"]:
                break  # what is left waits for a later version of ours
        return taken

    async def _take(self, line: Line) -> Any:
        try:
            return await asyncio.wrap_future(line.call("take", limit_s=TAKE_S))
        except Damaged:
            await asyncio.wrap_future(line.call("rebuild", limit_s=REBUILD_S))
            return await asyncio.wrap_future(line.call("take", limit_s=TAKE_S))

    def later(self, do: str = "take") -> None:
        """Have the inbox taken in behind all questions, step by step, until it is empty or hindered."""
        with self._lock:
            line = self.line
            self._again = self.going  # there is something new since the step in progress began
            if line is None or self.going:
                return
            self.going = True
        step = line.call(do, limit_s=REBUILD_S if do == "rebuild" else TAKE_S, later=True)
        step.add_done_callback(partial(self._fed, do))

    def _fed(self, did: str, step: Future[Any]) -> None:
        self.going, again, self._again = False, self._again, False
        if step.cancelled():
            return
        error = step.exception()
        if isinstance(error, Damaged) and did == "take":
            self.later("rebuild")
        elif error is not None:
            self.error = str(error)
        else:
            self._went_well()
            # What is left when nothing was taken waits for a later version of ours.
            if (again or step.result()["taken"] or did == "rebuild") and self._journal.pending():
                self.later()

    def _went_well(self) -> None:
        self.error = ""
        self._well()
