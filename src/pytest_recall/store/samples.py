"""The history of one test as a short text: its samples by columns, what repeats told once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

from pytest_recall.model import Outcome, Sample, Space, TestHistory
from pytest_recall.store import codec, columns, shape

T = TypeVar("T")

_LETTERS = dict(zip("pfesxXtcn", Outcome, strict=True))
_OF = {outcome: letter for letter, outcome in _LETTERS.items()}
_LENGTH = 4  # bytes that tell how long the told part is


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What is not a column of numbers."""

    id: str
    first_seen: float
    gone: bool = False
    outcomes: str = ""  # a letter for each sample
    tails: tuple[str, ...] = ()  # of run ids: what follows the first 64 bits
    cells: tuple[tuple[str, str, Space], ...] = ()  # revision, environment, space
    causes: tuple[tuple[str, str], ...] = ()  # strict, group
    sources: tuple[str, ...] = ()


def pack(history: TestHistory) -> bytes:
    """*history* as bytes. `at` loses what is below a millisecond, a duration what `columns` lets go."""
    samples = history.samples
    hexes = [sample.run.replace("-", "") for sample in samples]
    moments = [int(text[:12], 16) for text in hexes]
    tails = _numbered(text[16:] for text in hexes)
    cells = _numbered((s.revision, s.environment, s.space) for s in samples)
    causes = _numbered((s.fingerprint, s.group) for s in samples)
    sources = _numbered(sample.sources for sample in samples)
    told = _Told(
        id=history.id,
        first_seen=history.first_seen,
        gone=history.gone,
        outcomes="".join([_OF[sample.outcome] for sample in samples]),
        tails=tuple(tails),
        cells=tuple(cells),
        causes=tuple(causes),
        sources=tuple(sources),
    )
    text = codec.render(shape.dump(told))
    late = [round(sample.at * 1000) - moment for sample, moment in zip(samples, moments, strict=True)]
    return b"".join(
        [
            len(text).to_bytes(_LENGTH, "little"),
            text,
            columns.pack("q", columns.steps(moments)),  # the first 48 bits of the run's id
            columns.pack("q", late),  # `at` minus these
            columns.pack("H", [int(text[12:16], 16) for text in hexes]),
            columns.pack("H", [tails[text[16:]] for text in hexes]),
            columns.pack("H", [cells[s.revision, s.environment, s.space] for s in samples]),
            columns.pack("H", [causes[s.fingerprint, s.group] for s in samples]),
            columns.pack("H", [sources[sample.sources] for sample in samples]),
            columns.pack("H", [min(sample.attempt, 0xFFFF) for sample in samples]),
            columns.pack_seconds([min(max(s.duration_s, 0.0), columns.LONGEST_S) for s in samples]),
        ]
    )


def unpack(data: bytes) -> TestHistory:
    """The inverse of `pack`. Raises ValueError for whatever is not a history of ours."""
    end = _LENGTH + int.from_bytes(data[:_LENGTH], "little")
    told = shape.load(_Told, codec.parse(data[_LENGTH:end]))
    count = len(told.outcomes)
    pieces = []
    for width in (8, 8, 2, 2, 2, 2, 2, 2, 2):
        pieces.append(data[end : end + width * count])
        end += width * count
    if end != len(data):
        raise shape.Misshapen("a history of another length")
    moments = list(accumulate(columns.unpack("q", pieces[0])))
    late = columns.unpack("q", pieces[1])
    low, tails, cells, causes, sources, attempts = (columns.unpack("H", piece) for piece in pieces[2:8])
    try:
        samples = [
            Sample(
                run=_run_id(moments[n], low[n], told.tails[tails[n]]),
                at=(moments[n] + late[n]) / 1000,
                revision=told.cells[cells[n]][0],
                environment=told.cells[cells[n]][1],
                space=told.cells[cells[n]][2],
                outcome=_LETTERS[told.outcomes[n]],
                duration_s=columns.seconds(pieces[8], n),
                fingerprint=told.causes[causes[n]][0],
                group=told.causes[causes[n]][1],
                attempt=attempts[n],
                sources=told.sources[sources[n]],
            )
            for n in range(count)
        ]
    except (IndexError, KeyError) as error:
        raise shape.Misshapen("a history that refers to nothing") from error
    return TestHistory(id=told.id, first_seen=told.first_seen, samples=tuple(samples), gone=told.gone)


def _numbered(values: Iterable[T]) -> dict[T, int]:
    return {value: number for number, value in enumerate(dict.fromkeys(values))}


def _run_id(moment: int, low: int, tail: str) -> str:
    return f"{moment >> 16:08x}-{moment & 0xFFFF:04x}-{low:04x}-{tail[:4]}-{tail[4:]}"
