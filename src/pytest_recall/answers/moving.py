"""The answers of `import` and `export`: what was kept, what was known, and what could not be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Annotated

from pydantic import BaseModel, Field

from pytest_recall.answers.text import head, middle
from pytest_recall.model import Run
from pytest_recall.moving import Taken

_MOST = 200


class Imported(BaseModel):
    run_id: str
    source: str  # of the document
    format: str
    status: str
    counts: dict[str, int]
    revision: str = ""
    lost: Annotated[list[str], Field(description="what the format does not tell")] = []
    notes: list[str] = []


class Known(BaseModel):
    run_id: str
    source: str


class Refusal(BaseModel):
    source: str
    why: str


class ImportAnswer(BaseModel):
    imported: list[Imported] = []
    imported_omitted: int = 0
    known: list[Known] = []
    known_omitted: int = 0
    doubled: Annotated[
        list[Known], Field(description="reports passed over: the session itself tells more, as this run")
    ] = []
    doubled_omitted: int = 0
    refused: list[Refusal] = []
    refused_omitted: int = 0
    passed_over: Annotated[
        int, Field(description="files of folders and archives that are no reports, and hidden folders")
    ] = 0
    without_artefacts: Annotated[int, Field(description="GitHub's runs of that time that kept none")] = 0
    warnings: list[str] = []


class ExportAnswer(BaseModel):
    file: str
    format: str
    runs: int
    missing: Annotated[list[str], Field(description="runs of the window that cannot be read")] = []


def imported(taken: Sequence[Taken], *, passed_over: int = 0, warnings: Sequence[str] = ()) -> ImportAnswer:
    """What came of an import."""
    kept = [(one.name, run) for one in taken for run in one.runs]
    known = [(one.name, run_id) for one in taken for run_id in one.known]
    doubled = [(one.name, run_id) for one in taken for run_id in one.doubled]
    refused = [(one.name, why) for one in taken for why in one.refused]
    return ImportAnswer(
        imported=[_imported(name, run) for name, run in kept[:_MOST]],
        imported_omitted=max(0, len(kept) - _MOST),
        known=[Known(run_id=run_id, source=middle(name, 200)) for name, run_id in known[:_MOST]],
        known_omitted=max(0, len(known) - _MOST),
        doubled=[Known(run_id=run_id, source=middle(name, 200)) for name, run_id in doubled[:_MOST]],
        doubled_omitted=max(0, len(doubled) - _MOST),
        refused=[Refusal(source=middle(name, 200), why=head(why, 400)) for name, why in refused[:_MOST]],
        refused_omitted=max(0, len(refused) - _MOST),
        passed_over=passed_over,
        without_artefacts=sum(one.bare for one in taken),
        warnings=[
            *islice(_advice([run for _, run in kept]), 5),
            *_stay([run_id for one in taken for run_id in one.poorer]),
            *(head(text, 300) for text in warnings),
        ],
    )


def _imported(name: str, run: Run) -> Imported:
    return Imported(
        run_id=run.id,
        source=middle(name, 200),
        format=run.source.removeprefix("import:"),
        status=run.status.value,
        counts=run.counts,
        revision=run.revision.commit[:12],
        lost=list(run.lost),
        notes=[head(note, 300) for note in run.notes[:-1]] if run.lost else [],
    )


def _stay(poorer: Sequence[str]) -> Iterator[str]:
    """What is to be done where a run was kept before anybody said what was tested."""
    if poorer:
        yield (
            f"Kept before, and without the revision or job that is named now: {len(poorer)} of these runs ({poorer[0]}"
            f"{', …' if poorer[1:] else ''}). They stay as they are. In a store that is not shared, remove each one's file, "
            "RUN.run below .pytest-recall, then `pytest-recall store rebuild`, and import again."
        )


def _advice(runs: Sequence[Run]) -> Iterator[str]:
    """What would have made these runs worth more."""
    if any("revision" in run.lost for run in runs):
        yield "Without --revision an import proves nothing about flakes: mixed results need one and the same commit."
    if any(
        "environment" in run.lost and not run.environment.distributions.startswith("job ") for run in runs
    ):
        yield (
            "Where these ran is not told: pass --job NAME, the same for every run of one CI job, so that its runs can be "
            "set side by side."
        )
