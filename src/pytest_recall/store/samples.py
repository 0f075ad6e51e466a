"""The history of one test as a short text: its samples by columns, what repeats told once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from pytest_recall.model import Outcome, Sample, Space, TestHistory
from pytest_recall.store import codec, columns, shape
from pytest_recall.store.calendar import LEAF, Calendar, Day, Days, numbered, run_id

_LETTERS = dict(zip("pfesxXtcn", Outcome, strict=True))
_OF = {outcome: letter for letter, outcome in _LETTERS.items()}
_LENGTH = 4  # bytes that tell how long the told part is
_WIDTHS = (4, 2, 2, 2, 2)
_FORMER_WIDTHS = (8, 8, 2, 2, 2, 2, 2, 2, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What is not a column of numbers."""

    id: str
    first_seen: float
    gone: bool = False
    outcomes: str = ""  # a letter for each sample
    days: str = ""  # the calendar that the numbers are of; "": the format of before
    causes: tuple[tuple[str, str], ...] = ()  # strict, group
    sources: tuple[str, ...] = ()
    # of the format of before, which told of each run in each row
    tails: tuple[str, ...] = ()  # of run ids: what follows the first 64 bits
    cells: tuple[tuple[str, str, Space], ...] = ()  # revision, environment, space


def pack(history: TestHistory, calendar: Calendar) -> tuple[bytes, list[int]]:
    """*history* as bytes, and the numbers in *calendar* that it uses.

    `at` loses what is below a millisecond, a duration what `columns` lets go.
    """
    samples = history.samples
    causes = numbered((s.fingerprint, s.group) for s in samples)
    sources = numbered(sample.sources for sample in samples)
    told = _Told(
        id=history.id,
        first_seen=history.first_seen,
        gone=history.gone,
        outcomes="".join([_OF[sample.outcome] for sample in samples]),
        days=calendar.name,
        causes=tuple(causes),
        sources=tuple(sources),
    )
    text = codec.render(shape.dump(told))
    numbers = [calendar.number(Day(s.run, s.at, s.revision, s.environment, s.space, s.line)) for s in samples]
    data = b"".join(
        [
            len(text).to_bytes(_LENGTH, "little"),
            text,
            columns.pack("i", columns.steps(numbers)),
            columns.pack("H", [causes[s.fingerprint, s.group] for s in samples]),
            columns.pack("H", [sources[sample.sources] for sample in samples]),
            columns.pack("H", [min(sample.attempt, 0xFFFF) for sample in samples]),
            columns.pack_seconds([min(max(s.duration_s, 0.0), columns.LONGEST_S) for s in samples]),
        ]
    )
    return data, numbers


def unpack(data: bytes, days: Days) -> TestHistory:
    """The inverse of `pack`. Raises ValueError for whatever is not a history of ours."""
    end = _LENGTH + int.from_bytes(data[:_LENGTH], "little")
    told = shape.load(_Told, codec.parse(data[_LENGTH:end]))
    count = len(told.outcomes)
    pieces = []
    for width in _WIDTHS if told.days else _FORMER_WIDTHS:
        pieces.append(data[end : end + width * count])
        end += width * count
    if end != len(data):
        raise shape.Misshapen("a history of another length")
    causes, sources, attempts = (columns.unpack("H", piece) for piece in pieces[-4:-1])
    times = columns.unpack_seconds(pieces[-1])
    try:
        if told.days:
            numbers = list(accumulate(columns.unpack("i", pieces[0])))
            leaves = {leaf: days(told.days, leaf) for leaf in {number // LEAF for number in numbers}}
            when = [leaves[number // LEAF][number % LEAF] for number in numbers]
        else:
            when = _former(told, pieces)
        samples = [
            Sample._make(
                (
                    *day[:-1],
                    _LETTERS[letter],
                    seconds,
                    *told.causes[cause],
                    attempt,
                    told.sources[source],
                    day[-1],
                )
            )
            for day, letter, seconds, cause, attempt, source in zip(
                when, told.outcomes, times, causes, attempts, sources, strict=True
            )
        ]
    except (IndexError, KeyError) as error:
        raise shape.Misshapen("a history that refers to nothing") from error
    return TestHistory(id=told.id, first_seen=told.first_seen, samples=tuple(samples), gone=told.gone)


def _former(told: _Told, pieces: Sequence[bytes]) -> list[Day]:
    moments = list(accumulate(columns.unpack("q", pieces[0])))
    late = columns.unpack("q", pieces[1])
    low, tails, cells = (columns.unpack("H", piece) for piece in pieces[2:5])
    return [
        Day(
            run_id(moments[n], low[n], told.tails[tails[n]]),
            (moments[n] + late[n]) / 1000,
            *told.cells[cells[n]],
        )
        for n in range(len(moments))
    ]
