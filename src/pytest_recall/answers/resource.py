"""The long texts behind an answer, for those who ask: a run whole, its output, one test, one cause."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from pydantic import TypeAdapter

from pytest_recall.answers.text import clean
from pytest_recall.judging import Judged
from pytest_recall.model import FailureHistory, Outcome, Run, RunFiles, Test
from pytest_recall.running import jsonreport
from pytest_recall.suite import NO_TESTS, Tests

MOST = 4_000_000  # characters
MOST_TESTS = 24_000_000  # of a run's tests, without what they have at its default
_TEST = 300  # a test at least, with it
_PIECE = 1_000  # tests that are made at once


def run(whole: Run) -> str:
    """The typed run as JSON, with every test.

    Above 4 MB what a test has at its default is left out; above 24 MB the tests that ended well, counted in
    `tests_omitted`.
    """
    if len(whole.tests) * _TEST <= MOST:
        text = _json(whole)
        if len(text) <= MOST:
            return text
    if tests := _briefly(whole.tests):
        rest = json.loads(_json(dataclasses.replace(whole, tests=NO_TESTS)))
        del rest["tests"]
        return f'{json.dumps(rest)[:-1]}, "tests": {tests}}}'
    kept = Tests.of([test for test in whole.tests.others if test.failures or test.outcome.bad][:1_000])
    less = dataclasses.replace(whole, tests=kept, not_run=whole.not_run[:1_000])
    body = _json(less)
    return f'{{"tests_omitted":{len(whole.tests) - len(kept)},{body[1:]}'


def output(files: RunFiles) -> str:
    """What pytest printed: head and tail where it was long."""
    return clean(files.output.decode("utf-8", "replace"))


def log(files: RunFiles) -> str:
    """What the tests logged, by pytest's own handler."""
    return clean(files.log.decode("utf-8", "replace"))


def report(whole: Run, files: RunFiles) -> str:
    """The JSON report of the run, in pytest-json-report's format: as the plugin wrote it, or made from the run.

    Above 4 MB it has only the tests that did not pass, or the first of these.
    """
    made = files.report or jsonreport.compose(whole)
    others = [test for test in whole.tests.others if test.outcome is not Outcome.PASSED]
    for most in (1_000, 50, 5, 0):
        if len(made) <= MOST:
            break
        made = jsonreport.compose(dataclasses.replace(whole, tests=Tests.of(others[:most])))
    return made.decode("utf-8", "replace")


def test(judged: Judged) -> str:
    return TypeAdapter(Judged).dump_json(judged).decode()


def failure(known: FailureHistory) -> str:
    return TypeAdapter(FailureHistory).dump_json(known).decode()


def _json(whole: Run) -> str:
    parts = {part.name: getattr(whole, part.name) for part in dataclasses.fields(whole)}
    return TypeAdapter(dict[str, Any]).dump_json(parts | {"tests": tuple(whole.tests)}).decode()


def _briefly(tests: Tests) -> str:
    """*tests* without what they have at its default; nothing where that is more than we tell."""
    kind, pieces, size = TypeAdapter(tuple[Test, ...]), [], 0
    for at in range(0, len(tests), _PIECE):
        pieces.append(kind.dump_json(tests[at : at + _PIECE], exclude_defaults=True)[1:-1])
        size += len(pieces[-1])
        if size > MOST_TESTS:
            return ""
    return f"[{b','.join(pieces).decode()}]"
