"""How answers look to a person at a terminal. Text of test runs is shown as text, never as markup."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from pydantic import BaseModel
from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.text import Text

from pytest_recall.answers.bundle import BundleAnswer
from pytest_recall.answers.committing import CommitsAnswer, HookAnswer
from pytest_recall.answers.covered import Covered
from pytest_recall.answers.discovery import DiscoveryAnswer
from pytest_recall.answers.doctor import DoctorAnswer
from pytest_recall.answers.ingesting import IngestAnswer
from pytest_recall.answers.learnt import Fix, NoteAnswer
from pytest_recall.answers.logs import LogsAnswer
from pytest_recall.answers.moving import ExportAnswer, ImportAnswer
from pytest_recall.answers.observed import InventoryAnswer, MetricsAnswer
from pytest_recall.answers.overview import ReportAnswer
from pytest_recall.answers.run import FailureGroup, RunAnswer, Seen
from pytest_recall.answers.storing import StoreAnswer
from pytest_recall.answers.text import at_a_shell
from pytest_recall.answers.views import (
    CauseLine,
    CompareView,
    FailuresView,
    FixesView,
    FlakyView,
    RunLine,
    RunsView,
    RunView,
    SimilarView,
    SlowView,
    SpacesView,
    SummaryView,
    TestLine,
    TestView,
    Told,
)
from pytest_recall.cli.rows import Rows

_UNBROKEN = 2_000  # columns, where a file or a program reads it: an id on one line can be found and copied
_RUN_IDS = (13, 18, 23)  # characters of a run id: its millisecond, and more; commands take them for the whole
_COLOUR = {"passed": "green", "no_tests": "yellow", "cancelled": "yellow", "running": "cyan"}


def show(answer: BaseModel) -> None:
    """Print *answer* on stdout."""
    console = Console(soft_wrap=True, highlight=False)
    if not (sys.stdout.isatty() or os.environ.get("COLUMNS")):
        console.size = ConsoleDimensions(_UNBROKEN, 25)  # both, or rich would look for a terminal
    for part in _parts(answer):
        console.print(part)


def _parts(answer: BaseModel) -> Iterator[RenderableType]:
    yield from _SHOWN[type(answer)](answer)
    if isinstance(answer, Told):
        yield from (Text(plain(remark), style="dim") for remark in answer.remarks)
    yield from (_warning(text) for text in getattr(answer, "warnings", []))
    if cursor := getattr(answer, "next_cursor", ""):
        yield Text(f"more: --cursor {cursor}", style="dim")


def _run(answer: RunAnswer) -> Iterator[RenderableType]:
    for group in answer.failures:
        yield Group(*_failure(group))
    lists = ("newly failing", answer.newly_failing), ("newly passing", answer.newly_passing)
    for name, ids in (*lists, ("silenced, not mended", answer.silenced)):
        yield from (Text(f"{name}: {plain(test_id)}", style="dim") for test_id in ids)
    for label, text in (
        ("stopped by", ", ".join(answer.culprit)),
        ("", answer.stacks),
        ("", answer.output_tail),
    ):
        if text:
            yield Text(plain(f"{label} {text}".strip()))
    yield from (Text(f"slow: {plain(line)}", style="dim") for line in answer.slowest)
    if answer.error:
        yield Text(plain(answer.error), style="red")
    if answer.failures_omitted:
        yield Text(f"… and {answer.failures_omitted} failing tests in other groups", style="dim")
    yield from _coverage(answer.coverage)
    counts = ", ".join(f"{number} {name}" for name, number in answer.counts.items())
    yield Text(
        f"{answer.status}: {counts} in {answer.duration_s:.2f} s",
        style=f"bold {_COLOUR.get(answer.status, 'red')}",
    )
    yield Text(
        f"{plain(answer.python)}, pytest {answer.pytest}, revision {answer.revision}, run {answer.run_id}",
        style="dim",
    )
    yield from _notes(answer.notes)
    yield from (Text(plain(text)) for text in (answer.ci, answer.next_step) if text)


def _coverage(covered: Covered | None) -> Iterator[RenderableType]:
    if covered is None:
        return
    for label, lines in (
        ("uncovered in your change", covered.uncovered),
        ("changed, and imported by no test", covered.unmeasured),
        ("most missing", covered.worst),
    ):
        yield from (Text(plain(f"{label}: {line}"), style="dim") for line in lines)
    if covered.files_omitted:
        yield Text(f"… and {covered.files_omitted} more files with something missing", style="dim")
    trend = f" ({covered.percent - covered.before:+.2f})" if covered.before is not None else ""
    told = [f"coverage: {covered.percent:.2f} %{trend}", covered.change, covered.html]
    yield Text(plain(", ".join(part for part in told if part)))


def _failure(group: FailureGroup) -> Iterator[RenderableType]:
    yield Text(plain(f"{group.error}: {group.message}" if group.message else group.error), style="red")
    if group.at:
        yield Text(f"  {plain(group.at)}  {plain(group.source)}")
    for text in (group.traceback, group.captured):
        if text:
            yield _indented(text, "  ")
    yield from (
        Text(f"  {plain(name)} = {plain(value)}", style="dim") for name, value in group.locals.items()
    )
    yield from (Text(f"  {plain(test_id)}") for test_id in group.tests)
    if group.tests_omitted:
        yield Text(f"  … and {group.tests_omitted} more", style="dim")
    told = ". ".join(part for part in (group.evidence, at_a_shell(group.action)) if part)
    if says := ": ".join(part for part in (group.verdict.replace("_", " "), told) if part):
        yield Text(f"  {plain(says)}", style="yellow")
    yield from (Text(plain(f"  → {hint}"), style="yellow") for hint in group.hints)
    if group.seen_before:
        yield Text(plain(f"  {_seen(group.seen_before)}"), style="cyan")
    if group.fix:
        yield from _fix(group.fix)
    yield from _notes(group.notes, "  ")
    yield Text("")


def _indented(text: str, indent: str) -> Text:
    # rich's own padding fills each line up to the width, which is a thousand columns where a program reads.
    return Text(textwrap.indent(plain(text), indent), style="dim")


def _notes(notes: Sequence[str], indent: str = "") -> Iterator[RenderableType]:
    yield from (Text(plain(f"{indent}{note}"), style="cyan") for note in notes)


def _seen(seen: Seen) -> str:
    words = ", ".join(seen.matched)
    what = f"like {seen.fingerprint} ({seen.tier} {seen.similarity:.2f}: {words})" if words else "seen before"
    return f"{what}, in {_number(seen.runs, 'run')}, last {seen.last}"


def _fix(fix: Fix) -> Iterator[RenderableType]:
    """How a failure ended before; a test that was weakened is called so first."""
    what = (
        f"no fix: {', '.join(fix.weakened)};"
        if fix.weakened
        else f"mended before ({fix.state}, grade {fix.grade})"
    )
    yield Text(plain(f"  {what} {fix.at} in {', '.join(fix.files)} at {fix.revision}"), style="cyan")
    if fix.commit_message:
        yield Text(plain(f"  {fix.commit_message}"), style="cyan")
    yield from (Text(plain(f"  “{intent}”"), style="cyan") for intent in fix.intents)
    if fix.hunk:
        yield _indented(fix.hunk, "    ")


def _fixes(view: FixesView) -> Iterator[RenderableType]:
    for line in view.fixes:
        yield Text(plain(f"{line.test} ({line.fingerprint}), after {line.failed} failed attempts"))
        yield from _fix(line)


def _discovery(answer: DiscoveryAnswer) -> Iterator[RenderableType]:
    if answer.files or answer.tests:
        yield Text("tests  where", style="dim")
    for file in answer.files:
        yield Text(plain(f"{file.tests:5}  {file.path}"))
    for test in answer.tests:
        yield Text(plain(f"{test.count:5}  {test.id}  {test.doc}".rstrip()))
    for error in answer.errors:
        yield Text(plain(f"{error.path}:{error.line} {error.kind}: {error.message}"), style="red")
    if answer.error:
        yield Text(plain(answer.error), style="red")
    yield Text(
        f"{answer.total} tests, {answer.deselected} deselected, {answer.duration_s:.2f} s", style="bold"
    )


def _doctor(answer: DoctorAnswer) -> Iterator[RenderableType]:
    table = Rows("what", "found")
    for finding in answer.findings:
        table.add_row(finding.what, Text(plain(finding.found)))
    yield table
    for problem in answer.problems:
        yield Text(plain(f"✗ {problem.what}: {problem.found}"), style="red")
        yield Text(plain(f"  → {problem.remedy}"))
    if not answer.problems:
        yield Text("no problem found", style="bold green")


def _summary(answer: SummaryView) -> Iterator[RenderableType]:
    runs = ", ".join(f"{number} {status}" for status, number in answer.recent_runs.items()) or "no runs yet"
    yield Text(f"{plain(answer.project)}: {runs}", style="bold")
    if answer.last_run:
        yield _runs([answer.last_run])
    if answer.failing:
        yield from _tests("failing", answer.failing)
    if answer.flaky:
        yield from _tests("flaky", answer.flaky)
    if answer.causes:
        yield Text("causes", style="dim")
        yield from _causes(answer.causes)


def _runs(lines: Sequence[RunLine]) -> RenderableType:
    intents = ["intent"] if any(line.intent for line in lines) else []
    table = Rows("when (UTC)!", "status!", "tests", "seconds!", "revision!", "run!", *intents)
    short = _shortened(line.run_id for line in lines)
    for line in lines:
        counts = ", ".join(f"{number} {name}" for name, number in line.counts.items() if name != "collected")
        status = Text(line.status, style=_COLOUR.get(line.status, "red"))
        covered = f", {line.coverage:.2f} % covered" if line.coverage is not None else ""
        table.add_row(
            line.at,
            status,
            f"{counts}{covered}",
            f"{line.duration_s:.2f}",
            line.revision,
            short[line.run_id],
            *([Text(plain(line.intent))] if intents else []),
        )
    return table


def _tests(title: str, lines: Sequence[TestLine]) -> Iterator[RenderableType]:
    """A line for each, which a terminal may break and a reader can copy whole."""
    width = max(len(line.outcomes) for line in lines)
    yield Text(title, style="dim")
    for line in lines:
        says = f"  {line.verdict.replace('_', ' ')} {line.evidence}".rstrip()
        yield Text.assemble(line.outcomes.rjust(width), f"  {plain(line.id)}", (plain(says), "dim"))


def _flaky(view: FlakyView) -> Iterator[RenderableType]:
    if view.tests:
        yield from _tests("flaky", view.tests)


def _test(answer: TestView) -> Iterator[RenderableType]:
    yield Text(plain(answer.id), style="bold")
    verdict = answer.verdict and f"{answer.verdict.replace('_', ' ')}:"
    says = (verdict, answer.evidence, at_a_shell(answer.action))
    yield Text(plain(" ".join(part for part in says if part)))
    table = Rows("failed", "attempts", "mean s", "first seen", "last failed", "outcomes")
    numbers = (str(answer.failed), str(answer.attempts), f"{answer.mean_s:.3f}")
    table.add_row(*numbers, answer.first_seen, answer.last_failed, answer.outcomes)
    yield table
    yield from (Text(plain(line), style="dim") for line in (*answer.context, *answer.costs))
    yield from _notes(answer.notes)


def _slow(answer: SlowView) -> Iterator[RenderableType]:
    if answer.tests:
        yield Text("median s  runs  test", style="dim")
    for line in answer.tests:
        slower = f"  slower: {line.before_s:.3f} → {line.now_s:.3f} s" if line.now_s is not None else ""
        yield Text(plain(f"{line.median_s:8.3f}  {line.runs:4}  {line.id}{slower}"))


def _compare(answer: CompareView) -> Iterator[RenderableType]:
    yield _runs([answer.before, answer.after])
    yield from (Text(plain(line.source), style="dim") for line in (answer.before, answer.after))
    yield from (Text(plain(line), style="yellow") for line in answer.environment)
    told = [*answer.newly_failing, *answer.newly_passing, *answer.still_failing, *answer.silenced]
    if not (told or answer.appeared or answer.vanished):
        yield Text("No test differs.", style="dim")
    names = ("newly_failing", "newly_passing", "still_failing", "silenced", "appeared", "vanished")
    for name in names:
        ids = getattr(answer, name)
        yield from (Text(f"{name.replace('_', ' ')}: {plain(test_id)}") for test_id in ids)
        if more := answer.omitted.get(name):
            yield Text(f"… and {more} more {name.replace('_', ' ')}", style="dim")


def _spaces(answer: SpacesView) -> RenderableType:
    table = Rows("space!", "runs!", "passed!", "last run!", "fails only there")
    for line in answer.spaces:
        last = f"{line.last_run.status} {line.last_run.at}"
        only = "\n".join([*line.fails_only_here, *([f"… and {line.omitted} more"] if line.omitted else [])])
        table.add_row(line.space, str(line.runs), str(line.passed), last, Text(plain(only)))
    return table


def _causes(lines: Sequence[CauseLine]) -> Iterator[RenderableType]:
    for line in lines:
        said = f"{line.error}: {line.message}" if line.message else line.error
        yield Text.assemble(
            (plain(line.fingerprint), "dim"), "  ", (plain(said.replace("\n", "\n    ")), "red")
        )
        words = f": {', '.join(line.matched)}" if line.matched else ""
        like = f", {line.tier} {line.similarity or 0:.2f}{words}" if line.tier else ""
        seen = f"in {_number(line.seen.runs, 'run')}, last {line.seen.last}{like}"
        yield from (Text(plain(f"  {text}")) for text in (line.at, seen) if text)
        yield from (Text(plain(f"  {test_id}")) for test_id in line.tests)
        if line.tests_omitted:
            yield Text(f"  … and {line.tests_omitted} more", style="dim")
        if line.places_omitted:
            yield Text(f"  said the same at {_number(line.places_omitted, 'more place')}", style="dim")
        yield from _notes(line.notes, "  ")


def _ingested(answer: IngestAnswer) -> Iterator[RenderableType]:
    table = Rows("where!", "status!", "tests", "revision!", "run!")
    short = _shortened(one.run_id for one in answer.ingested)
    for one in answer.ingested:
        counts = ", ".join(f"{number} {name}" for name, number in one.counts.items() if name != "collected")
        status = Text(one.status, style=_COLOUR.get(one.status, "red"))
        table.add_row(one.space, status, counts, one.revision, short[one.run_id])
    if answer.ingested:
        yield table
    number = len(answer.ingested) + answer.ingested_omitted
    yield Text(f"{_number(number, 'captured run')} taken in" if number else "No captured run is waiting")
    if answer.going_on:
        yield Text(f"{_number(answer.going_on, 'session')} still going on")
    if answer.unreadable:
        lost = f"{_number(answer.unreadable, 'file')} that cannot be read, now in the store's broken/"
        yield Text(lost, style="red")
    if answer.error:
        yield Text(plain(answer.error), style="yellow")


def _imported(answer: ImportAnswer) -> Iterator[RenderableType]:
    table = Rows("status!", "tests", "revision!", "run!", "imported from")
    short = _shortened(one.run_id for one in answer.imported)
    for one in answer.imported:
        counts = ", ".join(f"{number} {name}" for name, number in one.counts.items() if name != "collected")
        status = Text(one.status, style=_COLOUR.get(one.status, "red"))
        origin = Text(plain(f"{one.source} ({one.format})"))
        table.add_row(status, counts, one.revision, short[one.run_id], origin)
    if answer.imported:
        yield table
    for note in dict.fromkeys(note for one in answer.imported for note in one.notes):
        yield Text(plain(f"  {note}"), style="dim")
    for double in answer.doubled:
        yield Text(
            plain(f"  {double.source} tells the same run as {double.run_id}, and less of it"), style="dim"
        )
    for refusal in answer.refused:
        yield Text(plain(f"✗ {refusal.source}: {refusal.why}"), style="red")
    kept, known, doubled, refused = (
        len(answer.imported) + answer.imported_omitted,
        len(answer.known) + answer.known_omitted,
        len(answer.doubled) + answer.doubled_omitted,
        len(answer.refused) + answer.refused_omitted,
    )
    parts = [
        f"{kept} imported",
        f"{known} known before",
        f"{refused} refused",
        f"{answer.passed_over + doubled} passed over",
        f"{answer.without_artefacts} of GitHub's runs without artefacts",
    ]
    yield Text(
        ", ".join(part for part in parts if not part.startswith("0 ")) or "nothing found", style="bold"
    )


def _exported(answer: ExportAnswer) -> Iterator[RenderableType]:
    yield Text(
        plain(f"{_number(answer.runs, 'run')} written to {answer.file} ({answer.format})"), style="bold"
    )
    for run_id in answer.missing:
        yield _warning(f"{run_id} cannot be read")


def _reported(answer: ReportAnswer) -> Iterator[RenderableType]:
    yield Text(plain(f"{answer.file} ({answer.bytes / 1000:,.0f} kB)"), style="bold")
    counted = ((answer.runs, "run"), (answer.tests, "test"), (answer.causes, "cause"))
    told = f"{', '.join(_number(*one) for one in counted)} of failure, {answer.flaky} unsteady"
    yield Text(plain(f"{told}; the newest run: {answer.status}"))
    if answer.opened is False:
        yield _warning("no browser was found; open that file yourself")
    yield from map(_warning, answer.warnings)


def _hook(answer: HookAnswer) -> Iterator[RenderableType]:
    if answer.diff:
        yield Text(plain(answer.diff))
    yield Text(plain(f"post-commit hook: {answer.status} ({answer.hook})"), style="bold")
    if answer.kept:
        yield Text(plain(f"As it was before: {answer.kept}"))
    yield from (_warning(remark) for remark in answer.remarks)


def _commits(answer: CommitsAnswer) -> Iterator[RenderableType]:
    for one in answer.attached:
        yield Text(plain(f"{one.commit} {one.message}"))
        yield Text(plain(f"  mended {one.test} in {', '.join(one.files)}"), style="dim")
    if answer.omitted:
        yield Text(f"… and {answer.omitted} more", style="dim")
    if not answer.attached:
        yield Text("No commit holds a fix that had none.", style="dim")


def _metrics(answer: MetricsAnswer) -> Iterator[RenderableType]:
    numbers = {"failing": answer.failing, "flaky": answer.flaky, "broken": answer.broken}
    told = ", ".join(f"{number} {name}" for name, number in numbers.items() if number is not None)
    coverage = f", coverage {answer.coverage:.2f} %" if answer.coverage is not None else ""
    yield Text(plain(f"{answer.project}: {_number(answer.runs, 'run')}, {told}{coverage}"), style="bold")
    for done, place in (("written to", answer.file), ("pushed to", answer.pushed)):
        if place:
            yield Text(plain(f"{done} {place}"))


def _inventory(answer: InventoryAnswer) -> Iterator[RenderableType]:
    counts = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in answer.states.items())
    yield Text(plain(f"{counts or 'no failure is known'}; written to {answer.file}"), style="bold")


def _logs(answer: LogsAnswer) -> Iterator[RenderableType]:
    for title, text in (
        ("", answer.output),
        ("log", answer.log),
        ("", "\n".join(answer.events)),
        ("", answer.server),
    ):
        if text:
            if title:
                yield Text(f"--- {title} ---", style="dim")
            yield Text(plain(text.rstrip("\n")))


def _bundle(answer: BundleAnswer) -> Iterator[RenderableType]:
    table = Rows("bytes", "member")
    for name, size in answer.members.items():
        cut = f"  ({answer.left_out[name]} bytes left out)" if name in answer.left_out else ""
        table.add_row(str(size), Text(f"{name}{cut}"))
    yield table
    yield from (Text(plain(f"not there: {one}"), style="dim") for one in answer.missing)
    yield Text(plain(f"run {answer.run_id} is in {answer.file}"), style="bold")


def _shortened(run_ids: Iterable[str]) -> dict[str, str]:
    """Each run id, and as much of its beginning as tells all of these apart."""
    ids = set(run_ids)
    most = next((most for most in _RUN_IDS if len({one[:most] for one in ids}) == len(ids)), None)
    return {run_id: run_id[:most] for run_id in ids}


def _number(number: int, of: str) -> str:
    return f"{number:,} {of}" if number == 1 else f"{number:,} {of}s"


def _store(answer: StoreAnswer) -> Iterator[RenderableType]:
    if answer.done:
        yield Text(plain(answer.done), style="bold")
    table = Rows("what", "is")
    table.add_row("folder", Text(plain(f"{answer.folder} ({answer.backend})")))
    table.add_row("runs", f"{answer.runs}, {answer.behind} not yet in the index")
    table.add_row(
        "index", ", ".join(f"{number} {name}" for name, number in answer.counts.items()) or "no answer"
    )
    table.add_row(
        "size", f"journal {answer.journal_bytes / 1e6:.1f} MB, index {answer.index_bytes / 1e6:.1f} MB"
    )
    table.add_row("versions", ", ".join(f"{name} {version}" for name, version in answer.versions.items()))
    yield table
    for refused in answer.refused:
        yield Text(plain(f"not taken in: {refused}"), style="red")
    if answer.error:
        yield Text(plain(answer.error), style="red")


def _warning(text: str) -> Text:
    return Text(f"! {plain(text)}", style="yellow")


def plain(text: Any) -> str:
    """*text* as this terminal can show it: answers are cleaned already, the encoding may still be narrow."""
    encoding = sys.stdout.encoding or "utf-8"
    return str(text).encode(encoding, "replace").decode(encoding)


_SHOWN: dict[type[BaseModel], Callable[[Any], Iterable[RenderableType]]] = {
    RunAnswer: _run,
    DiscoveryAnswer: _discovery,
    DoctorAnswer: _doctor,
    StoreAnswer: _store,
    HookAnswer: _hook,
    CommitsAnswer: _commits,
    SummaryView: _summary,
    RunsView: lambda view: [_runs(view.runs)] if view.runs else [],
    RunView: lambda view: _run(view.run),
    TestView: _test,
    FlakyView: _flaky,
    FailuresView: lambda view: _causes(view.failures),
    SlowView: _slow,
    CompareView: _compare,
    SpacesView: lambda view: [_spaces(view)] if view.spaces else [],
    SimilarView: lambda view: _causes(view.failures),
    FixesView: _fixes,
    NoteAnswer: lambda kept: [Text(plain(f"kept: {kept.kind} {kept.id} about {kept.about}"))],
    IngestAnswer: _ingested,
    LogsAnswer: _logs,
    BundleAnswer: _bundle,
    ImportAnswer: _imported,
    ExportAnswer: _exported,
    MetricsAnswer: _metrics,
    InventoryAnswer: _inventory,
    ReportAnswer: _reported,
}
