"""One embedded Chroma, safely shared by processes that may die at any moment.

Every touch holds one file lock. A process opens the index anew when another one has written since
(the *generation*). A mark is on the disk before a write and goes after it; whoever finds it knows that
the last writer died, looks closely, and has the index rebuilt when it is damaged. A look that itself
ends the process leaves its own mark, so that nobody looks twice.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pytest_recall.errors import StoreUnavailable, quoted
from pytest_recall.store import chroma, database, files, records
from pytest_recall.store.backend import EMBEDDED, Embedded
from pytest_recall.store.chroma import Collections
from pytest_recall.store.database import CLEAN, DIRTY, LOOKING, OPENING
from pytest_recall.store.vectors import Vectors

_SLACK = 1 << 20  # bytes of empty pages
_LARGEST_FILE = 4 << 30  # bytes; the worker's own limit on what it writes


class Damaged(Exception):
    """The index must be rebuilt from the journal."""


class Guard:
    """The embedded index of the journal's folder. Used by one thread of one process."""

    def __init__(self, backend: Embedded, folder: Path, writer: str, *, wait_s: float = 10.0) -> None:
        self._backend = backend
        self._vectors = Vectors(backend.embedding)
        self._path = folder / "chroma"
        self._new = folder / "chroma.new"
        self._old = folder / "chroma.old"
        self._writer = writer
        self._lock = FileLock(folder / "chroma.lock")
        self._wait_s = wait_s
        self._opened: Collections | None = None
        self.generation = ""
        self.index = EMBEDDED

    @contextmanager
    def alone(self, wait_s: float = 0.0) -> Iterator[None]:
        """No other process reads or writes the index, or settles runs of the journal. Raises `StoreUnavailable`."""
        try:
            held = self._lock.acquire(timeout=wait_s or self._wait_s)
        except Timeout as error:
            raise StoreUnavailable(
                "Another process is using the index of past runs and does not let go of it."
            ) from error
        with held:
            yield

    @contextmanager
    def reading(self) -> Iterator[Collections]:
        """The collections, under the lock.

        Raises:
            StoreUnavailable: another process held the lock for too long.
            Damaged: the index must be rebuilt first.
        """
        with self.alone(self._wait_s / 4):
            yield self._ready()

    @contextmanager
    def writing(self) -> Iterator[Collections]:
        """The same, to write. An error inside leaves the mark, and the next use looks closely."""
        with self.alone():
            collections = self._ready()
            manifest = self._manifest()
            self._note(manifest | {"state": DIRTY}, sync=True)
            try:
                yield collections
                self._settle(collections, manifest.get("lost", 0))
            except Damaged as error:
                self.close()
                self._note(manifest | {"state": LOOKING, "why": str(error)})
                raise
            except BaseException:
                self.close()
                raise

    @property
    def places(self) -> tuple[Path, ...]:
        """Where a rebuild finds what the journal has forgotten: in the index, and in those that were put aside.

        These have it where a process died between the two renames, or where the index could not be read in full.
        """
        return self._path, *self._aside()

    def rebuild(self, fill: Callable[[Collections], int], *, anyway: bool) -> bool:
        """A new index beside the old one, filled, then put in its place; the old one is kept aside.

        *fill* gives how many runs the old one knew that are not in the new one: its manifest tells so from then on.
        Unless *anyway*, an index that is sound (another process has rebuilt it meanwhile) is left as it
        is, and the answer is False.

        Raises:
            StoreUnavailable: the system keeps the old one from us, which may be sound.
        """
        with self.alone():
            self.close()
            self._reach()
            if not anyway:
                with suppress(Damaged):
                    self._ready()
                    return False
            self.close()
            shutil.rmtree(self._new, ignore_errors=True)
            collections = Collections(self._backend, self._writer, self._new)
            try:
                self._settle(collections, fill(collections), self._new)
            finally:
                collections.close()
                self.generation = ""
            self._put_in_place()
            return True

    def close(self) -> None:
        """Forget the open index; the next use opens it anew."""
        opened, self._opened, self.generation = self._opened, None, ""
        if opened is not None:
            with suppress(Exception):  # it may be broken: that is why it is closed
                opened.close()

    def damaged(self) -> list[str]:
        """What SQLite finds wrong in the pages of the database."""
        with self.alone(self._wait_s / 4):
            self.close()  # who closes a file loses all locks of this process on it, Chroma's too
            try:
                with closing(database.opened(self._path / "chroma.sqlite3", "ro")) as opened:
                    answers = [str(answer) for (answer,) in opened.execute("pragma quick_check(3)")]
            except sqlite3.Error as error:
                answers = [str(error)]
        return [f"chroma.sqlite3 ({answer:.200})" for answer in answers if answer != "ok"]

    def size(self) -> int:
        """Bytes of the index on disk."""
        return sum(path.stat().st_size for path in self._path.rglob("*") if path.is_file())

    # --- inside -----------------------------------------------------------------------------

    def _ready(self) -> Collections:
        manifest = self._manifest()
        state = manifest.get("state", "")
        if self._opened is not None and state == CLEAN and manifest.get("generation") == self.generation:
            return self._opened
        self.close()
        self._reach()
        if not self._path.exists():
            return self._create()
        self._check_maker(manifest)
        if state not in (CLEAN, DIRTY, OPENING):
            raise Damaged(f"its state is {state or 'unknown'}")
        self._opened = self._looked_at(manifest, closely=state != CLEAN)
        return self._opened

    def _put_in_place(self) -> None:
        """The new index where the old one was. Whoever dies on the way leaves it there, or all that it was made from."""
        before = self._aside()
        aside = self._old.with_name(f"{self._old.name}.{secrets.token_hex(4)}")
        with suppress(FileNotFoundError):
            self._path.rename(aside)
        self._new.rename(self._path)
        if aside.exists():  # else what was put aside before is all that there was
            for one in before:
                shutil.rmtree(one, ignore_errors=True)
            with suppress(OSError):  # that one is still there: then both are, until the next time
                aside.rename(self._old)

    def _aside(self) -> list[Path]:
        return sorted(self._old.parent.glob(f"{self._old.name}*"))

    def _manifest(self) -> dict[str, Any]:
        try:
            return database.manifest(self._path)
        except OSError as error:
            raise self._withheld(error) from error

    def _reach(self) -> None:
        """See whether the system lets us read all of the index, while we have nothing of it open."""
        try:
            database.reachable(self._path)
        except OSError as error:
            raise self._withheld(error) from error

    def _withheld(self, error: Exception) -> StoreUnavailable:
        """What may be sound is never made anew because it could not be read just now."""
        why = error.strerror if isinstance(error, OSError) else str(error)
        return StoreUnavailable(
            f"The index of past runs cannot be read: {why or type(error).__name__}. Make all in {quoted(str(self._path))} "
            "readable and writable; or move that folder away, and it is made anew from the journal."
        )

    def _looked_at(self, manifest: dict[str, Any], *, closely: bool) -> Collections:
        self._note(manifest | {"state": LOOKING if closely else OPENING})
        try:
            collections = self._open(manifest, closely=closely)
        except Exception as error:
            self.close()
            if database.withheld(error):
                self._note(manifest)  # nobody has looked at it
                raise self._withheld(error) from error
            why = str(error) if isinstance(error, Damaged) else f"{type(error).__name__}: {error!s:.300}"
            self._note(manifest | {"state": LOOKING, "why": why})
            raise Damaged(why) from error
        if closely:
            self._settle(collections, manifest.get("lost", 0))
        else:
            self._note(manifest)
            self.generation = str(manifest["generation"])
        return collections

    def _check_maker(self, manifest: dict[str, Any]) -> None:
        if not manifest:
            raise Damaged("what was noted of it, in recall.json, is gone or torn")
        schema, made = manifest.get("schema"), str(manifest.get("embedding"))
        if isinstance(schema, int) and schema > records.SCHEMA:
            raise StoreUnavailable(
                "The index of past runs was made by a later version of pytest-recall; update this one."
            )
        if schema != records.SCHEMA or (
            made != self._vectors.version and made.startswith("recall-") and self._vectors.ours
        ):
            raise Damaged("an earlier version made it")
        if made != self._vectors.version:  # to make all vectors anew may take long, and cost money
            raise StoreUnavailable(
                f"The index of past runs was made with the embedding {quoted(made)}, and the setting 'embedding' says "
                f"{quoted(self._vectors.version)}. `pytest-recall store reindex` makes it anew."
            )
        if self._writer != manifest.get("writer", self._writer):
            raise Damaged("its rows stand under another name than the file 'writer' says")

    def _create(self) -> Collections:
        """A first, empty index; or, where there was one before, the demand for a rebuild."""
        if self._aside() or any((self._path.parent / "runs").iterdir()):
            raise Damaged("it is gone")
        self._path.mkdir(mode=0o700)
        self._opened = Collections(self._backend, self._writer, self._path)
        self._settle(self._opened, 0)
        return self._opened

    def _open(self, manifest: dict[str, Any], *, closely: bool) -> Collections:
        if not (self._path / "chroma.sqlite3").is_file():
            raise Damaged("its database is gone")
        if any(path.stat().st_size > _LARGEST_FILE for path in self._path.rglob("*")):
            raise Damaged("a file of it is larger than it can be")
        self._look_at_database(closely=closely)
        collections = Collections(self._backend, self._writer, self._path)
        self._opened = collections
        counted, counts = manifest.get("counts", {}), collections.counts()
        # Nothing is ever deleted, so that a writer that died can have left more rows, never fewer.
        known = {kind: counted.get(kind, 0) for kind in counts}  # an earlier version had fewer kinds
        if any(counts[kind] < known[kind] for kind in counts) or (not closely and counts != known):
            raise Damaged(f"it counts {counts} where {counted} were written")
        collections.probe(vectors=closely)
        return collections

    def _look_at_database(self, *, closely: bool) -> None:
        """Give back what rewritten rows have left empty; *closely*, check all pages. Nobody else has it open."""
        # To be written to: a writer that was killed has left a journal of its own that is rolled back now.
        with closing(database.opened(self._path / "chroma.sqlite3", "rw")) as opened:
            if closely and (answer := opened.execute("pragma quick_check(1)").fetchone()) != ("ok",):
                raise Damaged(f"its database is torn: {answer!s:.200}")
            empty, pages, size = (
                opened.execute(f"pragma {name}").fetchone()[0]
                for name in ("freelist_count", "page_count", "page_size")
            )
            if empty * size > _SLACK and empty > pages // 4:
                with suppress(sqlite3.OperationalError):  # another process has it open, or the disk is full
                    opened.execute("vacuum")

    def _settle(self, collections: Collections, lost: int, path: Path | None = None) -> None:
        generation = secrets.token_hex(8)
        note = {
            "state": CLEAN,
            "schema": records.SCHEMA,
            "embedding": self._vectors.version,
            "generation": generation,
            "counts": collections.counts(),
            "writer": self._writer,
            "lost": lost,
            "chromadb": chroma.VERSION,
        }
        self._note(note, path=path)
        self.generation = generation

    def _note(self, manifest: dict[str, Any], *, path: Path | None = None, sync: bool = False) -> None:
        target = (path or self._path) / "recall.json"
        aside = target.with_suffix(".new")
        with files.begun(aside) as file:
            file.write(json.dumps(manifest).encode())
            if sync:
                file.flush()
                os.fsync(file.fileno())
        aside.replace(target)
