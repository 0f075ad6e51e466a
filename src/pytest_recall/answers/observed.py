"""What those who watch get: how the metrics were told, and the inventory of known failures with its Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import BaseModel, Field

from pytest_recall.answers import learnt
from pytest_recall.answers.brief import day
from pytest_recall.answers.text import first_ids, head, middle, short_path, unnamed
from pytest_recall.history.inventory import ORDER, Known
from pytest_recall.history.tally import Standing

_TESTS = 5  # named of one cause
_TICKS = re.compile("`+")


class MetricsAnswer(BaseModel):
    project: str
    runs: int = 0  # counted, also those that are no longer kept
    failing: int = 0
    flaky: int | None = None
    broken: int | None = None
    coverage: Annotated[float | None, Field(description="percent, of the last run that measured it")] = None
    file: str = ""
    pushed: str = ""
    warnings: list[str] = []


class InventoryLine(BaseModel):
    fingerprint: str
    state: str
    error: str
    message: str = ""
    at: str = ""
    runs: Annotated[int, Field(description="in which it came")] = 0
    first_seen: str = ""
    last_seen: str = ""
    age_days: int = 0
    tests: list[str] = []
    tests_omitted: int = 0
    notes: list[str] = []


class InventoryAnswer(BaseModel):
    project: str
    states: dict[str, int] = {}
    failures: list[InventoryLine] = []
    omitted: int = 0
    file: str = ""
    warnings: list[str] = []


def measured(
    standing: Standing, *, file: str = "", pushed: str = "", warnings: Sequence[str] = ()
) -> MetricsAnswer:
    verdicts = standing.verdicts
    newest = max(standing.measured, key=lambda row: row.started_at, default=None)
    return MetricsAnswer(
        project=head(standing.project, 200),
        runs=sum(sum(counted.runs.values()) for counted in standing.tally.spaces.values()),
        failing=standing.failing,
        flaky=verdicts.get("flaky", 0) if verdicts is not None else None,
        broken=verdicts.get("broken", 0) if verdicts is not None else None,
        coverage=newest.coverage if newest else None,
        file=file,
        pushed=pushed,
        warnings=[head(text, 300) for text in warnings],
    )


def inventoried(
    known: Sequence[Known], *, root: str, now: float, limit: int, warnings: Sequence[str] = ()
) -> InventoryAnswer:
    """*known* in its order, at most *limit* of them; ages are counted to *now*."""
    states = [one.state for one in known]
    return InventoryAnswer(
        project=middle(root, 200),
        states={state.value: number for state in ORDER if (number := states.count(state))},
        failures=[_line(one, root, now) for one in known[:limit]],
        omitted=max(0, len(known) - limit),
        warnings=[head(text, 300) for text in warnings],
    )


def _line(known: Known, root: str, now: float) -> InventoryLine:
    failure = known.failure
    return InventoryLine(
        fingerprint=failure.fingerprint,
        state=known.state.value,
        error=middle(failure.exception, 100),
        message=head(unnamed(failure.message, failure.exception), 300),
        at=short_path(failure.path, root, 160),
        runs=failure.count,
        first_seen=day(failure.first_seen),
        last_seen=day(failure.last_seen),
        age_days=max(0, int((now - failure.first_seen) / 86_400)),
        tests=first_ids(known.tests, _TESTS),
        tests_omitted=max(0, len(known.tests) - _TESTS),
        notes=learnt.notes(known.notes, number=3, most=300),
    )


def markdown(answer: InventoryAnswer) -> str:
    """*answer* as a document; whatever came from a test shows as text and as nothing else."""
    return "\n".join(_document(answer)) + "\n"


def _document(answer: InventoryAnswer) -> Iterator[str]:
    yield f"# Known failures of {_text(answer.project)}\n"
    counts = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in answer.states.items())
    yield f"{counts or 'No failure is known'}.\n"
    if answer.failures:
        yield "| state | failure | at | runs | age | last seen | tests | notes |"
        yield "| --- | --- | --- | ---: | ---: | --- | --- | --- |"
    for line in answer.failures:
        error = f"{line.error}: {line.message}" if line.message else line.error
        more = [f"and {line.tests_omitted} more"] if line.tests_omitted else []
        cells = (
            line.state.replace("_", " "),
            f"{_text(error)}<br>{_text(line.fingerprint)}",
            _text(line.at),
            str(line.runs),
            f"{line.age_days} d",
            line.last_seen,
            "<br>".join(map(_text, [*line.tests, *more])),
            "<br>".join(map(_text, line.notes)),
        )
        yield f"| {' | '.join(cells)} |"
    if answer.omitted:
        yield f"\n… and {answer.omitted} more."


def _text(text: str) -> str:
    """*text* as code, in one cell of a table: nothing in it is markup, a link, a mention or the cell's end."""
    flat = " ".join(text.split()).replace("|", "¦")
    fence = "`" * (1 + max((len(run) for run in _TICKS.findall(flat)), default=0))
    pad = " " if "`" in (flat[:1], flat[-1:]) else ""
    return f"{fence}{pad}{flat}{pad}{fence}" if flat else ""
