"""CTRF, the Common Test Report Format: outcomes and attempts of any tool, without phases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pytest_recall.imports.bounded import instant, part, parts, seconds
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
    summary = part(results, "summary", dict, {}, where="results")
    reader = _Reader(Failures(places))
    tests: dict[str, list[Attempt]] = {}
    for number, test in enumerate(parts(results, "tests", where="results")):
        reader.test(test, number, tests)
    listed = decided(tests)
    said = part(summary, "failed", int, 0, where="summary")
    bad = any(test.outcome.bad for test in listed) or any(one.outcome.bad for one in reader.collectors)
    lost = set(LOST)
    lost |= {"attempts"} if reader.hidden else set()
    if not part(value, "generatedBy", str, "").startswith("pytest-recall"):  # others count them as passes
        lost.add("xpass")
    tool = part(results, "tool", dict, {}, where="results")
    told = part(results, "environment", dict, {}, where="results")
    start, stop = (instant(seconds_of(summary.get(name))) for name in ("start", "stop"))
    return [
        Report(
            format="ctrf",
            tests=listed,
            collectors=tuple(reader.collectors),
            started_at=start,
            duration_s=max(stop - start, 0.0) if start else 0.0,
            environment=_environment(told, tool),
            commit=clean(part(told, "commit", str, "", where="environment")[:64]),
            branch=clean(part(told, "branchName", str, "", where="environment")[:200]),
            lost=frozenset(lost),
            doubts=(f"The report counts {said} failures, and lists none.",) if said > 0 and not bad else (),
            notes=(f"{reader.hidden} tests were run again; their first attempts are not told.",)
            if reader.hidden
            else (),
        )
    ]


def seconds_of(milliseconds: Any) -> float:
    """CTRF counts in milliseconds; some writers put seconds."""
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return 0.0
    return milliseconds / 1_000 if milliseconds > 100_000_000_000 else float(milliseconds)  # noqa: PLR2004 - year 5138 in seconds


class _Reader:
    def __init__(self, failures: Failures) -> None:
        self._failures = failures
        self.hidden = 0
        self.collectors: list[Collector] = []

    def test(self, test: Any, number: int, into: dict[str, list[Attempt]]) -> None:
        where = f"test {number}"
        name = _node_id(test, where)
        if part(test, "rawStatus", str, "", where=where) in _COLLECTORS:
            self.collectors.append(self._collector(name, test, where))
            return
        found = [
            self._attempt(name, one, number, f"an attempt of {where}")
            for one in parts(test, "retryAttempts", where=where)
        ]
        said = part(test, "retries", int, 0, where=where)
        if len(found) == said + 1 > 1:  # some tools list the last attempt, too
            found.pop()
        last = self._attempt(name, test, number, where)
        told_flaky = test.get("flaky") is True
        self.hidden += len(found) < said or (told_flaky and not any(one.outcome.bad for one in found))
        earlier = into.setdefault(name, [])
        round_ = earlier[-1].repetition + 1 if earlier else 0
        if earlier:  # two tests of one name: neither says anything of the other
            self.hidden += 1
        earlier += [_in_round(one, round_) for one in (*found, last)]

    def _collector(self, name: str, told: Any, where: str) -> Collector:
        message = part(told, "message", str, "", where=where)
        if part(told, "status", str, where=where) == "skipped":
            return Collector(id=name, outcome=Outcome.SKIPPED, reason=clean(message[:1_000]))
        failure = self._failure(name, "collect", told, message, where)
        return Collector(id=name, outcome=Outcome.ERROR, failure=failure)

    def _attempt(self, name: str, told: Any, number: int, where: str) -> Attempt:
        status = part(told, "status", str, where=where)
        raw = part(told, "rawStatus", str, "", where=where)
        outcome, phase = _STATUS.get(status, Outcome.FAILED), _CALL
        if raw in _RAW:
            precise, phase = _RAW[raw]
            # A raw status adds to what the status says, and never mends it.
            outcome = precise if precise.bad or not outcome.bad or outcome is Outcome.NOT_RUN else outcome
        message = part(told, "message", str, "", where=where)
        failures = (self._failure(name, phase, told, message, where),) if outcome in _FAILING else ()
        return Attempt(
            outcome=outcome,
            phase=phase,
            call_s=seconds(told.get("duration")) / 1_000,
            worker=clean(part(told, "threadId", str, "", where=where)[:100]),
            order=number,
            reason="" if outcome.bad else clean(message[:1_000]),
            failures=failures,
        )

    def _failure(self, name: str, phase: Phase, told: Any, message: str, where: str) -> Failure:
        lines = {key: parts(told, key, where=where) for key in ("stdout", "stderr")}
        return self._failures.of_text(
            name,
            phase,
            message=message,
            text=part(told, "trace", str, "", where=where),
            captured=[(key, "\n".join(map(str, found))) for key, found in lines.items() if found],
        )


_COLLECTORS = frozenset({"collect_failed", "collect_skipped"})  # ours
_CALL: Phase = "call"
_FAILING = frozenset({Outcome.FAILED, Outcome.ERROR, Outcome.TIMED_OUT, Outcome.CRASHED})


def _in_round(attempt: Attempt, round_: int) -> Attempt:
    return replace(attempt, repetition=round_) if round_ else attempt


def _node_id(test: Any, where: str) -> str:
    """The name, where it is a node id; else with the file or the suites before it."""
    name = part(test, "name", str, where=where)
    path = part(test, "filePath", str, "", where=where)
    if "::" in name or name == path:
        return short(name)
    suites = parts(test, "suite", where=where)
    before = [path] if path else [str(suite) for suite in suites]
    return short("::".join([*before, name]))


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
