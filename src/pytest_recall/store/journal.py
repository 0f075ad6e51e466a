"""The durable record of runs: one immutable file a run, written before anything else is done with it.

    <folder>/inbox/<run id>.run    kept, not yet taken into Chroma; never pruned
    <folder>/runs/<run id>.run     taken in; the index is rebuilt from these
    <folder>/index                 by which index; what another one took in lies in both, until this one has it too
    <folder>/rosters/<digest>      lists of node ids that several runs share, named by their content
    <folder>/broken/               what could not be read, set aside
    <folder>/writer                the name under which this folder's rows stand in a shared store

A `.run` file is a zip: `run.json` and `columns` (see `codec`), `row.json` (the run in one line, so that
listing runs reads little), `output.txt`, `report.json` and `log.txt`. Its comment names the roster it needs.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import secrets
import threading
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytest_recall.errors import StoreUnavailable, UnreadableRun, WithheldRun, quoted
from pytest_recall.history import trend
from pytest_recall.history.durations import NONE, Seconds
from pytest_recall.model import Run, RunFiles, RunRow
from pytest_recall.store import codec, shape
from pytest_recall.store.roster import Listed, Roster, digest_of, node_ids

_RUN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_DIGEST = re.compile(r"[0-9a-f]{32}")
_SUFFIX = ".run"
_LARGEST = 256 << 20  # bytes of one file, and of one of its unpacked members
_ASIDE = 20  # unreadable files that are kept
_FRESH_S = 3600.0  # what is younger may still be in the making
_LEVEL = (
    5  # of deflate: 0.6 ms for a run of 5,000 tests, a tenth smaller than at 1; 2 ms for their ids, 3 at 6
)
_ROSTERS = 8  # kept unpacked
_WITHHELD = frozenset(
    {errno.EACCES, errno.EIO, errno.ELOOP, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EPERM}
)
_BROKEN_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    ValueError,
    RuntimeError,
    NotImplementedError,
)


class Journal:
    """The runs of one folder, which several processes may use at once.

    Raises `StoreUnavailable` when the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inbox = folder / "inbox"
        self.runs = folder / "runs"
        self._rosters = folder / "rosters"
        self._broken = folder / "broken"
        self._index = folder / "index"
        self._unpacked: OrderedDict[str, Roster] = OrderedDict()
        self._listed = Listed()
        self._sound: set[str] = set()  # rosters on disk that this process wrote or checked
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for part in (self.inbox, self.runs, self._rosters, self._broken):
                part.mkdir(mode=0o700, exist_ok=True)
                os.scandir(part).close()  # whoever may not look into it is told so here
            ignore = folder / ".gitignore"
            if not ignore.exists():
                place(ignore, b"*\n")
            name = folder / "writer"
            if not name.exists():
                _create(name, secrets.token_hex(6))
            self.writer = re.sub(r"[^0-9a-z]", "", name.read_text("ascii", "replace"))[:32] or "writer"
        except OSError as error:
            raise _unwritable(folder, error) from error

    # --- one run ----------------------------------------------------------------------------

    def write(self, run: Run, files: RunFiles | None = None) -> Path:
        """Keep *run*: on disk for good when this returns.

        Raises `StoreUnavailable` when the disk refuses.
        """
        name = f"{_checked(run.id)}{_SUFFIX}"
        packed = codec.pack(run, self._listed)
        try:
            if packed.listed:
                self._keep_roster(packed.listed)
            target = self.inbox / name
            place(target, zipped(packed, trend.row(run), files))
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        return target

    def alike(self, run: Run) -> Run:
        """*run*, not yet kept, with what it has in common with the one before in memory once."""
        return self._listed.alike(run)

    def run(self, run_id: str) -> Run | None:
        """The run, or None when the journal does not have it. Raises `UnreadableRun`."""
        path = self.find(run_id)
        return None if path is None else self.read(path)

    def seconds(self, run_id: str) -> Seconds:
        """The seconds of the calls of tests that passed in that run; none where it cannot be read."""
        with suppress(UnreadableRun):
            if (path := self.find(run_id)) is not None:
                return self.record(path).seconds()
        return NONE

    def read(self, path: Path) -> Run:
        """The run in *path*. Raises `UnreadableRun`."""
        return self.record(path).run()

    def record(self, path: Path) -> codec.Record:
        """The run in *path*, opened. Raises `UnreadableRun`."""
        with _opened(path) as archive:
            packed = codec.Packed(head=_member(archive, "run.json"), columns=_member(archive, "columns"))
        record = codec.Record(packed, self.roster)
        if record.id != path.stem:
            raise UnreadableRun(f"{path.name} holds another run: {quoted(record.id)}.")
        return record

    def packed(self, path: Path) -> codec.Packed:
        """The run in *path* as it is stored, without its roster. Raises `UnreadableRun`."""
        with _opened(path) as archive:
            digest = archive.comment.decode("ascii", "replace")
            return codec.Packed(
                head=_member(archive, "run.json"), columns=_member(archive, "columns"), digest=digest
            )

    def packed_roster(self, digest: str) -> bytes:
        """The list of node ids of that digest as it is stored. Raises `UnreadableRun`."""
        return codec.render(list(self.roster(digest).ids))

    def row(self, path: Path) -> RunRow:
        """The run in *path* in one line. Raises `UnreadableRun`."""
        with _opened(path) as archive:
            data = _member(archive, "row.json")
        try:
            return shape.load(RunRow, codec.parse(data))
        except (ValueError, RecursionError) as error:
            raise UnreadableRun(f"{path.name} cannot be read: {error!s:.200}") from error

    def files(self, run_id: str) -> RunFiles | None:
        """The output of pytest and its JSON report, as they were kept beside the run."""
        path = self.find(run_id)
        if path is None:
            return None
        with _opened(path) as archive:
            names = ("output.txt", "report.json", "log.txt")
            output, report, log = (_member(archive, name, _LARGEST) for name in names)
            return RunFiles(output=output, report=report, log=log)

    # --- many -------------------------------------------------------------------------------

    def pending(self) -> list[Path]:
        """What is to be taken into Chroma, oldest first."""
        return [self.inbox / name for name in sorted(_names(self.inbox))]

    def settled(self) -> list[Path]:
        """What has been taken in, oldest first."""
        found = set(_names(self.runs))  # listed first: what is settled meanwhile is not missed
        return [self.runs / name for name in sorted(found.difference(_names(self.inbox)))]

    def index(self) -> str:
        """The name of the index that has taken in what is settled; "" where nobody has noted it."""
        with suppress(OSError):
            return self._index.read_text("ascii", "replace")[:100]
        return ""

    def belong(self, index: str, lacking: Sequence[Path]) -> None:
        """What is settled has been taken in by the index of that name, but for *lacking*: these are pending again.

        They stay where they are as well, so that no reader misses them on their way. Raises `StoreUnavailable`.
        """
        try:
            for path in lacking:
                with suppress(FileExistsError, FileNotFoundError):
                    (self.inbox / path.name).hardlink_to(path)
            _sync(self.inbox)
            place(self._index, index.encode("ascii"))
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def paths(self) -> list[Path]:
        """All runs, newest first (their ids begin with the time)."""
        # The inbox is listed first: a run moves one way, so that none is missed in between.
        found = {name: self.inbox / name for name in _names(self.inbox)}
        found |= {name: self.runs / name for name in _names(self.runs)}
        return [found[name] for name in sorted(found, reverse=True)]

    def size(self) -> int:
        """Bytes on disk of all runs and their rosters."""
        total = 0
        for path in (*self.paths(), *self._rosters.iterdir()):
            with suppress(FileNotFoundError):  # it was settled, or put into place
                total += path.stat().st_size
        return total

    def recent(self, limit: int, *, before: str = "") -> Iterator[Run]:
        """At most *limit* runs, newest first, older than the run *before*; unreadable ones are skipped."""
        for path in self.paths():
            if limit <= 0:
                return
            if before and path.stem >= before:
                continue
            with suppress(UnreadableRun):
                yield self.read(path)
                limit -= 1

    def indexed(self) -> int | None:
        """How many runs the embedded index held when it was last written; None where there is one that does not tell."""
        with suppress(LookupError, TypeError, ValueError):
            return int(self._manifest()["counts"]["runs"])
        there = os.path.lexists(self.folder / "chroma") or any(self.folder.glob("chroma.old*"))
        return None if there else 0

    def lost(self) -> int:
        """How many runs the index before had that the present one could not take over."""
        with suppress(LookupError, TypeError, ValueError):
            return int(self._manifest()["lost"])
        return 0

    def _manifest(self) -> Any:
        """What is noted of the embedded index, as anybody may have written it."""
        with suppress(OSError, ValueError):
            return json.loads((self.folder / "chroma" / "recall.json").read_bytes())
        return {}

    def damaged(self) -> Iterator[str]:
        """Open every file to its end, and tell which cannot be read, and why."""
        for path in self.paths():
            try:
                self.row(path)
                self.read(path)
                self.files(path.stem)
            except codec.FromLater:
                continue
            except UnreadableRun as error:
                if self.find(path.stem) is not None:  # else it was let go of meanwhile
                    why = str(error).removeprefix(f"{path.name} ")
                    yield f"{path.parent.name}/{path.name} ({why})"
        for path in self._rosters.iterdir():
            if _DIGEST.fullmatch(path.name) and path.exists() and _unpacked_roster(path, path.name) is None:
                yield f"rosters/{path.name}"
        yield from (f"broken/{name}" for name in self.aside())

    def later(self) -> Iterator[str]:
        """The files of the inbox that wait for a later version of ours: nothing is wrong with them."""
        for path in self.pending():
            try:
                self.record(path)
            except codec.FromLater:
                yield path.name
            except UnreadableRun:
                continue

    def aside(self) -> list[str]:
        """The files of runs that were set aside."""
        with suppress(StoreUnavailable):
            return sorted(_names(self._broken))
        return []

    def settle(self, path: Path) -> None:
        """*path* of the inbox has been taken in."""
        with suppress(FileNotFoundError):  # another process took it in
            path.replace(self.runs / path.name)
            path.unlink(missing_ok=True)  # where it lay in both, nothing was moved

    def set_aside(self, path: Path) -> None:
        """*path* cannot be read: out of the way of the others, kept for a person to look at."""
        with suppress(FileNotFoundError):
            path.rename(self._broken / path.name)
        for old in sorted(self._broken.iterdir(), key=_modified)[:-_ASIDE]:
            old.unlink(missing_ok=True)

    def leaving(self, *, count: int, age_s: float, size_bytes: int, now: float) -> list[Path]:
        """The files of `runs/` beyond any of these limits, newest first. Never those of the inbox."""
        found: list[Path] = []
        total = 0
        for kept, path in enumerate(reversed(self.settled())):
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            total += stat.st_size
            if kept >= count or now - stat.st_mtime > age_s or total > size_bytes:
                found.append(path)
        return found

    def forget(self, paths: Sequence[Path], now: float) -> None:
        """Remove *paths*, and what no run needs any more."""
        for path in paths:
            path.unlink(missing_ok=True)
        self._sweep(now, rosters=bool(paths))

    # --- inside -----------------------------------------------------------------------------

    def find(self, run_id: str) -> Path | None:
        if not _RUN_ID.fullmatch(run_id):
            return None
        places = (self.inbox / f"{run_id}{_SUFFIX}", self.runs / f"{run_id}{_SUFFIX}")
        return next((path for path in places if path.exists()), None)

    def _keep_roster(self, roster: Roster) -> None:
        self._at_hand(roster.digest, roster)
        if roster.digest in self._sound:
            return
        path = self._rosters / roster.digest
        # A roster that was damaged on disk is mended here by the next run that has it.
        if _unpacked_roster(path, roster.digest) is None:
            packing = zlib.compressobj(_LEVEL)
            place(path, b"".join([*map(packing.compress, roster.pieces()), packing.flush()]))
        os.utime(path)  # in use: a sweep in another process lets it be
        self._sound.add(roster.digest)

    def _at_hand(self, digest: str, roster: Roster) -> None:
        self._unpacked[digest] = roster
        self._unpacked.move_to_end(digest)
        if len(self._unpacked) > _ROSTERS:
            self._unpacked.popitem(last=False)

    def add_roster(self, name: str, data: bytes) -> None:
        """Keep a roster that another store wrote. Raises `UnreadableRun`, also when it is not what its name says."""
        path = self._rosters / name
        if not _DIGEST.fullmatch(name) or _checked_roster(data, name) is None:
            raise UnreadableRun(f"The list of tests {quoted(name)} is damaged.")
        if _unpacked_roster(path, name) is None:
            place(path, data)
        os.utime(path)

    def roster(self, digest: str) -> Roster:
        """The list of node ids of that digest. Raises `UnreadableRun`."""
        if digest in self._unpacked:
            self._unpacked.move_to_end(digest)
            return self._unpacked[digest]
        data = _unpacked_roster(self._rosters / digest, digest) if _DIGEST.fullmatch(digest) else None
        if data is None:
            self._check_roster(digest)
            raise UnreadableRun(f"The list of tests {quoted(digest)} of a run is missing or damaged.")
        roster = Roster(node_ids(codec.parse(data)))
        self._at_hand(digest, roster)
        return roster

    def _check_roster(self, digest: str) -> None:
        try:
            if _DIGEST.fullmatch(digest):
                (self._rosters / digest).read_bytes()
        except OSError as error:
            _check_let(f"The list of tests {quoted(digest)}", error)

    def _sweep(self, now: float, *, rosters: bool) -> None:
        """Remove what writers left behind when they died, and rosters that no run needs any more."""
        needed = {_comment(path) for path in self.paths()} if rosters else None
        for folder in (self.inbox, self._rosters):
            for path in folder.iterdir():
                unneeded = needed is not None and folder is self._rosters and path.name not in needed
                with suppress(FileNotFoundError):
                    if (unneeded or path.name.startswith(".")) and now - _modified(path) > _FRESH_S:
                        path.unlink()
                        self._sound.discard(path.name)


def place(path: Path, data: bytes) -> None:
    """Write *data* aside, force it to the disk, and rename it into place."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with aside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def new_id(clock: Callable[[], float]) -> str:
    """A UUID of version 7: sorts by time, and rises within a process even when the clock goes back."""
    now = int(clock() * 4_096_000)  # 48 bits of milliseconds, 12 of their fractions
    stamp, tail = _IDS.next(now)
    high, fraction = stamp >> 12, stamp & 0xFFF
    text = f"{high:012x}7{fraction:03x}{tail:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class _Ids:
    """The random part is drawn once: ids of one process share it, so that lists of them pack well."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._tail = secrets.randbits(62) | 1 << 63

    def next(self, now: int) -> tuple[int, int]:
        with self._lock:
            self._last = max(now, self._last + 1)
            return self._last % (1 << 60), self._tail


_IDS = _Ids()  # of the process: what "rises within a process" is about


def zipped(packed: codec.Packed, row: RunRow, files: RunFiles | None = None) -> bytes:
    """A file of the journal; the list of tests that it needs is another."""
    files = files or RunFiles()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        archive.comment = packed.digest.encode("ascii")
        members = {
            "row.json": codec.render(shape.dump(row)),
            "run.json": packed.head,
            "columns": packed.columns,
        }
        members |= {"output.txt": files.output[:_LARGEST], "report.json": files.report, "log.txt": files.log}
        for name, data in members.items():
            if data and len(data) <= _LARGEST:
                archive.writestr(name, data)
    return buffer.getvalue()


# --- files ----------------------------------------------------------------------------------


def _checked(run_id: str) -> str:
    if not _RUN_ID.fullmatch(run_id):
        raise UnreadableRun(f"{quoted(run_id)} is no run id: a UUID in lower case is one.")
    return run_id


def _unwritable(folder: Path, error: OSError) -> StoreUnavailable:
    why, remedy = error.strerror or type(error).__name__, "Make it writable and leave it some space"
    if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
        wrong = "a folder" if isinstance(error, IsADirectoryError) else "no folder"
        why, remedy = f"{quoted(str(error.filename or folder))} is {wrong}", "Move that away"
    return StoreUnavailable(
        f"Runs cannot be kept in {quoted(str(folder))}: {why}. "
        f"{remedy}, or choose another place with PYTEST_RECALL_STORE_FOLDER."
    )


def _create(path: Path, text: str) -> None:
    """Make *path* with *text*; whoever comes first wins, and nobody reads half of it."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with aside.open("x", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(aside)
    finally:
        aside.unlink(missing_ok=True)
    _sync(path.parent)


def _opened(path: Path) -> zipfile.ZipFile:
    for place in (path, path.parent.parent / "runs" / path.name):  # it may be settled meanwhile
        try:
            if place.stat().st_size > _LARGEST:
                raise UnreadableRun(f"{path.name} is larger than any run of ours.")
            return zipfile.ZipFile(place)
        except FileNotFoundError:
            continue
        except (*_BROKEN_ZIP, OSError) as error:
            _check_let(path.name, error)
            raise UnreadableRun(f"{path.name} is torn or no journal file: {error!s:.200}") from error
    raise UnreadableRun(f"{path.name} is gone.")


def _member(archive: zipfile.ZipFile, name: str, most: int = codec.MOST) -> bytes:
    try:
        info = archive.getinfo(name)
    except KeyError:
        return b""
    try:
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.file_size > most:
            raise UnreadableRun(f"{name} of a stored run is no member of ours.")
        with archive.open(info) as file:
            data = file.read(most)  # never more than this, whatever the archive promises
            file.read(1)  # at its end the checksum is compared
            return data
    except (*_BROKEN_ZIP, OSError) as error:
        _check_let(f"{name} of a stored run", error)
        raise UnreadableRun(f"{name} of a stored run is torn: {error!s:.200}") from error


def _check_let(what: str, error: Exception) -> None:
    """Raise `WithheldRun` where it is the system that does not let us read *what*."""
    if isinstance(error, OSError) and error.errno in _WITHHELD:
        raise WithheldRun(f"{what} cannot be read just now: {error.strerror}") from error


def _comment(path: Path) -> str:
    try:
        with _opened(path) as archive:
            return archive.comment.decode("ascii", "replace")
    except UnreadableRun:
        return ""


def _unpacked_roster(path: Path, digest: str) -> bytes | None:
    try:
        return _checked_roster(path.read_bytes(), digest)
    except OSError:
        return None


def _checked_roster(packed: bytes, digest: str) -> bytes | None:
    try:
        data = zlib.decompressobj().decompress(packed, codec.MOST)
    except zlib.error:
        return None
    return data if digest_of(data) == digest else None


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [
                entry.name
                for entry in entries
                if entry.name.endswith(_SUFFIX) and _RUN_ID.fullmatch(entry.name[: -len(_SUFFIX)])
            ]
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise StoreUnavailable(
            f"Runs in {quoted(str(folder))} cannot be read: {why}. Make it readable."
        ) from error


def _modified(path: Path) -> float:
    return path.stat().st_mtime


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
