"""The answer of a run: its verdict first, causes before tests, and never larger than its reader can bear."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field, WithJsonSchema

from pytest_recall.answers import learnt, told
from pytest_recall.answers.brief import day, short_revision
from pytest_recall.answers.covered import Covered, covered
from pytest_recall.answers.excerpt import excerpt
from pytest_recall.answers.learnt import Fix
from pytest_recall.answers.text import (
    clean,
    first_ids,
    head,
    middle,
    refusal,
    short_path,
    step,
    tail,
    unnamed,
)
from pytest_recall.history.similar import Match
from pytest_recall.jobs import Job
from pytest_recall.meaning import Explained, Report
from pytest_recall.model import (
    Crashed,
    Failure,
    Finished,
    InternalError,
    Interrupted,
    NotStarted,
    Run,
    Status,
    TimedOut,
    WorkerLost,
)

GREEN = 400  # characters of an answer where all passed
MEASURED = 800  # and more where coverage was asked for
ONE, MORE, EACH, MOST = (
    1_500,
    250,
    500,
    8_000,
)  # of a concise one: with one cause, for a few more, for many, at most
FULL = 60_000
_MATCHED = 4  # words that a cause shares with what it is like

_THREAD = re.compile(r"\n(?=(?:Current t|T)hread )")

# Every session pays for each byte of a tool's schema, and these speak for themselves where they come.
_PLAIN = WithJsonSchema({"type": "object"})


class Seen(BaseModel):
    """The cause before this run; by `lexical`, another one with a `fingerprint` of its own that is much like it."""

    first: str
    last: str
    runs: int
    tier: str = ""
    fingerprint: str = ""
    similarity: float | None = None
    matched: list[str] = []


class FailureGroup(BaseModel):
    """One cause, and the tests it broke."""

    fingerprint: str = ""
    error: str = ""
    message: str = ""
    at: Annotated[str, Field(description="file:line, innermost in the project")] = ""
    source: str = ""
    tests: list[str] = []
    tests_omitted: int = 0
    verdict: str = ""
    evidence: str = ""
    action: str = ""
    seen_before: Annotated[Seen | None, _PLAIN] = None
    fix: Annotated[Fix | None, _PLAIN] = None
    notes: list[str] = []
    hints: list[str] = []
    traceback: str = ""
    locals: dict[str, str] = {}
    context: list[str] = []
    captured: str = ""


class RunAnswer(BaseModel):
    """Fields at their default are left out."""

    run_id: str = ""
    status: Annotated[str, Field(description="only 'passed' is green")]
    exit_code: int | None = None
    counts: dict[str, int] = {}
    repeat: int = 1
    coverage: Annotated[Covered | None, _PLAIN] = None
    duration_s: float = 0
    project: str = ""
    python: str = ""
    pytest: str = ""
    revision: Annotated[str, Field(description="commit, + when uncommitted changes ran")] = ""
    ci: str = ""
    joined: Annotated[bool, Field(description="an identical run was already going on")] = False
    progress: str = ""
    failures: list[FailureGroup] = []
    failures_omitted: Annotated[int, Field(description="failing tests in groups not shown")] = 0
    notes: list[str] = []
    newly_failing: list[str] = []
    newly_passing: list[str] = []
    silenced: Annotated[
        list[str], Field(description="failed in the last run; skipped, expected to fail or gone now")
    ] = []
    culprit: Annotated[list[str], Field(description="tests that hung or crashed")] = []
    stacks: str = ""
    error: Annotated[str, Field(description="why pytest did not come to its end")] = ""
    output_tail: str = ""
    slowest: list[str] = []
    warnings: list[str] = []
    next_step: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Level:
    """How much of each thing an answer shows; a smaller level follows where it does not fit."""

    groups: int
    tests: int
    message: int
    frames: int
    captured: int
    ids: int
    warnings: int
    stacks: int
    warning: int = 300
    action: int = 300
    place: int = 70  # of the project and its interpreter
    hunk: int = 0
    intents: int = 0
    fixed: int = 0  # files of a fix; 0: none is shown
    notes: int = 0
    note: int = 200
    hints: int = 0  # of a group
    hint: int = 260
    local: int = 0
    told: int = 0  # lines of what the test told of itself
    slowest: int = 0
    test_id: int = 300
    covered: int = 0  # files in each list of the coverage
    lines: int = 80  # characters of their line numbers


_FULL = (
    _Level(
        groups=200,
        tests=200,
        hints=6,
        hint=600,
        message=8_000,
        frames=40,
        captured=6_000,
        ids=200,
        warnings=50,
        action=4_000,
        stacks=8_000,
        hunk=8_000,
        intents=10,
        fixed=20,
        notes=20,
        note=2_000,
        local=200,
        slowest=10,
        told=100,
        test_id=4_200,
        covered=50,
        lines=400,
    ),
    _Level(
        groups=100,
        tests=50,
        hints=4,
        hint=400,
        message=2_000,
        frames=15,
        captured=1_500,
        ids=50,
        warnings=20,
        stacks=4_000,
        hunk=1_000,
        intents=4,
        fixed=5,
        notes=5,
        note=400,
        told=20,
        slowest=10,
        covered=20,
        lines=200,
    ),
)
_CONCISE = (
    _Level(
        groups=20,
        tests=8,
        hints=3,
        message=900,
        frames=4,
        captured=400,
        ids=8,
        warnings=6,
        stacks=1_200,
        hunk=400,
        intents=2,
        fixed=3,
        notes=3,
        note=300,
        told=4,
        covered=5,
    ),
    _Level(
        groups=16,
        tests=4,
        hints=2,
        message=400,
        frames=2,
        captured=160,
        ids=5,
        warnings=5,
        stacks=900,
        hunk=400,
        intents=2,
        fixed=2,
        notes=2,
        covered=4,
        lines=40,
    ),
    _Level(
        groups=16,
        tests=2,
        hints=1,
        hint=220,
        message=220,
        frames=0,
        captured=0,
        ids=3,
        warnings=4,
        stacks=500,
        test_id=160,
        hunk=200,
        intents=2,
        fixed=1,
        notes=1,
        covered=2,
        lines=30,
    ),
    _Level(
        groups=16,
        tests=1,
        hints=1,
        hint=160,
        message=120,
        frames=0,
        captured=0,
        ids=1,
        warnings=3,
        stacks=300,
        test_id=120,
        hunk=200,
        fixed=1,
        covered=1,
        lines=20,
    ),
    _Level(
        groups=8,
        tests=1,
        hints=1,
        hint=140,
        message=80,
        frames=0,
        captured=0,
        ids=1,
        hunk=200,
        fixed=1,
        warnings=2,
        warning=160,
        stacks=200,
        test_id=100,
    ),
    _Level(  # what mended it last time says more than a guess
        groups=8,
        tests=1,
        message=80,
        frames=0,
        captured=0,
        ids=0,
        warnings=1,
        warning=80,
        stacks=100,
        test_id=90,
        place=34,
        hunk=200,
        fixed=1,
    ),
    _Level(
        groups=8,
        tests=1,
        message=80,
        frames=0,
        captured=0,
        ids=0,
        warnings=1,
        warning=80,
        stacks=100,
        test_id=90,
        place=34,
    ),
)


def answer(report: Report, *, full: bool = False, joined: bool = False) -> RunAnswer:
    """*report* as the largest answer within its bound (characters of compact JSON).

    Concise: 1,500 for one cause, 2,500 for five, 500 for each more, 8,000 at most; green ones are 400. Full: 60,000.
    """
    causes = len(report.groups)
    most = FULL if full else min(MOST, max(ONE + min(causes - 1, 4) * MORE, ONE, EACH * causes))
    if report.run.status is Status.PASSED and not full:
        most = GREEN + MEASURED if report.run.request.coverage else GREEN
    levels = (*_FULL, *_CONCISE) if full else _CONCISE
    tried = (_at(report, level, joined=joined) for level in levels)
    return next((made for made in tried if size(made) <= most), None) or _at(
        report, levels[-1], joined=joined
    )


def under_way(job: Job[Report], waited_s: float, *, joined: bool) -> RunAnswer:
    """The answer to a caller whose patience ended before the run did."""
    progress = job.progress
    done = f"{progress.done} of {progress.total or '?'} tests done, {progress.failed} failed"
    return RunAnswer(
        run_id=job.id,
        status=Status.RUNNING.value,
        duration_s=round(waited_s, 1),
        joined=joined,
        progress=head(
            progress.message or f"{done}; now {progress.current}" if progress.total else progress.message, 300
        ),
        next_step=f"run_tests(run_id='{job.id}') waits for it.",
    )


def dump(answer: BaseModel) -> str:
    """*answer* as the compact JSON that is sent: fields at their default left out."""
    return answer.model_dump_json(exclude_defaults=True)


def size(answer: BaseModel) -> int:
    """How many characters *answer* costs its reader."""
    return len(dump(answer))


def _at(report: Report, level: _Level, *, joined: bool) -> RunAnswer:
    run = report.run
    groups = report.groups[: level.groups]
    root = run.target.root
    difference = report.difference
    return RunAnswer(
        run_id=run.id,
        status=run.status.value,
        exit_code=_exit_code(run),
        counts=run.counts,
        repeat=run.request.repeat,
        coverage=covered(run.coverage, entries=level.covered, lines=level.lines),
        duration_s=round(run.duration_s, 2),
        project=middle(root, level.place),
        python=short_path(run.target.python, root, level.place),
        pytest=head(run.environment.pytest, 20),
        revision=short_revision(run.revision),
        joined=joined,
        failures=[_group(explained, run, level) for explained in groups],
        failures_omitted=sum(len(explained.group.tests) for explained in report.groups[level.groups :]),
        notes=learnt.notes(report.notes, number=level.notes, most=level.note),
        newly_failing=_some(difference.newly_failing, level) if difference else [],
        newly_passing=_some(difference.newly_passing, level) if difference else [],
        silenced=_some(difference.silenced, level) if difference else [],
        culprit=first_ids(run.culprits, level.ids, level.test_id),
        stacks=_stacks(run, level.stacks),
        error=_error(run),
        output_tail="" if _tells(run) or groups else tail(run.output_tail, 800),
        slowest=_slowest(run, level.slowest),
        warnings=[head(warning, level.warning) for warning in report.warnings[: level.warnings]],
        next_step=_next_step(report),
    )


def _some(ids: Sequence[str], level: _Level) -> list[str]:
    more = len(ids) - level.ids
    return [*first_ids(ids, level.ids, level.test_id), *([f"… and {more} more"] if more > 0 else [])]


def _group(explained: Explained, run: Run, level: _Level) -> FailureGroup:
    group, judgement = explained.group, explained.judgement
    fix = explained.fix or explained.fix_alike  # `seen_before` tells whose it is
    failure = group.failure
    frame = failure.at if failure else None
    return FailureGroup(
        fingerprint=group.fingerprint,
        error=middle(failure.exception, 80) if failure else group.outcome.value,
        message=head(unnamed(failure.message, failure.exception), level.message) if failure else "",
        at=f"{short_path(frame.path, run.target.root)}:{frame.line}" if frame else "",
        source=_source(failure, lines=level.local > 0) if failure else "",
        tests=first_ids(group.tests, level.tests, level.test_id),
        tests_omitted=max(0, len(group.tests) - level.tests),
        verdict=judgement.verdict.value if judgement.verdict else "",
        evidence=head(judgement.evidence, 240),
        action=step(judgement.action, judgement.command, level.action) if level.frames else "",
        seen_before=_seen(explained.seen, group.fingerprint, words=_MATCHED if level.frames else 1),
        fix=learnt.fix(fix, hunk=level.hunk, intents=level.intents, files=level.fixed)
        if fix and level.fixed
        else None,
        notes=learnt.notes(explained.notes, number=level.notes, most=level.note),
        hints=learnt.hints(explained.hints[: level.hints], most=level.hint),
        traceback=_traceback(failure, run, level.frames) if failure else "",
        locals={head(name, 60): head(value, level.local) for name, value in failure.locals}
        if failure and level.local
        else {},
        context=_told(group.tests[0], run, level) if group.tests and level.told else [],
        captured=_captured(failure, level.captured) if failure else "",
    )


def _source(failure: Failure, *, lines: bool) -> str:
    return excerpt(failure) if lines else head(failure.at.source, 160) if failure.at else ""


def _told(test_id: str, run: Run, level: _Level) -> list[str]:
    """What the first test of a group told of itself."""
    found = next((test.decisive for test in run.tests.among([test_id])), None)
    if found is None:
        return []
    around = told.around(test_id, found.worker, run.context)
    return told.lines(found, around, number=level.told, most=level.note)


def _traceback(failure: Failure, run: Run, frames: int) -> str:
    """The chain of the project's frames, innermost last; one frame says no more than `at` does."""
    chain = [frame for frame in failure.frames if frame.project] or list(failure.frames)
    if frames == 0 or len(chain) < 2:  # noqa: PLR2004 - one frame is `at`
        return ""
    lines = [
        f"{short_path(frame.path, run.target.root)}:{frame.line} {head(frame.function, 60)}: {head(frame.source, 120)}"
        for frame in chain[-frames:]
    ]
    return "\n".join(lines)


def _captured(failure: Failure, most: int) -> str:
    if not most:
        return ""
    parts = [f"{head(title, 40)}: {tail(text, most)}" for title, text in failure.captured if text.strip()]
    return tail("\n".join(parts), most)


def _seen(match: Match | None, own: str, *, words: int) -> Seen | None:
    if match is None:
        return None
    known = match.failure
    seen = Seen(first=day(known.first_seen), last=day(known.last_seen), runs=known.count, tier=match.tier)
    if known.fingerprint != own:
        seen.fingerprint = known.fingerprint
    if match.words:
        seen.similarity = round(match.likeness, 2)
        seen.matched = [head(word, 40) for word in match.words[:words]]
    return seen


def _stacks(run: Run, most: int) -> str:
    """Where the culprits stood. faulthandler writes each thread's innermost frame first, and the main thread last."""
    if not run.culprits:
        return ""
    threads = [thread for stack in run.stacks[:4] for thread in reversed(_THREAD.split(clean(stack.text)))]
    return head("\n".join(threads), most)


def _exit_code(run: Run) -> int | None:
    last = run.terminations[-1] if run.terminations else None
    code = last.exit_code if isinstance(last, Finished | Crashed | NotStarted) else None
    return code or None


def _error(run: Run) -> str:
    """Why the last launch did not come to its own end."""
    match run.terminations[-1] if run.terminations else None:
        case TimedOut(limit_s=limit, test=test):
            what = f"test {middle(test, 200)}" if test else "run"
            return f"The {what} reached its limit of {limit:g} s."
        case Crashed(signal=signal, exit_code=code, at_exit=at_exit):
            how = f"died by {signal}" if signal else f"left with exit code {code} behind pytest's back"
            return f"pytest's process {how}{' after its session had ended' if at_exit else ''}."
        case NotStarted(message=message, path=path):
            return head(f"{path}: {message}" if path else message, 1_000)
        case Interrupted(reason=reason) | InternalError(message=reason) | WorkerLost(message=reason):
            return head(reason, 1_000)
        case Finished() if run.status is Status.USAGE_ERROR:
            return head(refusal(run.output_tail), 1_000)
        case _:
            return ""


def _tells(run: Run) -> bool:
    """Whether the typed answer says enough without the end of pytest's output."""
    return run.status in {Status.PASSED, Status.FAILED, Status.NO_TESTS, Status.CANCELLED} or bool(
        _error(run)
    )


def _slowest(run: Run, number: int) -> list[str]:
    timed = ((seconds, test) for test, seconds in run.tests.durations() if seconds >= 0.01)  # noqa: PLR2004 - less is shown as 0.00
    slow = sorted(timed, reverse=True)[:number] if number else []
    return [f"{seconds:.2f} s {middle(test_id, 200)}" for seconds, test_id in slow]


_NEXT = {
    Status.NO_TESTS: "Nothing was selected. discover_tests lists what exists.",
    Status.CANCELLED: "The run was cancelled; what had finished is kept.",
    Status.USAGE_ERROR: "pytest refused the call and ran nothing: correct keyword, markers, args or its configuration.",
}


def _next_step(report: Report) -> str:
    run = report.run
    if report.hints:
        return " ".join(learnt.hints(report.hints, most=400))
    if run.status in _NEXT:
        return _NEXT[run.status]
    if run.not_run and run.status is not Status.PASSED:
        return f"{len(run.not_run)} selected tests did not run; treat them as unknown."
    if len(report.groups) > MOST // EACH:
        return f"test_history(view='run', run_id='{run.id}', detail='full') shows more."
    return ""
