"""The store as the use cases see it: keeps runs at once, answers within a bound, and says what is missing.

Questions go to the index in the worker; what is not taken in yet is added from the journal. When the
index is slow, locked or broken, the journal answers alone and `troubles` tells so.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from pytest_recall.errors import StoreUnavailable, UnreadableRun
from pytest_recall.history import fate, trend
from pytest_recall.history.durations import Seconds
from pytest_recall.history.proof import Evidence
from pytest_recall.model import (
    FailureHistory,
    Fate,
    Note,
    Run,
    RunFiles,
    RunRow,
    TestHistory,
    Transition,
)
from pytest_recall.store import codec, damage, lacking, lore, older, records, shape
from pytest_recall.store.backend import EMBEDDED, Backend
from pytest_recall.store.feeding import REBUILD_S, TAKE_S, Feeding
from pytest_recall.store.folding import Folding
from pytest_recall.store.journal import Journal
from pytest_recall.store.line import Damaged, Line
from pytest_recall.store.recent import FAR, Recent
from pytest_recall.store.status import StoreStatus

_Lore = TypeVar("_Lore", Transition, Note, Evidence, Fate)

_HASTE_S = 0.2  # patience where the journal can answer as well, or the worker was too slow just now
_FEW = 16  # runs that the journal tells of as well as the index
_PATIENT_S = 15.0  # for a question about the index itself, or one that only it can answer
_SLACK_S = 30.0  # what a read may take longer than its caller waits


class Store:
    """What is remembered of a project. Entering starts nothing; leaving ends the worker."""

    def __init__(
        self, journal: Journal, backend: Backend, *, deadline_s: float = 2.0, elsewhere: str = ""
    ) -> None:
        self.journal = journal
        self.backend = backend
        self._elsewhere = elsewhere  # why the journal is not where it was asked for
        self._deadline_s = deadline_s
        self._recent = Recent(journal)
        self._lore = lore.Lore(journal.folder)
        self._line: Line | None = None
        self._feed = Feeding(journal, self._well)
        self._kept = False
        self._pruning: deque[Future[int]] = deque(maxlen=1_000)  # steps so far
        self._error = ""
        self._slow = False  # the last question was not answered in time
        self._folding = Folding(self._recent)
        self._known: tuple[str, list[str]] = ("", [])  # of tests: generation, packed rows
        self._seen: tuple[str, list[str]] = ("", [])  # of causes: generation, packed rows

    async def __aenter__(self) -> Self:
        self._line = self._feed.line = Line(self.journal.folder, self.backend)
        return self

    async def __aexit__(self, *_: object) -> None:
        line, self._line, self._feed.line = self._line, None, None
        if line is not None:
            hasty = self._can_wait() and not (self._kept or self._error or self._feed.error)
            await asyncio.shield(asyncio.to_thread(line.close, hasty=hasty))

    # --- keeping ----------------------------------------------------------------------------

    def keep(self, run: Run, files: RunFiles | None = None) -> None:
        """Write *run* to the journal: durable when this returns. The index is fed behind it.

        Safe from any thread. Raises `StoreUnavailable` when the disk refuses.
        """
        self.journal.write(run, files)
        self._kept = True
        self._feed.later()

    def learn(self, learnt: Sequence[lore.Learnt]) -> None:
        """Keep these, each in its present state: durable when this returns. Safe from any thread.

        Raises `StoreUnavailable` when the disk refuses.
        """
        if not learnt:
            return
        self._lore.keep(learnt)
        if self._line is not None:  # what fails here is made good with the next run that is taken in
            self._line.call("teach", limit_s=TAKE_S, later=True)

    def note(self, note: Note) -> None:
        """Keep *note*: durable when this returns. Raises `StoreUnavailable` when the disk refuses."""
        self.learn([note])

    def wake(self) -> None:
        """Start the worker behind all questions: the next run needs it, and so may its answer."""
        self._feed.later()

    async def feed(self) -> int:
        """Take the inbox into the index now; returns how many runs. What hinders it is in `troubles`."""
        look = self.backend.shared or not self._has_taken(self.journal.settled())
        return await self._feed.now(look=look)

    async def rebuild(self) -> int:
        """Make the index anew; returns of how many runs. Raises `StoreUnavailable`."""
        line = self._required()
        answer = await asyncio.wrap_future(line.call("rebuild", limit_s=REBUILD_S, anyway=True))
        self._well()
        return int(answer["taken"])

    async def reindex(self) -> int:
        """Make all vectors anew by the embedding of the setting; returns of how many runs, or rows. Raises `StoreUnavailable`."""
        answer = await asyncio.wrap_future(self._required().call("reindex", limit_s=REBUILD_S))
        self._well()
        return int(answer["taken"])

    async def verify(self) -> dict[str, int]:
        """Look at every file and record; how many of each. Raises `StoreUnavailable`, which names what is damaged."""
        return dict(await asyncio.wrap_future(self._required().call("verify", limit_s=REBUILD_S)))

    async def prune(self, *, count: int, age_s: float, size_bytes: int) -> int:
        """Forget old journal files, once the index has what it keeps of them; returns how many.

        Those that a step behind the opening took count, too: nobody else tells of them. Raises `StoreUnavailable` where
        the index cannot be written: then they stay.
        """
        await self.feed()
        while step := self.prune_later(count=count, age_s=age_s, size_bytes=size_bytes, later=False):
            try:
                if not await asyncio.wrap_future(step):
                    break
            except Damaged:
                await self.rebuild()
        steps = await asyncio.gather(*map(asyncio.wrap_future, self._pruning), return_exceptions=True)
        return sum(gone for gone in steps if isinstance(gone, int))

    def prune_later(
        self, *, count: int, age_s: float, size_bytes: int, later: bool = True
    ) -> Future[int] | None:
        """Forget some of these files behind all questions; None when there are none. Safe from any thread."""
        limits = {"count": count, "age_s": age_s, "size_bytes": size_bytes}
        leaving = self.journal.leaving(count=count, age_s=age_s, size_bytes=size_bytes, now=time.time())
        if leaving and self._line is not None:
            step: Future[int] = self._line.call("prune", limit_s=REBUILD_S, later=later, **limits)
            self._pruning.append(step)
            return step
        self.journal.forget((), time.time())
        return None

    # --- reading ----------------------------------------------------------------------------

    @property
    def behind(self) -> int:
        """Runs that are in the journal and not in the index."""
        return len(self.journal.pending())

    @property
    def degraded(self) -> bool:
        """Whether the last question, or any of the answer that is being made, had to be answered without the index."""
        return bool(lacking.of(self.journal.folder) or self._error)

    @property
    def hindered(self) -> str:
        """Why the index takes in no run of those that wait; "" where it does, or none waits. It may answer all the same."""
        return self._feed.error if self._feed.error and self.behind else ""

    @property
    def troubles(self) -> tuple[str, ...]:
        """What keeps the store from answering in full, in words for a reader; empty when all is well."""
        error, hindered = lacking.of(self.journal.folder) or self._error, self.hindered
        if not (error or hindered):
            return self.damages
        behind = f" The index is behind by {count} run(s)." if (count := self.behind) else ""
        what = (
            f"Answered from the journal alone: {error}"
            if error
            else f"The index takes no runs in: {hindered}"
        )
        return (f"{what}{behind}", *self.damages)

    @property
    def damages(self) -> tuple[str, ...]:
        """What is missing from every answer, with the index or without it."""
        unread = sum(self._folding.unread.values())
        missing = damage.told(self.journal, self._recent.torn, unread)
        return tuple(filter(None, (self._elsewhere, self._lore.trouble, *missing)))

    async def runs(
        self,
        *,
        limit: int = 20,
        before: str = "",
        since: float = 0.0,
        space: str = "",
        status: str = "",
        scope: str = "",
        asked: bool = False,
    ) -> list[RunRow]:
        """The newest runs that fit, newest first; *before* is a run id, *since* an instant; *asked*: no reruns of our own."""

        def fits(row: RunRow) -> bool:
            return (
                (not before or row.id < before)
                and row.started_at >= since
                and space in ("", row.space)
                and status in ("", row.status)
                and scope in ("", row.scope)
                and not (asked and row.purpose)
            )

        self._folding.unread["runs"] = 0
        near = await asyncio.to_thread(self._recent.rows, fits, limit)
        if not self.backend.shared and (len(near) >= limit or self._journal_has_all(self.journal.settled())):
            return near  # the journal keeps the newest: there is nothing newer in the index
        told: dict[str, Any] = {"before": before, "since": since, "space": space, "status": status}
        answer = await self._ask("runs", limit=limit, scope=scope, asked=asked, **told)
        self._folding.unread["runs"] = answer["unread"] if answer else 0
        found = {row.id: row for row in (shape.load(RunRow, each) for each in (answer or {}).get("rows", ()))}
        found |= {row.id: row for row in near}
        return [found[run_id] for run_id in sorted(found, reverse=True)[:limit]]

    async def run(self, run_id: str, *, patient: bool = False) -> Run | None:
        """The run, from the journal or, when it has left that, from the index; *patient*: which may take its time."""
        try:
            if (run := await asyncio.to_thread(self.journal.run, run_id)) is not None:
                return run
        except UnreadableRun as error:
            self._recent.torn[run_id] = error
        patience = _PATIENT_S if patient else 0.0
        answer = await self._ask("run", only_index=True, patience_s=patience, run_id=run_id)
        return None if answer is None else await asyncio.to_thread(codec.received, answer)

    async def seconds(self, run_id: str) -> Seconds:
        """The seconds of the calls of tests that passed in that run; nothing where the journal lacks it."""
        return await asyncio.to_thread(self.journal.seconds, run_id)

    def forgotten(self) -> Iterator[tuple[RunRow, codec.Packed | None]]:
        """The runs that only the index has (see `older`). Blocks. Raises `StoreUnavailable`."""
        if self.backend.shared or not self._journal_has_all(self.journal.settled()):
            yield from older.forgotten(self._required(), self.journal)

    def files(self, run_id: str) -> RunFiles | None:
        """What is kept beside the run; None when the journal does not have it."""
        return self.journal.files(run_id)

    async def tests(self, ids: Sequence[str] | None = None) -> dict[str, TestHistory]:
        """What is known of these tests; None: of all that ever failed or changed their outcome.

        An id that never did is answered from the newest runs of the journal.
        """
        fates = await self.fates()
        wanted = None if ids is None else set(ids)
        asked = None if ids is None else list(dict.fromkeys([*ids, *sorted(fate.former(ids, fates))]))
        have = self._known[0] if asked is None else ""
        answer = await self._ask("tests", ids=asked, have=have)
        if answer is None:
            packed = self._known[1] if asked is None else []
        elif answer.get("same"):
            packed = self._known[1]
        else:
            packed = list(answer["rows"])
            self._folding.leaves.add(answer["leaves"])
            if asked is None:
                self._known = (answer["generation"], packed)
        found = await asyncio.to_thread(self._folding.tests, packed, asked)
        if fates:
            if asked is None:  # under its new name a test may never have failed, and ended its failures
                found |= await asyncio.to_thread(self._folding.seen, fate.heirs(found, fates))
            found = await asyncio.to_thread(fate.applied, found, fates)
        return found if wanted is None else {test: one for test, one in found.items() if test in wanted}

    async def failures(
        self, *, fingerprints: Sequence[str] | None = None, limit: int = 100
    ) -> list[FailureHistory]:
        """Causes of failures, the latest first; with *fingerprints* (`group`), just those."""
        asked = None if fingerprints is None else list(fingerprints)
        answer = await self._ask("failures", fingerprints=asked, have=self._seen[0] if asked is None else "")
        packed = list((answer or {}).get("rows", ()))
        if answer and answer.get("same"):
            packed = self._seen[1]
        elif answer and asked is None:
            self._seen = (answer["generation"], packed)
        return await asyncio.to_thread(self._folding.failures, packed, asked, limit, whole=answer is not None)

    async def similar(
        self, text: str, limit: int = 5, *, patient: bool = True
    ) -> list[tuple[FailureHistory, float]]:
        """The causes whose text is nearest to *text*, nearest first, with a likeness up to 1.

        Empty without the index: the journal alone does not search by likeness. Who is not *patient* asks only a worker
        that is there already, of what it has taken in.
        """
        if patient:
            with suppress(TimeoutError):  # what waits is looked at, too
                await asyncio.wait_for(self.feed(), _PATIENT_S)
        elif self._line is None or not self._line.ready:
            return []
        patience = _PATIENT_S if patient else 0.0
        answer = await self._ask(
            "similar", only_index=True, patience_s=patience, text=text[:100_000], limit=limit
        )
        found: dict[str, tuple[FailureHistory, float]] = {}
        for value, score in answer or ():
            failure = shape.load(FailureHistory, value)
            other, likeness = found.get(failure.fingerprint, (failure, score))  # another writer's row of it
            found[failure.fingerprint] = (trend.merge(other, failure), max(likeness, score))
        return sorted(found.values(), key=lambda each: -each[1])[:limit]

    async def transitions(
        self,
        *,
        tests: Sequence[str] | None = None,
        fingerprints: Sequence[str] | None = None,
        limit: int = 100,
    ) -> list[Transition]:
        """The ways from red to green that are known, the latest first: of all tests, or of these *tests* or causes."""
        asked, wanted = {}, {*(tests or ()), *(fingerprints or ())}
        if tests is not None:
            asked["test"] = [records.test_key(test) for test in tests]
        if fingerprints is not None:
            asked["fingerprint"] = [records.ascii_text(one)[:200] for one in fingerprints]
        found = [
            one
            for one in await self._learnt(Transition, asked)
            if (tests is None and fingerprints is None) or one.test in wanted or one.fingerprint in wanted
        ]
        return sorted(found, key=lambda one: (one.at, one.green_run, one.test), reverse=True)[:limit]

    async def notes(self, about: Sequence[str] | None = None) -> list[Note]:
        """What was said about these runs, tests, causes or other notes (None: about anything), the latest first."""
        asked = {} if about is None else {"about": [lore.digest((one,)) for one in about]}
        found = [one for one in await self._learnt(Note, asked) if about is None or one.about in about]
        return sorted(found, key=lambda one: one.id, reverse=True)

    async def evidence(self, run_id: str = "") -> list[Evidence]:
        """What was proven of the failures of that run, or of all, the latest first."""
        asked = {"about": [lore.digest((run_id,))]} if run_id else {"kind": ["evidence"]}
        found = [one for one in await self._learnt(Evidence, asked) if run_id in ("", one.run)]
        return sorted(found, key=lambda one: one.at, reverse=True)

    async def fates(self) -> dict[str, Fate]:
        """What became of tests that collection did not find any more, by their ids."""
        return {one.test: one for one in await self._learnt(Fate, {"kind": ["fate"]})}

    async def _learnt(self, made: type[_Lore], asked: dict[str, list[str]]) -> list[_Lore]:
        """The own files have all that was learnt here; a shared index has what others learnt, too."""
        own = await asyncio.to_thread(self._lore.all)
        kind = made.__name__
        answer = await self._ask("learnt", kind=kind, asked=asked) if self.backend.shared else ()
        others = {str(name): shape.load(made, value) for name, value in answer or ()}
        return [one for one in lore.merged(own, others) if isinstance(one, made)]

    async def status(self) -> StoreStatus:
        """How the store is, asked now."""
        answer = await self._ask("status", only_index=True, patience_s=_PATIENT_S) or {}
        paths = await asyncio.to_thread(self.journal.paths)
        return StoreStatus(
            backend=type(self.backend).__name__.lower(),
            folder=str(self.journal.folder),
            healthy=bool(answer) and not self.hindered,
            behind=self.behind,
            runs=len(paths),
            counts=answer.get("counts", {}),
            versions=answer.get("versions", {}),
            journal_bytes=await asyncio.to_thread(self.journal.size),
            index_bytes=answer.get("size", 0),
            error=self._error or self.hindered,
        )

    # --- asking the worker ------------------------------------------------------------------

    async def _ask(
        self, do: str, *, only_index: bool = False, patience_s: float = 0.0, **arguments: Any
    ) -> Any:
        """The index's answer, or None when there is none in time: then the journal answers.

        With *only_index* the journal cannot, so that waiting is worth it; *patience_s* says how long, where
        the caller asked for the index itself.
        """
        line, enough = self._line, not only_index and self._journal_is_enough()
        if line is None or (enough and not line.awake and self._can_wait()):
            return None  # the journal's answer is as good, and there at once
        told = None
        if not (line.ready or self._error or self._feed.error or self.backend.shared):
            told = await asyncio.to_thread(self._glanced, do, **arguments)
        if told is None:
            return await self._ask_worker(line, do, enough=enough, patience_s=patience_s, **arguments)
        if not self._can_wait():
            self._feed.later()
        return told

    def _glanced(self, do: str, **arguments: Any) -> dict[str, Any] | None:
        from pytest_recall.store.glance import Glance  # noqa: PLC0415 - SQLite, which a server rarely needs

        if self.journal.index() != EMBEDDED:
            return None  # what another index took in, only the worker misses
        return Glance(self.journal.folder).answer(do, **arguments)

    async def _ask_worker(
        self, line: Line, do: str, *, enough: bool, patience_s: float, **arguments: Any
    ) -> Any:
        patience = min(self._deadline_s, _HASTE_S if self._slow or enough else self._deadline_s)
        patience = patience_s or patience
        await line.warm(_PATIENT_S)
        question = line.call(do, limit_s=patience + _SLACK_S, **arguments)
        question.add_done_callback(self._answered)
        try:
            answer = await asyncio.wait_for(asyncio.wrap_future(question), patience)
        except TimeoutError:
            self._slow = True
            if not enough:
                self._lack(f"the index did not answer within {patience:g} s.")
            return None
        except StoreUnavailable as error:
            self._error = str(error)
            if isinstance(error, Damaged):
                if patience_s and await self._mended(line, patience_s):
                    return await self._ask_worker(line, do, enough=enough, patience_s=0.0, **arguments)
                self._feed.later("rebuild")
            self._lack(str(error))
            return None
        self._well()
        return answer

    def _well(self) -> None:
        self._error = ""

    def _lack(self, trouble: str) -> None:
        """The answer that is being made does without the index: what the next question finds does not mend that."""
        self._error = trouble
        lacking.note(self.journal.folder, trouble)

    async def _mended(self, line: Line, patience_s: float) -> bool:
        """Whether a rebuild ended in time, for who asks for the index itself.

        A command would leave before one behind it had ended, and so would each after it.
        """
        try:
            await asyncio.wait_for(asyncio.wrap_future(line.call("rebuild", limit_s=REBUILD_S)), patience_s)
        except (TimeoutError, StoreUnavailable):
            return False
        return True

    def _answered(self, question: Future[Any]) -> None:
        """The worker is awake: whoever asks next is patient with it, and the inbox has another chance."""
        if not question.cancelled() and question.exception() is None:
            self._slow = False
            if not self._feed.going and self.journal.pending():
                self._feed.later()

    def _journal_is_enough(self) -> bool:
        """Whether the journal could tell of everything just as well as the index."""
        if self.backend.shared:
            return False
        settled = self.journal.settled()
        return self._journal_has_all(settled) and len(settled) < FAR and self._recent.hold(settled)

    def _journal_has_all(self, settled: Sequence[Path]) -> bool:
        """Whether the embedded index is known to tell of no run that the journal has forgotten."""
        indexed = self.journal.indexed()
        known = indexed is not None and indexed <= len(settled) and self._has_taken(settled)
        return known and not self._recent.torn

    def _has_taken(self, settled: Sequence[Path]) -> bool:
        """Whether it is known that the embedded index, and not another one, has taken these in."""
        return not settled or self.journal.index() == EMBEDDED

    def _can_wait(self) -> bool:
        """Whether the inbox holds too little for a start of the worker, which takes a second."""
        return not self.backend.shared and len(self.journal.pending()) < _FEW

    def _required(self) -> Line:
        if self._line is None:
            raise StoreUnavailable("The store is not open.")
        return self._line
