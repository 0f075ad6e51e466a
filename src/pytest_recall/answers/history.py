"""The answers of history: evidence in numbers, then what to do."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import reduce
from typing import get_args

import anyio

from pytest_recall import beside, learning, reconciling, survey
from pytest_recall.answers import learnt, naming, told
from pytest_recall.answers import run as run_answer
from pytest_recall.answers.brief import day, pipeline, short_revision
from pytest_recall.answers.page import decode, page
from pytest_recall.answers.run import Seen
from pytest_recall.answers.text import first_ids, head, middle, step, unnamed
from pytest_recall.answers.views import (
    CauseLine,
    CompareView,
    FailuresView,
    FixesView,
    FixLine,
    FlakyView,
    HistoryAnswer,
    RunLine,
    RunsView,
    RunView,
    SimilarView,
    SlowLine,
    SlowView,
    SpaceLine,
    SpacesView,
    SummaryView,
    TestLine,
    TestView,
    View,
)
from pytest_recall.app import App, Origin
from pytest_recall.errors import BadRequest, listed, quoted
from pytest_recall.history import trend
from pytest_recall.history.groups import alike
from pytest_recall.history.similar import Match
from pytest_recall.history.verdict import Judgement, Verdict
from pytest_recall.judging import Judged
from pytest_recall.model import FailureHistory, Outcome, Purpose, Run, RunRequest, RunRow, Sample, TestHistory
from pytest_recall.proof.bench import Bench
from pytest_recall.proof.undo import prove
from pytest_recall.store import lacking

VERIFY_S = 600.0  # limit of all reruns of one question
STRIP = 40  # recent outcomes shown as letters

_OWN: dict[Purpose, str] = {
    "": "",
    "again": "our own: does it end so once more?",
    "alone": "our own: is a failure real?",
    "order": "our own: does it depend on the tests before it?",
    "base": "our own: does it fail at the base revision too?",
}

LETTERS = {
    Outcome.PASSED: ".",
    Outcome.FAILED: "F",
    Outcome.ERROR: "E",
    Outcome.SKIPPED: "s",
    Outcome.XFAILED: "x",
    Outcome.XPASSED: "X",
    Outcome.TIMED_OUT: "T",
    Outcome.CRASHED: "C",
    Outcome.NOT_RUN: "-",
}


# Of an answer that has nothing to show: a reader who sees none of it can't tell "none" from "not asked rightly".
_NOTHING: dict[View, str] = {
    "summary": "No run is kept yet.",
    "runs": "No run is kept that fits.",
    "failures": "No cause of failure is known that fits.",
    "flaky": "No test is known to be flaky: none passed and failed on the same code.",
    "slow": "No passing test is known.",
    "similar": "Nothing like it is known.",
    "spaces": "No run is kept yet.",
    "fixes": "No failing test is known to have passed again after a change.",
}
# What a view does not take is refused: a reader could not tell an answer that was narrowed from one that was not.
_TAKEN_BY: dict[str, tuple[View, ...]] = {
    "test": ("test", "flaky", "fixes"),
    "run_id": ("run", "compare"),
    "base_run_id": ("compare",),
    "text": ("similar",),
    "fingerprint": ("failures", "fixes"),
    "since": ("runs", "failures", "flaky", "slow", "fixes"),
    "space": ("runs", "flaky", "slow"),
    "status": ("runs",),
    "threshold": ("flaky",),
    "verify": ("flaky", "fixes"),
    "cursor": ("runs", "failures", "flaky", "slow", "fixes"),
}
_ALWAYS = {"view", "project"}  # what an empty answer has, too
_CAUSES = 100_000  # all that a store keeps
_QUICK_S, _LEAST = 0.01, 5  # who asks for slow tests does not ask for quicker ones, but for a few at least


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One question about the past; which fields matter depends on `view`."""

    view: View = "summary"
    test: str = ""
    run_id: str = ""
    base_run_id: str = ""
    text: str = ""
    fingerprint: str = ""
    since: str = ""  # a date, or "7d", "12h"
    space: str = ""
    status: str = ""
    threshold: float = 0.0  # least rate of failures, for `flaky`
    verify: int = 0  # how often `flaky` reruns its suspects before it answers
    origin: Origin = field(default_factory=lambda: Origin(space="local", source="cli"))  # of those reruns
    limit: int = 20
    cursor: str = ""
    reconcile: bool = False  # with the suite as it is now, before the answer
    full: bool = False


@lacking.told
async def ask(app: App, project: str, query: Query) -> HistoryAnswer:
    """The answer to *query*. Raises a RecallError that says which argument is wrong or missing."""
    if not 1 <= query.limit <= 500:  # noqa: PLR2004 - said in the message
        raise BadRequest(f"limit={query.limit}: use 1 to 500.")
    view = _view(query)
    told = await _reconciled(app, project) if query.reconcile else []
    made = await _ASK[view](app, project, query)
    troubles = await app.troubles(project)
    if not troubles and view in _NOTHING and not made.model_dump(exclude_defaults=True, exclude=_ALWAYS):
        made.remarks = [_NOTHING[view]]  # where the index could not be asked, nobody knows
    made.remarks += told
    made.warnings += [head(trouble, 300) for trouble in troubles]
    return made


def _view(query: Query) -> View:
    if query.view not in get_args(View):
        raise BadRequest(f"No view {quoted(query.view)}. Views: {listed(get_args(View), most=20)}.")
    for name, views in _TAKEN_BY.items():
        if getattr(query, name) and query.view not in views:
            raise BadRequest(f"view={query.view!r} takes no {name!r}: that is for {listed(views)}.")
    if query.view == "flaky" and query.verify and (query.since or query.space or query.threshold):
        raise BadRequest(
            "verify reruns all suspects, or just 'test': leave 'since', 'space', 'threshold' out."
        )
    return query.view


async def _reconciled(app: App, project: str) -> list[str]:
    collected = await app.discover(project, RunRequest(), full=True)
    found = await reconciling.reconcile(await app.workspaces.get(project), collected.discovery)
    return [f"{found.gone} tests are gone since the last look, {found.renamed} have another name now."]


async def _summary(app: App, project: str, _: Query) -> SummaryView:
    known = await app.summary(project)
    statuses = [row.status.value for row in known.runs]
    return SummaryView(
        view="summary",
        project=middle(known.project, 120),
        last_run=run_line(known.runs[0]) if known.runs else None,
        recent_runs={status: statuses.count(status) for status in dict.fromkeys(statuses)},
        failing=[_test_line(judged, brief=True) for judged in known.failing[:10]],
        failing_omitted=max(0, len(known.failing) - 10),
        flaky=[_test_line(judged) for judged in known.flaky[:10]],
        causes=[causes_line(causes) for causes in alike(known.causes)[:5]],
    )


async def _runs(app: App, project: str, query: Query) -> RunsView:
    offset = decode(query.cursor, "runs")
    rows = await app.runs(
        project,
        limit=offset + query.limit + 1,
        since=instant(query.since),
        space=query.space,
        status=query.status,
    )
    shown, following = page(rows, "runs", query.cursor, query.limit)
    return RunsView(view="runs", runs=[run_line(row) for row in shown], next_cursor=following)


async def _run(app: App, project: str, query: Query) -> RunView:
    report = await app.report(project, await naming.run_id(app, project, query.run_id))
    made = run_answer.answer(report, full=query.full)
    made.ci = pipeline(report.run.ci) if report.run.ci else ""
    return RunView(view="run", run=made)


async def _test(app: App, project: str, query: Query) -> TestView:
    judged = await app.test(project, _needed(query.test, "test", query))
    samples, judgement = judged.history.samples, judged.judgement
    bad = [sample for sample in samples if sample.outcome.bad]
    causes = [sample.group for sample in bad if sample.group]
    passing = [sample.duration_s for sample in samples if sample.outcome is Outcome.PASSED]
    context, costs = await _told(app, project, query, judged)
    most = 24_000 if query.full else 300  # any command of ours, or a short one
    return TestView(
        view="test",
        id=middle(judged.history.id, 4_200),
        verdict=_verdict(judgement),
        evidence=head(judgement.evidence, 300),
        action="" if judged.history.gone else step(judgement.action, judgement.command, most),
        failed=len(bad),
        attempts=len(samples),
        outcomes=_strip(judged.history),
        first_seen=day(judged.history.first_seen),
        last_run=samples[-1].run if samples else "",
        last_failed=day(bad[-1].at) if bad else "",
        mean_s=round(sum(passing) / len(passing), 3) if passing else 0,
        gone=judged.history.gone,
        fingerprints={cause: causes.count(cause) for cause in list(dict.fromkeys(causes))[:10]},
        context=context,
        costs=costs,
        notes=await _notes(app, project, query, judged.history.id, judged.history.id.partition("[")[0]),
        remarks=await _gone(app, project, judged.history),
    )


async def _gone(app: App, project: str, history: TestHistory) -> list[str]:
    if not history.gone:
        return []
    fate = (await (await app.workspaces.get(project)).store.fates()).get(history.id)
    became = f": it is {middle(fate.became, 300)} now" if fate and fate.became else ""
    return [f"It is gone from the suite{became}."]


async def _told(app: App, project: str, query: Query, judged: Judged) -> tuple[list[str], list[str]]:
    """What the test told of itself in its last run, and what that cost."""
    test, samples = judged.history.id, judged.history.samples
    attempt, scoped = await app.told(project, test, samples[-1].run) if samples else (None, ())
    if attempt is None:
        return [], []
    number, most = (100, 2_000) if query.full else (8, 200)
    around = told.around(test, attempt.worker, scoped)
    return told.lines(attempt, around, number=number, most=most), told.costs(attempt)


async def _failures(app: App, project: str, query: Query) -> FailuresView:
    since = instant(query.since)
    causes = await app.failures(project, fingerprint=query.fingerprint, limit=_CAUSES)
    known = alike(cause for cause in causes if cause.last_seen >= since)
    shown, following = page(known, "failures", query.cursor, query.limit)
    lines = [causes_line(causes) for causes in shown]
    names = [{cause.fingerprint for cause in causes} for causes in shown]
    said = await learning.said(await app.workspaces.get(project), sorted(set().union(*names)))
    for line, named in zip(lines, names, strict=True):
        about = (note for note in said if note.about in named)
        line.notes = learnt.notes(about, number=3, most=_note_length(query))
    return FailuresView(view="failures", failures=lines, next_cursor=following)


async def _fixes(app: App, project: str, query: Query) -> FixesView:
    space = await app.workspaces.get(project)
    found = await learning.transitions(space, test=query.test, fingerprint=query.fingerprint, limit=5_000)
    since = instant(query.since)
    shown, following = page([one for one in found if one.at >= since], "fixes", query.cursor, query.limit)
    remarks: list[str] = []
    if query.verify:
        bench = Bench(space, query.origin, until=anyio.current_time() + VERIFY_S)
        shown, remarks = await prove(bench, shown, query.verify)
    hunk, files = (8_000, 50) if query.full else (400, 3)
    return FixesView(
        view="fixes",
        fixes=[
            FixLine(
                **learnt.fix(one, hunk=hunk, intents=10 if query.full else 2, files=files).model_dump(),
                test=middle(one.test, 300),
                fingerprint=one.fingerprint,
                failed=one.failed,
            )
            for one in shown
        ],
        remarks=[head(remark, 300) for remark in remarks],
        next_cursor=following,
    )


async def _notes(app: App, project: str, query: Query, *about: str) -> list[str]:
    said = await learning.said(await app.workspaces.get(project), about)
    return learnt.notes(said, number=20 if query.full else 3, most=_note_length(query))


def _note_length(query: Query) -> int:
    return 2_000 if query.full else 300


async def _flaky(app: App, project: str, query: Query) -> FlakyView:
    if query.verify:
        return await _verified(app, project, query)
    if not 0 <= query.threshold <= 1:
        raise BadRequest(f"threshold={query.threshold:g} is no share of the attempts: 0.05 is one in twenty.")
    since = instant(query.since)

    def fits(sample: Sample) -> bool:
        return sample.outcome.bad and sample.at >= since and query.space in ("", sample.space)

    known = [await app.test(project, query.test)] if query.test else (await app.summary(project)).flaky
    narrowed = query.since or query.space or not query.test
    ranked = [
        judged
        for judged in known
        if judged.judgement.failures >= query.threshold * judged.judgement.attempts
        and (not narrowed or any(map(fits, judged.history.samples)))
    ]
    shown, following = page(ranked, "flaky", query.cursor, query.limit)
    return FlakyView(view="flaky", tests=[_test_line(judged) for judged in shown], next_cursor=following)


async def _verified(app: App, project: str, query: Query) -> FlakyView:
    """The suspects (or the one test asked for) rerun now, each judged by what that showed."""
    tests = (query.test,) if query.test else ()
    found = await app.verify(project, query.origin, tests=tests, times=query.verify, timeout_s=VERIFY_S)
    return FlakyView(
        view="flaky",
        tests=[_test_line(judged) for judged in found.tests],
        remarks=[head(remark, 300) for remark in found.remarks[:5]],
    )


async def _similar(app: App, project: str, query: Query) -> SimilarView:
    known = {
        one.failure.fingerprint: one
        for one in await app.similar(project, _needed(query.text, "text", query), limit=60)
    }
    together = alike(one.failure for one in known.values())
    return SimilarView(
        view="similar",
        failures=[
            similar_line(known[causes[0].fingerprint], causes) for causes in together[: min(query.limit, 20)]
        ],
    )


async def _slow(app: App, project: str, query: Query) -> SlowView:
    space = await app.workspaces.get(project)
    rows = await space.store.runs(
        limit=survey.RUNS, since=instant(query.since), space=query.space, asked=True
    )
    slow, quick, apart = await survey.slow(space, rows, quick_s=_QUICK_S, least=_LEAST)
    shown, following = page(slow, "slow", query.cursor, query.limit)
    return SlowView(
        view="slow",
        tests=[_slow_line(one) for one in shown],
        remarks=[
            *([f"{quick} more tests take less than {_QUICK_S} s each."] if quick and not following else []),
            *([f"Left out: {apart} run(s) with other options or in another environment."] if apart else []),
        ],
        next_cursor=following,
    )


async def _compare(app: App, project: str, query: Query) -> CompareView:
    space = await app.workspaces.get(project)
    words = [await naming.whole(app, project, word) for word in (query.run_id, query.base_run_id)]
    found = await beside.compare(space, *words)
    names = ("newly_failing", "newly_passing", "still_failing", "silenced", "appeared", "vanished")
    lists: dict[str, tuple[str, ...]] = {name: getattr(found.difference, name) for name in names}
    # Of two spaces only what differs is asked for.
    most = {name: 0 if found.remarks and name == "still_failing" else query.limit for name in names}
    return CompareView(
        view="compare",
        before=_placed(found.before),
        after=_placed(found.after),
        environment=[head(line, 200) for line in found.environment[: query.limit]],
        omitted={name: len(ids) - most[name] for name, ids in lists.items() if len(ids) > most[name]},
        warnings=[head(remark, 300) for remark in found.remarks],
        **{name: first_ids(ids, most[name]) for name, ids in lists.items()},
    )


def _placed(run: Run) -> RunLine:
    """*run* in one line, with the CI job that it was part of."""
    line = run_line(trend.row(run))
    if run.ci:
        line.source = f"{line.source}, {pipeline(run.ci)}"
    return line


async def _spaces(app: App, project: str, query: Query) -> SpacesView:
    found = await survey.spaces(await app.workspaces.get(project))
    return SpacesView(
        view="spaces",
        spaces=[
            SpaceLine(
                space=one.space,
                runs=one.runs,
                passed=one.passed,
                last_run=run_line(one.last),
                fails_only_here=first_ids(one.fails_only_here, query.limit),
                omitted=max(0, len(one.fails_only_here) - query.limit),
            )
            for one in found
        ],
        remarks=[f"Of each space the last {survey.MOST} runs are counted."]
        if any(one.runs == survey.MOST for one in found)
        else [],
    )


_ASK: dict[View, Callable[[App, str, Query], Awaitable[HistoryAnswer]]] = {
    "summary": _summary,
    "runs": _runs,
    "run": _run,
    "test": _test,
    "failures": _failures,
    "flaky": _flaky,
    "slow": _slow,
    "similar": _similar,
    "compare": _compare,
    "spaces": _spaces,
    "fixes": _fixes,
}


def instant(text: str, *, now: float | None = None) -> float:
    """The instant that *text* names: "" (0: all), `90m`, `12h`, `7d`, or an ISO date, UTC where it names no zone.

    Raises:
        BadRequest: it is none of these.
    """
    if not text:
        return 0.0
    if found := re.fullmatch(r"(\d{1,6})([mhd])", text):
        return (time.time() if now is None else now) - int(found[1]) * {"m": 60, "h": 3_600, "d": 86_400}[
            found[2]
        ]
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(
            f"since={quoted(text)} is no time. Use '12h', '7d' or a date such as '2026-03-01'."
        ) from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _needed(value: str, name: str, query: Query) -> str:
    if not value:
        where = {"text": "Paste the error text.", "test": "discover_tests lists the ids."}[name]
        raise BadRequest(f"view={query.view!r} needs {name!r}. {where}")
    return value


def run_line(row: RunRow) -> RunLine:
    return RunLine(
        run_id=row.id,
        at=day(row.started_at),
        status=row.status.value,
        counts=row.counts,
        duration_s=round(row.duration_s, 2),
        revision=short_revision(row.revision),
        source=f"{row.space}/{row.source}",
        intent=head(row.intent or _OWN[row.purpose], 200),
        suspect=row.suspect,
        coverage=row.coverage,
    )


def _test_line(judged: Judged, *, brief: bool = False) -> TestLine:
    """One test; *brief* leaves out what is the same for many, or says no more than the outcomes: view 'test' tells it."""
    line = TestLine(id=middle(judged.history.id, 300), outcomes=_strip(judged.history))
    if not brief or judged.judgement.verdict is not Verdict.NOT_ENOUGH_EVIDENCE:
        line.verdict, line.evidence = _verdict(judged.judgement), head(judged.judgement.evidence, 200)
    if not brief:
        line.action = step(judged.judgement.action, judged.judgement.command, 300)
    return line


def _slow_line(one: survey.Slow) -> SlowLine:
    line = SlowLine(id=middle(one.id, 300), median_s=round(one.median_s, 3), runs=one.runs)
    if one.slower is not None:
        line.before_s, line.now_s = round(one.slower.before_s, 3), round(one.slower.now_s, 3)
    return line


def similar_line(match: Match, causes: Sequence[FailureHistory] = ()) -> CauseLine:
    """A known cause (with the *causes* that are alike), how surely it is the same, and by which words."""
    line = causes_line(causes or (match.failure,))
    line.similarity = round(match.likeness, 3)
    line.tier, line.matched = match.tier, [head(word, 80) for word in match.words]
    return line


def causes_line(causes: Sequence[FailureHistory]) -> CauseLine:
    """Causes that are alike, as the first of them with what is known of all."""
    first, whole = causes[0], reduce(trend.merge, causes)
    line = cause_line(replace(whole, fingerprint=first.fingerprint, path=first.path, source=first.source))
    line.places_omitted = len(causes) - 1
    return line


def cause_line(failure: FailureHistory) -> CauseLine:
    return CauseLine(
        fingerprint=failure.fingerprint,
        error=middle(failure.exception, 80),
        message=head(unnamed(failure.message, failure.exception), 200),
        at=head(f"{failure.path}: {failure.source}" if failure.path else "", 200),
        tests=first_ids(failure.tests, 3),
        tests_omitted=max(0, len(failure.tests) - 3),
        seen=Seen(first=day(failure.first_seen), last=day(failure.last_seen), runs=failure.count),
    )


def _verdict(judgement: Judgement) -> str:
    return judgement.verdict.value if judgement.verdict else ""


def _strip(history: TestHistory) -> str:
    """The newest outcomes as letters, oldest first."""
    return "".join(LETTERS[sample.outcome] for sample in history.samples[-STRIP:])
