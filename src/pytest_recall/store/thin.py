"""What is dropped from a run that is too large to keep: the texts of its failures, and never an outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pytest_recall.model import Attempt, Collector, Failure, Run
from pytest_recall.suite import Tests


def whole(run: Run) -> Run:
    return run


def light(run: Run) -> Run:
    return _thinned(run, lambda failure: replace(failure, locals=(), captured=(), text=failure.text[:2000]))


def lighter(run: Run) -> Run:
    return _thinned(
        run,
        lambda failure: replace(
            failure,
            locals=(),
            captured=(),
            text="",
            message=failure.message[:500],
            frames=failure.frames[-3:],
        ),
    )


def bare(run: Run) -> Run:
    bare = _thinned(
        run,
        lambda failure: replace(
            failure, locals=(), captured=(), text="", message=failure.message[:100], frames=()
        ),
        reason=100,
    )
    return replace(bare, output_tail="", stacks=(), warned=(), context=(), doubts=run.doubts[:100])


def _thinned(run: Run, thin: Callable[[Failure], Failure], *, reason: int | None = None) -> Run:
    """*run* with its failures made *thin*, and of why a test was skipped so many characters."""

    def attempt(one: Attempt) -> Attempt:
        if not (one.failures or one.properties or one.context or one.reason):
            return one
        return replace(
            one,
            failures=tuple(map(thin, one.failures)),
            properties=(),
            context=(),
            reason=one.reason[:reason],
        )

    def collector(one: Collector) -> Collector:
        return replace(one, failure=thin(one.failure) if one.failure else None, reason=one.reason[:reason])

    told = {place: tuple(map(attempt, attempts)) for place, attempts in run.tests.told.items()}
    note = "The texts of this run's failures were too large to keep whole."
    return replace(
        run,
        tests=Tests(run.tests.ids, told, run.tests.plain),
        collectors=tuple(map(collector, run.collectors)),
        notes=(*run.notes, note),
    )


STEPS: tuple[Callable[[Run], Run], ...] = (whole, light, lighter, bare)  # the first that fits is kept
