"""Runs under way: started once, waited for by any number of callers, queued fairly, ended together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

from pytest_recall.model import Progress

T = TypeVar("T")


@dataclass(slots=True, kw_only=True, eq=False)
class Job(Generic[T]):
    """One piece of work under way. `stop` asks it to end early; it still gives a result."""

    id: str
    key: Hashable
    started_at: float  # of the event loop's clock
    done: anyio.Event = field(default_factory=anyio.Event)
    stop: anyio.Event = field(default_factory=anyio.Event)
    progress: Progress = field(default_factory=Progress)
    result: T | None = None
    error: Exception | None = None
    waiting: int = 0

    def outcome(self) -> T:
        """The result of a finished job, or its error raised."""
        if self.error is not None:
            raise self.error
        if self.result is None:
            raise RuntimeError("the job is not done")  # a caller's mistake, never a user's
        return self.result


Work = Callable[[Job[T]], Awaitable[T]]


class Jobs(Generic[T]):
    """The jobs of one server: at most *at_once* work, the rest wait in the order they came.

    Finished ones are kept for a while: *keep* of them, and no more than *most* together by what *weigh* says.
    """

    def __init__(
        self,
        tasks: TaskGroup,
        *,
        at_once: int,
        keep: int = 50,
        weigh: Callable[[T], int] | None = None,
        most: int = 300_000,
    ) -> None:
        self._tasks = tasks
        self._gate = anyio.CapacityLimiter(at_once)
        self._jobs: dict[str, Job[T]] = {}
        self._keep = keep
        self._weigh = weigh
        self._most = most

    def start(self, job_id: str, key: Hashable, work: Work[T]) -> tuple[Job[T], bool]:
        """Start *work*, or join the unfinished job with the same *key*; tells whether it joined."""
        for job in self._jobs.values():
            if job.key == key and not job.done.is_set() and not job.stop.is_set():
                return job, True
        job = Job[T](id=job_id, key=key, started_at=anyio.current_time())
        self._forget()
        self._jobs[job_id] = job
        self._tasks.start_soon(self._do, job, work)
        return job, False

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """A place among the jobs for work that nobody else can join: it waits in the same queue."""
        async with self._gate:
            yield

    def get(self, job_id: str) -> Job[T] | None:
        return self._jobs.get(job_id)

    def under_way(self) -> list[Job[T]]:
        return [job for job in self._jobs.values() if not job.done.is_set()]

    async def wait(
        self,
        job: Job[T],
        seconds: float,
        *,
        owner: bool,
        tell: Callable[[Progress], Awaitable[None]] | None = None,
    ) -> bool:
        """Wait for *job*, telling its progress; whether it is done. A cancelled *owner* ends it.

        The job of a cancelled owner goes on while somebody else waits for it.
        """
        job.waiting += 1
        try:
            with anyio.move_on_after(seconds):
                while not job.done.is_set():
                    if tell is not None:
                        await tell(job.progress)
                    with anyio.move_on_after(0.1):
                        await job.done.wait()
        except anyio.get_cancelled_exc_class():
            if owner and job.waiting == 1:
                job.stop.set()
            raise
        finally:
            job.waiting -= 1
        return job.done.is_set()

    async def end(self, seconds: float) -> None:
        """Ask every job to stop and wait at most *seconds* for their results."""
        for job in self.under_way():
            job.stop.set()
        with anyio.move_on_after(seconds, shield=True):
            for job in self.under_way():
                await job.done.wait()

    async def _do(self, job: Job[T], work: Work[T]) -> None:
        try:
            if self._gate.available_tokens < 1:
                job.progress = Progress(message="waiting for another run to end")
            async with self._gate:
                job.result = await work(job)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits, not to the task group
            job.error = error
        finally:
            job.done.set()

    def _forget(self) -> None:
        room = self._most
        finished = [job for job in reversed(self._jobs.values()) if job.done.is_set()]
        for newer, job in enumerate(finished):
            room -= self._weigh(job.result) if self._weigh and job.result is not None else 0
            if newer >= self._keep or (newer and room < 0):
                del self._jobs[job.id]
