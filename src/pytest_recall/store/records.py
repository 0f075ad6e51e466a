"""How our values lie in Chroma's metadata: packed texts within the limits of every backend.

A value is JSON, deflated, in base64, cut into strings `v0`, `v1`, …; beside them stand the few fields
that a query filters by. Text of a test run is in the packed part, or escaped to ASCII.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, TypeVar

from pytest_recall.history.proof import Evidence
from pytest_recall.model import (
    FailureHistory,
    Fate,
    Note,
    RunRow,
    TestHistory,
    Transition,
)
from pytest_recall.store import codec, lore, samples, shape
from pytest_recall.store.calendar import LEAF, Calendar, Day, Days, pack, unpack

Metadata = dict[str, str | int | float | bool]

STEADY = frozenset(
    {"key", "test", "writer", "exception"}
)  # fields that stay what they were when a row changes
SCHEMA = 2  # 1: rows of tests told of each run themselves
VALUE = 4_000  # bytes of one metadata string (the limit is 4,096)
# Chroma indexes every string. SQLite keeps four of this length on a page of that index; a longer one takes a page.
_DENSE = 950
PIECES = 24  # of a packed value in one record
LONGEST_ID = 3_000  # bytes of a test id as ASCII; a longer one is known from the journal only

_FITTING = 500  # characters of a text where the whole does not fit
_FINGERPRINT = re.compile(r"[A-Za-z0-9:._-]{1,64}")
_DOCUMENT = 12_288  # bytes
_LARGEST = 4 << 20  # bytes of one packed value, unpacked

_OTHERS: dict[str, type[lore.Learnt]] = {"evidence": Evidence, "fate": Fate}

T = TypeVar("T")


def run_record(row: RunRow, writer: str) -> Metadata:
    """The row of a run; `ms` is the time in its id, by which runs are ordered everywhere."""
    return {
        "ms": moment(row.id),
        "at": row.started_at,
        "space": row.space,
        "status": row.status.value,
        "scope": ascii_text(row.scope)[:VALUE],
        "revision": ascii_text(row.revision.digest)[:VALUE],
        "writer": writer,
        **_cut_first(row, replace(row, intent=row.intent[:_FITTING], client=row.client[:_FITTING])),
    }


def read_run(record: Metadata) -> RunRow:
    return shape.load(RunRow, _value(joined(record)))


def moment(run_id: str) -> int:
    """Milliseconds since the epoch, as the run's id (UUIDv7) says."""
    return int(run_id[:8] + run_id[9:13], 16)


def test_key(test_id: str) -> str:
    return blake2b(test_id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def test_record(history: TestHistory, writer: str, calendar: Calendar) -> Metadata:
    """The row of a test; `days` names the leaves of the calendar that it needs."""
    packed, numbers = samples.pack(history, calendar)
    return {
        "key": test_key(history.id),
        "test": ascii_text(history.id),
        "writer": writer,
        "days": f"{calendar.name}:{_ranges({number // LEAF for number in numbers})}",
        **cut(deflate(packed)),
    }


def read_test(record: Metadata, days: Days) -> TestHistory:
    return unpack_test(joined(record), days)


def unpack_test(text: str, days: Days) -> TestHistory:
    """The history in the joined text of its row. Raises ValueError."""
    return samples.unpack(inflate(text), days)


def leaves(record: Metadata) -> list[str]:
    """The ids of the leaves that the row of a test needs; none in the format of before."""
    name, _, ranges = str(record.get("days", "")).partition(":")
    found: list[str] = []
    for part in filter(None, ranges.split(",")):
        first, _, last = part.partition("-")
        found += [leaf_id(name, leaf) for leaf in range(int(first), int(last or first) + 1)]
    return found


def leaf_id(name: str, leaf: int) -> str:
    return f"days-{name}-{leaf}"


def leaf_record(name: str, writer: str, leaf: int, days: Sequence[Day]) -> Metadata:
    """The row of a leaf; `full` where it will never change again."""
    return {
        "of": f"days-{writer}",
        "part": "days",
        "name": name,
        "number": leaf,
        "at": days[-1].at,
        "full": len(days) == LEAF,
        **cut(deflate(pack(days))),
    }


def read_leaf(text: str) -> list[Day]:
    """The days in the joined text of a leaf's row. Raises ValueError."""
    return unpack(inflate(text))


class Leaves:
    """Leaves of calendars by their ids, unpacked when a day of theirs is asked for."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._days: dict[str, tuple[str, list[Day]]] = {}  # with the text that they were read from

    def add(self, texts: Mapping[str, str]) -> None:
        """Leaves by id, as their rows have them; a newer state takes the place of an older one."""
        for name, text in texts.items():
            if self._texts.get(name) != text:
                self._texts[name] = text

    def days(self, name: str, number: int) -> Sequence[Day]:
        """Raises ValueError where there is no such leaf, or it is torn. Safe beside `add` in another thread."""
        leaf = leaf_id(name, number)
        text = self._texts.get(leaf)
        if text is None:
            raise shape.Misshapen("a leaf of a calendar is missing")
        read = self._days.get(leaf)
        if read is None or read[0] is not text:
            read = self._days[leaf] = (text, read_leaf(text))
        return read[1]


def _ranges(numbers: Collection[int]) -> str:
    """*numbers* as in `3-9,12`."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def cause_key(fingerprint: str) -> str:
    """A fingerprint as it can stand in an id: ours as they are, anything else by its digest."""
    return fingerprint if _FINGERPRINT.fullmatch(fingerprint) else test_key(fingerprint)


def failure_record(failure: FailureHistory, writer: str) -> Metadata:
    """The row of a cause; long ids of tests are left out where all of them do not fit."""
    fitting = replace(failure, tests=tuple(test for test in failure.tests if len(test) <= _FITTING))
    return {
        "key": cause_key(failure.fingerprint),
        "writer": writer,
        "exception": ascii_text(failure.exception)[:200],
        **_cut_first(failure, replace(fitting, message=failure.message[:_FITTING])),
    }


def read_failure(record: Metadata) -> FailureHistory:
    return unpack_failure(joined(record))


def unpack_failure(text: str) -> FailureHistory:
    """The cause in the joined text of its row. Raises ValueError."""
    return shape.load(FailureHistory, _value(text))


def outcome_records(name: str, parts: dict[str, bytes], digest: str) -> list[tuple[str, Metadata]]:
    """A whole run, or a list of tests, under *name*: its parts in as many records as they need."""
    room = VALUE * PIECES
    found: list[Metadata] = []
    for part, data in parts.items():
        text = deflate(data)
        for at in range(0, max(len(text), 1), room):
            piece = cut(text[at : at + room])
            found.append({"of": name, "part": part, "number": len(found), "roster": digest, **piece})
    return [(f"{name}.{record['number']}", {**record, "records": len(found)}) for record in found]


# --- transitions and notes ------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LoreRow:
    """A transition or a note as it lies in its collection."""

    kind: str
    key: str
    text: str  # what its vector is made of
    record: Metadata


def lore_row(name: str, learnt: lore.Learnt, failures: Mapping[str, FailureHistory]) -> LoreRow:
    """*learnt*, from the file *name*; a transition is found by the text of its failure, where that is known."""
    common: Metadata = {"key": lore.key(learnt), "name": name, "at": learnt.at}
    if not isinstance(learnt, Transition):
        about, kind, text = _noted(learnt)
        common |= {"about": lore.digest((about,)), "kind": kind}
        packed = cut(_text(shape.dump(learnt)))
        return LoreRow(kind="notes", key=lore.key(learnt), text=text, record=common | packed)
    common |= {"test": test_key(learnt.test), "fingerprint": ascii_text(learnt.fingerprint)[:200]}
    common |= {"state": learnt.state, "grade": learnt.grade}
    failure = failures.get(learnt.fingerprint)
    text = f"{failure.exception}: {failure.message}\n{failure.source}" if failure else learnt.test
    return LoreRow(kind="transitions", key=lore.key(learnt), text=text, record=common | _fitting(learnt))


def _noted(learnt: Note | Evidence | Fate) -> tuple[str, str, str]:
    """What a row among the notes is about, its kind, and the text that its vector is made of."""
    match learnt:
        case Note(about=about, kind=kind, text=text):
            return about, kind, text
        case Evidence(run=run):
            return run, "evidence", f"evidence {run}"
        case Fate(test=test, became=became):
            return test, "fate", f"{test} {became}"


def _fitting(transition: Transition) -> Metadata:
    try:
        return cut(_text(shape.dump(transition)))
    except ValueError:  # too much for one record: the files have the hunks, others have to do with the paths
        bare = tuple(replace(change, hunks="") for change in transition.changes)
        return cut(_text(shape.dump(replace(transition, changes=bare, intents=transition.intents[-1:]))))


def read_lore(record: Metadata) -> tuple[str, lore.Learnt]:
    """The inverse of `lore_row`: the file's name and what it kept. Raises `shape.Misshapen` or another ValueError."""
    value = _value(joined(record))
    kind: type[lore.Learnt] = (
        Transition if "fingerprint" in record else _OTHERS.get(str(record.get("kind")), Note)
    )
    return str(record.get("name", "")), shape.load(kind, value)


# --- texts in metadata ----------------------------------------------------------------------


def cut(text: str) -> Metadata:
    """*text* as `v0`, `v1`, … and how many. Raises ValueError when it does not fit one record."""
    size = _DENSE if len(text) <= _DENSE * PIECES else VALUE
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    if len(pieces) > PIECES:
        raise ValueError(f"a value of {len(text)} bytes does not fit one record")
    return {"pieces": len(pieces), **{f"v{number}": piece for number, piece in enumerate(pieces)}}


def _cut_first(*values: object) -> Metadata:
    """The first of these values that fits one record."""
    *more, last = values
    for value in more:
        with suppress(ValueError):
            return cut(_text(shape.dump(value)))
    return cut(_text(shape.dump(last)))


def joined(record: Any) -> str:
    """The text that `cut` made. Raises `shape.Misshapen`."""
    try:
        return "".join([record[f"v{number}"] for number in range(record["pieces"])])
    except (KeyError, TypeError) as error:
        raise shape.Misshapen("a record without its pieces") from error


def ascii_text(text: str) -> str:
    """*text* in printable ASCII, the way JSON writes it: Chroma refuses lone surrogates."""
    return json.dumps(text)[1:-1]


def read_ascii(text: str) -> str:
    """The inverse of `ascii_text`."""
    return str(json.loads(f'"{text}"'))


def document_text(text: str) -> str:
    """*text* for a document: at most 12 KB, lone surrogates escaped."""
    return text.encode("utf-8", "backslashreplace")[:_DOCUMENT].decode("utf-8", "ignore")


def deflate(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 6)).decode("ascii")


def inflate(text: str, most: int = _LARGEST) -> bytes:
    """The inverse of `deflate`, bounded. Raises ValueError."""
    try:
        engine = zlib.decompressobj()
        data = engine.decompress(base64.b64decode(text, validate=True), most)
    except zlib.error as error:
        raise shape.Misshapen("a torn record") from error
    if not engine.eof:
        raise shape.Misshapen("a torn or too large record")
    return data


def _text(value: object) -> str:
    return deflate(codec.render(value))


def _value(text: str) -> Any:
    return codec.parse(inflate(text))
