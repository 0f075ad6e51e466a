"""Does it depend on the tests before it? The same order once more, then halves of it, down to the one that does it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_recall import redact
from pytest_recall.errors import BadRequest, quoted
from pytest_recall.history.past import both
from pytest_recall.history.proof import Proof
from pytest_recall.model import Attempt, Run, RunRequest, Sample
from pytest_recall.proof.bench import Bench, Proven, named, place, repeated, steady, told
from pytest_recall.running import command, options

_TWICE = 2  # a proof is seen so often
_MOST_MORE = 4  # runs beside those that halve
_MOST_COMMAND = 20_000  # characters of one that shows what was found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """The tests that one process ran, in their order, up to and with the last *victims* among them."""

    tests: tuple[str, ...]
    victims: tuple[str, ...]
    duration_s: float
    args: tuple[str, ...]  # that keep this order
    alike: bool  # the run keeps it by itself
    later: tuple[
        str, ...
    ]  # files of which the process had collected tests that came after those, or ran elsewhere


async def order(
    bench: Bench, run: Run, proofs: Mapping[str, Proof], *, times: int = 1, whole: bool = True
) -> Proven:
    """What the order of *run* has to do with the tests of *proofs*, which ended otherwise alone than there.

    Each is run again in the same company, *times* times: after the same tests, with the same modules imported. Where it
    then ends as in *run*, the one test that makes it do so is looked for: at most log2(n) + 4 runs a test, within
    the bench's time. Without *whole*, only the tests that *run* has are run, not all that it asked for.
    """
    found, remarks = dict(proofs), list[str]()
    culprits: list[str] = []
    for line in _lines(run, list(proofs), whole=whole):
        if not bench.fits(line.duration_s, times):
            remarks.append(
                f"No time was left to rerun {quoted(line.victims[0])} after the {len(line.tests) - 1} tests before it."
            )
            continue
        note = f"Repeats the order of run {run.id}: does {quoted(line.victims[0])} end as it did there?"
        try:
            again = await bench.run(_again(run, line, times), note)
        except BadRequest as error:
            remarks.append(f"The order in which {quoted(line.victims[0])} ran could not be repeated: {error}")
            continue
        outcomes = told(again) if again is not None else {}
        for victim in line.victims:
            hunt = _Hunt(bench, run, line, victim)
            samples = outcomes.get(place(victim, run), ())
            proof = found[victim]
            proof = (
                replace(proof, again=proof.again + samples)
                if line.alike
                else replace(proof, together=proof.together + samples)
            )
            if samples and hunt.as_there(samples):
                proof, remark = await hunt.search(proof, culprits)
                culprits += [proof.polluter] if proof.polluter else []
                remarks += [remark] if remark else []
            found[victim] = proof
    return Proven(proofs=found, remarks=tuple(remarks))


class _Hunt:
    """The search for what makes one test end as in the suite."""

    def __init__(self, bench: Bench, run: Run, line: _Line, victim: str) -> None:
        self._bench = bench
        self._run = run
        self._line = line
        self._victim = victim
        self._before = line.tests[: line.tests.index(victim)]
        self._seconds = _seconds(run)
        there = told(run).get(place(victim, run), ())
        self._red = any(sample.outcome.bad for sample in there)
        self._prints = {sample.group for sample in there if sample.outcome.bad and sample.group}
        self._runs = math.ceil(math.log2(max(len(self._before), 1))) + _MOST_MORE

    def as_there(self, samples: Sequence[Sample]) -> bool:
        """Whether *samples* ended as the test did in the run: well, or with the same cause."""
        if not samples or both(samples) or samples[0].outcome.bad is not self._red:
            return False
        return not self._red or not self._prints or bool(self._prints & {s.group for s in samples})

    async def search(self, proof: Proof, known: Sequence[str]) -> tuple[Proof, str]:
        """*proof* with all that the hunt adds to it, the polluters that are *known* first; and what it could not."""
        try:
            proof = await self._alone_twice(proof)
            return await self._polluter(proof, known)
        except BadRequest as error:
            return proof, f"What {quoted(self._victim)} depends on could not be looked for: {error}"

    async def _alone_twice(self, proof: Proof) -> Proof:
        """*proof* with what shows twice how the test ends alone."""
        lacking = _TWICE - len(proof.alone)
        if lacking <= 0:
            return proof
        request = named(self._run, [self._victim], repeat=lacking, parallel=0, purpose="alone")
        again = await self._bench.run(request, f"Runs {quoted(self._victim)} alone.")
        more = told(again).get(place(self._victim, self._run), ()) if again is not None else ()
        return replace(proof, alone=proof.alone + more)

    async def _polluter(self, proof: Proof, known: Sequence[str]) -> tuple[Proof, str]:
        """*proof* with the test that makes this one end as in the suite; or why it has not been found."""
        for suspect in known:
            if self._precedes(suspect) and (culprit := await self._culprit(suspect)):
                return self._found(proof, culprit), ""
        for suspect in await self._halved():
            if culprit := await self._culprit(suspect):
                return self._found(proof, culprit), ""
        what, number = quoted(self._victim), len(self._before)
        if self._runs <= 0 or not self._bench.fits(self._time(())):
            return proof, f"No time was left to find which of the {number} tests before {what} matters to it."
        return (
            replace(proof, searched=True),
            f"No single one of the {number} tests before {what} makes it end so: several, or a module that is only imported.",
        )

    def _precedes(self, known: str) -> bool:
        """Whether *known*, a test or a module, came before the test."""
        return known in self._before or any(test.startswith(f"{known}::") for test in self._before)

    async def _culprit(self, suspect: str) -> str:
        """*suspect*, where the test ends so after it, too; its module, where importing that is enough; or ""."""
        if not await self._ends_so([suspect], times=_TWICE):
            return ""
        module = suspect.partition("::")[0]
        if module in {suspect, self._victim.partition("::")[0]}:
            return suspect
        return module if await self._ends_so([module]) else suspect

    def _found(self, proof: Proof, polluter: str) -> Proof:
        imported = polluter not in self._before
        return replace(proof, polluter=polluter, imported=imported, command=self._command(polluter))

    def _args(self, before: Sequence[str]) -> tuple[str, ...]:
        """The line's arguments, and what keeps modules among *before* from more than being imported."""
        return (*self._line.args, *(f"--deselect={one}::" for one in before if one not in self._before))

    async def _halved(self) -> Sequence[str]:
        """The one test that is left after halving, or none where that could not be done."""
        suspects = self._before
        while len(suspects) > 1:
            half = len(suspects) // 2
            ended = await self._ends_so(suspects[half:])
            if ended is None:
                return ()
            # Checked in the end, instead of each half on its own.
            suspects = suspects[half:] if ended else suspects[:half]
        return suspects

    async def _ends_so(self, before: Sequence[str], times: int = 1) -> bool | None:
        """Whether the test ends as in the suite after just these, tests or modules; None where it could not be run."""
        self._runs -= 1
        if self._runs < 0 or not self._bench.fits(self._time(before), times):
            return None
        tests = (*before, self._victim)
        request = named(self._run, tests, args=self._args(before), parallel=0, purpose="order")
        note = (
            f"Looks for what {quoted(self._victim)} depends on: after {len(before)} of the tests before it."
        )
        again = await self._bench.run(replace(request, repeat=times), note)
        samples = told(again).get(place(self._victim, self._run), ()) if again is not None else ()
        return self.as_there(samples) if len(samples) >= times else None

    def _time(self, before: Sequence[str]) -> float:
        return sum(self._seconds.get(test, 0.0) for test in (*before, self._victim))

    def _command(self, polluter: str) -> str:
        """What a person types in the project's folder to see it; "" where nobody would."""
        paths = tuple(place(test, self._run) for test in (polluter, self._victim))
        words = command.selection(RunRequest(tests=paths), Path(self._run.target.root))
        args = self._args([polluter])
        spelled = [word for arg in args for word in (["-p", arg[2:]] if arg.startswith("-p") else [arg])]
        typed = f"{_pytest(self._run)} {shlex.join([*spelled, *words])}"
        return typed if len(typed) <= _MOST_COMMAND else ""


def _pytest(run: Run) -> str:
    """How a shell in the project's folder starts the pytest of *run*, its folder on `sys.path`: with what the caller set."""
    python = Path(run.target.python)
    if python.is_relative_to(run.target.root):
        python = python.relative_to(run.target.root)
    started = shlex.join([str(python), "-m", "pytest"])
    added = " ".join(_variable(name, value) for name, value in run.request.env)
    return f"env {added} {started}" if added else started


def _variable(name: str, value: str) -> str:
    """`NAME=value`; where that is a secret, the shell's own, which it refuses to go without."""
    plain = redact.field(name, value) == (name, value)
    return f"{name}={shlex.quote(value)}" if plain else f'{name}="${{{name}:?}}"'


def _lines(run: Run, victims: Sequence[str], *, whole: bool) -> list[_Line]:
    """The processes in which *victims* ended as they did, each as far as the last of them."""
    ends = {test.id: test.decisive for test in run.tests.among(victims)}
    seconds = _seconds(run)
    args, alike = _orderly(run)
    alike = alike and whole
    found = []
    for process in dict.fromkeys(_process(end) for end in ends.values()):
        starts = {
            test.id: attempt.order
            for test in run.tests
            for attempt in reversed(test.attempts)
            if _process(attempt) == process
        }
        mine = tuple(test for test, end in ends.items() if _process(end) == process)
        last = max(starts[test] for test in mine)
        tests = tuple(sorted((test for test, at in starts.items() if at <= last), key=starts.__getitem__))
        files = {test.partition("::")[0] for test in tests}
        later = dict.fromkeys(
            file for test in run.tests.ids if (file := test.partition("::")[0]) not in files
        )
        duration = sum(seconds[test] for test in (run.tests.ids if alike else tests))
        found.append(
            _Line(tests=tests, victims=mine, duration_s=duration, args=args, alike=alike, later=tuple(later))
        )
    return found


def _process(attempt: Attempt) -> tuple[str, int]:
    return attempt.worker, attempt.repetition


def _seconds(run: Run) -> dict[str, float]:
    return dict(run.tests.durations())


def _orderly(run: Run) -> tuple[tuple[str, ...], bool]:
    """The arguments with which named tests run one after another as they are named; whether that is as in *run*."""
    args = steady(run.request.args)
    alike = args == tuple(options.normalise(run.request.args, allow_any=True))
    plugins = {plugin.rpartition("-")[0] for plugin in run.environment.plugins}
    more = []
    if "pytest-randomly" in plugins:
        more.append("-pno:randomly")
    if "pytest-random-order" in plugins and run.environment.seed:
        more.append("--random-order-bucket=none")
    if run.environment.workers:
        more.append("-n0")
    return (*args, *more), alike and not more


def _again(run: Run, line: _Line, times: int) -> RunRequest:
    """What repeats *line*: the whole run where that keeps its order; else its tests by name, and the other modules imported."""
    if line.alike:
        return repeated(run, times)
    deselected = [f"--deselect={file}::" for file in line.later]
    tests = (*line.tests, *line.later)
    return named(run, tests, args=(*line.args, *deselected), parallel=0, repeat=times, purpose="order")
