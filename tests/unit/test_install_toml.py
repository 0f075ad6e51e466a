"""TOML: one table goes in or out, and comments, order and line ends stay."""

import pytest

from pytest_recall.install import toml
from pytest_recall.install.text import Broken

KEYS = ("mcp_servers", "pytest-recall")
ENTRY = {"command": r"C:\a b\ü.exe", "args": ["serve", "--project", "x"]}

TEXTS = {
    "empty": "",
    "plain": 'model = "gpt"  # the good one\n',
    "others": '[mcp_servers.docs]\ncommand = "npx"\n[mcp_servers.docs.env]\nA = "1"\n\n[tui] # odd\nx = 1\n',
    "out of order": '[mcp_servers.a]\ncommand = "a"\n[tui]\nx = 1\n[mcp_servers.b]\ncommand = "b"\n# the end\n',
    "dotted": 'mcp_servers.a.command = "a"\n[tui]\nx = 1\n',
    "arrays": 'notify = [\n  "a", # one\n]\n\n[[hooks]]\nx = 1979-05-27T07:32:00Z\n',
}


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_what_was_put_in_can_be_taken_out_to_the_last_character(text, ends):
    text = text.replace("\n", ends)
    new = toml.put(text, KEYS, ENTRY)
    assert new.startswith(text)
    assert new.count("\n") == new.count(ends) if text else True
    servers = toml.read(text).get("mcp_servers", {})
    assert toml.read(new) == toml.read(text) | {"mcp_servers": servers | {"pytest-recall": ENTRY}}
    assert toml.put(new, KEYS, ENTRY) == new
    assert toml.drop(new, KEYS) == text


def test_a_changed_value_keeps_its_neighbours_and_comments():
    text = (
        '[mcp_servers."pytest-recall"]\ncommand = "old" # mine\nstartup_timeout_sec = 30 # slow disk\n[z]\n'
    )
    assert toml.put(text, (*KEYS, "command"), "new") == text.replace("old", "new")


def test_an_inline_table_is_added_to():
    new = toml.put('mcp_servers = {a = {command = "x"}}\n[z]\nq = 1\n', KEYS, ENTRY)
    assert toml.read(new) == {
        "mcp_servers": {"a": {"command": "x"}, "pytest-recall": ENTRY},
        "z": {"q": 1},
    }


def test_what_stands_behind_a_table_stays_when_the_table_goes():
    added = '\n[mine] # later\nk = 1\n\n[mcp_servers.later]\ncommand = "x"\n'
    left = toml.drop(toml.put(TEXTS["plain"], KEYS, ENTRY) + added, KEYS)
    assert left.splitlines() == (TEXTS["plain"] + added).splitlines()


def test_mixed_line_ends_stay_mixed():
    text = "a = 1\r\nb = 2\n"
    assert toml.put(text, KEYS, ENTRY).startswith(text)


def test_taking_out_what_is_not_there_changes_nothing():
    for text in TEXTS.values():
        assert toml.drop(text, KEYS) == text


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a = 1\nb = \n", "line 2, column 5: Invalid value"),
        ('a = "x', "line 1, column 7: Unterminated string"),
        ("a = " + "[" * 5000, "line 1, column 1: tables or arrays are too deep"),
        ("a = 1\n[a]\n", "line 2, column 3: Cannot overwrite a value"),
    ],
    ids=["value", "end", "deep", "twice"],
)
def test_a_broken_text_is_refused_with_the_place(text, where):
    with pytest.raises(Broken) as caught:
        toml.put(text, KEYS, ENTRY)
    assert str(caught.value) == where


def test_a_table_that_is_none_is_refused():
    with pytest.raises(Broken, match="a table is expected, to hold 'pytest-recall'"):
        toml.put("mcp_servers = 3\n", KEYS, ENTRY)
