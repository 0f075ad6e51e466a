"""What a person sees while a run goes on: a bar on stderr, which leaves nothing behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from pytest_recall.cli.terminal import plain
from pytest_recall.model import Progress as Done

Tell = Callable[[Done], Awaitable[None]]


@contextmanager
def live() -> Iterator[Tell]:
    """A progress bar on stderr while a run goes on."""
    bar = Progress(
        SpinnerColumn(),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[now]}", markup=False),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("", total=None, now="")

    async def tell(done: Done) -> None:
        failed = f"{done.failed} failed  " if done.failed else ""
        now = failed + (done.message or done.current)
        bar.update(task, completed=done.done, total=done.total or None, now=plain(now)[:60])

    with bar:
        yield tell


@contextmanager
def silent() -> Iterator[Tell]:
    """No progress: the output is for a program, or nobody looks."""

    async def tell(_: Done) -> None:
        return

    yield tell
