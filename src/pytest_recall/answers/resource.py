"""The long texts behind an answer, for those who ask: a run whole, its output, one test, one cause."""

from __future__ import annotations

import dataclasses
import json

from pydantic import TypeAdapter

from pytest_recall.answers.text import clean
from pytest_recall.app import Judged
from pytest_recall.model import FailureHistory, Outcome, Run, RunFiles, Test
from pytest_recall.running import jsonreport

MOST = 4_000_000  # characters
MOST_TESTS = 24_000_000  # of a run's tests, without what they have at its default
_TEST = 300  # a test at least, with it


def run(whole: Run) -> str:
    """The typed run as JSON, with every test.

    Above 4 MB what a test has at its default is left out; above 24 MB the tests that ended well, counted in
    `tests_omitted`.
    """
    if len(whole.tests) * _TEST <= MOST:
        text = TypeAdapter(Run).dump_json(whole).decode()
        if len(text) <= MOST:
            return text
    tests = TypeAdapter(tuple[Test, ...]).dump_json(whole.tests, exclude_defaults=True).decode()
    if len(tests) <= MOST_TESTS:
        rest = TypeAdapter(Run).dump_python(dataclasses.replace(whole, tests=()), mode="json")
        del rest["tests"]
        return f'{json.dumps(rest)[:-1]}, "tests": {tests}}}'
    kept = tuple(test for test in whole.tests if test.failures or test.outcome.bad)[:1_000]
    less = dataclasses.replace(whole, tests=kept, not_run=whole.not_run[:1_000])
    body = TypeAdapter(Run).dump_json(less).decode()
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
    others = tuple(test for test in whole.tests if test.outcome is not Outcome.PASSED)
    for most in (1_000, 50, 5, 0):
        if len(made) <= MOST:
            break
        made = jsonreport.compose(dataclasses.replace(whole, tests=others[:most]))
    return made.decode("utf-8", "replace")


def test(judged: Judged) -> str:
    return TypeAdapter(Judged).dump_json(judged).decode()


def failure(known: FailureHistory) -> str:
    return TypeAdapter(FailureHistory).dump_json(known).decode()
