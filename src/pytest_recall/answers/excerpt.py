"""The few lines of source that lead to a failure, taken from pytest's own rendering: the file may have changed since."""

from __future__ import annotations

import textwrap

from pytest_recall.answers.text import clean, head
from pytest_recall.model import Failure

_BEFORE = 4
_MOST = 160  # characters of a line


def excerpt(failure: Failure) -> str:
    """The failing line of the innermost project frame and the lines before it; that line alone where no text has more."""
    frame = failure.at
    if frame is None:
        return ""
    lines = failure.text.splitlines()
    marked = [n for n, line in enumerate(lines) if line[:1] == ">" and line[1:].strip() == frame.source]
    if not marked:
        return head(frame.source, _MOST)
    first = last = marked[-1]
    while first > 0 and last - first < _BEFORE and lines[first - 1].startswith("    "):
        first -= 1
    shown = [*lines[first:last], " " + lines[last][1:]]
    return "\n".join(clean(line[:_MOST]) for line in textwrap.dedent("\n".join(shown)).splitlines())
