"""The runs that rows of tests speak of, told once: such a row has their numbers in a calendar.

A calendar belongs to one writer, only grows, and lies in the index in leaves of 32 days. A run that is told
twice in it does no harm: each number says for itself what it stands for.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, repeat
from typing import NamedTuple, TypeVar

from pytest_recall.model import Space
from pytest_recall.store import codec, columns, shape

LEAF = 32  # days

_LENGTH = 4  # bytes that tell how long the told part is
_WIDTHS = (8, 8, 2, 2, 2)

T = TypeVar("T")


class Day(NamedTuple):
    """What the samples of one run have in common."""

    run: str
    at: float
    revision: str
    environment: str
    space: Space
    line: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What is not a column of numbers in a leaf."""

    tails: tuple[str, ...]  # of run ids: what follows the first 64 bits
    cells: tuple[tuple[str, str, Space], ...]  # revision, environment, space
    lines: tuple[str, ...] = ()  # of work, one a cell; a version before them told none


Days = Callable[
    [str, int], Sequence[Day]
]  # a leaf, by the name of its calendar and its number; raises ValueError


class Calendar:
    """One writer's calendar while it is written to."""

    def __init__(self, name: str, first: int, days: Iterable[Day]) -> None:
        """*days* are those from the number *first* on, at the beginning of a leaf; older ones are not known."""
        self.name = name
        self._first = first
        self._days = list(days)
        self._numbers = {day: first + at for at, day in enumerate(self._days)}
        self._changed: set[int] = set()

    def number(self, day: Day) -> int:
        """The number of *day*, which is entered if it is not there."""
        number = self._numbers.get(day)
        if number is None:
            number = self._numbers[day] = self._first + len(self._days)
            self._days.append(day)
            self._changed.add(number // LEAF)
        return number

    def changed(self) -> dict[int, list[Day]]:
        """The leaves that have new days since this was last asked, by number."""
        changed, self._changed = sorted(self._changed), set()
        starts = {leaf: leaf * LEAF - self._first for leaf in changed}
        return {leaf: self._days[at : at + LEAF] for leaf, at in starts.items()}


def begun(writer: str) -> Calendar:
    """A new calendar of *writer*'s; its name is no other's, so that numbers of two never mix."""
    return Calendar(f"{writer}-{secrets.token_hex(4)}", 0, ())


def continued(name: str, leaves: Mapping[int, Sequence[Day]]) -> Calendar:
    """The calendar whose newest leaves, by number, are these. Raises ValueError where one is missing or torn."""
    numbers = sorted(leaves)
    first = numbers[0]
    if numbers != list(range(first, first + len(numbers))):
        raise shape.Misshapen("a calendar without one of its leaves")
    if any(len(leaves[number]) != LEAF for number in numbers[:-1]):
        raise shape.Misshapen("a calendar with days missing")
    return Calendar(name, first * LEAF, [day for number in numbers for day in leaves[number]])


def pack(days: Sequence[Day]) -> bytes:
    """*days* as bytes. `at` loses what is below a millisecond."""
    hexes = [day.run.replace("-", "") for day in days]
    moments = [int(text[:12], 16) for text in hexes]
    tails = numbered(text[16:] for text in hexes)
    cells = numbered((day.revision, day.environment, day.space, day.line) for day in days)
    told = _Told(
        tails=tuple(tails),
        cells=tuple(cell[:3] for cell in cells),
        lines=tuple(line for *_, line in cells),
    )
    text = codec.render(shape.dump(told))
    late = [round(day.at * 1000) - moment for day, moment in zip(days, moments, strict=True)]
    return b"".join(
        [
            len(text).to_bytes(_LENGTH, "little"),
            text,
            columns.pack("q", columns.steps(moments)),  # the first 48 bits of the run's id
            columns.pack("q", late),  # `at` minus these
            columns.pack("H", [int(text[12:16], 16) for text in hexes]),
            columns.pack("H", [tails[text[16:]] for text in hexes]),
            columns.pack("H", [cells[day.revision, day.environment, day.space, day.line] for day in days]),
        ]
    )


def unpack(data: bytes) -> list[Day]:
    """The inverse of `pack`. Raises ValueError for whatever is no leaf of ours."""
    end = _LENGTH + int.from_bytes(data[:_LENGTH], "little")
    told = shape.load(_Told, codec.parse(data[_LENGTH:end]))
    count, over = divmod(len(data) - end, sum(_WIDTHS))
    if over or count < 0:
        raise shape.Misshapen("a leaf of another length")
    pieces = []
    for width in _WIDTHS:
        pieces.append(data[end : end + width * count])
        end += width * count
    moments = list(accumulate(columns.unpack("q", pieces[0])))
    late = columns.unpack("q", pieces[1])
    low, tail, cell = (columns.unpack("H", piece) for piece in pieces[2:])
    cells = [(*one, line) for one, line in zip(told.cells, told.lines or repeat(""), strict=bool(told.lines))]
    try:
        return [
            Day(
                run_id(moments[n], low[n], told.tails[tail[n]]),
                (moments[n] + late[n]) / 1000,
                *cells[cell[n]],
            )
            for n in range(count)
        ]
    except IndexError as error:
        raise shape.Misshapen("a day that refers to nothing") from error


def numbered(values: Iterable[T]) -> dict[T, int]:
    """Each of *values* once, in the order of their first coming, with its number."""
    return {value: number for number, value in enumerate(dict.fromkeys(values))}


def run_id(moment: int, low: int, tail: str) -> str:
    return f"{moment >> 16:08x}-{moment & 0xFFFF:04x}-{low:04x}-{tail[:4]}-{tail[4:]}"
