"""What lies in the database of an embedded index, read without Chroma: the records of a collection, and the manifest beside it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pytest_recall.store import files

Record = dict[str, Any]

CLEAN, DIRTY, OPENING, LOOKING = "clean", "dirty", "opening", "looking"  # states of an index in its manifest

_WITHHELD = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)

_SEGMENT = """
select s.id
from collections c
join segments s on s.collection = c.id
where c.name = ? and s.scope = 'METADATA'
"""
_ROWS = """
select e.embedding_id, m.key, m.string_value, m.int_value, m.float_value, m.bool_value
from embeddings e
join embedding_metadata m on m.id = e.id
where e.segment_id = ? {}
order by e.id
"""
_NAMED = "and e.embedding_id in (select value from json_each(?))"
_KEYED = """and e.id in (
    select k.id from embedding_metadata k
    where k.key = 'key' and k.string_value in (select value from json_each(?))
)"""
# Chroma takes what was written from its queue when it is next asked.
_WAITING = """
select count(*)
from embeddings_queue q
join collections c on q.topic like '%/' || c.id
join segments s on s.collection = c.id
left join max_seq_id m on m.segment_id = s.id
where c.name = ? and s.scope = 'METADATA' and q.seq_id > coalesce(m.seq_id, 0)
"""


def opened(path: Path, mode: Literal["ro", "rw"]) -> sqlite3.Connection:
    """The database in *path*, which must be there; "rw" also rolls back what a writer that died has begun."""
    with suppress(FileNotFoundError):  # for SQLite to tell
        files.check(path)
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True)


def manifest(index: Path) -> Record:
    """What was noted of the index in that folder when it was last written; nothing where that is gone or torn.

    Raises OSError where the system does not let us read it, which says nothing about the index.
    """
    try:
        found = json.loads(files.content(index / "recall.json"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def reachable(index: Path) -> None:
    """Open every file of the index in that folder, if there is one. Raises OSError where the system does not let us."""
    try:
        for path in index.iterdir():
            if path.is_dir():
                reachable(path)
            else:
                files.opened(path).close()
    except FileNotFoundError:  # what is gone is for a close look to miss
        return


def withheld(error: Exception) -> bool:
    """Whether the system kept a file of the index from us, and nothing is known about what is in it."""
    if isinstance(error, OSError):
        return not isinstance(error, FileNotFoundError)
    code = getattr(error, "sqlite_errorcode", None) or 0
    # SQLite's word for a file that ends too soon is an error of input, too.
    return code != sqlite3.SQLITE_IOERR_SHORT_READ and code & 0xFF in _WITHHELD


def waiting(database: sqlite3.Connection, kind: str) -> int:
    """How many writes to that collection are in Chroma's queue, and not in its records yet."""
    return int(database.execute(_WAITING, (kind,)).fetchone()[0])


def count(database: sqlite3.Connection, kind: str) -> int:
    """How many records that collection has."""
    asked = f"select count(*) from embeddings where segment_id in ({_SEGMENT})"  # noqa: S608 - all of it is ours
    return int(database.execute(asked, (kind,)).fetchone()[0])


def rows(
    database: sqlite3.Connection,
    kind: str,
    *,
    names: Iterable[str] | None = None,
    keys: Iterable[str] | None = None,
) -> Iterator[tuple[str, Record]]:
    """The records of a collection with their names: all, or those with one of these *names*, or these values of `key`."""
    segment = database.execute(_SEGMENT, (kind,)).fetchone() or ("",)
    chosen = names if names is not None else keys
    only = "" if chosen is None else _NAMED if names is not None else _KEYED
    values = () if chosen is None else (json.dumps(list(chosen)),)
    name, record = "", Record()
    for row_name, key, text, whole, real, flag in database.execute(_ROWS.format(only), (*segment, *values)):
        if row_name != name:
            if record:
                yield name, record
            name, record = row_name, {}
        value = text if text is not None else whole if whole is not None else real
        record[key] = bool(flag) if value is None else value
    if record:
        yield name, record
