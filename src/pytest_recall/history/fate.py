"""Tests that are no longer collected: gone, or under another id with the same source text; and what that does to histories."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace

from pytest_recall.history.trend import fold
from pytest_recall.model import Fate, TestHistory

_MOST_LINES = 2_000  # of one function
_TELLING = 20  # characters; many tests are `pass`


def body(text: str, function: str) -> str:
    """The source of *function* (`TestCart::test_total`) in the file *text*, without its name; "" where it is not there.

    Found by indentation alone: foreign sources could exhaust a parser.
    """
    lines = text.splitlines()
    first, last = 0, len(lines)
    for name in function.split("::"):
        head = re.compile(rf"[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+{re.escape(name)}\b")
        start = next((n for n in range(first, last) if head.match(lines[n])), None)
        if start is None:
            return ""
        depth = _indent(lines[start])
        end = next((n for n in range(start + 1, last) if _ends(lines[n], depth)), last)
        first, last = start, end
    block = textwrap.dedent("\n".join(lines[first : min(last, first + _MOST_LINES)])).strip()
    return re.sub(r"^((?:async[ \t]+)?(?:def|class)[ \t]+)\w+", r"\1", block)


def renamed(gone: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """Of the functions that are *gone*, the *new* one that each is now; both with their bodies.

    Only where the text is telling, and nobody else's: two that are alike are two possibilities.
    """
    often = Counter(gone.values()), Counter(new.values())
    by_text = {text: function for function, text in new.items()}
    return {
        function: by_text[text]
        for function, text in gone.items()
        if len(text) > _TELLING and often[0][text] == 1 and often[1][text] == 1
    }


def applied(known: Mapping[str, TestHistory], fates: Mapping[str, Fate]) -> dict[str, TestHistory]:
    """The histories with what became of their tests: those that are gone marked, renamed ones continued under the new id."""
    found = dict(known)
    for fate in sorted(fates.values(), key=lambda one: one.at):
        old = found.get(fate.test)
        if old is None or (old.samples and old.samples[-1].at > fate.at):  # it is back
            continue
        if fate.became:
            found[fate.became] = fold(found.get(fate.became), fate.became, old.samples)
        found[fate.test] = replace(old, gone=True)
    return found


def heirs(known: Collection[str], fates: Mapping[str, Fate]) -> set[str]:
    """The later ids of these tests that are not among them."""
    found: set[str] = set()
    todo = set(known)
    while todo:
        todo = {fates[test].became for test in todo if test in fates} - found - set(known) - {""}
        found |= todo
    return found


def former(ids: Collection[str], fates: Mapping[str, Fate]) -> set[str]:
    """The earlier ids of these tests."""
    found: set[str] = set()
    todo = set(ids)
    while todo:
        todo = {fate.test for fate in fates.values() if fate.became in todo} - found
        found |= todo
    return found


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _ends(line: str, depth: int) -> bool:
    """Whether *line* is the first after a block that began at *depth*: not blank, and no bracket that closes its head."""
    return bool(line.strip()) and _indent(line) <= depth and line.lstrip()[0] not in ")]}#"
