"""What was learnt costs its reader little, whatever was changed and whoever wrote the note."""

from dataclasses import replace

import pytest

from pytest_recall import model
from pytest_recall.answers import learnt
from pytest_recall.answers import run as ran
from pytest_recall.history import groups, verdict
from pytest_recall.history.fingerprint import fingerprint
from pytest_recall.meaning import Explained, Report
from pytest_recall.model import (
    Attempt,
    Change,
    Environment,
    Failure,
    Finished,
    Frame,
    Note,
    Outcome,
    Revision,
    Run,
    RunRequest,
    Status,
    Target,
    Transition,
)

HUNK = "@@ -1,7 +1,7 @@\n kept\n kept\n-    return a - b\n+    return a + b\n kept\n"


def transition(**fields) -> Transition:
    made = {
        "test": "tests/test_cart.py::test_total",
        "fingerprint": "fp1:aaaaaaaaaaaa",
        "red": Revision(digest="r" * 32),
        "green": Revision(digest="9d01" * 8, commit="3f2a91c08b" * 4, dirty=True),
        "red_run": "r1",
        "green_run": "r2",
        "at": 1_760_000_000.0,
        "failed": 3,
        "intents": ("add rebates", "round half up"),
        "changes": (
            Change(path="shop/cart.py", scope="imported", hunks=HUNK),
            Change(path="README.md", scope="other", hunks="@@ other @@"),
        ),
    }
    return Transition(**(made | fields))


def note(**fields) -> Note:
    made = {"id": "n", "about": "x", "kind": "remedy", "text": "use Decimal", "at": 1_760_000_000.0}
    return Note(**(made | fields))


def test_a_fix_names_its_revision_files_nearest_hunk_and_intents():
    told = learnt.fix(transition(state="confirmed", grade="B"), hunk=400, intents=2, files=3)
    assert told.model_dump(exclude_defaults=True) == {
        "at": "2025-10-09 08:53",
        "revision": "3f2a91c08b+9d01",
        "state": "confirmed",
        "grade": "B",
        "files": ["shop/cart.py", "README.md"],
        "hunk": HUNK.strip(),
        "intents": ["add rebates", "round half up"],
    }


def test_a_long_hunk_is_told_without_the_lines_that_stayed():
    changes = (Change(path="a.py", scope="imported", hunks=HUNK.replace(" kept\n", " kept\n" * 500)),)
    assert (
        learnt.fix(transition(changes=changes), hunk=200, intents=0, files=1).hunk
        == "-    return a - b\n+    return a + b"
    )


def test_notes_say_who_said_it_when_and_whether_it_worked():
    told = learnt.notes([note(worked=True, author="an agent 1.0"), note(text="x" * 9_999)], number=5, most=50)
    assert told[0] == "remedy (worked), 2025-10-09 08:53, an agent 1.0: use Decimal"
    assert len(told[1]) < 100


def failed(number: int) -> model.Test:
    message = f"KeyError: 'missing_{number}' " + "because of this and that " * 40
    frames = tuple(
        Frame(
            path=f"src/pkg/mod_{number}.py",
            line=n,
            function=f"step_{n}",
            source=f"step_{n}(order)",
            project=True,
        )
        for n in range(8)
    )
    failure = Failure(
        phase="call",
        exception="KeyError",
        message=message,
        frames=frames,
        captured=(("Captured stdout call", "printed\n" * 200),),
        fingerprint=fingerprint(exception="KeyError", message=message, frames=frames, root="/p", test_id=f"t{number}"),
    )  # fmt: skip
    name = f"tests/unit/test_orders.py::TestOrders::test_case_{number}[a-long-parameter-{number}]"
    return model.Test(id=name, attempts=(Attempt(outcome=Outcome.FAILED, failures=(failure,)),))


@pytest.mark.parametrize(("causes", "most"), [(1, 1_500), (5, 2_500), (40, 8_000)])
def test_a_concise_answer_keeps_its_bound_with_fixes_and_notes(causes, most):
    tests = [failed(number) for number in range(causes)]
    run = Run(
        id="01968f3e-1c00-7abc-8def-0123456789ab",
        started_at=1.0,
        duration_s=1.0,
        target=Target(root="/p", python="/p/.venv/bin/python", source=".venv"),
        rootdir="/p",
        request=RunRequest(),
        status=Status.FAILED,
        terminations=(Finished(exit_code=1),),
        revision=Revision(digest="d" * 32, commit="c" * 40, dirty=True),
        environment=Environment(pytest="9.2.0"),
        collected=causes,
        tests=tuple(tests),
    )
    large = tuple(
        Change(path="p/" * 200 + f"{n}.py", scope="imported", hunks="-\x1b[1m\n+x\n" * 9_000)
        for n in range(50)
    )
    fix = transition(
        changes=large, intents=("i" * 500,) * 10, weakened=("assertion removed (" + "p/" * 400 + ")",) * 9
    )
    notes = (note(text="n\n" * 2_000, author="a" * 100),) * 50
    found = groups.group(run)
    explained = tuple(
        Explained(group=group, judgement=judgement, seen=None, fix=fix, notes=notes)
        for group, judgement in zip(found, verdict.judge_groups(found, {}, run), strict=True)
    )
    report = Report(run=run, groups=explained, notes=notes)
    answer = ran.answer(report)
    assert ran.size(answer) <= most
    assert len(answer.failures) >= min(causes, 8)
    assert ran.size(ran.answer(report, full=True)) <= ran.FULL
    alone = ran.answer(
        replace(
            report,
            notes=(),
            groups=tuple(replace(one, fix=transition(), notes=notes[:1]) for one in explained[:1]),
        )
    )
    assert alone.failures[0].fix is not None
    assert "+    return a + b" in alone.failures[0].fix.hunk
