"""JSON with comments and trailing commas, changed in place: one member in or out, and no other character touched."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_recall.install.text import Broken

_TRIVIA = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_REST_OF_LINE = re.compile(r"(?:[ \t]*(?://[^\r\n]*|/\*[^\r\n]*?\*/))*")  # comments, and what leads to them
_SCALAR = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"|-?\d[\d.eE+-]*|true|false|null')
_DEPTH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Value:
    start: int
    end: int
    plain: Any  # as json.loads gives it
    members: tuple[_Member, ...] = ()  # of an object


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    key: str
    start: int  # of its key
    value: _Value
    comma: int  # where the comma behind it stands; -1: there is none


def read(text: str) -> dict[str, Any]:
    """The object in *text*; an empty text is an empty object."""
    return dict(_root(text).plain)


def put(text: str, keys: Sequence[str], value: Any) -> str:
    """*text* with *value* at *keys*; a value that is equal already keeps its looks."""
    here = _root(text)
    if here.start == here.end:  # no object yet, maybe comments
        body = _object(text, "", {keys[0]: _nested(keys[1:], value)})
        gap = "" if not text.strip() or text.endswith("\n") else _newline(text)
        return (text if text.strip() else "") + gap + body + _newline(text)
    for depth, key in enumerate(keys):
        member = _member(text, here, key)
        if member is None:
            return _insert(text, here, key, _nested(keys[depth + 1 :], value))
        here = member.value
    if here.plain == value:
        return text
    return text[: here.start] + _object(text, _indent(text, here.start), value) + text[here.end :]


def drop(text: str, keys: Sequence[str]) -> str:
    """*text* without the member at *keys*, and as it was if there is none."""
    here = _root(text)
    for key in keys[:-1]:
        parent = _member(text, here, key)
        if parent is None:
            return text
        here = parent.value
    gone = _member(text, here, keys[-1])
    return text if gone is None else _remove(text, here, gone)


# --- changing -------------------------------------------------------------------------------


def _insert(text: str, into: _Value, key: str, value: Any) -> str:
    newline = _newline(text)
    if not into.members:
        outer = _indent(text, into.start)
        inner = text[into.start + 1 : into.end - 1].rstrip()
        member = f"{newline}{outer}{_unit(text)}{_pair(text, outer + _unit(text), key, value)}"
        return text[: into.start + 1] + inner + member + newline + outer + text[into.end - 1 :]
    last = into.members[-1]
    behind = last.value.end if last.comma < 0 else last.comma + 1
    at = _line_end(text, behind)
    if "\n" in text[into.start : last.start] or "//" in text[behind:at]:
        indent = _indent(text, last.start)
        lead, shown = newline + indent, _pair(text, indent, key, value)
    else:
        lead, shown = " ", f"{_quote(key)}: {json.dumps(value, ensure_ascii=False)}"
    if last.comma < 0:
        return text[:behind] + "," + text[behind:at] + lead + shown + text[at:]
    return text[:at] + lead + shown + "," + text[at:]


def _remove(text: str, owner: _Value, gone: _Member) -> str:
    index = owner.members.index(gone)
    before = owner.members[index - 1] if index else None
    start = _line_end(text, (before.comma if before else owner.start) + 1)
    end = _line_end(text, gone.value.end if gone.comma < 0 else gone.comma + 1)
    head, tail = text[:start], text[end:]
    if before and gone.comma < 0:  # what was the last but one is the last now
        head = text[: before.comma] + text[before.comma + 1 : start]
    if len(owner.members) == 1 and not (head[owner.start + 1 :] + tail[: owner.end - 1 - end]).strip():
        head, tail = head[: owner.start + 1], text[owner.end - 1 :]
    return head + tail


def _line_end(text: str, position: int) -> int:
    """Behind the comments that follow *position* on its line: they belong to what is before it."""
    match = _REST_OF_LINE.match(text, position)
    return match.end() if match else position


def _nested(keys: Sequence[str], value: Any) -> Any:
    for key in reversed(keys):
        value = {key: value}
    return value


def _pair(text: str, indent: str, key: str, value: Any) -> str:
    return f"{_quote(key)}: {_object(text, indent, value)}"


def _object(text: str, indent: str, value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=False, indent=_unit(text))
    return shown.replace("\n", _newline(text) + indent)  # a line end inside a string is written \n


def _quote(key: str) -> str:
    return json.dumps(key, ensure_ascii=False)


def _newline(text: str) -> str:
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"


def _unit(text: str) -> str:
    """One step of indentation, as the first indented line has it."""
    match = re.search(r'\n([ \t]+)"', text)
    return match[1] if match else "  "


def _indent(text: str, position: int) -> str:
    """What the line of *position* begins with."""
    line = text[text.rfind("\n", 0, position) + 1 : position]
    return line[: len(line) - len(line.lstrip(" \t"))]


# --- reading --------------------------------------------------------------------------------


def _root(text: str) -> _Value:
    start = _skip(text, 0)
    if start == len(text):
        return _Value(start=start, end=start, plain={})
    value = _value(text, start, 0)
    if not isinstance(value.plain, dict):
        raise Broken(text, start, "the whole must be an object, in { and }")
    if (rest := _skip(text, value.end)) < len(text):
        raise Broken(text, rest, f"nothing may follow the object, but {text[rest]!r} does")
    return value


def _member(text: str, owner: _Value, key: str) -> _Member | None:
    if not isinstance(owner.plain, dict):
        raise Broken(text, owner.start, f"an object is expected here, to hold {key!r}")
    found = [member for member in owner.members if member.key == key]
    return found[-1] if found else None  # of two the last one counts, as in every reader of JSON


def _skip(text: str, position: int) -> int:
    match = _TRIVIA.match(text, position)
    return match.end() if match else position


def _value(text: str, start: int, depth: int) -> _Value:
    if depth > _DEPTH:
        raise Broken(text, start, f"more than {_DEPTH} levels deep")
    match text[start : start + 1]:
        case "{":
            return _members(text, start, depth)
        case "[":
            return _items(text, start, depth)
        case _:
            return _scalar(text, start)


def _scalar(text: str, start: int) -> _Value:
    token = _SCALAR.match(text, start)
    if token is None:
        found = repr(text[start]) if start < len(text) else "the end"
        raise Broken(text, start, f"a value is expected, not {found}")
    try:
        return _Value(start=start, end=token.end(), plain=json.loads(token[0]))
    except ValueError:  # 1.2.3, a wrong escape, a number of thousands of digits
        raise Broken(text, start, "this number or string cannot be read") from None


def _members(text: str, start: int, depth: int) -> _Value:
    members: list[_Member] = []
    at = _skip(text, start + 1)
    while text[at : at + 1] != "}":
        if text[at : at + 1] != '"':
            raise Broken(text, at, "a name in double quotes or } is expected")
        key = _scalar(text, at)
        colon = _skip(text, key.end)
        if text[colon : colon + 1] != ":":
            raise Broken(text, colon, "a : is expected")
        value = _value(text, _skip(text, colon + 1), depth + 1)
        comma, after = _comma(text, value.end, "}")
        members.append(_Member(key=key.plain, start=at, value=value, comma=comma))
        at = after
    plain = {member.key: member.value.plain for member in members}
    return _Value(start=start, end=at + 1, plain=plain, members=tuple(members))


def _items(text: str, start: int, depth: int) -> _Value:
    items: list[Any] = []
    at = _skip(text, start + 1)
    while text[at : at + 1] != "]":
        value = _value(text, at, depth + 1)
        items.append(value.plain)
        _, at = _comma(text, value.end, "]")
    return _Value(start=start, end=at + 1, plain=items)


def _comma(text: str, end: int, closing: str) -> tuple[int, int]:
    """Where the comma behind a value stands (-1: nowhere), and where what follows it begins."""
    at = _skip(text, end)
    if text[at : at + 1] == ",":
        return at, _skip(text, at + 1)
    if text[at : at + 1] != closing:
        raise Broken(text, at, f"a comma or {closing} is expected")
    return -1, at
