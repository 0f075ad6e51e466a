"""pytest-reportlog's JSON lines: every phase of every attempt, as pytest reported it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_recall.errors import Unimportable
from pytest_recall.imports import traces
from pytest_recall.imports.bounded import instant, json_value, part, parts, seconds
from pytest_recall.imports.failures import Failures, clean
from pytest_recall.imports.places import Places, short
from pytest_recall.imports.report import Report, doubts_of_exit
from pytest_recall.imports.traces import Place
from pytest_recall.model import Attempt, Collector, Environment, Failure, Interrupted, Outcome, Phase, Test
from pytest_recall.redact import field as redacted

_PHASES: dict[str, Phase] = {"setup": "setup", "call": "call", "teardown": "teardown"}
_RERUN = frozenset({"rerun", "retried"})


def recognises(first: bytes) -> bool:
    return b'"$report_type"' in first


def read(lines: Iterable[bytes], places: Places) -> list[Report]:
    """The run of a log; one that breaks off is an interrupted run. Raises `Unimportable`."""
    log = _Log(Failures(places))
    torn = ""
    for number, line in enumerate(lines, 1):
        if torn:
            raise Unimportable(torn)
        if line.strip():
            try:
                fact = json_value(line)
            except Unimportable as error:  # allowed of the last line only: the writer died in it
                torn = f"Line {number}: {error}"
                continue
            log.add(fact, f"line {number}")
    return [log.report(torn=bool(torn))]


@dataclass(slots=True)
class _State:
    """A test between its setup and its teardown."""

    order: int
    outcome: Outcome | None = None
    phase: Phase = "call"
    called: bool = False
    again: bool = False  # a plugin is going to run it again
    seconds: dict[Phase, float] = field(default_factory=dict)
    reason: str = ""
    worker: str = ""
    failures: list[Failure] = field(default_factory=list)
    subtests: dict[Outcome, int] = field(default_factory=dict)
    properties: tuple[tuple[str, str], ...] = ()


class _Log:
    """The facts of a log, added up."""

    def __init__(self, failures: Failures) -> None:
        self._failures = failures
        self._running: dict[str, _State] = {}
        self._attempts: dict[str, list[Attempt]] = {}
        self._collectors: dict[str, Collector] = {}
        self._again: set[str] = set()  # whose next attempt replaces the last
        self._times: list[float] = []
        self._orders: dict[str, int] = {}
        self._pytest = ""
        self._exit: int | None = None
        self._workers: set[str] = set()

    def add(self, fact: Any, where: str) -> None:
        kind = part(fact, "$report_type", str, where=where)
        if kind == "SessionStart":
            self._pytest = clean(part(fact, "pytest_version", str, "", where=where)[:40])
        elif kind == "SessionFinish":
            self._exit = part(fact, "exitstatus", int, where=where)
        elif kind == "CollectReport":
            self._collected(fact, where)
        elif kind == "TestReport":
            self._phase(fact, where)
        elif kind.lower() == "subtestreport":
            self._subtest(fact, where)

    def report(self, *, torn: bool) -> Report:
        tests = tuple(Test(id=name, attempts=tuple(found)) for name, found in self._attempts.items())
        collectors = tuple(self._collectors.values())
        started = min(self._times, default=0.0)
        open_ = [name for name in self._running if name not in self._attempts]
        ended = None
        if self._exit is None:
            ended = Interrupted(reason="The log breaks off." if torn else "The log has no end.")
        return Report(
            format="reportlog",
            tests=tests,
            collectors=collectors,
            not_run=tuple(open_),
            started_at=started,
            duration_s=max(self._times, default=0.0) - started,
            exit_code=self._exit,
            environment=Environment(pytest=self._pytest, workers=len(self._workers)),
            ended=ended,
            doubts=doubts_of_exit(self._exit, tests, collectors),
        )

    # --- facts ----------------------------------------------------------------------------

    def _collected(self, fact: Any, where: str) -> None:
        name = short(part(fact, "nodeid", str, "", where=where))
        outcome = part(fact, "outcome", str, where=where)
        if outcome == "failed":
            text = _text(fact.get("longrepr"))
            failure = self._failures.of_text(name, "collect", text=text)
            self._collectors[name] = Collector(id=name, outcome=Outcome.ERROR, failure=failure)
        elif outcome == "skipped":
            self._collectors[name] = Collector(
                id=name, outcome=Outcome.SKIPPED, reason=_reason(fact.get("longrepr"))
            )

    def _phase(self, fact: Any, where: str) -> None:
        name = short(part(fact, "nodeid", str, where=where))
        when = _PHASES.get(part(fact, "when", str, where=where), "call")
        state = self._state(name)
        self._times += [at for key in ("start", "stop") if (at := instant(fact.get(key)))]
        state.seconds[when] = state.seconds.get(when, 0.0) + seconds(fact.get("duration"))
        worker = part(fact, "worker_id", str, "", where=where)
        if worker:
            state.worker = clean(worker[:100])
            self._workers.add(state.worker)
        outcome, again = _outcome(fact, when, where)
        state.again = state.again or again
        if outcome is Outcome.PASSED:
            state.called = state.called or when == "call"
        else:
            self._news(name, state, fact, when, outcome)
        if when == "teardown":
            state.properties = _properties(parts(fact, "user_properties", where=where))
            self._close(name)

    def _subtest(self, fact: Any, where: str) -> None:
        name = short(part(fact, "nodeid", str, where=where))
        state = self._state(name)
        outcome, _ = _outcome(fact, "call", where)
        state.subtests[outcome] = state.subtests.get(outcome, 0) + 1
        if outcome.bad:
            context = fact.get("_subtest.context")
            state.failures.append(self._failure(name, "call", fact, subtest=_described(context)))
            state.outcome = state.outcome if state.outcome and state.outcome.bad else Outcome.FAILED

    def _news(self, name: str, state: _State, fact: Any, when: Phase, outcome: Outcome) -> None:
        if outcome.bad:
            state.failures.append(self._failure(name, when, fact))
        elif outcome in {Outcome.SKIPPED, Outcome.XFAILED, Outcome.XPASSED}:
            said = fact.get("wasxfail")
            state.reason = (
                clean(said.removeprefix("reason: ")[:1_000])
                if isinstance(said, str)
                else _reason(fact.get("longrepr"))
            )
        if state.outcome is None or (outcome.bad and not state.outcome.bad):
            state.outcome, state.phase = outcome, when

    # --- tests ----------------------------------------------------------------------------

    def _state(self, name: str) -> _State:
        if name not in self._running:
            self._running[name] = _State(order=self._orders.setdefault(name, len(self._orders)))
        return self._running[name]

    def _close(self, name: str) -> None:
        state = self._running.pop(name)
        earlier = self._attempts.setdefault(name, [])
        last = earlier[-1].repetition if earlier else 0
        outcome = state.outcome or (Outcome.PASSED if state.called else Outcome.NOT_RUN)
        earlier.append(
            Attempt(
                outcome=outcome,
                phase=state.phase,
                setup_s=state.seconds.get("setup", 0.0),
                call_s=state.seconds.get("call", 0.0),
                teardown_s=state.seconds.get("teardown", 0.0),
                repetition=last if name in self._again or not earlier else last + 1,
                worker=state.worker,
                order=state.order,
                reason=state.reason,
                failures=tuple(state.failures[:50]),
                subtests=tuple(sorted(state.subtests.items())),
                properties=state.properties,
            )
        )
        if state.again:
            self._again.add(name)
        else:
            self._again.discard(name)

    def _failure(self, name: str, phase: Phase, fact: Mapping[str, Any], subtest: str = "") -> Failure:
        told = fact.get("longrepr")
        captured = [
            (str(one[0]), str(one[1]))
            for one in parts(fact, "sections", where="a test")
            if isinstance(one, list) and len(one) == 2  # noqa: PLR2004 - title and text
        ]
        crash = told.get("reprcrash") if isinstance(told, dict) else None
        if not isinstance(told, dict) or not isinstance(crash, dict):
            return self._failures.of_text(name, phase, text=_text(told), captured=captured, subtest=subtest)
        text = _text(told)
        places, kind = _entries(told)
        if not places:  # as Python writes it, or not at all
            trace = traces.read(text)
            places, kind = trace.places or (traces.place(crash),), trace.exception
        return self._failures.of_places(
            name,
            phase,
            message=part(crash, "message", str, "", where="a crash"),
            kind=kind,
            places=places,
            text=text,
            captured=captured,
            subtest=subtest,
        )


def _outcome(fact: Any, when: Phase, where: str) -> tuple[Outcome, bool]:
    """The outcome of one phase, and whether it is going to be run again."""
    said = part(fact, "outcome", str, where=where)
    expected = isinstance(fact.get("wasxfail"), str)
    if said == "passed":
        return (Outcome.XPASSED if expected and when == "call" else Outcome.PASSED), False
    if said == "skipped":
        return (Outcome.XFAILED if expected else Outcome.SKIPPED), False
    return (Outcome.FAILED if when == "call" else Outcome.ERROR), said in _RERUN


def _entries(told: Mapping[str, Any]) -> tuple[Sequence[Place], str]:
    """The frames of a serialised failure, and the name of its exception."""
    places, kind = [], ""
    for data in _data(told):
        at = data.get("reprfileloc")
        if not isinstance(at, dict):
            continue
        lines = _lines(data)
        said = at.get("message")
        said = said if isinstance(said, str) else ""
        place = traces.place(at)
        if said.startswith("in "):  # a short entry: the function, and its line of source
            shown = next((line for line in lines[:1] if not line.startswith("E ")), "")
            places.append(place._replace(function=said[3:], source=traces.source(shown)))
        else:
            kind = said or kind
            marked = [traces.source(text[1:]) for text in lines if text.startswith(">")]
            places.append(place._replace(source=(marked or [""])[-1]))
    return places[-40:], kind[:300]


def _data(told: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    traceback = told.get("reprtraceback")
    entries = traceback.get("reprentries") if isinstance(traceback, dict) else None
    found = [one.get("data") for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    return [data for data in found if isinstance(data, dict)]


def _lines(data: Mapping[str, Any]) -> list[str]:
    lines = data.get("lines")
    return [line for line in lines if isinstance(line, str)] if isinstance(lines, list) else []


def _text(told: Any) -> str:
    """A serialised failure as pytest would print it."""
    if not isinstance(told, dict):
        return told if isinstance(told, str) else "" if told is None else str(told)[:20_000]
    blocks = []
    for data in _data(told):
        lines = [line.removesuffix("\n") for line in _lines(data)]
        at = data.get("reprfileloc")
        if isinstance(at, dict):
            lines += ["", f"{at.get('path')}:{at.get('lineno')}: {at.get('message') or ''}"]
        blocks.append("\n".join(lines))
    longrepr = told.get("longrepr")
    return "\n_ _ _ _\n".join(blocks) or (longrepr if isinstance(longrepr, str) else "")


def _reason(told: Any) -> str:
    """A skip is written as [file, line, reason]."""
    text = told[2] if isinstance(told, list) and len(told) == 3 else _text(told)  # noqa: PLR2004
    return clean(str(text).removeprefix("Skipped: ")[:1_000])


def _described(context: Any) -> str:
    if not isinstance(context, dict):
        return ""
    values = context.get("kwargs")
    named = [f"{name}={value}" for name, value in values.items()] if isinstance(values, dict) else []
    return " ".join(filter(None, [str(context.get("msg") or ""), *named]))[:1_000]


def _properties(listed: Sequence[Any]) -> tuple[tuple[str, str], ...]:
    pairs = [one for one in listed if isinstance(one, list) and len(one) == 2]  # noqa: PLR2004 - name and value
    named = [(clean(str(name)[:200]), clean(str(value)[:2_000])) for name, value in pairs[:100]]
    return tuple(redacted(name, text) for name, text in named)
