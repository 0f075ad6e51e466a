"""Hints for one cause of failure: a loop to leave, what its words say, what was upgraded, and what was changed.

Pure functions over what is known: each hint says what to do and what that rests on, and none is
given on a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_recall.history import providers, symptoms
from pytest_recall.history.around import Around, Hint, Upgrade, said
from pytest_recall.history.groups import Group
from pytest_recall.history.patch import is_test_file
from pytest_recall.model import Sample

LOOP = 4  # failures with one fingerprint, over at least three states of the sources
_STATES = 3
_SESSION_S = 3_600.0  # the longest pause within a session of edits
_FEW = 5  # upgrades that may be told of without a sign of which one it was
_INSTALLED = re.compile(r"(?:site|dist)-packages/([\w.-]{1,100}?)(?:\.py)?(?:/|$)")
_API = re.compile(r"AttributeError|ImportError|TypeError|NameError|Warning|cannot import name")
_NEAR = {"executed": "is in the traceback", "imported": "is imported by the test", "test": "is a test's own"}


def hints(group: Group, around: Around) -> tuple[Hint, ...]:
    """What to do about *group*, the surest first; at most one of each kind."""
    found = (
        loop(group, around),
        symptoms.read(group, around),
        upgraded(group, around),
        changed(group, around),
    )
    return tuple(hint for hint in found if hint)


def loop(group: Group, around: Around) -> Hint | None:
    """The same failure again and again while the sources were edited."""
    streak = list(_session(around))
    states = {sample.revision for sample in streak}
    if len(streak) < LOOP or len(states) < _STATES:
        return None
    minutes = max(1, round((streak[-1].at - streak[0].at) / 60))
    frame = group.failure.at if group.failure else None
    missed = bool(frame and frame.project and around.edited is not None and frame.path not in around.edited)
    edits = f", which changed {_listed(around.edited)}" if around.edited else ""
    return Hint(
        rule="loop",
        text=f"This test failed {len(streak)} times with the same fingerprint, whatever was edited"
        + (f"; no edit has reached {frame.path}, where it fails" if missed and frame else "")
        + ": stop editing, and look at the values there first.",
        evidence=f"{len(states)} states of the sources in {minutes} min{edits}",
    )


def upgraded(group: Group, around: Around) -> Hint | None:
    """Something of the environment is another than when the test passed, and the failure bears signs of it."""
    if not around.upgrades or not around.since:
        return None
    signs = _signs(group)
    words = said(group)[:4_000]
    involved = [one for one in around.upgrades if _involved(one, signs, words)]
    untouched = around.changes is not None and not around.changes
    if not involved and not (untouched and len(around.upgrades) <= _FEW):
        return None
    blamed = involved or list(around.upgrades)
    pins = [
        f"{one.name}=={one.before}" for one in blamed if one.before and one.name not in {"Python", "pytest"}
    ]
    back = (
        f", or go back (`{around.python} -m pip install {' '.join(map(_shell, pins[:3]))}`)" if pins else ""
    )
    told = ", ".join(map(str, blamed[:3]))
    return Hint(
        rule="upgrade",
        text=f"{told} since it passed: adapt to the new version{back}.",
        evidence=f"passed in {around.since}"
        + ("; its name is in the failure" if involved else "; no source has changed since"),
    )


def changed(group: Group, around: Around) -> Hint | None:
    """Which of the changes since the test passed is the likeliest culprit: the nearest to the test."""
    if around.changes is None or not around.since:
        return None
    near = [one for one in around.changes if one.scope in _NEAR]
    if not near:
        return None
    own = group.tests[0].partition("::")[0]
    ranked = sorted(
        near, key=lambda one: (is_test_file(one.path) and one.path != own, _ORDER.index(one.scope))
    )
    first = ranked[0]
    beside = [one.path for one in ranked[1:3] if one.scope == first.scope]
    files = "1 file" if len(around.changes) == 1 else f"{len(around.changes)} files"
    return Hint(
        rule="change",
        text=f"Look first at {_listed((first.path, *beside))}, changed since it passed.",
        evidence=f"{first.path} {_NEAR[first.scope]}; {files} changed since {around.since}",
    )


_ORDER = ("executed", "imported", "test")


def _session(around: Around) -> Iterator[Sample]:
    """The end of the streak that lies in one session: without a pause of an hour, or a change of the space."""
    kept: list[Sample] = []
    for sample in reversed(around.streak):
        if kept and (kept[-1].at - sample.at > _SESSION_S or sample.space != kept[-1].space):
            break
        kept.append(sample)
    return reversed(kept)


def _signs(group: Group) -> frozenset[str]:
    """Plain names of the modules that are not the project's and that the failure went through or is of."""
    failure = group.failure
    if failure is None:
        return frozenset()
    through = {
        found[1] for frame in failure.frames if (found := _INSTALLED.search(frame.path.replace("\\", "/")))
    }
    return frozenset(
        map(providers.plain, {*through, failure.exception.partition(".")[0]} - {"_pytest", "pluggy"})
    )


def _involved(one: Upgrade, signs: frozenset[str], words: str) -> bool:
    name = providers.plain(one.name)
    if name in signs or any(
        providers.plain(providers.of_module(sign.replace("-", "_"))) == name for sign in signs
    ):
        return True
    if one.name == "Python":
        return False
    named = {one.name, name, name.replace("-", "_"), name.removeprefix("python-").replace("-", "_")}
    return bool(_API.search(words)) and any(
        re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", words, re.IGNORECASE) for word in named
    )


def _shell(pin: str) -> str:
    return pin if re.fullmatch(r"[\w.=+!-]+", pin) else f"'{pin}'"


def _listed(paths: tuple[str, ...] | None) -> str:
    shown = ", ".join((paths or ())[:3])
    return shown + (f" and {len(paths) - 3} more" if paths and len(paths) > 3 else "")  # noqa: PLR2004
