"""What the launches of a run told → one Run and its verdict. Nothing here can make a run greener than it was."""

from __future__ import annotations

import platform
import re
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pytest_recall.model import (
    Cancelled,
    Candidate,
    Crashed,
    Environment,
    Finished,
    InternalError,
    Interrupted,
    NotStarted,
    Outcome,
    Pipeline,
    Revision,
    Run,
    RunRequest,
    Space,
    Stack,
    Status,
    Target,
    Termination,
    Test,
    TimedOut,
    WorkerLost,
)
from pytest_recall.running.ledger import Launch, Ledger

_PASSED, _TESTS_FAILED, _INTERRUPTED, _INTERNAL_ERROR, _USAGE_ERROR, _NO_TESTS = range(6)
_TAIL = 4_000
_MOST_STACKS = 32
_MOST_PACKAGES, _MOST_NAME = 2_000, 100
# execnet's words for a worker that is gone; xdist writes to it until it has read of its end.
_UNSENT = re.compile(r"OSError: cannot send (?:to <|\(already closed)")
_LOST = "An xdist worker died, and xdist's controller broke over it before it could say what it was doing."
_PYTHON = re.compile(r"-py\d\.\d+.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """One launch and how its process ended, as far as that is known."""

    launch: Launch
    exit_code: int | None  # negative: the signal; None: nobody saw it end
    clean: bool = True  # nothing of its process tree is left
    killed: tuple[str, ...] = ()  # command lines of what the tests had left behind
    why: TimedOut | Cancelled | Interrupted | None = None  # it was ended from outside
    boot: dict[str, Any]
    startup: dict[str, Any]
    stacks: tuple[Stack, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Everything about a run that was known before it began."""

    id: str
    started_at: float
    request: RunRequest
    target: Target
    revision: Revision
    space: Space
    source: str
    client: str
    ci: Pipeline | None = None


def build(
    origin: Origin,
    ledger: Ledger,
    ends: Sequence[Ended],
    *,
    duration_s: float,
    doubts: Sequence[str],
    output_tail: str = "",
    output_bytes: int = 0,
) -> Run:
    """The Run that *ledger* and *ends* tell of; *doubts* are what others found against it."""
    terminations = tuple(termination(end) for end in ends)
    missing = dict.fromkeys([*ledger.never, *ledger.waiting])
    not_run = tuple([test for test in missing if test not in ledger.attempts])
    doubts = [*_doubts(ends, terminations), *doubts]
    first = ends[0]
    selected = first.launch.selected
    session = next((end.launch.session for end in ends if end.launch.session), None)
    return Run(
        id=origin.id,
        started_at=origin.started_at,
        duration_s=duration_s,
        target=origin.target,
        rootdir=session.root if session else origin.target.root,
        request=origin.request,
        status=verdict(
            ledger, terminations, selected=selected, doubtful=bool(doubts), incomplete=bool(not_run)
        ),
        terminations=terminations,
        revision=origin.revision,
        environment=_environment(ends),
        space=origin.space,
        source=origin.source,
        client=origin.client,
        ci=origin.ci,
        collected=(selected or 0) + first.launch.deselected,
        deselected=first.launch.deselected,
        tests=ledger.attempts.tests(),
        not_run=not_run,
        collectors=tuple(ledger.collectors.values()),
        culprits=tuple(ledger.culprits),
        stacks=tuple(stack for end in ends for stack in end.stacks)[:_MOST_STACKS],
        warned=ledger.warned(),
        context=tuple(ledger.telling.scoped),
        doubts=tuple(dict.fromkeys(doubts)),
        notes=(*ledger.notes, *_left_behind(ends)),
        output_tail=output_tail[-_TAIL:],
        output_bytes=output_bytes,
    )


def termination(end: Ended) -> Termination:  # noqa: PLR0911 - one line for each way to end
    """How one launch ended. What we did to it outranks what pytest then said about it."""
    launch, code = end.launch, end.exit_code
    if end.why is not None:
        return end.why
    if code is not None and code < 0:
        return Crashed(exit_code=code, signal=_signal(-code), at_exit=launch.ended)
    if launch.session is None and (end.startup or code == _USAGE_ERROR):
        return NotStarted(
            exit_code=code, message=_why_not(end.startup), path=str(end.startup.get("path") or "")
        )
    if launch.internal is not None:
        message = f"{launch.internal.type}: {launch.internal.text}"[-_TAIL:]
        lost = launch.session and launch.session.workers and _UNSENT.search(launch.internal.text)
        return WorkerLost(message=_LOST) if lost else InternalError(message=message)
    if code is None or launch.finish is None or not launch.ended:
        return Crashed(exit_code=code, at_exit=launch.finish is not None)
    if launch.interrupt is not None and not _stopped_itself(launch):
        return Interrupted(reason=launch.interrupt.text or launch.interrupt.type)
    return Finished(exit_code=code)


def verdict(
    ledger: Ledger,
    terminations: Sequence[Termination],
    *,
    selected: int | None,
    doubtful: bool,
    incomplete: bool,
) -> Status:
    """The status of a run: the first line that applies.

    ======================  =====================================================================
    cancelled               the caller withdrew it
    collection_failed       no session: a conftest could not be loaded
    usage_error             no session for another reason that pytest calls usage; exit 4
    internal_error          an INTERNALERROR; pytest itself could not start; exit 3
    crashed                 pytest's process, or an xdist worker under a test, died
    timed_out               the run's limit, or that of a test, was reached
    interrupted             KeyboardInterrupt, `pytest.exit`; exit 2 with nothing failed
    collection_failed       a collector failed, whatever else passed
    failed                  a test failed, or was selected and not run
    no_tests                nothing was selected; exit 5
    passed                  exit 0 of every launch, every selected test finished well, no doubt
    failed                  all else: exit code, counts, stream and JSON report disagree
    ======================  =====================================================================
    """
    early = cut_short(terminations)
    if early is not None:
        return early
    told = ledger.attempts.told.values()
    bad = any(Test(id="", attempts=attempts).outcome.bad for attempts in told)
    codes = {end.exit_code for end in terminations if isinstance(end, Finished)}
    if any(collector.outcome is Outcome.ERROR for collector in ledger.collectors.values()):
        return Status.COLLECTION_FAILED
    if _INTERRUPTED in codes and not bad:
        return Status.INTERRUPTED
    if bad or incomplete:
        status = Status.FAILED
        if any(a.outcome is Outcome.CRASHED for attempts in told for a in attempts):
            status = Status.CRASHED
    elif not ledger.attempts and (_NO_TESTS in codes or selected == 0):
        status = Status.NO_TESTS
    elif codes == {_PASSED} and len(terminations) > 0 and not doubtful and ledger.attempts:
        status = Status.PASSED
    else:
        status = Status.FAILED
    return status


def cut_short(terminations: Sequence[Termination]) -> Status | None:
    """The status of a run with a launch that did not come to its own good end."""
    statuses = {status for end in terminations if (status := _status_of(end)) is not None}
    for status in (
        Status.CANCELLED,
        Status.COLLECTION_FAILED,
        Status.USAGE_ERROR,
        Status.INTERNAL_ERROR,
        Status.CRASHED,
        Status.TIMED_OUT,
        Status.INTERRUPTED,
    ):
        if status in statuses:
            return status
    return None


def _status_of(end: Termination) -> Status | None:  # noqa: C901, PLR0911 - a table
    match end:
        case Cancelled():
            return Status.CANCELLED
        case NotStarted(path=path) if path:
            return Status.COLLECTION_FAILED
        case NotStarted(exit_code=code):
            return Status.USAGE_ERROR if code == _USAGE_ERROR else Status.INTERNAL_ERROR
        case InternalError() | Finished(exit_code=3):
            return Status.INTERNAL_ERROR
        case Crashed() | WorkerLost():
            return Status.CRASHED
        case TimedOut():
            return Status.TIMED_OUT
        case Interrupted():
            return Status.INTERRUPTED
        case Finished(exit_code=4):
            return Status.USAGE_ERROR
        case Finished():
            return None


# --- doubts ---------------------------------------------------------------------------------


def _doubts(ends: Sequence[Ended], terminations: Sequence[Termination]) -> list[str]:
    """Where exit code, session, counts and stream tell different stories."""
    found = []
    for end, ended in zip(ends, terminations, strict=True):
        launch = end.launch
        if launch.finish is not None and launch.finish.lost:
            found.append(f"{launch.finish.lost} facts could not be written: the disk was full.")
        if isinstance(ended, Finished):
            found += _of_exit(launch, ended.exit_code)
    for repetition in sorted({end.launch.repetition for end in ends}):
        found += _of_counts([end for end in ends if end.launch.repetition == repetition])
    return found


def _of_exit(launch: Launch, code: int) -> list[str]:
    found = []
    bad = launch.failed or launch.broken
    said = launch.finish.exit if launch.finish else code
    if said != code:
        found.append(f"pytest's session said exit {said}, and its process ended with {code}.")
    if code == _PASSED and bad:
        found.append("pytest exited with 0 although tests failed: a plugin changed its exit status.")
    if code == _PASSED and launch.finish and launch.finish.failed and not bad:
        found.append(f"pytest counted {launch.finish.failed} failures that it did not report.")
    if code == _TESTS_FAILED and not bad:
        found.append("pytest exited with 1 although no test failed: a plugin, such as a coverage threshold.")
    if code not in range(6):
        found.append(f"pytest exited with {code}, which is none of its own codes.")
    return found


def _of_counts(ends: Sequence[Ended]) -> list[str]:
    """Of one repetition that came to a good end: whether all that was selected has finished."""
    selected = ends[0].launch.selected
    finished = sum(end.launch.closed for end in ends)
    if ends[-1].exit_code != _PASSED or selected is None or finished >= selected:
        return []
    return [f"pytest exited with 0, and only {finished} of {selected} selected tests finished."]


def _left_behind(ends: Sequence[Ended]) -> list[str]:
    notes = []
    killed = [name for end in ends if end.why is None for name in end.killed]
    if killed:
        shown = ", ".join(name[:80] for name in killed[:3])
        notes.append(f"{len(killed)} processes that the tests had left behind were ended: {shown}")
    if not all(end.clean for end in ends):
        notes.append("Some processes of the run could not be ended.")
    return notes


# --- words ----------------------------------------------------------------------------------


def _stopped_itself(launch: Launch) -> bool:
    """Whether the session stopped by its own rules: collection errors, --stepwise, a plugin's `shouldstop`."""
    return launch.interrupt is not None and launch.interrupt.type.endswith("Interrupted")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _why_not(startup: dict[str, Any]) -> str:
    message, cause = str(startup.get("message") or ""), startup.get("cause")
    return f"{message} ({cause})"[:_TAIL] if cause and str(cause) not in message else message[:_TAIL]


def _environment(ends: Sequence[Ended]) -> Environment:
    session = next((end.launch.session for end in ends if end.launch.session), None)
    boot = ends[0].boot
    version = boot.get("version")
    python = ".".join(str(part) for part in version[:3]) if isinstance(version, list) else ""
    told = boot.get("installed")  # by a session that ran elsewhere
    installed = (
        sorted(map(str, told)) if isinstance(told, list) else _installed(str(boot.get("prefix") or ""))
    )
    return Environment(
        os=str(boot.get("os") or platform.system())[:40],
        arch=str(boot.get("arch") or platform.machine())[:40],
        python=session.python if session else python[:40],
        pytest=session.pytest if session else str(boot.get("pytest") or "")[:40],
        plugins=session.plugins if session else (),
        distributions=_digest(installed),
        packages=_packages(installed),
        workers=session.workers if session else 0,
        seed=next((end.launch.seed for end in ends if end.launch.seed), ""),
    )


def _installed(prefix: str) -> list[str]:
    """The names of the folders in which installers note what is installed under *prefix*."""
    if not prefix:
        return []
    folders = [*Path(prefix).glob("lib/python3*/*-packages"), Path(prefix) / "Lib" / "site-packages"]
    return sorted(item.name for folder in folders for item in folder.glob("*-info"))


def _digest(installed: Sequence[str]) -> str:
    text = "\n".join(installed)
    return blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest() if installed else ""


def _packages(installed: Sequence[str]) -> tuple[str, ...]:
    """`MarkupSafe-2.1.5.dist-info`, `six-1.16-py3.8.egg-info` as name and version."""
    stems = (name.rpartition(".")[0] for name in installed[:_MOST_PACKAGES])
    return tuple(sorted({_PYTHON.sub("", stem)[:_MOST_NAME] for stem in stems}))


# --- a run's beginning, written down --------------------------------------------------------


def story(origin: Origin) -> dict[str, Any]:
    """*origin* as plain values, for whoever finds the run after its server has died."""
    return asdict(origin)


def origin_of(story: dict[str, Any]) -> Origin:
    """The Origin that `story` wrote.

    Raises:
        ValueError, TypeError, KeyError: it is torn, or another version's.
    """
    target, request = dict(story["target"]), dict(story["request"])
    target["tried"] = tuple(Candidate(**candidate) for candidate in target["tried"])
    for name in ("tests", "args"):
        request[name] = tuple(request[name])
    request["env"] = tuple((name, value) for name, value in request["env"])
    rest = {name: story[name] for name in ("id", "started_at", "space", "source", "client")}
    return Origin(
        target=Target(**target),
        request=RunRequest(**request),
        revision=Revision(**story["revision"]),
        ci=Pipeline(**story["ci"]) if story.get("ci") else None,
        **rest,
    )
