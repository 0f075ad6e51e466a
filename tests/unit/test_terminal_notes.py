"""What was said of a failure, and what to do about it, is shown to a person wherever an agent is told of it."""

import subprocess
import sys

import pytest

from pytest_recall.answers.bundle import BundleAnswer
from pytest_recall.answers.logs import LogsAnswer
from pytest_recall.answers.run import FailureGroup, RunAnswer, Seen
from pytest_recall.answers.views import (
    CauseLine,
    FailuresView,
    FlakyView,
    RunLine,
    RunsView,
    RunView,
    SimilarView,
    SlowView,
    SpacesView,
)
from pytest_recall.answers.views import TestView as OfTest
from pytest_recall.cli import terminal

NOTE = "remedy (worked), 2026-03-02 10:00, Claude: use [db_session] \\x1b[31m"
HINT = "Look first at shop/money.py, changed since it passed. (it is imported) It worked before."
NOTHING = "No run is kept that fits."
ACTION = "Rerun on this revision: confirm=3."
GROUP = FailureGroup(
    verdict="not_enough_evidence",
    action=ACTION,
    error="KeyError",
    message="'USD'",
    tests=["t.py::test_a"],
    notes=[NOTE],
    hints=[HINT],
)
RUN = RunAnswer(run_id="r", status="failed", failures=[GROUP], notes=["diagnosis: of the run"])
SEEN = FailureGroup(
    error="KeyError", seen_before=Seen(first="2026", last="2026-03-02", runs=2, tier="strict")
)
ALIKE = FailureGroup(
    error="KeyError",
    seen_before=Seen(
        first="2026",
        last="2026",
        runs=1,
        tier="lexical",
        fingerprint="fp1:b",
        similarity=0.91,
        matched=["RATES", "money"],
    ),
)
CAUSE = CauseLine(
    fingerprint="fp1:a",
    error="KeyError",
    seen=Seen(first="2026", last="2026", runs=1),
    notes=[NOTE],
    places_omitted=8,
)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            RUN,
            [
                NOTE,
                HINT,
                "diagnosis: of the run",
                "not enough evidence: Rerun",
                "run --only failed --confirm 3",
            ],
        ),
        (
            RunAnswer(run_id="r", status="failed", failures=[SEEN, ALIKE]),
            [
                "seen before, in 2 runs, last 2026-03-02",
                "like fp1:b (lexical 0.91: RATES, money), in 1 run, last 2026",
            ],
        ),
        (RunView(view="run", run=RUN), [NOTE, HINT, "diagnosis: of the run"]),
        (
            OfTest(
                view="test", id="t.py::test_a", notes=[NOTE], action="test_history(view='flaky', verify=2)"
            ),
            [NOTE, "pytest-recall flaky --verify 2"],
        ),
        (FailuresView(view="failures", failures=[CAUSE]), [NOTE, "8 more places"]),
        (LogsAnswer(output="[bold]printed[/bold]", log="logged"), ["[bold]printed[/bold]", "logged"]),
        (
            BundleAnswer(file="b.tgz", run_id="r", members={"run.json": 7}, left_out={"run.json": 9}),
            ["run.json  (9 bytes left out)", "run r is in b.tgz"],
        ),
    ],
    ids=["run", "seen before", "view run", "view test", "view failures", "logs", "bundle"],
)
def test_it_is_shown_as_text(answer, told, capsys):
    terminal.show(answer)
    shown = capsys.readouterr().out
    # A table folds long cells: the words come in their order all the same.
    for text in told:
        assert "".join(text.split()) in "".join(shown.split())


@pytest.mark.parametrize(
    "answer",
    [
        RunsView(view="runs", remarks=[NOTHING]),
        FlakyView(view="flaky", remarks=[NOTHING]),
        SlowView(view="slow", remarks=[NOTHING]),
        FailuresView(view="failures", remarks=[NOTHING]),
        SimilarView(view="similar", remarks=[NOTHING]),
        SpacesView(view="spaces", remarks=[NOTHING]),
    ],
    ids=lambda answer: answer.view,
)
def test_nothing_found_is_said_in_the_words_of_the_answer_and_once(answer, capsys):
    terminal.show(answer)
    assert capsys.readouterr().out == f"{NOTHING}\n"


def test_a_program_reads_no_padding(capsys):
    group = FailureGroup(error="E", traceback="a.py:1 f: g()\nb.py:2 g: h()", captured="said")
    terminal.show(RunAnswer(run_id="r", status="failed", failures=[group]))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:4] == ["  a.py:1 f: g()", "  b.py:2 g: h()", "  said"]
    assert lines == [line.rstrip() for line in lines]


def test_a_narrow_terminal_breaks_neither_dates_nor_run_ids(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    begun = ["01a21ec8-2ea3-750c", "01a21ec9-2ea3-750c", "01a21ec9-2ea3-7511"]
    ids = [f"{head}-a7a4-51d3c4491c13" for head in begun]
    counts = {"passed": 726, "failed": 21, "skipped": 3, "collected": 750}
    rows = [
        RunLine(run_id=one, at="2026-11-27 20:52", status="failed", counts=counts, duration_s=1)
        for one in ids
    ]
    terminal.show(RunsView(view="runs", runs=rows))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    words = [word for line in lines for word in line.split()]
    assert [word for word in words if word.startswith("01a2")] == begun
    assert words.count("20:52") == 3


@pytest.mark.parametrize(("columns", "most"), [(80, 4), (40, 6)])
def test_a_terminal_too_narrow_for_a_table_has_each_run_on_lines_of_its_own(
    monkeypatch, capsys, *, columns, most
):
    monkeypatch.setenv("COLUMNS", str(columns))
    counts = {"failed": 17, "error": 4, "xfailed": 1, "skipped": 4, "passed": 19, "subtests_failed": 2}
    rows = [
        RunLine(
            run_id=f"01a2220{n}-de35-7c93-8f20-11d3b362ba44",
            at="2026-11-28 12:08",
            status="collection_failed",
            counts=counts,
            duration_s=1.92,
            revision="5ee353d6ef+e375",
        )
        for n in range(3)
    ]
    terminal.show(RunsView(view="runs", runs=rows))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert len(lines) <= 2 + 3 * most
    told = "17 failed, 4 error, 1 xfailed, 4 skipped, 19 passed, 2 subtests_failed"
    whole = [
        f"2026-11-28 12:08 collection_failed {told} 1.92 5ee353d6ef+e375 01a2220{n}-de35" for n in range(3)
    ]
    names = "when (UTC) status tests seconds revision run"
    assert " ".join(lines).split() == " ".join([names, *whole]).split()


def test_no_command_of_a_person_waits_for_what_serves_agents():
    code = "import sys, pytest_recall.cli.terminal; print(sorted({'mcp', 'chromadb'} & sys.modules.keys()))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
