"""JSON with comments: one member goes in or out, and every other character stays."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_recall.install import jsonc
from pytest_recall.install.text import Broken

ENTRY = {"command": "/a b/ü", "args": ["serve"]}
SHOWN = '"us": {\n    "command": "/a b/ü",\n    "args": [\n      "serve"\n    ]\n  }'

TEXTS = {
    "one line": '{"a": 1}',
    "lines": '{\n  "a": 1\n}\n',
    "tabs": '{\n\t"a": {\n\t\t"b": 1\n\t}\n}\n',
    "windows": '{\r\n    "a": [1,\r\n 2]\r\n}\r\n',
    "trailing comma": '{\n  "a": 1,\n}\n',
    "comment behind": '{\n  "a": 1 // the one, {\n}\n',
    "comment behind comma": '{\n  "a": 1, /* , */ // two\n}\n',
    "comment after all": '{\n  "a": 1\n  // "b": 2,\n}\n// the end',
    "comment first": "// mine\n{\n  // first\n  'no'.length\n".replace("  'no'.length\n", '  "a": 1\n}\n'),
    "brace behind": '{\n  "a": 1 }',
    "strings": '{\n  "a": "// no \\" comment, {",\n  "b": "ü\\u00e9\\n"\n}',
    "crowded": '{"a":1,"b":[{},[]],"c":{"d":null}}',
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_what_was_put_in_can_be_taken_out_to_the_last_character(text):
    new = jsonc.put(text, ("us",), ENTRY)
    assert jsonc.read(new) == jsonc.read(text) | {"us": ENTRY}
    assert jsonc.drop(new, ("us",)) == text


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_line_ends_and_indentation_are_the_files_own(text):
    new = jsonc.put(text, ("servers", "us"), ENTRY)
    assert new.count("\n") == new.count("\r\n") or "\r" not in new
    if "\t" in text:
        assert '\n\t"servers": {\n\t\t"us": {\n\t\t\t"command"' in new


def test_a_new_member_looks_like_its_neighbours():
    assert jsonc.put('{\n  "a": 1 // one\n}\n', ("us",), ENTRY) == '{\n  "a": 1, // one\n  ' + SHOWN + "\n}\n"
    assert jsonc.put('{"a": 1}', ("us",), [1]) == '{"a": 1, "us": [1]}'


@pytest.mark.parametrize("text", ["", "\n", "{}", "{ }\n", "// only words\n", "// no line end", "/* { */"])
def test_an_empty_text_becomes_an_object(text):
    new = jsonc.put(text, ("servers", "us"), ENTRY)
    assert jsonc.read(new) == {"servers": {"us": ENTRY}}
    assert new.startswith(text.strip().removesuffix("}").strip())


def test_a_comment_in_an_empty_object_stays():
    new = jsonc.put('{\n  "servers": {\n    // none yet\n  }\n}', ("servers", "us"), {"command": "x"})
    assert new == '{\n  "servers": {\n    // none yet\n    "us": {\n      "command": "x"\n    }\n  }\n}'


def test_a_changed_value_keeps_its_place_and_its_neighbours():
    text = '{"us": {\n  "command": "old", // mine\n  "env": {"A": "1"},\n}, "z": 1}'
    assert jsonc.put(text, ("us", "command"), "new") == text.replace("old", "new")


def test_an_equal_value_keeps_its_looks():
    text = '{"us": {"args":["serve"],\n\n"command" : "/a b/\\u00fc"}}'
    assert jsonc.put(text, ("us",), ENTRY) == text


def test_of_two_members_of_one_name_the_last_one_counts():
    text = '{"us": {"command": "a"}, "us": {"command": "b"}}'
    assert jsonc.read(jsonc.put(text, ("us", "command"), "c")) == {"us": {"command": "c"}}


@pytest.mark.parametrize("at", ["first", "middle", "last"])
@pytest.mark.parametrize("comma", ["", ","])
def test_a_member_is_taken_out_from_any_place(at, comma):
    us = '\n  "us": 1'
    a, b = '\n  "a": 1', '\n  "b": 2'
    members = {"first": [us, a, b], "middle": [a, us, b], "last": [a, b, us]}[at]
    assert jsonc.drop("{" + ",".join(members) + comma + "\n}", ("us",)) == "{" + a + "," + b + comma + "\n}"


def test_taking_out_what_is_not_there_changes_nothing():
    for text in ("", "{}", '{"servers": {"a": 1}}'):
        assert jsonc.drop(text, ("servers", "us")) == text


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"a": }', "line 1, column 7: a value is expected, not '}'"),
        ('{\n  "a": 1\n  "b": 2}', "line 3, column 3: a comma or } is expected"),
        ('{"a": [1, 2}', "line 1, column 12: a comma or ] is expected"),
        ('{"a" 1}', "line 1, column 6: a : is expected"),
        ("{a: 1}", "line 1, column 2: a name in double quotes or } is expected"),
        ('{"a": 1', "line 1, column 8: a comma or } is expected"),
        ('{"a": "x\n"}', "line 1, column 7: a value is expected, not '\"'"),
        ('{"a": "\\q"}', "line 1, column 7: this number or string cannot be read"),
        ('{"a": 1.2.3}', "line 1, column 7: this number or string cannot be read"),
        ('{"a": 1} /* open', "line 1, column 10: nothing may follow the object, but '/' does"),
        ("[]", "line 1, column 1: the whole must be an object, in { and }"),
        ('{"a":' * 5000, "line 1, column 506: more than 100 levels deep"),
        ('{"a": ' + "9" * 5000 + "}", "line 1, column 7: this number or string cannot be read"),
    ],
    ids=lambda value: value[:20],
)
def test_a_broken_text_is_refused_with_the_place(text, where):
    with pytest.raises(Broken) as caught:
        jsonc.read(text)
    assert str(caught.value) == where


def test_a_table_that_is_none_is_refused():
    with pytest.raises(Broken, match="line 1, column 13: an object is expected here, to hold 'us'"):
        jsonc.put('{"servers": []}', ("servers", "us"), ENTRY)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
gaps = st.sampled_from(["", " ", "\n", "\n\t", " // note, {\n", '/* "a": */', "\r\n  "])


@st.composite
def written(draw, value, depth=0):
    """*value* as people write JSON: gaps and comments anywhere, a comma behind the last member or not."""
    gap = lambda: draw(gaps)  # noqa: E731
    if isinstance(value, dict | list) and value:
        last = draw(st.sampled_from(["", ","]))
        if isinstance(value, list):
            parts = [gap() + draw(written(item, depth + 1)) + gap() for item in value]
            return "[" + ",".join(parts) + last + gap() + "]"
        parts = [
            gap() + json.dumps(key) + gap() + ":" + gap() + draw(written(item, depth + 1)) + gap()
            for key, item in value.items()
        ]
        return "{" + ",".join(parts) + last + gap() + "}"
    return json.dumps(value, ensure_ascii=draw(st.booleans()))


objects = st.dictionaries(st.text(max_size=3), plain, max_size=3)


@given(value=objects, data=st.data())
def test_any_text_keeps_its_meaning(value, data):
    text = data.draw(gaps) + data.draw(written(value)) + data.draw(gaps)
    assert jsonc.read(text) == value
    new = jsonc.put(text, ("us",), ENTRY)
    assert jsonc.read(new) == value | {"us": ENTRY}
    assert jsonc.put(new, ("us",), ENTRY) == new
    back = jsonc.drop(new, ("us",))
    assert jsonc.read(back) == {key: item for key, item in value.items() if key != "us"}
    if value and "us" not in value:
        assert back == text


@given(text=st.text(alphabet='{}[]":,/*\n\\ a1\x00', max_size=30))
def test_any_characters_are_read_or_refused_in_words(text):
    words = "line 1, column 1: "
    try:
        jsonc.read(text)
    except Broken as error:
        words = str(error)
    assert words.startswith("line ")
