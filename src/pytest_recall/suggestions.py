"""Hints kept as suggestions, and what became of each: was it followed, and did the test pass afterwards?

A suggestion was followed where something that it names was changed. What goes wrong here is a
suggestion lost, never an answer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import anyio
from anyio.to_thread import run_sync

from pytest_recall import learning
from pytest_recall.advice import diff_between
from pytest_recall.history import trend
from pytest_recall.history.around import Hint, upgrades
from pytest_recall.history.past import Past
from pytest_recall.model import Note, NoteKind, Outcome, Run, RunRow
from pytest_recall.redact import redact
from pytest_recall.store.ids import new_id
from pytest_recall.workspace import Workspace

AUTHOR = "pytest-recall"  # of the suggestions that are ours; `/` and the rule follow

_SECONDS = 2.0  # for all of one run
_KEPT = 8  # of one run
_ASKED = 5  # tests of a cause that are asked whether they are flaky
_GREEN = frozenset({Outcome.PASSED, Outcome.XPASSED})


def known(given: Sequence[Hint], notes: Iterable[Note]) -> tuple[Hint, ...]:
    """The hints with how each worked when it was followed before, by the *notes* about their cause."""
    own = [one for one in notes if ours(one) and one.worked is not None]
    return tuple(
        replace(hint, worked=next((one.worked for one in own if _says(one, hint)), None)) for hint in given
    )


def ours(note: Note) -> bool:
    """Whether it is one of our own suggestions, which hints show better."""
    return note.kind == "suggestion" and note.author.startswith(f"{AUTHOR}/")


async def remember(space: Workspace, run: Run, given: Sequence[tuple[str, Sequence[Hint]]]) -> None:
    """Keep the hints, by fingerprint of their cause, as suggestions; settle those of earlier runs.

    What goes wrong here is a suggestion lost.
    """
    if run.request.purpose:
        return
    try:
        with anyio.move_on_after(_SECONDS):
            notes = await space.store.notes()
            outcomes = {one.about: one for one in reversed(notes) if one.kind == "outcome"}
            mine = [one for one in notes if one.kind == "suggestion"]
            made = await _settled(space, run, mine, outcomes)
            made += [
                _note(cause, "suggestion", _text(hint), author=_author(hint))
                for cause, about in given
                for hint in about
                if cause and not any(one.about == cause and _stands(one, hint, outcomes) for one in mine)
            ]
            for one in made[:_KEPT]:
                await run_sync(space.store.note, one)
    except Exception:  # see above
        space.log.exception("suggestions of run %s", run.id)


async def _settled(
    space: Workspace, run: Run, suggestions: Sequence[Note], outcomes: Mapping[str, Note]
) -> list[Note]:
    """Outcomes of the suggestions about causes that are gone with this run, or that were followed in vain."""
    undecided = [
        one
        for one in suggestions
        if one.about.startswith("fp1:")
        and one.at < run.started_at
        and (one.id not in outcomes or outcomes[one.id].worked is False)
    ]
    if not undecided:
        return []
    causes = await space.store.failures(fingerprints=sorted({one.about for one in undecided}))
    by_print = {cause.fingerprint: cause for cause in causes}
    failing = set(trend.failures(run))
    tests = sorted({test for cause in causes for test in cause.tests})
    green = _green(run) - (await learning.weakened(space, run, tests)).keys()
    row = trend.row(run)
    made = []
    for one in undecided:
        cause = by_print.get(one.about)
        again = one.about in failing
        passes = not again and cause is not None and not green.isdisjoint(cause.tests)
        if cause is None or not (passes or (again and one.id not in outcomes)):
            continue
        histories = await space.store.tests(cause.tests[:_ASKED])
        if any(Past(history, ()).flaky for history in histories.values()):
            continue  # a flip of a flaky test says nothing of what was done
        red = next((before for before in reversed(cause.runs) if before < run.id), "")
        changed = await _changed(space, run, row, red)
        if outcome := judged(one, changed, passes=passes, run=run.id):
            made.append(outcome)
    return made


def judged(suggestion: Note, changed: Sequence[str], *, passes: bool, run: str) -> Note | None:
    """What became of *suggestion*, by the names of what was *changed* since its cause was last seen.

    It was followed where one of them is named in it. On unchanged sources and environment a pass proves nothing.
    """
    followed = [name for name in changed if named(suggestion.text, name)]
    if not changed or not (passes or followed):
        return None
    how = (
        f"followed ({', '.join(followed[:3])})"
        if followed
        else f"not followed; changed: {', '.join(changed[:3])}"
    )
    end = f"passed in run {run}" if passes else f"the failure is still there in run {run}"
    worked = passes if followed else None
    return _note(suggestion.id, "outcome", f"{how}; {end}", worked=worked)


def named(text: str, name: str) -> bool:
    """Whether *text* names it: a whole path, or a whole word."""
    return bool(name) and re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w/-]|\.\w)", text) is not None


async def _changed(space: Workspace, run: Run, row: RunRow, red: str) -> list[str]:
    """The names of the files and packages that differ between the run *red* and this one."""
    before = await space.store.run(red) if red else None
    if before is None or not await run_sync(learning.goes_on, Path(run.rootdir), trend.row(before), row):
        return []
    diff = await run_sync(diff_between, space, Path(run.rootdir), trend.row(before), row)
    moved = upgrades(before.environment, run.environment)
    paths = [path for one in diff or () for path in dict.fromkeys((one.path, one.old)) if path]
    return [*paths, *(one.name for one in moved)]


def _green(run: Run) -> set[str]:
    """What passed: tests, and the modules whose tests could be collected again."""
    passed = {*run.tests.ids} - {test.id for test in run.tests.others if test.outcome not in _GREEN}
    lost = {one.id for one in run.collectors if one.outcome.bad}
    return passed | {test.partition("::")[0] for test in run.tests.ids} - lost


def _note(about: str, kind: NoteKind, text: str, *, author: str = AUTHOR, worked: bool | None = None) -> Note:
    return Note(
        id=new_id(time.time), about=about, kind=kind, text=text, at=time.time(), author=author, worked=worked
    )


def _stands(suggestion: Note, hint: Hint, outcomes: Mapping[str, Note]) -> bool:
    """Whether it need not be said again: it was, or another of its kind has no outcome yet."""
    return _says(suggestion, hint) or (suggestion.author == _author(hint) and suggestion.id not in outcomes)


def _says(suggestion: Note, hint: Hint) -> bool:
    return suggestion.author == _author(hint) and suggestion.text.startswith(redact(hint.text)[:200])


def _author(hint: Hint) -> str:
    return f"{AUTHOR}/{hint.rule}"


def _text(hint: Hint) -> str:
    return redact(f"{hint.text} ({hint.evidence})")[: learning.TEXT]
