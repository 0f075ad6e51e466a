"""The shape of a report on a project's whole past: what `report --format json` prints and the page is drawn from."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from pytest_recall.answers.run import FailureGroup, RunAnswer
from pytest_recall.answers.views import CauseLine, CompareView, FixLine, RunLine, SpaceLine, TestLine


class Moment(RunLine):
    """One run on the time line."""

    started: Annotated[float, Field(description="seconds since the epoch")]
    space: str = ""
    branch: str = ""
    passed: int = 0
    failed: Annotated[int, Field(description="failed, error, timed out, crashed or not run")] = 0
    whole: Annotated[bool, Field(description="it ran at least half of what the largest run did")] = False


class Cause(FailureGroup):
    """One cause of failures that stand, with pytest's own text of the first of them."""

    run_id: str
    text: str = ""
    also: list[str] = Field(
        default_factory=list, description="fingerprints of other failures with this cause"
    )


class Told(TestLine):
    """One test: how it stands, its recent attempts, and what is known of it."""

    outcome: str = ""
    runs: list[int] = Field(
        default_factory=list, description="run of each letter of outcomes, in the report's runs"
    )
    failed: Annotated[int, Field(description="of `attempts`, on revisions where it also passed")] = 0
    attempts: int = 0
    low: Annotated[float, Field(description="rate of failures, Wilson 95 %")] = 0
    high: float = 1
    seconds: list[float | None] = Field(
        default_factory=list, description="of its call where it passed, in the report's `timed` runs"
    )
    median_s: float = 0
    before_s: float | None = None  # of a test that got slower, free of the machine's noise
    now_s: float | None = None
    reason: str = ""  # of a skip
    spaces: dict[str, str] = Field(
        default_factory=dict, description="space → last outcome there, where they differ"
    )
    causes: dict[str, int] = Field(default_factory=dict, description="fingerprint → how often")
    notes: list[str] = Field(default_factory=list)
    told: list[str] = Field(default_factory=list, description="what it said of itself in the newest run")
    costs: list[str] = Field(default_factory=list, description="CPU, memory, output of its phases there")
    gone: bool = False


class Overview(BaseModel):
    """A project's past at one moment. Fields at their default are left out."""

    project: str
    made: Annotated[str, Field(description="UTC")]
    version: Annotated[str, Field(description="of pytest-recall")]
    last: Annotated[RunAnswer, Field(description="the newest run; its failures are in `causes`")]
    window: str = ""
    space: str = ""
    runs: Annotated[list[Moment], Field(description="oldest first")] = []
    causes: Annotated[list[Cause], Field(description="what fails now")] = []
    known: Annotated[list[CauseLine], Field(description="causes that do not fail now, the latest first")] = []
    tests: Annotated[list[Told], Field(description="what needs attention first, then the slowest")] = []
    tests_omitted: int = 0
    flaky: Annotated[list[int], Field(description="index into tests, the likeliest to fail first")] = []
    slower: Annotated[list[int], Field(description="index into tests")] = []
    slowest: Annotated[list[int], Field(description="index into tests")] = []
    timed: Annotated[list[int], Field(description="index into runs: those that durations were taken of")] = []
    fixes: list[FixLine] = []
    spaces: list[SpaceLine] = []
    change: Annotated[CompareView | None, Field(description="from an earlier run to the newest one")] = None
    apart: Annotated[
        CompareView | None, Field(description="from CI's last run to the last one elsewhere")
    ] = None
    warnings: list[str] = []


class ReportAnswer(BaseModel):
    """What was written, and where."""

    file: str
    format: str
    bytes: int
    status: Annotated[str, Field(description="of the newest run")]
    runs: int = 0
    tests: int = 0
    causes: Annotated[int, Field(description="of what fails now")] = 0
    flaky: int = 0
    opened: Annotated[
        bool | None, Field(description="whether a browser was found; None: none was wanted")
    ] = None
    warnings: list[str] = []
