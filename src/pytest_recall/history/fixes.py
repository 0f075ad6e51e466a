"""From red to green: what was changed between a test's last failure and its first pass, and what that proves.

A transition is a candidate for a fix. It is confirmed by clean passes, proven by undoing the change,
and never made of a flake's flip or of a weakened test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from posixpath import dirname

from pytest_recall.history import lines
from pytest_recall.history.past import Past
from pytest_recall.history.patch import FileDiff, is_config, is_test_file, read_diff, weakened
from pytest_recall.model import Change, Revision, RunRow, Sample, Scope, TestHistory, Transition
from pytest_recall.redact import redact

_ORDER: tuple[Scope, ...] = ("executed", "imported", "package", "test", "config", "other")
_MENDING: frozenset[Scope] = frozenset({"executed", "imported", "package"})
_PASSES = 2  # clean passes that confirm, where the test has no flake history
_MOST_CHANGES = 50
_MOST_INTENTS = 10
_NO_TEXT = ("old mode ", "Binary files ")
_CUT = 19_000  # characters; a change that is kept in more of them may not be whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """The failures of one test since its last pass, and the pass that ended them."""

    test: str
    red: tuple[Sample, ...]
    green: Sample


def flip(history: TestHistory | None, now: Sequence[Sample]) -> Flip | None:
    """The flip that *now*, the samples of one run, completes; None where there is none, or a flake's.

    *history* may have *now* in it already.
    """
    past = Past(history, now)
    if not past.now or past.red or past.flaky:
        return None
    run = past.here.run
    before = [s for s in past.line if (s.at, s.run) < (past.here.at, run)]
    length = next((n for n, s in enumerate(reversed(before)) if not s.outcome.bad), len(before))
    red = before[len(before) - length :]
    before_it, after_it = red[-1].revision if red else "", past.here.revision
    # On one revision a pass after a failure is a flake's, whatever the environments.
    if not before_it or not after_it or before_it == after_it:
        return None
    return Flip(test=history.id if history else "", red=tuple(red), green=past.now[0])


def transition(
    flip: Flip,
    diff: Sequence[FileDiff],
    *,
    runs: Mapping[str, RunRow],
    executed: Collection[str] = (),
    reached: Collection[str] = (),
) -> Transition:
    """What happened on the way of one *flip*: *diff* is from the last red revision to the first green one.

    *runs* are the rows of the flip's runs, so far as they are kept; *executed* and *reached* are
    the files that the test ran through and can reach by its imports, where that is known.
    """
    last = flip.red[-1]
    on_the_way = dict.fromkeys(sample.run for sample in (*flip.red, flip.green))
    intents = [runs[run].intent for run in on_the_way if run in runs and runs[run].intent]
    return Transition(
        test=flip.test,
        fingerprint=last.group,
        red=_revision(last, runs),
        green=_revision(flip.green, runs),
        red_run=last.run,
        green_run=flip.green.run,
        at=flip.green.at,
        failed=len(flip.red),
        intents=tuple(dict.fromkeys(intents))[-_MOST_INTENTS:],
        changes=scoped(diff, flip.test, executed=executed, reached=reached)[:_MOST_CHANGES],
        weakened=weakened(diff, flip.test, reached=reached),
    )


def scoped(
    diff: Sequence[FileDiff], test: str, *, executed: Collection[str] = (), reached: Collection[str] = ()
) -> tuple[Change, ...]:
    """The files of *diff* with how near each is to *test* (a node id), the nearest first."""
    ran, near, path = frozenset(executed), frozenset(reached), test.partition("::")[0]
    changes = [
        Change(path=one.path, scope=_scope(one.path, path, ran, near), hunks=one.hunks) for one in diff
    ]
    return tuple(sorted(changes, key=lambda change: (_ORDER.index(change.scope), change.path)))


def advance(transition: Transition, history: TestHistory, later: Sequence[Transition] = ()) -> Transition:
    """The transition with the state and grade that what came after it allows; grade A is never taken away.

    Confirmed by clean passes on the green side; reverted where the old sources came back and failed
    as before; superseded by a later transition of the same failure, or by proof that it flakes.
    """
    past = Past(history, ())
    green = next((s for s in past.samples if s.run == transition.green_run), None)
    since = (green.at if green else transition.at, transition.green_run)  # the index tells milliseconds
    after = [s for s in past.samples if (s.at, s.run) >= since and (not green or lines.goes_on(green, s))]
    again = [s for s in after if s.outcome.bad and s.group == transition.fingerprint]
    clean = next((n for n, s in enumerate(after) if s.outcome.bad), len(after))
    if transition.fingerprint in past.flaky_prints or any(_replaces(one, transition) for one in later):
        return replace(transition, state="superseded")
    if any(s.revision == transition.red.digest for s in again):
        return replace(transition, state="reverted")
    if clean < (past.needed if past.flaked else _PASSES) or transition.weakened:
        return transition
    mending = any(change.scope in _MENDING for change in transition.changes)
    grade = "B" if transition.grade == "C" and mending else transition.grade
    return replace(transition, state="confirmed", grade=grade)


def undone(transition: Transition) -> list[str]:
    """The files to put back, to see whether it was them: those near the test that are no test.

    None where one of them was changed otherwise than in its text: putting back the others would disprove nothing.
    """
    near = [change for change in transition.changes if change.scope in _MENDING]
    return [] if any(change.hunks.startswith(_NO_TEXT) for change in near) else [one.path for one in near]


def tried(transition: Transition, *, red_without_it: bool) -> Transition:
    """The transition after the change was undone aside: red again proves it (A), green disproves it (C)."""
    if red_without_it and not transition.weakened:
        return replace(transition, grade="A", state="confirmed")
    return replace(transition, grade="C")


def holds(transition: Transition, diff: Sequence[FileDiff]) -> bool:
    """Whether *diff*, of one commit, has in it what made the test pass: every line of the changes nearest to it.

    What else the commit changes, and where its lines stand now, says nothing against it.
    """
    if not transition.changes:
        return False
    nearest = min(_ORDER.index(change.scope) for change in transition.changes)
    parts = {one.path: one for one in diff}
    return all(
        (part := parts.get(change.path)) is not None and _within(change, part)
        for change in transition.changes
        if _ORDER.index(change.scope) == nearest
    )


def _within(change: Change, part: FileDiff) -> bool:
    own = next(
        iter(read_diff(f"--- a/{change.path}\n+++ b/{change.path}\n{change.hunks}")), FileDiff(path="")
    )
    for ours, theirs in ((own.added, part.added), (own.removed, part.removed)):
        told = Counter(line for line in ours if line.strip())
        if told:  # where lines were added, those they replaced need not have been in any commit
            kept = Counter(redact("\n".join(theirs)).split("\n"))  # as ours were kept
            # What was too long was cut, and the last line with it.
            return (told - kept).total() <= (len(change.hunks) > _CUT)
    return True


def confirmed(transitions: Sequence[Transition]) -> dict[str, float]:
    """The fingerprints that were fixed for good, until they come back; and when first."""
    fixed = [one for one in transitions if one.state == "confirmed" and one.fingerprint and mends(one)]
    return {one.fingerprint: one.at for one in sorted(fixed, key=lambda one: -one.at)}


def passed(transition: Transition, history: TestHistory | None) -> list[Sample]:
    """The pass that ended the failure, and what passed on its line of work since, so far as that is remembered."""
    samples = history.samples if history else ()
    first = next((n for n, s in enumerate(samples) if s.run == transition.green_run), len(samples))
    since = [s for s in samples[first:] if not s.outcome.bad]
    return [s for s in since if lines.same(since[0], s)]


def mends(transition: Transition) -> bool:
    """Whether more was changed than the test: what only that made pass is not mended, and does not come back."""
    scopes = {change.scope for change in transition.changes}
    return not transition.weakened and scopes != {"test"}


def _replaces(later: Transition, earlier: Transition) -> bool:
    same = (later.test, later.fingerprint) == (earlier.test, earlier.fingerprint)
    return same and (later.at, later.green_run) > (earlier.at, earlier.green_run)


def _revision(sample: Sample, runs: Mapping[str, RunRow]) -> Revision:
    known = runs.get(sample.run)
    return known.revision if known else Revision(digest=sample.revision)


def _scope(path: str, test: str, executed: frozenset[str], reached: frozenset[str]) -> Scope:
    rules: tuple[tuple[Scope, Callable[[], bool]], ...] = (
        ("test", lambda: is_test_file(path)),
        ("executed", lambda: path in executed),
        ("imported", lambda: path in reached),
        ("config", lambda: is_config(path)),
        ("package", lambda: path.endswith(".py") and _same_package(path, executed | reached, test)),
    )
    return next((scope for scope, holds in rules if holds()), "other")


def _same_package(path: str, near: frozenset[str], test: str) -> bool:
    """Whether *path* lies beside a file that the test uses; where none is known, beside the test's own top folder."""
    used = {dirname(one) for one in near if not is_test_file(one)}
    return dirname(path) in used if used else path.partition("/")[0] == test.partition("/")[0]
