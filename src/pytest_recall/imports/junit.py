"""JUnit XML in the flavours of pytest (xunit1 and 2, xdist, rerunfailures), Surefire and gtest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, cast
from xml.etree.ElementTree import Element, tostring

from pytest_recall.errors import Unimportable, quoted
from pytest_recall.imports import ours
from pytest_recall.imports.bounded import seconds
from pytest_recall.imports.failures import Failures, clean
from pytest_recall.imports.places import Places, short
from pytest_recall.imports.report import Report, decided, timestamp
from pytest_recall.model import (
    Attempt,
    Collector,
    Environment,
    Failure,
    InternalError,
    Outcome,
    Phase,
    Termination,
)
from pytest_recall.redact import field as redacted

if TYPE_CHECKING:
    from junitparser.junitparser import Result
    from junitparser.xunit2 import TestCase

LOST = frozenset({"exit", "phases", "subtests", "workers", "xpass"})

_MOST_RUNS = 200  # in one document
_MOST_NAMED = 5_000  # of ours, which it names
_LONGEST_PATH = 1_000  # characters of the names of suites within suites
_LONGEST_PLACE = 100
_MOST_DOUBTS = 5
_MOST_SAID = 100  # properties of a suite
_SAID = {f"pytest-recall.{name}": name for name in ("run", "status", "exit_code", "environment")} | {
    name: name for name in ("python", "pytest", "commit", "branch")
}
_FAILED = frozenset({"failed", "fail", "failure", "error", "broken"})  # as `status` or `result`, in any case
_SILENT = frozenset({"skipped", "disabled", "notrun", "suppressed"})

_WHEN = re.compile(r'(?:failed on (setup|teardown) with "|test (setup|teardown) failure)')


def read(root: Element, places: Places) -> list[Report]:
    """The runs in a JUnit document: one, or several where its suites tell of the same tests. Raises `Unimportable`."""
    if root.tag == "testsuites":
        suites = [*root.findall("testsuite"), *_loose(root)]
    elif root.tag == "testsuite":
        suites = [root]
    else:
        raise Unimportable(f"XML, but no JUnit: it begins with <{quoted(root.tag[:80])}>.")
    groups = _groups(suites, places)
    reports = [
        _report(group, _scan(group, places), places, root=root, total=len(groups) == 1) for group in groups
    ]
    if any(report.bad or report.doubts for report in reports):
        return reports
    # What only the root counts may be of any of them.
    return [replace(report, doubts=tuple(_doubts([root]))) for report in reports]


def _loose(root: Element) -> list[Element]:
    """The test cases that stand in no suite, as one."""
    cases = root.findall("testcase")
    if not cases:
        return []
    suite = Element("testsuite")
    suite.extend(cases)
    return [suite]


def _groups(suites: Sequence[Element], places: Places) -> list[list[Element]]:
    """The suites of each run: one where it names a run of ours, and of others those that tell of no test again."""
    named, others = list[list[Element]](), list[Element]()
    for suite in suites:
        if ours.RUN_ID.fullmatch(_said(suite).get("run", "")):
            named.append([suite])
        else:
            others.append(suite)
    if len(named) > _MOST_NAMED:
        raise Unimportable(f"JUnit of {len(named):,} runs; the most of one file are {_MOST_NAMED:,}.")
    return named + (_merged(others, places) if others or not named else [])


def _merged(suites: Sequence[Element], places: Places) -> list[list[Element]]:
    """The suites of each run: documents merged from several runs tell of the same tests again.

    Other tools' tests are told apart by their suites only: the same name in another suite is another test.
    """
    groups: list[list[Element]] = [[]]
    seen: set[tuple[str, str]] = set()
    for suite in suites:
        found = _scan([suite], places)
        names = {(suite.get("name", "") if found.foreign else "", name) for name in found.cases}
        if not seen.isdisjoint(names):
            groups.append([])
            seen = set()
        groups[-1].append(suite)
        seen.update(names)
        if len(groups) > _MOST_RUNS:
            raise Unimportable(f"JUnit of more than {_MOST_RUNS} runs of the same tests in one file.")
    return groups


class _Scan:
    """The test cases of some suites, by node id."""

    def __init__(self, *, foreign: bool) -> None:
        self.foreign = foreign  # none of pytest's: its own words are the ids
        self.cases: dict[str, list[TestCase]] = {}
        self.collectors: dict[str, TestCase] = {}
        self.internal: TestCase | None = None
        self.guessed = 0


def _scan(suites: Iterable[Element], places: Places) -> _Scan:
    suites = list(suites)
    rows = [(path, e, _case(e)) for suite in suites for path, e in _rows(suite)]
    named = [
        places.node_id(case.classname or "", case.name or "", e.get("file") or "") for _, e, case in rows
    ]
    found = _Scan(foreign=not (any(sure for _, sure in named) or any(_is_pytest(suite) for suite in suites)))
    own = _own([(path, case) for path, _, case in rows]) if found.foreign else [guess for guess, _ in named]
    for (_, element, case), (_, sure), name in zip(rows, named, own, strict=True):
        first = next(iter(case.result), None)
        message = (first.message or "") if first else ""
        if message in {"collection failure", "collection skipped"}:
            found.collectors[places.module(case.name or "", element.get("file") or "")] = case
        elif message == "internal error" and case.classname == "pytest":
            found.internal = case
        else:
            found.guessed += not (found.foreign or sure)
            found.cases.setdefault(name, []).append(case)
    return found


def _rows(holder: Element, above: str = "") -> Iterator[tuple[str, Element]]:
    """The test cases in *holder*, each with the names of the suites around it."""
    path = above
    if holder.tag == "testsuite":
        path = short("::".join(filter(None, (above, holder.get("name")))), _LONGEST_PATH)
    for inner in holder:
        if inner.tag == "testcase":
            yield path, inner
        if len(inner):
            yield from _rows(inner, path)


def _own(rows: Sequence[tuple[str, TestCase]]) -> list[str]:
    """The ids of another tool's tests: its own words; with the suite before those that several suites have."""
    names = [short("::".join(filter(None, (case.classname, case.name))) or "unnamed") for _, case in rows]
    first: dict[str, str] = {}
    several = {
        name for name, (path, _) in zip(names, rows, strict=True) if first.setdefault(name, path) != path
    }
    return [
        short(f"{path}::{name}") if path and name in several else name
        for name, (path, _) in zip(names, rows, strict=True)
    ]


def _case(element: Element) -> TestCase:
    from junitparser.xunit2 import TestCase  # noqa: PLC0415 - only where a file is imported

    return cast("TestCase", TestCase.fromelem(element))  # type: ignore[no-untyped-call]


def _is_pytest(suite: Element) -> bool:
    return suite.get("name") == "pytest"


def _report(suites: Sequence[Element], scan: _Scan, places: Places, *, root: Element, total: bool) -> Report:
    reader = _Reader(Failures(places))
    tests = {test: reader.attempts(test, cases) for test, cases in scan.cases.items()}
    collectors = tuple(reader.collector(path, case) for path, case in scan.collectors.items())
    started_at, zoned = _begun(suites, root)
    whole = seconds(root.get("time", "")) if total else 0.0
    lost = set(LOST)
    notes = []
    if reader.hidden:
        lost.add("attempts")
        notes.append(
            f"{reader.hidden} tests are in the report more than once: reruns whose first attempts it does not tell, or "
            "several of one name. Neither proves a flake."
        )
    if scan.guessed:
        lost.add("ids")
        notes.append(f"{scan.guessed} node ids were guessed: no such file is in the project.")
    report = Report(
        format="junit",
        tests=decided(_ordered(tests)),
        collectors=collectors,
        started_at=started_at,
        zoned=zoned,
        duration_s=whole or sum(seconds(suite.get("time", "")) for suite in suites),
        ended=_internal(scan.internal),
        place=clean(suites[0].get("hostname", "")[:_LONGEST_PLACE]),
        lost=frozenset(lost),
        notes=tuple(notes),
        foreign=scan.foreign,
    )
    if not report.bad:
        report = replace(report, doubts=tuple(_doubts(suites)))
    return _of_ours(report, suites[0]) if len(suites) == 1 else report


def _of_ours(report: Report, suite: Element) -> Report:
    """*report* with what *suite* says, if that is of our own export."""
    said = _said(suite)
    report = ours.with_said(report, said)
    if not report.run:
        return report
    python, pytest, commit, branch = (
        clean(said.get(name, "")[:_LONGEST_PLACE]) for name in ("python", "pytest", "commit", "branch")
    )
    return replace(
        report,
        environment=Environment(python=python, pytest=pytest),
        commit=commit,
        branch=branch,
        content=tostring(suite),  # the same in whatever else is exported with it
    )


def _said(suite: Element) -> dict[str, str]:
    """What the properties of a suite of our own export say of its run."""
    told = suite.findall("properties/property")[:_MOST_SAID]
    pairs = [(one.get("name", ""), one.get("value", "")) for one in told]
    return {_SAID[name]: value for name, value in pairs if name in _SAID}


def _begun(suites: Sequence[Element], root: Element) -> tuple[float, bool]:
    """When the tests of *suites* began, and whether the zone is told; else what stands below or above these tells it."""
    below = (one for suite in suites for one in suite.iter() if one.tag in {"testsuite", "testcase"})
    for holders in (suites, below, [root]):
        told = (timestamp(said) for one in holders if (said := one.get("timestamp")))
        times = [(at, zoned) for at, zoned in told if at]
        if times:
            return min(times)
    return 0.0, True


def _ordered(tests: dict[str, list[Attempt]]) -> dict[str, list[Attempt]]:
    return {
        test: [replace(attempt, order=order) for attempt in attempts]
        for order, (test, attempts) in enumerate(tests.items())
    }


def _internal(case: TestCase | None) -> Termination | None:
    if case is None:
        return None
    text = next((result.text or result.message or "" for result in case.result), "")
    return InternalError(message=clean(text.strip()[-4_000:]))


def _doubts(holders: Iterable[Element]) -> Iterator[str]:
    """Where *holders*, in which no test failed, count failures or have some of their own, as of a set-up."""
    holders = list(holders)
    for what in ("failures", "errors"):
        said = sum(_counted(holder, what) for holder in holders)
        if said:
            yield f"The report counts {said} {what}, and no test in it failed."
    suites = (one for holder in holders for one in holder.iter() if one.tag in {"testsuites", "testsuite"})
    own = (one for suite in suites for one in suite if one.tag in {"failure", "error"})
    for one in islice(own, _MOST_DOUBTS):
        why = clean((one.get("message") or one.text or "").strip()[:300])
        yield f"A suite itself, and no test in it, tells {one.tag}: {why}"


def _counted(holder: Element, what: str) -> int:
    """What a suite, or the root, counts, or the suites in it."""
    return max(_count(holder, what), sum(_counted(suite, what) for suite in holder.findall("testsuite")))


def _count(suite: Element, what: str) -> int:
    text = suite.get(what, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0  # noqa: PLR2004 - no count of tests is longer


# --- one test -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What one result element of a test case says."""

    failure: Failure
    error: bool


class _Reader:
    """Test cases into attempts; `hidden` counts tests of which the report keeps attempts to itself."""

    def __init__(self, failures: Failures) -> None:
        self._failures = failures
        self.hidden = 0

    def attempts(self, test: str, cases: Sequence[TestCase]) -> list[Attempt]:
        """The attempts at *test*, of which the report has *cases*, in order.

        Where it has several: pytest writes an error of teardown after a failed call as a case of its own. Of
        an attempt that was rerun, pytest-rerunfailures leaves an empty case, which looks like a pass and is
        none. Any other double may be another test of the same name, so it cannot replace what was before it.
        """
        found: list[Attempt] = []
        silent = False
        for number, case in enumerate(cases):
            told = self._case(test, case)
            if found and _only_teardown(told) and found[-1].outcome is Outcome.FAILED:
                found[-1] = replace(found[-1], failures=(*found[-1].failures, *told[-1].failures))
            elif number < len(cases) - 1 and _says_nothing(case):
                silent = True
            else:
                silent = silent or bool(found)
                round_ = found[-1].repetition + 1 if found else 0
                found += [replace(attempt, repetition=round_) for attempt in told]
        self.hidden += silent
        return found

    def collector(self, path: str, case: TestCase) -> Collector:
        result = case.result[0]
        if result.message == "collection skipped":
            return Collector(
                id=short(path), outcome=Outcome.SKIPPED, reason=clean((result.text or "").strip()[-1_000:])
            )
        failure = self._failures.of_text(path, "collect", text=result.text or "")
        return Collector(id=short(path), outcome=Outcome.ERROR, failure=failure)

    def _case(self, test: str, case: TestCase) -> list[Attempt]:
        from junitparser.junitparser import Error, Failure, Skipped  # noqa: PLC0415

        results = case.result
        captured = [
            (name, text) for name, text in (("stdout", case.system_out), ("stderr", case.system_err)) if text
        ]
        earlier = [self._interim(test, one) for one in case.interim_result]
        told = [
            self._told(test, one, captured if number == 0 else [])
            for number, one in enumerate(one for one in results if isinstance(one, Failure | Error))
        ]
        skipped = next((one for one in results if isinstance(one, Skipped)), None)
        last = Attempt(
            outcome=Outcome.PASSED,
            call_s=seconds(_attribute(case, "time")),
            properties=tuple(_properties(case)),
        )
        ours = next((_OURS[one.type] for one in results if one.type in _OURS), None)
        if ours is not None:
            last = replace(last, outcome=ours)
        elif told:
            last = _failed(last, told)
        elif skipped is not None:
            last = _skipped(last, skipped)
        elif not _FAILED.isdisjoint(words := _words(case)):
            last = replace(last, outcome=Outcome.FAILED)  # told by an attribute alone
        elif not _SILENT.isdisjoint(words):
            reason = "" if "skipped" in words else "disabled"
            last = replace(last, outcome=Outcome.SKIPPED, reason=reason)
        return [*earlier, last]

    def _interim(self, test: str, result: Result) -> Attempt:
        """Surefire's: an attempt that failed, and was made again."""
        error = type(result).__name__.endswith("Error")
        text = getattr(result, "stack_trace", None) or result.text or ""
        failure = self._failures.of_text(
            test, "call", message=result.message or "", text=text, kind=_kind(result)
        )
        return Attempt(outcome=Outcome.ERROR if error else Outcome.FAILED, failures=(failure,))

    def _told(self, test: str, result: Result, captured: Sequence[tuple[str, str]]) -> _Told:
        message, phase = result.message or "", "call"
        if found := _WHEN.match(message):
            phase = found[1] or found[2]
            message = message[found.end() :].removesuffix('"')
        failure = self._failures.of_text(
            test,
            _PHASES[phase],
            message=message,
            text=result.text or "",
            kind=_kind(result),
            captured=captured,
        )
        return _Told(failure=failure, error=type(result).__name__ == "Error")


_PHASES: dict[str, Phase] = {"setup": "setup", "call": "call", "teardown": "teardown"}


_OURS = {
    outcome.value: outcome for outcome in (Outcome.TIMED_OUT, Outcome.CRASHED, Outcome.NOT_RUN)
}  # of `export`


def _failed(attempt: Attempt, told: Sequence[_Told]) -> Attempt:
    decisive = next((one for one in told if not one.error), told[0])
    return replace(
        attempt,
        outcome=Outcome.ERROR if decisive.error else Outcome.FAILED,
        phase=decisive.failure.phase,
        failures=tuple(one.failure for one in told),
    )


def _skipped(attempt: Attempt, result: Result) -> Attempt:
    message = result.message or ""
    if result.type == "pytest.xfail":
        outcome = Outcome.XFAILED
    elif message == "xfail-marked test passes unexpectedly":  # pytest before 3.0
        return replace(attempt, outcome=Outcome.XPASSED)
    else:
        outcome = Outcome.SKIPPED
    return replace(attempt, outcome=outcome, reason=clean((message or result.text or "").strip()[:1_000]))


def _only_teardown(attempts: Sequence[Attempt]) -> bool:
    failures = [failure for attempt in attempts for failure in attempt.failures]
    return len(attempts) == 1 and bool(failures) and all(failure.phase == "teardown" for failure in failures)


def _says_nothing(case: TestCase) -> bool:
    return not case.result and not case.interim_result


def _kind(result: Result) -> str:
    """The exception's name, where `type` has it: pytest leaves it out, Java writes a class, gtest nothing."""
    return (result.type or "")[:300]


def _properties(case: TestCase) -> Iterator[tuple[str, str]]:
    for one in case.properties():  # type: ignore[no-untyped-call]
        yield redacted(clean((one.name or "")[:200]), clean((one.value or "")[:2_000]))


def _words(case: TestCase) -> set[str]:
    """What a test case says of its outcome in attributes."""
    return {_attribute(case, name).strip().lower() for name in ("status", "result")}


def _attribute(case: TestCase, name: str) -> str:
    return str(case._elem.get(name) or "")  # noqa: SLF001 - junitparser raises where a number is none
