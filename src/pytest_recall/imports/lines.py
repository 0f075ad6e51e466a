"""Our own JSON lines, as `export` writes them: whole runs come back, and a torn one is named.

{"kind": "run", "version": 1, "id": …, "tests": 3, "run": {…}}       the run without its tests
{"kind": "test", "run": …, "test": {"id": …, "attempts": […]}}      as many as were promised
{"kind": "end", "run": …}                                            it is whole
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pytest_recall.errors import Unimportable, quoted
from pytest_recall.imports.bounded import json_value, part
from pytest_recall.imports.ours import RUN_ID
from pytest_recall.model import Run, Test
from pytest_recall.suite import Tests

VERSION = 1

T = TypeVar("T")
Load = Callable[[type[T], object], T]  # JSON values into a dataclass; raises ValueError

_DAY_S, _LONGEST_S = 86_400.0, 1e9


def recognises(first: bytes) -> bool:
    return first.lstrip().startswith(b'{"kind":')


def read(lines: Iterable[bytes], load: Load[Any]) -> Iterator[Run | str]:
    """The runs of *lines*, and in words those that are not whole. Raises `Unimportable` where nothing can be read."""
    reader = _Reader(load)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield from reader.take(json_value(line))
        except (Unimportable, ValueError, RecursionError) as error:
            reader.open = None
            yield f"line {number}: {str(error)[:200]}"
    yield from reader.rest()


class _Reader:
    """The run that is being read."""

    def __init__(self, load: Load[Any]) -> None:
        self._load = load
        self.open: _Open | None = None

    def take(self, fact: Any) -> Iterator[Run | str]:
        kind = part(fact, "kind", str, where="a line")
        if kind == "run":
            yield from self.rest()
            self.open = _begun(fact, self._load)
        elif self.open is not None and kind == "test":
            self.open.tests.append(self._load(Test, part(fact, "test", dict, where="a test")))
        elif self.open is not None and kind == "end":
            whole, self.open = self.open, None
            yield _whole(whole)

    def rest(self) -> Iterator[str]:
        """In words, a run that was not brought to its end."""
        if self.open is not None:
            yield _torn(self.open)
            self.open = None


@dataclass(slots=True)
class _Open:
    run: Run
    promised: int
    tests: list[Test] = field(default_factory=list)


def _begun(fact: Any, load: Load[Any]) -> _Open:
    version = part(fact, "version", int, where="a run")
    if version != VERSION:
        raise Unimportable(f"version {version} of these lines; this pytest-recall reads version {VERSION}.")
    run: Run = load(Run, part(fact, "run", dict, where="a run"))
    if not RUN_ID.fullmatch(run.id):
        raise Unimportable(f"{quoted(run.id)} is no run id.")
    if not 0 < run.started_at < time.time() + _DAY_S or not 0 <= run.duration_s < _LONGEST_S:
        raise Unimportable(f"run {run.id} took place at no time that can be.")
    if abs(int(run.id.replace("-", "")[:12], 16) / 1_000 - run.started_at) > _DAY_S:
        raise Unimportable(f"run {run.id} has an id of another time than its own.")
    return _Open(run, part(fact, "tests", int, where="a run"))


def _whole(one: _Open) -> Run | str:
    if len(one.tests) != one.promised or not all(map(_sane, one.tests)):
        return _torn(one)
    return replace(one.run, tests=Tests.of(one.tests))


def _sane(test: Test) -> bool:
    """Whether it was run at all, and in times that can be added."""
    times = [time for one in test.attempts for time in (one.setup_s, one.call_s, one.teardown_s)]
    return bool(test.attempts) and all(0 <= each < _LONGEST_S for each in times)


def _torn(one: _Open) -> str:
    return f"run {one.run.id} is not whole: {len(one.tests)} of {one.promised} tests are there"
