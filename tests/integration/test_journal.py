"""The journal: what is written is there for good, and what is not ours does no harm."""

from __future__ import annotations

import contextlib
import errno
import os
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_recall.errors import StoreUnavailable, UnreadableRun, WithheldRun
from pytest_recall.model import (
    Attempt,
    Environment,
    Finished,
    Outcome,
    Revision,
    Run,
    RunFiles,
    RunRequest,
    Status,
    Target,
)
from pytest_recall.model import Test as Ran
from pytest_recall.store import damage
from pytest_recall.store.ids import Ids, new_id
from pytest_recall.store.journal import Journal


def a_run(tests: int = 3, **fields: object) -> Run:
    run = Run(
        id=new_id(time.time),
        started_at=time.time(),
        duration_s=1.0,
        target=Target(root="/p", python="/p/bin/python", source=".venv"),
        rootdir="/p",
        request=RunRequest(intent="prove it"),
        status=Status.PASSED,
        terminations=(Finished(exit_code=0),),
        revision=Revision(digest="r"),
        environment=Environment(os="linux"),
        collected=tests,
        tests=tuple(
            Ran(id=f"t.py::test_{n}", attempts=(Attempt(outcome=Outcome.PASSED, call_s=0.5, order=n),))
            for n in range(tests)
        ),
    )
    return replace(run, **fields)


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "s")


def test_written_run_is_read_again_with_its_files_and_its_row(journal):
    run, files = a_run(), RunFiles(output=b"\xffout", report=b'{"a": 1}')
    path = journal.write(run, files)
    other = Journal(journal.folder)
    assert other.run(run.id) == run
    assert other.files(run.id) == files
    assert other.row(path).counts == {"passed": 3, "collected": 3}
    assert other.row(path).intent == "prove it"


def test_folder_is_private_and_out_of_git(journal):
    assert journal.folder.stat().st_mode & 0o777 == 0o700
    assert (journal.folder / ".gitignore").read_text() == "*\n"


def test_writer_of_a_folder_stays_the_same(journal):
    assert Journal(journal.folder).writer == journal.writer
    assert Journal(journal.folder.with_name("other")).writer != journal.writer


@pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="tells files by their descriptors, as Linux does"
)
def test_name_of_the_writer_is_forced_to_the_disk(tmp_path, monkeypatch):
    forced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: forced.append(str(Path(f"/proc/self/fd/{fd}").readlink())))
    journal = Journal(tmp_path)
    assert [path for path in forced if ".writer." in path]
    assert str(journal.folder) in forced, "its entry in the folder, too"


def test_runs_of_one_suite_share_their_list_of_tests(journal):
    sizes = [journal.write(a_run(2000)).stat().st_size for _ in range(3)]
    assert len(list((journal.folder / "rosters").iterdir())) == 1
    assert max(sizes) < 4_000


def test_damaged_list_of_tests_is_told_and_mended_by_the_next_run_that_has_it(journal):
    run = a_run(500)
    journal.write(run)
    (roster,) = (journal.folder / "rosters").iterdir()
    roster.write_bytes(b"torn")
    with pytest.raises(UnreadableRun, match="missing or damaged"):
        Journal(journal.folder).run(run.id)
    Journal(journal.folder).write(a_run(500))
    assert Journal(journal.folder).run(run.id).tests[7].id == "t.py::test_7"


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "x" * 36, "019A0000-0000-7000-8000-000000000000"])
def test_what_is_no_run_id_touches_no_path(journal, name):
    assert journal.run(name) is None
    assert journal.files(name) is None
    with pytest.raises(UnreadableRun):
        journal.write(a_run(id=name))


def test_runs_come_newest_first_from_both_folders(journal):
    runs = [a_run() for _ in range(5)]
    paths = [journal.write(run) for run in runs]
    for path in paths[:2]:
        journal.settle(path)
    newest = [run.id for run in reversed(runs)]
    assert [run.id for run in journal.recent(10)] == newest
    assert [run.id for run in journal.recent(2, before=newest[1])] == newest[2:4]
    assert journal.pending() == paths[2:]
    assert [path.name for path in journal.settled()] == [path.name for path in paths[:2]]


def test_folders_are_listed_again_only_where_their_times_tell_of_a_change(journal):
    other = Journal(journal.folder)  # of another process
    first, second = a_run(), a_run()
    journal.settle(journal.write(first))
    assert len(journal.paths()) == 1
    still = time.time() - 10
    for folder in (journal.inbox, journal.runs):
        os.utime(folder, (still, still))
    known = journal.paths()
    assert journal.paths() is known
    assert journal.settled() is journal.settled()
    other.write(second)
    assert len(journal.paths()) == 2
    other.settle(other.pending()[0])
    assert [path.stem for path in journal.settled()] == [first.id, second.id]
    other.forget([journal.runs / f"{first.id}.run"], time.time())
    assert [path.stem for path in journal.paths()] == [second.id]


def test_size_is_told_while_another_process_keeps_runs(journal, monkeypatch):
    path = journal.write(a_run())
    names = [*journal.inbox.iterdir(), journal.inbox / ".gone.run.0000"]
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter(names if folder == journal.inbox else ()))
    assert journal.size() == path.stat().st_size


@pytest.mark.parametrize("part", ["inbox", "runs", "rosters", "broken"])
def test_folder_that_may_not_be_looked_into_is_told_at_the_door_and_later(journal, monkeypatch, part):
    scandir = os.scandir

    def withheld(folder: Path) -> object:
        if folder == journal.folder / part:
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", withheld)  # root may look everywhere
    with pytest.raises(StoreUnavailable, match=r"cannot be kept .* Permission denied"):
        Journal(journal.folder)
    if part in {"inbox", "runs"}:
        with pytest.raises(StoreUnavailable, match=f"{part}' cannot be read: Permission denied"):
            journal.paths()
    assert journal.aside() == []


def test_run_that_the_system_withholds_is_no_torn_one(journal):
    run = a_run(500)
    path = journal.write(run)
    (roster,) = (journal.folder / "rosters").iterdir()
    for file in (path, roster):
        aside = file.with_name("aside")
        file.rename(aside)
        file.symlink_to(file)  # nobody may open it, not even root
        with pytest.raises(WithheldRun, match="just now"):
            Journal(journal.folder).read(path)
        file.unlink()
        aside.rename(file)
    assert Journal(journal.folder).read(path) == run


@pytest.mark.parametrize("text", [None, "", '{"counts": {"runs": 3', "[]", '{"counts": {}}'])
def test_index_that_does_not_tell_what_it_holds_may_hold_more_than_the_journal(journal, text):
    assert journal.indexed() == 0, "there is none"
    (journal.folder / "chroma").mkdir()
    if text is not None:
        (journal.folder / "chroma" / "recall.json").write_text(text)
    assert journal.indexed() is None
    (journal.folder / "chroma").rename(journal.folder / "chroma.old")
    assert journal.indexed() is None, "a new one was about to take its place"


def test_settling_what_another_process_settled_is_no_error(journal):
    path = journal.write(a_run())
    journal.settle(path)
    journal.settle(path)
    assert journal.read(path).id == path.stem, "a path of the inbox still finds the run"


def zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("run.json", "w") as member:
        for _ in range(300):
            member.write(bytes(1 << 20))


def other_compression(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("run.json", b"{}")


HOSTILE = {
    "empty": lambda path: path.write_bytes(b""),
    "noise": lambda path: path.write_bytes(os.urandom(2000)),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:200]),
    "bomb": zip_bomb,
    "lzma": other_compression,
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "device": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    "link to a pipe": lambda path: (
        path.unlink(),
        os.mkfifo(path.with_suffix(".p")),
        path.symlink_to(f"{path.stem}.p"),
    ),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_hostile_file_is_skipped_and_told(journal, how):
    good, bad = a_run(), a_run()
    journal.write(good)
    path = journal.write(bad)
    HOSTILE[how](path)
    with pytest.raises(UnreadableRun):
        journal.run(bad.id)
    with pytest.raises(UnreadableRun):
        journal.row(path)
    assert [run.id for run in journal.recent(5)] == [good.id]


@pytest.mark.parametrize("at", range(0, 600, 37))
def test_flipped_byte_is_noticed_or_harmless(journal, at):
    run = a_run(2)
    path = journal.write(run)
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 0xFF
    path.write_bytes(data)
    with contextlib.suppress(UnreadableRun):
        assert journal.run(run.id) == run


def test_run_under_another_runs_name_is_refused(journal):
    first, second = a_run(), a_run()
    path = journal.write(first)
    path.rename(path.with_name(f"{second.id}.run"))
    with pytest.raises(UnreadableRun, match="another run"):
        journal.run(second.id)


def test_unreadable_files_are_set_aside_and_the_oldest_of_them_forgotten(journal):
    for _ in range(25):
        journal.set_aside(journal.write(a_run()))
    assert journal.pending() == []
    assert len(list((journal.folder / "broken").iterdir())) == 20


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        ({"count": 2}, 2),
        ({"size_bytes": 1}, 0),
        ({"age_s": 1800.0}, 3),
        ({}, 5),
    ],
)
def test_oldest_runs_are_forgotten_beyond_a_limit_and_the_inbox_never(journal, limits, left):
    for age in (7200, 7200, 60, 60, 60):
        path = journal.write(a_run())
        journal.settle(path)
        then = time.time() - age
        os.utime(journal.runs / path.name, (then, then))
    waiting = journal.write(a_run())
    newest = [path.name for path in journal.settled()][::-1]
    limits = {"count": 100, "age_s": 1e6, "size_bytes": 1 << 30} | limits
    leaving = journal.leaving(**limits, now=time.time())
    assert len(leaving) == 5 - left
    journal.forget(leaving, time.time())
    assert [path.name for path in journal.settled()][::-1] == newest[:left]
    assert journal.pending() == [waiting]


def test_lists_of_tests_that_no_run_needs_are_forgotten_with_the_last_of_them(journal):
    for count in (300, 400):
        journal.settle(journal.write(a_run(count)))
    tomorrow = time.time() + 86_400
    assert len(list((journal.folder / "rosters").iterdir())) == 2
    journal.forget(journal.leaving(count=1, age_s=1e9, size_bytes=1 << 30, now=tomorrow), tomorrow)
    assert len(list((journal.folder / "rosters").iterdir())) == 1
    (path,) = journal.settled()
    assert len(Journal(journal.folder).read(path).tests) == 400


def test_what_a_dead_writer_left_behind_is_swept_away(journal):
    (journal.inbox / ".half.run.1234").write_bytes(b"half")
    journal.forget((), time.time())
    assert list(journal.inbox.iterdir()), "it may still be in the making"
    journal.forget((), time.time() + 86_400)
    assert not list(journal.inbox.iterdir())


def test_place_that_cannot_be_written_is_told_with_a_remedy(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="PYTEST_RECALL_STORE_FOLDER"):
        Journal(tmp_path / "file" / "s")


def test_full_disk_is_told_and_leaves_nothing_behind(journal, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailable, match="No space left"):
        journal.write(a_run())
    assert list(journal.inbox.iterdir()) == []


def test_new_run_follows_the_newest_one_though_its_clock_was_ahead(journal):
    ahead = a_run(id=Ids().new(lambda: time.time() + 80_000))
    journal.write(ahead)
    later = [journal.new_id() for _ in range(3)]
    assert [ahead.id, *later] == sorted({ahead.id, *later})


@pytest.mark.parametrize("days", [1.1, 300, 60_000])
def test_run_of_a_day_to_come_is_neither_followed_nor_told_of_and_stays(journal, days):
    now, far = a_run(), a_run(id=Ids().new(lambda: time.time() + days * 86_400))
    journal.write(now)
    path = journal.write(far)
    assert [path.stem for path in journal.paths()] == [now.id]
    assert now.id < journal.new_id() < far.id
    assert journal.ahead() == [f"inbox/{far.id}.run"]
    assert path.stem in " ".join(damage.told(journal, {}, 0))
    journal.settle(path)
    assert journal.leaving(count=0, age_s=0, size_bytes=0, now=time.time() + 1) == []
    assert journal.run(far.id) == far


@given(st.floats(0, 4e9), st.lists(st.floats(0, 80_000), min_size=1, max_size=20))
def test_ids_rise_though_the_clock_goes_back_by_most_of_a_day(begin, times):
    made = Ids()
    ids = [made.new(iter([begin + moment]).__next__) for moment in times]
    assert ids == sorted(set(ids))
    assert {name[14] for name in ids} == {"7"}
    assert {name[19] in "89ab" for name in ids} == {True}
