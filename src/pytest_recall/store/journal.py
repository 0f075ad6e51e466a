"""The durable record of runs: one immutable file a run, written before anything else is done with it.

<folder>/inbox/<run id>.run    kept, not yet taken into Chroma; never pruned
<folder>/runs/<run id>.run     taken in; the index is rebuilt from these
<folder>/index                 by which index; what another one took in lies in both, until this one has it too
<folder>/rosters/<digest>      lists of node ids that several runs share, named by their content
<folder>/broken/               what could not be read, set aside
<folder>/writer                the name under which this folder's rows stand in a shared store
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytest_recall.errors import StoreUnavailable, UnreadableRun, quoted
from pytest_recall.history import trend
from pytest_recall.history.durations import NONE, Seconds
from pytest_recall.model import Run, RunFiles, RunRow
from pytest_recall.store import codec, files, ids, runfile, shape
from pytest_recall.store.roster import Listed, Roster, digest_of, node_ids

_RUN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_DIGEST = re.compile(r"[0-9a-f]{32}")
_SUFFIX = ".run"
_ASIDE = 20  # unreadable files that are kept
_FRESH_S = 3600.0  # what is younger may still be in the making
_ROSTERS = 8  # kept unpacked
_LOOKS_S = 60.0  # that a listing is good for: the time of a run that was ahead may have come
_STILL_S = 2.0  # since a folder was changed: sooner, another change may leave it the same time
# Runs kept as they were read: one view asks for the same two or three, some twice.
_LATELY, _LATELY_TESTS = 4, 20_000


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
        # Runs that were read, each with the state of its file; what the folders were seen to have, and in which state.
        self._lately: dict[str, tuple[object, Run]] = {}
        self._seen: dict[str, tuple[object, Sequence[Path]]] = {}
        self._listed = Listed()
        self._ids = ids.Ids()
        self._sound: set[str] = set()  # rosters on disk that this process wrote or checked
        self.writer = secrets.token_hex(6)
        self.renewed = False  # somebody removed the folder, and all that was in it, while we had it
        self._make()

    def _make(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for part in (self.inbox, self.runs, self._rosters, self._broken):
                part.mkdir(mode=0o700, exist_ok=True)
                os.scandir(part).close()  # whoever may not look into it is told so here
            ignore = self.folder / ".gitignore"
            if not ignore.exists():
                place(ignore, b"*\n")
            name = self.folder / "writer"
            if not name.exists():
                _create(name, self.writer)
            told = files.content(name).decode("ascii", "replace")
            self.writer = re.sub(r"[^0-9a-z]", "", told)[:32] or "writer"
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def renew(self) -> None:
        """Make the folder anew where somebody removed it, as `git clean -fdx` does. Raises `StoreUnavailable`."""
        if not (self.inbox.is_dir() and self.runs.is_dir() and self._rosters.is_dir()):
            self._make()
            self._sound.clear()
            self.renewed = True

    # --- one run ----------------------------------------------------------------------------

    def write(self, run: Run, files: RunFiles | None = None) -> Path:
        """Keep *run*: on disk for good when this returns.

        Raises `StoreUnavailable` when the disk refuses.
        """
        name = f"{_checked(run.id)}{_SUFFIX}"
        self.renew()
        packed = codec.pack(run, self._listed)
        try:
            if packed.listed:
                self._keep_roster(packed.listed)
            target = self.inbox / name
            place(target, runfile.zipped(packed, trend.row(run), files))
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        return target

    def alike(self, run: Run) -> Run:
        """*run*, not yet kept, with what it has in common with the one before in memory once."""
        return self._listed.alike(run)

    def run(self, run_id: str) -> Run | None:
        """The run, or None when the journal does not have it. Raises `UnreadableRun`."""
        path = self.find(run_id)
        if path is None:
            return None
        state, known = _state_of(path), self._lately.get(run_id)
        if known is not None and known[0] == state:
            return known[1]
        run = self.read(path)
        if len(run.tests) <= _LATELY_TESTS:
            self._lately = dict([*self._lately.items()][1 - _LATELY :]) | {run_id: (state, run)}
        return run

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
        with runfile.opened(path) as archive:
            packed = codec.Packed(
                head=runfile.member(archive, "run.json"), columns=runfile.member(archive, "columns")
            )
        record = codec.Record(packed, self.roster)
        if record.id != path.stem:
            raise UnreadableRun(f"{path.name} holds another run: {quoted(record.id)}.")
        return record

    def packed(self, path: Path) -> codec.Packed:
        """The run in *path* as it is stored, without its roster. Raises `UnreadableRun`."""
        with runfile.opened(path) as archive:
            digest = archive.comment.decode("ascii", "replace")
            return codec.Packed(
                head=runfile.member(archive, "run.json"),
                columns=runfile.member(archive, "columns"),
                digest=digest,
            )

    def packed_roster(self, digest: str) -> bytes:
        """The list of node ids of that digest as it is stored. Raises `UnreadableRun`."""
        return codec.render(list(self.roster(digest).ids))

    def row(self, path: Path) -> RunRow:
        """The run in *path* in one line. Raises `UnreadableRun`."""
        with runfile.opened(path) as archive:
            data = runfile.member(archive, "row.json")
        try:
            return shape.load(RunRow, codec.parse(data))
        except (ValueError, RecursionError) as error:
            raise UnreadableRun(f"{path.name} cannot be read: {error!s:.200}") from error

    def files(self, run_id: str) -> RunFiles | None:
        """The output of pytest and its JSON report, as they were kept beside the run."""
        path = self.find(run_id)
        if path is None:
            return None
        with runfile.opened(path) as archive:
            names = ("output.txt", "report.json", "log.txt")
            output, report, log = (runfile.member(archive, name, runfile.LARGEST) for name in names)
            return RunFiles(output=output, report=report, log=log)

    def new_id(self) -> str:
        """The id of a run that begins now: greater than those of all runs that are here."""
        newest = next(iter(self.paths()), None)
        return self._ids.new(time.time, after=newest.stem if newest else "")

    # --- many -------------------------------------------------------------------------------

    def pending(self) -> list[Path]:
        """What is to be taken into Chroma, oldest first."""
        return [self.inbox / name for name in sorted(_told(self.inbox))]

    def settled(self) -> Sequence[Path]:
        """What has been taken in, oldest first."""
        return self._as_before("settled", self._settled)

    def _settled(self) -> Sequence[Path]:
        found = set(_told(self.runs))  # listed first: what is settled meanwhile is not missed
        return tuple(self.runs / name for name in sorted(found.difference(_names(self.inbox))))

    def index(self) -> str:
        """The name of the index that has taken in what is settled; "" where nobody has noted it."""
        with suppress(OSError), files.opened(self._index) as file:
            return file.read(100).decode("ascii", "replace")
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

    def paths(self) -> Sequence[Path]:
        """All runs, newest first (their ids begin with the time); the same object while nothing has changed."""
        return self._as_before("paths", self._paths)

    def _paths(self) -> Sequence[Path]:
        # The inbox is listed first: a run moves one way, so that none is missed in between.
        found = {name: self.inbox / name for name in _told(self.inbox)}
        found |= {name: self.runs / name for name in _told(self.runs)}
        return tuple(found[name] for name in sorted(found, reverse=True))

    def _as_before(self, what: str, look: Callable[[], Sequence[Path]]) -> Sequence[Path]:
        """What *look* found, or what it found before, where the folders' own times tell that it would find the same."""
        state = (int(time.time() / _LOOKS_S), _state(self.inbox), _state(self.runs))
        known = self._seen.get(what)
        if known is not None and known[0] == state and None not in state:
            return known[1]
        found = look()
        self._seen[what] = state, found
        return found

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
            return json.loads(files.content(self.folder / "chroma" / "recall.json"))
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

    def ahead(self) -> list[str]:
        """The files of runs whose time has not come: they are nowhere told of, and stay as they are."""
        with suppress(StoreUnavailable):
            return [f"{path.parent.name}/{path.name}" for path in self._as_before("ahead", self._ahead)]
        return []

    def _ahead(self) -> Sequence[Path]:
        return sorted(
            one / name for one in (self.inbox, self.runs) for name in {*_names(one)} - {*_told(one)}
        )

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
            packing = zlib.compressobj(runfile.LEVEL)
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
                files.opened(self._rosters / digest).close()
        except OSError as error:
            runfile.check_let(f"The list of tests {quoted(digest)}", error)

    def _sweep(self, now: float, *, rosters: bool) -> None:
        """Remove what writers left behind when they died, and rosters that no run needs any more."""
        runs = [one / name for one in (self.inbox, self.runs) for name in _names(one)] if rosters else []
        needed = {runfile.comment(path) for path in runs} if rosters else None
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


# --- files ----------------------------------------------------------------------------------


def _checked(run_id: str) -> str:
    if not _RUN_ID.fullmatch(run_id):
        raise UnreadableRun(f"{quoted(run_id)} is no run id: a UUID in lower case is one.")
    return run_id


def _unwritable(folder: Path, error: OSError) -> StoreUnavailable:
    why, remedy = error.strerror or type(error).__name__, "Make it writable and leave it some space"
    if error.errno == errno.EINVAL:  # as `files` tells it
        remedy = "Move that away"
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


def _unpacked_roster(path: Path, digest: str) -> bytes | None:
    try:
        return _checked_roster(files.content(path), digest)
    except OSError:
        return None


def _checked_roster(packed: bytes, digest: str) -> bytes | None:
    try:
        data = zlib.decompressobj().decompress(packed, codec.MOST)
    except zlib.error:
        return None
    return data if digest_of(data) == digest else None


def _state_of(path: Path) -> object:
    """What is another once the file is another; of one that is gone, what nothing is equal to."""
    try:
        stat = path.stat()
    except OSError:  # it moves from the inbox to `runs`, or reading it tells what is wrong
        return object()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _state(folder: Path) -> object:
    """What is another once something comes into *folder* or leaves it; None where that cannot be told yet."""
    try:
        stat = folder.stat()
    except OSError:
        return None
    return (stat.st_ino, stat.st_mtime_ns) if time.time() - stat.st_mtime > _STILL_S else None


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [
                entry.name
                for entry in entries
                if entry.name.endswith(_SUFFIX) and _RUN_ID.fullmatch(entry.name[: -len(_SUFFIX)])
            ]
    except FileNotFoundError:  # until `renew`
        return []
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise StoreUnavailable(
            f"Runs in {quoted(str(folder))} cannot be read: {why}. Make it readable."
        ) from error


def _told(folder: Path) -> list[str]:
    """The names of those whose time has come."""
    last = ids.horizon()
    return [name for name in _names(folder) if name < last]


def _modified(path: Path) -> float:
    return path.stat().st_mtime


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
