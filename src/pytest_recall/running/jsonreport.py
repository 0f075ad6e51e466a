"""The JSON report in pytest-json-report's format: checked against the stream, or made from a Run.

It may say less than the stream, and does: a rerun, a subtest or an interrupt overwrites what came
before. So only what it says *worse* is news.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_recall.model import Attempt, Failure, Outcome, Run
from pytest_recall.running import events

MOST_BYTES = 32 * 2**20
_MOST_DOUBTS = 5
_DURATION = re.compile(rb'("duration": ?)(\d{1,10}\.\d{1,30}|\d(?:\.\d{1,30})?e-\d{1,3})(?=[,}])')
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode
_quoted = json.encoder.encode_basestring_ascii
_QUIET = (
    '{"nodeid":%s,"outcome":"%s",'
    + ",".join(f'"{phase}":{{"duration":%r,"outcome":"passed"}}' for phase in ("setup", "call", "teardown"))
    + "}"
)


def doubts(report: bytes, attempts: Mapping[str, Sequence[Attempt]]) -> list[str]:
    """What *report* says against the stream's *attempts*: tests that it calls failed and the stream does not."""
    content = events.load(report)
    tests = content.get("tests") if content else None
    found = []
    for test in tests if isinstance(tests, list) else ():
        if not isinstance(test, dict) or test.get("outcome") not in {"failed", "error"}:
            continue
        name = test.get("nodeid")
        if isinstance(name, str) and not any(attempt.outcome.bad for attempt in attempts.get(name, ())):
            found.append(f"The JSON report calls {name[:200]!r} {test['outcome']}, and the stream does not.")
            if len(found) == _MOST_DOUBTS:
                break
    return found


def rounded(report: bytes) -> bytes:
    """*report* with its durations to the hundredth of a millisecond: their other digits are half of what is kept."""
    # A quotation mark within a text has a backslash before it: only the keys themselves fit.
    return _DURATION.sub(lambda found: b"%s%.5f" % (found[1], float(found[2])), report)


def compose(run: Run) -> bytes:
    """*run* as pytest-json-report would have written it, where it was not there or not the whole run."""
    summary = {name: number for name, number in run.counts.items() if name != "selected"}
    content = {
        "created": run.started_at + run.duration_s,
        "duration": run.duration_s,
        "exitcode": next((getattr(end, "exit_code", None) for end in reversed(run.terminations)), None),
        "root": run.rootdir,
        "environment": {"Python": run.environment.python},
        "summary": summary | {"total": len(run.tests)},
        "warnings": [
            {
                "category": warned.category,
                "message": warned.message,
                "filename": warned.path,
                "lineno": warned.line,
            }
            for warned in run.warned
        ],
    }
    tests = ",".join(_test(test.id, test.decisive) for test in run.tests)
    return f'{_encode(content)[:-1]},"tests":[{tests}]}}'.encode("ascii")


def _test(test: str, attempt: Attempt) -> str:
    if attempt.failures:
        return _encode(_failed(test, attempt))
    # Most tests of most runs: what `_failed` would make, at a tenth of its cost.
    return _QUIET % (
        _quoted(test),
        _word(attempt.outcome),
        attempt.setup_s,
        attempt.call_s,
        attempt.teardown_s,
    )


def _failed(test: str, attempt: Attempt) -> dict[str, Any]:
    entry: dict[str, Any] = {"nodeid": test, "outcome": _word(attempt.outcome)}
    for phase, seconds in (
        ("setup", attempt.setup_s),
        ("call", attempt.call_s),
        ("teardown", attempt.teardown_s),
    ):
        failure = next((failure for failure in attempt.failures if failure.phase == phase), None)
        entry[phase] = {"duration": seconds, "outcome": "failed" if failure else "passed"} | _crash(failure)
    return entry


def _word(outcome: Outcome) -> str:
    return "failed" if outcome in {Outcome.TIMED_OUT, Outcome.CRASHED} else outcome.value


def _crash(failure: Failure | None) -> dict[str, Any]:
    if failure is None:
        return {}
    at = failure.at
    crash = (
        {"path": at.path, "lineno": at.line, "message": failure.message}
        if at
        else {"message": failure.message}
    )
    frames = [{"path": frame.path, "lineno": frame.line, "message": ""} for frame in failure.frames]
    return {"crash": crash, "traceback": frames, "longrepr": failure.text}
