"""Which run a person means: by its id, by the beginning of one as tables show it, or by naming none."""

from __future__ import annotations

import re

from pytest_recall.app import App
from pytest_recall.errors import UnknownRun, listed, quoted

_BEGUN = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f-]{0,26})?")
_LOOKED_AT = 5_000  # of the newest runs


def is_beginning(word: str) -> bool:
    """Whether *word* may be the beginning of a run id, and not a whole one."""
    return _BEGUN.fullmatch(word) is not None


async def run_id(app: App, project: str, word: str) -> str:
    """The id that *word* begins; the latest run that somebody asked for where it is empty.

    A word that no run id begins with is given back as it is, for whoever looks the run up to say so.

    Raises:
        UnknownRun: there is no run at all, or several begin so.
    """
    return await whole(app, project, word) if word else await _latest(app, project)


async def whole(app: App, project: str, word: str) -> str:
    """The id that *word* begins; any other word as it is. Raises UnknownRun where several begin so."""
    if not is_beginning(word):
        return word
    fits = [row.id for row in await app.runs(project, limit=_LOOKED_AT) if row.id.startswith(word)]
    if len(fits) > 1:
        raise UnknownRun(f"{len(fits)} runs begin with {quoted(word)}: {listed(fits[:3])}.")
    return fits[0] if fits else word


async def _latest(app: App, project: str) -> str:
    rows = await app.runs(project, limit=1, asked=True)
    if not rows:
        raise UnknownRun("No run is kept yet. `pytest-recall run` makes one.")
    return rows[0].id
