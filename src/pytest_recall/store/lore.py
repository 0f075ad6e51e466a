"""What was learnt, beside the runs: fixes and notes, one immutable file each, durable before anything else is done.

    <folder>/lore/<uuid7>.json     a transition in one of its states, a note, what was proven of a run's failures,
                                   or what became of a test; the newest of a key counts
    <folder>/lore.broken/          what could not be read, set aside

The newest 5,000 are kept; what a newer state has replaced goes first.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from pytest_recall.errors import StoreUnavailable, UnreadableLore, quoted
from pytest_recall.history.proof import Evidence
from pytest_recall.model import Fate, Note, Transition
from pytest_recall.store import codec, files, ids, shape
from pytest_recall.store.journal import place

Learnt = Transition | Note | Evidence | Fate

FORMAT = 2
MOST = 5_000  # files

_NAME = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\.json")
_LARGEST = 1 << 20  # bytes of one file
_SLACK = 100  # files more than the most before any are let go
_ASIDE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """The content of one file."""

    format: int
    what: Learnt


class Lore:
    """The lore of one store's folder, which several processes may use at once. Safe from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "lore"
        self._broken = folder / "lore.broken"
        self._lock = threading.Lock()
        self._ids = ids.Ids()
        self._read: dict[str, Learnt | None] = {}  # by name of the file; None: not for this version
        self.trouble = ""  # the last file that could not be read

    def keep(self, learnt: Sequence[Learnt]) -> None:
        """Keep these: on disk for good when this returns. Raises `StoreUnavailable` when the disk refuses."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            newest = max(self._names(), default="").removesuffix(".json")
            for one in learnt:
                # Earlier versions read the first format, and wait for a later one where they meet the second.
                version = 1 if isinstance(one, Transition | Note) else FORMAT
                data = codec.render(shape.dump(_Kept(format=version, what=one)))
                if len(data) > _LARGEST:
                    raise StoreUnavailable("What was learnt is larger than anything of ours can be.")
                name = self._ids.new(time.time, after=newest)
                place(self._folder / f"{name}.json", data)
                newest = name
            self._prune()
        except OSError as error:
            raise StoreUnavailable(
                f"Fixes and notes cannot be kept in {quoted(str(self._folder))}: "
                f"{error.strerror or type(error).__name__}. Make it writable and leave it some space."
            ) from error

    def all(self) -> dict[str, Learnt]:
        """The newest state of everything, by the name of its file, oldest first."""
        with self._lock:
            names = self._names()[-2 * MOST :]
            self._read = {name: self._known(name) for name in names}
            newest = {key(one): name for name, one in self._read.items() if one is not None}
            return {name: one for name in newest.values() if (one := self._read[name]) is not None}

    def transitions(self) -> list[Transition]:
        """The newest state of each, in no order."""
        return [one for one in self.all().values() if isinstance(one, Transition)]

    def notes(self) -> list[Note]:
        return [one for one in self.all().values() if isinstance(one, Note)]

    def read(self, path: Path) -> Learnt | None:
        """What *path* keeps; None when a later version of ours wrote it.

        Raises:
            UnreadableLore: it is nothing of ours, or torn.
        """
        try:
            if path.lstat().st_size > _LARGEST:
                raise UnreadableLore(f"{path.name} is larger than any note or fix of ours.")
            found = codec.parse(files.content(path))
            version = found.get("format") if isinstance(found, dict) else None
            if type(version) is not int:
                raise shape.Misshapen("no note or fix of ours")
            return None if version > FORMAT else shape.load(_Kept, found).what
        except (OSError, ValueError, RecursionError) as error:
            raise UnreadableLore(f"{path.name} cannot be read: {error!s:.200}") from error

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return (self._folder / name).exists()

    def add(self, name: str, data: bytes) -> None:
        """Keep a file that another store wrote, and that can be read."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        place(self._folder / name, data)

    # --- inside -----------------------------------------------------------------------------

    def _names(self) -> list[str]:
        try:
            last = ids.horizon()
            names = (path.name for path in self._folder.iterdir())
            return sorted(name for name in names if _NAME.fullmatch(name) and name < last)
        except OSError:  # nothing was learnt yet
            return []

    def _known(self, name: str) -> Learnt | None:
        if name in self._read:
            return self._read[name]
        try:
            return self.read(self._folder / name)
        except UnreadableLore as error:
            if (self._folder / name).exists():  # else another process has let it go
                self.trouble = str(error)
                self._set_aside(name)
            return None

    def _set_aside(self, name: str) -> None:
        with suppress(OSError):
            self._broken.mkdir(mode=0o700, exist_ok=True)
            (self._folder / name).rename(self._broken / name)
            for old in sorted(self._broken.iterdir())[:-_ASIDE]:
                old.unlink(missing_ok=True)

    def _prune(self) -> None:
        names = self._names()
        if len(names) <= MOST + _SLACK:
            return
        needed = self.all()
        replaced = [name for name in names if name not in needed and self._read.get(name) is not None]
        oldest = [name for name in names if name not in replaced]
        for name in [*replaced, *oldest][: len(names) - MOST]:
            (self._folder / name).unlink(missing_ok=True)


def key(learnt: Learnt) -> str:
    """What stays the same while the state of *learnt* changes: 32 hex digits, or the note's id."""
    match learnt:
        case Note(id=name):
            return name
        case Evidence(run=run):
            return f"proof-{run}"
        case Fate(test=test):
            return f"fate-{digest((test,))}"
        case Transition(test=test, fingerprint=fingerprint, red=red, green=green):
            return digest((test, fingerprint, red.digest, green.digest))


def digest(parts: Sequence[str]) -> str:
    made = blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        made.update(b"%d:" % len(data) + data)
    return made.hexdigest()


def merged(own: Mapping[str, Learnt], others: Mapping[str, Learnt]) -> list[Learnt]:
    """Both, by names of files: of each key the newest, wherever it was learnt."""
    both = {**others, **own}
    return list({key(both[name]): both[name] for name in sorted(both)}.values())
