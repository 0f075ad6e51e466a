"""The answer of `store`: what is kept of a project, and how its index is."""

from __future__ import annotations

from pydantic import BaseModel

from pytest_recall.answers.text import head
from pytest_recall.app import App


class StoreAnswer(BaseModel):
    act: str
    done: str = ""
    folder: str = ""
    backend: str = ""
    healthy: bool  # the index answered
    runs: int = 0  # in the journal
    behind: int = 0  # of them, not yet in the index
    counts: dict[str, int] = {}  # records of the index by collection
    versions: dict[str, str] = {}
    journal_bytes: int = 0
    index_bytes: int = 0
    error: str = ""


async def look_after(app: App, project: str, act: str) -> StoreAnswer:
    """Do *act* (status, verify, rebuild, prune) and tell how the store is. Raises StoreUnavailable."""
    space = await app.workspaces.get(project)
    store, keep = space.store, space.settings
    done = ""
    match act:
        case "verify":
            counts = await store.verify()
            done = f"{sum(counts.values())} records were looked at, and are sound"
        case "rebuild":
            done = f"the index was made anew from {await store.rebuild()} runs"
        case "prune":
            gone = store.prune(
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
        error=head(status.error, 500),
    )
