"""The child process that owns Chroma: one JSON line in, one JSON line out, until its input ends.

Started by `line` with a scrubbed environment and a folder of ours. What libraries print goes to
standard error; the answers go to what was standard output.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pytest_recall import __version__
from pytest_recall.errors import RecallError, StoreUnavailable, listed
from pytest_recall.model import Fate, Transition
from pytest_recall.store import chroma, codec, inspection, lore, records, shape
from pytest_recall.store.backend import Backend, Cloud, Embedded, Http
from pytest_recall.store.chroma import Collections
from pytest_recall.store.guard import Damaged, Guard
from pytest_recall.store.intake import Intake
from pytest_recall.store.journal import Journal
from pytest_recall.store.recent import NEAR, Recent
from pytest_recall.store.salvage import salvage
from pytest_recall.store.shared import Shared

_LARGEST_FILE = 4 << 30
_AT_ONCE = 128  # runs of one step where nobody waits for its turn
_ANEW = "It is made anew behind the answers; `pytest-recall store rebuild` does that at once."
_KINDS: dict[str, type[Backend]] = {"Embedded": Embedded, "Http": Http, "Cloud": Cloud}


def main() -> None:
    """Serve requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii", newline="\n")
    os.dup2(2, 1)
    _bound()
    worker: Worker | None = None
    for line in sys.stdin:
        request = json.loads(line)
        # The parent kills us when a call overruns. If the parent is gone, the system does.
        _alarm(int(request.pop("limit_s")) + 5)
        try:
            if worker is None:
                _check(request.get("version"))
                worker = Worker(
                    Path(request["folder"]), shape.load(_KINDS[request["kind"]], request["backend"])
                )
                answer: Any = {"ok": chroma.VERSION}
            else:
                answer = {"ok": worker.answer(request)}
        except Damaged as error:
            answer = {"error": "damaged", "text": f"The index of past runs is damaged: {error}. {_ANEW}"}
        except RecallError as error:
            answer = {"error": "unavailable", "text": str(error)}
        except Exception as error:  # noqa: BLE001 - Chroma raises anything; the caller decides what it means
            answer = {"error": "failed", "text": f"{type(error).__name__}: {error!s:.500}"}
        _alarm(0)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    if worker is not None:
        worker.close()
    os._exit(0)  # what libraries do at exit takes longer than all of ours


def _check(version: object) -> None:
    """Raise `StoreUnavailable` where our code was updated under the process that started us."""
    if version != __version__:
        raise StoreUnavailable(
            f"pytest-recall was updated to {__version__} while this server was running: start it again."
        )


def _bound() -> None:
    """Let no torn index grow without end, and nothing be left in memory dumps."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - POSIX only

        with contextlib.suppress(ValueError, OSError):  # a lower limit is there already
            resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _alarm(seconds: int) -> None:
    if sys.platform != "win32":
        signal.alarm(seconds)


class Worker:
    """The requests, one method each; arguments and answers are JSON values."""

    def __init__(self, folder: Path, backend: Backend) -> None:
        self._journal = Journal(folder)
        self._recent = Recent(self._journal)
        self._intake = Intake(self._journal, self._recent, self._fates)
        self._lore = lore.Lore(folder)
        self._taught: set[str] | None = None  # files of the lore that are in the index
        self._careful = False
        self._place: Guard | Shared
        if isinstance(backend, Embedded):
            self._place = Guard(backend, folder, self._journal.writer)
        else:
            self._place = Shared(backend, folder, self._journal.writer)
        self._calls: dict[str, Callable[..., Any]] = {
            "ready": dict,
            "take": self.take,
            "teach": self.teach,
            "learnt": self.learnt,
            "prune": self.prune,
            "rebuild": self.rebuild,
            "reindex": self.reindex,
            "runs": self.runs,
            "run": self.run,
            "tests": self.tests,
            "failures": self.failures,
            "similar": self.similar,
            "status": self.status,
            "verify": self.verify,
        }

    def close(self) -> None:
        self._place.close()

    def answer(self, request: dict[str, Any]) -> Any:
        return self._calls[request.pop("do")](**request)

    def take(self) -> dict[str, int]:
        """Take in the oldest runs of the inbox; tells how many there were and how many are left."""
        if not self._journal.pending():
            self._look()
        if not self._journal.pending():
            return {"taken": 0, "left": 0}
        with self._place.alone():  # until they are settled: nobody else may say meanwhile by which index
            with self._writing() as collections:
                paths = self._journal.pending()  # another process may have been faster
                batch = self._intake.batch(paths, most=1) if self._careful else self._intake.batch(paths)
                self._careful = True  # if this fails, the next step finds out which run it is
                try:
                    taken = self._intake.take(collections, batch)
                except ValueError:
                    if len(batch) == 1:  # it can be read and cannot be stored: the others go on without it
                        self._journal.set_aside(batch[0])
                    raise
                self._careful = False
                self._teach(collections)
            self._intake.settle(taken)
        return {"taken": len(taken), "left": len(paths) - len(taken)}

    def _look(self) -> None:
        """See whether this index has taken in what is settled, where that is not noted."""
        if self._journal.index() != self._place.index and self._journal.settled():
            with self._reading():
                pass

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Collections]:
        """The collections; what another index has taken in and this one lacks is in the inbox again."""
        with self._place.reading() as collections:
            self._regain(collections)
            yield collections

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Collections]:
        """The same, to write."""
        with self._place.writing() as collections:
            self._regain(collections)
            yield collections

    def _regain(self, collections: Collections) -> None:
        if self._journal.index() != self._place.index:
            with self._place.alone():
                self._intake.regain(collections, self._place.index)

    def teach(self) -> None:
        """Take in the notes and fixes that are not in the index yet."""
        if self._taught is None or self._lore.all().keys() - self._taught:
            with self._place.writing() as collections:
                self._teach(collections)

    def _teach(self, collections: Collections, *, anew: bool = False) -> None:
        if self._taught is None or anew:
            self._taught = set() if anew else collections.taught()
        late = {name: one for name, one in self._lore.all().items() if name not in (self._taught or ())}
        prints = {one.fingerprint for one in late.values() if isinstance(one, Transition)}
        failures = collections.own_failures(sorted(prints)) if prints else {}
        rows = []
        for name, one in late.items():
            with contextlib.suppress(ValueError):  # too large for a record: the files have it
                rows.append(records.lore_row(name, one, failures))
        collections.teach(rows)
        if any(isinstance(one, Fate) for one in late.values()):
            self._intake.follow(collections)
        self._taught |= late.keys()

    def _fates(self, collections: Collections) -> dict[str, Fate]:
        """What became of tests, as every machine has learnt it."""
        others = dict(_told(collections, "Fate", {"kind": ["fate"]})) if collections.shared else {}
        return {one.test: one for one in lore.merged(self._lore.all(), others) if isinstance(one, Fate)}

    def learnt(self, kind: str, asked: dict[str, list[str]]) -> list[Any]:
        """What every machine has learnt of that kind: the file's name, and what it keeps."""
        with self._reading() as collections:
            return [[name, shape.dump(one)] for name, one in _told(collections, kind, asked)]

    def rebuild(self, *, anyway: bool = False) -> dict[str, int]:
        """The index anew from the runs of the journal; unless *anyway*, only if it needs to be."""
        paths = self._journal.settled()

        def fill(collections: Collections) -> int:
            at, there = 0, set[str]()  # what cannot be read in the journal any more may be in the old index
            while batch := self._intake.batch(paths[at:], most=_AT_ONCE):
                there |= {path.stem for path in self._intake.take(collections, batch)}
                at += len(batch)
            lost = salvage(self._place.places, collections, there)
            self._teach(collections, anew=True)
            return lost

        return {"taken": len(paths) if self._place.rebuild(fill, anyway=anyway) else 0}

    def reindex(self) -> dict[str, int]:
        """All vectors anew, by the embedding of the setting."""
        if not isinstance(self._place, Shared):
            return self.rebuild(anyway=True)
        with self._place.writing() as collections:
            return {"taken": collections.reindex()}

    def prune(self, *, count: int, age_s: float, size_bytes: int) -> int:
        """Forget the oldest files of the journal beyond these limits, as many as one step takes; returns how many."""
        now = time.time()
        with self._place.alone():
            with self._writing() as collections:
                leaving = self._journal.leaving(count=count, age_s=age_s, size_bytes=size_bytes, now=now)
                oldest = leaving[-_AT_ONCE:]
                if len(self._journal.settled()) - len(leaving) < NEAR:  # else nothing of theirs is late
                    self._intake.catch_up(collections)
                self._intake.archive(collections, oldest)
            self._journal.forget(oldest, now)
        return len(oldest)

    def runs(self, **asked: Any) -> dict[str, Any]:
        with self._reading() as collections:
            collections.unread = 0
            rows = [shape.dump(row) for row in collections.runs(**asked)]
            return {"rows": rows, "unread": collections.unread}

    def run(self, run_id: str) -> Any:
        with self._reading() as collections:
            packed = collections.outcome(run_id)
        return None if packed is None else codec.sent(packed)

    def tests(self, ids: list[str] | None, have: str = "") -> dict[str, Any]:
        """Packed rows; none when nothing was written since the generation that the caller has."""
        with self._reading() as collections:
            generation = self._place.generation
            if have and have == generation:
                return {"generation": generation, "same": True}
            rows, leaves = collections.tests(ids)
            return {"generation": generation, "rows": rows, "leaves": leaves}

    def failures(self, fingerprints: list[str] | None, have: str = "") -> dict[str, Any]:
        """Packed rows; none when nothing was written since the generation that the caller has."""
        with self._reading() as collections:
            generation = self._place.generation
            if have and have == generation:
                return {"generation": generation, "same": True}
            return {"generation": generation, "rows": collections.failures(fingerprints)}

    def similar(self, text: str, limit: int) -> list[Any]:
        with self._reading() as collections:
            return [[shape.dump(failure), score] for failure, score in collections.similar(text, limit)]

    def status(self) -> dict[str, Any]:
        with self._reading() as collections:
            return {
                "counts": collections.counts(),
                "versions": {"chromadb": chroma.VERSION, **collections.versions()},
                "size": self._place.size(),
            }

    def verify(self) -> dict[str, int]:
        """Look at every file of the journal and every record of the index; how many. Raises what is wrong with them."""
        found = list(self._journal.damaged())  # which takes time, and needs no lock
        with self._reading() as collections:
            collections.probe(vectors=True)
            found += inspection.damaged(collections)
            counts = collections.counts() | {"files": len(self._journal.paths())}
        found += self._place.damaged()
        if found:
            raise StoreUnavailable(
                f"Damaged: {listed(found)}. What the index can make anew, `pytest-recall store rebuild` makes anew, also "
                "from runs that it keeps whole; what is in broken/ stays there until you remove it."
            )
        return counts


def _told(
    collections: Collections, kind: str, asked: dict[str, list[str]]
) -> Iterator[tuple[str, lore.Learnt]]:
    """What the index has of that kind: the file's name, and what it keeps."""
    for row in collections.learnt("transitions" if kind == "Transition" else "notes", dict(asked)):
        with contextlib.suppress(ValueError):  # a row of somebody else's may be anything
            name, one = records.read_lore(row)
            if type(one).__name__ == kind:
                yield name, one
