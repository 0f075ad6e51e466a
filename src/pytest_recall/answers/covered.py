"""What an answer says of coverage: the percentage, what the change left uncovered, and where most is missing."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from pytest_recall.answers.text import head
from pytest_recall.model import Coverage, FileCoverage

_PATH = 160


class Covered(BaseModel):
    percent: float
    before: Annotated[float | None, Field(description="of the last run of the same selection")] = None
    change: Annotated[str, Field(description="of the uncommitted change")] = ""
    uncovered: Annotated[list[str], Field(description="path: lines of the change that no test ran")] = []
    unmeasured: Annotated[list[str], Field(description="changed files that no test imported")] = []
    worst: Annotated[list[str], Field(description="the files with most lines missed")] = []
    files_omitted: int = 0  # with something missed
    html: str = ""
    by: str = ""


def covered(coverage: Coverage | None, *, entries: int, lines: int) -> Covered | None:
    """*coverage* with so many *entries* a list, and so many characters for the *lines* of each file."""
    if coverage is None:
        return None
    change = coverage.change
    return Covered(
        percent=coverage.percent,
        before=coverage.before,
        change=f"{change.covered} of {change.lines} changed lines covered" if change and change.lines else "",
        uncovered=[f"{head(path, _PATH)}: {head(at, lines)}" for path, at in change.uncovered[:entries]]
        if change
        else [],
        unmeasured=[head(path, _PATH) for path in change.unmeasured[:entries]] if change else [],
        worst=[_file(one, lines) for one in coverage.files[:entries]],
        files_omitted=max(0, len(coverage.files) - entries),
        html=head(coverage.html, 300) if entries else "",
        by=coverage.by if lines > _PATH else "",
    )


def _file(one: FileCoverage, lines: int) -> str:
    all_of, missed = one.statements + one.branches, one.missed + one.missed_branches
    percent = 100.0 * (all_of - missed) / all_of if all_of else 100.0
    missing = f": {head(one.missing, lines)}" if one.missing else ""
    branches = f" ({one.missed_branches} branches)" if one.missed_branches and not one.missed else ""
    return f"{head(one.path, _PATH)} {percent:.0f} %{branches}{missing}"
