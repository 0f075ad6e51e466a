"""CTRF, the Common Test Report Format: one run in one document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO

from pytest_recall import __version__
from pytest_recall.errors import BadRequest
from pytest_recall.exports.names import parts
from pytest_recall.history.trend import row
from pytest_recall.model import Attempt, Collector, Environment, Failure, Finished, Outcome, Run, Status, Test

SPECIFICATION = "1.0.0"
_GREEN = frozenset({Status.PASSED, Status.NO_TESTS})
_STATUS = {
    Outcome.PASSED: "passed",
    Outcome.XPASSED: "passed",
    Outcome.SKIPPED: "skipped",
    Outcome.XFAILED: "skipped",
    Outcome.NOT_RUN: "other",
}
_SYSTEMS = {"Linux": "linux", "Darwin": "darwin", "Windows": "win32"}


class CTRF:
    """Writes one run; a second one is refused, for the format has no place for it."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._written = False

    def add(self, run: Run) -> None:
        if self._written:
            raise BadRequest("CTRF holds one run. Name one, or use --format junit or jsonl for several.")
        self._written = True
        self._out.write(json.dumps(_document(run), indent=1).encode("ascii") + b"\n")

    def close(self) -> None:
        """It was written when its run came."""


def _document(run: Run) -> dict[str, Any]:
    tests = list(_tests(run))
    statuses = [test["status"] for test in tests]
    start, duration = _milliseconds(run.started_at), _milliseconds(run.duration_s)
    counted = {name: statuses.count(name) for name in ("passed", "failed", "skipped", "pending", "other")}
    return {
        "reportFormat": "CTRF",
        "specVersion": SPECIFICATION,
        "reportId": run.id,
        "timestamp": datetime.fromtimestamp(run.started_at + run.duration_s, UTC).isoformat(),
        "generatedBy": f"pytest-recall {__version__}",
        "results": {
            "tool": {"name": "pytest"}
            | ({"version": run.environment.pytest} if run.environment.pytest else {}),
            "summary": {
                "tests": len(tests),
                **counted,
                "flaky": sum(test.get("flaky", False) for test in tests),
                "start": start,
                "stop": start + duration,
                "duration": duration,
            },
            "tests": tests,
            "environment": _environment(run),
        },
    }


def _tests(run: Run) -> Iterator[dict[str, Any]]:
    failed = False
    for collector in run.collectors:
        told = _collector(collector)
        failed = failed or told["status"] == "failed"
        yield told
    for test in run.tests:
        failed = failed or test.outcome.bad
        yield _test(test)
    for node_id in run.not_run:
        yield {"name": _named(node_id), "status": "other", "rawStatus": "not_run", "duration": 0} | _place(
            node_id
        )
    if run.status not in _GREEN and not failed:  # whoever counts failures must find one
        message = "\n".join((f"The run ended as {run.status.value}.", *run.doubts))
        yield {"name": "pytest session", "status": "failed", "duration": 0, "message": message}


def _test(test: Test) -> dict[str, Any]:
    last = test.decisive
    others = [attempt for attempt in test.attempts if attempt is not last]
    found: dict[str, Any] = {
        "name": _named(test.id),
        **_attempt(last),
        "retries": len(others),
        **_place(test.id),
    }
    raw = _raw(last)
    if raw:
        found["rawStatus"] = raw
    if last.worker:
        found["threadId"] = last.worker
    if others:
        found["retryAttempts"] = [
            {"attempt": number, **_attempt(attempt)} for number, attempt in enumerate(others, 1)
        ]
        found["flaky"] = not last.outcome.bad and any(attempt.outcome.bad for attempt in others)
    if last.properties:
        found["extra"] = {"properties": [list(pair) for pair in last.properties]}
    return found


def _attempt(attempt: Attempt) -> dict[str, Any]:
    found: dict[str, Any] = {
        "status": _STATUS.get(attempt.outcome, "failed"),
        "duration": _milliseconds(attempt.duration_s),
    }
    failure = next(iter(attempt.failures), None)
    if failure is not None:
        found |= _failure(failure)
    elif attempt.reason:
        found["message"] = attempt.reason
    return found


def _failure(failure: Failure) -> dict[str, Any]:
    found: dict[str, Any] = {"message": failure.message}
    if failure.text:
        found["trace"] = failure.text
    for title, text in failure.captured:
        found.setdefault("stderr" if "stderr" in title else "stdout", []).extend(text.splitlines())
    return found


def _raw(attempt: Attempt) -> str:
    """What the status leaves out, in the words of pytest-json-ctrf where it has some."""
    if attempt.outcome in {Outcome.FAILED, Outcome.ERROR}:
        return f"{attempt.phase}_failed"
    plain = attempt.outcome in {Outcome.PASSED, Outcome.SKIPPED}
    return "" if plain else attempt.outcome.value


def _collector(collector: Collector) -> dict[str, Any]:
    failed = collector.outcome is not Outcome.SKIPPED
    found: dict[str, Any] = {
        "name": _named(collector.id),
        "status": "failed" if failed else "skipped",
        "rawStatus": "collect_failed" if failed else "collect_skipped",
        "duration": 0,
    }
    found |= _failure(collector.failure) if collector.failure else {"message": collector.reason}
    return found | _place(collector.id)


def _named(node_id: str) -> str:
    """The id as text that every reader of JSON can take: a file's name may have made lone surrogates of it."""
    return node_id.encode("utf-8", "backslashreplace").decode("utf-8") or "?"


def _place(node_id: str) -> dict[str, Any]:
    path, classes, name = parts(_named(node_id))
    path = path or name  # a collector is a file
    return {"filePath": path, "suite": [path, *classes]}


def _environment(run: Run) -> dict[str, Any]:
    environment: Environment = run.environment
    last = run.terminations[-1] if run.terminations else None
    told = {
        "commit": run.revision.commit if not run.revision.dirty else "",
        "branchName": run.revision.branch,
        "osPlatform": _SYSTEMS.get(environment.os, environment.os),
    }
    return {
        **{name: text for name, text in told.items() if text},
        "healthy": run.status in _GREEN,
        "extra": {
            "python": environment.python,
            "arch": environment.arch,
            "plugins": list(environment.plugins),
            "dirty": run.revision.dirty,
            "status": run.status.value,
            "environment": row(run).environment,
            **({"exit_code": str(last.exit_code)} if isinstance(last, Finished) else {}),
        },
    }


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1_000)
