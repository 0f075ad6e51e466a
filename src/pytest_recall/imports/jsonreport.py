"""pytest-json-report's JSON: phases and frames are told, reruns are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pytest_recall.errors import Unimportable
from pytest_recall.imports.bounded import instant, part, parts, seconds
from pytest_recall.imports.failures import Failures, clean
from pytest_recall.imports.places import Places, short
from pytest_recall.imports.report import Report, decided, doubts_of_exit
from pytest_recall.imports.traces import place, unheaded
from pytest_recall.imports.traces import read as read_trace
from pytest_recall.model import Attempt, Collector, Environment, Failure, Outcome, Phase, Warned
from pytest_recall.redact import field as redacted

PHASES: tuple[Phase, ...] = ("setup", "call", "teardown")
LOST = frozenset({"subtests", "workers"})

_MOST_WARNINGS = 500
_OUTCOMES = {
    "passed": Outcome.PASSED,
    "failed": Outcome.FAILED,
    "error": Outcome.ERROR,
    "skipped": Outcome.SKIPPED,
    "xfailed": Outcome.XFAILED,
    "xpassed": Outcome.XPASSED,
    "rerun": Outcome.PASSED,  # it failed, and passed when it was run again; only that last attempt is told
}


def recognises(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("summary"), dict) and {"exitcode", "created", "root"} <= value.keys()


def read(value: Any, places: Places) -> list[Report]:
    """The run of a report. Raises `Unimportable`."""
    if "tests" not in value and part(part(value, "summary", dict), "total", int, 0, where="summary"):
        raise Unimportable("A summary without tests. Write it without --json-report-summary.")
    reader = _Reader(part(value, "root", str, ""), places)
    tests: dict[str, list[Attempt]] = {}
    for number, test in enumerate(parts(value, "tests")):
        reader.test(test, number, tests)
    collectors = tuple(filter(None, map(reader.collector, parts(value, "collectors"))))
    summary = part(value, "summary", dict)
    duration = seconds(part(value, "duration", float, 0.0))
    created = instant(part(value, "created", float, 0.0))
    exit_code = part(value, "exitcode", int)
    listed = decided(tests)
    doubts = [*doubts_of_exit(exit_code, listed, collectors)]
    said = sum(part(summary, name, int, 0, where="summary") for name in ("failed", "error"))
    if said and not any(test.outcome.bad for test in listed):
        doubts.append(f"The report counts {said} failures, and lists none.")
    hidden = reader.hidden or part(summary, "rerun", int, 0, where="summary")
    return [
        Report(
            format="json-report",
            tests=listed,
            collectors=collectors,
            started_at=max(created - duration, 0.0),
            duration_s=duration,
            exit_code=exit_code,
            root=clean(part(value, "root", str, "")[:4_000]),
            environment=_environment(part(value, "environment", dict, {})),
            deselected=max(part(summary, "deselected", int, 0, where="summary"), 0),
            warned=_warned(parts(value, "warnings")),
            lost=LOST | {"attempts"} if hidden else LOST,
            doubts=tuple(doubts),
            notes=(f"{hidden} tests passed when they were run again; their failed attempts are not told.",)
            if hidden
            else (),
        )
    ]


class _Reader:
    def __init__(self, root: str, places: Places) -> None:
        self._failures = Failures(places, root)
        self.hidden = 0

    def test(self, test: Any, number: int, into: dict[str, list[Attempt]]) -> None:
        where = f"test {number}"
        name = short(part(test, "nodeid", str, where=where))
        said = part(test, "outcome", str, where=where)
        self.hidden += said == "rerun"
        stages = {phase: part(test, phase, dict, {}, where=where) for phase in PHASES}
        failures: list[Failure] = []
        decided_by: Phase = "call"
        for phase, stage in stages.items():
            if part(stage, "outcome", str, "", where=where) == "failed":
                failures.append(self._failure(name, phase, stage))
        # The last bad news overwrites the earlier in this format: a failed call stays failed, as pytest counts.
        outcome = _OUTCOMES.get(said, Outcome.FAILED)
        if outcome is Outcome.ERROR and any(failure.phase == "call" for failure in failures):
            outcome = Outcome.FAILED
        if failures and not outcome.bad:
            outcome = Outcome.FAILED
        if outcome is Outcome.ERROR and failures:
            decided_by = failures[0].phase
        attempt = Attempt(
            outcome=outcome,
            phase=decided_by,
            setup_s=_duration(stages["setup"]),
            call_s=_duration(stages["call"]),
            teardown_s=_duration(stages["teardown"]),
            repetition=len(into.get(name, ())),
            order=number,
            reason=_reason(outcome, stages),
            failures=tuple(failures),
            properties=_properties(parts(test, "user_properties", where=where)),
        )
        into.setdefault(name, []).append(attempt)

    def collector(self, collector: Any) -> Collector | None:
        outcome = part(collector, "outcome", str, "", where="a collector")
        name = short(part(collector, "nodeid", str, "", where="a collector"))
        text = unheaded(part(collector, "longrepr", str, "", where="a collector"))
        if outcome == "failed":
            failure = self._failures.of_text(name, "collect", text=text)
            return Collector(id=name, outcome=Outcome.ERROR, failure=failure)
        if outcome == "skipped":
            return Collector(id=name, outcome=Outcome.SKIPPED, reason=clean(text[:1_000]))
        return None

    def _failure(self, test: str, phase: Phase, stage: Mapping[str, Any]) -> Failure:
        where = f"{phase} of a test"
        crash = part(stage, "crash", dict, {}, where=where)
        text = unheaded(part(stage, "longrepr", str, "", where=where))
        message = part(crash, "message", str, "", where=where)
        told = read_trace(text)
        entries = [one for one in parts(stage, "traceback", where=where) if isinstance(one, dict)]
        places = told.places or tuple(map(place, entries)) or (place(crash),) * bool(crash)
        said = str(entries[-1].get("message", "")) if entries else ""
        kind = told.exception or ("" if said.startswith("in ") else said)  # a function's name
        captured = [(name, part(stage, name, str, "", where=where)) for name in ("stdout", "stderr")]
        return self._failures.of_places(
            test,
            phase,
            message=message or told.message or text,
            kind=kind,
            places=places,
            text=text,
            captured=[(name, tail) for name, tail in captured if tail],
        )


def _duration(stage: Mapping[str, Any]) -> float:
    return seconds(stage.get("duration"))


def _reason(outcome: Outcome, stages: Mapping[Phase, Mapping[str, Any]]) -> str:
    """Pytest writes a skip as the text of a tuple: (file, line, reason)."""
    if outcome is not Outcome.SKIPPED:
        return ""
    texts = [unheaded(str(stage.get("longrepr") or "")) for stage in stages.values()]
    text = next(filter(None, texts), "").strip("()").split(", ", 2)[-1].strip("'\"")
    return clean(text.removeprefix("Skipped: ")[:1_000])


def _properties(listed: Any) -> tuple[tuple[str, str], ...]:
    pairs = [pair for one in listed if isinstance(one, dict) for pair in one.items()]
    return tuple(redacted(clean(name[:200]), clean(str(value)[:2_000])) for name, value in pairs[:100])


def _environment(told: Mapping[str, Any]) -> Environment:
    """What pytest-metadata writes."""
    packages, plugins = told.get("Packages"), told.get("Plugins")
    platform = str(told.get("Platform", ""))[:200]
    machine = next((name for name in ("x86_64", "aarch64", "arm64", "AMD64", "i686") if name in platform), "")
    return Environment(
        os=clean({"macOS": "Darwin"}.get(platform.split("-")[0], platform.split("-")[0])),
        arch=machine,
        python=clean(str(told.get("Python", ""))[:40]),
        pytest=clean(str(packages.get("pytest", ""))[:40]) if isinstance(packages, dict) else "",
        plugins=tuple(sorted(clean(f"{name}-{version}"[:200]) for name, version in plugins.items()))
        if isinstance(plugins, dict)
        else (),
    )


def _warned(listed: Any) -> tuple[Warned, ...]:
    counted: Counter[tuple[str, str, str, int]] = Counter()
    for one in listed:
        if isinstance(one, dict):
            category, message, path = (
                clean(str(one.get(name, ""))[:2_000]) for name in ("category", "message", "filename")
            )
            line = one.get("lineno")
            key = category, message, path, line if type(line) is int and 0 <= line < 1 << 31 else 0
            if key in counted or len(counted) < _MOST_WARNINGS:
                counted[key] += 1
    return tuple(
        Warned(category=category, message=message, path=path, line=line, count=count)
        for (category, message, path, line), count in counted.items()
    )
