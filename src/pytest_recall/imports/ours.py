"""What our own exports say of their run beside what the formats have a place for. Anybody can write it: it is checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from pytest_recall.imports.report import Report
from pytest_recall.model import Outcome, Run

RUN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ROUNDED_S = 0.002  # CTRF has milliseconds


def with_said(report: Report, said: Mapping[str, str]) -> Report:
    """*report* with what *said* tells, if that is of a run of ours."""
    if not RUN_ID.fullmatch(run := said.get("run", "")):
        return report
    return replace(report, run=run)


def same(report: Report, run: Run) -> bool:
    """Whether *report* may have been written from *run*, as it says: it began then, and as many tests ended so."""
    return abs(report.started_at - run.started_at) <= _ROUNDED_S and _ends(report) == _ends(run)


def _ends(told: Report | Run) -> tuple[int, int]:
    outcomes = [test.outcome for test in told.tests if test.outcome is not Outcome.NOT_RUN]
    return len(outcomes), sum(outcome.bad for outcome in outcomes)
