"""The domain's values: what was asked, what ran, and what came of it. Frozen, and nothing else.

Times are seconds (float); instants are seconds since the epoch, UTC. Node ids are pytest's own,
relative to the run's `rootdir`. All text that came from a test run is untrusted: bounded by
whoever made the value, escaped by whoever shows it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple

from pytest_recall.suite import (
    NO_TESTS,
    Attempt,
    ContextKind,
    Cost,
    Entry,
    Failure,
    Fingerprint,
    Frame,
    Outcome,
    Phase,
    Test,
    Tests,
)

__all__ = [
    "Attempt",
    "Cancelled",
    "Candidate",
    "Change",
    "ChangeCoverage",
    "Collector",
    "ContextKind",
    "Cost",
    "Coverage",
    "Crashed",
    "Discovery",
    "Entry",
    "Environment",
    "Failure",
    "FailureHistory",
    "Fate",
    "FileCoverage",
    "Fingerprint",
    "Finished",
    "FixState",
    "Frame",
    "Function",
    "Grade",
    "InternalError",
    "Interrupted",
    "NotStarted",
    "Note",
    "NoteKind",
    "Only",
    "Outcome",
    "Phase",
    "Pipeline",
    "Progress",
    "Purpose",
    "Revision",
    "Run",
    "RunFiles",
    "RunRequest",
    "RunRow",
    "Sample",
    "Scope",
    "Space",
    "Stack",
    "Status",
    "Target",
    "Termination",
    "Test",
    "TestHistory",
    "TimedOut",
    "Transition",
    "Warned",
    "WorkerLost",
]


class Status(StrEnum):
    """The verdict on one run. Only `PASSED` is green."""

    PASSED = "passed"
    FAILED = "failed"
    NO_TESTS = "no_tests"
    COLLECTION_FAILED = "collection_failed"
    USAGE_ERROR = "usage_error"
    INTERNAL_ERROR = "internal_error"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"
    RUNNING = "running"


Only = Literal["all", "failed", "new", "affected"]
# Why we run tests that nobody asked for: once more as they were, apart from those that passed, in another order, at the
# base revision.
Purpose = Literal["", "again", "alone", "order", "base"]
Space = Literal["local", "ci", "agent"]
Scope = Literal["executed", "imported", "package", "test", "config", "other"]  # nearest first
Grade = Literal["A", "B", "C"]
FixState = Literal["candidate", "confirmed", "reverted", "superseded"]


# --- what was asked -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One request to run tests, as the caller meant it; equal requests are the same run."""

    tests: tuple[str, ...] = ()  # paths or node ids; empty: what pytest runs by itself
    keyword: str = ""
    markers: str = ""
    only: Only = "all"
    max_failures: int = 0  # 0: no limit
    timeout_s: float = 600.0
    test_timeout_s: float = 0.0  # 0: no limit for a single test
    parallel: int = 0  # xdist workers; 0: none
    repeat: int = 1  # how often the whole selection is run
    resume: bool = True  # go on without the culprit after a crash or a hang
    detail: bool = False  # also collect the locals of failing frames
    coverage: bool = False  # measure it with the target's own tool
    args: tuple[str, ...] = ()  # further pytest options, from the allow-list
    env: tuple[tuple[str, str], ...] = ()
    intent: str = ""
    purpose: Purpose = ""  # of a run of our own, to prove what another one means


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One interpreter that was looked at, and why it was taken or passed over."""

    python: str
    source: str  # "explicit", ".venv", "poetry", "PATH", …
    verdict: str  # "chosen", or the reason against it


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A project folder and the interpreter that runs its tests."""

    root: str  # absolute: where pytest is started
    python: str  # absolute, never resolved through symlinks
    source: str  # why this one
    tried: tuple[Candidate, ...] = ()
    warning: str = ""


# --- what was found -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One test function (or doctest, …) as collection saw it; `id` carries no parameters."""

    id: str
    line: int = 0  # 1-based; 0: unknown
    count: int = 1  # how many tests it makes
    params: tuple[str, ...] = ()  # the text between the brackets of each, where asked for
    markers: tuple[str, ...] = ()
    fixtures: tuple[str, ...] = ()
    doc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What one collection found; errors stand beside what was found."""

    target: Target
    rootdir: str
    pytest: str
    functions: tuple[Function, ...]
    selected: int
    deselected: int
    collectors: tuple[Collector, ...]  # those that failed, or skipped themselves
    status: Status
    plugins: tuple[str, ...] = ()  # "name-version"
    message: str = ""  # why there is nothing, where there is nothing
    duration_s: float = 0.0


# --- what happened --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """A module, package or class whose collection failed (`ERROR`) or that `SKIPPED` itself."""

    id: str
    outcome: Outcome
    reason: str = ""
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """One distinct Python warning of the run, and how often it came."""

    category: str
    message: str
    path: str
    line: int
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The stacks of one process at the moment it hung or died, as faulthandler wrote them."""

    pid: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCoverage:
    """What of one source file was run. Branches are counted where the project measures them."""

    path: str  # from the folder where pytest was started, absolute outside it
    statements: int
    missed: int
    branches: int = 0
    missed_branches: int = 0
    missing: str = ""  # the lines that were not run: "3-5, 9", bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeCoverage:
    """What of the uncommitted change was run."""

    lines: int  # changed lines that can be run
    covered: int
    uncovered: tuple[tuple[str, str], ...] = ()  # path, lines
    unmeasured: tuple[str, ...] = ()  # changed sources that no test imported, or that are not to be measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What of the sources the tests of a run went through."""

    percent: (
        float  # 0-100, as the target's tool counts: of statements, and of branches where it measures them
    )
    statements: int
    missed: int
    branches: int = 0
    missed_branches: int = 0
    measured: int = 0  # files
    files: tuple[FileCoverage, ...] = ()  # with something missed, most first; at most 300
    change: ChangeCoverage | None = None  # None: nothing is changed, or nobody knows what
    before: float | None = None  # percent of the last run of the same selection that measured
    by: str = ""  # tool and version
    html: str = ""  # the report's first page, where one was made


# --- how a run ended: a type for each way ---------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """pytest came to its own end and said `exit_code` (0–5, or what a plugin made of it)."""

    exit_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOut:
    """A limit was reached: the run's (`limit_s`), or one test's when `test` names it."""

    limit_s: float
    test: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crashed:
    """pytest's process died or vanished: by `signal`, or by an exit behind pytest's back."""

    exit_code: int | None
    signal: str = ""  # "SIGSEGV"; "" when it left by itself
    at_exit: bool = False  # after the session had ended


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLost:
    """xdist's controller broke as it wrote to a worker that had died, before it could tell which, and under what test."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """KeyboardInterrupt, `pytest.exit`, or the death of the process that watched the run."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """The caller withdrew the request, or the server was stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotStarted:
    """pytest ended before a session began: a usage error, a broken conftest, no pytest."""

    exit_code: int | None
    message: str
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InternalError:
    """pytest, or a plugin of the target's, raised inside pytest."""

    message: str


Termination = (
    Finished | TimedOut | Crashed | WorkerLost | Interrupted | Cancelled | NotStarted | InternalError
)


# --- where and on what it happened ----------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """Exactly which sources ran: commit + tracked diff + untracked files (`digest` covers all)."""

    digest: str  # equal digests: equal sources
    commit: str = ""  # "" outside git
    branch: str = ""
    dirty: bool = False
    tree: str = ""  # git object that has the sources as they ran, for later comparison; "" unknown

    @property
    def known(self) -> bool:
        """Whether another revision can equal this one: not where the sources could not be read in time."""
        return not self.digest.startswith("unknown-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What could make the same sources behave otherwise."""

    os: str = ""
    arch: str = ""
    python: str = ""
    pytest: str = ""
    plugins: tuple[str, ...] = ()  # "name-version", sorted
    distributions: str = ""  # digest of the installed distributions
    packages: tuple[str, ...] = ()  # those, "name-version", sorted; () where nobody told
    workers: int = 0
    seed: str = ""  # of a random order, where a plugin told it


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """The CI job that a run was part of, as its variables told it; "" where they did not."""

    provider: str  # "GitHub Actions", …; "CI" where no more is known
    job: str = ""  # the same from run to run
    run: str = ""  # the provider's own number for this one
    branch: str = ""
    commit: str = ""  # what was checked out
    link: str = ""  # http(s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run, whole: what was asked, where, what happened, and the verdict."""

    id: str  # UUIDv7: sorts by time
    started_at: float
    duration_s: float
    target: Target
    rootdir: str
    request: RunRequest
    status: Status
    terminations: tuple[Termination, ...]  # one a launch; more than one after a resumed crash
    revision: Revision
    environment: Environment
    space: Space = "agent"
    source: str = "mcp"  # mcp, cli, plugin, import:<format>
    client: str = ""  # name and version of the MCP client
    ci: Pipeline | None = None
    collected: int = 0  # selected + deselected
    deselected: int = 0
    tests: Tests = NO_TESTS  # in order of their first start
    not_run: tuple[str, ...] = ()  # selected ids that never finished and are no culprit
    collectors: tuple[Collector, ...] = ()
    culprits: tuple[str, ...] = ()  # running when a launch crashed or ran out of time
    stacks: tuple[Stack, ...] = ()
    warned: tuple[Warned, ...] = ()
    context: tuple[Entry, ...] = ()  # of fixtures wider than a test: it holds for all tests in their scope
    coverage: Coverage | None = None
    doubts: tuple[str, ...] = ()  # where exit code, counts, stream and JSON report disagree
    notes: tuple[str, ...] = ()  # what the caller should know of how it was run
    lost: tuple[str, ...] = ()  # of an imported run: what its format could not tell ("attempts", "phases", …)
    reach: tuple[
        tuple[str, str], ...
    ] = ()  # test file, digest of it and of what it imports (`history.reach`)
    output_tail: str = ""
    output_bytes: int = 0

    def __post_init__(self) -> None:
        # Whoever makes a run may bring its tests in any sequence.
        object.__setattr__(self, "tests", Tests.of(self.tests))

    @property
    def selected(self) -> int:
        return self.collected - self.deselected

    @property
    def counts(self) -> dict[str, int]:
        """Tests by outcome, as pytest counts: collectors too; zeros left out.

        A test whose call failed and whose teardown raised counts in `failed` and in `error`, as in
        pytest's last line; one that only failed to tear down counts in `error` and not in `passed`.
        """
        others = [(test, test.decisive) for test in self.tests.others]
        outcomes = Counter([attempt.outcome for _, attempt in others])
        outcomes[Outcome.PASSED] += len(self.tests) - len(others)
        outcomes.update(collector.outcome for collector in self.collectors)
        counts: Counter[str] = Counter({outcome.value: number for outcome, number in outcomes.items()})
        for test, last in others:
            if last.outcome is Outcome.FAILED and any(f.phase == "teardown" for f in last.failures):
                counts["error"] += 1
            if len(test.attempts) > 1:
                counts["rerun"] += len(test.attempts) - len({a.repetition for a in test.attempts})
            for outcome, number in last.subtests:
                counts[f"subtests_{outcome.value}"] += number
        counts["not_run"] += len(self.not_run)
        counts["collected"], counts["deselected"] = self.collected, self.deselected
        counts["selected"] = self.selected if self.deselected else 0
        return {name: number for name, number in counts.items() if number}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFiles:
    """What is kept beside a run: pytest's output (head and tail), its JSON report and its log, as bytes."""

    output: bytes = b""
    report: bytes = b""
    log: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is."""

    done: int = 0
    total: int = 0
    failed: int = 0
    current: str = ""
    message: str = field(default="")


# --- what is remembered ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run in one line, as `test_history(view="runs")` lists it and comparisons look for it."""

    id: str
    started_at: float
    duration_s: float
    status: Status
    counts: dict[str, int]
    revision: Revision
    environment: str  # digest of the Environment
    scope: str  # digest of what was selected: equal scopes are comparable runs
    space: Space
    source: str
    suspect: bool = False  # cut short, most failures share one cause, or on purpose elsewhere: not evidence
    intent: str = ""
    client: str = ""
    purpose: Purpose = ""
    coverage: float | None = None  # percent
    line: str = ""  # of work: which tree and branch, at which commit (`history.lines`); "" where unknown


class Sample(NamedTuple):
    """One attempt at one test, as history keeps it. A tuple: one look back makes 200,000, each in a sixth of a dataclass's time."""

    run: str
    at: float
    revision: str  # digest
    environment: str  # digest
    space: Space
    outcome: Outcome
    duration_s: float = 0.0  # of the call phase
    fingerprint: str = ""  # strict, of the first failure
    group: str = ""
    attempt: int = 0  # 0-based place among the run's attempts at this test
    sources: str = ""  # digest of the test's file and of what it imports; "" where unknown
    line: str = ""  # that of the run


@dataclass(frozen=True, slots=True, kw_only=True)
class TestHistory:
    """What is known of one test: its recent attempts, oldest first (at most 200)."""

    id: str
    first_seen: float
    samples: tuple[Sample, ...] = ()
    gone: bool = False  # a later collection did not find it any more


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureHistory:
    """What is known of one cause of failure (one `group` fingerprint)."""

    fingerprint: str
    exception: str
    message: str
    path: str
    source: str  # text of the failing line
    tests: tuple[str, ...]  # ids that it broke, at most 50
    first_seen: float
    last_seen: float
    first_run: str
    last_run: str
    count: int = 1  # runs in which it came
    runs: tuple[str, ...] = ()  # the newest of those, at most 32: the same run is never counted twice


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One file of a change, and how near it is to a test."""

    path: str
    scope: Scope
    hunks: str = ""  # of the unified diff, bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """The way of one test from its last failure to its first pass, and what was changed on it."""

    test: str
    fingerprint: str  # group: with what it failed
    red: Revision  # the last failing one
    green: Revision  # the first passing one
    red_run: str
    green_run: str
    at: float  # of the first pass
    failed: int  # attempts since the last pass before
    intents: tuple[str, ...] = ()  # of the runs on the way, oldest first
    changes: tuple[Change, ...] = ()  # nearest to the test first
    weakened: tuple[str, ...] = ()  # why this is no fix: a skip added, an assertion gone, …
    grade: Grade = "C"  # A: undoing it made it red again; B: scoped and confirmed; C: correlation
    state: FixState = "candidate"
    commit: str = ""  # that holds the change; it may have come later
    message: str = ""  # of that commit, without secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of a test that collection does not find any more."""

    test: str
    at: float
    became: str = ""  # the id that has its source text now; "": it is gone


NoteKind = Literal["diagnosis", "suggestion", "remedy", "outcome"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What somebody said about a run, a test or a cause; redacted before it is kept."""

    id: str  # UUIDv7
    about: str  # run id, node id, or group fingerprint
    kind: NoteKind
    text: str
    at: float
    author: str = ""  # the MCP client, or "cli"
    worked: bool | None = None  # None: not known
