"""Which commit holds a fix: all of its nearest change, wherever its lines stand, and not half of it."""

import pytest

from pytest_recall.history.fixes import holds
from pytest_recall.history.patch import read_diff
from pytest_recall.model import Change, Revision, Transition
from pytest_recall.redact import redact


def fix(*changes: Change) -> Transition:
    return Transition(
        test="test_a.py::test_a",
        fingerprint="fp1:1",
        red=Revision(digest="r"),
        green=Revision(digest="g"),
        red_run="1",
        green_run="2",
        at=1.0,
        failed=1,
        changes=changes,
    )


def hunk(*lines: str) -> str:
    old, new = (sum(line[0] in sides for line in lines) for sides in ("- ", "+ "))
    return "\n".join([f"@@ -1,{old} +1,{new} @@", *lines]) + "\n"


def diff(**files: str) -> list:
    return read_diff("".join(f"--- a/{path}.py\n+++ b/{path}.py\n{text}" for path, text in files.items()))


LOADER = Change(
    path="loader.py", scope="imported", hunks=hunk(" a", "-    x = 1", "+    x = 2", "+    y = 2")
)


@pytest.mark.parametrize(
    ("committed", "held"),
    [
        ({"loader": hunk("-    x = 1", "+    x = 2", "+    y = 2")}, True),
        # Its red state was never committed, it stands elsewhere now, and more came with it.
        ({"loader": hunk("-    x = 0", "+    y = 2", "+    z = 3", "+    x = 2"), "other": hunk("+b")}, True),
        ({"loader": hunk("-    x = 1", "+    x = 2")}, False),
        ({"loader": hunk("-    x = 1", "+    x = 2", "+  y = 2")}, False),
        ({"other": hunk("+    x = 2", "+    y = 2")}, False),
        ({}, False),
    ],
)
def test_commit_holds_a_fix_when_it_has_every_line_of_it(committed, held):
    assert holds(fix(LOADER), diff(**committed)) is held


def test_what_was_changed_farther_away_need_not_be_in_it():
    notes = Change(path="notes.py", scope="other", hunks=hunk("+later"))
    commit = diff(loader=hunk("-    x = 1", "+    x = 2", "+    y = 2"))
    assert holds(fix(LOADER, notes), commit)
    near = Change(path="near.py", scope="imported", hunks=hunk("+b = 1"))
    assert not holds(fix(LOADER, near), commit)
    assert not holds(fix(), commit)


def test_lines_that_were_only_taken_away_must_be_taken_away_by_it():
    gone = Change(path="loader.py", scope="imported", hunks=hunk(" a", "-import late"))
    assert holds(fix(gone), diff(loader=hunk("-import late")))
    assert not holds(fix(gone), diff(loader=hunk("+import late")))


def test_a_fix_that_was_kept_without_its_secret_is_found_with_it():
    lines = hunk('-token = ""', '+token = "abcdefgh12345678"')
    kept = Change(path="loader.py", scope="imported", hunks=redact(lines))
    assert "abcdefgh" not in kept.hunks
    assert holds(fix(kept), diff(loader=lines))


def test_a_fix_that_was_too_long_to_be_kept_whole_is_found_by_what_was_kept():
    lines = hunk(*(f"+value_{number} = {number}" for number in range(2_000)))
    cut = Change(path="loader.py", scope="imported", hunks=lines[:20_000])
    assert holds(fix(cut), diff(loader=lines))
    assert not holds(fix(cut), diff(loader=hunk("+value_1 = 1")))
