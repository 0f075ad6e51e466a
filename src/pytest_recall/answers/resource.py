"""The long texts behind an answer, for those who ask: a run whole, its output, one test, one cause."""

from __future__ import annotations

import dataclasses

from pydantic import TypeAdapter

from pytest_recall.answers.text import clean
from pytest_recall.app import Judged
from pytest_recall.model import FailureHistory, Run, RunFiles

MOST = 4_000_000  # characters


def run(whole: Run) -> str:
    """The typed run as JSON; above 4 MB the tests that passed are left out and counted in `passed_omitted`."""
    text = TypeAdapter(Run).dump_json(whole).decode()
    if len(text) <= MOST:
        return text
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


def report(files: RunFiles) -> str:
    """The JSON report of the run, in pytest-json-report's format; `{}` where none was made."""
    return files.report[:MOST].decode("utf-8", "replace") or "{}"


def test(judged: Judged) -> str:
    return TypeAdapter(Judged).dump_json(judged).decode()


def failure(known: FailureHistory) -> str:
    return TypeAdapter(FailureHistory).dump_json(known).decode()
