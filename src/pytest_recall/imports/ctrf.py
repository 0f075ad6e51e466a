"""CTRF, the Common Test Report Format: outcomes and attempts of any tool, without phases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_recall.imports import ours
from pytest_recall.imports.bounded import instant, optional, part, parts, seconds
from pytest_recall.imports.failures import Failures, clean
from pytest_recall.imports.places import Places, short
from pytest_recall.imports.report import Report, decided
from pytest_recall.model import Attempt, Collector, Environment, Failure, Outcome, Phase

LOST = frozenset({"collection", "exit", "phases", "subtests"})

_STATUS = {
    "passed": Outcome.PASSED,
    "failed": Outcome.FAILED,
    "skipped": Outcome.SKIPPED,
    "pending": Outcome.SKIPPED,  # of JavaScript: written down, and not run by intent
    "other": Outcome.NOT_RUN,
}
_RAW: Mapping[str, tuple[Outcome, Phase]] = {  # pytest-json-ctrf's words, and ours
    "call_failed": (Outcome.FAILED, "call"),
    "setup_failed": (Outcome.ERROR, "setup"),
    "teardown_failed": (Outcome.ERROR, "teardown"),
    "error": (Outcome.ERROR, "call"),
    "timed_out": (Outcome.TIMED_OUT, "call"),
    "crashed": (Outcome.CRASHED, "call"),
    "xfailed": (Outcome.XFAILED, "call"),
    "xpassed": (Outcome.XPASSED, "call"),
}


def recognises(value: Mapping[str, Any]) -> bool:
    results = value.get("results")
    return isinstance(results, dict) and isinstance(results.get("tests"), list) and "tool" in results


def read(value: Any, places: Places) -> list[Report]:
    """The run of a document. Raises `Unimportable`."""
    results = part(value, "results", dict)
    summary = optional(results, "summary", dict, {})
    reader = _Reader(Failures(places))
    tests: dict[str, list[Attempt]] = {}
    told = optional(results, "environment", dict, {})
    said = _said(value, told)
    rows = parts(results, "tests", where="results")
    ends = [one for one in rows if said and _is_session(one)]
    rows = [one for one in rows if not _is_session(one)] if ends else rows
    for number, (test, name) in enumerate(zip(rows, _node_ids(rows), strict=True)):
        reader.test(test, name, number, tests)
    listed = decided(tests)
    failed = optional(summary, "failed", int, 0)
    bad = any(test.outcome.bad for test in listed) or any(one.outcome.bad for one in reader.collectors)
    lost = set(LOST)
    lost |= {"attempts"} if reader.hidden or reader.doubles else set()
    if not said:  # others count them as passes
        lost.add("xpass")
    tool = optional(results, "tool", dict, {})
    start, stop = (instant(seconds_of(summary.get(name))) for name in ("start", "stop"))
    report = Report(
        format="ctrf",
        tests=listed,
        collectors=tuple(reader.collectors),
        started_at=start,
        duration_s=max(stop - start, 0.0) if start else 0.0,
        environment=_environment(told, tool),
        commit=clean(optional(told, "commit", str, "")[:64]),
        branch=clean(optional(told, "branchName", str, "")[:200]),
        lost=frozenset(lost),
        doubts=tuple(_doubts(ends, failed if not bad else 0)),
        notes=tuple(reader.notes()),
    )
    return [ours.with_said(report, said)]


def _doubts(ends: Sequence[Any], failed: int) -> Iterator[str]:
    if ends:
        yield clean(optional(ends[0], "message", str, "")[:1_000]) or "The run did not end well."
    elif failed > 0:
        yield f"The report counts {failed} failures, and lists none."


def _is_session(row: Any) -> bool:
    """Whether it stands, in our own export, for a run in which no test failed, and that was not green."""
    return optional(row, "name", str, "") == "pytest session" and not optional(row, "filePath", str, "")


def _said(value: Any, environment: Mapping[str, Any]) -> dict[str, str]:
    """What our own export says of its run; nothing where it is another tool's."""
    if not optional(value, "generatedBy", str, "").startswith("pytest-recall"):
        return {}
    extra = optional(environment, "extra", dict, {})
    told = {name: optional(extra, name, str, "") for name in ("status", "exit_code", "environment")}
    return {"run": optional(value, "reportId", str, "")} | told


def seconds_of(milliseconds: Any) -> float:
    """CTRF counts in milliseconds; some writers put seconds."""
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return 0.0
    return milliseconds / 1_000 if milliseconds > 100_000_000_000 else float(milliseconds)  # noqa: PLR2004 - year 5138 in seconds


class _Reader:
    def __init__(self, failures: Failures) -> None:
        self._failures = failures
        self.hidden = self.doubles = 0
        self.collectors: list[Collector] = []

    def test(self, test: Any, name: str, number: int, into: dict[str, list[Attempt]]) -> None:
        where = f"test {number}"
        if optional(test, "rawStatus", str, "") in _COLLECTORS:
            self.collectors.append(self._collector(name, test, where))
            return
        found = [
            self._attempt(name, one, number, f"an attempt of {where}")
            for one in optional(test, "retryAttempts", list, [])
        ]
        said = optional(test, "retries", int, 0)
        if len(found) == said + 1 > 1:  # some tools list the last attempt, too
            found.pop()
        last = self._attempt(name, test, number, where)
        told_flaky = test.get("flaky") is True
        self.hidden += len(found) < said or (told_flaky and not any(one.outcome.bad for one in found))
        earlier = into.setdefault(name, [])
        round_ = earlier[-1].repetition + 1 if earlier else 0
        if earlier:  # two tests of one name: neither says anything of the other
            self.doubles += 1
        earlier += [_in_round(one, round_) for one in (*found, last)]

    def notes(self) -> Iterator[str]:
        if self.hidden:
            yield f"{self.hidden} tests were run again; their first attempts are not told."
        if self.doubles:
            yield f"{self.doubles} tests have the name of another one in the report: neither proves a flake of the other."

    def _collector(self, name: str, told: Any, where: str) -> Collector:
        message = optional(told, "message", str, "")
        if part(told, "status", str, where=where) == "skipped":
            return Collector(id=name, outcome=Outcome.SKIPPED, reason=clean(message[:1_000]))
        failure = self._failure(name, "collect", told, message)
        return Collector(id=name, outcome=Outcome.ERROR, failure=failure)

    def _attempt(self, name: str, told: Any, number: int, where: str) -> Attempt:
        status = part(told, "status", str, where=where)
        raw = optional(told, "rawStatus", str, "")
        outcome, phase = _STATUS.get(status, Outcome.FAILED), _CALL
        if raw in _RAW:
            precise, phase = _RAW[raw]
            # A raw status adds to what the status says, and never mends it.
            outcome = precise if precise.bad or not outcome.bad or outcome is Outcome.NOT_RUN else outcome
        message = optional(told, "message", str, "")
        silent = outcome in _ENDED and not message and not told.get("trace")  # its end says no more than that
        failures = (self._failure(name, phase, told, message),) if outcome in _FAILING and not silent else ()
        return Attempt(
            outcome=outcome,
            phase=phase,
            call_s=seconds(told.get("duration")) / 1_000,
            worker=clean(optional(told, "threadId", str, "")[:100]),
            order=number,
            reason="" if outcome.bad else clean(message[:1_000]),
            failures=failures,
        )

    def _failure(self, name: str, phase: Phase, told: Any, message: str) -> Failure:
        lines = {key: optional(told, key, list, []) for key in ("stdout", "stderr")}
        return self._failures.of_text(
            name,
            phase,
            message=message,
            text=optional(told, "trace", str, ""),
            captured=[(key, "\n".join(map(str, found))) for key, found in lines.items() if found],
        )


_COLLECTORS = frozenset({"collect_failed", "collect_skipped"})  # ours
_CALL: Phase = "call"
_ENDED = frozenset({Outcome.TIMED_OUT, Outcome.CRASHED})
_FAILING = _ENDED | {Outcome.FAILED, Outcome.ERROR}


def _in_round(attempt: Attempt, round_: int) -> Attempt:
    return replace(attempt, repetition=round_) if round_ else attempt


def _node_ids(tests: Sequence[Any]) -> list[str]:
    """The name of each test, where it is a node id; else with the file or the suites before it.

    With both where several suites of a file have a test of the name.
    """
    named = [_named(test, f"test {number}") for number, test in enumerate(tests)]
    ids = [short("::".join([*before, name])) for before, _, name in named]
    first: dict[str, list[str]] = {}
    several = {
        one for one, (_, suites, _) in zip(ids, named, strict=True) if first.setdefault(one, suites) != suites
    }
    return [
        short("::".join([*before, *suites, name])) if one in several else one
        for one, (before, suites, name) in zip(ids, named, strict=True)
    ]


def _named(test: Any, where: str) -> tuple[list[str], list[str], str]:
    """What stands before a test's name in its id, the suites that this leaves out, and the name."""
    name = part(test, "name", str, where=where)
    path = optional(test, "filePath", str, "")
    suites = _suites(test)
    if _is_node_id(name, path or next(iter(suites), "")):
        return [], [], name
    return ([path], suites, name) if path else (suites, [], name)


def _is_node_id(name: str, place: str) -> bool:
    """Whether *name* begins with the file of its test: a `::` alone may be Rust's or C++'s."""
    file, colons, _ = name.partition("::")
    here = f"/{place}".replace("\\", "/").endswith(f"/{file}")
    return name == place or (bool(colons) and (not place or here or file.endswith(".py")))


def _suites(test: Any) -> list[str]:
    """Outermost first; reporters of before CTRF 1.0 join them."""
    joined = optional(test, "suite", str, "")
    return joined.split(" > ") if joined else [str(suite) for suite in optional(test, "suite", list, [])]


def _environment(told: Mapping[str, Any], tool: Mapping[str, Any]) -> Environment:
    extra = told.get("extra")
    extra = extra if isinstance(extra, dict) else {}
    system = str(told.get("osPlatform") or "")[:40]
    name, version = tool.get("name"), tool.get("version")
    plugins = extra.get("plugins")
    return Environment(
        os=clean({"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}.get(system, system)),
        arch=clean(str(extra.get("arch") or "")[:40]),
        python=clean(str(extra.get("python") or "")[:40]),
        pytest=clean(str(version)[:40]) if name == "pytest" and version else "",
        plugins=tuple(clean(str(one)[:200]) for one in plugins[:500]) if isinstance(plugins, list) else (),
    )
