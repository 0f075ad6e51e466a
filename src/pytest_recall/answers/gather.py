"""From the use cases to one `Overview`: everything that a report shows of a project, gathered once and bounded."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from pydantic import BaseModel

from pytest_recall import __version__, learning, survey
from pytest_recall.answers import history, learnt, told
from pytest_recall.answers import run as run_answer
from pytest_recall.answers.brief import day
from pytest_recall.answers.overview import Cause, Moment, Overview, Told
from pytest_recall.answers.text import at_a_shell, clean, head, middle, step
from pytest_recall.answers.views import (
    CauseLine,
    CompareView,
    FailuresView,
    FixesView,
    FixLine,
    SpaceLine,
    SpacesView,
)
from pytest_recall.app import App
from pytest_recall.errors import UnknownRun
from pytest_recall.history import verdict
from pytest_recall.history.verdict import Judgement, Verdict
from pytest_recall.judging import judged
from pytest_recall.meaning import Explained, Report
from pytest_recall.model import Attempt, Note, Outcome, Run, RunRow, TestHistory
from pytest_recall.redact import redact
from pytest_recall.store import lacking
from pytest_recall.workspace import Workspace

RUNS = 500  # on the time line
TESTS = 5_000
_MARKS = 60  # recent attempts of a test
_SERIES = 40  # runs that durations are shown of
_OLDER = 4  # earlier runs whose failures still stand
_CAUSES = 100
_ALSO = 50  # fingerprints of one cause
_TEXT = 12_000  # characters of one failure
_TEXTS = 400_000  # of all of them
_HUNK = 8_000
_LISTED = 50
_ENTRIES, _ENTRY = 20, 500  # of what one test told, and characters of each
_TOLD = 300_000  # characters of what all tests told
_SLOWEST = 10
_ID = 300

_UNSTEADY = (
    Verdict.FLAKY,
    Verdict.SUSPECTED_FLAKY,
    Verdict.ORDER_DEPENDENT,
    Verdict.ENVIRONMENT_DEPENDENT,
)
_RAN = ("passed", "failed", "error", "skipped", "xfailed", "xpassed", "timed_out", "crashed", "not_run")
_BAD = tuple(outcome.value for outcome in Outcome if outcome.bad)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a report is about: a time, one space or all, and what the newest run is set beside."""

    window: str = ""  # "30d", or a date
    space: str = ""
    base: str = ""  # run id, revision or space; "": the last comparable run


@lacking.told
async def overview(app: App, project: str, asked: Ask) -> Overview:
    """What is known of *project*.

    Raises:
        UnknownRun: no run of that window and space is kept, or none fits `base`.
        BadRequest: the window is no time.
    """
    space = await app.workspaces.get(project)
    since = history.instant(asked.window)
    rows = await app.runs(project, limit=RUNS, since=since, space=asked.space, asked=True)
    if not rows:
        narrowed = (
            " of that window and space; widen --window or leave --space out" if since or asked.space else ""
        )
        raise UnknownRun(
            f"No run is kept yet{narrowed}. `pytest-recall run` makes one, `import` takes one in."
        )
    last = await app.report(project, rows[0].id, patient=True)
    known = await _known(space, asked.space, since)
    moments = _moments(rows)
    whole = {moment.run_id for moment in moments if moment.whole}
    times = await survey.timed(space, [row for row in rows if row.id in whole] or rows)
    tests = await _told(space, last, known, times, {m.run_id: n for n, m in enumerate(moments)})
    views = _Views(app=app, project=project)
    causes = await _causes(app, project, last, known)
    made = Overview(
        project=head(space.root.name, 80),
        made=day(time.time()),
        version=__version__,
        window=asked.window,
        space=asked.space,
        runs=moments,
        last=_last(last),
        causes=causes,
        known=await views.known(since, {name for one in causes for name in (one.fingerprint, *one.also)}),
        tests=tests[:TESTS],
        tests_omitted=max(0, len(tests) - TESTS),
        timed=[
            n for n, moment in enumerate(moments) if moment.run_id in {one.run for one in times[-_SERIES:]}
        ],
        fixes=await views.fixes(asked.window),
        spaces=await views.spaces(),
        change=await views.change(rows[0], asked.base),
        apart=None if asked.space else await views.apart(rows, whole),
        warnings=[head(one, 300) for one in await app.troubles(project)],
    )
    return _pointed(made)


# --- runs -------------------------------------------------------------------------------------


def _moments(rows: Sequence[RunRow]) -> list[Moment]:
    """The time line, oldest first."""
    ran = {row.id: sum(row.counts.get(name, 0) for name in _RAN) for row in rows}
    most = max(ran.values())
    return [
        Moment(
            **history.run_line(row).model_dump(),
            started=round(row.started_at, 3),
            space=row.space,
            branch=head(row.revision.branch, 60),
            passed=row.counts.get("passed", 0) + row.counts.get("xpassed", 0),
            failed=sum(row.counts.get(name, 0) for name in _BAD),
            whole=2 * ran[row.id] >= most > 0,
        )
        for row in reversed(rows)
    ]


def _last(report: Report) -> run_answer.RunAnswer:
    made = run_answer.answer(report, full=True)
    return made.model_copy(update={"failures": [], "output_tail": redact(made.output_tail)})


# --- failures ---------------------------------------------------------------------------------


async def _causes(app: App, project: str, last: Report, known: Mapping[str, _Known]) -> list[Cause]:
    """The causes of what failed in the newest run, then of what failed earlier and has not been run since."""
    shown = {test for one in last.groups for test in one.group.tests}
    standing = [one for one in known.values() if one.red and one.history.id not in shown]
    runs = Counter(one.history.samples[-1].run for one in standing)
    reports = [
        last,
        *[await app.report(project, run) for run, _ in runs.most_common(_OLDER) if run != last.run.id],
    ]
    ids = {one.history.id for one in standing}
    made: dict[str, Cause] = {}
    room = _TEXTS
    for report in reports:
        shaped = run_answer.answer(report, full=True).failures
        for explained, group in zip(report.groups, shaped, strict=False):
            name = group.fingerprint or group.error
            if name in made or not (report is last or ids & {*explained.group.tests}):
                continue
            text = _rendered(explained, min(_TEXT, room))
            room -= len(text)
            made[name] = _cause(group, explained, report.run, text)
    return list(made.values())[:_CAUSES]


def _cause(group: run_answer.FailureGroup, explained: Explained, run: Run, text: str) -> Cause:
    secret = ("message", "source", "traceback", "captured")
    made = group.model_dump() | {name: redact(getattr(group, name)) for name in secret}
    made["action"] = at_a_shell(group.action)
    made["tests"] = [middle(test, _ID) for test in group.tests]
    made["hints"] = [redact(hint) for hint in group.hints]
    made["locals"] = {
        name: redact(f"{name}={value}").partition("=")[2] for name, value in group.locals.items()
    }
    made["fix"] = learnt.fix(explained.fix, hunk=_HUNK, intents=5, files=10) if explained.fix else None
    return Cause(**made, run_id=run.id, text=text, also=list(explained.group.also[:_ALSO]))


def _rendered(explained: Explained, most: int) -> str:
    """The end of pytest's own text of the failure, where the error stands."""
    failure = explained.group.failure
    if failure is None or most <= 0:
        return ""
    text = redact(clean(failure.text[-4 * most :])).strip("\n")
    return text if len(text) <= most else "…" + text[len(text) - most + 1 :]


# --- tests ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """One test that failed or changed its outcome before, within the report's bounds."""

    history: TestHistory
    judgement: Judgement

    @property
    def red(self) -> bool:
        return self.history.samples[-1].outcome.bad and not self.history.gone


async def _known(space: Workspace, name: str, since: float) -> dict[str, _Known]:
    """The tests that were seen since then in that space, judged by all that is known of them there."""
    there = [
        replace(past, samples=tuple(sample for sample in past.samples if name in ("", sample.space)))
        for past in (await space.store.tests()).values()
    ]
    found: dict[str, _Known] = {}
    for one in await judged(space, [past for past in there if past.samples and past.samples[-1].at >= since]):
        shown = tuple(sample for sample in one.history.samples if sample.at >= since)
        found[one.history.id] = _Known(history=replace(one.history, samples=shown), judgement=one.judgement)
    return found


async def _told(
    space: Workspace,
    last: Report,
    known: Mapping[str, _Known],
    times: Sequence[survey.Timed],
    places: Mapping[str, int],
) -> list[Told]:
    """Every test of the newest runs, and every one that is known otherwise; what needs attention first."""
    slow = {one.id: one for one in survey.slowest(times)}
    outcomes = {test.id: test.decisive for test in last.run.tests}
    causes = {test: one for one in last.groups for test in one.group.tests}
    said = await learning.said(space, [*known, *{test.partition("[")[0] for test in known}]) if known else []
    notes: dict[str, list[Note]] = {}
    for note in said:
        notes.setdefault(note.about, []).append(note)
    made, room = [], _TOLD
    for test_id in {**outcomes, **slow, **known}:
        decisive = outcomes.get(test_id)
        about = [
            note
            for name in dict.fromkeys((test_id, test_id.partition("[")[0]))
            for note in notes.get(name, ())
        ]
        one = Told(
            id=middle(test_id, _ID),
            outcome=decisive.outcome.value if decisive else Outcome.PASSED.value if test_id in slow else "",
            reason=redact(head(decisive.reason, 200)) if decisive else "",
            notes=learnt.notes(about, number=5, most=500),
        )
        if decisive and room > 0:
            one = _telling(one, decisive, last.run, test_id)
            room -= sum(len(line) for line in (*one.told, *one.costs))
        if test_id in known:
            one = _remembered(one, known[test_id], places)
        elif test_id in causes:
            one = _explained(one, causes[test_id])
        made.append(_timed(one, slow.get(test_id), times, test_id))
    return sorted(made, key=_attention)


def _telling(one: Told, attempt: Attempt, run: Run, test_id: str) -> Told:
    """*one* with what the test said of itself in *run*, and what its phases cost."""
    around = told.around(test_id, attempt.worker, run.context)
    lines = told.lines(attempt, around, number=_ENTRIES, most=_ENTRY)
    return one.model_copy(update={"told": [redact(line) for line in lines], "costs": told.costs(attempt)})


def _explained(one: Told, cause: Explained) -> Told:
    """*one*, of which no history is kept, with what the newest run says: it may be no evidence of single tests."""
    judged = cause.judgement
    return one.model_copy(
        update={
            "verdict": judged.verdict.value if judged.verdict else "",
            "evidence": head(judged.evidence, 300),
            "action": at_a_shell(step(judged.action, judged.command, 300)),
            "causes": {cause.group.fingerprint: 1} if cause.group.fingerprint else {},
        }
    )


def _remembered(one: Told, known: _Known, places: Mapping[str, int]) -> Told:
    """*one* with what its history says."""
    samples, judgement = known.history.samples, known.judgement
    marks = [sample for sample in samples if sample.run in places][-_MARKS:]
    bad = Counter(sample.group for sample in samples if sample.outcome.bad and sample.group)
    last = {sample.space: sample.outcome.value for sample in samples}
    return one.model_copy(
        update={
            "outcome": samples[-1].outcome.value,
            "outcomes": "".join(history.LETTERS[sample.outcome] for sample in marks),
            "runs": [places[sample.run] for sample in marks],
            "verdict": judgement.verdict.value if judgement.verdict else "",
            "evidence": head(judgement.evidence, 300),
            "action": at_a_shell(step(judgement.action, judgement.command, 300)),
            "failed": judgement.failures,
            "attempts": judgement.attempts,
            "low": round(judgement.low, 4),
            "high": round(judgement.high, 4),
            "spaces": last if len(set(last.values())) > 1 else {},
            "causes": dict(bad.most_common(10)),
            "gone": known.history.gone,
        }
    )


def _timed(one: Told, slow: survey.Slow | None, times: Sequence[survey.Timed], test_id: str) -> Told:
    """*one* with its durations."""
    if slow is None:
        return one
    seconds = [_short(time.seconds.get(test_id)) for time in times[-_SERIES:]]
    return one.model_copy(
        update={
            "seconds": seconds,
            "median_s": _short(slow.median_s),
            "before_s": _short(slow.slower.before_s) if slow.slower else None,
            "now_s": _short(slow.slower.now_s) if slow.slower else None,
        }
    )


def _short(seconds: float | None) -> float | None:
    return None if seconds is None else float(f"{round(seconds, 5):.3g}")


def _attention(one: Told) -> tuple[bool, bool, bool, float, float]:
    return (
        one.gone or one.outcome not in _BAD,
        not one.verdict,
        one.now_s is None,
        -verdict.beta_rank(one.failed, one.attempts) if one.verdict else 0.0,
        -one.median_s,
    )


def _pointed(made: Overview) -> Overview:
    """*made* with its ranked lists: each points into the tests."""
    numbered = list(enumerate(made.tests))
    flaky = [(n, one) for n, one in numbered if one.verdict in _UNSTEADY and not one.gone]
    order = {each: place for place, each in enumerate(_UNSTEADY)}
    flaky.sort(
        key=lambda pair: (
            order[Verdict(pair[1].verdict)],
            -verdict.beta_rank(pair[1].failed, pair[1].attempts),
        )
    )
    slower = [(n, one) for n, one in numbered if one.now_s is not None]
    slower.sort(key=lambda pair: -((pair[1].now_s or 0.0) - (pair[1].before_s or 0.0)))
    slowest = sorted(numbered, key=lambda pair: -pair[1].median_s)[:_SLOWEST]
    return made.model_copy(
        update={
            "flaky": [n for n, _ in flaky][: 2 * _LISTED],
            "slower": [n for n, _ in slower][:_LISTED],
            "slowest": [n for n, one in slowest if one.median_s > 0],
        }
    )


# --- what history's own views say ---------------------------------------------------------------

_V = TypeVar("_V", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Views:
    """The questions that `history` answers as they are."""

    app: App
    project: str

    async def known(self, since: float, now: set[str]) -> list[CauseLine]:
        found = await self._ask(FailuresView, history.Query(view="failures", limit=200))
        return [
            line.model_copy(
                update={
                    "message": redact(line.message),
                    "at": redact(line.at),
                }
            )
            for line in found.failures
            if line.seen.last >= day(since) and line.fingerprint not in now
        ]

    async def fixes(self, window: str) -> list[FixLine]:
        query = history.Query(view="fixes", since=window, limit=_LISTED, full=True)
        return (await self._ask(FixesView, query)).fixes

    async def spaces(self) -> list[SpaceLine]:
        return (await self._ask(SpacesView, history.Query(view="spaces", limit=_LISTED))).spaces

    async def change(self, last: RunRow, base: str) -> CompareView | None:
        try:
            return await self._compare(last.id, base)
        except UnknownRun:
            if base:
                raise
            return None  # there is no run like it yet

    async def apart(self, rows: Sequence[RunRow], whole: set[str]) -> CompareView | None:
        """The last whole run of CI beside the last one elsewhere."""
        sound = [row for row in rows if row.id in whole and not row.suspect]
        there = next((row for row in sound if row.space == "ci"), None)
        here = next((row for row in sound if row.space != "ci"), None)
        return await self._compare(here.id, there.id) if here and there else None

    async def _compare(self, after: str, before: str) -> CompareView:
        query = history.Query(view="compare", run_id=after, base_run_id=before, limit=_LISTED)
        return await self._ask(CompareView, query)

    async def _ask(self, kind: type[_V], query: history.Query) -> _V:
        found = await history.ask(self.app, self.project, query)
        if not isinstance(found, kind):
            raise TypeError(f"view {query.view} is {type(found).__name__}")
        return found
