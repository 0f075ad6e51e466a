"""JUnit XML as pytest writes it (xunit2), within the bounds of junit-10.xsd: what was not green is not green here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO
from xml.etree.ElementTree import Element, SubElement, tostring

from pytest_recall.exports.names import parts
from pytest_recall.history.trend import row
from pytest_recall.model import Attempt, Collector, Failure, Finished, Outcome, Run, Status, Test

# pytest writes an invalid character as its number, so that a person can read it.
_INVALID = re.compile("[^\t\n\r\x20-\x7e\x80-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_GREEN = frozenset({Status.PASSED, Status.NO_TESTS})


class JUnit:
    """Writes runs as suites of one document."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._begun = False

    def add(self, run: Run) -> None:
        self._begin()
        cases = [*map(_collector, run.collectors), *map(_test, run.tests), *map(_not_run, run.not_run)]
        failures, errors, skipped = (_number(cases, tag) for tag in ("failure", "error", "skipped"))
        if run.status not in _GREEN and not failures and not errors:
            cases.append(_session(run))
            errors += 1
        suite = Element(
            "testsuite",
            name="pytest",
            errors=str(errors),
            failures=str(failures),
            skipped=str(skipped),
            tests=str(len(cases)),
            time=f"{run.duration_s:.3f}",
            timestamp=datetime.fromtimestamp(run.started_at, UTC).isoformat(),
        )
        properties = SubElement(suite, "properties")
        for name, value in _known(run):
            SubElement(properties, "property", name=name, value=_valid(value))
        suite.extend(cases)
        self._out.write(
            tostring(suite, encoding="utf-8").removeprefix(b"<?xml version='1.0' encoding='utf-8'?>\n")
        )

    def close(self) -> None:
        self._begin()
        self._out.write(b"</testsuites>\n")

    def _begin(self) -> None:
        if not self._begun:  # not before there is something to say: an error may come first
            self._out.write(b'<?xml version="1.0" encoding="utf-8"?>\n<testsuites name="pytest tests">')
            self._begun = True


def _known(run: Run) -> Iterator[tuple[str, str]]:
    yield "pytest-recall.run", run.id
    yield "pytest-recall.status", run.status.value
    yield "pytest-recall.environment", row(run).environment
    if run.terminations and isinstance(last := run.terminations[-1], Finished):
        yield "pytest-recall.exit_code", str(last.exit_code)
    revision = run.revision
    told = {
        "python": run.environment.python,
        "pytest": run.environment.pytest,
        "commit": "" if revision.dirty else revision.commit,
        "branch": revision.branch,
    }
    yield from ((name, value) for name, value in told.items() if value)


def _number(cases: list[Element], tag: str) -> int:
    return sum(case.find(tag) is not None for case in cases)


def _case(node_id: str, seconds: float = 0.0) -> Element:
    path, classes, name = parts(node_id)
    classname = ".".join([path.removesuffix(".py").replace("/", "."), *classes])
    return Element("testcase", classname=_valid(classname), name=_valid(name), time=f"{seconds:.3f}")


def _test(test: Test) -> Element:
    last = test.decisive
    case = _case(test.id, last.duration_s)
    _result(case, last)
    earlier = "rerun" if last.outcome.bad else "flaky"
    for attempt in test.attempts:
        if attempt is not last and attempt.outcome.bad:
            _interim(case, earlier, attempt)
    for failure in last.failures[:1]:
        for title, text in failure.captured:
            SubElement(case, "system-err" if "stderr" in title else "system-out").text = _valid(text)
    return case


def _result(case: Element, attempt: Attempt) -> None:
    match attempt.outcome:
        case Outcome.PASSED | Outcome.XPASSED:
            return
        case Outcome.SKIPPED | Outcome.XFAILED:
            kind = "pytest.xfail" if attempt.outcome is Outcome.XFAILED else "pytest.skip"
            SubElement(case, "skipped", type=kind, message=_valid(attempt.reason))
        case Outcome.FAILED | Outcome.ERROR if attempt.failures:
            for failure in attempt.failures:
                _failure(case, failure)
        case _:
            SubElement(
                case, "error", type=attempt.outcome.value, message=_WORDS.get(attempt.outcome, "failed")
            )


_WORDS = {
    Outcome.TIMED_OUT: "it was running when its time was over",
    Outcome.CRASHED: "it was running when its process died",
    Outcome.NOT_RUN: "it was selected, and never finished",
}


def _failure(case: Element, failure: Failure) -> None:
    """As pytest words it: what failed outside the call is an error."""
    message = failure.message
    if failure.phase != "call":
        message = f'failed on {failure.phase} with "{failure.message}"'
    element = SubElement(case, "failure" if failure.phase == "call" else "error", message=_valid(message))
    if failure.exception:
        element.set("type", _valid(failure.exception))
    element.text = _valid(failure.text or failure.message)


def _interim(case: Element, kind: str, attempt: Attempt) -> None:
    """An attempt that failed before the one that counts: Surefire's elements, which Jenkins and Gradle know."""
    failure = next(iter(attempt.failures), None)
    element = SubElement(
        case,
        f"{kind}{'Failure' if attempt.outcome is Outcome.FAILED else 'Error'}",
        type=_valid(failure.exception if failure else attempt.outcome.value),
        message=_valid(failure.message if failure else _WORDS.get(attempt.outcome, "failed")),
    )
    SubElement(element, "stackTrace").text = _valid(failure.text if failure else "")


def _collector(collector: Collector) -> Element:
    dotted = collector.id.partition("::")[0].removesuffix(".py").replace("/", ".")
    case = Element("testcase", classname="", name=_valid(dotted), time="0.000")
    if collector.outcome is Outcome.SKIPPED:
        element = SubElement(case, "skipped", message="collection skipped")
        element.text = _valid(collector.reason)
    else:
        element = SubElement(case, "error", message="collection failure")
        failure = collector.failure
        element.text = _valid(failure.text or failure.message) if failure else ""
    return case


def _not_run(node_id: str) -> Element:
    case = _case(node_id)
    SubElement(case, "error", type="not_run", message=_WORDS[Outcome.NOT_RUN])
    return case


def _session(run: Run) -> Element:
    """No test failed, and the run was not green: whoever counts failures must find one."""
    case = Element("testcase", classname="pytest", name="internal", time="0.000")
    element = SubElement(case, "error", type=run.status.value, message="internal error")
    element.text = _valid("\n".join((f"The run ended as {run.status.value}.", *run.doubts)))
    return case


def _valid(text: str) -> str:
    return _INVALID.sub(lambda found: f"#x{ord(found[0]):02X}", text)
