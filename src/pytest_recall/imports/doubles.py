"""Reports of a session that tells of itself, too, as a CI job leaves them that keeps our plugin's file and a JUnit file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b

from pytest_recall.imports.report import Report
from pytest_recall.model import Attempt, Outcome, Run

_SLACK_S = 2.0  # between the clocks of one machine's processes
_ROUNDED_S = 0.001  # most formats tell milliseconds
_TELLING_S = 0.01  # what many tests take less than, none of them can be told by
_QUARTER_S, _ZONES_S = 900.0, 26 * 3_600.0  # zones differ by quarters of an hour, and by so much at most


def doubles(reports: Iterable[tuple[Run, Report]], sessions: Iterable[Run]) -> dict[str, str]:
    """The runs that reports made and a session tells whole: their ids, each with that session's.

    The jobs of a matrix run the same tests at the same time, with the same outcomes. So a report has to tell of the
    session's own durations, too, and nothing may be in two minds about which session that is: a run that is kept
    twice is seen, and one that is lost is not.
    """
    known = defaultdict[bytes, dict[str, Run]](dict)
    for session in sessions:
        known[_outcomes(session)][session.id] = session
    found = dict[str, str]()
    claims = defaultdict[tuple[str, str], set[str]](set)
    for run, report in reports:
        same = [one for one in known.get(_outcomes(report), {}).values() if _same(report, one)]
        if len(same) == 1:
            found[run.id] = same[0].id
            claims[same[0].id, report.format].add(run.id)
    doubted = {run for claim in claims.values() if len(claim) > 1 for run in claim}
    return {run: session for run, session in found.items() if run not in doubted}


def _outcomes(told: Report | Run) -> bytes:
    """What became of which tests; an xpass is a pass to most formats."""
    rows = [f"{_dotted(test.id)} {_plain(test.outcome)}" for test in told.tests]
    rows += [f"{_dotted(one.id)} collected: {one.outcome}" for one in told.collectors if one.outcome.bad]
    return blake2b("\n".join(sorted(rows)).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _plain(outcome: Outcome) -> str:
    return Outcome.PASSED if outcome is Outcome.XPASSED else outcome


def _dotted(test: str) -> str:
    """The id as JUnit knows it, so that it is no matter how well the path in it was guessed."""
    head, bracket, values = test.partition("[")
    path, *names = head.split("::")
    return ".".join([path.removesuffix(".py").replace("/", "."), *names]) + bracket + values


def _same(report: Report, session: Run) -> bool:
    times = list(_times(report, session))
    as_long = all(abs(told - whole) <= _ROUNDED_S for told, whole, _ in times) or all(
        abs(told - call) <= _ROUNDED_S for told, _, call in times
    )
    if not as_long or not report.tests:
        return False
    if report.started_at:
        return _begins_within(report, session)
    return any(told >= _TELLING_S for told, _, _ in times)


def _times(report: Report, session: Run) -> Iterator[tuple[float, float, float]]:
    """Of each test that passed at once: how long it took as *report* tells, and whole and its call in the *session*."""
    passed = {_dotted(test.id): test.attempts[0] for test in session.tests if _at_once(test.attempts)}
    for test in report.tests:
        ours = passed.get(_dotted(test.id))
        if ours is not None and _at_once(test.attempts):
            yield _lasted(test.attempts[0]), _lasted(ours), ours.call_s


def _at_once(attempts: Sequence[Attempt]) -> bool:
    return len(attempts) == 1 and attempts[0].outcome is Outcome.PASSED


def _lasted(attempt: Attempt) -> float:
    return attempt.setup_s + attempt.call_s + attempt.teardown_s


def _begins_within(report: Report, session: Run) -> bool:
    later = report.started_at - session.started_at
    if not report.zoned and abs(later) < _ZONES_S:
        later -= round(later / _QUARTER_S) * _QUARTER_S
    return -_SLACK_S <= later <= session.duration_s + _SLACK_S
