"""What our own exports say of their run beside what the formats have a place for. Anybody can write it: it is checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from pytest_recall.imports.failures import clean
from pytest_recall.imports.report import Report
from pytest_recall.model import InternalError, Interrupted, Outcome, Run, Status

RUN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PLACE = re.compile(r"[0-9a-f]{12}[0-9a-z/-]{0,40}")  # as `history.trend` makes it of an environment
_EXIT_CODE = re.compile(r"[0-9]{1,3}")
_CUT_SHORT = {
    status.value: status
    for status in (
        Status.INTERNAL_ERROR,
        Status.TIMED_OUT,
        Status.CRASHED,
        Status.INTERRUPTED,
        Status.CANCELLED,
    )
}
# A report's word is taken for what went wrong, and never for what is green.
_BAD = _CUT_SHORT | {
    status.value: status for status in (Status.FAILED, Status.COLLECTION_FAILED, Status.USAGE_ERROR)
}
_ROUNDED_S = 0.002  # CTRF has milliseconds


def with_said(report: Report, said: Mapping[str, str]) -> Report:
    """*report* with what *said* tells: of which run of ours it is, how that ended, on what, and a name for where."""
    if not RUN_ID.fullmatch(run := said.get("run", "")):
        return report
    status, code = _BAD.get(said.get("status", "")), said.get("exit_code", "")
    place = said.get("environment", "")
    place = place if _PLACE.fullmatch(place) else ""
    report = replace(
        report, run=run, status=status, place=place, foreign=False
    )  # whole, whosever tests it has
    if _EXIT_CODE.fullmatch(
        code
    ):  # pytest came to its end: what is told as its error is why that is not green
        doubts = (report.ended.message,) if isinstance(report.ended, InternalError) else ()
        return replace(
            report,
            exit_code=int(code),
            ended=None,
            doubts=(*report.doubts, *doubts),
            lost=report.lost - {"exit"},
        )
    if status in _CUT_SHORT.values() and report.ended is None:
        report = replace(report, ended=Interrupted(reason=clean(f"The report says no more than: {status}.")))
    return report


def same(report: Report, run: Run) -> bool:
    """Whether *report* may have been written from *run*, as it says: it began then, and as many tests ended so."""
    return abs(report.started_at - run.started_at) <= _ROUNDED_S and _ends(report) == _ends(run)


def _ends(told: Report | Run) -> tuple[int, int]:
    outcomes = [test.outcome for test in told.tests if test.outcome is not Outcome.NOT_RUN]
    return len(outcomes), sum(outcome.bad for outcome in outcomes)
