"""Hints by what a failure says: a rule a symptom, each with what it rests on. Words of tests are only ever quoted."""

from __future__ import annotations

import re
from collections.abc import Callable
from posixpath import dirname

from pytest_recall.history import absent
from pytest_recall.history.around import Around, Hint, said
from pytest_recall.history.groups import Group

_MISMATCH = re.compile(
    r"ImportPathMismatchError: \('([^'\n]{1,300})', '([^'\n]{1,500})', \w*\(?'([^'\n]{1,500})'"
)
_MISMATCH_TOLD = re.compile(
    r"imported module '([^'\n]{1,300})' has this __file__ attribute:\s+(\S{1,500})\s[^/\\]{0,120}\s(\S{1,500})"
)
_MARKER = re.compile(r"'(\w{1,200})' not found in `markers` configuration option")
_CIRCLE = re.compile(r"partially initialized module '([\w.]{1,200})'")
FILE = re.compile(r"No such file or directory: '([^'\n]{1,500})'")
_VARIABLE = re.compile(r"environ(?:\[|\.get\()|getenv\(")
_KEY = re.compile(r"KeyError: '(\w{1,100})'")
_NETWORK = re.compile(
    r"gaierror|Socket(?:Connect)?BlockedError|Name or service not known|Temporary failure in name resolution"
    r"|Network is unreachable|No route to host|Connection refused|ConnectionError|ConnectError|MaxRetryError"
)
_SNAPSHOT = re.compile(r"\[- snapshot\]|snapshot|regen", re.IGNORECASE)
_UPDATE = {
    "syrupy": "--snapshot-update",
    "pytest-snapshot": "--snapshot-update",
    "inline-snapshot": "--inline-snapshot=fix",
    "pytest-regressions": "--force-regen",
}
_SHARED = {
    "database is locked": "a database file",
    "Address already in use": "a port",
    "FileExistsError": "a path",
}

Rule = Callable[[Group, Around, str], Hint | None]


def same_basename(_group: Group, _around: Around, words: str) -> Hint | None:
    """Two test modules of one name in folders that are no packages."""
    found = _MISMATCH.search(words) or _MISMATCH_TOLD.search(words)
    if found is None:
        return None
    module, one, other = found.groups()
    name = one.replace("\\", "/").rpartition("/")[2]
    return Hint(
        rule="same-basename",
        text=f"Two test modules are called {name}: rename one, or add an __init__.py to both folders, or run with "
        "`--import-mode=importlib`.",
        evidence=f"`{module}` is {_end(one)} and {_end(other)}",
    )


def marker(_group: Group, _around: Around, words: str) -> Hint | None:
    found = _MARKER.search(words)
    return found and Hint(
        rule="marker",
        text=f"Register the marker `{found[1]}` under `markers` in pytest's settings, or correct its name.",
        evidence="strict markers are on",
    )


def circle(_group: Group, _around: Around, words: str) -> Hint | None:
    found = _CIRCLE.search(words)
    return found and Hint(
        rule="circular-import",
        text=f"Break the circle of imports at `{found[1]}`: move the shared names to a third module, or import inside the function.",
        evidence="Python met the module while it was still being imported",
    )


def working_folder(group: Group, around: Around, words: str) -> Hint | None:
    found = FILE.search(words)
    if found is None or found[1].startswith("/"):
        return None
    place = around.places.get(found[1], "")
    if not place:
        return None
    own = dirname(group.tests[0].partition("::")[0])
    return Hint(
        rule="working-folder",
        text=f"The path depends on the folder the tests are started in: build it from `Path(__file__).parent`; the file is {place}.",
        evidence=f"'{found[1][:120]}' is relative, and tests start in the project's folder"
        + (f", not in {own}" if own else ""),
    )


def variable(group: Group, _around: Around, words: str) -> Hint | None:
    found = _KEY.search(words)
    frames = group.failure.frames if group.failure else ()
    asked = next((frame for frame in frames if _VARIABLE.search(frame.source)), None)
    if found is None or asked is None:
        return None
    return Hint(
        rule="environment-variable",
        text=f"The environment variable {found[1]} is not set: set it in the test (`monkeypatch.setenv`), or pass it "
        f"with env={{'{found[1]}': …}}.",
        evidence=f"{asked.path}:{asked.line} reads it",
    )


def time_zone(_group: Group, around: Around, words: str) -> Hint | None:
    if "ZoneInfoNotFoundError" in words and "tzdata" not in around.installed:
        return Hint(
            rule="time-zone",
            text=f"This machine knows no such time zone: `{around.python} -m pip install tzdata` brings the list.",
            evidence="tzdata is not installed there",
        )
    if "offset-naive and offset-aware" in words:
        return Hint(
            rule="time-zone",
            text="One of the two instants has a time zone and the other has none: make both aware, e.g. `datetime.now(timezone.utc)`.",
            evidence="Python's own message",
        )
    return None


def snapshot(_group: Group, around: Around, words: str) -> Hint | None:
    kept = next((name for name in _UPDATE if name in around.plugins), "")
    if not kept or "AssertionError" not in words or not _SNAPSHOT.search(words):
        return None
    return Hint(
        rule="snapshot",
        text=f"It differs from its snapshot: if the new value is meant, `{_UPDATE[kept]}` renews it; look at the difference first.",
        evidence=f"{kept} is loaded, and the failure is its comparison",
    )


def shared(_group: Group, around: Around, words: str) -> Hint | None:
    what = next((name for sign, name in _SHARED.items() if sign in words), "")
    if not what or _compares(words):
        return None
    workers = around.environment.workers
    return Hint(
        rule="shared-resource",
        text=f"Tests share {what}: give each its own (`tmp_path`, port 0, the name of the worker).",
        evidence=f"{workers} workers ran at once"
        if workers
        else "another test or process had it at that moment",
    )


def network(_group: Group, _around: Around, words: str) -> Hint | None:
    found = None if _compares(words) else _NETWORK.search(words)
    return found and Hint(
        rule="network",
        text="The test needs the network or a server that is not there: start it, replace it in the test, or deselect such tests by a marker.",
        evidence=found[0],
    )


def encoding(_group: Group, _around: Around, words: str) -> Hint | None:
    if not re.search(r"Unicode(?:De|En)codeError: '(?:ascii|charmap|cp\d+)'", words):
        return None
    return Hint(
        rule="encoding",
        text='The text is read or written in the machine\'s own encoding: pass `encoding="utf-8"`.',
        evidence="the codec in the message is a locale's",
    )


def strict_warning(_group: Group, around: Around, words: str) -> Hint | None:
    found = re.match(r"(?:[\w.]{1,100}\.)?(\w{1,80}Warning)(?::|$)", words)
    if found is None:
        return None
    return Hint(
        rule="warning-as-error",
        text=f"A {found[1]} is made an error by `filterwarnings` or -W: mend what it warns of, or let just this one pass.",
        evidence=f"raised as an exception under Python {around.environment.python}",
    )


RULES: tuple[Rule, ...] = (
    absent.module,
    same_basename,
    absent.fixture,
    absent.asynchronous,
    marker,
    absent.setting,
    circle,
    working_folder,
    variable,
    time_zone,
    snapshot,
    shared,
    network,
    encoding,
    strict_warning,
)


def read(group: Group, around: Around) -> Hint | None:
    """The hint that the failure's own words give: of the first rule that knows them."""
    words = said(group)[:4_000]
    return next((hint for rule in RULES if (hint := rule(group, around, words))), None) if words else None


def _compares(words: str) -> bool:
    """Whether a test compared something: what it quotes then need not have happened to it."""
    return words.startswith(("AssertionError", "assert "))


def _end(path: str) -> str:
    """The last two folders of *path* and its name."""
    return "/".join(path.replace("\\", "/").split("/")[-3:])
