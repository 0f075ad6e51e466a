"""The answer of `logs`: what one run printed and logged, test by test where that is asked for, or our own log."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from pytest_recall import logbook
from pytest_recall.answers import naming, resource
from pytest_recall.answers.brief import day
from pytest_recall.answers.text import clean, middle
from pytest_recall.app import App
from pytest_recall.errors import UnknownRun
from pytest_recall.model import Run

LINES = 200  # of our own log


class LogsAnswer(BaseModel):
    run_id: str = ""
    at: str = ""
    output: str = ""  # what pytest printed: head and tail where it was long
    log: str = ""  # what the tests logged, by pytest's own handler
    events: list[str] = []  # an attempt a line, as they began
    server: str = ""  # our own log
    warnings: list[str] = []


async def of_run(app: App, project: str, run_id: str, *, events: bool = False) -> LogsAnswer:
    """What is kept of that run, or of the latest one. Raises UnknownRun."""
    run = (await app.report(project, await naming.run_id(app, project, run_id))).run
    answer = LogsAnswer(run_id=run.id, at=day(run.started_at))
    if events:
        answer.events = list(told(run))
        return answer
    try:
        files = await app.files(project, run.id)
    except UnknownRun:
        answer.warnings.append("What it printed has left the retention; --events tells what is known of it.")
        return answer
    answer.output, answer.log = resource.output(files), resource.log(files)
    if not answer.output:
        kind = (
            run.source.replace("plugin", "the plugin") if run.source.startswith(("import:", "plugin")) else ""
        )
        why = (
            f"it is kept of runs that pytest-recall starts, and this one came by {kind.replace(':', ' of ')}"
            if kind
            else "nothing was printed, or it was lost"
        )
        answer.warnings.append(f"There is no output: {why}.")
    return answer


async def of_server(app: App, project: str) -> LogsAnswer:
    """The end of our own log."""
    space = await app.workspaces.get(project)
    return LogsAnswer(server=logbook.tail(space.folder, LINES))


def told(run: Run) -> Iterator[str]:
    """The run as a story: collection's failures, each attempt in the order of the starts, what never ran, the end."""
    for collector in run.collectors:
        yield f"collect  {collector.outcome:<9} {middle(collector.id, 300)}"
    attempts = [
        (one.order, number, test.id, one) for test in run.tests for number, one in enumerate(test.attempts)
    ]
    for order, number, test, one in sorted(attempts, key=lambda each: each[:2]):
        where = f" {one.worker}" if one.worker else ""
        again = f" attempt {number + 1}" if number else ""
        phase = f" in {one.phase}" if one.outcome.bad and one.phase != "call" else ""
        yield clean(
            f"{order:>7}{where} {one.outcome:<9} {one.duration_s:8.3f} s  {middle(test, 300)}{again}{phase}"
        )
    yield from (f"never ran           {middle(test, 300)}" for test in run.not_run)
    yield from (f"ended    {clean(repr(end))}" for end in run.terminations)
