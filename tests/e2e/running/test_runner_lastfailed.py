"""`--lf` means what failed last, whoever ran beside and however it ended."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest

from pytest_recall.model import Revision, Run, RunRequest, Target
from pytest_recall.running import runner

AGAIN = RunRequest(args=("--lf",), timeout_s=30.0)


@pytest.fixture
def run_side_by_side(tmp_path: Path, python: str):
    """All those requests at once, each waiting in its test until all have begun."""

    def run(project: Path, *requests: RunRequest) -> list[Run]:
        runs: dict[int, Run] = {}

        async def one(number: int) -> None:
            runs[number], _ = await runner.run(
                requests[number],
                Target(root=str(project), python=python, source="test"),
                run_id=f"run-{number}",
                spool=tmp_path / "spool",
                cache_dir=tmp_path / "cache",
                environ=dict(os.environ),
                revision=Revision(digest="same"),
                space="agent",
                source="test",
            )

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                for number in range(len(requests)):
                    tasks.start_soon(one, number)

        anyio.run(main)
        return [runs[number] for number in range(len(requests))]

    return run


FAILS_TOGETHER = """
    import pathlib, time

    def test_fails():
        pathlib.Path("begun-{0}").touch()
        while len(list(pathlib.Path().glob("begun-*"))) < 3:
            time.sleep(0.01)
        assert 0

    def test_good(): pass
"""


def test_runs_side_by_side_do_not_forget_each_other_s_failures(make_project, run_side_by_side) -> None:
    project = make_project({f"test_{n}.py": FAILS_TOGETHER.format(n) for n in "abc"})
    run_side_by_side(project, *(RunRequest(tests=(f"test_{n}.py",), timeout_s=30.0) for n in "abc"))

    (again,) = run_side_by_side(project, AGAIN)

    assert again.status.value == "failed", (again.terminations, again.output_tail)
    assert {test.id for test in again.tests} == {f"test_{n}.py::test_fails" for n in "abc"}


def test_culprit_of_a_crash_failed_last(make_project, run_project) -> None:
    project = make_project({"test_a.py": "import os\ndef test_good(): pass\ndef test_dies(): os._exit(0)\n"})
    run_project(project)

    again, _ = run_project(project, AGAIN)

    assert [test.id for test in again.tests] == ["test_a.py::test_dies"]


def test_what_passed_again_did_not_fail_last(make_project, run_project) -> None:
    project = make_project(
        {"test_a.py": "def test_bad(): assert 0\n", "test_b.py": "import no_such_module\n"}
    )
    run_project(project, RunRequest(args=("--continue-on-collection-errors",), timeout_s=30.0))
    (project / "test_b.py").write_text("def test_mended(): pass\n")
    run_project(project, RunRequest(tests=("test_b.py",), timeout_s=30.0))

    again, _ = run_project(project, AGAIN)

    assert [test.id for test in again.tests] == ["test_a.py::test_bad"]
