"""What the facts of a run add up to while it goes on: each test's attempts, and what is still to come.

Only the tests that are running right now are held in parts; a finished attempt goes onto the roll at
once. What failures weigh is bounded over the whole run: 5,000 failing tests tell little more than 50.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar

from pytest_recall.history.fingerprint import fingerprint
from pytest_recall.model import Attempt, Collector, Failure, Frame, Outcome, Phase, Warned
from pytest_recall.redact import field
from pytest_recall.running import events, telling
from pytest_recall.running.events import Event, Fault
from pytest_recall.running.roll import Roll

_MOST_WARNINGS = 500
_MOST_DETAILED = 20  # failures of one cause that keep their whole text
_MOST_WEIGHT = 24 * 2**20  # characters that all failures together may have
_SHORT = 1_000  # characters of the message of those that came too late
_MOST_SECTION = 8_000
_MOST_FAILURES = 50  # of one attempt (subtests)
_MOST_NOTES = 10

_PHASES: dict[str, Phase] = {"setup": "setup", "call": "call", "teardown": "teardown"}
_RERUN = frozenset({"rerun", "retried"})


class Running:
    """A test that has started and not finished, and what is known by now of the attempt under way.

    What most tests never differ in is kept by the class: a test costs a few microseconds in all.
    """

    rerun = False  # what came until now was an attempt that will be made again
    tries = 0  # attempts that were recorded
    told = False  # whether there was more of it than that it started
    decided: Outcome | None = None
    phase: Phase = "call"
    call_ok = False
    reason = ""
    setup = call = teardown = 0.0  # seconds
    failures: tuple[Failure, ...] = ()
    subtests: Mapping[Outcome, int] = MappingProxyType({})
    properties: tuple[tuple[str, str], ...] = ()

    def __init__(self, order: int, worker: str, since: float) -> None:
        self.order = order
        self.worker = worker
        self.since = since  # by our own clock

    def again(self) -> Running:
        """The attempt is recorded, and will be made again."""
        following = Running(self.order, self.worker, self.since)
        following.rerun = following.told = True
        following.tries = self.tries
        return following

    def count(self, outcome: Outcome, number: int) -> None:
        """So many subtests ended like that."""
        self.subtests = {**self.subtests, outcome: self.subtests.get(outcome, 0) + number}


class Launch:
    """What one pytest session told about itself."""

    def __init__(self, repetition: int) -> None:
        self.repetition = repetition
        self.session: events.Session | None = None
        self.finish: events.SessionFinish | None = None
        self.ended = False
        self.selected: int | None = None
        self.deselected = 0
        self.interrupt: events.Interrupt | None = None
        self.internal: events.Internal | None = None
        self.closed = 0  # attempts that came to an end, without reruns
        self.failed = 0  # of them
        self.broken = 0  # collectors that failed
        self.passed_over: Counter[str] = Counter()  # collectors that skipped themselves
        self.seed = ""


class Ledger:
    """The facts of a run, added up. `clock` gives our own monotonic seconds.

    `root` is the project's folder: frames inside it are the project's.
    """

    def __init__(self, *, root: str, clock: Callable[[], float]) -> None:
        self._root = root.rstrip("/\\")
        self._clock = clock
        self._starts = 0
        self._weight = 0
        self._detailed: Counter[str] = Counter()
        self._frames: dict[tuple[str, int, str, str], Frame] = {}
        self._warned: Counter[tuple[str, str, str, int]] = Counter()
        self.launches: list[Launch] = []
        self.attempts = Roll()  # with who is still to come in the repetition under way
        self.running: dict[str, Running] = {}
        self.never: dict[str, None] = {}  # listed in an earlier repetition and not finished there
        self.listed = 0  # tests in the first listing
        self.collectors: dict[tuple[str, int], Collector] = {}  # by id, and which of that id it is
        self.culprits: dict[str, None] = {}  # running when a launch or a worker died, or time ran out
        self._blamed: set[str] = set()
        self._again: dict[str, Running] = {}  # tests between an attempt and its rerun
        self.notes: list[str] = []
        self.telling = telling.Telling()

    # --- launches -------------------------------------------------------------------------

    def begin(self, repetition: int) -> Launch:
        """A new launch begins; with a new *repetition*, all its tests are still to come."""
        if self.launches and self.launches[-1].repetition != repetition:
            self.never.update(dict.fromkeys(self.waiting))
            self.attempts.dismiss()
        launch = Launch(repetition)
        self.launches.append(launch)
        return launch

    @property
    def launch(self) -> Launch:
        return self.launches[-1]

    @property
    def waiting(self) -> list[str]:
        """Listed and not finished in the repetition under way."""
        return self.attempts.missing()

    def resumed(self) -> bool:
        """Whether the current launch goes on with what an earlier one of its repetition left."""
        return len(self.launches) > 1 and self.launches[-2].repetition == self.launch.repetition

    def blame(self, tests: Iterable[str]) -> None:
        """*tests* have run out of time: that is their outcome, whatever they report from now on."""
        self._blamed.update(tests)

    def end(self, *, crashed: bool) -> None:
        """Close what is still running at the end of a launch.

        Where the launch *crashed*, they did it. Else a test that had already failed keeps that, and any
        other has not been run.
        """
        for test in self._again:  # it was to be made again, and was not: what was recorded stands
            self._closed(test, Outcome.FAILED)
        for test, state in list(self.running.items()):
            if crashed or test in self._blamed:
                self._close(test, state, Outcome.CRASHED)
            elif state.decided is not None and state.decided.bad:
                self._close(test, state, state.decided)
        self.running.clear()
        self._again.clear()
        self._blamed.clear()

    # --- facts ----------------------------------------------------------------------------

    def add(self, event: Event) -> None:
        """Take in one fact."""
        self._takers[type(event)](self, event)

    def _started(self, event: events.Start) -> None:
        if event.before is not None:
            self._finished(event.before)
        self._start(event.id, event.worker)

    def _reported(self, event: events.PhaseEnd) -> None:
        state = self.running.get(event.id) or self._start(event.id, event.worker)
        state.told = True
        state.worker = event.worker or state.worker
        again = event.outcome in _RERUN or event.status in _RERUN
        if state.rerun and event.when == "teardown" and again:  # of the attempt that was told just now
            self._torn(event)
            return
        # The attempt that will be made again may still tell of its teardown.
        state.rerun = state.rerun and (event.when, event.outcome) == ("teardown", "passed")
        if event.subtest is not None:
            self._subtest(event, state)
            return
        self._phase(event, state)
        if event.crashed:
            self._close(event.id, state, Outcome.CRASHED)
            del self.running[event.id]
        elif again:
            self._record(event.id, state, state.decided or Outcome.FAILED, last=False)
            self.running[event.id] = state.again()

    def _torn(self, event: events.PhaseEnd) -> None:
        """The last attempt at that test failed in its teardown, too."""
        *earlier, last = self.attempts.get(event.id, ())
        failure = self._failure("teardown", event.fault or _NO_FAULT, event.id, event.sections)
        last = replace(last, teardown_s=event.duration, failures=(*last.failures, failure)[:_MOST_FAILURES])
        self.attempts.record(event.id, (*earlier, last))

    def _finished(self, event: events.Finish) -> None:
        if self._passed(event):
            return
        if event.call is not None:
            self._called(event, event.call)
        state = self.running.pop(event.id, None)
        if state is None:  # it never started: not a test that may count as run
            return
        if (
            state.rerun
        ):  # the end of an attempt that is made again: whether it starts anew is the plugin's way
            self._again[event.id] = state
            return
        state.setup += event.setup
        state.teardown += event.teardown
        if event.subtests:
            state.count(Outcome.PASSED, event.subtests)
        if state.decided is not None:
            outcome = state.decided
        elif state.call_ok:
            outcome = Outcome.PASSED if event.torn_down else Outcome.ERROR
            state.phase = "call" if event.torn_down else "teardown"
        else:  # pytest says it is done, and it was never called
            outcome = Outcome.NOT_RUN
        self._close(event.id, state, outcome)

    def _passed(self, event: events.Finish) -> bool:
        """Whether that the test passed is all there is to tell, as of nearly all; then that is all there is to do."""
        test, call, launch = event.id, event.call, self.launch
        state = self.running.get(test)
        if state is None or state.told or call is None or not event.torn_down or event.subtests:
            return False
        if launch.repetition or test in self._blamed or self.telling.waits(test):
            return False
        seconds = (event.setup, call, event.teardown)
        if not self.attempts.passed(test, seconds, state.order, event.worker or state.worker):
            return False
        del self.running[test]
        launch.closed += 1
        return True

    def _called(self, event: events.Finish, seconds: float) -> None:
        """The call that passed, of which nothing else was told."""
        state = self.running.get(event.id) or self._start(event.id, event.worker)
        state.worker = event.worker or state.worker
        state.rerun = False
        state.call += seconds
        state.call_ok = True

    def _list(self, event: events.Listed) -> None:
        if self.resumed():
            return
        for test in event.ids():
            self.attempts.expect(test)
            self.listed += self.launch.repetition == 0

    def _collected(self, event: events.Collected) -> None:
        launch = self.launch
        launch.selected = max(launch.selected or 0, event.selected)
        launch.deselected = max(launch.deselected, event.deselected)

    def _collector(self, event: events.CollectEnd) -> None:
        if event.failed:
            self.launch.broken += 1
            failure = self._failure("collect", event.fault or _NO_FAULT, event.id)
            collector = Collector(id=event.id, outcome=Outcome.ERROR, failure=failure)
        else:
            collector = Collector(id=event.id, outcome=Outcome.SKIPPED, reason=event.reason)
        # A module that skips itself does so once more where its doctests are collected, and pytest counts both;
        # why one cannot be collected is told once. What a later launch tells again is known.
        nth = 0 if event.failed else self.launch.passed_over[event.id]
        self.launch.passed_over[event.id] += not event.failed
        self.collectors.setdefault((event.id, nth), collector)

    def _session(self, event: events.Session) -> None:
        self.launch.session = event

    def _session_finish(self, event: events.SessionFinish) -> None:
        self.launch.finish = event

    def _end(self, _: events.End) -> None:
        self.launch.ended = True

    def _interrupt(self, event: events.Interrupt) -> None:
        self.launch.interrupt = self.launch.interrupt or event

    def _internal(self, event: events.Internal) -> None:
        self.launch.internal = self.launch.internal or event

    def _seed(self, event: events.Seed) -> None:
        self.launch.seed = event.seed

    def _note(self, event: events.Note) -> None:
        self.note(event.text)

    def _worker_down(self, event: events.WorkerDown) -> None:
        self.note(f"xdist worker {event.worker} went down: {event.error[:200]}")

    def _context(self, event: events.Context) -> None:
        state = self.running.get(event.id) or self._again.get(event.id)
        told = self.attempts.get(event.id, ())
        back = 1 if state is None else state.tries - event.attempt
        if event.scope or back <= 0 or back > len(told):
            self.telling.add(event)
        elif entry := self.telling.entry(
            event
        ):  # of an attempt that is told already: of its teardown, a thread
            late = told[-back]
            late = replace(late, context=(*late.context, entry)[: telling.MOST])
            self.attempts.record(event.id, (*told[: len(told) - back], late, *told[len(told) - back + 1 :]))

    def _stepped(self, event: events.Stepped) -> None:
        self.telling.stepped(event)

    def _cost(self, event: events.Cost) -> None:
        self.telling.cost(event)

    def _nothing(self, _: events.Told) -> None:
        """Nothing that a launch of ours would tell."""

    def _warning(self, event: events.WarningSeen) -> None:
        key = (event.category, event.message, event.path, event.line)
        if key in self._warned or len(self._warned) < _MOST_WARNINGS:
            self._warned[key] += event.times

    def note(self, text: str) -> None:
        if len(self.notes) < _MOST_NOTES and text not in self.notes:
            self.notes.append(text)

    # --- what came of it ------------------------------------------------------------------

    @property
    def closed(self) -> int:
        return sum(launch.closed for launch in self.launches)

    @property
    def failed(self) -> int:
        return sum(launch.failed for launch in self.launches)

    def warned(self) -> tuple[Warned, ...]:
        return tuple(
            Warned(category=category, message=message, path=self._relative(path), line=line, count=count)
            for (category, message, path, line), count in self._warned.items()
        )

    def overdue(self, limit: float) -> list[str]:
        """The ids of tests that have been running for more than *limit* seconds."""
        now = self._clock()
        return [test for test, state in self.running.items() if now - state.since > limit]

    # --- one test -------------------------------------------------------------------------

    def _start(self, test: str, worker: str) -> Running:
        state = self.running.get(test) or self._again.pop(test, None)
        if state is None:
            state = Running(self._starts, worker, self._clock())
            self._starts += 1
        else:  # a rerun; with xdist it may start before the attempt before it has been told
            state.since, state.worker = self._clock(), worker or state.worker
        self.running[test] = state
        return state

    def _phase(self, event: events.PhaseEnd, state: Running) -> None:
        when = _PHASES.get(event.when, "call")
        setattr(state, when, getattr(state, when) + event.duration)
        state.reason = event.reason or state.reason
        if event.properties:
            state.properties = tuple([field(name, text) for name, text in event.properties])
        outcome = _outcome(event, when)
        if outcome is Outcome.PASSED:
            state.call_ok = state.call_ok or when == "call"
            return
        if outcome.bad:
            self._fail(event, when, state)
        # A test that failed and was not torn down stays failed; any other bad news counts.
        if state.decided is None or (outcome.bad and not state.decided.bad):
            state.decided, state.phase = outcome, when

    def _subtest(self, event: events.PhaseEnd, state: Running) -> None:
        outcome = _outcome(event, "call")
        state.count(outcome, 1)
        if outcome.bad:
            self._fail(event, "call", state)
            if state.decided is None or not state.decided.bad:
                state.decided, state.phase = Outcome.FAILED, "call"

    def _fail(self, event: events.PhaseEnd, when: Phase, state: Running) -> None:
        if len(state.failures) < _MOST_FAILURES:
            fault = event.fault or _NO_FAULT._replace(message=event.reason)
            failure = self._failure(when, fault, event.id, event.sections, event.subtest or "")
            state.failures = (*state.failures, failure)

    def _close(self, test: str, state: Running, outcome: Outcome) -> None:
        """The test has come to its end in this launch."""
        if test in self._blamed:
            outcome = Outcome.TIMED_OUT
        if outcome in {Outcome.CRASHED, Outcome.TIMED_OUT}:
            self.culprits[test] = None
        self._record(test, state, outcome)
        self._closed(test, outcome)

    def _closed(self, test: str, outcome: Outcome) -> None:
        self.launch.closed += 1
        self.launch.failed += outcome.bad
        self.attempts.came(test)

    def _record(self, test: str, state: Running, outcome: Outcome, *, last: bool = True) -> None:
        earlier = self.attempts.get(test, ())
        context, costs = self.telling.take(test, state.tries, last=last)
        state.tries += 1
        attempt = Attempt(
            outcome=outcome,
            phase=state.phase,
            setup_s=state.setup,
            call_s=state.call,
            teardown_s=state.teardown,
            repetition=self._repetition(earlier, state.order),
            worker=state.worker,
            order=state.order,
            reason=state.reason,
            failures=state.failures,
            subtests=tuple(sorted(state.subtests.items())),
            properties=state.properties,
            context=context,
            costs=costs,
        )
        self.attempts.record(test, (*earlier, attempt))

    def _repetition(self, earlier: Sequence[Attempt], order: int) -> int:
        """The round an attempt belongs to. A test that is there twice gets a round of its own each time.

        A rerun shares its order with what it reruns; anything else may not replace what came before.
        """
        if not earlier:
            return self.launch.repetition
        last = earlier[-1]
        return last.repetition if last.order == order else max(self.launch.repetition, last.repetition + 1)

    # --- failures -------------------------------------------------------------------------

    def _failure(
        self,
        phase: Phase,
        fault: Fault,
        test: str,
        sections: Sequence[tuple[str, str]] = (),
        subtest: str = "",
    ) -> Failure:
        frames = tuple(self._frame(frame) for frame in fault.frames)
        failure = Failure(
            phase=phase,
            exception=fault.type,
            message=fault.message,
            fingerprint=fingerprint(
                exception=fault.type,
                message=fault.message,
                frames=frames,
                root=self._root,
                test_id=test,
            ),
            frames=frames,
            text=fault.text,
            locals=fault.locals,
            captured=tuple((title, text[-_MOST_SECTION:]) for title, text in sections),
            subtest=subtest,
        )
        return self._bounded(failure)

    def _bounded(self, failure: Failure) -> Failure:
        self._detailed[failure.fingerprint.group] += 1
        if self._weight > _MOST_WEIGHT or self._detailed[failure.fingerprint.group] > _MOST_DETAILED:
            failure = replace(
                failure,
                message=failure.message[:_SHORT],
                text="",
                locals=(),
                captured=(),
                frames=failure.frames[-5:],
            )
        self._weight += len(failure.message) + len(failure.text)
        self._weight += sum(len(text) for _, text in (*failure.captured, *failure.locals))
        return failure

    def _frame(self, frame: tuple[str, int, str, str]) -> Frame:
        known = self._frames.get(frame)
        if known is None:
            path, line, function, source = frame
            shown = self._relative(path)
            # A relative path of the target's is one from the folder where it was started.
            inside = shown != path or not (path.startswith(("/", "\\", "<")) or path[1:2] == ":")
            project = inside and "site-packages" not in shown and "dist-packages" not in shown
            known = Frame(path=shown, line=line, function=function, source=source, project=project)
            if len(self._frames) < 50_000:  # noqa: PLR2004 - a cache's size
                self._frames[frame] = known
        return known

    def _relative(self, path: str) -> str:
        inside = path.startswith(self._root) and path[len(self._root) : len(self._root) + 1] in {"/", "\\"}
        return path[len(self._root) + 1 :] if inside else path

    # Of the class: a ledger that referred to its own methods would be there, with all its ids, until the next collection.
    _takers: ClassVar[dict[type[Event], Callable[[Ledger, Any], None]]] = {
        events.Start: _started,
        events.PhaseEnd: _reported,
        events.Finish: _finished,
        events.Listed: _list,
        events.Collected: _collected,
        events.CollectEnd: _collector,
        events.Session: _session,
        events.SessionFinish: _session_finish,
        events.End: _end,
        events.Interrupt: _interrupt,
        events.Internal: _internal,
        events.Seed: _seed,
        events.Note: _note,
        events.WorkerDown: _worker_down,
        events.WarningSeen: _warning,
        events.Context: _context,
        events.Stepped: _stepped,
        events.Cost: _cost,
        events.Told: _nothing,
    }


_NO_FAULT = Fault("", "", (), "", "", ())


def _outcome(event: events.PhaseEnd, when: Phase) -> Outcome:
    """The outcome of one report. What pytest counts as failed is bad, whatever a plugin calls it."""
    match event.outcome, event.status:
        case "passed", "xpassed":
            return Outcome.XPASSED if when == "call" else Outcome.PASSED
        case "passed", _:
            return Outcome.PASSED
        case "skipped", "xfailed":
            return Outcome.XFAILED
        case "skipped", _:
            return Outcome.SKIPPED
        case _:
            return Outcome.FAILED if when == "call" else Outcome.ERROR
