"""From one run to what is kept of it: its row, a sample an attempt, and the causes of its failures.

Folding and merging give the same value in any order, and the same run twice changes nothing, so
whoever keeps these values may take a run in again after a crash.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from pytest_recall.history import lines
from pytest_recall.history.fingerprint import digest, ended
from pytest_recall.model import (
    Attempt,
    Crashed,
    Environment,
    Failure,
    FailureHistory,
    Finished,
    Outcome,
    Run,
    RunRequest,
    RunRow,
    Sample,
    Status,
    TestHistory,
)

_SAMPLES = 200  # attempts kept of a test
_TESTS = 50  # ids kept of a cause
_RUNS = 32  # run ids kept of a cause
_MESSAGE = 1000  # characters

# What ends the environment of a run in which other tests come before one than in the whole suite: a single test, or
# without those that passed; and, with a digest of which, some that were selected.
ALONE, SOME = "/alone", "/some-"
SHARED = "/shared"  # ends it where one cause broke most of what failed: remembered, and no proof of a flake

# Options that change neither what runs in a test nor how: what is printed, and when the session ends. Those with a value
# may have it as the next word.
_PRINTING = re.compile(
    r"-[xvql]+|-r\w*"
    r"|--(exitfirst|verbose|quiet|(no-)?showlocals|full-trace|no-header|no-summary|disable-(pytest-)?warnings)"
    r"|--(maxfail|tb|verbosity|color|show-capture|durations|durations-min)=.*",
    re.DOTALL,
)
_WITH_A_VALUE = frozenset(
    {"-r", "--maxfail", "--tb", "--verbosity", "--color", "--show-capture", "--durations", "--durations-min"}
)

_SHARED = 10  # failures of one cause that make a run suspect, where they are half of all
_EACH = 200  # tests of one such cause that are kept: a broken fixture must not make a row of every test of a suite
_BROKEN = frozenset(
    {
        Status.COLLECTION_FAILED,
        Status.USAGE_ERROR,
        Status.INTERNAL_ERROR,
        Status.INTERRUPTED,
        Status.CANCELLED,
        Status.RUNNING,
    }
)
_SILENT = frozenset({Outcome.SKIPPED, Outcome.NOT_RUN})
_ELSEWHERE = frozenset({"order", "base"})  # purposes of runs that say nothing of a test as it is usually run
_ENDED = frozenset({Outcome.TIMED_OUT, Outcome.CRASHED})


def environment_digest(
    environment: Environment, *, env: Sequence[tuple[str, str]] = (), args: Sequence[str] = ()
) -> str:
    """12 hex digits; `/` and 4 more where the order was random, so that seeds can be told apart.

    *env* and *args* of the request belong to it: the same sources may pass with one and fail with another.
    """
    parts = [environment.os, environment.arch, environment.python, environment.pytest]
    parts += [environment.distributions, str(environment.workers), *environment.plugins, "env"]
    parts += [f"{name}={value}" for name, value in sorted(env)]
    own = digest(*parts, "args", *args)
    return f"{own}/{digest(environment.seed)[:4]}" if environment.seed else own


def without_seed(environment: str) -> str:
    """The part of an environment's digest that does not depend on the order of the tests."""
    return environment.partition("/")[0]


def scope_digest(request: RunRequest, project: str = "", ids: Sequence[str] = ()) -> str:
    """What was selected: equal digests are runs of the same selection of one *project*.

    *ids* are the selected tests, where the selection depends on the past (`only` is not "all").
    """
    tests = sorted({test.removeprefix("./").rstrip("/") for test in request.tests})
    chosen = sorted(ids) if request.only != "all" else []
    return digest(
        project, request.keyword, request.markers, request.only, *request.args, "", *tests, "", *chosen
    )


def row(run: Run, *, project: str = "") -> RunRow:
    """The run in one line; `suspect` where it is no evidence about single tests."""
    ids = (*run.tests.ids, *run.not_run) if run.request.only != "all" else ()
    purpose = run.request.purpose
    environment = environment_digest(run.environment, env=run.request.env, args=_conditions(run.request))
    environment = _with_company(environment, run, ids)
    silent = _cut_short(run) or purpose in _ELSEWHERE
    shared = not silent and _one_cause(run)
    return RunRow(
        id=run.id,
        started_at=run.started_at,
        duration_s=run.duration_s,
        status=run.status,
        counts=run.counts,
        revision=run.revision,
        environment=environment + SHARED if shared else environment,
        scope=scope_digest(run.request, project, ids),
        space=run.space,
        source=run.source,
        suspect=silent or shared,
        intent=run.request.intent,
        client=run.client,
        purpose=purpose,
        coverage=run.coverage.percent if run.coverage else None,
        line=lines.of(run),
    )


def remembered(row: RunRow) -> bool:
    """Whether what became of single tests is kept: where one cause broke most of them, too, but as no evidence of a flake."""
    return not row.suspect or row.environment.endswith(SHARED)


def in_full(sample: Sample) -> Sample:
    """*sample* as evidence like any other, whatever else failed in its run."""
    return sample._replace(environment=sample.environment.removesuffix(SHARED))


def samples(run: Run, row: RunRow) -> dict[str, list[Sample]]:
    """What to keep of each test: every attempt that says something; of a suspect run of one cause so many tests, of others none."""
    if not remembered(row):
        return {}
    found = observed(run, row)
    if not row.suspect:
        return found
    seen = Counter[str]()
    for test, attempts in list(found.items()):
        group = attempts[-1].group if attempts[-1].outcome.bad else ""
        seen[group] += 1
        if group and seen[group] > _EACH:
            del found[test]
    return found


def passed(run: Run, row: RunRow, plain: Iterable[tuple[str, float]]) -> dict[str, list[Sample]]:
    """The same of tests that simply passed, by their ids and the seconds of their calls; *run* need not have them."""
    sources, revision = dict(run.reach), _revision(run)
    return {
        test: [
            Sample(
                run=run.id,
                at=run.started_at,
                revision=revision,
                environment=row.environment,
                space=run.space,
                outcome=Outcome.PASSED,
                duration_s=seconds,
                sources=sources.get(test.partition("::")[0], ""),
                line=row.line,
            )
        ]
        for test, seconds in plain
    }


def observed(run: Run, row: RunRow, ids: Collection[str] | None = None) -> dict[str, list[Sample]]:
    """Every attempt that says something, by test id; of a suspect run too, to judge the run itself.

    Only of the tests in *ids*, where that is given.
    """
    found: dict[str, list[Sample]] = {}
    sources = dict(run.reach)
    for test in run.tests if ids is None else run.tests.among(ids):
        reached = sources.get(test.id.partition("::")[0], "")
        doubted = _doubted(run, test.attempts)
        for number, attempt in enumerate(test.attempts):
            if attempt.outcome not in _SILENT and attempt.repetition not in doubted:
                one = _sample(run, row, test.id, number, attempt)
                found.setdefault(test.id, []).append(one._replace(sources=reached) if reached else one)
    return found


def causes_of(run: Run, ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    """By test of *ids*, the `group` fingerprints of all its failures in *run*; a sample has the first one's."""
    found: dict[str, tuple[str, ...]] = {}
    for test in run.tests.among(ids):
        prints = [one.fingerprint.group for attempt in test.attempts for one in attempt.failures]
        found[test.id] = tuple(dict.fromkeys(prints))
    return found


def fold(history: TestHistory | None, test_id: str, new: Sequence[Sample]) -> TestHistory:
    """The history with *new* in it, oldest first, the newest 200 kept."""
    old = history or TestHistory(id=test_id, first_seen=min((s.at for s in new), default=0.0))
    known = {(sample.run, sample.attempt): sample for sample in (*new, *old.samples)}
    ordered = sorted(known.values(), key=_when)[-_SAMPLES:]
    back = bool(new) and (not old.samples or max(map(_when, new)) > _when(old.samples[-1]))
    return replace(
        old,
        first_seen=min([old.first_seen, *(sample.at for sample in new)]),
        samples=tuple(ordered),
        gone=old.gone and not back,
    )


def failures(run: Run) -> dict[str, FailureHistory]:
    """The causes that this run ended with, by `group` fingerprint: of tests and of collectors."""
    found: dict[str, FailureHistory] = {}
    for test_id, failure in _final(run):
        group = failure.fingerprint.group
        tests = {test_id, *(found[group].tests if group in found else ())}
        at = failure.at
        found[group] = FailureHistory(
            fingerprint=group,
            exception=failure.exception,
            message=failure.message[:_MESSAGE],
            path=at.path if at else "",
            source=at.source if at else "",
            tests=tuple(sorted(tests)[:_TESTS]),
            first_seen=run.started_at,
            last_seen=run.started_at,
            first_run=run.id,
            last_run=run.id,
            runs=(run.id,),
        )
    return found


def merge(a: FailureHistory, b: FailureHistory) -> FailureHistory:
    """Both together; either order gives the same, and a run that is already in it adds nothing."""
    if a == b:
        return a
    first = min(a, b, key=lambda side: (side.first_run, side.first_seen))
    # The newer wording is shown; the last part of the key only makes ties fall the same way.
    last = max(a, b, key=lambda side: (side.last_run, side.last_seen, side.message, side.source, side.path))
    both = set(_runs(a)) & set(_runs(b))
    return replace(
        last,
        tests=tuple(sorted({*a.tests, *b.tests})[:_TESTS]),
        first_seen=first.first_seen,
        first_run=first.first_run,
        count=a.count + b.count - len(both),
        runs=tuple(sorted({*_runs(a), *_runs(b)})[-_RUNS:]),
    )


def _conditions(request: RunRequest) -> tuple[str, ...]:
    # A test that hung under a limit of one second is no other outcome than its pass without one, and to be
    # measured slows it down.
    limit = (f"limit={request.test_timeout_s}",) if request.test_timeout_s else ()
    return (*_mattering(request.args), *limit, *(("coverage",) if request.coverage else ()))


def _mattering(args: Iterable[str]) -> Iterator[str]:
    """Those of pytest's options that a test can feel."""
    words = iter(args)
    for word in words:
        if word in _WITH_A_VALUE:
            next(words, None)
        elif not _PRINTING.fullmatch(word):
            yield word


def _cut_short(run: Run) -> bool:
    if run.status in _BROKEN or not run.terminations:
        return True
    match run.terminations[-1]:  # an earlier one was made good by going on without the culprit
        case Finished():
            return False
        case Crashed(at_exit=at_exit):
            return not at_exit
        case _:
            return True


def _alone(run: Run) -> bool:
    return run.request.purpose == "alone" or bool(
        run.request.tests and len(run.tests) + len(run.not_run) == 1
    )


def _with_company(environment: str, run: Run, ids: Sequence[str]) -> str:
    """*environment* with the part of the suite that *run* ran, *ids* where the past chose it; the whole has no name."""
    request = run.request
    if _alone(run):
        return without_seed(environment) + ALONE
    if request.only != "all":  # as if they had been named
        request = replace(request, only="all", tests=tuple(ids), keyword="", markers="")
    if request.tests or request.keyword or request.markers:
        chosen = scope_digest(replace(request, args=tuple(_mattering(request.args))))
        return f"{without_seed(environment)}{SOME}{digest(chosen, run.environment.seed)[:6]}"
    return environment


def _one_cause(run: Run) -> bool:
    failing = [test.failures[:1] for test in run.tests.others if test.outcome.bad]
    causes = Counter(failure.fingerprint.group for first in failing for failure in first)
    return any(number >= _SHARED and 2 * number >= len(failing) for number in causes.values())


def _revision(run: Run) -> str:
    # A report that hides reruns proves nothing by what it does show: a sample without a revision is in no cell.
    return "" if "attempts" in run.lost else run.revision.digest


def _doubted(run: Run, attempts: Sequence[Attempt]) -> Collection[int]:
    """The rounds that are set against no other: those that passed, where a report that hides attempts has failed ones too.

    They may be of another test of that name. What was rerun within a round is no double.
    """
    if len(attempts) == 1 or "attempts" not in run.lost:
        return ()
    bad = {attempt.repetition: attempt.outcome.bad for attempt in attempts}  # of each round, how it ended
    return [round_ for round_, failed in bad.items() if not failed] if any(bad.values()) else ()


def _sample(run: Run, row: RunRow, test_id: str, number: int, attempt: Attempt) -> Sample:
    prints = [failure.fingerprint for failure in attempt.failures]
    if attempt.outcome in _ENDED and not prints:
        prints = [ended(attempt.outcome, test_id)]
    return Sample(
        run=run.id,
        at=run.started_at,
        revision=_revision(run),
        environment=row.environment,
        space=run.space,
        outcome=attempt.outcome,
        duration_s=attempt.call_s,
        fingerprint=prints[0].strict if prints else "",
        group=prints[0].group if prints else "",
        attempt=number,
        line=row.line,
    )


def _final(run: Run) -> Iterator[tuple[str, Failure]]:
    for test in run.tests.others:
        if test.outcome.bad:
            yield from ((test.id, failure) for failure in test.failures)
    for collector in run.collectors:
        if collector.failure:
            yield collector.id, collector.failure


def _runs(side: FailureHistory) -> tuple[str, ...]:
    return side.runs or (side.first_run, side.last_run)


def _when(sample: Sample) -> tuple[str, float, int]:
    # Ids rise whatever the clock did; the time is what it said.
    return sample.run, sample.at, sample.attempt
