"""The answer of a discovery: files or tests in pages, collection errors beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from pytest_recall.answers.page import page
from pytest_recall.answers.run import size
from pytest_recall.answers.text import head, middle, refusal, short_path
from pytest_recall.app import Found
from pytest_recall.model import Collector, Discovery, Function, Outcome

GroupBy = Literal["file", "class", "test"]
MOST = 40_000  # characters of one answer, whatever `limit` says
ERRORS = 20


class FileOfTests(BaseModel):
    path: Annotated[str, Field(description="file, or file::Class")]
    tests: int


class TestFound(BaseModel):
    id: Annotated[str, Field(description="pass it to run_tests")]
    line: int = 0
    count: Annotated[int, Field(description="tests it makes by its parameters")] = 1
    markers: list[str] = []
    params: list[str] = []
    fixtures: list[str] = []
    doc: str = ""


class CollectionError(BaseModel):
    path: str
    line: int = 0
    kind: str = ""
    message: str = ""


class DiscoveryAnswer(BaseModel):
    """Fields at their default are left out."""

    project: str
    python: str
    pytest: str = ""
    total: Annotated[int, Field(description="tests selected, parameters counted")] = 0
    deselected: int = 0
    files: list[FileOfTests] = []
    tests: list[TestFound] = []
    errors: list[CollectionError] = []
    errors_omitted: int = 0
    error: Annotated[str, Field(description="why nothing could be collected")] = ""
    duration_s: float = 0
    cached: Annotated[bool, Field(description="answered from the same tree's last collection")] = False
    next_cursor: str = ""


def answer(found: Found, *, group: GroupBy, limit: int, cursor: str, full: bool) -> DiscoveryAnswer:
    """One page of *found*; raises BadCursor. At most 40,000 characters: then the page is shorter."""
    discovery = found.discovery
    kind = f"discover {group}"
    functions, root = discovery.functions, discovery.target.root
    counted = [] if group == "test" else list(_counted(functions, group).items())
    while True:
        made = DiscoveryAnswer(
            project=middle(root, 200),
            python=short_path(discovery.target.python, root, 200),
            pytest=head(discovery.pytest, 20),
            total=discovery.selected,
            deselected=discovery.deselected,
            errors=[_error(c, root) for c in _failed(discovery)[:ERRORS]],
            errors_omitted=max(0, len(_failed(discovery)) - ERRORS),
            error=head(refusal(discovery.message) or discovery.message, 2_000),
            duration_s=round(discovery.duration_s, 2),
            cached=found.cached,
        )
        if group == "test":
            shown, made.next_cursor = page(functions, kind, cursor, limit)
            made.tests = [_test(function, full=full) for function in shown]
        else:
            counts, made.next_cursor = page(counted, kind, cursor, limit)
            made.files = [FileOfTests(path=middle(path, 300), tests=number) for path, number in counts]
        if limit == 1 or size(made) <= MOST:
            return made
        limit = max(1, limit // 2)


def _counted(functions: Iterable[Function], group: GroupBy) -> Counter[str]:
    counts: Counter[str] = Counter()
    for function in functions:
        name = function.id.partition("::")[0] if group == "file" else function.id.rpartition("::")[0]
        counts[name] += function.count
    return counts


def _test(function: Function, *, full: bool) -> TestFound:
    found = TestFound(id=middle(function.id, 4_200), line=function.line, count=function.count)
    if full:
        found.markers = [head(marker, 80) for marker in function.markers[:20]]
        found.params = [middle(param, 200) for param in function.params[:50]]
        found.fixtures = [head(fixture, 80) for fixture in function.fixtures[:20]]
        found.doc = head(function.doc, 200)
    return found


def _failed(discovery: Discovery) -> list[Collector]:
    return [collector for collector in discovery.collectors if collector.outcome is Outcome.ERROR]


def _error(collector: Collector, root: str) -> CollectionError:
    failure = collector.failure
    frame = failure.at if failure else None
    return CollectionError(
        path=short_path(frame.path, root, 200) if frame else middle(collector.id, 200),
        line=frame.line if frame else 0,
        kind=head(failure.exception, 80) if failure else "",
        message=head(failure.message if failure else collector.reason, 400),
    )
