"""TOML, changed in place by tomlkit: a new table is added at the end, an old one keeps its order and comments."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from typing import Any

import tomlkit
from tomlkit.items import InlineTable

from pytest_recall.install.text import Broken

_WHERE = re.compile(r"(.+) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


def read(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _broken(text, error) from None
    except RecursionError:
        raise Broken(text, 0, "tables or arrays are too deep") from None


def put(text: str, keys: Sequence[str], value: Any) -> str:
    """*text* with *value* at *keys*; a value that is equal already keeps its looks."""
    *path, last = keys
    here: Any = read(text)
    for key in path:
        here = _table(text, here, key).get(key, {})
    if _table(text, here, last).get(last) == value:
        return text
    document = tomlkit.parse(_plain(text))
    owner: Any = document
    for key in path:
        owner = owner.get(key, {})
    if last in here or not isinstance(value, dict):
        owner[last] = value
    elif isinstance(owner, InlineTable):  # closed: nothing can be added to it from outside
        owner[last] = tomlkit.inline_table()
        owner[last].update(value)
    else:
        return _ends(text, _appended(_plain(text), keys, value))
    return _ends(text, tomlkit.dumps(document))


def drop(text: str, keys: Sequence[str]) -> str:
    """*text* without the table at *keys*, and as it was if there is none."""
    here: Any = read(text)
    for key in keys:
        if key not in _table(text, here, key):
            return text
        here = here[key]
    document = tomlkit.parse(_plain(text))
    owner: Any = document
    for key in keys[:-1]:
        owner = owner[key]
    del owner[keys[-1]]
    left = tomlkit.dumps(document)
    if left.endswith("\n\n") and not _plain(text).endswith("\n\n"):
        left = left[:-1]  # the empty line that stood before our table
    return _ends(text, left)


def _appended(text: str, keys: Sequence[str], value: Any) -> str:
    for key in reversed(keys):
        value = {key: value}
    gap = "" if not text or text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
    return text + gap + tomlkit.dumps(value)


def _table(text: str, value: Any, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Broken(text, 0, f"a table is expected, to hold {key!r}")
    return value


def _plain(text: str) -> str:
    """*text* with the line ends that tomlkit writes; mixed ones stay as they are."""
    return text.replace("\r\n", "\n") if _windows(text) else text


def _ends(before: str, after: str) -> str:
    """*after* with the line ends of *before*."""
    return after.replace("\n", "\r\n") if _windows(before) else after


def _windows(text: str) -> bool:
    return 0 < text.count("\n") == text.count("\r\n")


def _broken(text: str, error: tomllib.TOMLDecodeError) -> Broken:
    match = _WHERE.fullmatch(str(error))
    if match is None or match[2] is None:
        return Broken(text, len(text), match[1] if match else str(error))
    before = text.split("\n")[: int(match[2]) - 1]
    return Broken(text, sum(len(line) + 1 for line in before) + int(match[3]) - 1, match[1])
