"""How the tests before a failing one are searched, with a fake bench that knows the polluter."""

import math
from dataclasses import replace

import anyio
import pytest

from pytest_recall.errors import BadRequest
from pytest_recall.history.proof import Proof
from pytest_recall.model import (
    Attempt,
    Environment,
    Failure,
    Fingerprint,
    Finished,
    Outcome,
    Revision,
    Run,
    RunRequest,
    Status,
    Target,
    Test,
)
from pytest_recall.proof.bench import place, steady, told
from pytest_recall.proof.order import order

Test.__test__ = False

PRINT = Fingerprint(group="fp1:a", strict="fp1:b", loose="fp1:c")
VICTIM = "t/test_z.py::test_victim"


def attempt(number, *, bad=False, **more):
    if not bad:
        return Attempt(outcome=Outcome.PASSED, order=number, **more)
    failure = Failure(phase="call", exception="AssertionError", message="", fingerprint=PRINT)
    return Attempt(outcome=Outcome.FAILED, order=number, failures=(failure,), **more)


def run_of(tests, request=None, *, rootdir="/p", **more):
    return Run(
        id="r",
        started_at=0.0,
        duration_s=0.0,
        target=Target(root="/p", python="python", source=""),
        rootdir=rootdir,
        request=request or RunRequest(),
        status=Status.FAILED,
        terminations=(Finished(exit_code=1),),
        revision=Revision(digest="d"),
        environment=more.pop("environment", Environment()),
        tests=tuple(tests),
        **more,
    )


def ids():
    """What the whole suite has."""
    return (*(f"t/test_a.py::test_{n}" for n in range(100)), VICTIM)


class FakeBench:
    """Its victim fails after all of *polluters*, which run, or whose module is at least imported."""

    def __init__(self, polluters, most=1_000):
        self.polluters = polluters
        self.most = most
        self.requests = []

    def fits(self, tests_s, launches=1):
        return len(self.requests) < self.most

    async def run(self, request, note, elsewhere=None):
        self.requests.append(request)
        names = request.tests or ids()
        bad = all(
            any(name == polluter or name.startswith(f"{polluter}::") for name in names)
            for polluter in self.polluters
        )
        tests = [
            Test(
                id=test,
                attempts=tuple(
                    attempt(n, bad=bad and test == VICTIM, repetition=again)
                    for again in range(request.repeat)
                ),
            )
            for n, test in enumerate(names)
            if "::" in test
        ]
        return run_of(tests, request)


@pytest.fixture
def suite():
    *tests, victim = ids()
    passed = [Test(id=test, attempts=(attempt(n),)) for n, test in enumerate(tests)]
    return run_of([*passed, Test(id=victim, attempts=(attempt(100, bad=True),))])


def searched(bench, run, proof=None):
    async def main():
        alone = told(run_of([Test(id=VICTIM, attempts=(attempt(0), attempt(1, repetition=1)))]))[VICTIM]
        return await order(bench, run, {VICTIM: proof or Proof(alone=alone)})

    return anyio.run(main)


@pytest.mark.parametrize("place", [0, 37, 99])
def test_polluter_is_found_by_halving_and_then_seen_twice_alone_with_its_victim(
    suite, place, monkeypatch, tmp_path
):
    monkeypatch.setattr("pytest_recall.running.command.selection", lambda request, root: list(request.tests))
    polluter = f"t/test_a.py::test_{place}"
    bench = FakeBench([polluter])
    proof = searched(bench, suite).proofs[VICTIM]
    assert proof.polluter == polluter
    assert proof.command == f"python -m pytest {polluter} {VICTIM}"
    assert len(bench.requests) <= math.log2(100) + 4
    *_, twice, imported = bench.requests
    assert (twice.tests, twice.repeat) == ((polluter, VICTIM), 2)
    assert imported.tests == ("t/test_a.py", VICTIM)
    assert imported.args == ("--deselect=t/test_a.py::",)
    assert [request.purpose for request in bench.requests] == [
        "again",
        *["order"] * (len(bench.requests) - 1),
    ]


def test_module_that_pollutes_when_it_is_imported_is_named_and_none_of_its_tests(suite, monkeypatch):
    monkeypatch.setattr("pytest_recall.running.command.selection", lambda request, root: list(request.tests))
    bench = FakeBench(["t/test_a.py"])
    proof = searched(bench, suite).proofs[VICTIM]
    assert (proof.polluter, proof.imported) == ("t/test_a.py", True)
    assert proof.command == f"python -m pytest --deselect=t/test_a.py:: t/test_a.py {VICTIM}"


def test_command_sets_what_the_caller_set_and_tells_no_secret(suite, monkeypatch):
    monkeypatch.setattr("pytest_recall.running.command.selection", lambda request, root: list(request.tests))
    env = (
        ("MODE", "it's"),
        ("API_TOKEN", "hunter2"),
        ("DB", "pg://me:hunter2@db/x"),
        ("PATHS", "~/a:$HOME"),
    )
    target = replace(suite.target, python="/p/.venv/bin/python")
    run = replace(suite, request=RunRequest(env=env), target=target)
    command = searched(FakeBench(["t/test_a.py::test_3"]), run).proofs[VICTIM].command
    assert command == (
        """env MODE='it'"'"'s' API_TOKEN="${API_TOKEN:?}" DB="${DB:?}" PATHS='~/a:$HOME' """
        f".venv/bin/python -m pytest t/test_a.py::test_3 {VICTIM}"
    )


def test_two_tests_that_only_pollute_together_are_not_blamed_one_by_one(suite):
    found = searched(FakeBench(["t/test_a.py::test_3", "t/test_a.py::test_70"]), suite)
    assert found.proofs[VICTIM].polluter == ""
    assert found.proofs[VICTIM].searched
    assert "No single one of the 100 tests" in found.remarks[0]


def test_search_without_time_left_says_so(suite):
    found = searched(FakeBench(["t/test_a.py::test_3"], most=3), suite)
    assert found.proofs[VICTIM].polluter == ""
    assert not found.proofs[VICTIM].searched
    assert "No time was left" in found.remarks[0]


def test_search_that_is_refused_says_why_and_keeps_what_was_shown(suite):
    class Refusing(FakeBench):
        async def run(self, request, note, elsewhere=None):
            if request.purpose == "order":
                raise BadRequest("tests: 't/test_a.py' leads out of the project.")
            return await super().run(request, note, elsewhere)

    found = searched(Refusing(["t/test_a.py::test_3"]), suite)
    assert [sample.outcome for sample in found.proofs[VICTIM].again] == [Outcome.FAILED]
    assert found.remarks[0].endswith(
        "could not be looked for: tests: 't/test_a.py' leads out of the project."
    )


def test_test_that_ends_otherwise_in_the_same_order_needs_no_search(suite):
    bench = FakeBench(["nowhere"])
    proof = searched(bench, suite).proofs[VICTIM]
    assert len(bench.requests) == 1
    assert [sample.outcome for sample in proof.again] == [Outcome.PASSED]


def test_what_is_repeated_is_the_whole_run_as_it_was_asked_for(suite):
    bench = FakeBench(["nowhere"])
    request = RunRequest(keyword="test", max_failures=1, intent="mine", args=("--tb=short",))
    searched(bench, replace(suite, request=request))
    assert bench.requests == [replace(request, max_failures=0, intent="", purpose="again")]


def test_pass_after_the_same_tests_is_no_chance_where_a_module_was_not_imported(suite):
    late = Test(id="t/test_late.py::test_late", attempts=(attempt(101),))
    run = replace(
        suite, tests=(*suite.tests, late), environment=Environment(plugins=("pytest-randomly-4.0.1",))
    )
    bench = FakeBench(["t/test_late.py"])
    found = searched(bench, run)
    assert bench.requests[0].tests[-2:] == (VICTIM, "t/test_late.py")
    assert "--deselect=t/test_late.py::" in bench.requests[0].args
    assert [sample.outcome for sample in found.proofs[VICTIM].together] == [Outcome.FAILED]
    assert "a module that is only imported" in found.remarks[0]


def test_only_tests_of_the_same_worker_came_before(suite):
    tests = [
        replace(test, attempts=(replace(test.attempts[0], worker="gw0" if n % 10 == 0 else "gw1"),))
        for n, test in enumerate(suite.tests)
    ]
    bench = FakeBench(["nowhere"])
    searched(bench, replace(suite, tests=tuple(tests), environment=Environment(workers=2)))
    [request] = bench.requests
    assert request.tests == (*(f"t/test_a.py::test_{n}" for n in range(0, 100, 10)), VICTIM)
    assert request.args == ("-n0",)
    assert request.purpose == "order"


def test_shuffled_order_is_repeated_without_the_shuffler(suite):
    bench = FakeBench(["nowhere"])
    environment = Environment(plugins=("pytest-randomly-4.0.1",), seed="7")
    request = RunRequest(args=("--randomly-seed=7", "-Werror"))
    searched(bench, replace(suite, environment=environment, request=request))
    assert bench.requests[0].args == ("-Werror", "-pno:randomly")


def test_what_selects_stops_or_measures_is_left_out_where_tests_are_named():
    args = (
        "-x",
        "-vx",
        "--maxfail=2",
        "-k",
        "a or b",
        "--lf",
        "--cov=src",
        "-n",
        "4",
        "-W",
        "error",
        "--tb=short",
    )
    assert steady(args) == ("-v", "-Werror", "--tb=short")


def test_test_has_one_place_wherever_the_rootdir_is():
    assert place("t/test_a.py::test_a[x::y]", run_of([])) == "t/test_a.py::test_a[x::y]"
    assert place("p/t/test_a.py::test_a", run_of([], rootdir="/")) == "t/test_a.py::test_a"
    assert place("q/test_a.py::test_a", run_of([], rootdir="/")) == "q/test_a.py::test_a"
