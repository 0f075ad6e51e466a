"""A report of coverage, read: the change first, the worst files kept, and whatever is no report refused."""

import contextlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_recall.answers import run as answers
from pytest_recall.answers.covered import covered
from pytest_recall.history import trend
from pytest_recall.history.patch import read_diff
from pytest_recall.meaning import Report
from pytest_recall.model import (
    ChangeCoverage,
    Coverage,
    Environment,
    FileCoverage,
    Finished,
    Revision,
    Run,
    RunRequest,
    Status,
    Target,
)
from pytest_recall.running import covering
from pytest_recall.store import codec, shape
from pytest_recall.store.roster import Roster

MEASURED = Coverage(
    percent=91.25,
    statements=400,
    missed=35,
    measured=12,
    files=tuple(
        FileCoverage(path=f"src/shop/module_{n}.py", statements=40, missed=9 - n, missing="3-5, 9, 12-20")
        for n in range(9)
    ),
    change=ChangeCoverage(lines=12, covered=9, uncovered=(("src/shop/cart.py", "31-33"),)),
    before=91.5,
    by="pytest-cov 7.1.0",
)


def run(**more) -> Run:
    return Run(
        id="01a1fd6a-95df-7cbe-8579-303075f20c01",
        started_at=1.0,
        duration_s=1.5,
        target=Target(
            root="/home/me/a-project", python="/home/me/a-project/.venv/bin/python", source=".venv"
        ),
        rootdir="/home/me/a-project",
        request=RunRequest(coverage=True),
        status=Status.PASSED,
        terminations=(Finished(exit_code=0),),
        revision=Revision(digest="2169148ba0", commit="2169148ba0aa", dirty=True),
        environment=Environment(python="3.11.7", pytest="9.2.0"),
        **more,
    )


def report(**files) -> dict:
    """A report in the format of `coverage json`: path → (executed, missing)."""
    told = {
        path: {
            "executed_lines": executed,
            "missing_lines": missing,
            "summary": {"num_statements": len(executed) + len(missing), "missing_lines": len(missing)},
        }
        for path, (executed, missing) in files.items()
    }
    statements = sum(one["summary"]["num_statements"] for one in told.values())
    missed = sum(one["summary"]["missing_lines"] for one in told.values())
    percent = 100 * (statements - missed) / max(statements, 1)
    totals = {"percent_covered": percent, "num_statements": statements, "missing_lines": missed}
    return {"totals": totals, "files": told}


def test_a_change_is_told_by_its_own_lines():
    diff = """\
diff --git a/a.py b/a.py
--- a/a.py
+++ b/a.py
@@ -1,3 +1,4 @@
 one
-two
+zwei
+drei
 four
@@ -10,0 +12,2 @@
+elf

diff --git a/gone.py b/gone.py
--- a/gone.py
+++ /dev/null
@@ -1 +0,0 @@
-x
"""
    [here, gone] = read_diff(diff)
    assert (here.path, here.lines) == ("a.py", [2, 3, 12])
    assert gone.lines == []
    found = covering.read(report(**{"a.py": ([1, 2, 4], [3, 12, 30])}), {"a.py": here.lines})
    assert found.change == ChangeCoverage(lines=3, covered=1, uncovered=(("a.py", "3, 12"),))


def test_a_large_project_is_kept_within_bounds():
    many = {f"m{n}.py": (list(range(1, 50)), list(range(1000, 1000 + 2 * n, 2))) for n in range(1, 2000)}
    found = covering.read(report(**many), {path: [1000] for path in many})
    assert found.measured == 1999
    assert len(found.files) == 300
    assert found.files[0].missed == 1999
    assert all(len(one.missing) < 450 for one in found.files)
    assert found.files[0].missing.endswith("more")
    assert found.change is not None
    assert len(found.change.uncovered) <= 200


@given(st.sets(st.integers(1, 400), max_size=120))
def test_ranges_name_every_line_and_no_other(lines):
    text = covering.ranges(sorted(lines), most=10_000)
    told = set()
    for part in text.split(", ") if text else ():
        first, _, last = part.partition("-")
        told |= set(range(int(first), int(last or first) + 1))
    assert told == lines


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON)
def test_what_is_no_report_is_refused_and_never_more(totals, files):
    for content in ({"totals": totals, "files": files}, {"totals": totals, "files": {"a.py": files}}):
        with contextlib.suppress(*covering.NO_REPORT):
            assert covering.read(content, {}).percent <= 100


def test_a_percentage_that_is_none_is_refused():
    for percent in (math.nan, math.inf, -1, 101, "much"):
        content = report(**{"a.py": ([1], [2])})
        content["totals"]["percent_covered"] = percent
        with pytest.raises(covering.NO_REPORT):
            covering.read(content, {})


def test_history_keeps_it_and_reads_what_older_versions_kept():
    here = run(coverage=MEASURED)
    packed = codec.pack(here)
    assert codec.unpack(packed, lambda _: Roster(())) == here
    assert trend.row(here).coverage == 91.25
    older = json.loads(packed.head)
    del older["run"]["coverage"], older["run"]["request"]["coverage"]
    before = codec.unpack(codec.Packed(head=json.dumps(older).encode(), columns=b""), lambda _: Roster(()))
    assert before.coverage is None
    assert before.request == RunRequest()
    row = shape.dump(trend.row(here))
    del row["coverage"]
    assert shape.load(type(trend.row(here)), row).coverage is None


def test_runs_under_coverage_are_an_environment_of_their_own():
    """They are slower: their durations say nothing beside those of other runs."""
    plain = shape.load(Run, shape.dump(run()) | {"request": {}})
    assert trend.row(plain).environment != trend.row(run()).environment
    assert trend.row(plain).scope == trend.row(run()).scope


def test_an_answer_tells_the_change_first_and_stays_small():
    green = answers.answer(Report(run=run(coverage=MEASURED)))
    assert answers.size(green) <= answers.GREEN + answers.MEASURED
    assert green.coverage is not None
    assert green.coverage.uncovered == ["src/shop/cart.py: 31-33"]
    assert green.coverage.change == "9 of 12 changed lines covered"
    assert green.coverage.before == 91.5
    assert green.coverage.worst[0] == "src/shop/module_0.py 78 %: 3-5, 9, 12-20"
    full = answers.answer(Report(run=run(coverage=MEASURED)), full=True)
    assert full.coverage is not None
    assert len(full.coverage.worst) == 9
    assert full.coverage.by == "pytest-cov 7.1.0"


def test_text_of_a_report_is_cleaned():
    nasty = FileCoverage(
        path="\x1b[31msrc/\u202eevil\x07.py" + "x" * 500, statements=2, missed=1, missing="1"
    )
    made = covered(Coverage(percent=50.0, statements=2, missed=1, files=(nasty,)), entries=1, lines=80)
    assert made is not None
    assert "\x1b" not in made.worst[0]
    assert "\u202e" not in made.worst[0]
    assert len(made.worst[0]) < 200
