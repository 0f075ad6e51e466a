"""Test ids that pytest does not find: what is left without them where we chose them, the nearest where a caller did."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path

from pytest_recall.errors import NothingToRun, UnknownTest, listed, quoted
from pytest_recall.model import Discovery, RunRequest, Status
from pytest_recall.proof.bench import collected, place, steady
from pytest_recall.running import command

_TELLING = frozenset({Status.PASSED, Status.COLLECTION_FAILED, Status.NO_TESTS})


def files(request: RunRequest) -> RunRequest:
    """What collects all that is in the files of *request*'s tests."""
    paths = tuple(dict.fromkeys(test.partition("::")[0] for test in request.tests))
    return RunRequest(tests=paths, args=steady(request.args), env=request.env)


def rest(request: RunRequest, there: Discovery) -> tuple[RunRequest, str]:
    """*request* without the tests that its files no longer have, as *there* tells, and a remark about those.

    Of a file that cannot be collected nobody knows: it stays, whole, and the run says why it cannot.

    Raises:
        NothingToRun: none is left.
    """
    if there.status not in _TELLING:  # it was not for the tests that pytest refused
        return request, ""
    known = collected(there)
    broken = {place(one.id, there) for one in there.collectors if one.outcome.bad}
    left, gone = dict[str, None](), []
    for test in request.tests:
        [shown] = command.selection(RunRequest(tests=(test,)), Path(there.target.root))
        file, colons, _ = shown.partition("::")
        if not colons or shown in known:
            left[test] = None
        elif file in broken:
            left[test.partition("::")[0]] = None
        else:
            gone.append(test)
    said = (
        f"{len(gone)} tests that failed last are not there by that name any more, and were left out: {listed(gone, most=3)}."
        " test_history(reconcile=true), or `store reconcile`, finds out what became of them."
    )
    if not left:
        raise NothingToRun(f"{said} No other failed last. Run with only='all'.")
    return replace(request, tests=tuple(left)), said if gone else ""


def teach(request: RunRequest, there: Discovery) -> None:
    """Raise UnknownTest with the nearest ids if *request* names some that its files, as *there* tells, do not have."""
    known = {function.id for function in there.functions}
    # Ids are relative to pytest's rootdir, and arguments to the folder where it starts.
    ends = {test: [name for name in known if name.endswith(test.partition("[")[0])] for test in request.tests}
    unknown = [test for test in request.tests if "::" in test and not ends[test]]
    if unknown and known:
        near = difflib.get_close_matches(unknown[0], known, n=3, cutoff=0.3)
        raise UnknownTest(
            f"No test {quoted(unknown[0])}. Nearest: {listed(near)}. discover_tests lists all ids."
        )
