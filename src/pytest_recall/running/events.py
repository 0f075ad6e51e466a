"""The probe's lines, read: one bounded, typed event for each, and nothing for a line that is none.

What wrote the file ran beside hostile code. A line may hold any bytes, so that every field is
checked for its type and cut to a size here; whoever takes an event need not doubt its shape.
Events are named tuples: a run makes hundreds of thousands of them and keeps none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from pytest_recall.model import Function

MOST_LINE = 16 * 2**20  # bytes of a line that are read at all
_MOST_ID = 8_100
_MOST_TEXT = 24_000
_MOST_ITEMS = 64  # of any list within a fact
_MOST_TOLD, _MOST_FIELDS = 4_200, 40  # of what a test tells of itself: characters of a text, texts
_SCOPES = frozenset({"session", "package", "module", "class"})
_parse = json.JSONDecoder().raw_decode


class Fault(NamedTuple):
    """An exception as the target saw it; paths are the target's own, `text` is pytest's rendering."""

    type: str
    message: str
    frames: tuple[tuple[str, int, str, str], ...]  # path, line, function, source; outermost first
    text: str
    cause: str
    locals: tuple[tuple[str, str], ...]


class Session(NamedTuple):
    pytest: str
    python: str
    root: str
    ini: str
    plugins: tuple[str, ...]
    workers: int


class CollectEnd(NamedTuple):
    """A collector that failed, or skipped itself."""

    id: str
    failed: bool
    reason: str
    fault: Fault | None


class Listed(NamedTuple):
    """The test functions of one file, as collection found them; read when they are asked for."""

    file: str
    tests: dict[str, Any]

    def ids(self) -> Iterator[str]:
        """The node id of every test."""
        for name, found in self.tests.items():
            params = found.get("params") if isinstance(found, dict) else None
            function = _id(f"{self.file}::{name}" if name else self.file)
            if isinstance(params, list):
                yield from [f"{function}[{_id(param)}]" for param in params]
            else:
                yield function

    def functions(self) -> Iterator[Function]:
        for name, found in self.tests.items():
            if isinstance(found, dict):
                yield _function(f"{self.file}::{name}" if name else self.file, found)


class Collected(NamedTuple):
    selected: int
    deselected: int
    worker: str


class Start(NamedTuple):
    id: str
    worker: str
    before: Finish | None  # of the test before it, all of whose phases passed


class PhaseEnd(NamedTuple):
    """One report: `outcome` as pytest has it, `status` its category where the two differ."""

    id: str
    when: str
    outcome: str
    status: str
    duration: float
    worker: str
    reason: str
    fault: Fault | None
    sections: tuple[tuple[str, str], ...]
    properties: tuple[tuple[str, str], ...]
    subtest: str | None
    crashed: bool  # xdist's word for a worker that died under the test; no Finish follows


class Finish(NamedTuple):
    """A test's last fact. `setup`, `call` and `teardown` are seconds of phases that passed and were not told apart."""

    id: str
    setup: float
    call: float | None  # None: it did not pass, or was told
    teardown: float
    worker: str
    torn_down: bool  # a passed teardown was reported
    subtests: int  # that passed


class WarningSeen(NamedTuple):
    category: str
    message: str
    path: str
    line: int
    times: int


class Seed(NamedTuple):
    seed: str


class Note(NamedTuple):
    """Something of the probe's own did not work."""

    text: str


class Interrupt(NamedTuple):
    """`type` is KeyboardInterrupt, Exit (`pytest.exit`), or Interrupted (the session's own stop)."""

    type: str
    text: str


class Internal(NamedTuple):
    type: str
    text: str


class WorkerDown(NamedTuple):
    worker: str
    error: str


class SessionFinish(NamedTuple):
    exit: int
    failed: int
    lost: int  # facts that could not be written


class End(NamedTuple):
    """The session is over, and pytest about to leave."""


class Context(NamedTuple):
    """Something that a test told of itself."""

    id: str  # of the test; of the scope where there is one
    kind: str
    when: str
    attempt: int
    name: str
    fields: tuple[tuple[str, str], ...]
    step: str  # the name of the step that begins here, for those inside it
    inside: str  # that of the step around it
    scope: str
    process: int
    worker: str


class Stepped(NamedTuple):
    """A step has ended; `error` is the type of the exception that ended it."""

    step: str
    duration: float
    error: str


class Cost(NamedTuple):
    """What a phase took: seconds of CPU, kB of memory, characters of output."""

    id: str
    when: str
    attempt: int
    cpu: float
    peak: int
    grown: int
    output: int


class Told(NamedTuple):
    """What only a session that nobody launched tells of itself: see `captured`, which checks its fields."""

    kind: str  # capture, startup, revision
    fact: dict[str, Any]


Event = (
    Session
    | CollectEnd
    | Listed
    | Collected
    | Start
    | PhaseEnd
    | Finish
    | WarningSeen
    | Seed
    | Note
    | Interrupt
    | Internal
    | WorkerDown
    | SessionFinish
    | End
    | Told
    | Context
    | Stepped
    | Cost
)


def decode(line: bytes) -> Event | None:
    """The event that *line* holds, or None where it holds none: cut off, foreign, or of another kind."""
    fact = load(line)
    if fact is None:
        return None
    kind = fact.get("e")
    read = _READERS.get(kind) if type(kind) is str else None
    return read(fact) if read is not None else None


def load(data: bytes) -> dict[str, Any] | None:
    """*data* as a JSON object without lone surrogates, or None: never an error, whatever it holds."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return _lenient(data)
    return value if isinstance(value, dict) else None


def _lenient(data: bytes) -> dict[str, Any] | None:
    """The same of text that is not quite JSON or UTF-8: with NaN, with a lone surrogate."""
    text = data.decode("utf-8", "replace")
    try:
        value, end = _parse(text)
        if end != len(text):
            return None
        if "\\u" in text and ("\\ud" in text or "\\uD" in text):
            # Escaped surrogates pass json and break whatever encodes the text later.
            value = _clean(value)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


class Lines:
    """Cuts a growing file's bytes into lines; a line over `MOST_LINE` is dropped and counted."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False
        self.dropped = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest
        for line in lines:
            if self._skipping:
                self._skipping = False
            elif len(line) > MOST_LINE:
                self.dropped += 1
            elif line:
                yield line
        if len(rest) > MOST_LINE:
            self.dropped += not self._skipping
            self._skipping, self._rest = True, b""


# --- fields ---------------------------------------------------------------------------------


def _clean(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode() if not value.isascii() else value
        case list():
            return [_clean(item) for item in value]
        case dict():
            return {_clean(key): _clean(item) for key, item in value.items()}
        case _:
            return value


def _text(value: Any, most: int = _MOST_TEXT) -> str:
    return value[:most] if type(value) is str else ""


def _id(value: Any) -> str:
    return value[:_MOST_ID] if type(value) is str else ""


def _name(value: Any) -> str:
    return _text(value, 200)


def _count(value: Any) -> int:
    """A count or line number; 0 for what is none. Bounded, so that no arithmetic on it can grow."""
    return value if type(value) is int and 0 <= value < 2**53 else 0


def _seconds(value: Any) -> float:
    if type(value) is float:
        return value if 0.0 < value < math.inf else 0.0
    return float(_count(value))


def _items(value: Any, most: int = _MOST_ITEMS) -> list[Any]:
    return value[:most] if isinstance(value, list) else []


def _pairs(value: Any) -> tuple[tuple[str, str], ...]:
    """Pairs of text, from a list of pairs or an object; numbers and the like become their text."""
    if not value:
        return ()
    pairs = list(value.items()) if isinstance(value, dict) else value
    return tuple(
        (_text(pair[0], 500), _text(pair[1] if isinstance(pair[1], str) else json.dumps(pair[1])))
        for pair in _items(pairs)
        if isinstance(pair, list | tuple) and len(pair) == 2  # noqa: PLR2004 - a pair
    )


def _frame(value: Any) -> tuple[str, int, str, str]:
    path, line, function, source = [*_items(value, 4), None, None, None, None][:4]
    return _text(path, 2000), _count(line), _name(function), _text(source, 500)


def _fault(value: Any) -> Fault | None:
    if not isinstance(value, dict):
        return None
    return Fault(
        _name(value.get("type")),
        _text(value.get("message")),
        tuple(_frame(frame) for frame in _items(value.get("frames"))),
        _text(value.get("text")),
        _text(value.get("cause"), 4000),
        _pairs(value.get("locals")),
    )


def _function(name: str, found: dict[str, Any]) -> Function:
    params = tuple(_id(param) for param in _items(found.get("params"), 10**7))
    return Function(
        id=_id(name),
        line=_count(found.get("line")),
        count=max(_count(found.get("n")), len(params), 1),
        params=params,
        markers=tuple(_name(mark) for mark in _items(found.get("marks"))),
        fixtures=tuple(_name(fixture) for fixture in _items(found.get("fixtures"))),
        doc=_text(found.get("doc"), 500),
    )


# --- facts ----------------------------------------------------------------------------------


def _session(fact: dict[str, Any]) -> Event:
    version = fact.get("version")
    return Session(
        _name(fact.get("pytest")),
        ".".join(str(_count(part)) for part in _items(version, 3))
        if isinstance(version, list)
        else _name(version),
        _text(fact.get("root"), 4096),
        _text(fact.get("ini"), 4096),
        tuple(sorted(_name(plugin) for plugin in _items(fact.get("plugins"), 500))),
        _count(fact.get("workers")),
    )


def _collect(fact: dict[str, Any]) -> Event:
    return CollectEnd(
        _id(fact.get("id")),
        fact.get("outcome") != "skipped",
        _text(fact.get("reason"), 2000),
        _fault(fact.get("failure")),
    )


def _file(fact: dict[str, Any]) -> Event:
    tests = fact.get("tests")
    return Listed(_id(fact.get("id")), tests if isinstance(tests, dict) else {})


def _collected(fact: dict[str, Any]) -> Event:
    return Collected(_count(fact.get("n")), _count(fact.get("deselected")), _name(fact.get("worker")))


def _start(fact: dict[str, Any]) -> Event:
    worker, was = fact.get("worker"), fact.get("was")
    return Start(_id(fact.get("id")), _name(worker) if worker else "", None if was is None else _was(was))


def _was(value: Any) -> Finish | None:
    """A test that passed: its id, and whole microseconds of setup, call and teardown."""
    if type(value) is not list or len(value) != 4:  # noqa: PLR2004 - these four
        return None
    test, setup, call, teardown = value
    return Finish(_id(test), _count(setup) / 1e6, _count(call) / 1e6, _count(teardown) / 1e6, "", True, 0)  # noqa: FBT003 - by name it takes longer


def _phase(fact: dict[str, Any]) -> Event:
    subtest = fact.get("subtest")
    reason, fault, sections, properties = _told(fact) if len(fact) > _QUIET_FIELDS else _NOTHING_TOLD
    return PhaseEnd(
        _id(fact.get("id")),
        _name(fact.get("when")),
        _name(fact.get("outcome")),
        _name(fact.get("status")),
        _seconds(fact.get("dur")),
        _name(fact.get("worker")),
        reason,
        fault,
        sections,
        properties,
        _text(subtest.get("text"), 2000) if isinstance(subtest, dict) else None,
        fact.get("crashed") is True,
    )


_Told = tuple[str, Fault | None, tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]
_QUIET_FIELDS = 6  # e, t, id, when, outcome, dur: a phase that has nothing else to tell
_NOTHING_TOLD: _Told = ("", None, (), ())


def _told(fact: dict[str, Any]) -> _Told:
    """What a phase tells of itself: the reason, the failure, captured text, properties."""
    return (
        _text(fact.get("reason"), 2000),
        _fault(fact.get("failure")),
        _pairs(fact.get("sections")),
        _pairs(fact.get("props")),
    )


def _finish(fact: dict[str, Any]) -> Event:
    get = fact.get  # one for each test of each run: what is seldom there costs no call
    subtests, call, worker = get("subtests"), get("call"), get("worker")
    return Finish(
        _id(get("id")),
        _seconds(get("setup")),
        None if call is None else _seconds(call),
        _seconds(get("teardown")),
        _name(worker) if worker else "",
        get("teardown_ok") is True,
        _count(subtests.get("passed")) if isinstance(subtests, dict) else 0,
    )


def _warn(fact: dict[str, Any]) -> Event:
    return WarningSeen(
        _name(fact.get("category")),
        _text(fact.get("message"), 2000),
        _text(fact.get("path"), 2000),
        _count(fact.get("line")),
        max(_count(fact.get("count")), 1),
    )


def _seed(fact: dict[str, Any]) -> Event:
    seed = fact.get("seed")
    return Seed(_name(seed if isinstance(seed, str) else json.dumps(seed)))


def _note(fact: dict[str, Any]) -> Event:
    return Note(_text(fact.get("text"), 500))


def _interrupt(fact: dict[str, Any]) -> Event:
    return Interrupt(_name(fact.get("type")), _text(fact.get("text"), 2000))


def _internal(fact: dict[str, Any]) -> Event:
    return Internal(_name(fact.get("type")), _text(fact.get("text")))


def _workerdown(fact: dict[str, Any]) -> Event:
    return WorkerDown(_name(fact.get("worker")), _text(fact.get("error"), 2000))


def _sessionfinish(fact: dict[str, Any]) -> Event:
    # An exit that is no number must never read as 0.
    code = fact.get("exit")
    return SessionFinish(
        code if type(code) is int and abs(code) < 2**31 else -1,
        _count(fact.get("failed")),
        _count(fact.get("lost")),
    )


def _end(_: dict[str, Any]) -> Event:
    return End()


def _context(fact: dict[str, Any]) -> Event:
    scope = _name(fact.get("scope"))
    return Context(
        _id(fact.get("id")),
        _name(fact.get("k")),
        _name(fact.get("when")),
        _count(fact.get("n")),
        _name(fact.get("name")),
        tuple((name[:200], text[:_MOST_TOLD]) for name, text in _pairs(fact.get("f"))[:_MOST_FIELDS]),
        _name(fact.get("step")),
        _name(fact.get("in")),
        scope if scope in _SCOPES else "",
        _count(fact.get("pid")),
        _name(fact.get("worker")),
    )


def _stepped(fact: dict[str, Any]) -> Event:
    return Stepped(_name(fact.get("step")), _seconds(fact.get("dur")), _name(fact.get("error")))


def _cost(fact: dict[str, Any]) -> Event:
    numbers = (_count(fact.get(name)) for name in ("peak", "grown", "out"))
    return Cost(
        _id(fact.get("id")),
        _name(fact.get("when")),
        _count(fact.get("n")),
        _seconds(fact.get("cpu")),
        *numbers,
    )


def _told_itself(fact: dict[str, Any]) -> Event:
    return Told(_name(fact.get("e")), fact)


_READERS = {
    "session": _session,
    "collect": _collect,
    "file": _file,
    "collected": _collected,
    "start": _start,
    "phase": _phase,
    "finish": _finish,
    "warn": _warn,
    "random_seed": _seed,
    "note": _note,
    "interrupt": _interrupt,
    "internalerror": _internal,
    "workerdown": _workerdown,
    "sessionfinish": _sessionfinish,
    "end": _end,
    "ctx": _context,
    "stepped": _stepped,
    "cost": _cost,
    "capture": _told_itself,
    "startup": _told_itself,
    "revision": _told_itself,
}
