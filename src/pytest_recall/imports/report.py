"""What a report tells, in one shape for all formats, and the Run that it makes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from pytest_recall.imports.places import short
from pytest_recall.model import (
    Attempt,
    Collector,
    Environment,
    Finished,
    InternalError,
    Interrupted,
    Outcome,
    Pipeline,
    Revision,
    Run,
    RunRequest,
    Space,
    Status,
    Target,
    Termination,
    Test,
    Warned,
)
from pytest_recall.suite import Tests

_SLACK_S = 86_400.0  # clocks that go wrong
_LONGEST_PLACE = 200  # characters
_ZONES_S = 26 * 3_600.0  # from the first zone of the earth to the last

_PASSED, _FAILED, _INTERRUPTED, _INTERNAL, _USAGE, _NO_TESTS = range(6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What whoever imports a report says of it."""

    root: Path
    space: Space = "ci"
    revision: Revision = field(default_factory=lambda: Revision(digest=""))
    job: str = ""  # a name for where it ran: runs of one job share their environment
    ci: Pipeline | None = None
    within: str = ""  # how the names of its documents begin
    at: float = 0.0  # when it was written, for a report that does not say
    now: float = field(default_factory=time.time)  # no run begins later, whatever a report says


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one report tells of one run."""

    format: str
    tests: tuple[Test, ...]
    collectors: tuple[Collector, ...] = ()
    not_run: tuple[str, ...] = ()
    started_at: float = 0.0  # 0: not told
    zoned: bool = True  # else `started_at` is what its writer's clock showed, read as if that were here
    duration_s: float = 0.0
    exit_code: int | None = None
    root: str = ""  # pytest's rootdir, where it is told
    environment: Environment = field(default_factory=Environment)
    commit: str = ""  # as the report itself says
    branch: str = ""
    place: str = ""  # where it ran, as the report has it: a host, or what a reporter puts there
    run: str = ""  # the id of the run of ours that it was written from, as it says
    status: Status | None = None  # how that ended, where not well
    content: bytes = b""  # what its id is made of, where that is not all of its document
    deselected: int = 0
    warned: tuple[Warned, ...] = ()
    ended: Termination | None = None  # where it did not come to a good end
    lost: frozenset[str] = frozenset()
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    foreign: bool = False  # of another tool's tests; it may be a part of what the tool ran

    @property
    def bad(self) -> bool:
        """Whether a test, an attempt at one or a collector failed."""
        tests = (attempt.outcome for test in self.tests for attempt in test.attempts)
        return any(outcome.bad for outcome in (*tests, *(one.outcome for one in self.collectors)))


def run(report: Report, origin: Origin, content: bytes) -> Run:
    """The Run that *report* makes. Its id comes from *content*: the same content is the same run."""
    lost = set(report.lost)
    started_at = _begun(report, origin)
    if not started_at:
        lost.add("time")
        started_at = min(origin.at, origin.now) if 0 < origin.at < origin.now + _SLACK_S else origin.now
    environment = report.environment
    if not ((environment.os and environment.python) or (report.run and report.place)):
        lost.add("environment")
        # Runs of unknown places are never of the same place: outcomes that differ between them prove no flake.
        place = (
            f"job {origin.job}"
            if origin.job
            else f"unknown {hashlib.blake2b(content, digest_size=6).hexdigest()}"
        )
        environment = replace(environment, distributions=place)
    revision = origin.revision
    if not (revision.commit or revision.digest):
        lost.add("revision")
    status = _status(report)
    return Run(
        id=run_id(started_at, content),
        started_at=started_at,
        duration_s=report.duration_s,
        target=Target(root=str(origin.root), python="", source="import"),
        rootdir=report.root or str(origin.root),
        # Not what a run of ours selects: an imported run is compared with its own kind.
        request=RunRequest(args=(f"import:{origin.job or report.format}",)),
        status=status,
        terminations=(report.ended or Finished(exit_code=_exit_code(report, status)),),
        revision=revision,
        environment=environment,
        space=origin.space,
        source=f"import:{report.format}",
        ci=origin.ci,
        collected=len(report.tests) + len(report.not_run) + report.deselected,
        deselected=report.deselected,
        tests=Tests.of(report.tests),
        not_run=report.not_run,
        collectors=report.collectors,
        warned=report.warned,
        doubts=report.doubts,
        notes=(*report.notes, _confession(report.format, lost)),
        lost=tuple(sorted(lost)),
    )


def apart(run: Run, where: str) -> Run:
    """*run* as one of a place of its own within its job: what became of its tests is set against no other place's."""
    where = short(where, _LONGEST_PLACE)
    place = "/".join(filter(None, (run.environment.distributions, where)))
    return replace(
        run,
        environment=replace(run.environment, distributions=place),
        request=replace(run.request, args=(f"{run.request.args[0]}/{where}",)),
    )


def _begun(report: Report, origin: Origin) -> float:
    """When the run began, so far as its report tells; 0 where it does not, or of a time that cannot be."""
    at = report.started_at
    if not report.zoned and 0 < origin.at < at < origin.at + _ZONES_S:
        return origin.at  # another zone's: nothing is written before it began
    return min(at, origin.now) if 0 < at < origin.now + _SLACK_S else 0.0


def run_id(at: float, content: bytes) -> str:
    """A UUID of version 7 whose time is *at* and whose random part is the hash of *content*."""
    made = int.from_bytes(hashlib.blake2b(content, digest_size=10).digest())
    high, low = made >> 68, made & (1 << 62) - 1 | 1 << 63
    text = f"{int(at * 1000) & (1 << 48) - 1:012x}7{high:03x}{low:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def content_of(run_id: str) -> str:
    """The part of an imported run's id that comes from its content alone."""
    return run_id[14:]


def decided(tests: dict[str, list[Attempt]]) -> tuple[Test, ...]:
    """*tests* as values."""
    return tuple(Test(id=test, attempts=tuple(attempts)) for test, attempts in tests.items())


def timestamp(text: str) -> tuple[float, bool]:
    """ISO 8601 as seconds since the epoch, and whether it names its zone: else it is this machine's.

    0 for whatever is no time.
    """
    try:
        when = datetime.fromisoformat(text.strip())
        return max(when.timestamp(), 0.0), when.tzinfo is not None
    except (ValueError, OverflowError, OSError):
        return 0.0, True


def _status(report: Report) -> Status:
    """The verdict: never greener than anything that the report says."""
    bad = any(test.outcome.bad for test in report.tests) or bool(report.not_run)
    verdicts = (
        (report.status is not None, report.status or Status.FAILED),
        (isinstance(report.ended, InternalError) or report.exit_code == _INTERNAL, Status.INTERNAL_ERROR),
        (isinstance(report.ended, Interrupted), Status.INTERRUPTED),
        (report.exit_code == _USAGE, Status.USAGE_ERROR),
        (any(one.outcome is Outcome.ERROR for one in report.collectors), Status.COLLECTION_FAILED),
        (report.exit_code == _INTERRUPTED and not bad, Status.INTERRUPTED),
        (bad or bool(report.doubts), Status.FAILED),
        (not report.tests, Status.NO_TESTS),
        (report.exit_code in {None, _PASSED}, Status.PASSED),
    )
    return next((status for holds, status in verdicts if holds), Status.FAILED)


def _exit_code(report: Report, status: Status) -> int:
    if report.exit_code is not None:
        return report.exit_code
    known = {Status.PASSED: _PASSED, Status.NO_TESTS: _NO_TESTS, Status.COLLECTION_FAILED: _INTERRUPTED}
    return known.get(status, _FAILED)


def _confession(kind: str, lost: Collection[str]) -> str:
    text = f"Imported from {NAMES.get(kind, kind)}"
    return f"{text}, which does not tell: {', '.join(sorted(lost))}." if lost else f"{text}."


NAMES = {
    "junit": "JUnit XML",
    "json-report": "pytest-json-report",
    "reportlog": "pytest-reportlog",
    "ctrf": "CTRF",
    "jsonl": "JSON lines of pytest-recall",
}


def doubts_of_exit(
    exit_code: int | None, tests: Sequence[Test], collectors: Sequence[Collector]
) -> tuple[str, ...]:
    """Where the exit code and the outcomes of a report tell different stories."""
    bad = any(test.outcome.bad for test in tests) or any(one.outcome.bad for one in collectors)
    if exit_code == _PASSED and bad:
        return ("The report says exit 0, and tests in it failed.",)
    if exit_code == _FAILED and not bad:
        return ("The report says exit 1, and no test in it failed.",)
    return ()
