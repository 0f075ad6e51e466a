"""What pytest writes of a failure, back into its parts: the exception's name, its message and its frames."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any, NamedTuple

_MOST_LINES = 20_000
_LONGEST = 2_000
_MOST_FRAMES = 40
_SOURCE = 300
# `path:12: AssertionError`, `path:12: `, `path:12: in function`; a Windows drive is part of the path.
_PLACE = re.compile(r"((?:[A-Za-z]:)?[^\s:>=][^:=]{0,500}):(\d{1,9}):(?: (.{0,500}))?$")
_NATIVE = re.compile(r"  File \"([^\"]{1,500})\", line (\d{1,9}), in (.{1,200})$")
_LATER = re.compile(
    r"(?:The above exception was the direct cause of the following exception"
    r"|During handling of the above exception, another exception occurred):$"
)
# A group is written as Python does it, in a margin; deeper margins hold what is in it.
_GROUP = re.compile(r" {0,2}\+ Exception Group Traceback \(most recent call last\):$")
_MARGIN = "  | "
_GROUPED = re.compile(r"((?:\w{1,200}\.){0,20}\w{1,200})(?::|$)")

# A line of a doctest, numbered as its file is: an example, or how it goes on.
_EXAMPLE = re.compile(r"\d{3,9} +(?:>>>|(\.\.\.)) ?(.*)$")
_OF_DOCTEST = (": DocTestFailure", ": UnexpectedException")
_NUMBERED = re.compile(r"\d{3,9}(?: |$)")


_WORKER = re.compile(r"\[gw\d{1,9}\] \S{1,40} -- Python ")


class Place(NamedTuple):
    """One frame as it is written, outermost first in a list of them."""

    path: str
    line: int
    function: str
    source: str


class Trace(NamedTuple):
    """What a rendered failure tells; anything may be empty."""

    exception: str  # without its module
    message: str  # the lines marked with E
    places: tuple[Place, ...]
    doctest: bool = False


def read(text: str) -> Trace:
    """The last exception of pytest's (or Python's) rendering *text*; what led to it is left out."""
    lines = [line[:_LONGEST] for line in text.splitlines()[-_MOST_LINES:]]
    if lines and lines[-1].endswith(_OF_DOCTEST) and (found := _doctest(lines)):
        return found
    for number in range(len(lines) - 1, -1, -1):
        if _LATER.match(lines[number]):
            lines = lines[number + 1 :]
            break
    group = _group(lines)
    lines = group or lines
    places = list(_places(lines))
    exception = _named(group)
    if places and places[-1].function == _ENDED:
        exception = places[-1].source
        places.pop()
    marked = [line[1:].removeprefix("   ") for line in lines if line.startswith("E  ")]
    if len(places) > _MOST_FRAMES:
        places = places[: _MOST_FRAMES // 4] + places[-(_MOST_FRAMES - _MOST_FRAMES // 4) :]
    return Trace(exception, "\n".join(_dedented(marked)), tuple(places))


def _group(lines: list[str]) -> list[str]:
    """The traceback of the last exception group in *lines*, without its margin; nothing where there is none."""
    begin = max((number for number, line in enumerate(lines) if _GROUP.match(line)), default=-1)
    inside = takewhile(lambda line: line.startswith(_MARGIN), lines[begin + 1 :]) if begin >= 0 else ()
    return [line.removeprefix(_MARGIN) for line in inside]


def _named(group: list[str]) -> str:
    """The type of an exception group: its message stands below the frames."""
    found = next((found for line in group if (found := _GROUPED.match(line))), None)
    return found[1] if found else ""


def _doctest(lines: list[str]) -> Trace | None:
    """The example that failed, and below it what was expected and got, or was raised; then comes the place."""
    place = _PLACE.match(lines[-1])
    end = next((number for number, line in enumerate(lines) if not _NUMBERED.match(line)), 0)
    told: list[str] = []
    for line in reversed(lines[:end]):
        example = _EXAMPLE.match(line)
        if example is None or place is None:
            return None
        told.insert(0, example[2])
        if not example[1]:
            where = Place(place[1], int(place[2]), "", source("\n".join(told)))
            if place[3] == "UnexpectedException":
                message = "\n".join(_raised(lines[end:-1]))
                return Trace(message.partition(":")[0], message, (where,), doctest=True)
            message = "\n".join(lines[end:-1]).rstrip("\n") + "\n"
            return Trace("doctest.DocTestFailure", message, (where,), doctest=True)
    return None


def _raised(lines: list[str]) -> list[str]:
    """What stands below the last traceback of *lines*: the exception, which may have more lines than one."""
    last = max((number for number, line in enumerate(lines) if line.startswith("Traceback (")), default=-1)
    below = (number for number in range(last + 1, len(lines)) if not lines[number].startswith(" "))
    return lines[next(below, len(lines)) :]


_ENDED = "\0"  # no function has that name: the exception follows, as the source of a last place


def _places(lines: list[str]) -> Iterator[Place]:
    marked = ""
    for number, line in enumerate(lines):
        if line.startswith(">"):
            marked = source(line[1:])
        elif line.startswith('  File "') and (found := _NATIVE.match(line)):
            yield Place(found[1], int(found[2]), found[3], _following(lines, number))
        elif ":" in line and (found := _PLACE.match(line)):
            path, at, rest = found[1], int(found[2]), found[3] or ""
            if rest.startswith("in "):
                yield Place(path, at, rest[3:], _following(lines, number))
                continue
            yield Place(path, at, "", marked)
            marked = ""
            if rest:
                yield Place("", 0, _ENDED, rest)


def _following(lines: list[str], number: int) -> str:
    return source(lines[number + 1]) if number + 1 < len(lines) else ""


def place(told: Mapping[str, Any]) -> Place:
    """A place as pytest's own objects tell it, in JSON."""
    path, line = told.get("path"), told.get("lineno")
    return Place(
        path[:_LONGEST] if isinstance(path, str) else "",
        line if type(line) is int and 0 <= line < 1 << 31 else 0,
        "",
        "",
    )


def unheaded(text: str) -> str:
    """*text* without xdist's line on the worker and its interpreter."""
    return text.partition("\n")[2].lstrip("\n") if _WORKER.match(text) else text


def source(text: str) -> str:
    """A line of source as pytest shows it, without its margin."""
    text = text.strip()[:_SOURCE]
    return "" if text == "???" else text  # pytest's, where it has no source


def _dedented(lines: list[str]) -> list[str]:
    """Lines of one message without the margin of the first."""
    margin = len(lines[0]) - len(lines[0].lstrip(" ")) if lines else 0
    return [line[margin:] if line[:margin].isspace() or not margin else line.lstrip(" ") for line in lines]
