"""The shapes of history's answers, one a view, told apart by `view`. Fields at their default are left out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, RootModel

from pytest_recall.answers.learnt import Fix
from pytest_recall.answers.run import RunAnswer, Seen


class RunLine(BaseModel):
    run_id: str
    at: Annotated[str, Field(description="UTC")]
    status: str
    counts: dict[str, int] = {}
    duration_s: float = 0
    revision: str = ""
    source: str = ""
    intent: str = ""
    suspect: bool = False
    coverage: float | None = None


class TestLine(BaseModel):
    id: str
    outcomes: Annotated[
        str, Field(description="oldest first: . passed, F failed, E error, T timed out, C crashed")
    ] = ""
    verdict: str = ""
    evidence: str = ""
    action: str = ""


class CauseLine(BaseModel):
    fingerprint: str
    error: str
    message: str = ""
    at: str = ""
    tests: list[str] = []
    tests_omitted: int = 0
    places_omitted: Annotated[int, Field(description="more places that said the same in the same run")] = 0
    seen: Seen
    similarity: float | None = None
    tier: str = ""
    matched: list[str] = []
    notes: list[str] = []


class Told(BaseModel):
    remarks: list[str] = []  # why there is nothing, or what could not be shown
    warnings: list[str] = []  # the index is behind or out of reach


class SummaryView(Told):
    view: Literal["summary"]
    project: str
    last_run: RunLine | None = None
    recent_runs: Annotated[dict[str, int], Field(description="statuses of the last 20")] = {}
    failing: list[TestLine] = []
    failing_omitted: int = 0
    flaky: list[TestLine] = []
    causes: list[CauseLine] = []


class RunsView(Told):
    view: Literal["runs"]
    runs: list[RunLine] = []
    next_cursor: str = ""


class RunView(Told):
    view: Literal["run"]
    run: RunAnswer


class TestView(Told):
    view: Literal["test"]
    id: str
    verdict: str = ""
    evidence: str = ""
    action: str = ""
    failed: int = 0
    attempts: int = 0
    outcomes: str = ""
    first_seen: str = ""
    last_run: str = ""
    last_failed: str = ""
    mean_s: float = 0
    gone: bool = False
    fingerprints: Annotated[dict[str, int], Field(description="cause → how often")] = {}
    context: Annotated[list[str], Field(description="told by the test in its last run")] = []
    costs: list[str] = []
    notes: list[str] = []


class FailuresView(Told):
    view: Literal["failures"]
    failures: list[CauseLine] = []
    next_cursor: str = ""


class SimilarView(Told):
    view: Literal["similar"]
    failures: list[CauseLine] = []


class FlakyView(Told):
    view: Literal["flaky"]
    tests: list[TestLine] = []
    next_cursor: str = ""


class SlowLine(BaseModel):
    id: str
    median_s: float
    runs: int
    before_s: float | None = None  # of a test that got slower, free of the machine's noise
    now_s: float | None = None


class SlowView(Told):
    view: Literal["slow"]
    tests: list[SlowLine] = []
    next_cursor: str = ""


class CompareView(Told):
    view: Literal["compare"]
    before: RunLine
    after: RunLine
    environment: list[str] = []
    newly_failing: list[str] = []
    newly_passing: list[str] = []
    still_failing: list[str] = []
    silenced: list[str] = []
    appeared: list[str] = []
    vanished: list[str] = []
    omitted: dict[str, int] = {}


class SpaceLine(BaseModel):
    space: str
    runs: int
    passed: int
    last_run: RunLine
    fails_only_here: list[str] = []
    omitted: int = 0


class SpacesView(Told):
    view: Literal["spaces"]
    spaces: list[SpaceLine] = []


class FixLine(Fix):
    """One way of one test from red to green."""

    test: str
    fingerprint: str = ""
    failed: Annotated[int, Field(description="attempts before it passed")] = 0


class FixesView(Told):
    view: Literal["fixes"]
    fixes: list[FixLine] = []
    next_cursor: str = ""


HistoryAnswer = Annotated[
    SummaryView
    | RunsView
    | RunView
    | TestView
    | FailuresView
    | SimilarView
    | FlakyView
    | SlowView
    | CompareView
    | SpacesView
    | FixesView,
    Field(discriminator="view"),
]


class AnyView(RootModel[HistoryAnswer]):
    """Whichever view was asked for, as one model."""


View = Literal[
    "summary", "runs", "run", "test", "failures", "flaky", "slow", "similar", "compare", "spaces", "fixes"
]
