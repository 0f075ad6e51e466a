"""The whole store as one file, to be moved or kept elsewhere: a tar of journal files, rosters and lore, and back.

What comes in is looked at as if a stranger had made it: names, sizes and contents, before it is kept.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from pytest_recall.errors import RecallError, StoreUnavailable, Unimportable
from pytest_recall.model import RunRow
from pytest_recall.store import codec, files, runfile
from pytest_recall.store.journal import Journal, place
from pytest_recall.store.lore import Lore

FORMAT = 1

_ABOUT = "pytest-recall.json"
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_ROSTER, _RUN, _LORE = (
    re.compile(pattern)
    for pattern in (r"rosters/[0-9a-f]{32}", rf"runs/{_UUID}\.run", rf"lore/{_UUID}\.json")
)
_LARGEST = 256 << 20  # bytes of one member
_MOST = 1_000_000  # members


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What an archive was made of."""

    runs: int
    older: int = 0  # of them, those that only the index had
    missing: int = 0  # which it could not give
    why: str = ""  # it could not be asked for all of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What was in an archive."""

    runs: int = 0  # taken in
    lore: int = 0
    known: int = 0  # runs and lore that were there already
    refused: tuple[str, ...] = ()  # what could not be read, and why


def save(
    journal: Journal, out: BinaryIO, forgotten: Iterable[tuple[RunRow, codec.Packed | None]] = ()
) -> Saved:
    """Write all that *journal*'s folder keeps onto *out*, and the *forgotten* runs that only an index still has.

    These are without what only the journal keeps (see `codec.lean`). Chroma's index itself is not in it.
    """
    runs = 0
    with tarfile.open(fileobj=out, mode="w|") as archive:
        about = json.dumps({"format": FORMAT}).encode()
        _add(archive, _ABOUT, about)
        for name, path in _members(journal):  # rosters first: the runs after them can be read at once
            try:
                data = files.content(path)
            except FileNotFoundError:  # let go of meanwhile, or settled
                moved = journal.runs / path.name
                if not name.startswith("runs/") or not moved.exists():
                    continue
                data = files.content(moved)
            _add(archive, name, data)
            runs += name.startswith("runs/")
        older = _older(archive, forgotten)
    return replace(older, runs=runs + older.runs)


def _older(archive: tarfile.TarFile, forgotten: Iterable[tuple[RunRow, codec.Packed | None]]) -> Saved:
    rosters, older, missing, why = set[str](), 0, 0, ""
    try:
        for row, packed in forgotten:
            if packed is None:
                missing += 1
                continue
            if packed.digest and packed.digest not in rosters:
                _add(archive, f"rosters/{packed.digest}", zlib.compress(packed.roster))
                rosters.add(packed.digest)
            _add(archive, f"runs/{row.id}.run", runfile.zipped(packed, row))
            older += 1
    except StoreUnavailable as error:  # what the journal keeps is written all the same
        why = str(error)
    return Saved(runs=older, older=older, missing=missing, why=why)


def load(journal: Journal, source: BinaryIO) -> Moved:
    """Keep what *source* has and *journal* has not; the index is fed from it later. Raises `Unimportable`."""
    runs = lore = known = 0
    refused: list[str] = []
    aside = Path(tempfile.mkdtemp(prefix="incoming-", dir=journal.folder))
    own = Lore(journal.folder)
    try:
        for name, read in _read(source):
            last = name.rpartition("/")[2]
            try:
                if _ROSTER.fullmatch(name):
                    journal.add_roster(last, read())
                elif _RUN.fullmatch(name):
                    if journal.find(last.removesuffix(".run")) is not None:
                        known += 1
                        continue
                    path = aside / last
                    path.write_bytes(read())
                    journal.record(path).run()
                    place(journal.inbox / last, path.read_bytes())
                    path.unlink()
                    runs += 1
                elif _LORE.fullmatch(name):
                    if own.has(last):
                        known += 1
                        continue
                    path = aside / last
                    path.write_bytes(read())
                    own.read(path)
                    own.add(last, path.read_bytes())
                    lore += 1
                else:
                    refused.append(f"{name[:100]!r} is nothing of a store's")
            except RecallError as error:
                refused.append(str(error))
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Moved(runs=runs, lore=lore, known=known, refused=tuple(refused))


def _members(journal: Journal) -> Iterator[tuple[str, Path]]:
    for folder, paths in (
        ("rosters", sorted((journal.folder / "rosters").glob("[0-9a-f]*"))),
        ("runs", sorted(journal.paths())),
        ("lore", sorted((journal.folder / "lore").glob("[0-9a-f]*.json"))),
    ):
        yield from ((f"{folder}/{path.name}", path) for path in paths if not files.foreign(path))


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def _read(source: BinaryIO) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The members after the first, which says what this is."""
    try:
        with tarfile.open(fileobj=source, mode="r|*") as archive:
            for number, member in enumerate(archive):
                if number == 0:
                    _check(archive, member)
                    continue
                if number > _MOST:
                    raise Unimportable(f"The archive has more than {_MOST} members.")
                if member.isfile():
                    yield member.name, lambda one=member: _content(archive, one)  # type: ignore[misc]
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise Unimportable(
            f"The archive is torn, or none of ours: {type(error).__name__}: {error!s:.200}"
        ) from error


def _check(archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    if member.name != _ABOUT or not member.isfile() or member.size > 10_000:  # noqa: PLR2004 - a line of JSON
        raise Unimportable("This is no exported store. `pytest-recall store export FILE` makes one.")
    found = json.loads(_content(archive, member))
    version = found.get("format") if isinstance(found, dict) else None
    if version != FORMAT:
        raise Unimportable(f"The archive has the format {version!r:.20}; this version reads {FORMAT}.")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.size > _LARGEST:
        raise Unimportable(f"{member.name[:100]!r} is larger than anything of ours.")
    file = archive.extractfile(member)
    return b"" if file is None else file.read()
