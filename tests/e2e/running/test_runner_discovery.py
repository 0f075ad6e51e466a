"""What would be run: everything that was found, beside everything that hindered it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from pytest_recall.errors import UnknownTest
from pytest_recall.model import Discovery, Outcome, RunRequest, Status
from pytest_recall.running import runner, target

Discover = Callable[..., Discovery]

SHOP = """
    import pytest

    @pytest.fixture
    def basket(): return []

    class TestBasket:
        @pytest.mark.slow
        def test_add(self, basket):
            "Adding puts it in.\\n\\nMore."

    @pytest.mark.parametrize("number", [1, 2])
    def test_number(number): pass
"""


@pytest.fixture
def discover(tmp_path: Path, python: str) -> Discover:
    def run(project: Path, detail: str = "names", timeout_s: float = 30.0, **request: Any) -> Discovery:
        environ = dict(os.environ)

        async def main() -> Discovery:
            return await runner.discover(
                RunRequest(**request),
                target.resolve(project, explicit=python, environ=environ),
                detail=detail,
                timeout_s=timeout_s,
                spool=tmp_path / "spool",
                cache_dir=tmp_path / "cache",
                environ=environ,
            )

        return anyio.run(main)

    return run


def test_names_lines_and_numbers_are_told(make_project, discover: Discover) -> None:
    found = discover(make_project({"test_shop.py": SHOP, "pytest.ini": "[pytest]\nmarkers = slow\n"}))

    assert (found.status, found.selected, found.deselected, found.message) == (Status.PASSED, 3, 0, "")
    assert [(function.id, function.line, function.count) for function in found.functions] == [
        ("test_shop.py::TestBasket::test_add", 8, 1),
        ("test_shop.py::test_number", 12, 2),
    ]
    assert found.functions[1].params == ()


def test_details_are_told_where_asked_for(make_project, discover: Discover) -> None:
    found = discover(make_project({"test_shop.py": SHOP, "pytest.ini": "[pytest]\nmarkers = slow\n"}), "full")

    add, number = found.functions
    assert (add.markers, add.fixtures, add.doc) == (("slow",), ("basket",), "Adding puts it in.")
    assert number.params == ("1", "2")


def test_selection_is_pytest_s_own(make_project, discover: Discover) -> None:
    found = discover(make_project({"test_shop.py": SHOP}), keyword="number", args=("-q",))

    assert (found.selected, found.deselected) == (2, 1)


def test_errors_stand_beside_what_was_found(make_project, discover: Discover) -> None:
    found = discover(
        make_project({"test_a.py": "def test_a(): pass\n", "test_b.py": "import no_such_module\n"})
    )

    assert found.status is Status.COLLECTION_FAILED
    assert [function.id for function in found.functions] == ["test_a.py::test_a"]
    (broken,) = found.collectors
    assert (broken.id, broken.outcome) == ("test_b.py", Outcome.ERROR)
    assert broken.failure is not None
    assert broken.failure.exception == "ModuleNotFoundError"


def test_nothing_there_is_no_tests(make_project, discover: Discover) -> None:
    assert discover(make_project({"a.py": ""})).status is Status.NO_TESTS


@pytest.mark.parametrize(
    ("conftest", "status", "message"),
    [
        ("import no_such_module", Status.COLLECTION_FAILED, ""),
        ("import os; os._exit(0)", Status.CRASHED, ""),
        ("import ctypes; ctypes.string_at(0)", Status.CRASHED, "SIGSEGV"),
        ("def pytest_collection_modifyitems(): raise RuntimeError('boom')", Status.INTERNAL_ERROR, "boom"),
    ],
)
def test_collection_that_cannot_be_made_says_why(
    conftest: str, status: Status, message: str, make_project, discover: Discover
) -> None:
    found = discover(make_project({"conftest.py": conftest, "test_a.py": "def test_a(): pass\n"}))

    assert found.status is status
    assert message in found.message


def test_collection_that_hangs_ends_in_time(make_project, discover: Discover, left_behind) -> None:
    project = make_project({"test_a.py": "import time\ntime.sleep(60)\n"})

    found = discover(project, timeout_s=2.0)

    assert found.status is Status.TIMED_OUT
    assert found.duration_s < 5
    assert left_behind() == []


def test_unknown_path_is_an_error_before_anything_starts(make_project, discover: Discover) -> None:
    with pytest.raises(UnknownTest):
        discover(make_project({"test_a.py": ""}), tests=("test_b.py",))
