"""Fingerprints survive what changes between runs, and part what is another failure."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_recall.history.fingerprint import document, fingerprint, normalise
from pytest_recall.model import Failure, Fingerprint, Frame

ROOT = "/home/ada/shop"


def of(
    message="assert 3 == 4",
    *,
    exception="AssertionError",
    path="tests/test_a.py",
    line=3,
    source="assert total(x) == 4",
    test_id="tests/test_a.py::test_total",
    root=ROOT,
) -> Fingerprint:
    frames = [
        Frame(path=path, line=line, source=source, project=True),
        Frame(path="/x/lib/python3.11/site-packages/attr/_make.py", line=9, source="raise e"),
    ]
    return fingerprint(exception=exception, message=message, frames=frames, root=root, test_id=test_id)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("\x1b[31massert\x1b[0m 1\r\n  == 2", "assert 1 == 2"),
        ("<function merge at 0x7f232dae9760>", "<function merge at <addr>>"),
        (
            "<shop.tests....x7f32e9046e90> == <shop.tests....3074290>",
            "<shop.tests....<addr>> == <shop.tests....<addr>>",
        ),
        ("job 123e4567-e89b-12d3-a456-426614174000 died", "job <uuid> died"),
        ("commit 9f3c2ab and deadbeef and 1234567", "commit <hex> and deadbeef and 1234567"),
        ("at 2026-03-02T10:11:12.123+01:00 or 10:11:12", "at <time> or <time>"),
        ("'/tmp/pytest-of-ada/pytest-12/test_x0/conf.ini'", "'<tmp>/conf.ini'"),
        ("/private/var/folders/zz/ab/T/tmpa1b2c3d4", "<tmp>"),
        (r"C:\Users\ada\AppData\Local\Temp\a\conf.ini", "<tmp>/conf.ini"),
        ("/home/ada/shop/src/a.py", "<root>/src/a.py"),
        ("/home/ada/shopping/a.py", "/home/ada/shopping/a.py"),
        ("/opt/v/lib/python3.11/site-packages/attr/_make.py", "<site>/attr/_make.py"),
        ("/home/ada/shop/.venv/lib/python3.11/site-packages/a.py", "<site>/a.py"),
        ('File "a.py", line 12, in f; a.py:12: in g', 'File "a.py", line <n>, in f; a.py:<n>: in g'),
        ("[gw3] pid 123, port=8080, localhost:43211", "[gw<n>] pid <n>, port=<n>, localhost:<n>"),
        ("('127.0.0.1', 43211) refused", "('127.0.0.1', <n>) refused"),
        ("took 1.25s after 300 ms", "took <duration> after <duration>"),
        ("<MagicMock name='f' id='140234567'>", "<MagicMock name='f' id='<n>'>"),
        ("{'b', 'a'} != {'d': 2, 'c': 1}", "{'a', 'b'} != {'c': 1, 'd': 2}"),
        ("'" + "x" * 70 + "'", "'" + "x" * 64 + "…'"),
    ],
)
def test_normalise_drops_the_accidents_of_one_run(text, plain):
    assert normalise(text, root=ROOT) == plain


@pytest.mark.parametrize(
    "text",
    [
        "HTTP status 404 Not Found",
        "[Errno 2] No such file or directory: 'config.toml'",
        "exit code 137",
        "assert 3 == 4",
        "KeyError: 'user_id'",
        "'Box' object has no attribute 'lid'",
        "assert [1, 2, 30] == [1, 2, 31]",
    ],
)
def test_normalise_keeps_what_tells_failures_apart(text):
    assert normalise(text, root=ROOT) == text


WORDS = [
    "0x1f",
    "abc1234",
    "/tmp/x",
    "/root",
    "/a.py",
    ":",
    "12",
    "s",
    "{",
    "}",
    ",",
    "'",
    '"',
    "line",
    "pid",
    "localhost",
    "port=",
    "gw1",
    "2026-01-02",
    "site-packages",
]
PIECES = st.lists(
    st.sampled_from([*WORDS, " ", " ", ", ", "\x1b[0m", "\x1b", "\\", "id=", "C:", "\n", "é"])
).map("".join)


@given(st.one_of(st.text(), PIECES))
@example("\x1b\x1b[0m[31m")
@example("{80, '127.0.0.1'}")
def test_normalise_is_total_and_idempotent(text):
    once = normalise(text, root="/root")
    assert normalise(once, root="/root") == once
    assert "\n" not in once
    once.encode("utf-8")


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "0",
        "{",
        "'",
        '"',
        "/",
        "/a",
        "\x1b[",
        "\x1b]",
        ":1",
        "0x",
        "a-",
        "{'",
        "1.",
        " 1",
        "id=",
        "a'",
        "pid ",
        "2026-01-01T",
    ],
)
def test_hostile_text_takes_linear_time(unit):
    begin = time.process_time()
    normalise(unit * 400_000, root="/a")
    assert time.process_time() - begin < 1.0


def test_moved_code_keeps_its_fingerprints():
    assert of(line=3) == of(line=40)


def test_another_checkout_and_address_keep_the_fingerprints():
    here = of("<Box at 0x7f01> in '/home/ada/shop/x.db'")
    there = of("<Box at 0x9a02> in '/ci/build/shop/x.db'", root="/ci/build/shop")
    assert here == there


def test_later_lines_of_the_message_do_not_count():
    assert of("assert 3 == 4\n +  where 3 = f()") == of("assert 3 == 4\n +  where 3 = g()")


def test_another_test_shares_the_group_only():
    one, two = of(), of(test_id="tests/test_a.py::test_other")
    assert one.group == two.group
    assert one.strict != two.strict


@pytest.mark.parametrize(
    "change",
    [{"exception": "KeyError"}, {"message": "assert 3 == 5"}, {"path": "b.py"}, {"source": "assert 1"}],
)
def test_another_cause_is_another_group(change):
    assert of(**change).group != of().group


def test_another_message_keeps_the_loose_fingerprint():
    assert of("assert 3 == 5").loose == of().loose


def test_fingerprints_carry_their_version():
    assert all(re.fullmatch(r"fp1:[0-9a-f]{12}", value) for value in (of().group, of().strict, of().loose))


def test_failure_without_frames_has_a_fingerprint():
    bare = fingerprint(exception="E", message="", frames=(), root="", test_id="t")
    assert bare.group.startswith("fp1:")


def test_document_is_bounded_and_names_the_failing_line():
    frames = tuple(Frame(path="a.py", line=n, source="é" * 900, project=True) for n in range(60))
    failure = Failure(
        phase="call",
        exception="KeyError",
        message="\udcff" + "word " * 40_000,
        fingerprint=of(),
        frames=(*frames, Frame(path="b.py", line=1, source="return box[key]", project=True)),
    )
    text = document(failure, root=ROOT)
    assert len(text.encode("utf-8")) <= 12 * 1024
    assert "b.py" in text
    assert "return box[key]" in text


def test_document_ends_with_the_end_of_the_rendering():
    text = "def test_a():\n" + "    x = 1\n" * 900 + ">       assert pluck(0x7f32e9046e90)\n"
    failure = Failure(phase="call", exception="E", message="m", fingerprint=of(), text=text)
    found = document(failure)
    assert found.endswith("assert pluck(<addr>)")
    assert len(found) < 2_100


def test_a_cause_is_told_by_the_beginning_of_its_message_whoever_read_it() -> None:
    """A run of ours and one that was imported bound their texts differently, and mean the same failure."""
    frames = (Frame(path="test_a.py", line=1, source="assert text == other", project=True),)
    long, cut = (
        fingerprint(exception="ValueError", message="v" * size, frames=frames, root="", test_id="t")
        for size in (24_000, 2_000)
    )

    assert long == cut
