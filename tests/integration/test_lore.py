"""Fixes and notes on disk: the newest state counts, hostile files are set aside, and nothing grows without end."""

import json
import os
import time
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_recall.errors import StoreUnavailable, UnreadableLore
from pytest_recall.model import Change, Fate, Note, Revision, Transition
from pytest_recall.store import lore as kept
from pytest_recall.store.ids import new_id
from pytest_recall.store.lore import Lore, key


def note(text: str = "the cart rounds down", **fields) -> Note:
    made = Note(id=new_id(time.time), about="t.py::test_a", kind="diagnosis", text=text, at=1.0)
    return replace(made, **fields)


def transition(number: int = 1, **fields) -> Transition:
    made = Transition(
        test=f"t.py::test_{number}",
        fingerprint="fp1:aaaaaaaaaaaa",
        red=Revision(digest=f"red{number}", tree="a" * 40),
        green=Revision(digest=f"green{number}"),
        red_run="r1",
        green_run="r2",
        at=2.0,
        failed=3,
        intents=("round half up",),
        changes=(Change(path="shop/cart.py", scope="imported", hunks="@@ -1 +1 @@\n-a\n+b\n"),),
    )
    return replace(made, **fields)


def test_what_was_learnt_is_there_for_another_process(tmp_path):
    Lore(tmp_path).keep([transition(), note()])
    other = Lore(tmp_path)
    assert other.transitions() == [transition()]
    assert [one.text for one in other.notes()] == ["the cart rounds down"]


def test_newest_state_of_a_transition_counts(tmp_path):
    lore = Lore(tmp_path)
    lore.keep([transition(1), transition(2)])
    lore.keep([transition(1, state="confirmed", grade="B")])
    assert {(one.test, one.state) for one in lore.transitions()} == {
        ("t.py::test_1", "confirmed"),
        ("t.py::test_2", "candidate"),
    }


def test_newest_state_counts_though_a_clock_was_ahead(tmp_path, monkeypatch):
    now = time.time
    with monkeypatch.context() as clock:
        clock.setattr(time, "time", lambda: now() + 80_000)
        Lore(tmp_path).keep([transition(state="candidate")])
    Lore(tmp_path).keep([transition(state="confirmed")])
    with monkeypatch.context() as clock:
        clock.setattr(time, "time", lambda: now() + 1e9)
        Lore(tmp_path).keep([transition(state="refuted")])
    assert [one.state for one in Lore(tmp_path).transitions()] == ["confirmed"]


def test_text_of_any_kind_comes_back(tmp_path):
    text = "a\ud800b\x00\n\u202e" + "é" * 100
    Lore(tmp_path).keep([note(text, about="t.py::t[\udcff]")])
    [found] = Lore(tmp_path).notes()
    assert (found.text, found.about) == (text, "t.py::t[\udcff]")


GOOD = kept.codec.render(kept.shape.dump(kept._Kept(format=1, what=note())))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.integers(0, len(GOOD) - 1).map(lambda n: GOOD[:n]),
        st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.just("what"), x)).map(
            lambda value: json.dumps({"format": 1, "what": value}).encode()
        ),
    )
)  # fmt: skip
def test_hostile_bytes_give_one_clear_error(tmp_path, data):
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(UnreadableLore, match=r"x\.json"):
        Lore(tmp_path).read(path)


def test_torn_file_is_set_aside_and_the_others_answer(tmp_path):
    lore = Lore(tmp_path)
    lore.keep([note("sound")])
    torn = tmp_path / "lore" / f"{new_id(time.time)}.json"
    torn.write_bytes(GOOD[:-5])
    assert [one.text for one in lore.notes()] == ["sound"]
    assert torn.name in lore.trouble
    assert not torn.exists()
    assert (tmp_path / "lore.broken" / torn.name).exists()


@pytest.mark.parametrize(
    "how", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"]
)
def test_what_would_never_end_is_set_aside_unread(tmp_path, how):
    lore = Lore(tmp_path)
    lore.keep([note("sound")])
    name = f"{new_id(time.time)}.json"
    how(tmp_path / "lore" / name)
    assert [one.text for one in lore.notes()] == ["sound"]
    assert "no regular file" in lore.trouble
    assert os.path.lexists(tmp_path / "lore.broken" / name)


def test_file_of_a_later_version_waits_for_it(tmp_path):
    lore = Lore(tmp_path)
    lore.keep([note()])
    later = tmp_path / "lore" / f"{new_id(time.time)}.json"
    later.write_text('{"format": 3, "what": "who knows"}')
    assert len(lore.all()) == 1
    assert later.exists()


def test_what_earlier_versions_know_is_written_as_they_wrote_it(tmp_path):
    Lore(tmp_path).keep([note(), Fate(test="t.py::gone", at=1.0)])
    written = [json.loads(path.read_bytes()) for path in sorted((tmp_path / "lore").iterdir())]
    assert [(one["format"], one["what"]["is"]) for one in written] == [(1, "Note"), (2, "Fate")]


def test_newest_are_kept_and_replaced_states_go_first(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "MOST", 4)
    monkeypatch.setattr(kept, "_SLACK", 0)
    lore = Lore(tmp_path)
    lore.keep([transition(1)])
    for failed in range(5):
        lore.keep([transition(2, failed=failed)])
    assert {one.test for one in lore.transitions()} == {"t.py::test_1", "t.py::test_2"}
    lore.keep([transition(number) for number in range(3, 9)])
    assert {one.test for one in lore.transitions()} == {f"t.py::test_{number}" for number in range(5, 9)}
    assert len(list((tmp_path / "lore").iterdir())) == 4


def test_newest_state_counts_wherever_it_was_learnt():
    old, new = transition(state="candidate"), transition(state="confirmed")
    mine = note()
    assert kept.merged({"1": old, "3": mine}, {"2": new}) == [new, mine]
    assert key(old) == key(new)


def test_a_folder_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "lore").write_text("a file")
    with pytest.raises(StoreUnavailable, match="cannot be kept"):
        Lore(tmp_path).keep([note()])
    assert Lore(tmp_path).all() == {}
