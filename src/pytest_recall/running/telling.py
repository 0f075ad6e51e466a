"""What tests told of themselves, and what their phases cost, put beside their attempts.

An entry may come before its attempt is known to have begun again, and a step's end after entries inside it: they
wait here until the attempt is told whole. All texts are redacted here once more, whoever wrote them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, get_args

from pytest_recall.model import ContextKind, Cost, Entry, Phase
from pytest_recall.redact import field, redact
from pytest_recall.running import events

MOST = 201  # entries of one attempt: what the probe tells, and that it told no more
_MOST_ALL = 50_000  # of a run
_MOST_SIZE = 32 << 20  # characters of all entries of a run
_MOST_SCOPED = 1_000
_DEPTH = 20  # of steps
_KINDS: dict[str, ContextKind] = {kind: kind for kind in get_args(ContextKind)}
_PHASES: dict[str, Phase] = {"setup": "setup", "call": "call", "teardown": "teardown"}


class _Step(NamedTuple):
    test: str  # "": of a wider scope
    place: int  # among the entries of that test that wait
    path: tuple[str, ...]


class Telling:
    """Of one launch after another; `left` is false once the run has told all that is kept."""

    def __init__(self) -> None:
        self.scoped: list[Entry] = []  # of fixtures wider than a test
        self._waiting: dict[str, list[tuple[int, Entry]]] = {}  # by test: number of the attempt, entry
        self._costs: dict[str, list[tuple[int, Cost]]] = {}
        self._steps: dict[str, _Step] = {}
        self._entries = self._size = 0

    @property
    def left(self) -> bool:
        return self._entries < _MOST_ALL and self._size < _MOST_SIZE

    def entry(self, event: events.Context) -> Entry | None:
        """*event* as it is kept; None where it is none, or too much."""
        kind = _KINDS.get(event.kind)
        if kind is None or not self.left:
            return None
        self._entries += 1
        self._size += sum(len(name) + len(text) for name, text in event.fields)
        around = self._steps.get(event.inside)
        return Entry(
            kind=kind,
            phase=_PHASES.get(event.when, "call"),
            name=redact(event.name),
            fields=tuple(field(name, text) for name, text in event.fields),
            steps=around.path if around else (),
            process=event.process,
            scope=event.scope,
            where=event.id if event.scope else "",
            worker=event.worker if event.scope else "",
        )

    def add(self, event: events.Context) -> None:
        """Keep *event* until its attempt is told."""
        entry = self.entry(event)
        if entry is None:
            return
        if event.scope:
            if len(self.scoped) < _MOST_SCOPED:
                self.scoped.append(entry)
                self._opened(event, "", len(self.scoped) - 1, entry)
            return
        waiting = self._waiting.setdefault(event.id, [])
        if len(waiting) < MOST * 10:
            waiting.append((event.attempt, entry))
            self._opened(event, event.id, len(waiting) - 1, entry)

    def stepped(self, event: events.Stepped) -> None:
        """A step has ended."""
        step = self._steps.get(event.step)
        if step is None:
            return
        if not step.test:
            self.scoped[step.place] = _ended(self.scoped[step.place], event)
        elif waiting := self._waiting.get(step.test):
            number, entry = waiting[step.place]
            waiting[step.place] = (number, _ended(entry, event))

    def cost(self, event: events.Cost) -> None:
        costs = self._costs.setdefault(event.id, [])
        if len(costs) < MOST and event.when in _PHASES:
            cost = Cost(
                phase=_PHASES[event.when],
                cpu_s=event.cpu,
                peak_kb=event.peak,
                grown_kb=event.grown,
                output=event.output,
            )
            costs.append((event.attempt, cost))

    def waits(self, test: str) -> bool:
        """Whether *test* has told something that no attempt has taken."""
        return test in self._waiting or test in self._costs

    def take(self, test: str, attempt: int, *, last: bool) -> tuple[tuple[Entry, ...], tuple[Cost, ...]]:
        """What *test* told in that attempt; of its *last* one also what is left of it."""
        if not self.waits(test):
            return (), ()
        waiting = self._waiting.pop(test, ())
        costs = self._costs.pop(test, ())
        if not last:
            self._waiting[test] = [one for one in waiting if one[0] > attempt]
            self._costs[test] = [one for one in costs if one[0] > attempt]
        return (
            tuple(entry for number, entry in waiting if last or number <= attempt)[:MOST],
            tuple(cost for number, cost in costs if last or number <= attempt)[:MOST],
        )

    def _opened(self, event: events.Context, test: str, place: int, entry: Entry) -> None:
        if event.step and len(entry.steps) < _DEPTH:
            self._steps[event.step] = _Step(test, place, (*entry.steps, entry.name))


def _ended(entry: Entry, event: events.Stepped) -> Entry:
    return replace(entry, duration_s=event.duration, error=event.error)
