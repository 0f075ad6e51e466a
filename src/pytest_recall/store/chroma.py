"""The collections in Chroma and the queries we put to them; with `connecting` and `vectors` the only importers of chromadb."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import chromadb

from pytest_recall.model import FailureHistory, RunRow, TestHistory
from pytest_recall.store import calendar, codec, ids, records
from pytest_recall.store.backend import Backend, Embedded
from pytest_recall.store.connecting import client
from pytest_recall.store.records import Metadata
from pytest_recall.store.vectors import Vectors

T = TypeVar("T")

KINDS = ("runs", "outcomes", "tests", "failures", "transitions", "notes")
VERSION = str(chromadb.__version__)

_PAGE = 1_000  # rows of one `get`; far more are refused
_BATCH = 300  # records of one write
_LEAVES = 64  # newest leaves of a calendar in which a run is looked for before it is entered
_ASKED = 100  # values in one `$in`
_POINT = [1.0]  # the vector of a record that is never searched by one
_SEARCHED = frozenset({"failures", "transitions", "notes"})  # by vectors of their texts
# How many records Chroma's queue of writes holds before they are in the index, and out of the queue: a thousand, as
# it would have it, are 3 MB of every store.
_SYNC = {"sync_threshold": 100, "batch_size": 100}
_WINDOW_MS = 86_400_000  # how far back the first look for runs goes

logging.getLogger("chromadb").setLevel(logging.ERROR)


class Collections:
    """The collections of one opened Chroma. Times, limits and locks are the caller's business."""

    def __init__(self, backend: Backend, writer: str, path: Path | None = None) -> None:
        """Open *backend*, an embedded one in *path*. Raises what Chroma raises."""
        self.shared = backend.shared
        self.writer = writer
        self._vectors = Vectors(backend.embedding)
        self._client = client(backend, path)
        self._prefix = prefix = "" if isinstance(backend, Embedded) else _prefix(backend.project)
        # Vectors of two kinds never lie in one collection: on a shared server each kind has its own.
        suffix = f"-{self._vectors.version}" if backend.shared and not self._vectors.ours else ""
        self._runs, self._outcomes, self._tests, self._failures, self._transitions, self._notes = (
            self._client.get_or_create_collection(
                f"{prefix}{kind}{suffix if kind in _SEARCHED else ''}",
                embedding_function=None,  # or it would load, and download, a model
                metadata={"schema": records.SCHEMA, "embedding": self._vectors.version},
                configuration={"hnsw": _SYNC | ({"space": "cosine"} if kind in _SEARCHED else {})},
            )
            for kind in KINDS
        )
        self._interesting: set[str] | None = None
        self._calendar: calendar.Calendar | None = None
        self._full: dict[str, str] = {}  # leaves that change no more, by id
        self._leaves = records.Leaves()
        self.unread = 0  # rows that could not be read since somebody set this to 0

    def forget(self) -> None:
        """Another process wrote rows of this writer."""
        self._interesting = self._calendar = None

    def close(self) -> None:
        self._client.close()

    @property
    def all(self) -> dict[str, Any]:
        own = (self._runs, self._outcomes, self._tests, self._failures, self._transitions, self._notes)
        return dict(zip(KINDS, own, strict=True))

    def counts(self) -> dict[str, int]:
        return {kind: int(collection.count()) for kind, collection in self.all.items()}

    def count(self, kind: str) -> int:
        return int(self.all[kind].count())

    def versions(self) -> dict[str, str]:
        """What wrote the collections, and with what embedding."""
        found = self._failures.metadata or {}
        return {"schema": str(found.get("schema", "")), "embedding": str(found.get("embedding", ""))}

    # --- runs -------------------------------------------------------------------------------

    def taken(self, ids: Sequence[str]) -> set[str]:
        """Those of these runs that have been taken in."""
        found: set[str] = set()
        for part in _parts(ids, _BATCH):
            found |= set(self._runs.get(ids=part, include=[])["ids"])
        return found

    def add_runs(self, rows: Sequence[RunRow]) -> None:
        self._add(self._runs, [(row.id, records.run_record(row, self.writer)) for row in rows])

    def runs(
        self, *, limit: int, before: str, since: float, space: str, status: str, scope: str, asked: bool
    ) -> list[RunRow]:
        """The newest runs that fit, newest first, older than the run *before*; *asked*: no reruns of our own."""
        equal = {"space": space, "status": status, "scope": scope}
        fixed: list[dict[str, Any]] = [{name: value} for name, value in equal.items() if value]
        if since:
            fixed.append({"at": {"$gte": since}})
        last = records.moment(before or ids.horizon())
        found: dict[str, RunRow] = {}
        # `get` has no order, so ever longer stretches of time are looked at, from the end.
        newest = min(last, int(time.time() * 1000))
        reach = _WINDOW_MS
        while True:
            first = max(0, newest - reach)
            where = [*fixed, {"ms": {"$gte": first}}, {"ms": {"$lte": last}}]
            for row in self._readable(records.read_run, self._pages(self._runs, {"$and": where})):
                if (not before or row.id < before) and not (asked and row.purpose):
                    found[row.id] = row
            if len(found) >= limit or first == 0:
                return [found[run_id] for run_id in sorted(found, reverse=True)[:limit]]
            last, reach = first - 1, reach * 8

    # --- outcomes ---------------------------------------------------------------------------

    def add_outcomes(self, outcomes: Mapping[str, codec.Packed], rosters: Callable[[str], bytes]) -> None:
        """Whole runs by id, each in as many records as it needs; lists of tests under names of their own.

        *rosters* gives the list of a digest; it is asked only for those that are not there yet.
        """
        digests = {f"roster-{packed.digest}": packed.digest for packed in outcomes.values() if packed.digest}
        wanted = [*outcomes, *digests]
        there: set[str] = set()
        for part in _parts([f"{name}.0" for name in wanted], _BATCH):
            there |= set(self._outcomes.get(ids=part, include=[])["ids"])
        firsts: list[tuple[str, Metadata]] = []
        others: list[tuple[str, Metadata]] = []
        for name in (name for name in wanted if f"{name}.0" not in there):
            if name in digests:
                first, *more = records.outcome_records(name, {"roster": rosters(digests[name])}, "")
            else:
                packed = outcomes[name]
                parts = {"head": packed.head} | ({"columns": packed.columns} if packed.columns else {})
                first, *more = records.outcome_records(name, parts, packed.digest)
            firsts.append(first)
            others += more
        self._add(self._outcomes, others)
        self._add(self._outcomes, firsts)  # last: where a first record is, all of them are

    def outcome(self, run_id: str) -> codec.Packed | None:
        """The inverse of `add_outcomes`. Raises ValueError when pieces are missing."""
        found, digest = self._fetch(run_id)
        if not found:
            return None
        roster, _ = self._fetch(f"roster-{digest}") if digest else ({}, "")
        return codec.Packed(
            head=found.get("head", b""),
            columns=found.get("columns", b""),
            digest=digest,
            roster=roster.get("roster", b""),
        )

    def _fetch(self, name: str) -> tuple[dict[str, bytes], str]:
        first = self._outcomes.get(ids=[f"{name}.0"], include=["metadatas"])["metadatas"]
        if not first:
            return {}, ""
        ids = [f"{name}.{number}" for number in range(min(int(first[0]["records"]), 100_000))]
        pieces: list[Any] = []
        for part in _parts(ids, _BATCH):
            pieces += self._outcomes.get(ids=part, include=["metadatas"])["metadatas"]
        pieces.sort(key=lambda piece: piece["number"])
        if len(pieces) != len(ids):
            raise ValueError("a stored run with pieces missing")
        texts: dict[str, str] = {}
        for piece in pieces:
            texts[piece["part"]] = texts.get(piece["part"], "") + records.joined(piece)
        return {part: records.inflate(text, codec.MOST) for part, text in texts.items()}, str(
            first[0]["roster"]
        )

    # --- tests ------------------------------------------------------------------------------

    @property
    def interesting(self) -> set[str]:
        """The tests that this writer keeps rows of."""
        if self._interesting is None:
            rows = self._pages(self._tests, {"writer": self.writer})
            self._interesting = {records.read_ascii(str(record["test"])) for record in rows}
        return self._interesting

    def own_tests(self, ids: Sequence[str]) -> dict[str, TestHistory]:
        """Rows of this writer, of these tests."""
        rows = self._by_id(self._tests, [self._test_id(test_id) for test_id in ids])
        self._leaves.add(self._needed(rows))
        read = partial(records.read_test, days=self._leaves.days)
        return {history.id: history for history in self._readable(read, rows)}

    def tests(self, ids: Sequence[str] | None) -> tuple[list[str], dict[str, str]]:
        """The packed rows of these tests, or of all, of every writer; and the leaves of calendars that they need."""
        rows: list[Metadata]
        if ids is None:
            rows = list(self._pages(self._tests, None))
        elif self.shared:
            rows = self._by_key(self._tests, [records.test_key(test_id) for test_id in ids])
        else:
            rows = self._by_id(self._tests, [self._test_id(test_id) for test_id in ids])
        return list(self._readable(records.joined, rows)), self._needed(rows)

    def _needed(self, rows: Iterable[Metadata]) -> dict[str, str]:
        # Asked for after the rows: a leaf only grows, so that it has whatever a row that was there before needs.
        names = {leaf for needed in self._readable(records.leaves, rows) for leaf in needed}
        found = {name: self._full[name] for name in names if name in self._full}
        for part in _parts(sorted(names - found.keys()), _BATCH):
            got = self._outcomes.get(ids=part, include=["metadatas"])
            for name, record in zip(got["ids"], got["metadatas"], strict=True):
                with suppress(ValueError):
                    found[name] = records.joined(record)
                    if record.get("full"):
                        self._full[name] = found[name]
        return found

    def _own_calendar(self) -> calendar.Calendar:
        if self._calendar is None:
            rows = list(self._pages(self._outcomes, {"of": f"days-{self.writer}"}))
            try:
                name = str(max(rows, key=itemgetter("at", "number"))["name"])
                newest = sorted((row for row in rows if row["name"] == name), key=itemgetter("number"))[
                    -_LEAVES:
                ]
                leaves = {int(row["number"]): records.read_leaf(records.joined(row)) for row in newest}
                self._calendar = calendar.continued(name, leaves)
            except (ValueError, KeyError, TypeError):  # there is none, or it is torn
                self._calendar = calendar.begun(self.writer)
        return self._calendar

    def put_tests(self, histories: Iterable[TestHistory]) -> None:
        """Rows of this writer, written whole; ids too long for a record are left to the journal."""
        known, days = self.interesting, self._own_calendar()
        new: list[tuple[str, Metadata]] = []
        old: list[tuple[str, Metadata]] = []
        for history in histories:
            if len(records.ascii_text(history.id)) <= records.LONGEST_ID:
                target = old if history.id in known else new
                row = records.test_record(history, self.writer, days)
                target.append((self._test_id(history.id), row))
                known.add(history.id)
        self._add(self._outcomes, self._turned(days))  # first: no row tells of a day that is not there
        self._add(self._tests, new)
        self._update(self._tests, old)

    def _turned(self, own: calendar.Calendar) -> list[tuple[str, Metadata]]:
        return [
            (records.leaf_id(own.name, leaf), records.leaf_record(own.name, self.writer, leaf, days))
            for leaf, days in own.changed().items()
        ]

    def _test_id(self, test_id: str) -> str:
        return f"{records.test_key(test_id)}-{self.writer}"

    # --- failures ---------------------------------------------------------------------------

    def own_failures(self, fingerprints: Sequence[str]) -> dict[str, FailureHistory]:
        rows = self._by_id(self._failures, [self._failure_id(fingerprint) for fingerprint in fingerprints])
        return {failure.fingerprint: failure for failure in self._readable(records.read_failure, rows)}

    def failures(self, fingerprints: Sequence[str] | None) -> list[str]:
        """The packed rows of these causes, or of all, of every writer."""
        rows: Iterable[Metadata]
        if fingerprints is None:
            rows = self._pages(self._failures, None)
        else:
            rows = self._by_key(self._failures, list(map(records.cause_key, fingerprints)))
        return list(self._readable(records.joined, rows))

    def put_failures(self, failures: Sequence[FailureHistory], documents: dict[str, str]) -> None:
        """Rows of this writer, written whole; of a cause that is in *documents*, for the first time."""
        new = [failure for failure in failures if failure.fingerprint in documents]
        old = [failure for failure in failures if failure.fingerprint not in documents]
        for part in _parts(new, _BATCH):
            texts = [records.document_text(documents[failure.fingerprint]) for failure in part]
            self._failures.upsert(
                ids=[self._failure_id(failure.fingerprint) for failure in part],
                embeddings=self._vectors.of(texts),
                documents=texts,
                metadatas=[records.failure_record(failure, self.writer) for failure in part],
            )
        self._update(
            self._failures,
            [(self._failure_id(f.fingerprint), records.failure_record(f, self.writer)) for f in old],
        )

    def _failure_id(self, fingerprint: str) -> str:
        return f"{records.cause_key(fingerprint)}-{self.writer}"

    def similar(self, text: str, limit: int) -> list[tuple[FailureHistory, float]]:
        """The rows of the *limit* causes nearest to *text*, nearest first, with the cosine of the angle between them.

        On a shared server one cause has a row of each writer.
        """
        count = self._failures.count()
        if not count:
            return []
        answer = self._failures.query(
            query_embeddings=self._vectors.of([text]),
            n_results=min(count, 4 * limit),
            include=["distances"],
        )
        near = dict(zip(answer["ids"][0], (answer["distances"] or [[]])[0], strict=True))
        causes = set(list(dict.fromkeys(map(_cause_of, near)))[:limit])
        asked = [one for one in near if _cause_of(one) in causes]
        rows = self._failures.get(ids=asked, include=["metadatas"])  # in an order of its own
        known = dict(zip(rows["ids"], rows["metadatas"] or [], strict=True))
        return [
            (failure, 1.0 - float(near[one]))
            for one in asked
            if one in known
            for failure in self._readable(records.read_failure, [known[one]])
        ]

    # --- transitions and notes ------------------------------------------------------------------

    def taught(self) -> set[str]:
        """Which files of this writer's lore are in the index."""
        rows = (
            row
            for one in (self._transitions, self._notes)
            for row in self._pages(one, {"writer": self.writer})
        )
        return {str(record.get("name", "")) for record in rows}

    def teach(self, rows: Sequence[records.LoreRow]) -> None:
        """Rows of this writer's lore, written whole; a newer state in the place of the one before."""
        for kind in ("transitions", "notes"):
            for part in _parts([row for row in rows if row.kind == kind], _BATCH):
                self.all[kind].upsert(
                    ids=[f"{row.key}-{self.writer}" for row in part],
                    embeddings=self._vectors.of([row.text for row in part]),
                    documents=[records.document_text(row.text) for row in part],
                    metadatas=[{**row.record, "writer": self.writer} for row in part],
                )

    def learnt(self, kind: str, asked: dict[str, Sequence[str]]) -> list[Metadata]:
        """Rows of every writer: all, or those with one of the values *asked* for in one of these fields."""
        if not asked:
            return list(self._pages(self.all[kind], None))
        found: dict[object, Metadata] = {}
        for field, values in asked.items():
            for part in _parts(values, _ASKED):
                for record in self._pages(self.all[kind], {field: {"$in": list(part)}}):
                    found[record.get("key"), record.get("writer")] = record
        return list(found.values())

    def reindex(self) -> int:
        """Put what the project's other collections of the same kind have into ours, with vectors of our own; returns of how many rows."""
        rows = 0
        names = [str(one.name) for one in self._client.list_collections()]
        for kind in sorted(_SEARCHED):
            own = self.all[kind]
            base = f"{self._prefix}{kind}"
            for name in names:
                if name != own.name and (name == base or name.startswith(f"{base}-")):
                    rows += self._revise(self._client.get_collection(name, embedding_function=None), own)
        return rows

    def _revise(self, old: Any, new: Any) -> int:
        offset = 0
        while True:
            page = old.get(include=["metadatas", "documents"], limit=_BATCH, offset=offset)
            ids = page["ids"]
            if ids:
                texts = [text or "" for text in page["documents"]]
                there = set(new.get(ids=ids, include=[])["ids"])  # newer than these, or the same
                left = [n for n, name in enumerate(ids) if name not in there]
                if left:
                    new.upsert(
                        ids=[ids[n] for n in left],
                        embeddings=self._vectors.of([texts[n] for n in left]),
                        documents=[texts[n] for n in left],
                        metadatas=[page["metadatas"][n] for n in left],
                    )
            offset += len(ids)
            if len(ids) < _BATCH:
                return offset

    # --- all of them ------------------------------------------------------------------------

    def take_over(self, kind: str, rows: Sequence[tuple[str, Metadata]]) -> None:
        """Records of an older index, as they are."""
        self._add(self.all[kind], rows)

    def probe(self, *, vectors: bool) -> None:
        """Ask each collection a filtered question, and with *vectors* for all of its vectors.

        What a torn index does (an error, a panic, the end of the process) happens here, not later.
        """
        for kind, collection in self.all.items():
            if not collection.count():
                continue
            first = collection.get(limit=1, include=["embeddings"])["embeddings"]
            if len(first) != 1:
                raise ValueError(f"{kind} has rows and no vectors")
            collection.query(
                query_embeddings=[first[0]], n_results=1, where={"pieces": {"$gte": 0}}, include=[]
            )
            if vectors:
                for _ in self._pages(collection, None, include="embeddings"):
                    pass

    def _add(self, collection: Any, rows: Sequence[tuple[str, Metadata]]) -> None:
        for part in _parts(rows, _BATCH):
            collection.upsert(
                ids=[name for name, _ in part],
                embeddings=[_POINT] * len(part),
                metadatas=[record for _, record in part],
            )

    def _update(self, collection: Any, rows: Sequence[tuple[str, Metadata]]) -> None:
        # Each field costs a write to two indexes of Chroma's; one that is not sent stays as it is.
        for part in _parts(rows, _BATCH):
            changing = [{k: v for k, v in record.items() if k not in records.STEADY} for _, record in part]
            collection.update(ids=[name for name, _ in part], metadatas=changing)

    def _by_id(self, collection: Any, ids: Sequence[str]) -> list[Metadata]:
        found: list[Metadata] = []
        for part in _parts(ids, _BATCH):
            found += collection.get(ids=part, include=["metadatas"])["metadatas"]
        return found

    def _by_key(self, collection: Any, keys: Sequence[str]) -> list[Metadata]:
        found: list[Metadata] = []
        for part in _parts(keys, _ASKED):
            found += self._pages(collection, {"key": {"$in": list(part)}})
        return found

    def _readable(self, read: Callable[[Any], T], rows: Iterable[Any]) -> Iterator[T]:
        """What the rows say, but for those that are torn, or that another version of ours wrote in another way."""
        for row in rows:
            try:
                yield read(row)
            except ValueError:
                self.unread += 1

    def _pages(
        self, collection: Any, where: dict[str, Any] | None, include: str = "metadatas"
    ) -> Iterator[Any]:
        offset = 0
        while True:
            page = collection.get(where=where, include=[include], limit=_PAGE, offset=offset)
            yield from page[include]
            offset += len(page["ids"])
            if len(page["ids"]) < _PAGE:
                return


def _cause_of(row: str) -> str:
    """The key of the cause that a row is of, by the row's id."""
    return row.rpartition("-")[0]


def _prefix(project: str) -> str:
    """What the names of a project's collections begin with: Chroma takes letters, digits, `.`, `_`, `-`."""
    if not project:
        return ""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", project)[:64].strip("._-")
    if name != project:
        name += "-" + hashlib.blake2b(project.encode("utf-8", "replace"), digest_size=4).hexdigest()
    return name.strip("-") + "-"


def _parts(items: Sequence[Any], size: int) -> Iterator[Any]:
    return (items[at : at + size] for at in range(0, len(items), size))
