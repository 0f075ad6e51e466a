"""Whatever the tests do: a typed Run in time, with everything that finished, and no process left."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pytest_recall.model import RunRequest

HAZARDS = Path(__file__).parents[2] / "targets" / "hazards"
GREEN = {"before": "passed", "after": "passed"}


@dataclass(frozen=True, kw_only=True)
class Hazard:
    """A suite, how it is run, and what its Run must hold."""

    name: str
    suite: str = ""  # where it is not the name
    status: str  # several where pytest's versions differ
    outcomes: dict[str, str] = field(default_factory=dict)  # by the test's name without `test_`
    culprits: tuple[str, ...] = ()
    not_run: tuple[str, ...] = ()
    stack: str = ""  # a line of the stacks
    request: dict[str, Any] = field(default_factory=dict)
    plugins: str = ""  # which of this environment's are loaded


TEST_LIMIT = {"test_timeout_s": 0.6, "timeout_s": 30.0}
RUN_LIMIT = {"timeout_s": 2.5}
PARALLEL = {"parallel": 2}

TABLE = [
    Hazard(
        name="hang_in_python",
        status="timed_out",
        outcomes=GREEN | {"culprit": "timed_out"},
        culprits=("culprit",),
        stack="in helper_that_hangs",
        request=TEST_LIMIT,
    ),
    Hazard(
        name="hang_in_c",
        status="timed_out",
        outcomes=GREEN | {"culprit": "timed_out"},
        culprits=("culprit",),
        stack="in test_culprit",
        request=TEST_LIMIT,
    ),
    Hazard(
        name="hang_ignoring_sigint",
        status="timed_out",
        outcomes=GREEN | {"culprit": "timed_out"},
        culprits=("culprit",),
        stack="in test_culprit",
        request=TEST_LIMIT,
    ),
    Hazard(
        name="hang_in_fixture",
        status="timed_out",
        outcomes=GREEN | {"culprit": "timed_out"},
        culprits=("culprit",),
        stack="in stuck",
        request=TEST_LIMIT,
    ),
    Hazard(
        name="hang_in_teardown",
        status="timed_out",
        outcomes=GREEN | {"culprit": "timed_out"},
        culprits=("culprit",),
        stack="in stuck",
        request=TEST_LIMIT,
    ),
    Hazard(
        name="hang_in_worker",
        status="timed_out",
        outcomes=GREEN | {"culprit": "timed_out"},
        culprits=("culprit",),
        stack="in helper_that_hangs",
        request=TEST_LIMIT | PARALLEL,
        plugins="xdist.plugin",
    ),
    Hazard(
        name="repr_never_ends",
        status="timed_out",
        outcomes=GREEN | {"culprit": "timed_out"},
        culprits=("culprit",),
        stack="in __repr__",
        request=TEST_LIMIT,
    ),
    Hazard(
        name="hang_in_collection",
        status="timed_out",
        stack="in pytest_collection_modifyitems",
        request=RUN_LIMIT,
    ),
    Hazard(name="hang_at_import", status="timed_out", stack="hang_at_import.py", request=RUN_LIMIT),
    Hazard(
        name="hang_in_session_teardown",
        status="timed_out",
        outcomes={"before": "timed_out"},  # the last test's teardown is the session's
        culprits=("before",),
        stack="in stuck",
        request=RUN_LIMIT,
    ),
    Hazard(
        name="hang_at_exit",
        status="timed_out",
        outcomes={"leaves_a_thread": "passed"},
        stack="Thread",
        request=RUN_LIMIT,
    ),
    Hazard(
        name="segfault",
        status="crashed",
        outcomes=GREEN | {"culprit": "crashed"},
        culprits=("culprit",),
        stack="in test_culprit",
    ),
    Hazard(
        name="abort",
        status="crashed",
        outcomes=GREEN | {"culprit": "crashed"},
        culprits=("culprit",),
        stack="in test_culprit",
    ),
    Hazard(
        name="exit_zero", status="crashed", outcomes=GREEN | {"culprit": "crashed"}, culprits=("culprit",)
    ),
    Hazard(name="exit_one", status="crashed", outcomes=GREEN | {"culprit": "crashed"}, culprits=("culprit",)),
    Hazard(
        name="kill_self", status="crashed", outcomes=GREEN | {"culprit": "crashed"}, culprits=("culprit",)
    ),
    Hazard(
        name="terminate_self",
        status="crashed",
        outcomes=GREEN | {"culprit": "crashed"},
        culprits=("culprit",),
    ),
    Hazard(
        name="out_of_memory", status="crashed", outcomes=GREEN | {"culprit": "crashed"}, culprits=("culprit",)
    ),
    Hazard(
        name="segfault_without_going_on",
        suite="segfault",
        status="crashed",
        outcomes={"before": "passed", "culprit": "crashed"},
        culprits=("culprit",),
        not_run=("after",),
        request={"resume": False},
    ),
    Hazard(
        name="dies_in_worker",
        status="crashed",
        outcomes=GREEN | {"culprit": "crashed"},
        culprits=("culprit",),
        stack="in test_culprit",
        request=PARALLEL,
        plugins="xdist.plugin",
    ),
    Hazard(
        name="stack_overflow",
        status="crashed",
        outcomes=GREEN | {"culprit": "crashed"},
        culprits=("culprit",),
        stack="in deeper",
    ),
    Hazard(name="recursion", status="failed", outcomes=GREEN | {"fails": "failed"}),
    Hazard(
        name="exit_in_session_fixture_teardown",
        status="crashed",
        outcomes={"before": "passed", "after": "crashed"},
        culprits=("after",),
    ),
    Hazard(
        name="crash_between",
        status="crashed",
        outcomes={"before": "crashed", "after": "passed"},
        culprits=("before",),
    ),
    Hazard(
        name="several",
        status="crashed",
        outcomes=GREEN
        | {"hangs": "timed_out", "vanishes": "crashed", "fails": "failed", "segfaults": "crashed"},
        culprits=("hangs", "vanishes", "segfaults"),
        request=TEST_LIMIT,
    ),
    Hazard(name="closes_everything", status="internal_error", outcomes={"before": "passed"}),
    Hazard(name="changes_folder", status="failed", outcomes=GREEN | {"fails": "failed"}),
    Hazard(name="leaves_daemon_threads", status="passed", outcomes=GREEN),
    Hazard(name="grandchild_keeps_stdout", status="passed", outcomes=GREEN),
    Hazard(name="fork_chain", status="passed", outcomes=GREEN),
    Hazard(name="fork_returns", status="passed", outcomes=GREEN),
    Hazard(name="loud", status="passed", outcomes=GREEN),
    Hazard(name="loud_and_raw", status="passed", outcomes=GREEN),
    Hazard(name="binary_output", status="failed", outcomes=GREEN | {"prints_bytes": "failed"}),
    Hazard(
        name="patched_everything",
        status="failed|crashed",
        outcomes=GREEN | {"patches": "passed", "fails": "failed"},
    ),
    Hazard(name="closed_descriptors", status="passed", outcomes=GREEN),
    Hazard(name="working_folder_gone", status="failed", outcomes=GREEN | {"fails": "failed"}),
    Hazard(
        name="odd_ids",
        status="failed",
        outcomes=GREEN | {"odd[it's]": "failed", "odd[-k]": "passed", "odd[a::b]": "passed"},
    ),
    Hazard(name="huge_diff", status="failed", outcomes=GREEN | {"fails": "failed"}),
    Hazard(
        name="evil_repr",
        status="failed",
        outcomes=GREEN | {"raises": "failed", "fails_with_odd_message": "failed"},
    ),
    Hazard(
        name="repr_exits", status="internal_error", outcomes={"before": "passed"}, not_run=("exits", "after")
    ),
    Hazard(name="exit_at_import", status="collection_failed|internal_error"),
    Hazard(name="syntax_error", status="collection_failed"),
    Hazard(name="import_error", status="collection_failed"),
    Hazard(
        name="keyboard_interrupt",
        status="interrupted",
        outcomes={"before": "passed"},
        not_run=("interrupts", "after"),
    ),
    Hazard(
        name="pytest_exit", status="interrupted", outcomes={"before": "passed"}, not_run=("exits", "after")
    ),
    Hazard(name="system_exit", status="failed", outcomes=GREEN | {"fails": "failed"}),
    Hazard(name="reads_stdin", status="passed", outcomes=GREEN),
    Hazard(
        name="changes_signals",
        status="timed_out",
        outcomes=GREEN | {"ignores_everything": "passed", "culprit": "timed_out"},
        culprits=("culprit",),
        request=TEST_LIMIT,
    ),
    Hazard(
        name="stops_itself",
        status="timed_out",
        outcomes=GREEN | {"culprit": "timed_out"},
        culprits=("culprit",),
        stack="in test_culprit",
        request=TEST_LIMIT,
    ),
    Hazard(name="stops_supervisors", status="passed", outcomes=GREEN | {"stops_its_parents": "passed"}),
    Hazard(name="removes_facts", status="failed", outcomes=GREEN | {"removes": "passed", "fails": "failed"}),
    Hazard(name="removes_run_folder", status="passed", outcomes=GREEN | {"removes": "passed"}),
    Hazard(name="disk_full", status="crashed", outcomes={"before": "passed"}, culprits=("fills",)),
    Hazard(name="many_fail", status="failed", outcomes={"fails[499]": "failed"}),
]


# The same hangs where nobody limits a single test: the run's own limit ends them.
TABLE += [
    replace(
        hazard,
        name=f"{hazard.name}_until_the_end",
        suite=hazard.name,
        outcomes={"before": "passed", "culprit": "timed_out"},
        not_run=("after",),
        request={"timeout_s": 4.0},
    )
    for hazard in TABLE
    if hazard.name in {"hang_in_python", "hang_in_c", "hang_ignoring_sigint", "repr_never_ends"}
]


@pytest.mark.parametrize("hazard", TABLE, ids=lambda hazard: hazard.name)
def test_hazard_is_told_in_time_and_leaves_no_process(
    hazard: Hazard, tmp_path: Path, run_project, left_behind, told
) -> None:
    project = tmp_path / "project"
    suite = HAZARDS / (hazard.suite or hazard.name)
    if suite.is_dir():
        shutil.copytree(suite, project, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        project.mkdir()
        shutil.copy(f"{suite}.py", project / f"test_{suite.name}.py")
    (project / "pytest.ini").write_text("[pytest]\n")
    request = RunRequest(**{"timeout_s": 30.0, **hazard.request})

    began = time.monotonic()
    run, files = run_project(project, request, plugins=hazard.plugins)
    seconds = time.monotonic() - began

    left = left_behind()
    told(run, seconds, left)
    assert run.status.value in hazard.status.split("|"), (run.terminations, run.doubts, run.output_tail)
    assert hazard.outcomes.items() <= {name(test.id): test.outcome.value for test in run.tests}.items()
    assert hazard.culprits == tuple(name(test) for test in run.culprits)
    assert {name(test) for test in run.not_run} >= set(hazard.not_run)
    assert hazard.stack in "".join(stack.text for stack in run.stacks)
    assert seconds < request.timeout_s + 3
    assert len(files.output) < 140_000
    assert left == []


def name(test: str) -> str:
    """`odd[a::b]` of `test_odd_ids.py::test_odd[a::b]`."""
    function, bracket, params = test.partition("::")[2].partition("[")
    return function.rpartition("::")[2].removeprefix("test_") + bracket + params
