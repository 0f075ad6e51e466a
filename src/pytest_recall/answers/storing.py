"""The answer of `store`: what is kept of a project, and how its index is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from anyio.to_thread import run_sync
from pydantic import BaseModel

from pytest_recall import reconciling
from pytest_recall.answers.text import head
from pytest_recall.app import App
from pytest_recall.errors import BadRequest, listed, quoted
from pytest_recall.exports import placing
from pytest_recall.model import RunRequest
from pytest_recall.store import archive
from pytest_recall.store.client import Store


class StoreAnswer(BaseModel):
    act: str
    done: str = ""
    folder: str = ""
    backend: str = ""
    healthy: bool  # the index answered, and takes in what waits
    runs: int = 0  # in the journal
    behind: int = 0  # of them, not yet in the index
    counts: dict[str, int] = {}  # records of the index by collection
    versions: dict[str, str] = {}
    journal_bytes: int = 0
    index_bytes: int = 0
    refused: list[str] = []  # of an import: what could not be read
    error: str = ""
    warnings: list[str] = []  # what is missing of the past, and how it may be had


async def look_after(app: App, project: str, act: str, file: str = "") -> StoreAnswer:
    """Do *act*, with *file* where it needs one, and tell how the store is.

    Raises:
        BadRequest: *act* needs a file, or that file cannot be read or written.
        StoreUnavailable: the index cannot be reached.
    """
    space = await app.workspaces.get(project)
    store, keep = space.store, space.settings
    done, refused, missing = "", list[str](), list[str]()
    match act:
        case "verify":
            done = await _verified(store)
        case "rebuild":
            done = f"the index was made anew from {await store.rebuild()} runs"
        case "reindex":
            done = f"the vectors were made anew, of {await store.reindex()} runs"
        case "export":
            done, missing = await run_sync(_moved, store, act, file)
        case "import":
            done, refused = await run_sync(_moved, store, act, file)
        case "reconcile":
            found = await reconciling.reconcile(
                space, (await app.discover(project, RunRequest(), full=True)).discovery
            )
            done = f"{found.gone} tests are gone, {found.renamed} have another name now"
        case "prune":
            gone = await store.prune(
                count=keep.keep_runs, age_s=keep.keep_days * 86_400.0, size_bytes=keep.keep_mb << 20
            )
            done = f"{gone} runs were let go"
        case _:
            await store.feed()
    status = await store.status()
    return StoreAnswer(
        act=act,
        done=done,
        folder=status.folder,
        backend=status.backend,
        healthy=status.healthy,
        runs=status.runs,
        behind=status.behind,
        counts=status.counts,
        versions=status.versions,
        journal_bytes=status.journal_bytes,
        index_bytes=status.index_bytes,
        refused=[head(one, 200) for one in refused[:20]],
        error=head(status.error, 500),
        warnings=[head(damage, 300) for damage in (*missing, *store.damages)],
    )


async def _verified(store: Store) -> str:
    counts = await store.verify()
    files = counts.pop("files", 0)
    later = await run_sync(lambda: list(store.journal.later()))
    waiting = f"; for a later version of pytest-recall wait {listed(later)}" if later else ""
    return f"{files} runs of the journal and {sum(counts.values())} records of the index were looked at, and are sound{waiting}"


def _moved(store: Store, act: str, file: str) -> tuple[str, list[str]]:
    """What was moved to or from *file*, and what could not be: written there, or read."""
    if not file:
        raise BadRequest(f"`store {act}` needs a file: pytest-recall store {act} runs.tar")
    try:
        if act == "export":
            with placing.placed(Path(file)) as out:
                saved = archive.save(store.journal, out, store.forgotten())
            return f"{saved.runs} runs were written to {file}{_of_them(saved)}", list(_unsaved(saved))
        with Path(file).open("rb") as source:
            moved = archive.load(store.journal, source)
    except OSError as error:
        raise BadRequest(f"{quoted(file)} cannot be used: {error.strerror or error}.") from error
    return f"{moved.runs} runs and {moved.lore} lessons were taken in; {moved.known} were known", list(
        moved.refused
    )


def _of_them(saved: archive.Saved) -> str:
    return f", {saved.older} of them as the index keeps them, without output and times" if saved.older else ""


def _unsaved(saved: archive.Saved) -> Iterator[str]:
    if saved.why:
        yield f"Runs that only the index has are missing in the file: {saved.why}"
    if saved.missing:
        yield f"{saved.missing} run(s) that only the index knows are missing in the file: it does not keep them whole."
