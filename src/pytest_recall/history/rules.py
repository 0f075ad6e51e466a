"""The rules of the verdicts, in the order in which they are asked; the first that holds decides.

Each rule takes all that is known of one test and answers with a verdict, or None. Proof of a flake
comes first, then what the base and the past show; a rule that cannot tell leaves it to the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pytest_recall.history import lines
from pytest_recall.history.odds import posterior_real, red_again, wilson
from pytest_recall.history.past import Past, both
from pytest_recall.history.proof import Proof
from pytest_recall.history.trend import ALONE, SOME, without_seed
from pytest_recall.model import Outcome, Sample

_REPRODUCED = 2  # attempts that failed, and none that passed
_PROVEN = 2  # attempts on either side that show what an outcome follows
_BROKEN = 3  # revisions in a row
_LOOP = 4  # runs in a row with one fingerprint
_SIGNS = 2  # weak signs that make a suspicion
_SURE = 0.9  # probability that a failure is no flake
_UNLIKE = " What the base shows is no proof: the environment differs, or files that git does not track."
_TOGETHER = (
    "No single test before it does that: several together, or a module that is only imported."
    " Bisect by hand: run_tests(tests=[half of the files before its own, …, its own])."
)
_UNLIKELY, _LEAST = 0.02, 3  # a streak of a flaky test that is rarer, and longer, is something else
_UNTOUCHED = 0.005  # that it has to be rarer than where nothing that the test imports was changed


class Verdict(StrEnum):
    """What a test's outcome means."""

    FLAKY = "flaky"
    ENVIRONMENT_DEPENDENT = "environment_dependent"
    ORDER_DEPENDENT = "order_dependent"
    SUSPECTED_FLAKY = "suspected_flaky"
    BROKEN = "broken"
    NEW_FAILURE = "new_failure"
    PRE_EXISTING = "pre_existing"
    REGRESSION = "regression"
    FIXED = "fixed"
    RECURRED = "recurred"
    NOT_ENOUGH_EVIDENCE = "not_enough_evidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that a rule may look at."""

    past: Past
    touched: Collection[str] | None
    base: Past | None
    proof: Proof
    known_flaky: Collection[str]
    fixed: Mapping[
        str, float
    ]  # group fingerprints of confirmed fixes that came to this line of work, and when they were made
    unmended: Collection[str]  # those that only went away when the test was weakened, or elsewhere
    rate: tuple[int, int]  # failures x of n attempts, in cells with at least one pass

    @property
    def share(self) -> str:
        x, n = self.rate
        low, high = wilson(x, n)
        return f"{x}/{n} on unchanged code ({100 * low:.1f}–{100 * high:.1f} %)"

    @property
    def suite(self) -> Sequence[Sample]:
        """On this revision, after the tests that usually run before it."""
        return [*self.past.suite, *self.proof.together]

    @property
    def alone(self) -> Sequence[Sample]:
        """On this revision, without them."""
        known = {(s.run, s.attempt): s for s in (*self.past.alone, *self.proof.alone)}
        return list(known.values())

    @property
    def apart(self) -> Iterator[tuple[Sequence[Sample], str]]:
        """On this revision, in other company: alone, and with other selections of tests; each with how to say it."""
        yield self.alone, "alone"
        yield from ((part, "with other tests selected") for part in self.past.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    verdict: Verdict
    evidence: str
    action: str = ""
    command: str = ""


# --- rules for a failure; the first that holds gives the verdict -----------------------------


def _order(case: Case) -> Found | None:
    """Alone ≠ in the suite, each seen twice (E3)."""
    suite, proof = case.suite, case.proof
    seen = ((other, how) for other, how in case.apart if min(len(suite), len(other)) >= _PROVEN)
    other, how = next(((other, how) for other, how in seen if _apart(suite, other)), ([], ""))
    if not other:
        return None
    ends = ("fails", "passes") if suite[0].outcome.bad else ("passes", "fails")
    counted = f"{ends[0]} {len(suite)}/{len(suite)} in the suite, {ends[1]} {len(other)}/{len(other)} {how}"
    if not proof.polluter:
        return Found(
            verdict=Verdict.ORDER_DEPENDENT,
            evidence=counted,
            action=_TOGETHER
            if proof.searched
            else "Find the test before it that leaves state behind: test_history(view='flaky', verify=2).",
        )
    importing = "importing " if proof.imported else ""
    role = "leaves state behind" if suite[0].outcome.bad else "leaves state that it needs"
    return Found(
        verdict=Verdict.ORDER_DEPENDENT,
        evidence=f"{counted}; {ends[0]} after {importing}{proof.polluter}, which {role}",
        action="Mend that state.",
        command=proof.command,
    )


def _seed(case: Case) -> Found | None:
    """One order seed ≠ the others, each seen twice (E3)."""
    seed = _follows(case.past, lambda environment: environment, _company)
    if not seed:
        return None
    return Found(
        verdict=Verdict.ORDER_DEPENDENT,
        evidence=f"on this revision the outcome follows the order seed: {seed}",
        action="Rerun with the failing seed, then look for state shared between tests.",
    )


def _flaky(case: Case) -> Found | None:
    """Both outcomes in one cell (E1), not cleared, and the present failure is of that kind."""
    past = case.past
    mixed = next((cell for cell in (past.cell, case.suite, case.alone) if both(cell)), None)
    if mixed is not None and not past.shifted:
        known = (
            f"failed {case.share}; " if case.rate[1] else ""
        )  # of a run whose revision nobody told, no cell is known
        return Found(
            verdict=Verdict.FLAKY,
            evidence=f"{known}{_counted(mixed)} in this very state",
            action="Not your change. Rerun it; mend the test's own nondeterminism.",
        )
    if not past.flaky or not past.prints or not past.prints <= past.flaky_prints or case.touched:
        return None
    if past.moved:  # the change is as likely to have done it: only a rerun tells
        return None
    x, n = past.rate(without=past.streak)
    k = len(past.streak)
    if k >= _LEAST and red_again(x, n, k) < _UNLIKELY:
        return None
    return Found(
        verdict=Verdict.FLAKY,
        evidence=f"failed {case.share}, with this fingerprint",
        action=f"Known flake. Rerun it: {max(_LEAST, k)} red in a row would be more than that.",
    )


def _undecided(case: Case) -> Found | None:
    """Alone ≠ in the suite, and not seen often enough to tell chance from order."""
    suite = case.suite
    other, how = next(
        ((other, how) for other, how in case.apart if suite and other and _apart(suite, other)), ([], "")
    )
    if not other:
        return None
    return Found(
        verdict=Verdict.SUSPECTED_FLAKY,
        evidence=f"{_counted(suite)} in the suite, {_counted(other)} {how}",
        action="Chance, or a test before it: test_history(view='flaky', verify=2) tells which.",
    )


def _environment(case: Case) -> Found | None:
    """The outcome follows the environment on one revision (E2)."""
    follows = _follows(case.past, without_seed, lambda _: "")
    if not follows:
        return None
    return Found(
        verdict=Verdict.ENVIRONMENT_DEPENDENT,
        evidence=f"on this revision the outcome follows the environment: {follows}",
        action="Compare the two environments before changing code.",
    )


def _outside(case: Case) -> Found | None:
    """Green on these very sources, and then red again and again: no flake, and no edit of a source."""
    seen = case.past.shifted
    if not seen:
        return None
    red = sum(s.outcome.bad for s in seen)
    return Found(
        verdict=Verdict.NEW_FAILURE,
        evidence=f"{len(seen) - red} passed on these very sources, then {red} in a row failed: something outside them changed",
        action="Look at what no source tells: data files, variables, services, the clock.",
    )


def _suspected(case: Case) -> Found | None:
    """At least two weak signs (E4), and not so red on this revision that a flake would hardly be."""
    past = case.past
    if (past.flaky and past.moved) or _hardly_chance(past):
        return None
    flips = past.untouched_flips(touched=None if case.touched is None else bool(case.touched))
    same = bool(past.prints & (past.flaky_prints | set(case.known_flaky)))
    if flips + same < _SIGNS:
        return None
    signs = [f"flipped {flips} times with none of its imports changed"] if flips else []
    signs += ["its fingerprint is a known flake's"] if same else []
    return Found(
        verdict=Verdict.SUSPECTED_FLAKY,
        evidence="; ".join(signs),
        action="Rerun it on this revision; one pass proves a flake.",
    )


def _base(case: Case) -> Found | None:
    """Fails at the base too: pre-existing. Passes there, and fails here again and again: a regression."""
    base, past = case.base, case.past
    if base is None or not base.now or both(base.samples):
        return None
    if said := _contradicted(case, base):
        found = next(filter(None, (rule(case) for rule in RED[RED.index(_base) + 1 :])))
        return replace(found, evidence=f"{found.evidence}; {said}", action=found.action + _UNLIKE)
    total, commit = len(base.samples), case.proof.commit[:10]
    at = f"the base {commit}" if commit else "the base revision"
    change = "change" if case.proof.whole else "uncommitted change"
    if base.red:
        same = not base.prints or not past.prints or base.prints & past.prints
        found = Found(
            verdict=Verdict.PRE_EXISTING,
            evidence=f"also fails {total}/{total} at {at}",
            action=f"Not from your {change}; leave it or mend it apart.",
        )
        return found if same else None
    red = [s for s in past.streak if s.revision == past.here.revision]
    green = {(s.run, s.attempt) for s in (*base.samples, *past.line) if not s.outcome.bad}
    if len(red) < _REPRODUCED or posterior_real(len(red) - 1, passed=len(green)) < _SURE:
        return None
    if past.flaky and past.prints <= past.flaky_prints:  # unless chance alone would hardly be this red
        x, n = past.rate(without=past.streak)
        if len(red) < _LEAST or red_again(x, n, len(red)) > (_UNLIKELY if past.moved else _UNTOUCHED):
            return None
    passes = "xfails" if any(s.outcome is Outcome.XFAILED for s in base.samples) else "passes"
    where = f"; changed and used by it: {', '.join(list(case.touched)[:3])}" if case.touched else ""
    return Found(
        verdict=Verdict.REGRESSION,
        evidence=f"the base {commit}{' ' * bool(commit)}{passes} {total}/{total}, now {_red(red, len(green))}{where}",
        action="From the change since the base: look there first.",
    )


def _contradicted(case: Case, base: Past) -> str:
    """How a revision ended in a run of its own otherwise than when it was run on purpose: then that proves nothing."""
    past, own = case.past, {(s.run, s.attempt) for s in base.samples}
    there = {s.revision for s in base.samples if s.revision}
    failed = {*case.proof.failed, *(there if base.red else ())}
    # As little is it older than the change where these very sources have passed, in another environment.
    here = {past.here.revision} - {""} if base.red else set()
    known = [s for s in past.samples if s.revision and (s.run, s.attempt) not in own]
    other = [s for s in known if s.revision in failed | here and not s.outcome.bad]
    ends, where = ("fails", "passed"), "there" if any(s.revision in failed for s in other) else "here"
    if not other and not base.red:  # one that passed there, too, is a flake's, and chance is judged below
        other = [s for s in known if s.revision in there]
        ends, where = ("passes", "failed"), "there"
        if not all(s.outcome.bad and s.group in past.prints for s in other):
            return ""
    if not other:
        return ""
    own_environment = without_seed(past.here.environment)
    which = "this" if any(without_seed(s.environment) == own_environment for s in other) else "another"
    return f"{ends[0]} at the base when run apart, but {ends[1]} {where} before in {which} environment"


def _recurred(case: Case) -> Found | None:
    """A fingerprint is back whose fix had been confirmed."""
    past = case.past
    since = (
        past.alike[0].at if past.alike else past.here.at
    )  # a fix that came later was none of these failures'
    fixed = {one for one in past.prints if case.fixed.get(one, math.inf) <= since}
    back = fixed or (_fixed_before(past) - set(case.unmended))
    return (
        Found(
            verdict=Verdict.RECURRED,
            evidence=f"{min(back)} was fixed before and is back",
            action="Look at the earlier fix: was it undone, or the same mistake made elsewhere?",
        )
        if back
        else None
    )


def _broken(case: Case) -> Found | None:
    """Three revisions in a row with one fingerprint and no pass."""
    alike = case.past.alike
    revisions = len({s.revision for s in alike if s.revision})
    if revisions < _BROKEN:
        return None
    return Found(
        verdict=Verdict.BROKEN,
        evidence=f"red on {revisions} revisions in a row with one fingerprint, {_runs(alike)} runs, no pass between",
        action=_loop(alike) or _since(case.past),
    )


def _since(past: Past) -> str:
    """What the record says of when it broke: whether by the present change, it cannot know."""
    if len(past.alike) < len(past.line) and not past.line[-len(past.alike) - 1].outcome.bad:
        return "It passed before the first of these: what was changed then broke it, yours or not."
    return "It broke before what is known here of it, or in another way first."


def _new(case: Case) -> Found | None:
    """The fingerprint is new to this test, which has a past."""
    past = case.past
    earlier = past.line[: len(past.line) - len(past.alike)]
    fresh = past.prints - {s.group for s in earlier}
    if not fresh or not earlier:
        return None
    passed = sum(not s.outcome.bad for s in earlier)
    again = len(past.alike)
    posterior = f"; {_red(past.alike, passed)}" if again > 1 else ""
    return Found(
        verdict=Verdict.NEW_FAILURE,
        evidence=f"first failure of this kind here; passed {passed}/{len(earlier)} before{posterior}",
        action=_loop(past.alike)
        or ("Look at your last change." if again > 1 else "Confirm by rerunning: confirm=3."),
    )


def _unknown(case: Case) -> Found:
    past = case.past
    n, red = len(past.line), len(past.streak)
    here = [s for s in past.streak if s.revision and s.revision == past.here.revision]
    if past.flaky and past.moved and red < _LEAST:
        evidence = (
            f"known flaky at {case.share}, and what it uses was changed since it passed: either may be why"
        )
    elif past.flaky and red >= _LEAST:
        evidence = f"known flaky at {case.share}, but red {red}/{red} now: more than that explains"
    elif past.prints and past.prints <= {s.group for s in past.line[: n - red]}:
        evidence = f"this fingerprint was seen here before, and passes since (n={n})"
    else:
        evidence = f"n={n}"
    action = "Rerun on this revision: confirm=3."
    if len(here) >= _REPRODUCED:
        evidence += f"; {_red(here, 0)}"
        action = (
            "Most likely real, no flake; no base could tell whether it is yours. Look at your last change."
        )
    return Found(verdict=Verdict.NOT_ENOUGH_EVIDENCE, evidence=evidence, action=_loop(past.alike) or action)


# --- rules for a pass ------------------------------------------------------------------------


def _still_flaky(case: Case) -> Found | None:
    return (
        Found(
            verdict=Verdict.FLAKY,
            evidence=f"failed {case.share}",
            action="A pass now proves nothing: mend the test's nondeterminism.",
        )
        if case.past.flaky
        else None
    )


def _mended(case: Case) -> Found | None:
    """A reproduced failure, then this pass: the first, or with flake history the k-th."""
    past = case.past
    line = past.line
    passes = next((n for n, s in enumerate(reversed(line)) if s.outcome.bad), len(line))
    before = line[: len(line) - passes]
    red = before[
        len(before) - next((n for n, s in enumerate(reversed(before)) if not s.outcome.bad), len(before)) :
    ]
    since = passes - len(past.now)
    needed = past.needed if past.flaked else 1
    if not red or not since < needed <= passes:
        return None
    if len(red) < _REPRODUCED:
        return Found(
            verdict=Verdict.NOT_ENOUGH_EVIDENCE,
            evidence="passes after one failure that was never reproduced",
            action="Rerun a few times before calling it fixed.",
        )
    return Found(
        verdict=Verdict.FIXED,
        evidence=f"red {len(red)}/{len(red)} before, now {passes}/{passes} passed",
    )


# --- what the rules share --------------------------------------------------------------------


def _follows(past: Past, key: Callable[[str], str], among: Callable[[str], str]) -> str:
    """How the outcome follows *key*, of an environment, on the revisions where it had two values or more; "" if it does not.

    Only cells with the same *among* are set against each other, of two samples at least on either side.
    """
    own, group = key(past.here.environment), among(past.here.environment)
    if all(key(environment) == own for revision, environment in past.cells if revision == past.here.revision):
        return ""  # nearly always
    set_against = {
        cell: key(environment) == own
        for cell in past.cells
        for environment in cell[1:]
        if among(environment) == group
    }
    here, elsewhere = (
        {cell[0] for cell, same in set_against.items() if same is side} for side in (True, False)
    )
    revisions = here & elsewhere
    if past.here.revision not in revisions:
        return ""
    known = [
        (s, same) for cell, same in set_against.items() if cell[0] in revisions for s in past.cells[cell]
    ]
    mine, others = ([s for s, same in known if same is side] for side in (True, False))
    if min(len(mine), len(others)) < _PROVEN or both(mine) or both(others):
        return ""
    if mine[0].outcome.bad is others[0].outcome.bad:
        return ""
    ends = ("fails", "passes") if mine[0].outcome.bad else ("passes", "fails")
    return f"{ends[0]} {len(mine)}/{len(mine)} here, {ends[1]} {len(others)}/{len(others)} elsewhere"


def _company(environment: str) -> str:
    """The environment of a run, without the seed of a whole suite's order."""
    return environment if environment.endswith(ALONE) or SOME in environment else without_seed(environment)


def _fixed_before(past: Past) -> set[str]:
    """The present fingerprints that were mended before, on whatever line of work: it may have been merged since."""
    first = past.alike[0] if past.alike else past.here
    earlier = [s for s in past.samples if (s.at, s.run, s.attempt) < (first.at, first.run, first.attempt)]
    came = past.prints.intersection(s.group for s in earlier if s.outcome.bad) - past.flaky_prints
    if not came:  # nearly always, and each line is a look at all samples
        return set()
    each = [_fixed_on(lines.own(earlier, last), past) for last in lines.begun(earlier)]
    return set[str]().union(*each) & came


def _fixed_on(line: Sequence[Sample], past: Past) -> set[str]:
    """Fingerprints that came at least twice with no pass between, and were then passed long enough."""
    needed = past.needed if past.flaked else 1
    fixed, red, passes = set[str](), list[Sample](), 0
    for sample in line:
        if sample.outcome.bad:
            red, passes = ([*red, sample] if not passes else [sample]), 0
            continue
        passes += 1
        if passes != needed or len(red) < _REPRODUCED or red[-1].revision == sample.revision:
            continue
        if lines.goes_on(red[-1], sample):
            fixed |= {s.group for s in red if s.group}
    return fixed


def _hardly_chance(past: Past) -> bool:
    """Whether reruns on this revision are all red, and so many that a flake that passed as often would hardly be."""
    red = sum(s.revision == past.here.revision for s in past.streak)
    passed = sum(not s.outcome.bad for s in past.line)
    return red >= _REPRODUCED and posterior_real(red - 1, passed=passed) >= _SURE


def _loop(alike: Sequence[Sample]) -> str:
    runs = _runs(alike)
    if runs < _LOOP or len({s.revision for s in alike}) < _LOOP:
        return ""
    return f"Failed {runs} runs in a row with one fingerprint: the edits have not reached the failing frame."


def _runs(samples: Sequence[Sample]) -> int:
    return len({sample.run for sample in samples})


def _red(samples: Sequence[Sample], passed: int) -> str:
    """`red 4/4, P(real) .89`: *samples* in a row, after *passed* that were green."""
    real = f"{posterior_real(len(samples) - 1, passed=passed):.2f}".removeprefix("0")
    return f"red {len(samples)}/{len(samples)}, P(real) {real}"


def _apart(a: Sequence[Sample], b: Sequence[Sample]) -> bool:
    """Whether all of *a* ended one way, and all of *b* the other."""
    return not both(a) and not both(b) and a[0].outcome.bad is not b[0].outcome.bad


def _counted(samples: Sequence[Sample]) -> str:
    bad = sum(sample.outcome.bad for sample in samples)
    return f"{bad} red and {len(samples) - bad} green"


RED = (
    _order,
    _seed,
    _flaky,
    _undecided,
    _environment,
    _outside,
    _base,
    _suspected,
    _recurred,
    _broken,
    _new,
    _unknown,
)
GREEN = (_order, _still_flaky, _undecided, _environment, _mended)
