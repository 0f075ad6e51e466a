"""Our entry put into a client's file, or taken out: a change as a value, proved before it is written."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pytest_recall.errors import BadConfiguration
from pytest_recall.install import files, jsonc, toml
from pytest_recall.install.text import Broken, Editor

EDITORS: Mapping[str, Editor] = {"json": jsonc, "toml": toml}
_BOM = b"\xef\xbb\xbf"
_TRIES = 3
_SHOWN = 200  # characters of a line in a diff: some clients write all in one line


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where an entry stands: a file, its form, and the way to the entry in it."""

    path: Path
    form: Literal["json", "toml"]
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What will become of a file, and of its copy from before our entry came in."""

    path: Path
    before: bytes | None  # None: there is no such file
    after: bytes | None  # None: it was made for our entry alone, and goes with it
    copy: Literal["make", "leave", "remove"] = "leave"

    @property
    def needed(self) -> bool:
        return self.before != self.after

    def diff(self) -> str:
        """As `diff -u` shows it."""
        old, new = (
            (data or b"").decode("utf-8", "replace").split("\n") for data in (self.before, self.after)
        )
        name = str(self.path)
        lines = difflib.unified_diff(old, new, name, name, lineterm="")
        return "\n".join(line.rstrip("\r")[:_SHOWN] for line in lines)


def load(spot: Spot) -> dict[str, Any]:
    """The whole file as plain values; one that is not there is empty. Raises BadConfiguration."""
    with _teaching(spot):
        return EDITORS[spot.form].read(_text(files.read(spot.path)))


def put(spot: Spot, entry: Mapping[str, Any]) -> Change:
    """The change that brings *entry* in, or up to date; what a person added to it stays.

    Raises:
        BadConfiguration: the file is broken, with the place; or more than our entry would change.
    """
    before = files.read(spot.path)
    with _teaching(spot):
        after = _with(spot, before, entry)
        known = _entry(spot, before)
    theirs = before is not None
    if known is not None:  # a person's own entry, or ours from an earlier time, whose copy stays
        theirs = files.read(files.backup_of(spot.path)) is None and not _replays(spot, None, known, before)
    fresh = theirs and after != before
    return Change(path=spot.path, before=before, after=after, copy="make" if fresh else "leave")


def drop(spot: Spot) -> Change:
    """The change that takes our entry out: to the very bytes before it came, if nothing else has changed since.

    Raises:
        BadConfiguration: as `put`.
    """
    before = files.read(spot.path)
    with _teaching(spot):
        entry = _entry(spot, before)
        if entry is None:
            return Change(path=spot.path, before=before, after=before)
        for earlier in (files.read(files.backup_of(spot.path)), None):
            if _replays(spot, earlier, entry, before):
                return Change(path=spot.path, before=before, after=earlier, copy="remove")
        return Change(path=spot.path, before=before, after=_without(spot, before))


def carry_out(make: Callable[[], Change]) -> Change:
    """Make the change and write it; anew, if the file has been changed meanwhile. Raises BadConfiguration."""
    change = make()
    for _ in range(_TRIES):
        if not change.needed:
            return change
        if change.copy == "make" and change.before is not None:
            files.write(files.backup_of(change.path), change.before, like=change.path)
        if files.read(change.path) != change.before:
            change = make()
            continue
        if change.after is None:
            files.remove(change.path)
        else:
            files.write(change.path, change.after)
        if change.copy == "remove":
            files.remove(files.backup_of(change.path))
        return change
    raise BadConfiguration(
        f"{change.path} is being changed by another program again and again: nothing was written. Close "
        "that, then run this again."
    )


def _with(spot: Spot, before: bytes | None, entry: Mapping[str, Any]) -> bytes:
    editor = EDITORS[spot.form]
    old = text = _text(before)
    wanted = copy.deepcopy(editor.read(old))
    known = find(wanted, spot.keys)
    if isinstance(known, dict) and "command" in known:
        for key, value in entry.items():
            text = editor.put(text, (*spot.keys, key), value)
        known.update(entry)
    else:
        text = editor.put(text, spot.keys, dict(entry))
        _owner(wanted, spot.keys)[spot.keys[-1]] = dict(entry)
    return _proved(spot, before, text, wanted)


def _replays(spot: Spot, earlier: bytes | None, entry: Mapping[str, Any], now: bytes | None) -> bool:
    """Whether *entry*, put into *earlier*, makes *now*: then nothing else has changed since."""
    try:
        return _entry(spot, earlier) is None and _with(spot, earlier, entry) == now
    except (Broken, BadConfiguration):
        return False


def _without(spot: Spot, before: bytes | None) -> bytes:
    editor = EDITORS[spot.form]
    old = _text(before)
    wanted = copy.deepcopy(editor.read(old))
    del _owner(wanted, spot.keys)[spot.keys[-1]]
    return _proved(spot, before, editor.drop(old, spot.keys), wanted)


def _proved(spot: Spot, before: bytes | None, text: str, wanted: Mapping[str, Any]) -> bytes:
    """The bytes of *text*, which must say *wanted*: a slip of an editor may not cost a person's settings."""
    found = EDITORS[spot.form].read(text)
    if found != wanted and not _only_empty(found, wanted, spot.keys):
        raise BadConfiguration(
            f"{spot.path} is written in a way that cannot be changed without touching something else: it was left as "
            f"it was. Change {'.'.join(spot.keys)} by hand; `pytest-recall install generic` prints what belongs there."
        )
    data = text.encode("utf-8")
    return _BOM + data if before is not None and before.startswith(_BOM) else data


def _only_empty(found: Mapping[str, Any], wanted: Mapping[str, Any], keys: Sequence[str]) -> bool:
    """Whether the two differ only in a table of servers that is empty and one that is not there (TOML knows no other)."""
    return _pruned(found, keys) == _pruned(wanted, keys)


def _pruned(values: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != keys[0] or value != {}}


def _entry(spot: Spot, data: bytes | None) -> Mapping[str, Any] | None:
    entry = find(EDITORS[spot.form].read(_text(data)), spot.keys)
    return entry if isinstance(entry, dict) else None


def find(values: Any, keys: Sequence[str]) -> Any:
    """What stands at *keys*; None where there is nothing."""
    for key in keys:
        if not isinstance(values, dict) or key not in values:
            return None
        values = values[key]
    return values


def _owner(values: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
    return values


def _text(data: bytes | None) -> str:
    text = (data or b"").removeprefix(_BOM)
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        good = text[: error.start].decode("utf-8")
        raise Broken(good, len(good), "this is no UTF-8 text") from None


@contextmanager
def _teaching(spot: Spot) -> Iterator[None]:
    try:
        yield
    except Broken as error:
        raise BadConfiguration(
            f"{spot.path} cannot be read, {error}. It was left as it was: mend it there, then run this again."
        ) from None
