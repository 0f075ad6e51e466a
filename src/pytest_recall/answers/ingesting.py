"""The answer of `ingest`: the captured runs that are kept now."""

from __future__ import annotations

from pydantic import BaseModel

from pytest_recall.answers.brief import short_revision
from pytest_recall.answers.text import head
from pytest_recall.app import App

_MOST = 200


class Captured(BaseModel):
    run_id: str
    space: str
    status: str
    counts: dict[str, int]
    revision: str = ""


class IngestAnswer(BaseModel):
    ingested: list[Captured] = []
    ingested_omitted: int = 0
    going_on: int = 0  # sessions that have not ended
    unreadable: int = 0
    error: str = ""  # what keeps the index behind


async def ingest(app: App, project: str) -> IngestAnswer:
    """Take in what lies in the inbox of *project*, and feed the index."""
    space = await app.ingest(project)
    return IngestAnswer(
        ingested=[
            Captured(
                run_id=row.id,
                space=row.space,
                status=row.status.value,
                counts=row.counts,
                revision=short_revision(row.revision),
            )
            for row in list(space.ingested)[:_MOST]
        ],
        ingested_omitted=max(len(space.ingested) - _MOST, 0),
        going_on=space.going_on,
        unreadable=space.unreadable,
        error=head(" ".join(space.store.troubles), 300)
        if space.store.degraded or space.store.hindered
        else "",
    )
