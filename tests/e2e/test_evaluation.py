"""The written evaluation: each of its twenty transcripts says what it must, and the table in the documentation is true."""

import importlib.util
import re
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def evaluation():
    spec = importlib.util.spec_from_file_location("evaluation", ROOT / "benchmarks" / "evaluation.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["evaluation"] = module  # dataclasses look for it there
    spec.loader.exec_module(module)
    yield module
    del sys.modules["evaluation"]


async def test_every_transcript_says_what_it_must_for_what_the_table_says(evaluation):
    with tempfile.TemporaryDirectory() as folder:  # a short path: it is part of what is counted
        costs = [cost async for cost in evaluation.evaluate(Path(folder))]
    assert len(costs) == 20
    assert [f"{cost.task.question} {text}" for cost in costs for text in cost.wrong] == []

    shown = rows(evaluation.written(evaluation.PAGE.read_text("utf-8")))
    now = rows(evaluation.table(costs))
    assert list(shown) == list(now)
    far = {
        question: (shown[question], now[question])
        for question in now
        if any(abs(a - b) > max(0.3 * b, 150) for a, b in zip(shown[question], now[question], strict=True))
    }
    assert far == {}, "python benchmarks/evaluation.py --write makes the table anew"


def rows(table: str) -> dict[str, list[int]]:
    """Question → its figures."""
    return {
        line.split("|")[1].strip(): [
            int(cell.replace(",", "")) for cell in re.findall(r"[\d,]*\d", line.split("|", 2)[2])
        ]
        for line in table.splitlines()[2:]
    }


def test_the_table_costs_less_than_a_shell_wherever_much_fails(evaluation):
    shown = rows(evaluation.written(evaluation.PAGE.read_text("utf-8")))
    calls, characters, commands, in_a_shell = shown["**those that a shell can answer**"]
    assert calls < commands
    assert characters * 5 < in_a_shell
